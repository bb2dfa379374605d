"""What must hold of the arrays and settings of a file before an index is made of them."""

import numpy as np

from mmfeat.retrieval._search._approximate import GRAPHS
from mmfeat.retrieval._search._gallery import DTYPES
from mmfeat.retrieval._search._grid import METRICS

_SETTINGS = ("metric", "backend", "backend_options", "ids", "next_number")


def check_stored(path, settings, arrays):
    """Refuse arrays and settings of which no index can be made; what the rows are is not looked at.

    Parameters
    ----------
    path : str or os.PathLike
        For the message.
    settings : dict
    arrays : dict of str to ndarray

    Raises
    ------
    ValueError
        If one is missing, unknown or of another shape than its neighbours.
    """
    fault = _fault(settings, arrays)
    if fault:
        raise ValueError(f"{path} is damaged or no index: {fault}.")


def _fault(settings, arrays):
    missing = [name for name in _SETTINGS if name not in settings] + [n for n in ("rows", "ids") if n not in arrays]
    if missing:
        return f"it has no {missing[0]!r}"
    if settings["metric"] not in METRICS or settings["backend"] not in ("exact", *GRAPHS):
        return f"it has the metric {settings['metric']!r} and the backend {settings['backend']!r}"
    number = settings["next_number"]
    if settings["ids"] not in ("array", "json") or not (number is None or (type(number) is int and number >= 0)):
        return f"it has ids as {settings['ids']!r} and goes on counting from {number!r}"
    if settings["backend"] != "exact" and not _is(arrays.get("graph"), 1, "u1"):
        return "it has no graph"
    rows = arrays["rows"]
    if rows.dtype.name not in DTYPES or rows.ndim != 2 or 0 in rows.shape:
        return f"its rows are of {rows.dtype} and shape {rows.shape}"
    return _fault_beside_rows(settings, arrays, rows)


def _fault_beside_rows(settings, arrays, rows):
    packed = settings["ids"] == "json"
    if arrays["ids"].ndim != 1 or (packed and arrays["ids"].dtype != np.uint8):
        return f"its ids are of {arrays['ids'].dtype} and shape {arrays['ids'].shape}"
    needed = (
        {"scales"} if rows.dtype == np.int8 or (rows.dtype == np.float16 and settings["metric"] != "cosine") else set()
    )
    needed |= {"squares"} if settings["metric"] != "cosine" or rows.dtype != np.float32 else set()
    needed |= {"errors"} if "originals" in arrays else set()
    for name in ("scales", "squares", "errors"):
        if name in arrays and not (_is(arrays[name], 1, "f") and len(arrays[name]) == len(rows)):
            return f"its {name!r} are not one number a row"
        if name in needed and name not in arrays:
            return f"it has no {name!r}"
    originals = arrays.get("originals")
    if originals is not None and (originals.shape != rows.shape or originals.dtype.kind not in "biuf"):
        return f"its originals are of {originals.dtype} and shape {originals.shape}, its rows of shape {rows.shape}"
    if not packed and len(arrays["ids"]) != len(rows):
        return f"it has {len(rows)} rows and {len(arrays['ids'])} ids"
    return None


def _is(array, n_dimensions, kind):
    return array is not None and array.ndim == n_dimensions and array.dtype.str.lstrip("<>|=").startswith(kind)
