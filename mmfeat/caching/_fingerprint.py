"""What a transformer is, as a digest: its class, parameters, learned state, files and libraries."""

import functools
import hashlib
import importlib.metadata
import os
import re
import sys
import sysconfig
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
    "mmfeat.image": ("pillow", "opencv-python", "opencv-python-headless", "torch", "torchvision", "timm"),
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
        self._met: dict = {}  # functions and classes of the user's own, by identity

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
        if isinstance(getattr(value, "__wrapped__", None), types.FunctionType):  # in a functools.lru_cache
            return self._function(value.__wrapped__)
        if hasattr(value, "get_params"):
            return self._estimator(value)
        return self._anything(value)

    def _estimator(self, estimator):
        kind = type(estimator)
        ignored = _IGNORED.union(getattr(kind, "_cache_ignores", ()))
        params = {name: value for name, value in estimator.get_params(deep=False).items() if name not in ignored}
        # A class may say what a parameter such as "auto" comes to here.
        params.update(getattr(estimator, "_cache_resolved", dict)())
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
        return _hash("array", str(value.dtype), str(value.shape), _bytes_of(value))

    def _class(self, kind):
        """Digest a class: the version of the library it is from, or its code if it is the user's own."""
        parts = [f"{kind.__module__}.{kind.__qualname__}"]
        for cls in kind.__mro__[:-1]:
            version = _library_version(cls)
            package = ".".join(cls.__module__.split(".")[:2])
            libraries = cls.__dict__.get("_cache_libraries", _LIBRARIES.get(package, ()))
            parts += [f"{cls.__module__} {version}", *(f"{name} {_version(name)}" for name in libraries)]
            if version is None and self._is_new(cls):
                members = {name: member for name, member in vars(cls).items() if _is_code_or_constant(name, member)}
                parts += [_hash(name, self.of(_unwrapped(member))) for name, member in sorted(members.items())]
        return _hash("class", *parts)

    def _is_new(self, item):
        """Whether code is met for the first time; after that its name is enough, however often others name it."""
        if id(item) in self._met:
            return False
        self._met[id(item)] = item
        return True

    def _function(self, function):
        if isinstance(function, functools.partial):
            return _hash("partial", *map(self.of, (function.func, function.args, function.keywords)))
        if isinstance(function, types.MethodType):
            return _hash("method", self.of(function.__self__), self.of(function.__func__))
        version = _library_version(function)
        name = f"{function.__module__}.{function.__qualname__}"
        if version is not None:
            return _hash("function", name, version)
        if not self._is_new(function):
            return _hash("function", name)
        defaults = function.__defaults__, function.__kwdefaults__
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        used = _globals_used(function)
        return _hash("function", name, *map(self.of, (function.__code__, defaults, cells, used)))

    def _anything(self, value):
        if hasattr(value, "detach") and hasattr(value, "numpy"):  # a tensor of torch
            flat = value.detach().cpu().contiguous().reshape(-1).view(sys.modules["torch"].uint8)
            return _hash("tensor", str(value.dtype), str(tuple(value.shape)), flat.numpy())
        if hasattr(value, "state_dict") and hasattr(value, "named_modules"):  # a network of torch
            return _hash("network", self._class(type(value)), repr(value), self.of(dict(value.state_dict())))
        try:
            return _hash("pickle", self._class(type(value)), joblib.hash(value))
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
        part = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else memoryview(part)
        sha.update(len(part).to_bytes(8, "little"))
        sha.update(part)
    return sha.digest()


def _bytes_of(array):
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _library_version(item):
    """Version of the library that a class or function is from; None for code of the user's own."""
    root = (item.__module__ or "__main__").partition(".")[0]
    if root == "__main__":
        return None
    return sysconfig.get_python_version() if _is_standard(root) else getattr(sys.modules.get(root), "__version__", None)


@functools.lru_cache(maxsize=1024)
def _is_standard(root):
    """Whether a module is Python's own, and not one of the user's with such a name."""
    file = getattr(sys.modules.get(root), "__file__", None)
    inside = file is None or Path(file).is_relative_to(sysconfig.get_path("stdlib"))
    return root in sys.stdlib_module_names and inside


def _globals_used(function):
    """Data, functions and classes that a function names, where its module has them."""
    found = {name: function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__}
    return {
        name: value
        for name, value in found.items()
        if isinstance(_unwrapped(value), (types.FunctionType, type, tuple)) or _is_data(value)
    }


def _names(code):
    """Names in a function and in those inside it, such as generator expressions, in order."""
    inner = (name for part in code.co_consts if isinstance(part, types.CodeType) for name in _names(part))
    return list(dict.fromkeys([*code.co_names, *inner]))


def _is_data(value, depth=8):
    """Whether a value is made of numbers, text and patterns alone, so that it says all of itself."""
    if isinstance(value, (bool, str, bytes, Number, np.generic, re.Pattern, type(None))):
        return True
    if isinstance(value, np.ndarray):
        return not value.dtype.hasobject
    if isinstance(value, dict):
        value = (*value.keys(), *value.values())
    is_container = isinstance(value, (list, tuple, set, frozenset)) and depth > 0
    return is_container and all(_is_data(part, depth - 1) for part in value)


def _is_code_or_constant(name, member):
    member = _unwrapped(member)
    if name.startswith("__"):
        return isinstance(member, types.FunctionType)
    return isinstance(member, (types.FunctionType, tuple)) or (member is not None and _is_data(member))


def _unwrapped(member):
    """The function behind a property, a method of the class or a functools.lru_cache."""
    member = member.fget if isinstance(member, property) else member
    member = getattr(member, "__func__", member)
    is_function = isinstance(member, (types.FunctionType, type))
    return member if is_function else getattr(member, "__wrapped__", member)


@functools.lru_cache(maxsize=64)
def _version(distribution):
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
