"""Heads that keep a bag a bag: each region or word becomes a vector of unit length in the common space."""

import numpy as np

from mmfeat.fusion._learning._batches import padded
from mmfeat.fusion._learning._heads import LayersHead, apply_layers, arrays_of
from mmfeat.fusion._learning._tower_arrays import gru_states
from mmfeat.fusion._learning._towers import read_states, recurrent
from mmfeat.utils._rows import unit_rows

VECTOR_TOWERS = ("gru", "linear")
# Vectors that are projected at a time.
_BLOCK = 1 << 13


class LinearVectors:
    """One linear layer on each vector.

    Parameters
    ----------
    n_features, n_components : int
    generator : torch.Generator
    device : str
    """

    def __init__(self, n_features, n_components, generator, device):
        self.n_components = n_components
        self._layers = LayersHead(n_features, (n_components,), "relu", generator, device)

    def parameters(self):
        """Tensors that are trained, in a fixed order."""
        return self._layers.parameters()

    def __call__(self, bags, dropout, noise):
        """Vectors of unit length, and zeros as padding: shape (n_bags, longest, n_components)."""
        n_bags, longest, width = bags.values.shape
        rows = self._layers(bags.values.reshape(-1, width), dropout, noise)
        return _unit_inside(rows.float().view(n_bags, longest, -1), bags.lengths)

    def export(self):
        """The layer as numpy arrays: what :func:`embed_vectors` takes."""
        return self._layers.export()


class GruVectors:
    """A gated recurrent network that reads in both directions; a word is the mean of its two states.

    Parameters
    ----------
    n_features, n_components : int
    generator : torch.Generator
    device : str
    """

    def __init__(self, n_features, n_components, generator, device):
        self.n_components = n_components
        self._module = recurrent("gru", n_features, n_components, generator).to(device)

    def parameters(self):
        """Tensors that are trained, in a fixed order."""
        return list(self._module.parameters())

    def __call__(self, bags, dropout, noise):
        """Vectors of unit length, and zeros as padding: shape (n_bags, longest, n_components)."""
        states = read_states(self._module, self.n_components, noise.dropped(bags.values, dropout), bags.lengths)
        return _unit_inside(states, bags.lengths)

    def export(self):
        """The network as numpy arrays: what :func:`embed_vectors` takes."""
        names = [name for name, _ in self._module.named_parameters()]
        parameters = arrays_of(self.parameters())
        return {"kind": "gru", "width": self.n_components, "names": names, "parameters": parameters}


def _unit_inside(vectors, lengths):
    import torch
    from torch.nn.functional import normalize

    inside = torch.arange(vectors.shape[1], device=vectors.device) < lengths[:, None]
    vectors = normalize(vectors, dim=2)
    return vectors if bool(inside.all()) else vectors * inside[:, :, None]


def embed_vectors(side, bags):
    """Vectors of the common space, in numpy.

    Parameters
    ----------
    side : dict
        "mean", "scale", "longest" and "head", the latter from ``export``.
    bags : list of ndarray of shape (n_i, n_features)

    Returns
    -------
    vectors : list of ndarray of shape (n_i, n_components), dtype float32
        Of unit length; of at most "longest" vectors a bag.
    """
    head, longest = side["head"], side["longest"]
    mean, scale = side["mean"].astype(np.float32), np.float32(side["scale"])
    if head["kind"] == "gru":
        return _embed_by_gru(side, bags)
    embedded = []
    for part in _of_bounded_length([bag[:longest] for bag in bags]):
        rows = np.concatenate(part).astype(np.float32)
        rows -= mean
        rows /= scale
        rows = unit_rows(apply_layers(head, rows))
        embedded += np.split(rows, np.cumsum([len(bag) for bag in part])[:-1])
    return embedded


def _of_bounded_length(bags):
    """Runs of bags that have some thousands of vectors together, or are one bag."""
    part: list = []
    length = 0
    for bag in bags:
        if part and length + len(bag) > _BLOCK:
            yield part
            part, length = [], 0
        part.append(bag)
        length += len(bag)
    yield part


def _embed_by_gru(side, bags):
    """In the order of the lengths, so that little of a block is padding."""
    head = side["head"]
    named = dict(zip(head["names"], head["parameters"], strict=True))
    order = np.argsort([len(bag) for bag in bags], kind="stable")
    embedded: list = [None] * len(bags)
    for part in _of_bounded_length([_Numbered(bags[row][: side["longest"]], row) for row in order]):
        block = padded([item.bag for item in part], side["mean"].astype(np.float32), side["scale"])
        states = gru_states(named, block.values, block.lengths, head["width"])
        for item, rows in zip(part, states, strict=True):
            embedded[item.row] = unit_rows(rows[: len(item)])
    return embedded


class _Numbered:
    """A bag that knows its place."""

    def __init__(self, bag, row):
        self.bag, self.row = bag, row

    def __len__(self):
        return len(self.bag)
