"""Filters told apart: masks of any library, and sequences of ids."""

import numpy as np

from mmfeat.retrieval._search._grid import to_host


def as_values(values, name):
    """A one-dimensional sequence of ids, or a mask, as something with a dtype or as a list.

    Parameters
    ----------
    values : array-like, set or iterator
    name : str
        Of the parameter.

    Returns
    -------
    values : object
        With a dtype, as that of NumPy, pandas or polars, or a list.

    Raises
    ------
    ValueError
        If it is a string, no sequence, or has two dimensions.
    """
    if isinstance(values, (str, bytes)):
        raise ValueError(f"`{name}` must be a sequence of ids. Got {values!r} instead: write [{values!r}].")
    values = to_host(values)
    if getattr(values, "ndim", 1) != 1:
        raise ValueError(f"`{name}` must be 1-D. Got shape {values.shape} instead.")
    if hasattr(values, "dtype"):
        return values
    if not hasattr(values, "__iter__"):
        raise ValueError(f"`{name}` must be a sequence of ids. Got {values!r} instead.")
    return list(values)


def as_mask(where):
    """Truth values as an array of NumPy; None where `where`, from :func:`as_values`, holds ids.

    Raises
    ------
    ValueError
        If a mask has missing values.
    """
    # "boolean" and "bool[pyarrow]" of pandas, "Boolean" of polars.
    if hasattr(where, "dtype") and "bool" in str(where.dtype).lower():
        mask = np.asarray(where)
        if mask.dtype == bool:
            return mask
        values = mask.tolist()
        unknown = [place for place, value in enumerate(values) if not is_truth(value)]
        if unknown:
            raise ValueError(
                f"The mask `where` has {len(unknown)} missing values, the first in row {unknown[0]}. Fill them first."
            )
        return np.array(values, dtype=bool)
    if len(where) and all(map(is_truth, where)):
        return np.array(list(where), dtype=bool)
    return None


def is_truth(value):
    """Whether a value is True or False and nothing else."""
    return isinstance(value, (bool, np.bool_))
