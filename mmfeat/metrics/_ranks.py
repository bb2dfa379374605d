"""Ranks of the relevant items: the one computation behind every metric."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, gen_batches

from mmfeat.utils._groups import group_codes
from mmfeat.utils._rows import unit_rows

# Up to this many relevant items a query, counting is faster than sorting the row.
_COUNT_UP_TO = 16


@dataclass(frozen=True)
class RelevantRanks:
    """Ranks of all relevant items of all queries, best first, as rows of unequal length.

    Parameters
    ----------
    indptr : ndarray of shape (n_queries + 1,), dtype int64
        The ranks of query ``i`` are ``ranks[indptr[i]:indptr[i + 1]]``; each query has at least one.
    ranks : ndarray of shape (n_relevant,), dtype int64
        Ranks from 1, ascending within a query. Items with the same score as a relevant one are ranked before it.
    gains : ndarray of shape (n_relevant,), dtype float64
        Grade of relevance of the item at each rank; 1 where relevance is a yes or no.
    n_gallery : int
        Number of items that were ranked for each query.

    Examples
    --------
    >>> from mmfeat.metrics import rank_relevant
    >>> ranks = rank_relevant([[0.9, 0.1, 0.5], [0.2, 0.2, 0.2], [0.3, 0.1, 0.2]])
    >>> ranks.first
    array([1, 3, 2])
    >>> ranks.n_gallery
    3
    """

    indptr: np.ndarray
    ranks: np.ndarray
    gains: np.ndarray
    n_gallery: int

    @property
    def first(self):
        """Rank of the best relevant item of each query, ndarray of shape (n_queries,)."""
        return self.ranks[self.indptr[:-1]]

    @property
    def n_queries(self):
        """Number of queries."""
        return len(self.indptr) - 1


def match_groups(query_groups, gallery_groups):
    """Relevance by identity or by label: an item is relevant to a query of the same group.

    Parameters
    ----------
    query_groups : array-like of shape (n_queries,)
        Identifier of the image, or class label, each query belongs to.
    gallery_groups : array-like of shape (n_gallery,)
        The same for the items.

    Returns
    -------
    relevance : scipy.sparse.csr_array of shape (n_queries, n_gallery), dtype float64

    Raises
    ------
    ValueError
        If the groups are not 1-D, a value is missing, or numbers are mixed with strings.

    Examples
    --------
    >>> from mmfeat.metrics import match_groups
    >>> match_groups(["a", "b"], ["b", "a", "b"]).toarray()
    array([[0., 1., 0.],
           [1., 0., 1.]])
    """
    columns = {"query_groups": query_groups, "gallery_groups": gallery_groups}
    for name, column in columns.items():
        group_codes(column, name)
    codes = group_codes(np.array([*query_groups, *gallery_groups], dtype=object), "query_groups and gallery_groups")
    one_hot = _one_hot(codes, int(codes.max(initial=-1)) + 1)
    n_queries = len(query_groups)
    return sparse.csr_array(one_hot[:n_queries] @ one_hot[n_queries:].T)


def rank_relevant(scores, relevance=None):
    """Rank the relevant items of each query in a matrix of scores.

    The rank of a relevant item is one plus the number of items that score higher, where an irrelevant item with the
    *same* score counts as higher: a system that scores everything alike gets the last place, not the first.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery)
        Higher is more similar; negative scores are ordinary scores.
    relevance : None, array-like of shape (n_queries,), or array or sparse matrix of shape (n_queries, n_gallery)
        None: item ``i`` is the one right answer to query ``i``. 1-D integers: the index of the one right item of each
        query. 2-D: grades, of which the positive ones are relevant; see :func:`match_groups`.

    Returns
    -------
    ranks : RelevantRanks

    Raises
    ------
    ValueError
        If a score is NaN or infinite, shapes do not agree, or a query has no relevant item.

    Examples
    --------
    >>> from mmfeat.metrics import rank_relevant
    >>> rank_relevant([[0.1, 0.7, 0.3], [0.1, 0.7, 0.3]], relevance=[1, 2]).first
    array([1, 2])
    """
    scores = check_array(scores, dtype=[np.float64, np.float32], input_name="scores")
    relevance = _check_relevance(relevance, scores.shape)
    return _collect([_rank_block(scores, relevance, 0.0)], relevance)


def rank_embeddings(queries, gallery, relevance=None, *, block_size=None):
    """Rank the relevant items of each query by cosine similarity, without ever holding all the scores.

    Parameters
    ----------
    queries : array-like of shape (n_queries, n_components)
    gallery : array-like of shape (n_gallery, n_components)
    relevance : None, array-like or sparse matrix, default=None
        As in :func:`rank_relevant`.
    block_size : int or None, default=None
        Number of queries scored at a time; None takes what fits in 64 MiB of scores.

    Returns
    -------
    ranks : RelevantRanks

    Raises
    ------
    ValueError
        If an embedding is NaN or infinite, shapes do not agree, or a query has no relevant item.

    Notes
    -----
    Two scores that differ by less than the rounding of the product (1e-6 in float32) are a tie, because equal vectors
    get unequal last digits from a blocked matrix product. An all-zero embedding has similarity 0 to everything.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.metrics import rank_embeddings
    >>> rank_embeddings(np.eye(3), np.eye(3)[[1, 0, 2]], relevance=[1, 0, 2]).first
    array([1, 1, 1])
    """
    queries, gallery = (
        unit_rows(check_array(matrix, dtype=[np.float64, np.float32], input_name=name))
        for matrix, name in ((queries, "queries"), (gallery, "gallery"))
    )
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"queries have {queries.shape[1]} components and the gallery {gallery.shape[1]}. Encode both with one model."
        )
    dtype = np.result_type(queries, gallery)
    queries, gallery = queries.astype(dtype, copy=False), gallery.astype(dtype, copy=False)
    relevance = _check_relevance(relevance, (len(queries), len(gallery)))
    block_size = block_size or max(1, (64 << 20) // (dtype.itemsize * len(gallery)))
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    blocks = [
        _rank_block(queries[rows] @ gallery.T, relevance[rows], tolerance)
        for rows in gen_batches(len(queries), block_size)
    ]
    return _collect(blocks, relevance)


def _one_hot(codes, width):
    rows = np.arange(len(codes))
    return sparse.csr_array((np.ones(len(codes)), (rows, codes)), shape=(len(codes), width))


def _check_relevance(relevance, shape):
    n_queries, n_gallery = shape
    if relevance is None:
        if n_queries != n_gallery:
            raise ValueError(
                f"relevance=None pairs query i with item i, but there are {n_queries} queries and {n_gallery} items. "
                "Pass the relevance, for example `match_groups(query_groups, gallery_groups)`."
            )
        relevance = np.arange(n_queries)
    if not sparse.issparse(relevance):
        relevance = np.asarray(relevance)
    if relevance.ndim == 1:
        relevance = _relevance_of_indices(relevance, shape)
    relevance = sparse.csr_array(relevance, dtype=np.float64, copy=True)
    if relevance.shape != shape:
        raise ValueError(f"relevance has shape {relevance.shape}. Expected (n_queries, n_gallery) = {shape}.")
    relevance.sum_duplicates()
    if not np.isfinite(relevance.data).all():
        raise ValueError("relevance holds NaN or infinity. Grades must be finite; 0 is irrelevant.")
    relevance.data[~(relevance.data > 0)] = 0
    relevance.eliminate_zeros()
    empty = np.flatnonzero(np.diff(relevance.indptr) == 0)
    if len(empty):
        raise ValueError(
            f"{len(empty)} queries have no relevant item in the gallery, the first is query {empty[0]}. "
            "Drop them: no rank is defined there."
        )
    return relevance


def _relevance_of_indices(indices, shape):
    n_queries, n_gallery = shape
    if len(indices) != n_queries or not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(
            f"1-D relevance must hold one integer index a query, that is {n_queries}. "
            f"Got {len(indices)} values of dtype {indices.dtype} instead."
        )
    outside = np.flatnonzero((indices < 0) | (indices >= n_gallery))
    if len(outside):
        raise ValueError(f"relevance[{outside[0]}] is {indices[outside[0]]}, outside the gallery of {n_gallery} items.")
    return _one_hot(indices, n_gallery)


def _rank_block(scores, relevance, tolerance):
    """Ranks and gains of the relevant items, in the order of the rows, ascending within a row."""
    counts = np.diff(relevance.indptr)
    rows = np.repeat(np.arange(len(counts)), counts)
    found = scores[rows, relevance.indices]
    order = np.lexsort((-found, rows))
    found, gains = found[order], relevance.data[order]
    position = np.arange(len(rows)) - np.repeat(relevance.indptr[:-1], counts)
    others = scores.copy()
    others[rows, relevance.indices] = -np.inf
    count_above = _count_by_comparing if counts.max() <= _COUNT_UP_TO else _count_by_sorting
    return 1 + position + count_above(others, found - tolerance, relevance.indptr, rows), gains


def _count_by_comparing(others, thresholds, indptr, rows):
    counts = np.empty(len(rows), dtype=np.int64)
    position = np.arange(len(rows)) - indptr[rows]
    for slot in range(position.max() + 1):
        chosen = np.flatnonzero(position == slot)
        counts[chosen] = np.count_nonzero(others[rows[chosen]] >= thresholds[chosen, None], axis=1)
    return counts


def _count_by_sorting(others, thresholds, indptr, rows):
    others.sort(axis=1)
    width = others.shape[1]
    parts = [
        width - np.searchsorted(row, thresholds[start:stop], side="left")
        for row, start, stop in zip(others, indptr[:-1], indptr[1:], strict=True)
    ]
    return np.concatenate(parts)


def _collect(blocks, relevance):
    ranks = np.concatenate([ranks for ranks, _ in blocks])
    gains = np.concatenate([gains for _, gains in blocks])
    return RelevantRanks(relevance.indptr.astype(np.int64), ranks, gains, relevance.shape[1])
