"""What searches: the rows of an index with their device, or with a graph of near neighbours."""

from typing import Any

import numpy as np

from mmfeat.retrieval._search._approximate import GRAPHS, check_graph_options, make_graph
from mmfeat.retrieval._search._device import DeviceSearch
from mmfeat.retrieval._search._exact import search_exactly
from mmfeat.retrieval._search._gallery import DTYPES, Gallery
from mmfeat.retrieval._search._grid import METRICS, check_matrix, make_queries, to_scores
from mmfeat.retrieval._search._race import exact_pairs
from mmfeat.utils._device import resolve_device


def check_options(metric, dtype, backend, options):
    """Refuse values that are not known; options of a graph as a dict of their own."""
    known = {"metric": (metric, METRICS), "dtype": (dtype, DTYPES), "backend": (backend, ("exact", *GRAPHS))}
    for name, (value, values) in known.items():
        if value not in values:
            raise ValueError(f"`{name}` must be one of {list(values)}. Got {value!r} instead.")
    return check_graph_options(options)


class Engine:
    """Search in a gallery.

    Parameters
    ----------
    gallery : Gallery
    device : str
    backend : {"exact", "faiss", "usearch"}
    options : dict or None
        Of the graph, from :func:`check_options`.
    """

    def __init__(self, gallery, device, backend, options):
        self.gallery, self._backend, self._options = gallery, backend, options
        self._device = resolve_device(device)
        self._on_device: DeviceSearch | None = None
        self._graph: Any = None
        if backend != "exact":
            self._graph = make_graph(backend, options).build(gallery)

    def __getstate__(self):
        return {**self.__dict__, "_on_device": None, "_graph": None}

    def check_queries(self, matrix, k, allowed=None):
        """Queries ready to be searched for `k` items."""
        n = len(self.gallery) if allowed is None else len(allowed)
        what = "size of the gallery" if allowed is None else "number of items that `where` lets through"
        if not isinstance(k, (int, np.integer)) or isinstance(k, bool) or not 1 <= k <= n:
            raise ValueError(
                f"`k` must be an integer between 1 and the {what}, {n}. Got {k!r} instead. "
                "Reduce `k` or enlarge the gallery."
            )
        return make_queries(check_matrix(matrix, "queries", self.gallery.n_components), self.gallery.metric)

    def prepare(self):
        """Do what the first search would do: build the graph, or copy the rows to the device."""
        if self._backend != "exact" and self._graph is None:
            self._graph = make_graph(self._backend, self._options).build(self.gallery)
        if self._device != "cpu" and self._on_device is None:
            self._on_device = DeviceSearch(self.gallery, self._device)

    def search(self, queries, k, allowed=None):
        """Scores and positions of the best `k` items; approximate where the backend is and no filter is given."""
        self.prepare()
        if self._backend == "exact" or allowed is not None:
            return self.search_exactly(queries, k, allowed)
        return _search_graph(self._graph, self.gallery, queries, k)

    def search_exactly(self, queries, k, allowed=None):
        """The same, exact with every backend."""
        self.prepare()
        k = int(k)
        if self._on_device is not None:
            return self._on_device.search(queries, k, allowed)
        return search_exactly(self.gallery, queries, k, allowed)

    def add(self, matrix):
        """Put embeddings at the end of the gallery."""
        first = len(self.gallery)
        self.gallery.append(matrix)
        self._on_device = None
        if self._graph is not None:
            self._graph.add(self.gallery, first)

    def keep(self, positions):
        """Keep the items at ascending positions; a graph is built anew by the next search."""
        self.gallery.columns.keep(positions)
        self._on_device = self._graph = None

    def parts(self):
        """Arrays and settings to be written."""
        settings = {"metric": self.gallery.metric, "backend": self._backend, "backend_options": self._options}
        arrays = self.gallery.arrays()
        if self._backend != "exact":
            self.prepare()
            arrays["graph"] = self._graph.to_bytes()
        return arrays, settings

    @classmethod
    def of_parts(cls, arrays, settings, device):
        """Inverse of :meth:`parts`."""
        engine = cls(Gallery.of_arrays(arrays, settings["metric"]), device, "exact", None)
        engine._backend = settings["backend"]
        engine._options = check_graph_options(settings["backend_options"])
        if engine._backend != "exact":
            graph = make_graph(engine._backend, engine._options)
            engine._graph = graph.from_bytes(arrays["graph"], engine.gallery)
        return engine


def _search_graph(graph, gallery, queries, k):
    """The best `k` of twice as many that a graph finds; where it finds less than `k`, the search is exact."""
    positions = graph.search(queries.rows, min(len(gallery), 2 * k))
    counts = (positions >= 0).sum(axis=1)
    numbers, places = np.nonzero(positions >= 0)
    halves = exact_pairs(gallery, queries.rows, numbers, positions[numbers, places])
    scores = np.full(positions.shape, -np.inf, dtype=np.float32)
    scores[numbers, places] = to_scores(halves, queries.squares[numbers], gallery.metric)
    order = np.lexsort((positions, -scores), axis=1)[:, :k]
    found = np.take_along_axis(scores, order, axis=1), np.take_along_axis(positions, order, axis=1)
    short = np.flatnonzero(counts < k)
    if len(short):
        for result, part in zip(found, search_exactly(gallery, queries[short], k), strict=True):
            result[short] = part
    return found
