"""Views with more columns than rows, in bases of their rows."""

import numpy as np
from scipy import sparse

from mmfeat.fusion._moments import column_means


class SparseRowBasis:
    """Orthonormal basis of the centred rows of a sparse matrix that exists only as a product with given coordinates.

    The basis itself would be dense, and as wide as the matrix.

    Parameters
    ----------
    matrix : csr_array of shape (n_samples, n_features)
    mean : ndarray of shape (n_features,)
    coefficients : ndarray of shape (n_samples, rank)
        The basis as sums of centred rows.
    """

    def __init__(self, matrix, mean, coefficients):
        self._matrix, self._mean, self._coefficients = matrix, mean, coefficients

    def __matmul__(self, directions):
        """Directions in the basis, ndarray of shape (rank, n), as directions of the columns."""
        rows = self._coefficients @ directions
        return self._matrix.T @ rows - np.outer(self._mean, rows.sum(axis=0))


def row_basis(matrix, mean):
    """Centred rows in an orthonormal basis of their span: exact, and narrow when there are more columns than rows.

    Parameters
    ----------
    matrix : ndarray or csr_array of shape (n_samples, n_features)
        With fewer rows than columns; a sparse one is never made dense.
    mean : ndarray of shape (n_features,)

    Returns
    -------
    scores : ndarray of shape (n_samples, rank)
        Coordinates of the centred rows.
    basis : ndarray of shape (n_features, rank) or SparseRowBasis
        Orthonormal columns; their products with the scores give the centred rows back.
    """
    matrix = matrix.astype(np.float64)
    if not sparse.issparse(matrix):
        left, values, basis = np.linalg.svd(matrix - mean, full_matrices=False)
        kept = values > values[0] * max(matrix.shape) * np.finfo(np.float64).eps
        return left[:, kept] * values[kept], basis[kept].T
    gram = (matrix @ matrix.T).toarray()
    against_mean = matrix @ mean
    gram += mean @ mean - against_mean[:, None] - against_mean[None, :]
    values, vectors = np.linalg.eigh(gram)
    # The Gram matrix squares the singular values, so half of the digits are noise.
    kept = values > max(values[-1], 0) * max(matrix.shape) * np.finfo(np.float64).eps
    values, vectors = np.sqrt(values[kept][::-1]), vectors[:, kept][:, ::-1]
    return vectors * values, SparseRowBasis(matrix, mean, vectors / values)


def narrow(view, groups, center):
    """A view in a basis of its distinct rows, where these are fewer than its columns.

    Parameters
    ----------
    view : ndarray or csr_array of shape (n_samples, n_features)
    groups : ndarray of shape (n_samples,), dtype int
        Rows that may be the same, from 0.
    center : bool
        False takes the rows as they are, not less their means.

    Returns
    -------
    view : ndarray or csr_array of shape (n_samples, rank)
        As it is where a basis is no gain.
    basis : ndarray of shape (n_features, rank), SparseRowBasis or None
    """
    if groups.max() + 1 >= view.shape[1]:
        return view, None
    _, first = np.unique(groups, return_index=True)
    repeated = view[first][groups]
    differs = abs(repeated - view).max() if sparse.issparse(view) else np.abs(repeated - view).max()
    if differs > 0:
        return narrow(view, np.arange(view.shape[0]), center)
    scores, basis = row_basis(view[first], column_means(view) if center else np.zeros(view.shape[1]))
    return scores[groups], basis


def expanded(directions, basis, n_columns):
    """Directions in a basis, or None, as directions of the columns, filled up with zeros to so many."""
    return padded(directions if basis is None else basis @ directions, n_columns)


def padded(matrix, n_columns):
    """The first columns of a matrix, filled up with zeros to so many."""
    missing = n_columns - matrix.shape[1]
    return matrix[:, :n_columns] if missing <= 0 else np.pad(matrix, ((0, 0), (0, missing)))
