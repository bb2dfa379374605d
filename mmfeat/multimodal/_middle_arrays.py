"""What a network that fuses two sides makes of them, in numpy: the same sums as ``_middle_networks``, without torch."""

from typing import NamedTuple

import numpy as np
from scipy.special import erf, expit, softmax

from mmfeat.fusion._learning._batches import Bags, padded
from mmfeat.fusion._learning._heads import apply_layers
from mmfeat.fusion._learning._members import standardised
from mmfeat.fusion._learning._tower_arrays import apply_tower, n_heads_of, positions

SIDES = ("image", "text")
EPSILON = 1e-5  # of the norms
_ROWS = 1 << 10
# Vectors of both sides that are held at a time.
_VECTORS = 1 << 14


class Form(NamedTuple):
    """What a network is; the meanings are those of the parameters of ``AttentionFusionClassifier``."""

    fusion: str
    n_components: int
    hidden: tuple
    tower: str
    tower_width: int
    falls_back: bool


def predict_scores(network, views, present):
    """Scores of the classes, before the softmax.

    Parameters
    ----------
    network : dict
        "form", "named", "readers", "classes" from ``MiddleNetwork.export``, and "views" with the mean, scale and longest of
        each side.
    views : pair of ndarray, csr matrix, or list of ndarray
    present : ndarray of shape (n, 2), dtype bool
        Whether the row has the side; looked at where the form falls back on the other.

    Returns
    -------
    scores : ndarray of shape (n, n_outputs), dtype float32
    """
    lengths = np.zeros(len(present), dtype=np.int64)
    for view, known in zip(views, network["views"], strict=True):
        if isinstance(view, list):
            longest = known["longest"]
            lengths += np.array([len(bag) if longest is None else min(len(bag), longest) for bag in view])
    order = np.argsort(lengths, kind="stable")  # so that little of a block is padding
    scores = None
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < min(len(order), start + _ROWS) and (stop + 1 - start) * lengths[order[stop]] <= _VECTORS:
            stop += 1
        rows = order[start:stop]
        batch = [_take(view, rows, known) for view, known in zip(views, network["views"], strict=True)]
        some = apply_network(network, batch, present[rows])
        scores = np.empty((len(order), some.shape[1]), dtype=np.float32) if scores is None else scores
        scores[rows] = some
        start = stop
    return scores


def _take(view, rows, known):
    if isinstance(view, list):
        return padded([view[row] for row in rows], known["mean"], known["scale"], known["longest"])
    batch = standardised(view[rows], known["mean"], known["scale"])
    return np.asarray(batch.toarray() if hasattr(batch, "toarray") else batch, dtype=np.float32)


def apply_network(network, batch, present):
    """Scores of some rows.

    Parameters
    ----------
    network : dict
    batch : pair of ndarray of shape (n, width), or Bags
        Centred and scaled.
    present : ndarray of shape (n, 2), dtype bool

    Returns
    -------
    scores : ndarray of shape (n, n_outputs)
    """
    form, named = Form(**network["form"]), network["named"]
    fused = _FUSE[form.fusion](form, named, network["readers"], batch, present)
    return apply_layers(network["classes"], fused)


def _read(reader, side):
    return side if reader is None else apply_tower(reader, side)


def _linear(named, name, rows):
    return rows @ named[f"{name}.weight"] + named[f"{name}.bias"]


def _gated(form, named, readers, batch, present):
    sides = [_read(reader, side) for reader, side in zip(readers, batch, strict=True)]
    image, text = (np.tanh(_linear(named, name, rows)) for name, rows in zip(SIDES, sides, strict=True))
    gate = expit(_linear(named, "gate", np.hstack(sides)))
    if form.falls_back:
        gate = np.where(present[:, 1:], gate, 1)
        gate = np.where(present[:, :1], gate, 0)
    return gate * image + (1 - gate) * text


def _bilinear(form, named, readers, batch, present):
    factors = []
    for name, reader, side, there in zip(SIDES, readers, batch, present.T, strict=True):
        factor = np.tanh(_linear(named, name, _read(reader, side)))
        factors.append(np.where(there[:, None], factor, named[f"{name}.absent"]) if form.falls_back else factor)
    return factors[0] * factors[1]


def _cross_attention(form, named, _readers, batch, present):
    sides = []
    for name, side, there in zip(SIDES, batch, present.T, strict=True):
        bags = side if isinstance(side, Bags) else Bags(side[:, None], np.ones(len(side), dtype=np.int64))
        lengths = bags.lengths * there if form.falls_back else bags.lengths
        vectors = _linear(named, f"{name}.input", bags.values)
        if isinstance(side, Bags):
            vectors = vectors + positions(vectors.shape[1], form.n_components)
        sides.append(Bags(vectors, lengths))
    pooled = []
    for name, own, other in zip(SIDES, sides, sides[::-1], strict=True):
        part = {key.partition(".")[2]: array for key, array in named.items() if key.startswith(f"{name}.")}
        rows = own.values + _attend(part, own, other)
        up = _linear(part, "up", _normed(part, "third", rows))
        rows = rows + _linear(part, "down", up * (0.5 * (1 + erf(up / np.sqrt(np.float32(2))))))
        pooled.append(_mean(rows, own.lengths))
    return np.hstack(pooled)


def _mean(rows, lengths):
    inside = np.arange(rows.shape[1]) < lengths[:, None]
    return (rows * inside[:, :, None]).sum(axis=1) / np.maximum(lengths, 1)[:, None].astype(np.float32)


def _attend(part, own, other):
    seen = _normed(part, "second", other.values)
    query, key, value = (
        _linear(part, name, rows)
        for name, rows in (("query", _normed(part, "first", own.values)), ("key", seen), ("value", seen))
    )
    heads = n_heads_of(query.shape[-1])
    query, key, value = (rows.reshape(*rows.shape[:2], heads, -1).transpose(0, 2, 1, 3) for rows in (query, key, value))
    inside = (np.arange(key.shape[2]) < other.lengths[:, None])[:, None, None, :]
    scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(np.float32(query.shape[-1]))
    # What is empty is attended to with weights of zero; the zero score keeps its softmax a number.
    shares = softmax(np.where(inside | ~inside.any(axis=3, keepdims=True), scores, -np.inf), axis=3) * inside
    return _linear(part, "out", (shares @ value).transpose(0, 2, 1, 3).reshape(own.values.shape))


def _normed(part, name, rows):
    centred = rows - rows.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
    return centred / deviation * part[f"{name}.weight"] + part[f"{name}.bias"]


_FUSE = {"bilinear": _bilinear, "cross_attention": _cross_attention, "gated": _gated}
