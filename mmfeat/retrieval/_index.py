"""Exact nearest neighbours of embeddings by blocked products."""

from collections import Counter

import numpy as np
from sklearn.utils import check_array, gen_batches

from mmfeat.utils._rows import unit_rows

# Scores held at a time: queries times items of one block.
_BLOCK_SCORES = 1 << 23


class EmbeddingIndex:
    """Gallery of embeddings, searched exactly by cosine similarity.

    Parameters
    ----------
    embeddings : array-like of shape (n_items, n_components)
        Embeddings of the gallery; an all-zero row has similarity 0 to every query.
    ids : array-like of shape (n_items,) or None, default=None
        What to return for each item, of any kind; None returns positions.

    Attributes
    ----------
    n_items : int
        Size of the gallery.
    n_components : int
        Width of the embeddings.

    Raises
    ------
    ValueError
        If an embedding is NaN or infinite, the gallery is empty, or `ids` are not unique or of another length.

    See Also
    --------
    mmfeat.retrieval.Retriever : Encodes pictures and sentences into one space.

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
    """

    def __init__(self, embeddings, ids=None):
        self._embeddings = _checked_unit_rows(embeddings, "embeddings")
        self.n_items, self.n_components = self._embeddings.shape
        self._ids = np.arange(self.n_items) if ids is None else _check_ids(ids, self.n_items)

    def __len__(self):
        return self.n_items

    def search(self, queries, k=10):
        """Find the `k` items most similar to each query.

        Parameters
        ----------
        queries : array-like of shape (n_queries, n_components)
        k : int, default=10
            At most the size of the gallery.

        Returns
        -------
        scores : ndarray of shape (n_queries, k), dtype float32
            Cosine similarities in [-1, 1], best first.
        indices : ndarray of shape (n_queries, k)
            Positions in the gallery, or the `ids` given; among equal scores the first in the gallery comes first.

        Raises
        ------
        ValueError
            If `k` is larger than the gallery, or `queries` have another width.
        """
        if not isinstance(k, (int, np.integer)) or not 1 <= k <= self.n_items:
            raise ValueError(
                f"`k` must be an integer between 1 and the size of the gallery, {self.n_items}. Got {k!r} instead. "
                "Reduce `k` or enlarge the gallery."
            )
        queries = _checked_unit_rows(queries, "queries")
        if queries.shape[1] != self.n_components:
            raise ValueError(
                f"queries have {queries.shape[1]} components, the gallery has {self.n_components}. "
                "Encode both with one model."
            )
        scores = np.empty((len(queries), k), dtype=np.float32)
        positions = np.empty((len(queries), k), dtype=np.int64)
        for rows in gen_batches(len(queries), max(1, _BLOCK_SCORES // self.n_items)):
            scores[rows], positions[rows] = _top_k(queries[rows] @ self._embeddings.T, k)
        return np.clip(scores, -1, 1), self._ids[positions]


def _top_k(scores, k):
    """Best `k` columns of each row, best first, the lower column first among equals."""
    n_items = scores.shape[1]
    if k < n_items:
        # The k-th score bounds the answer; all columns tied with it must stay in the race.
        bound = np.partition(scores, n_items - k, axis=1)[:, n_items - k]
        kept = scores >= bound[:, None]
    else:
        kept = np.ones(scores.shape, dtype=bool)
    rows, columns = np.nonzero(kept)
    order = np.lexsort((columns, -scores[rows, columns], rows))
    first = np.searchsorted(rows, np.arange(len(scores)))
    columns = columns[order][first[:, None] + np.arange(k)]
    return np.take_along_axis(scores, columns, axis=1), columns


def _checked_unit_rows(matrix, name):
    return unit_rows(check_array(matrix, dtype=np.float32, input_name=name))


def _check_ids(ids, n_items):
    values = list(ids)
    if len(values) != n_items:
        raise ValueError(f"`ids` must have one value an embedding, {n_items}. Got {len(values)} instead.")
    counts = Counter(values)
    value, count = counts.most_common(1)[0]
    if count > 1:
        raise ValueError(f"`ids` must be unique. {value!r} stands there {count} times.")
    if all(isinstance(value, str) for value in values) or isinstance(ids, np.ndarray):
        return np.asarray(values)
    # Values of mixed kinds, or tuples, would be made strings or a second dimension.
    column = np.empty(n_items, dtype=object)
    column[:] = values
    return column if any(not isinstance(value, (int, np.integer)) for value in values) else column.astype(np.int64)
