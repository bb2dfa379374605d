"""What a late fusion learns from beside the pairs: classes as codes, weights of rows, folds."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.utils import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from mmfeat.utils._compat import _check_sample_weight


def encode_classes(y, n_rows):
    """Turn classes into codes.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, n_labels)
    n_rows : int
        Length that it must have.

    Returns
    -------
    codes : ndarray of shape (n,) or (n, n_labels), dtype int
    classes : ndarray of shape (n_classes,) or None
        What the codes stand for; None for an indicator matrix.

    Raises
    ------
    ValueError
        If `y` has another length, holds None or NaN, no classes, or fewer than two.
    """
    y = y.toarray() if sparse.issparse(y) else np.asarray(y)
    if len(y) != n_rows:
        raise ValueError(f"y must have one row a pair. Got {len(y)} rows for {n_rows} pairs.")
    if y.dtype.kind in "fO":
        gone = [row for row, value in enumerate(y.reshape(n_rows, -1)) if any(v is None or v != v for v in value)]
        if gone:
            raise ValueError(f"The class of pair {gone[0]} is missing: {y[gone[0]]!r}. Drop the row.")
    check_classification_targets(y)
    if type_of_target(y) == "multilabel-indicator":
        return y.astype(int), None
    if y.ndim == 2 and y.shape[1] > 1:
        raise ValueError(
            f"y must hold classes, or an indicator matrix of 0 and 1. Got a matrix of shape {y.shape} of other values."
        )
    classes, codes = np.unique(column_or_1d(y, warn=True), return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"Expected at least two classes. Got {classes.tolist()[0]!r} alone.")
    return codes, classes


def check_weights(weights):
    """Return the weights of picture and words.

    Parameters
    ----------
    weights : (float, float)

    Returns
    -------
    weights : ndarray of shape (2,)

    Raises
    ------
    ValueError
        If it is no two numbers of at least 0, of which one is above.
    """
    given = tuple(weights)
    if (
        len(given) != 2
        or not all(isinstance(one, Real) and 0 <= float(one) < np.inf for one in given)
        or not sum(given)
    ):
        raise ValueError(
            f"`weights` must be two numbers of at least 0, one of them above, for image and text. Got {weights!r} instead."
        )
    return np.array(given, dtype=float)


def weights_of_rows(sample_weight, class_weight, codes, classes):
    """Multiply weights of samples and of classes.

    Parameters
    ----------
    sample_weight : array-like of shape (n,) or None
    class_weight : dict, list of dict, "balanced" or None
    codes : ndarray of shape (n,) or (n, n_labels)
    classes : ndarray of shape (n_classes,) or None

    Returns
    -------
    weights : ndarray of shape (n,) or None
        None if neither is given.

    Raises
    ------
    ValueError
        If one is negative or of another length.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = _check_sample_weight(sample_weight, codes.reshape(len(codes), -1), ensure_non_negative=True)
    if class_weight is None:
        return weights
    return weights * compute_sample_weight(class_weight, codes if classes is None else classes[codes])


def folds(cv, pairs, codes, pictures):
    """Return what scikit-learn is to split by: `cv`, unless it is a number and pictures stand in several rows.

    Parameters
    ----------
    cv : int, cross-validation generator or iterable
    pairs : DataFrame or ndarray
    codes : ndarray of shape (n,) or (n, n_labels)
    pictures : ndarray of shape (n,) or None
        Number of the picture of each row; None if all are different.

    Returns
    -------
    cv : int, cross-validation generator or list of (ndarray, ndarray)
    """
    if pictures is None or not isinstance(cv, Integral):
        return cv
    splitter = StratifiedGroupKFold(cv) if codes.ndim == 1 else GroupKFold(cv)
    return list(splitter.split(pairs, codes, pictures))
