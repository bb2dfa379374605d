"""Nearest neighbours of embeddings: exact by blocked products, or approximate by a graph."""

import time

import numpy as np

from mmfeat.retrieval._search._engine import Engine, check_options
from mmfeat.retrieval._search._files import read_arrays, write_arrays
from mmfeat.retrieval._search._gallery import Gallery
from mmfeat.retrieval._search._grid import check_matrix
from mmfeat.retrieval._search._ids import Names
from mmfeat.retrieval._search._stored import check_stored


class EmbeddingIndex:
    """Gallery of embeddings, searched for the nearest to each query.

    Parameters
    ----------
    embeddings : array-like of shape (n_items, n_components)
        Embeddings of the gallery; an all-zero row has cosine 0 to every query.
    ids : array-like of shape (n_items,) or None, default=None
        What to return for each item, any keys of a dictionary; None returns positions.
    metric : {"cosine", "inner_product", "euclidean"}, default="cosine"
        What the score is: the cosine, the inner product, or the negative of the Euclidean distance.
    dtype : {"float32", "float16", "int8"}, default="float32"
        Numbers in which the rows are kept, of 4, 2 or 1 bytes; int8 has a scale for each row.
    rescore : bool, default=False
        With float16 or int8, whether `embeddings` are kept as well, not copied (an array mapped from a file stays there),
        and scores are theirs. What is found is then what an index in float32 finds, score for score: the rounding of
        each row is known, and all that it leaves in doubt is looked up. False gives the scores of the rounded rows.
    device : str, default="cpu"
        Where products are computed: "cpu" (NumPy), or with PyTorch "cuda", "cuda:N", or "auto".
    backend : {"exact", "faiss", "usearch"}, default="exact"
        "faiss" and "usearch" find candidates by a graph (HNSW) and may miss some; their scores are exact. They need the
        extra of that name, and search on the CPU.
    backend_options : dict or None, default=None
        Of the graph, integers: "connectivity" (32; from 2 to 4,096), "expansion_add" (128) and "expansion_search" (128),
        both from 1; more finds more, slower. Copied, and checked with every backend.

    Attributes
    ----------
    n_items : int
        Size of the gallery.
    n_components : int
        Width of the embeddings.
    ids : ndarray of shape (n_items,)
        Names of the items, in the order of the gallery; not to be written to.

    Raises
    ------
    ValueError
        If an embedding is NaN or infinite, the gallery is empty, `ids` are not unique, no keys of a dictionary or of
        another length, or a parameter has an unknown value.
    ImportError
        If the package of the backend is not installed.

    See Also
    --------
    mmfeat.retrieval.Retriever : Encodes pictures and sentences into one space.

    Notes
    -----
    Rows are rounded to multiples of 2**-26 of (the power of two above) their length, some 1e-8. Products of such rows
    are exact in float64, so that a score, rounded to float32 at the end, does not depend on blocks, threads, the
    device or the rest of the gallery, and equal rows have equal scores. Products in float32 only choose candidates,
    with the bound of their rounding errors as margin. An index may be searched by several threads at once;
    `add` and `remove` must not run meanwhile.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.retrieval import EmbeddingIndex
    >>> index = EmbeddingIndex([[1, 0], [0, 1], [1, 1]], ids=["cat.jpg", "dog.jpg", "both.jpg"])
    >>> scores, ids = index.search([[2.0, 0.0]], k=2)
    >>> ids
    array([['cat.jpg', 'both.jpg']], dtype='<U8')
    >>> scores.round(2)
    array([[1.  , 0.71]], dtype=float32)
    >>> index.search([[2.0, 0.0]], k=1, where=["dog.jpg", "both.jpg"])[1]
    array([['both.jpg']], dtype='<U8')
    """

    def __init__(
        self,
        embeddings,
        ids=None,
        *,
        metric="cosine",
        dtype="float32",
        rescore=False,
        device="cpu",
        backend="exact",
        backend_options=None,
    ):
        options = check_options(metric, dtype, backend, backend_options)
        matrix = check_matrix(embeddings, "embeddings")
        self._names = Names.make(ids, len(matrix))
        gallery = Gallery.make(matrix, metric, dtype, bool(rescore) and dtype != "float32")
        self._engine = Engine(gallery, device, backend, options)

    def __len__(self):
        return self.n_items

    @property
    def n_items(self):
        """Size of the gallery."""
        return len(self._engine.gallery)

    @property
    def n_components(self):
        """Width of the embeddings."""
        return self._engine.gallery.n_components

    @property
    def ids(self):
        """Names of the items, in the order of the gallery."""
        return self._names.ids

    def search(self, queries, k=10, *, where=None):
        """Find the `k` items nearest to each query.

        Parameters
        ----------
        queries : array-like of shape (n_queries, n_components)
        k : int, default=10
            At most the number of items to choose from.
        where : array-like of bool of shape (n_items,), array-like of ids, or None, default=None
            Items to choose from: a mask without missing values, or their ids. The search among them is exact with every
            backend.

        Returns
        -------
        scores : ndarray of shape (n_queries, k), dtype float32
            Best first; higher is better with every metric.
        indices : ndarray of shape (n_queries, k)
            Positions in the gallery, or the `ids` given; among equal scores the first in the gallery comes first.

        Raises
        ------
        ValueError
            If `k` is larger than the number of items to choose from, `queries` have another width or hold NaN, or
            `where` has another length, a missing value or an unknown id.
        """
        allowed = None if where is None else self._names.choose(where)
        scores, positions = self._engine.search(self._engine.check_queries(queries, k, allowed), k, allowed)
        return scores, self.ids[positions]

    def evaluate(self, queries, k=10):
        """Compare what :meth:`search` finds with an exact search of the same rows.

        Parameters
        ----------
        queries : array-like of shape (n_queries, n_components)
        k : int, default=10

        Returns
        -------
        report : dict
            "recall": the share of the exact answer that is found, in [0, 1], an item of the same score as the k-th
            being as good; "recall_per_query", ndarray of shape (n_queries,); "seconds" of the search and
            "seconds_exact"; "n_items", "n_queries" and "k".

        Raises
        ------
        ValueError
            As in :meth:`search`.
        """
        engine = self._engine
        rows = engine.check_queries(queries, k)
        engine.prepare()
        start = time.perf_counter()
        found, _ = engine.search(rows, k)
        between = time.perf_counter()
        exact, _ = engine.search_exactly(rows, k)
        end = time.perf_counter()
        recall = (found >= exact[:, -1:]).mean(axis=1)
        return {
            "recall": float(recall.mean()),
            "recall_per_query": recall,
            "seconds": between - start,
            "seconds_exact": end - between,
            "n_items": self.n_items,
            "n_queries": len(rows),
            "k": k,
        }

    def add(self, embeddings, ids=None):
        """Put items at the end of the gallery.

        Parameters
        ----------
        embeddings : array-like of shape (n, n_components)
        ids : array-like of shape (n,) or None, default=None
            Needed if the index was made with ids; None goes on counting, and a number is not given twice.

        Returns
        -------
        self : EmbeddingIndex

        Raises
        ------
        ValueError
            If an embedding is NaN or infinite or of another width, or `ids` are missing or there already. The index is
            then as it was.
        """
        matrix = check_matrix(embeddings, "embeddings", self.n_components)
        added = self._names.check_new(ids, len(matrix))
        self._engine.add(matrix)
        self._names.add(added)
        return self

    def remove(self, ids):
        """Take items out of the gallery; the others keep their ids and their order.

        Parameters
        ----------
        ids : array-like
            Ids of the items, or their numbers if the index was made without ids; no mask, of which ``index.ids[mask]``
            are the ids.

        Returns
        -------
        self : EmbeddingIndex

        Raises
        ------
        ValueError
            If an id is not in the index, or no item would be left. The index is then as it was.
        """
        gone = self._names.find(ids, "ids")
        if len(gone) == self.n_items:
            raise ValueError(f"`ids` are all {self.n_items} items, and an index cannot be empty. Make a new one.")
        kept = np.delete(np.arange(self.n_items), gone)
        self._engine.keep(kept)
        self._names.keep(kept)
        return self

    def save(self, path):
        """Write the index to one file, which appears as a whole or not at all.

        Parameters
        ----------
        path : str or os.PathLike
            A file that is there is replaced, of a symbolic link the one that it leads to; whoever has it open goes on
            reading the old one.

        Raises
        ------
        TypeError
            If an id is neither a string nor a number nor a tuple of these, and ids are no array of dtype datetime64.
        """
        names, form = self._names.to_array()
        arrays, settings = self._engine.parts()
        settings |= {"ids": form, "next_number": self._names.next_number}
        write_arrays(path, settings, {"ids": names, **arrays})

    @classmethod
    def load(cls, path, *, device="cpu"):
        """Open an index that :meth:`save` has written; rows are mapped from the file and read when they are needed.

        Parameters
        ----------
        path : str or os.PathLike
            Any number of processes may have it open. `add` and `remove` change a copy in memory, never the file.
        device : str, default="cpu"
            As of the class; on another device the rows are copied there by the first search.

        Returns
        -------
        index : EmbeddingIndex

        Raises
        ------
        ValueError
            If the file is not an index, is cut off, or its header is damaged. The rows themselves are not verified.

        Notes
        -----
        Nothing in a file is code, and no array reaches beyond its end. The graph of a backend, however, is read by that
        library (``faiss.deserialize_index``, ``usearch.Index.restore``), which trusts its bytes: open files of the
        backends "faiss" and "usearch" only if you trust where they come from.
        """
        settings, arrays = read_arrays(path)
        check_stored(path, settings, arrays)
        index = cls.__new__(cls)
        index._names = Names.of_array(arrays.pop("ids"), settings["ids"], settings["next_number"])
        index._engine = Engine.of_parts(arrays, settings, device)
        if len(index.ids) != index.n_items:
            raise ValueError(f"{path} is damaged: it has {index.n_items} rows and {len(index.ids)} ids.")
        return index
