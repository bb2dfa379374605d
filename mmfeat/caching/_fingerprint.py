"""What a transformer is, as a digest: its class, parameters, learned state, files and libraries."""

import functools
import hashlib
import importlib.metadata
import os
import sys
import types
from collections.abc import Mapping, Set
from numbers import Number
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from scipy import sparse

from mmfeat.caching._files import file_digest

# They say how the work is done or shown. A class names more of its own in `_cache_ignores`.
_IGNORED = {"verbose", "n_jobs", "memory"}
# State that has nothing to do with the values of rows, or differs from process to process.
_NO_STATE = {
    "_metadata_request",
    "_n_threads",
    "_sklearn_output_config",
    "_sklearn_version",
    "_stop_words_id",
    "errors_",
}
# Libraries whose version counts for the classes of a package, unless a class names them in `_cache_libraries`.
_LIBRARIES = {
    "mmfeat.image": ("pillow", "opencv-python", "opencv-python-headless", "torch", "torchvision"),
    "mmfeat.pretrained": ("pillow", "torch", "transformers", "open_clip_torch"),
    "mmfeat.text": ("jieba", "rjieba", "gensim"),
}


def fingerprint(estimator, *, state):
    """Digest an estimator with all estimators inside it.

    Parameters
    ----------
    estimator : estimator
    state : bool
        Whether what it has learned counts, or only its parameters, files and libraries.

    Returns
    -------
    digest : bytes
        SHA-256.

    Raises
    ------
    ValueError
        If a parameter or attribute is something that cannot be digested.
    """
    return _Digester(state).of(estimator)


def joined_fingerprint(*digests):
    """Digest digests."""
    return _hash("joined", *digests)


def describe(estimator):
    """Return class and parameters of an estimator in one line, for people."""
    text = " ".join(repr(estimator).split())
    return text if len(text) <= 300 else text[:297] + "..."


class _Digester:
    """Digests of values; equal for equal values in every process."""

    def __init__(self, state):
        self._state = state
        self._inside: list = []

    def of(self, value):
        """Digest a value, by its kind."""
        if value is None or isinstance(value, (bool, str, bytes, Number, np.generic)):
            return _hash(type(value).__name__, repr(value))
        if any(value is outer for outer in self._inside):
            return _hash("cycle")
        self._inside.append(value)
        try:
            return self._compound(value)
        finally:
            self._inside.pop()

    def _compound(self, value):
        if isinstance(value, Mapping):
            return _hash("dict", *sorted(self.of(key) + self.of(item) for key, item in value.items()))
        if isinstance(value, Set):
            return _hash("set", *sorted(map(self.of, value)))
        if isinstance(value, (list, tuple)):
            return _hash(type(value).__name__, *map(self.of, value))
        if isinstance(value, os.PathLike):
            return self._path(value)
        if isinstance(value, np.ndarray) or sparse.issparse(value):
            return self._array(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.CodeType):
            return _hash("code", value.co_code, *map(self.of, (value.co_names, value.co_varnames, value.co_consts)))
        if isinstance(value, (types.FunctionType, types.MethodType, functools.partial)):
            return self._function(value)
        if hasattr(value, "get_params"):
            return self._estimator(value)
        return self._anything(value)

    def _estimator(self, estimator):
        kind = type(estimator)
        ignored = _IGNORED.union(getattr(kind, "_cache_ignores", ()))
        params = {name: value for name, value in estimator.get_params(deep=False).items() if name not in ignored}
        parts = [self._class(kind), *(_hash(name, self._parameter(value)) for name, value in sorted(params.items()))]
        if self._state:
            known = ignored.union(_NO_STATE, estimator.get_params(deep=False))
            kept: Any = getattr(estimator, "__getstate__", dict)()
            learned = kept if isinstance(kept, Mapping) else vars(estimator)
            parts.append(self.of({name: value for name, value in learned.items() if name not in known}))
        return _hash("estimator", *parts)

    def _parameter(self, value):
        """Digest a parameter: a string may name a file, whose content counts then."""
        if not isinstance(value, str):
            return self.of(value)
        if os.sep not in value and "." not in value:
            return self.of(value)
        held = file_digest(value)
        if held is None:
            return self._path(Path(value)) if os.sep in value else self.of(value)
        # The content says all of a file named by its place; another word that happens to be a file keeps its meaning.
        return _hash("file", held, b"" if Path(value).is_absolute() else self.of(value))

    def _path(self, path):
        held = file_digest(path)
        if held is not None:
            return _hash("file", held, b"")
        try:
            listing = sorted((entry.name, entry.stat()) for entry in os.scandir(path) if entry.is_file())
        except (OSError, ValueError):
            listing = []
        return _hash("path", os.fspath(path), *(f"{name} {s.st_size} {s.st_mtime_ns}" for name, s in listing))

    def _array(self, value):
        if sparse.issparse(value):
            value = value.tocoo()
            return _hash("sparse", *map(self.of, (value.shape, value.row, value.col, value.data)))
        if value.dtype.hasobject:
            return _hash("objects", str(value.shape), *map(self.of, value.ravel().tolist()))
        return _hash("array", str(value.dtype), str(value.shape), np.ascontiguousarray(value).data)

    def _class(self, kind):
        """Digest a class: the version of the library it is from, or its code if it is the user's own."""
        parts = [f"{kind.__module__}.{kind.__qualname__}"]
        for cls in kind.__mro__[:-1]:
            version = _library_version(cls)
            package = ".".join(cls.__module__.split(".")[:2])
            libraries = cls.__dict__.get("_cache_libraries", _LIBRARIES.get(package, ()))
            parts += [f"{cls.__module__} {version}", *(f"{name} {_version(name)}" for name in libraries)]
            if version is None:
                members = {name: member for name, member in vars(cls).items() if _is_code_or_constant(name, member)}
                parts += [_hash(name, self.of(_unwrapped(member))) for name, member in sorted(members.items())]
        return _hash("class", *parts)

    def _function(self, function):
        if isinstance(function, functools.partial):
            return _hash("partial", *map(self.of, (function.func, function.args, function.keywords)))
        if isinstance(function, types.MethodType):
            return _hash("method", self.of(function.__self__), self.of(function.__func__))
        version = _library_version(function)
        name = f"{function.__module__}.{function.__qualname__}"
        if version is not None:
            return _hash("function", name, version)
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        used = _globals_used(function)
        return _hash("function", name, *map(self.of, (function.__code__, function.__defaults__, cells, used)))

    def _anything(self, value):
        if hasattr(value, "detach") and hasattr(value, "numpy"):  # a tensor of torch
            return self._array(value.detach().cpu().float().numpy())
        if hasattr(value, "state_dict") and hasattr(value, "named_modules"):  # a network of torch
            return _hash("network", self._class(type(value)), repr(value), self.of(dict(value.state_dict())))
        try:
            return _hash("pickle", type(value).__qualname__, joblib.hash(value))
        # Whatever pickle calls upon may raise anything.
        except Exception as error:
            raise ValueError(
                f"A {type(value).__name__} is part of the transformer and cannot be digested ({error}), so that its rows "
                "cannot be kept apart from others. Make it a value that pickle takes, or name the attribute in "
                "`_cache_ignores` of its class if it does not change the rows."
            ) from error


def _hash(*parts):
    sha = hashlib.sha256()
    for part in parts:
        part = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else memoryview(part).cast("B")
        sha.update(len(part).to_bytes(8, "little"))
        sha.update(part)
    return sha.digest()


def _library_version(item):
    """Version of the library that a class or function is from; None for code of the user's own."""
    root = (item.__module__ or "__main__").partition(".")[0]
    return None if root == "__main__" else getattr(sys.modules.get(root), "__version__", None)


def _globals_used(function):
    """Constants, functions and classes of the function's own module that it names."""
    found = {name: function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, (bool, str, bytes, Number, tuple, type(None)))
        or (isinstance(value, (types.FunctionType, type)) and value.__module__ == function.__module__)
    }


def _is_code_or_constant(name, member):
    member = _unwrapped(member)
    is_dunder = name.startswith("__") and not isinstance(member, types.FunctionType)
    return not is_dunder and isinstance(member, (types.FunctionType, bool, str, bytes, Number, tuple))


def _unwrapped(member):
    member = member.fget if isinstance(member, property) else member
    member = getattr(member, "__func__", member)
    return getattr(member, "__wrapped__", member)


@functools.lru_cache(maxsize=64)
def _version(distribution):
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
