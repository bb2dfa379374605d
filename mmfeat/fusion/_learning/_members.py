"""Rows of the common space from trained heads, in numpy."""

import numpy as np
from scipy import sparse

from mmfeat.fusion._learning._batches import padded
from mmfeat.fusion._learning._heads import apply_layers
from mmfeat.fusion._learning._tower_arrays import apply_tower
from mmfeat.utils._rows import unit_rows

# Vectors of padded bags at a time, or rows of a matrix.
_BLOCK = 1 << 15


def embed_view(members, side, view, *, unit):
    """Embed a view with every member; unit rows are put side by side so that they are unit rows again.

    Parameters
    ----------
    members : list of dict
    side : {"x", "y"}
    view : ndarray, sparse matrix, or list of ndarray
    unit : bool

    Returns
    -------
    rows : ndarray of shape (n_rows, n_components of all members)
    """
    parts = [_embed(member[side], view) for member in members]
    if unit:
        parts = [unit_rows(part) for part in parts]
    joined = np.hstack(parts) if len(parts) > 1 else parts[0]
    return joined * np.asarray(len(parts) ** -0.5, dtype=joined.dtype) if len(parts) > 1 else joined


def standardised(view, mean, scale):
    """A matrix less its means and over its scale; a sparse one is not centred."""
    if sparse.issparse(view):
        return view * np.asarray(1 / scale, dtype=view.dtype)
    return (view - mean.astype(view.dtype)) / np.asarray(scale, dtype=view.dtype)


def _embed(side, view):
    if isinstance(view, list):
        return _embed_bags(side, view)
    blocks = range(0, view.shape[0], _BLOCK)
    parts = [
        apply_layers(side["head"], standardised(view[at : at + _BLOCK], side["mean"], side["scale"])) for at in blocks
    ]
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _embed_bags(side, bags):
    """Bags in the order of their lengths, so that little of a block is padding."""
    longest = side["longest"]
    lengths = np.array([len(bag) if longest is None else min(len(bag), longest) for bag in bags])
    order = np.argsort(lengths, kind="stable")
    rows = None
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * max(1, lengths[order[stop]]) <= _BLOCK:
            stop += 1
        chosen = order[start:stop]
        block = padded([bags[row] for row in chosen], side["mean"].astype(np.float32), side["scale"], longest)
        embedded = apply_tower(side["head"], block)
        rows = np.empty((len(bags), embedded.shape[1]), dtype=np.float32) if rows is None else rows
        rows[chosen] = embedded
        start = stop
    return rows
