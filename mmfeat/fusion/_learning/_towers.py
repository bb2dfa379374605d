"""Towers: what makes one vector of a bag, in torch to train; ``_tower_arrays`` does the same in numpy to use."""

from mmfeat.fusion._learning._heads import LayersHead, arrays_of, new_layer
from mmfeat.fusion._learning._tower_arrays import TRANSFORMER_LAYERS, n_heads_of, positions

TOWERS = ("attention", "gru", "lstm", "mean", "transformer")


class TowerHead:
    """A tower over bags of vectors, and linear layers on what it gives.

    Parameters
    ----------
    n_features : int
        Width of the vectors.
    tower : str
        One of `TOWERS`.
    width : int
        Columns that the tower gives; the mean has those of the vectors.
    widths : sequence of int
        Outputs of the layers behind it.
    activation : str
        Between those layers.
    generator : torch.Generator
    device : str
    """

    def __init__(self, n_features, tower, width, widths, activation, generator, device):
        self.tower, self.width, self.n_features = tower, width, n_features
        self._module = recurrent(tower, n_features, width, generator) if tower in ("gru", "lstm") else None
        self._named = _new_tensors(tower, n_features, width, generator)
        if self._module is not None:
            self._module.to(device)
        self._named = {name: part.to(device).requires_grad_() for name, part in self._named.items()}
        columns = n_features if tower == "mean" else width
        self.layers = LayersHead(columns, widths, activation, generator, device)
        self.n_components = widths[-1]

    def parameters(self):
        """Tensors that are trained, in a fixed order."""
        return [*(part for _, part in self._tower_parts()), *self.layers.parameters()]

    def __call__(self, bags, dropout, noise):
        """Rows of the common space; `dropout` of the inputs of the tower and of the layers are left out."""
        values = noise.dropped(bags.values, dropout)
        pooled = _POOL[self.tower](self, values, bags.lengths)
        # The mean is the input itself, which was thinned out already.
        return self.layers(pooled, 0 if self.tower == "mean" else dropout, noise)

    def export(self):
        """Everything as numpy arrays: what ``_tower_arrays.apply_tower`` takes."""
        names = [name for name, _ in self._tower_parts()]
        return {
            "kind": self.tower,
            "width": self.width,
            "activation": self.layers.activation,
            "names": names,
            "parameters": arrays_of(self.parameters()),
        }

    def _tower_parts(self):
        return list(self._module.named_parameters()) if self._module is not None else list(self._named.items())


def recurrent(tower, n_features, width, generator):
    """A network that reads in both directions, with weights of our own generator; that of torch is left alone."""
    import torch

    kind = torch.nn.GRU if tower == "gru" else torch.nn.LSTM
    module = kind(n_features, width, batch_first=True, bidirectional=True, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for part in module.parameters():
            part.uniform_(-(width**-0.5), width**-0.5, generator=generator)
    return module


def _new_tensors(tower, n_features, width, generator):
    import torch

    tensors = {}

    def layer(name, n_in, n_out):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = new_layer(n_in, n_out, generator)

    if tower == "attention":
        layer("key", n_features, width)
        layer("query", width, 1)
        layer("value", n_features, width)
    elif tower == "transformer":
        layer("input", n_features, width)
        for depth in range(TRANSFORMER_LAYERS):
            layer(f"{depth}.qkv", width, 3 * width)
            layer(f"{depth}.out", width, width)
            layer(f"{depth}.up", width, 2 * width)
            layer(f"{depth}.down", 2 * width, width)
            for norm in ("first", "second"):
                tensors[f"{depth}.{norm}.weight"], tensors[f"{depth}.{norm}.bias"] = (
                    torch.ones(width),
                    torch.zeros(width),
                )
    return tensors


def _inside(values, lengths):
    """True where a padded bag holds a vector: shape (n_bags, longest)."""
    import torch

    return torch.arange(values.shape[1], device=values.device) < lengths[:, None]


def _mean(_head, values, lengths):
    inside = _inside(values, lengths)
    return (values * inside[:, :, None]).sum(dim=1) / lengths.clamp(min=1)[:, None]


def _attend(head, values, lengths):
    parts, inside = head._named, _inside(values, lengths)
    keys = (values @ parts["key.weight"] + parts["key.bias"]).tanh()
    scores = (keys @ parts["query.weight"] + parts["query.bias"])[:, :, 0].float()
    shares = scores.masked_fill(~inside, float("-inf")).softmax(dim=1)
    shares = shares.nan_to_num(0)  # an empty bag attends to nothing
    return ((values @ parts["value.weight"] + parts["value.bias"]) * shares[:, :, None]).sum(dim=1)


def _read(head, values, lengths):
    return _mean(head, read_states(head._module, head.width, values, lengths), lengths)


def read_states(module, width, values, lengths):
    """Means of the states of both directions, at each vector: shape (n_bags, longest, width)."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    # No kernel of the CPU takes bfloat16 here.
    with torch.autocast(values.device.type, enabled=False):
        packed = pack_padded_sequence(
            values.float(), lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(module(packed)[0], batch_first=True, total_length=values.shape[1])
    return (states[:, :, :width] + states[:, :, width:]) / 2


def _transform(head, values, lengths):
    from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

    parts, inside = head._named, _inside(values, lengths)
    n_bags, longest = inside.shape
    # One place is always open, so that an empty bag gives numbers; the mean leaves it out.
    mask = inside.clone()
    mask[:, 0] = True
    rows = values @ parts["input.weight"] + parts["input.bias"] + _positions(longest, head.width, values)
    for depth in range(TRANSFORMER_LAYERS):

        def linear(name, batch, depth=depth):
            return batch @ parts[f"{depth}.{name}.weight"] + parts[f"{depth}.{name}.bias"]

        def norm(name, batch, depth=depth):
            weight, bias = parts[f"{depth}.{name}.weight"], parts[f"{depth}.{name}.bias"]
            return layer_norm(batch, (head.width,), weight, bias)

        heads = n_heads_of(head.width)
        query, key, value = (
            part.view(n_bags, longest, heads, -1).transpose(1, 2)
            for part in linear("qkv", norm("first", rows)).chunk(3, dim=2)
        )
        attended = scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        rows = rows + linear("out", attended.transpose(1, 2).reshape(n_bags, longest, head.width))
        rows = rows + linear("down", gelu(linear("up", norm("second", rows))))
    return _mean(head, rows, lengths)


def _positions(longest, width, like):
    import torch

    return torch.from_numpy(positions(longest, width)).to(like)


_POOL = {"mean": _mean, "attention": _attend, "gru": _read, "lstm": _read, "transformer": _transform}
