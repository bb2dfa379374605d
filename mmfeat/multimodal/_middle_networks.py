"""Networks that fuse the two sides of a pair, in torch to train; ``_middle_arrays`` does the same in numpy to use."""

from typing import NamedTuple

from mmfeat.fusion._learning._batches import Bags, BagView
from mmfeat.fusion._learning._heads import LayersHead, new_layer
from mmfeat.fusion._learning._tower_arrays import n_heads_of, positions
from mmfeat.fusion._learning._towers import TowerHead
from mmfeat.multimodal._middle_arrays import EPSILON, SIDES


class Fused(NamedTuple):
    """What a network makes of a batch, as tensors."""

    scores: object
    """Of the classes, shape (n, n_outputs)."""
    sides: object
    """The vectors of picture and words before they meet, each of shape (n, n_components)."""


class MiddleNetwork:
    """Two sides, what joins them, and the scores of the classes.

    Parameters
    ----------
    form : Form
    views : pair of MatrixView or BagView
    n_outputs : int
    generator : torch.Generator
    device : str
    """

    def __init__(self, form, views, n_outputs, generator, device):
        self.form = form
        self.n_components = form.n_components
        self._readers = [_new_reader(form, view, generator, device) for view in views]
        widths = [
            view.width if reader is None else form.tower_width
            for view, reader in zip(views, self._readers, strict=True)
        ]
        tensors = _NEW[form.fusion](form, widths, generator)
        self._named = {name: part.to(device).requires_grad_() for name, part in tensors.items()}
        n_fused = form.n_components * (2 if form.fusion == "cross_attention" else 1)
        self._classes = LayersHead(n_fused, (*form.hidden, n_outputs), "relu", generator, device)

    def parameters(self):
        """Tensors that are trained, in a fixed order."""
        readers = [part for reader in self._readers if reader is not None for part in reader.parameters()]
        return [*readers, *self._named.values(), *self._classes.parameters()]

    def __call__(self, batch, present, dropout, noise):
        """Scores and the vectors of both sides; `dropout` of the inputs, and of what was fused, is left out."""
        read = _read_vectors if self.form.fusion == "cross_attention" else _read
        sides = read(self, batch, present, dropout, noise)
        fused, own = _FUSE[self.form.fusion](self, sides, present)
        return Fused(self._classes(fused, dropout, noise), own)

    def export(self):
        """Everything as plain values and numpy arrays: what ``_middle_arrays.apply_network`` takes."""
        return {
            "form": self.form._asdict(),
            "named": {name: part.detach().cpu().numpy().copy() for name, part in self._named.items()},
            "readers": [None if reader is None else reader.export() for reader in self._readers],
            "classes": self._classes.export(),
        }

    def linear(self, name, rows):
        """A layer by its name."""
        return rows @ self._named[f"{name}.weight"] + self._named[f"{name}.bias"]

    def norm(self, name, rows):
        """Rows of mean 0 and deviation 1, scaled and moved."""
        from torch.nn.functional import layer_norm

        weight, bias = self._named[f"{name}.weight"], self._named[f"{name}.bias"]
        return layer_norm(rows, (self.n_components,), weight, bias, EPSILON)


def _new_reader(form, view, generator, device):
    """What makes one vector of a bag, where there are bags and one vector is wanted."""
    if form.fusion == "cross_attention" or not isinstance(view, BagView):
        return None
    return TowerHead(view.width, form.tower, form.tower_width, (form.tower_width,), "relu", generator, device)


def _layer(name, n_in, n_out, generator):
    weight, bias = new_layer(n_in, n_out, generator)
    return {f"{name}.weight": weight, f"{name}.bias": bias}


def _new_gated(form, widths, generator):
    tensors: dict = {}
    for name, width in zip(SIDES, widths, strict=True):
        tensors |= _layer(name, width, form.n_components, generator)
    return tensors | _layer("gate", sum(widths), form.n_components, generator)


def _new_bilinear(form, widths, generator):
    import torch

    tensors: dict = {}
    for name, width in zip(SIDES, widths, strict=True):
        tensors |= _layer(name, width, form.n_components, generator)
        # The product of two small numbers hardly has a gradient. From 1 both sides first count by themselves as well.
        tensors[f"{name}.bias"] += 1
        if form.falls_back:
            tensors[f"{name}.absent"] = torch.ones(form.n_components).tanh()
    return tensors


def _new_cross_attention(form, widths, generator):
    import torch

    width = form.n_components
    tensors: dict = {}
    for name, n_features in zip(SIDES, widths, strict=True):
        tensors |= _layer(f"{name}.input", n_features, width, generator)
        for part in ("query", "key", "value", "out"):
            tensors |= _layer(f"{name}.{part}", width, width, generator)
        tensors |= _layer(f"{name}.up", width, 2 * width, generator)
        tensors |= _layer(f"{name}.down", 2 * width, width, generator)
        for norm in ("first", "second", "third"):
            tensors |= {f"{name}.{norm}.weight": torch.ones(width), f"{name}.{norm}.bias": torch.zeros(width)}
    return tensors


def _read(network, batch, _present, dropout, noise):
    """One vector for each side of a row."""
    return [
        noise.dropped(side, dropout) if reader is None else reader(side, dropout, noise)
        for reader, side in zip(network._readers, batch, strict=True)
    ]


def _read_vectors(network, batch, present, dropout, noise):
    """Vectors of a common width for each side of a row; a matrix is bags of one."""
    import torch

    sides = []
    for column, (name, side) in enumerate(zip(SIDES, batch, strict=True)):
        bags = side if isinstance(side, Bags) else Bags(side[:, None], torch.ones_like(side[:, 0], dtype=torch.int64))
        lengths = bags.lengths * present[:, column] if network.form.falls_back else bags.lengths
        vectors = network.linear(f"{name}.input", noise.dropped(bags.values, dropout))
        if isinstance(side, Bags):
            vectors = vectors + torch.from_numpy(positions(vectors.shape[1], network.n_components)).to(vectors)
        sides.append(Bags(vectors, lengths))
    return sides


def _gated(network, sides, present):
    import torch

    image, text = (network.linear(name, rows).tanh() for name, rows in zip(SIDES, sides, strict=True))
    gate = network.linear("gate", torch.cat(sides, dim=1)).sigmoid()
    if network.form.falls_back:
        gate = torch.where(present[:, 1:], gate, 1)
        gate = torch.where(present[:, :1], gate, 0)
    return gate * image + (1 - gate) * text, (image, text)


def _bilinear(network, sides, present):
    import torch

    own = [network.linear(name, rows).tanh() for name, rows in zip(SIDES, sides, strict=True)]
    factors = own
    if network.form.falls_back:
        factors = [
            torch.where(present[:, column, None], rows, network._named[f"{name}.absent"])
            for column, (name, rows) in enumerate(zip(SIDES, own, strict=True))
        ]
    return factors[0] * factors[1], own


def _cross_attention(network, sides, _present):
    import torch
    from torch.nn.functional import gelu

    pooled = []
    for name, own, other in zip(SIDES, sides, sides[::-1], strict=True):
        rows = own.values + _attend(network, name, own, other)
        up = network.linear(f"{name}.up", network.norm(f"{name}.third", rows))
        pooled.append(_mean(rows + network.linear(f"{name}.down", gelu(up)), own.lengths))
    return torch.cat(pooled, dim=1), [_mean(side.values, side.lengths) for side in sides]


def _attend(network, name, own, other):
    import torch

    seen = network.norm(f"{name}.second", other.values)
    query, key, value = (
        network.linear(f"{name}.{part}", rows)
        for part, rows in (("query", network.norm(f"{name}.first", own.values)), ("key", seen), ("value", seen))
    )
    heads = n_heads_of(network.n_components)
    query, key, value = (rows.view(*rows.shape[:2], heads, -1).transpose(1, 2) for rows in (query, key, value))
    inside = (torch.arange(key.shape[2], device=key.device) < other.lengths[:, None])[:, None, None, :]
    scores = query @ key.mT / query.shape[-1] ** 0.5
    # What is empty is attended to with weights of zero; the zero score keeps its softmax, and the gradient, a number.
    shares = scores.masked_fill(~inside & inside.any(dim=3, keepdim=True), float("-inf")).softmax(dim=3) * inside
    return network.linear(f"{name}.out", (shares @ value).transpose(1, 2).reshape(own.values.shape))


def _mean(values, lengths):
    import torch

    inside = torch.arange(values.shape[1], device=values.device) < lengths[:, None]
    return (values * inside[:, :, None]).sum(dim=1) / lengths.clamp(min=1)[:, None]


_NEW = {"bilinear": _new_bilinear, "cross_attention": _new_cross_attention, "gated": _new_gated}
_FUSE = {"bilinear": _bilinear, "cross_attention": _cross_attention, "gated": _gated}
