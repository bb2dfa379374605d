"""Directions of a sparse view too wide for a square matrix of its columns: its covariance is only ever multiplied."""

import warnings

import numpy as np
from scipy import linalg, sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import gen_batches

from mmfeat.fusion._solve import Whitener, pseudo_root
from mmfeat.fusion._views import CentredView, cross_products

# A sparse view with more columns and rows than this is never squared: at 8 bytes a number, half a gigabyte.
_WIDEST_SQUARE = 8192
# Right-hand sides solved at a time: bounds what is held beyond input and result.
_COLUMNS_AT_A_TIME = 128
_SKETCH = 512
_MOST_STEPS = 500


def is_implicit(X, y):
    """True where one view is sparse and too large both ways to be squared; the other must not be.

    Parameters
    ----------
    X, y : ndarray or csr_array

    Returns
    -------
    implicit : bool

    Raises
    ------
    ValueError
        If both views are so large.
    """
    too_large = [min(view.shape) > _WIDEST_SQUARE for view in (X, y)]
    if all(too_large) and any(sparse.issparse(view) for view in (X, y)):
        raise ValueError(
            f"Both views have more than {_WIDEST_SQUARE} rows and columns, shapes {X.shape} and {y.shape}. One may be that "
            "large if it is sparse. Reduce the other, with TruncatedSVD or mmfeat.text.tfidf_lsa."
        )
    return any(large and sparse.issparse(view) for large, view in zip(too_large, (X, y), strict=True))


def check_squared(X, y):
    """Refuse a sparse view whose columns are too many for a square matrix, where that is the only way.

    Parameters
    ----------
    X, y : ndarray or csr_array

    Raises
    ------
    ValueError
        If a sparse view is so wide.
    """
    for name, view in (("X", X), ("y", y)):
        if sparse.issparse(view) and view.shape[1] > _WIDEST_SQUARE:
            raise ValueError(
                f"{name} is sparse and has {view.shape[1]} columns. Statistics that more rows can be added to are square, of at "
                f"most {_WIDEST_SQUARE} columns. Use `fit` on all rows, or reduce {name}, with TruncatedSVD or HashingVectorizer."
            )


class SparseCovariance:
    """Covariance of a sparse view that exists only as a product with given columns.

    Parameters
    ----------
    matrix : csr_array of shape (n_samples, n_features)
    mean : ndarray of shape (n_features,)
        What the rows are centred by.
    weights : ndarray of shape (n_samples,) or None
        How often each row counts.
    """

    def __init__(self, matrix, mean, weights=None):
        self.n = float(matrix.shape[0] if weights is None else weights.sum())
        # Products stay in float64: scipy's own loop over the rows costs the same in both.
        self._matrix = matrix.astype(np.float64)
        self._transposed = (self._matrix if weights is None else sparse.diags_array(weights) @ self._matrix).T.tocsr()
        self._mean = mean
        self._sum = self._transposed @ np.ones(matrix.shape[0])
        squares = self._transposed.multiply(self._matrix.T).sum() - 2 * self._sum @ mean + self.n * mean @ mean
        # What rounding leaves of rows that are all the same is no variance.
        rounding = 1e-12 * self.n * mean @ mean
        self.mean_variance = float(squares) / (self.n - 1) / matrix.shape[1] if squares > rounding else 0.0

    @property
    def n_features(self):
        """Number of columns."""
        return self._matrix.shape[1]

    def __matmul__(self, columns):
        """Covariance times ``columns``, ndarray of shape (n_features, n)."""
        along = self._mean @ columns
        product = self._transposed @ (self._matrix @ columns)
        product -= np.outer(self._sum, along)
        product -= np.outer(self._mean, self._sum @ columns - self.n * along)
        product /= self.n - 1
        return product


class ImplicitViews:
    """A view of few columns or rows beside a wide sparse one, with all that can be formed of their covariances.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_samples, n_features)
    y : ndarray or csr_array of shape (n_samples, n_targets)
        One of the two is wide, as :func:`is_implicit` says.
    weights : ndarray of shape (n_samples,) or None
    center : bool

    Attributes
    ----------
    x_is_wide : bool
    narrow : CentredView
    own : ndarray of shape (narrow.width, narrow.width)
        Covariance of the narrow view.
    cross : ndarray of shape (narrow.width, n_wide)
        Covariance between the views.
    wide : SparseCovariance
    means : (ndarray, ndarray)
        Of the two views as they came.
    """

    def __init__(self, X, y, weights=None, *, center=True):
        self.x_is_wide = sparse.issparse(X) and min(X.shape) > _WIDEST_SQUARE
        view, wide = (y, X) if self.x_is_wide else (X, y)
        self.narrow = CentredView(view, weights, center=center)
        factor = CentredView(wide, weights, narrow=False, center=center)
        self.wide = SparseCovariance(wide, factor.mean, weights)
        self.own = cross_products(self.narrow, self.narrow, weights) / (self.wide.n - 1)
        self.cross = cross_products(self.narrow, factor, weights) / (self.wide.n - 1)
        self.means = self.in_order(self.narrow.mean, factor.mean)

    def in_order(self, of_narrow, of_wide):
        """Two things in the order of the views as they came."""
        return (of_wide, of_narrow) if self.x_is_wide else (of_narrow, of_wide)


def implicit_correlations(views, regs, n_components):
    """Canonical directions of a narrow view and a wide sparse one.

    The covariance of the wide view is neither formed nor factored. With ``W`` the whitening of the narrow view and ``C``
    the cross-covariance, ``(S + ridge) Z = C' W`` is solved by conjugate gradients for all columns at once, under a
    preconditioner from a random sketch of ``S``; ``W' C Z`` then has the squared correlations as eigenvalues.

    Parameters
    ----------
    views : ImplicitViews
    regs : (float, float)
        Ridge of each view, in the order of the views as they came, as a share of its mean variance.
    n_components : int

    Returns
    -------
    correlations : ndarray of shape (n_found,)
    rotations : ndarray of shape (narrow.width, n_found)
    wide_rotations : ndarray of shape (n_wide, n_found)

    References
    ----------
    Frangella, Z., Tropp, J. and Udell, M. (2023). Randomized Nystrom preconditioning. SIAM Journal on Matrix Analysis and
    Applications 44(2), algorithms 2.1 and 5.1.
    """
    reg, reg_wide = views.in_order(*regs)
    whitener = Whitener(views.own, reg, views.narrow.n_features)
    right_hand = whitener.forward(views.cross).T
    n_all = right_hand.shape[1]
    if not n_all or not views.wide.mean_variance:
        return np.zeros(0), np.zeros((views.narrow.width, 0)), np.zeros((views.wide.n_features, 0))
    inverse = ridged_inverse(views.wide, reg_wide * views.wide.mean_variance, right_hand)
    squared = right_hand.T @ inverse
    n_found = min(n_components, n_all)
    values, vectors = linalg.eigh((squared + squared.T) / 2, subset_by_index=(n_all - n_found, n_all - 1))
    # What lies below the digits of a square is no direction.
    kept = values > max(values[-1], 0) * n_all * np.finfo(np.float64).eps
    values, vectors = np.sqrt(values[kept][::-1]), vectors[:, kept][:, ::-1]
    return np.clip(values, 0, 1), whitener.back(vectors), inverse @ (vectors / values)


def ridged_inverse(covariance, ridge, right_hand, tol=1e-8):
    """Solve ``(covariance + ridge) Z = right_hand``.

    Parameters
    ----------
    covariance : SparseCovariance
    ridge : float
        Above 0.
    right_hand : ndarray of shape (n_features, n)
    tol : float, default=1e-8
        Largest norm of a residual, as a share of that of its right-hand side.

    Returns
    -------
    solution : ndarray of shape (n_features, n)

    Warns
    -----
    ConvergenceWarning
        If the tolerance is not reached; a larger ridge converges faster.
    """
    precondition = _nystrom_preconditioner(covariance, ridge)
    solution = np.zeros_like(right_hand)
    worst = 0.0
    for columns in gen_batches(right_hand.shape[1], _COLUMNS_AT_A_TIME):
        solution[:, columns], left = _conjugate_gradients(
            lambda block: covariance @ block + ridge * block, precondition, right_hand[:, columns], tol
        )
        worst = max(worst, left)
    if worst > tol:
        warnings.warn(
            f"Conjugate gradients stopped after {_MOST_STEPS} steps with a relative residual of {worst:.1e}. Raise the ridge "
            "of the sparse view, `reg`.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return solution


def _conjugate_gradients(apply, precondition, right_hand, tol):
    """Preconditioned conjugate gradients, one system a column; the columns that are done wait for the rest."""
    solution, residual = np.zeros_like(right_hand), right_hand.copy()
    goal = tol * np.maximum(linalg.norm(right_hand, axis=0), np.finfo(np.float64).tiny)
    step = precondition(residual)
    energy = np.einsum("ij,ij->j", residual, step)
    for _ in range(_MOST_STEPS):
        lengths = linalg.norm(residual, axis=0)
        if (lengths <= goal).all():
            break
        image = apply(step)
        along = np.einsum("ij,ij->j", step, image)
        moved = np.divide(energy, along, out=np.zeros_like(energy), where=(along > 0) & (lengths > goal))
        solution += moved * step
        residual -= moved * image
        better = precondition(residual)
        previous, energy = energy, np.einsum("ij,ij->j", residual, better)
        step *= np.divide(energy, previous, out=np.zeros_like(energy), where=previous > 0)
        step += better
    return solution, float((linalg.norm(residual, axis=0) / goal).max() * tol)


def _nystrom_preconditioner(covariance, ridge):
    """Inverse of the covariance's leading part plus a multiple of the identity, from a random sketch of it."""
    width = min(_SKETCH, covariance.n_features // 2)
    # A fixed start: the answer does not depend on it beyond the tolerance.
    sketch = linalg.qr(np.random.default_rng(0).normal(size=(covariance.n_features, width)), mode="economic")[0]
    image = np.concatenate(
        [covariance @ np.ascontiguousarray(sketch[:, columns]) for columns in gen_batches(width, _COLUMNS_AT_A_TIME)],
        axis=1,
    )
    core = sketch.T @ image
    # A sketch wider than the rank leaves no core that could be factored.
    root = pseudo_root((core + core.T) / 2)
    basis, values, _ = linalg.svd(image @ root, full_matrices=False, overwrite_a=True)
    eigenvalues = values**2
    rest = eigenvalues[-1] if len(eigenvalues) == width else 0.0
    scale = (rest + ridge) / (eigenvalues + ridge) - 1

    def precondition(block):
        return block + basis @ (scale[:, None] * (basis.T @ block))

    return precondition
