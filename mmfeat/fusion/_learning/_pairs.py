"""Checks of what the trained fusions are given beside two matrices."""

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from mmfeat.fusion._views import label_matrix
from mmfeat.utils._groups import group_codes


def check_matrix(view, name, width):
    """Return a view that is a matrix beside one of bags.

    Parameters
    ----------
    view : array-like or sparse matrix
    name : {"X", "y"}
        1-D is one column of y.
    width : int or None
        Columns that it must have; None: any.

    Returns
    -------
    view : ndarray or csr matrix of shape (n_samples, n_columns)

    Raises
    ------
    ValueError
        If it is no matrix of finite numbers, or has another width.
    """
    dtypes = [np.float64, np.float32]
    view = check_array(view, accept_sparse="csr", dtype=dtypes, ensure_2d=name == "X", input_name=name)
    view = view.reshape(-1, 1) if view.ndim == 1 else view
    if width is not None and view.shape[1] != width:
        raise ValueError(
            f"{name} has {view.shape[1]} features, but {width} are expected. Encode it as in the first call."
        )
    return view


def encode_labels(labels, n_rows, known):
    """Labels as the loss takes them.

    Parameters
    ----------
    labels : array-like of shape (n_rows,), array-like or sparse matrix of shape (n_rows, n_labels), or None
    n_rows : int
    known : ndarray, int or None
        Classes, or number of columns, that there may be; None: any.

    Returns
    -------
    kind : {"missing", "classes", "indicators"}
    labels : ndarray of shape (n_rows,), dtype int64, csr_array of shape (n_rows, n_labels), or None
    known : ndarray, int or None
        The classes, or the number of columns.

    Raises
    ------
    ValueError
        If there is not one row a pair, one is missing, there is one class only, or one that is not known.
    """
    if labels is None:
        return "missing", None, known
    if sparse.issparse(labels) or np.ndim(labels) != 1:
        indicators = label_matrix(labels, n_rows)
        if isinstance(known, int) and indicators.shape[1] != known:
            raise ValueError(f"`labels` has {indicators.shape[1]} columns, but had {known} in the first call.")
        return "indicators", indicators, indicators.shape[1]
    group_codes(labels, "labels")
    column = np.asarray(labels)
    if len(column) != n_rows:
        raise ValueError(f"`labels` must have one row a pair, {n_rows}. Got {len(column)} instead.")
    classes = known if isinstance(known, np.ndarray) else np.unique(column)
    unknown = ~np.isin(column, classes)
    if unknown.any():
        raise ValueError(f"`labels` holds {column[unknown].tolist()[0]!r}, which the first call did not.")
    if len(classes) < 2:
        raise ValueError(
            f"`labels` holds one class only, {classes.tolist()[0]!r}. Pass two classes or more, or no labels."
        )
    return "classes", np.searchsorted(classes, column).astype(np.int64), classes
