"""Whitening and the leading part of a singular value decomposition, by the cheapest stable way."""

import numpy as np
from scipy import linalg

_EPS = np.finfo(np.float64).eps
# Below this share of the largest singular value, squaring would have lost the digits.
_SQUARED_FLOOR = 1e-5


class Whitener:
    """Factor of a covariance ``C + reg * trace(C) / n_features * I`` of one view.

    ``forward`` multiplies by the inverse factor, so that what was a cross-covariance is one of white scores; ``back`` turns
    directions of the white scores into directions of the features.

    Parameters
    ----------
    covariance : ndarray of shape (n, n)
        Covariance of the view, possibly in a basis of its rows.
    reg : float
        Ridge as a share of the mean variance of a column, at least 0.
    n_features : int
        Number of columns of the view itself.
    """

    def __init__(self, covariance, reg, n_features):
        ridged = covariance.copy()
        ridged.flat[:: len(ridged) + 1] += reg * np.trace(covariance) / n_features
        # With all variances one, a column is judged by what the others leave of it and not by its unit of measure.
        # Rounding can leave a variance of nothing below 0.
        deviations = np.sqrt(np.maximum(np.diagonal(ridged), 0))
        self._scale = np.where(deviations > 0, deviations, 1)[:, None]
        ridged /= self._scale
        ridged /= self._scale.T
        self._factor = _cholesky(ridged)
        self._root = pseudo_root(ridged) if self._factor is None else None

    def forward(self, matrix):
        """Inverse factor times `matrix`."""
        matrix = matrix / self._scale
        if self._root is not None:
            return self._root.T @ matrix
        return linalg.solve_triangular(self._factor, matrix, trans="T", check_finite=False)

    def back(self, directions):
        """Transposed inverse factor times `directions`."""
        if self._root is not None:
            return self._root @ directions / self._scale
        return linalg.solve_triangular(self._factor, directions, check_finite=False) / self._scale


def leading_svd(matrix, k):
    """Singular value decomposition cut to `k` components.

    Parameters
    ----------
    matrix : ndarray of shape (m, n)
    k : int

    Returns
    -------
    left : ndarray of shape (m, k)
    values : ndarray of shape (k,)
        Descending.
    right : ndarray of shape (n, k)

    Notes
    -----
    For a small share of the components the eigenvectors of the smaller Gram matrix are several times faster; where the
    last of them is so weak that squaring loses its digits, the full decomposition is made.
    """
    k, narrow = min(k, *matrix.shape), min(matrix.shape)
    if narrow == 0:
        return np.zeros((matrix.shape[0], 0)), np.zeros(0), np.zeros((matrix.shape[1], 0))
    if narrow > 64 and k <= narrow // 2:
        tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
        # A part of the spectrum is found one by one, which beyond a quarter costs more than divide and conquer for all.
        how = {"subset_by_index": (narrow - k, narrow - 1)} if k <= narrow // 4 else {"driver": "evd"}
        squares, vectors = linalg.eigh(tall.T @ tall, overwrite_a=True, check_finite=False, **how)
        values, vectors = np.sqrt(np.maximum(squares[: -k - 1 : -1], 0)), vectors[:, : -k - 1 : -1]
        if values[-1] > _SQUARED_FLOOR * values[0]:
            others = tall @ vectors / values
            return (others, values, vectors) if tall is matrix else (vectors, values, others)
    left, values, right = linalg.svd(matrix, full_matrices=False, check_finite=False)
    return left[:, :k], values[:k], right[:k].T


def pseudo_root(matrix):
    """Root of the pseudo-inverse of a positive semidefinite matrix.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)

    Returns
    -------
    root : ndarray of shape (n, rank)
        ``root @ root.T`` is the pseudo-inverse; only directions above rounding are kept, the strongest first.
    """
    if not len(matrix):
        return matrix
    values, vectors = linalg.eigh(matrix, check_finite=False)
    kept = values > max(values[-1], 0) * len(values) * _EPS
    return vectors[:, kept][:, ::-1] / np.sqrt(values[kept][::-1])


def _cholesky(matrix):
    """Upper factor, or None where the matrix has no full rank to the digits that there are."""
    if not len(matrix):
        return None
    try:
        factor = linalg.cholesky(matrix, lower=False, check_finite=False)
    except linalg.LinAlgError:
        return None
    pivots = np.diagonal(factor)
    return factor if pivots.min() ** 2 > len(matrix) * _EPS * pivots.max() ** 2 else None
