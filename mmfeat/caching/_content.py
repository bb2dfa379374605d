"""What a row is, as a digest of its content, and the rows of whatever a transformer takes."""

import hashlib
import os
from collections.abc import Mapping, Set

import numpy as np
from scipy import sparse
from sklearn.utils import get_tags

from mmfeat.utils._compat import _safe_indexing

# What reading a damaged picture raises; the transformer will say it better.
_PICTURE_ERRORS = (AttributeError, EOFError, LookupError, OSError, SyntaxError, TypeError, ValueError)
_ORIENTATION = 0x0112


class Rows:
    """The rows of an input: counted, digested, and taken out again.

    Parameters
    ----------
    values : sequence, ndarray, sparse matrix or DataFrame
    """

    def __init__(self, values):
        self._values = values.tocsr() if sparse.issparse(values) else values
        self._is_column = not sparse.issparse(values) and getattr(values, "ndim", 1) == 1
        self._is_column = self._is_column and not hasattr(values, "columns")
        if self._is_column:
            self._values = list(values)
        self.n = self._values.shape[0] if sparse.issparse(values) else len(self._values)
        self._matrix = None if self._is_column or sparse.issparse(values) else np.asarray(values)
        self._names = tuple(map(str, getattr(values, "columns", ())))

    def item(self, row):
        """Return one row as it is, or None where rows are those of a matrix."""
        return self._values[row] if self._is_column else None

    def take(self, positions):
        """Return some rows, as the kind of thing they came in."""
        if self._is_column:
            return [self._values[row] for row in positions]
        return _safe_indexing(self._values, np.asarray(positions))

    def digest(self, row):
        """Return the digest of a row that is no file, or None if it has none."""
        if self._is_column:
            return item_digest(self._values[row])
        if self._matrix is not None:
            return item_digest(self._matrix[row], self._names)
        start, end = self._values.indptr[row : row + 2]
        order = np.argsort(self._values.indices[start:end], kind="stable")
        pair = self._values.indices[start:end][order].astype(np.int64), self._values.data[start:end][order]
        return _digest("sparse", str(self._values.shape[1]), *(part for item in pair for part in _array_parts(item)))


def rows_of(values):
    """Return the rows of an input, or None if it is nothing that has rows that can be told apart.

    Parameters
    ----------
    values : object
        Whatever was handed to ``transform``.

    Returns
    -------
    rows : Rows or None
    """
    if values is None or isinstance(values, (str, bytes, os.PathLike, Mapping, Set)) or _is_picture(values):
        return None
    if sparse.issparse(values):
        return Rows(values) if values.ndim == 2 and values.shape[0] else None
    if not (hasattr(values, "__iter__") and hasattr(values, "__len__")) or len(values) == 0:
        return None
    if getattr(values, "ndim", 1) != 1 or hasattr(values, "columns"):
        return None if np.asarray(values).dtype.kind not in "biufc" else Rows(values)
    return Rows(values)


def meaning_of_strings(transformer):
    """Say what a str is to a transformer.

    Parameters
    ----------
    transformer : transformer
        Also a pipeline, a union or another estimator around one.

    Returns
    -------
    meaning : {"path", "text", "either"}
        A class says so in `_cache_strings`; of others "either" is said unless their tags or their package tell.
    """
    inner = list(first_parts(transformer))
    if inner:
        meanings = {meaning_of_strings(part) for part in inner}
        return meanings.pop() if len(meanings) == 1 else "either"
    said = getattr(transformer, "_cache_strings", None)
    if said is not None:
        return said
    package = ".".join(type(transformer).__module__.split(".")[:2])
    if package == "mmfeat.text" or (
        hasattr(transformer, "__sklearn_tags__") and get_tags(transformer).input_tags.string
    ):
        return "text"
    return "path" if package == "mmfeat.image" else "either"


def first_step(transformer):
    """Return what sees the input first: the first step of a pipeline, the first part of a union, or itself."""
    inner = list(first_parts(transformer))
    return first_step(inner[0]) if inner else transformer


def item_digest(item, names=()):
    """Digest an array, a picture in memory, bytes, a sentence, or a list of such things.

    Parameters
    ----------
    item : object
    names : tuple of str, default=()
        Names of the columns the item is a row of.

    Returns
    -------
    digest : bytes or None
        SHA-256, or None if the item is something else.
    """
    if isinstance(item, str):
        return text_digest(item)
    if isinstance(item, bytes):
        return hashlib.sha256(item).digest()  # as that of a file with this content
    if isinstance(item, (np.ndarray, np.number, np.bool_)):
        array = np.asarray(item)
        return None if array.dtype.kind not in "biufcSU" else _digest("array", *names, *_array_parts(array))
    if _is_picture(item):
        return _picture_digest(item)
    if isinstance(item, (list, tuple)):
        parts = [item_digest(part) for part in item]
        return None if None in parts else _digest("list", *parts)
    return None


def text_digest(text):
    """Digest a sentence."""
    return _digest("text", text.encode("utf-8", "surrogatepass"))


def joined(*digests):
    """Digest digests."""
    return _digest("joined", *digests)


def first_parts(transformer):
    """Return the estimators inside another that are handed its input; none for one that is not made of others."""
    steps = getattr(transformer, "steps", None)
    if isinstance(steps, list) and steps:
        real = [step for _, step in steps if not isinstance(step, str) and step is not None]
        return real[:1]
    parts = getattr(transformer, "transformer_list", None)
    if isinstance(parts, list):
        return [part for _, part in parts if not isinstance(part, str)]
    inner = getattr(transformer, "transformer", None)
    return [inner] if hasattr(inner, "transform") else []


def _picture_digest(picture):
    try:
        picture.load()
        details = (picture.mode, picture.size, picture.info.get("transparency"), picture.getexif().get(_ORIENTATION))
        palette = b"" if picture.palette is None else picture.palette.mode.encode() + bytes(picture.palette.palette)
        return _digest("picture", repr(details).encode(), palette, picture.tobytes())
    except _PICTURE_ERRORS:
        return None


def _is_picture(value):
    # Told by its class names, so that a column of paths or arrays does not load Pillow.
    return any(cls.__module__ == "PIL.Image" and cls.__name__ == "Image" for cls in type(value).__mro__)


def _array_parts(array):
    return array.dtype.str, str(array.shape), np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _digest(*parts):
    sha = hashlib.sha256()
    for part in parts:
        part = part.encode() if isinstance(part, str) else memoryview(part)
        sha.update(
            part.nbytes.to_bytes(8, "little") if isinstance(part, memoryview) else len(part).to_bytes(8, "little")
        )
        sha.update(part)
    return sha.digest()
