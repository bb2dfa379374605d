"""Fit and call estimators of pictures or texts when some of the items turn out to be unreadable.

An encoder with ``on_error="warn"`` gives a row of NaN for what it could not read. Steps after it in a pipeline would refuse
or spread such rows; so what is readable is told after the first step, and the rest of the pipeline sees nothing else.
"""

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from mmfeat.fusion._learning import _batches


def fit_readable(estimator, cells, y, params=None):
    """Fit a clone of an estimator to what can be read; of a transformer, return the result too, each item seen once.

    Parameters
    ----------
    estimator : estimator
    cells : list
    y : ndarray with a row for each cell, or None
    params : dict of str to ndarray, default=None
        Keyword arguments of `fit`, with a row for each cell.

    Returns
    -------
    fitted : estimator
        Of the type of `estimator`.
    result : ndarray, CSR matrix or None
        What a transformer gives for what was read; None for other estimators.
    readable : ndarray of shape (len(cells),), dtype bool
    """
    params = params or {}
    if not _is_split(estimator):
        fitted = clone(estimator)
        arguments = (cells,) if y is None else (cells, y)
        if not hasattr(fitted, "transform"):
            return fitted.fit(*arguments, **params), None, np.ones(len(cells), dtype=bool)
        if hasattr(fitted, "fit_transform"):
            return fitted, *_without_nan(fitted.fit_transform(*arguments, **params))
        return fitted, *_without_nan(fitted.fit(*arguments, **params).transform(cells))
    name, first = estimator.steps[0]
    head, features, readable = fit_readable(first, cells, y)
    if not readable.any():
        raise ValueError(f"None of {len(cells)} items could be read. Check the paths.")
    kept = {key: value[readable] for key, value in params.items()}
    rest, result, found = fit_readable(estimator[1:], features, None if y is None else y[readable], kept)
    readable[readable] = found
    fitted = clone(estimator)
    fitted.steps = [(name, head), *rest.steps]
    return fitted, result, readable


def call_readable(fitted, cells, method):
    """Call a method of a fitted estimator on what can be read.

    Parameters
    ----------
    fitted : estimator
    cells : list
    method : {"transform", "predict", "predict_proba"}

    Returns
    -------
    result : ndarray, CSR matrix, list of ndarray or None
        Rows of what was read; None if that is nothing.
    readable : ndarray of shape (len(cells),), dtype bool
    """
    if _is_split(fitted):
        features, readable = call_readable(fitted.steps[0][1], cells, "transform")
        if not readable.any():
            return None, readable
        result, found = call_readable(fitted[1:], features, method)
        readable[readable] = found
        return result, readable
    result = getattr(fitted, method)(cells)
    if method != "transform":
        return result, np.ones(len(cells), dtype=bool)
    return _without_nan(result)


def _without_nan(matrix):
    """Leave out the rows of NaN alone; also return the mask of those that stay."""
    if sparse.issparse(matrix):
        return matrix.tocsr(), np.ones(matrix.shape[0], dtype=bool)
    if is_bags(matrix):  # of what could not be read the bag is empty
        return matrix, np.ones(len(matrix), dtype=bool)
    matrix = np.asarray(matrix)
    if matrix.dtype.kind != "f" or matrix.shape[1] == 0:
        return matrix, np.ones(len(matrix), dtype=bool)
    readable = ~np.isnan(matrix).all(axis=1)
    return (matrix if readable.all() else matrix[readable]), readable


def is_bags(features):
    """Say whether features are bags: a sequence of arrays of two axes, which may be read piece by piece."""
    return hasattr(features, "in_parts") or _batches.is_bags(features)


def _is_split(estimator):
    """Tell a pipeline whose first step may fail for some items and goes on."""
    if (
        not isinstance(estimator, Pipeline)
        or len(estimator.steps) < 2
        or not hasattr(estimator.steps[0][1], "transform")
    ):
        return False
    params = estimator.steps[0][1].get_params()
    return any(name.rpartition("__")[2] == "on_error" and value == "warn" for name, value in params.items())
