"""Means and centred cross products of two views: all that the linear fusions need to know of the data."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

# Bytes of one view that are shifted at a time: what a fit needs beyond its input and its small matrices.
_BLOCK_BYTES = 32 << 20
# The same on an accelerator, where a block also has to outweigh the way there and back.
_DEVICE_BLOCK_BYTES = 256 << 20


@dataclass
class Moments:
    """Sufficient statistics of two views, in float64.

    Statistics of parts add up to those of the whole, and a part can be taken away again.

    Parameters
    ----------
    n : float
        Number of rows, or sum of their weights.
    mean_x : ndarray of shape (n_features,)
    mean_y : ndarray of shape (n_targets,)
    xx : ndarray of shape (n_features, n_features)
        Sum over the rows of the outer products of the centred first view.
    yy : ndarray of shape (n_targets, n_targets)
    xy : ndarray of shape (n_features, n_targets)
    """

    n: float
    mean_x: np.ndarray
    mean_y: np.ndarray
    xx: np.ndarray
    yy: np.ndarray
    xy: np.ndarray

    @classmethod
    def of(cls, X, y, sample_weight=None, device="cpu"):
        """Statistics of two matrices in one pass over their rows; a sparse one is never made dense.

        Each block of some thousand rows is centred by its own mean before it is multiplied, so that nothing cancels, in
        float32 for float32 rows; the statistics of the blocks are added in float64. Dense products are taken on `device`.
        """
        on_host = device == "cpu" or sparse.issparse(X) or sparse.issparse(y)
        counts, means, sums = [], [], None
        for rows in _blocks(X, y, _BLOCK_BYTES if on_host else _DEVICE_BLOCK_BYTES):
            weights = None if sample_weight is None else sample_weight[rows]
            if weights is not None and not weights.any():
                continue
            count, mean, products = _of_block(X[rows], y[rows], weights, None if on_host else device)
            counts.append(count)
            means.append(mean)
            if sums is None:
                sums = [np.array(product, dtype=np.float64) for product in products]
            else:
                for total, product in zip(sums, products, strict=True):
                    total += product
        return cls(*_joined(np.array(counts), [np.array(of_view) for of_view in zip(*means, strict=True)], sums))

    def about_zero(self):
        """The same rows with their products about zero in place of the means."""
        return Moments(
            self.n,
            np.zeros_like(self.mean_x),
            np.zeros_like(self.mean_y),
            self.xx + self.n * np.outer(self.mean_x, self.mean_x),
            self.yy + self.n * np.outer(self.mean_y, self.mean_y),
            self.xy + self.n * np.outer(self.mean_x, self.mean_y),
        )

    def __add__(self, other):
        """Statistics of the rows of both (Chan, Golub and LeVeque 1979, equation 2.1 for matrices)."""
        return self._combined(other, 1)

    def __sub__(self, other):
        """Statistics without the rows of `other`, which must be among these."""
        return self._combined(other, -1)

    def _combined(self, other, sign):
        n = self.n + sign * other.n
        share = sign * other.n / n
        step_x, step_y = other.mean_x - self.mean_x, other.mean_y - self.mean_y
        weight = self.n * share
        return Moments(
            n,
            self.mean_x + share * step_x,
            self.mean_y + share * step_y,
            self.xx + sign * other.xx + weight * np.outer(step_x, step_x),
            self.yy + sign * other.yy + weight * np.outer(step_y, step_y),
            self.xy + sign * other.xy + weight * np.outer(step_x, step_y),
        )


def column_means(matrix, sample_weight=None):
    """Means of the columns in float64, ndarray of shape (n_features,)."""
    if sample_weight is not None:
        return np.asarray(sample_weight @ matrix, dtype=np.float64).ravel() / sample_weight.sum()
    if sparse.issparse(matrix):
        return np.asarray(matrix.sum(axis=0, dtype=np.float64)).ravel() / matrix.shape[0]
    return matrix.mean(axis=0, dtype=np.float64)


def torch_products(left, right, device):
    """Products of two dense blocks with themselves and each other, taken by torch.

    Parameters
    ----------
    left : ndarray of shape (n, d)
    right : ndarray of shape (n, e)
    device : str
        Name of a device of torch.

    Returns
    -------
    products : list of ndarray, dtype float64
        Of shapes (d, d), (e, e) and (d, e).
    """
    import torch

    a, b = (torch.from_numpy(np.ascontiguousarray(block)).to(device) for block in (left, right))
    # Of the new switches, since `allow_tf32` cannot be read after any of them was set.
    switch = torch.backends.cuda.matmul
    before = switch.fp32_precision
    # Ten bits of mantissa would leave three digits of a covariance.
    switch.fp32_precision = "ieee"
    try:
        return [product.double().cpu().numpy() for product in (a.T @ a, b.T @ b, a.T @ b)]
    finally:
        switch.fp32_precision = before


def _of_block(X, y, weights, device):
    """Number of rows, means, and products about them, of some rows."""
    n = float(X.shape[0] if weights is None else weights.sum())
    (low_x, high_x), (low_y, high_y) = _ranges(X), _ranges(y)
    # The mean of a constant column is rounded; what that leaves of it would be taken for variance.
    mean_x = np.where(low_x == high_x, low_x, column_means(X, weights))
    mean_y = np.where(low_y == high_y, low_y, column_means(y, weights))
    left = _weighted(_centred(X, mean_x, low_x, high_x), weights)
    right = _weighted(_centred(y, mean_y, low_y, high_y), weights)
    products = _products(left, right) if device is None else torch_products(left, right, device)
    of_x, of_y = (X, mean_x, low_x == high_x), (y, mean_y, low_y == high_y)
    for product, a, b in zip(products, (of_x, of_y, of_x), (of_x, of_y, of_y), strict=True):
        _take_means(product, *a, *b, n)
    return n, (mean_x, mean_y), products


def _take_means(product, a, mean_a, constant_a, b, mean_b, constant_b, n):
    """Take from products, in place, the means that sparse views still hold: they keep their zeros."""
    if sparse.issparse(a) and sparse.issparse(b):
        product -= n * np.outer(mean_a, mean_b)
    if sparse.issparse(a):
        product[constant_a] = 0
    if sparse.issparse(b):
        product[:, constant_b] = 0


def _joined(counts, means, sums):
    """Statistics of all blocks, from the sums of their products: what their means differ by is added."""
    n = counts.sum()
    # From the first on, so that means that are all the same stay the same to the last digit.
    mean_x, mean_y = (of_view[0] + counts @ (of_view - of_view[0]) / n for of_view in means)
    roots = np.sqrt(counts)[:, None]
    apart_x, apart_y = roots * (means[0] - mean_x), roots * (means[1] - mean_y)
    for total, a, b in zip(sums, (apart_x, apart_y, apart_x), (apart_x, apart_y, apart_y), strict=True):
        total += a.T @ b
    return float(n), mean_x, mean_y, *sums


def _products(left, right):
    return [_dense(a.T @ b) for a, b in ((left, left), (right, right), (left, right))]


def _blocks(X, y, block_bytes):
    n = X.shape[0]
    widest = max(
        (max(1, view.shape[1] * view.dtype.itemsize) for view in (X, y) if not sparse.issparse(view)), default=1
    )
    size = min(n, max(256, block_bytes // widest))
    return (slice(start, start + size) for start in range(0, n, size))


def _ranges(block):
    """Smallest and largest number of each column, in float64."""
    ranges = block.min(axis=0), block.max(axis=0)
    return [_dense(part).ravel().astype(np.float64) for part in ranges]


def _centred(block, mean, low, high):
    if sparse.issparse(block):
        return block.astype(np.float64)
    largest = np.maximum(high - mean, mean - low)
    # Products of such numbers would leave the range of float32.
    if block.dtype == np.float32 and ((largest > 0) & ((largest < 1e-15) | (largest > 1e15))).any():
        return block.astype(np.float64) - mean
    return block - mean.astype(block.dtype)


def _weighted(block, weights):
    if weights is None:
        return block
    if sparse.issparse(block):
        return sparse.diags_array(np.sqrt(weights)) @ block
    return block * np.sqrt(weights).astype(block.dtype)[:, None]


def _dense(product):
    return product.toarray() if sparse.issparse(product) else np.asarray(product)
