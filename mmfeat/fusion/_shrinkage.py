"""Ridges by formula: the shrinkage of a covariance estimated from the rows themselves."""

import numpy as np
from scipy import sparse

# A covariance shrunken to nothing but its mean variance asks for an endless ridge; this one is no different in effect.
_MOST = 1e9


def ledoit_wolf_ridge(view, mean, cross_products, n_features, sample_weight=None):
    """Ridge of Ledoit and Wolf.

    Parameters
    ----------
    view : ndarray or csr_array of shape (n, d)
        All rows, possibly in a basis of themselves.
    mean : ndarray of shape (d,)
    cross_products : ndarray of shape (d, d)
        Of the centred rows.
    n_features : int
        Columns of the view outside of that basis.
    sample_weight : ndarray of shape (n,), default=None
        How often each row counts.

    Returns
    -------
    ridge : float
        As a share of the mean variance of a column.

    References
    ----------
    Ledoit, O. and Wolf, M. (2004). A well-conditioned estimator for large-dimensional covariance matrices. Journal of
    Multivariate Analysis 88(2), section 3.2.
    """
    weights = np.ones(view.shape[0]) if sample_weight is None else sample_weight
    n = weights.sum()
    squares = (
        view.multiply(view).sum(axis=1) if sparse.issparse(view) else np.einsum("ij,ij->i", view, view, dtype=float)
    )
    lengths = np.asarray(squares, dtype=np.float64).ravel() - 2 * (view @ mean) + mean @ mean
    covariance_norm = np.einsum("ij,ij->", cross_products, cross_products) / n**2
    mean_variance = np.trace(cross_products) / n / n_features
    noise = (weights @ lengths**2 / n - covariance_norm) / n
    spread = covariance_norm - n_features * mean_variance**2
    return _ridge_of(min(noise, spread) / spread if spread > 0 else 0.0)


def oas_ridge(n, cross_products, n_features):
    """Ridge by oracle approximating shrinkage, from the statistics alone.

    Parameters
    ----------
    n : float
        Number of rows.
    cross_products : ndarray of shape (d, d)
        Of the centred rows, possibly in a basis of themselves.
    n_features : int
        Columns of the view outside of that basis.

    Returns
    -------
    ridge : float
        As a share of the mean variance of a column.

    References
    ----------
    Chen, Y., Wiesel, A., Eldar, Y. and Hero, A. (2010). Shrinkage algorithms for MMSE covariance estimation. IEEE
    Transactions on Signal Processing 58(10), as :class:`sklearn.covariance.OAS` computes it.
    """
    mean_square = np.einsum("ij,ij->", cross_products, cross_products) / n**2 / n_features**2
    mean_variance = np.trace(cross_products) / n / n_features
    below = (n + 1) * (mean_square - mean_variance**2 / n_features)
    return _ridge_of(min(1.0, (mean_square + mean_variance**2) / below) if below > 0 else 1.0)


def _ridge_of(shrinkage):
    """The ridge that points where ``(1 - s) * S + s * mean variance * I`` does."""
    return float(min(_MOST, shrinkage / (1 - shrinkage))) if shrinkage < 1 else _MOST
