"""Graphs of near neighbours (HNSW) of faiss and of usearch, behind one face."""

from numbers import Integral
from typing import Any

import numpy as np

from mmfeat.retrieval._search._exact import blocks
from mmfeat.utils._optional import import_optional

DEFAULTS = {"connectivity": 32, "expansion_add": 128, "expansion_search": 128}
# Numbers outside bring a library down that takes them as they are, or the memory to its end.
_RANGES = {"connectivity": (2, 1 << 12), "expansion_add": (1, 1 << 30), "expansion_search": (1, 1 << 30)}


class FaissGraph:
    """Graph of faiss; rows in float32, or in float16 where the index keeps fewer bits.

    Parameters
    ----------
    options : dict
        "connectivity", "expansion_add", "expansion_search".
    """

    extra = "faiss"

    def __init__(self, options):
        self._options = options
        self._faiss = import_optional("faiss", extra="faiss", purpose="EmbeddingIndex(backend='faiss')")
        self._graph: Any = None

    def build(self, gallery):
        """Begin anew with all rows of a gallery."""
        faiss = self._faiss
        metric = faiss.METRIC_L2 if gallery.metric == "euclidean" else faiss.METRIC_INNER_PRODUCT
        links = self._options["connectivity"]
        if gallery.dtype == "float32":
            self._graph = faiss.IndexHNSWFlat(gallery.n_components, links, metric)
        else:
            kind = faiss.ScalarQuantizer.QT_fp16
            self._graph = faiss.IndexHNSWSQ(gallery.n_components, kind, links, metric)
            self._graph.train(gallery.block(slice(0, 1)))
        self._graph.hnsw.efConstruction = self._options["expansion_add"]
        self.add(gallery, 0)
        return self

    def add(self, gallery, first):
        """Rows from a position on."""
        for which in blocks(len(gallery) - first, 1):
            rows = slice(first + which.start, first + which.stop)
            self._graph.add(np.ascontiguousarray(gallery.block(rows)))

    def search(self, rows, n):
        """Positions of shape (n_queries, n), -1 where nothing was found."""
        self._graph.hnsw.efSearch = max(self._options["expansion_search"], n)
        return self._graph.search(np.ascontiguousarray(rows), n)[1]

    def to_bytes(self):
        """The graph as an array of bytes."""
        return self._faiss.serialize_index(self._graph)

    def from_bytes(self, array, gallery):
        """The graph that :meth:`to_bytes` gave for this gallery."""
        self._graph = self._faiss.deserialize_index(np.ascontiguousarray(array))
        _check_size((self._graph.ntotal, self._graph.d), gallery)
        return self


class UsearchGraph:
    """Graph of usearch; rows in the numbers of the index.

    Parameters
    ----------
    options : dict
        As for faiss.
    """

    extra = "usearch"

    def __init__(self, options):
        self._options = options
        self._usearch = import_optional("usearch.index", extra="usearch", purpose="EmbeddingIndex(backend='usearch')")
        self._graph: Any = None

    def build(self, gallery):
        """Begin anew with all rows of a gallery."""
        metric = {"cosine": "cos", "euclidean": "l2sq", "inner_product": "ip"}[gallery.metric]
        # Only of rows of unit length does usearch know by what to multiply them before they become int8.
        narrow = "i8" if metric == "cos" else "f16"
        self._graph = self._usearch.Index(
            ndim=gallery.n_components,
            metric=metric,
            dtype={"float32": "f32", "float16": "f16", "int8": narrow}[gallery.dtype],
            **self._options,
        )
        self.add(gallery, 0)
        return self

    def add(self, gallery, first):
        """Rows from a position on."""
        for which in blocks(len(gallery) - first, 1):
            rows = slice(first + which.start, first + which.stop)
            self._graph.add(np.arange(rows.start, rows.stop, dtype=np.uint64), gallery.block(rows))

    def search(self, rows, n):
        """Positions of shape (n_queries, n), -1 where nothing was found."""
        self._graph.expansion_search = max(self._options["expansion_search"], n)
        # Of one row usearch would give the neighbours without the axis of queries.
        found = self._graph.search(np.concatenate([rows, rows[:1]]), n)
        positions = found.keys.astype(np.int64)[:-1]
        positions[np.arange(positions.shape[1]) >= np.asarray(found.counts)[:-1, None]] = -1
        return positions

    def to_bytes(self):
        """The graph as an array of bytes."""
        return np.frombuffer(bytes(self._graph.save()), dtype=np.uint8)

    def from_bytes(self, array, gallery):
        """The graph that :meth:`to_bytes` gave for this gallery."""
        self._graph = self._usearch.Index.restore(array.tobytes())
        _check_size((len(self._graph), self._graph.ndim), gallery)
        # These are not in its bytes.
        for name in ("expansion_add", "expansion_search"):
            setattr(self._graph, name, self._options[name])
        return self


GRAPHS = {"faiss": FaissGraph, "usearch": UsearchGraph}


def make_graph(backend, options):
    """An empty graph; options, checked, that are not given have the values of DEFAULTS."""
    return GRAPHS[backend]({**DEFAULTS, **(options or {})})


def check_graph_options(options):
    """Options of a graph as a dict of its own with Python's integers, None of None.

    Raises
    ------
    ValueError
        If it is no dict, has an unknown key, or a value that is no integer within its range.
    """
    if options is None:
        return None
    if not isinstance(options, dict):
        raise ValueError(f"`backend_options` must be a dict or None. Got {options!r} instead.")
    unknown = sorted(set(options) - set(DEFAULTS), key=str)
    if unknown:
        raise ValueError(f"`backend_options` has the unknown keys {unknown}. Known are {sorted(DEFAULTS)}.")
    for name, value in options.items():
        low, high = _RANGES[name]
        if not isinstance(value, Integral) or isinstance(value, bool) or not low <= int(value) <= high:
            raise ValueError(
                f"`backend_options` must have an integer from {low} to {high} as {name!r}. Got {value!r} instead."
            )
    return {name: int(value) for name, value in options.items()}


def _check_size(size, gallery):
    if size != (len(gallery), gallery.n_components):
        raise ValueError(f"The graph of the file has shape {size}, its rows {(len(gallery), gallery.n_components)}.")
