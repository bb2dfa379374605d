"""The canonical directions of what two heads give: their correlations alone leave them open."""

import numpy as np

from mmfeat.fusion._cca import CCA

# Rows that the directions are found from during training, which judges an epoch by them.
_SOME = 4096


def canonical_maps(x, y, ridge):
    """Affine maps of two embedded views to their canonical variates, weighted by their correlations.

    Parameters
    ----------
    x, y : ndarray of shape (n, k)
    ridge : float

    Returns
    -------
    maps : list of two (ndarray of shape (k, k'), ndarray of shape (k',))
        Weight and bias of each side.
    correlations : ndarray of shape (k',)
    """
    cca = CCA(min(x.shape[1], len(x) - 1), reg=ridge).fit(x.astype(np.float64), y.astype(np.float64))
    weights = cca.canonical_correlations_**cca.power
    pairs = ((cca.x_rotations_, cca.x_mean_), (cca.y_rotations_, cca.y_mean_))
    maps = [(rotations * weights, -mean @ (rotations * weights)) for rotations, mean in pairs]
    return maps, cca.canonical_correlations_


def some_rows(rows, seed):
    """A part of many rows, drawn at random."""
    return rows if len(rows) <= _SOME else np.random.default_rng(seed).choice(rows, _SOME, replace=False)


def fold(head_state, weight, bias):
    """Put an affine map behind the last layer of a head.

    Parameters
    ----------
    head_state : dict
        As heads export it; its last two parameters are changed.
    weight : ndarray of shape (k, k')
    bias : ndarray of shape (k',)
    """
    *before, last_weight, last_bias = head_state["parameters"]
    folded = [last_weight @ weight, last_bias @ weight + bias]
    head_state["parameters"] = [*before, *(part.astype(np.float32) for part in folded)]
