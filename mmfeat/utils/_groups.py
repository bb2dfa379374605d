"""Identifiers of groups, of whatever kind, as numbers."""

import numpy as np


def group_codes(groups, name):
    """Number the distinct values of a column.

    Parameters
    ----------
    groups : array-like of shape (n_rows,)
        Numbers or strings, not both, none missing.
    name : str
        What the column is called in messages.

    Returns
    -------
    codes : ndarray of shape (n_rows,), dtype int64
        From 0, in sorted order of the values.

    Raises
    ------
    ValueError
        If it is not 1-D, or a value is missing or of another kind than the rest.
    """
    # An array of objects keeps 1 and "1" apart, which numpy would both make a string.
    column = np.asarray(groups) if isinstance(groups, np.ndarray) else np.asarray(list(groups), dtype=object)
    if column.ndim != 1:
        raise ValueError(f"{name} must be 1-D, one value a row. Got shape {column.shape} instead.")
    missing = [row for row, value in enumerate(column.tolist()) if value is None or value != value]
    if missing:
        raise ValueError(f"{name}[{missing[0]}] is missing ({column[missing[0]]!r}). Drop the row or name its group.")
    try:
        return np.unique(column, return_inverse=True)[1]
    except TypeError as error:
        kinds = sorted({type(value).__name__ for value in column.tolist()})
        raise ValueError(f"{name} must be all numbers or all strings. Got {', '.join(kinds)}. Convert them.") from error
