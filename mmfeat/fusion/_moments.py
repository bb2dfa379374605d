"""Means and centred cross products of two views: all that the linear fusions need to know of the data."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.utils import gen_batches

# Rows turned to float64 at a time: bounds the copy of a float32 view.
_BLOCK_ROWS = 8192


@dataclass
class Moments:
    """Sufficient statistics of two views, in float64.

    Parameters
    ----------
    n : int
        Number of rows.
    mean_x : ndarray of shape (n_features,)
    mean_y : ndarray of shape (n_targets,)
    xx : ndarray of shape (n_features, n_features)
        Sum over the rows of the outer products of the centred first view.
    yy : ndarray of shape (n_targets, n_targets)
    xy : ndarray of shape (n_features, n_targets)
    """

    n: int
    mean_x: np.ndarray
    mean_y: np.ndarray
    xx: np.ndarray
    yy: np.ndarray
    xy: np.ndarray

    @classmethod
    def of(cls, X, y):
        """Statistics of two matrices, dense or sparse; a sparse one is centred by algebra and never made dense."""
        mean_x, mean_y = column_means(X), column_means(y)
        n = X.shape[0]
        xx, yy, xy = (np.zeros((len(a), len(b))) for a, b in ((mean_x, mean_x), (mean_y, mean_y), (mean_x, mean_y)))
        for rows in gen_batches(n, _BLOCK_ROWS):
            block_x, block_y = (_centred_if_dense(view[rows], mean) for view, mean in ((X, mean_x), (y, mean_y)))
            for total, left, right in ((xx, block_x, block_x), (yy, block_y, block_y), (xy, block_x, block_y)):
                product = left.T @ right
                total += product.toarray() if sparse.issparse(product) else product
        # A dense block was centred before the product, which keeps the digits; a sparse one is corrected after it.
        x_left, y_left = sparse.issparse(X), sparse.issparse(y)
        if x_left:
            xx -= n * np.outer(mean_x, mean_x)
        if y_left:
            yy -= n * np.outer(mean_y, mean_y)
        if x_left and y_left:
            xy -= n * np.outer(mean_x, mean_y)
        return cls(n, mean_x, mean_y, xx, yy, xy)

    def __add__(self, other):
        """Statistics of the rows of both (Chan, Golub and LeVeque 1979, equation 2.1 for matrices)."""
        n = self.n + other.n
        weight = self.n * other.n / n
        step_x, step_y = other.mean_x - self.mean_x, other.mean_y - self.mean_y
        return Moments(
            n,
            self.mean_x + step_x * (other.n / n),
            self.mean_y + step_y * (other.n / n),
            self.xx + other.xx + weight * np.outer(step_x, step_x),
            self.yy + other.yy + weight * np.outer(step_y, step_y),
            self.xy + other.xy + weight * np.outer(step_x, step_y),
        )


def column_means(matrix):
    """Means of the columns in float64, ndarray of shape (n_features,)."""
    if sparse.issparse(matrix):
        return np.asarray(matrix.sum(axis=0, dtype=np.float64)).ravel() / matrix.shape[0]
    return matrix.mean(axis=0, dtype=np.float64)


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
    basis : ndarray of shape (n_features, rank)
        Orthonormal columns; ``scores @ basis.T`` gives the centred rows back.
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
    basis = (matrix.T @ vectors - np.outer(mean, vectors.sum(axis=0))) / values
    return vectors * values, basis


def _centred_if_dense(block, mean):
    if sparse.issparse(block):
        return block.astype(np.float64)
    return block.astype(np.float64) - mean
