"""Partial least squares with canonical deflation, from cross products alone."""

import numpy as np
from scipy import linalg
from scipy.sparse.linalg import svds

# Up to this many columns of the narrower view, a full decomposition costs less than an iterative one.
_DENSE = 64


def canonical_deflation(xx, yy, xy, n_components):
    """Find components one by one, and take from each view what its own score explains.

    What NIPALS does to the rows, done to their cross products: a component is the leading pair of singular vectors of the
    cross products that are left; the scores and loadings of each view follow from its own. Scores of one view are
    then uncorrelated, which those of the plain singular value decomposition are not.

    Parameters
    ----------
    xx : ndarray of shape (n_features, n_features)
        Sum over the rows of the outer products of the centred first view, or its covariance.
    yy : ndarray of shape (n_targets, n_targets)
        The same of the second view.
    xy : ndarray of shape (n_features, n_targets)
        The same between them.
    n_components : int
        At least 1.

    Returns
    -------
    strengths : ndarray of shape (n_found,)
        Covariance of the two scores of each component, in the units of `xy`. Fewer than `n_components` where nothing
        is left to explain.
    x_rotations : ndarray of shape (n_features, n_found)
        From the centred first view to its scores.
    y_rotations : ndarray of shape (n_targets, n_found)
        The same for the second view.

    References
    ----------
    Wegelin, J. (2000). A survey of partial least squares methods. University of Washington, technical report 371 (PLS mode
    A).

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.fusion._deflation import canonical_deflation
    >>> X = np.random.default_rng(0).normal(size=(50, 4))
    >>> X -= X.mean(axis=0)
    >>> Y = X[:, :3] ** 3 - np.mean(X[:, :3] ** 3, axis=0)
    >>> strengths, x_rotations, y_rotations = canonical_deflation(X.T @ X, Y.T @ Y, X.T @ Y, 3)
    >>> scores = X @ x_rotations
    >>> bool(np.allclose(np.triu(scores.T @ scores, 1), 0, atol=1e-9))
    True
    """
    own_x, own_y, left = xx.copy(), yy.copy(), xy.copy()
    floor = np.finfo(np.float64).eps * max(xy.shape) * linalg.norm(xy)
    strengths, x_steps, y_steps = [], [], []
    for _ in range(min(n_components, *xy.shape)):
        if linalg.norm(left) <= floor:
            break
        u, strength, v = _leading_pair(left)
        p, q = _deflate(own_x, u), _deflate(own_y, v)
        # Both sides of the cross products lose the score: (I - p u') left (I - v q').
        left -= np.outer(p, u @ left)
        left -= np.outer(left @ v, q)
        strengths.append(strength)
        x_steps.append((u, p))
        y_steps.append((v, q))
    return np.array(strengths), _rotations(x_steps, len(xx)), _rotations(y_steps, len(yy))


def _deflate(own, weights):
    """Take the score along `weights` from the cross products of its own view, in place; return the loadings."""
    products = own @ weights
    loadings = products / (weights @ products)
    own -= np.outer(products, loadings)
    return loadings


def _rotations(steps, n_columns):
    """Rotations that act on the view itself in place of what each step left of it."""
    if not steps:
        return np.zeros((n_columns, 0))
    weights, loadings = (np.array(column).T for column in zip(*steps, strict=True))
    # What is left after a step has nothing along its weights, so these meet no later loading: a triangle.
    return linalg.solve_triangular(loadings.T @ weights, weights.T, trans="T", lower=False).T


def _leading_pair(matrix):
    if min(matrix.shape) <= _DENSE:
        left, values, right = linalg.svd(matrix, full_matrices=False, check_finite=False)
        return left[:, 0], values[0], right[0]
    # A fixed start makes the result repeatable; the longest row is not orthogonal to the leading vector but by accident.
    start = matrix.T if matrix.shape[0] < matrix.shape[1] else matrix
    start = start[np.argmax(np.einsum("ij,ij->i", start, start))]
    left, values, right = svds(matrix, k=1, v0=start, solver="arpack")
    return left[:, 0], values[0], right[0]
