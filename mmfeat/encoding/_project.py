"""Linear projection of descriptors before they are encoded: PCA, whitening, independent components."""

import numpy as np
from sklearn.decomposition import FastICA

# Directions whose variance is below this share of the largest hold rounding errors alone.
_NO_VARIANCE = 1e-10
ROUNDING = 1e-22
"""Variance that a constant column may seem to have by the rounding of its float64 mean, as a share of its square."""


class Projection:
    """A shift and a matrix.

    Parameters
    ----------
    mean : ndarray of shape (d,)
    matrix : ndarray of shape (d, n_out)

    Attributes
    ----------
    mean : ndarray of shape (d,)
    matrix : ndarray of shape (d, n_out)
    """

    def __init__(self, mean, matrix):
        self.mean = mean
        self.matrix = matrix

    def apply(self, rows):
        """Project rows in their own dtype."""
        return (rows - self.mean.astype(rows.dtype)) @ self.matrix.astype(rows.dtype)


def learn_projection(rows, n_components, kind, rng):
    """Learn a projection from a sample of descriptors.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
    n_components : int
        Leading principal directions that are kept, at most `d`.
    kind : {"pca", "whiten", "ica"}
        Rotate; rotate and divide by the standard deviations; rotate once more to independent components. Directions
        without variance come out as zeros in the last two.
    rng : RandomState

    Returns
    -------
    projection : Projection
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    covariance = _covariance(rows, mean)
    variances, directions = np.linalg.eigh(covariance)
    variances, directions = variances[::-1][:n_components], directions[:, ::-1][:, :n_components]
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.where(directions[largest, np.arange(n_components)] < 0, -1, 1)
    if kind == "pca":
        return Projection(mean, directions)
    least = max(_NO_VARIANCE * variances[0], ROUNDING * (mean @ mean), np.finfo(np.float64).tiny)
    alive = variances > least
    matrix = np.where(alive, directions / np.sqrt(np.where(alive, variances, 1)), 0)
    if kind == "ica" and alive.any():
        matrix[:, alive] = matrix[:, alive] @ _independent(Projection(mean, matrix[:, alive]), rows, rng)
    return Projection(mean, matrix)


def _covariance(rows, mean, block=8192):
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for start in range(0, len(rows), block):
        centred = rows[start : start + block] - mean
        total += centred.T @ centred
    return total / max(len(rows) - 1, 1)


def _independent(whitening, rows, rng):
    # The rotation is found in the dtype of the rows: float32 takes half the time, and 1e-4 is where FastICA stops.
    return FastICA(whiten=False, random_state=rng).fit(whitening.apply(rows)).components_.T
