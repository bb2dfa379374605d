"""From the common space back to the columns of a view: the least-squares maps of a linear fusion."""

import numpy as np
from sklearn.utils import check_array

from mmfeat.fusion._solve import Whitener


def inverse_maps(rotations, own, cross):
    """Regression of both views on the scores of each.

    Parameters
    ----------
    rotations : pair of ndarray of shape (n_features, n_components) and (n_targets, n_components)
    own : pair of ndarray of the same shapes
        Covariance of each view times its rotations.
    cross : pair of ndarray of the same shapes
        Covariance of each view with the other, times the rotations of the other.

    Returns
    -------
    x_maps, y_maps : dict of str to ndarray
        For the scores of the view "x" or "y", their coefficients in the columns of the first and of the second view.
    """
    grams = [rotation.T @ product for rotation, product in zip(rotations, own, strict=True)]
    of_x, of_y = (Whitener(gram, 0.0, max(1, len(gram))) for gram in grams)
    x_maps = {"x": _coefficients(own[0], of_x), "y": _coefficients(cross[0], of_y)}
    return x_maps, {"x": _coefficients(cross[1], of_x), "y": _coefficients(own[1], of_y)}


def reconstruct(Z, source, maps, weights, mean):
    """Rows of a view from embeddings.

    Parameters
    ----------
    Z : array-like of shape (n_samples, n_components)
    source : {"x", "y"}
        View that was embedded.
    maps : dict of str to ndarray of shape (n_features, n_components)
    weights : float or ndarray of shape (n_components,)
        What the scores were multiplied with; a component of weight 0 says nothing.
    mean : ndarray of shape (n_features,)

    Returns
    -------
    rows : ndarray of shape (n_samples, n_features)

    Raises
    ------
    ValueError
        If `Z` has another number of columns, or `source` is neither name.
    """
    Z = check_array(Z, dtype=[np.float64, np.float32], input_name="Z")
    if source not in maps:
        raise ValueError(f"`source` must be 'x' or 'y', the view that was embedded. Got {source!r} instead.")
    n_components = maps[source].shape[1]
    if Z.shape[1] != n_components:
        raise ValueError(
            f"Z has {Z.shape[1]} columns, but there are {n_components} components. Give what was embedded."
        )
    weights = np.broadcast_to(np.asarray(weights, dtype=np.float64), (n_components,))
    # In float64, where a weight next to nothing still cancels against the score that it was multiplied with.
    scores = np.divide(Z, weights, out=np.zeros(Z.shape), where=weights > np.finfo(np.float64).tiny)
    return (scores @ maps[source].T + mean).astype(Z.dtype)


def _coefficients(product, gram):
    """Coefficients of the columns on scores, from the covariance of both and a solver with that of the scores."""
    return gram.back(gram.forward(product.T)).T
