"""Ranks of the relevant items: the one computation behind every metric."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_array, gen_batches

from mmfeat.metrics._relevance import check_relevance
from mmfeat.utils._groups import group_codes
from mmfeat.utils._rows import unit_rows

# Up to this many relevant items a query, counting is faster than sorting the row.
_COUNT_UP_TO = 16
# Bytes of scores held at a time.
_BLOCK_BYTES = 64 << 20


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
    groups : ndarray of shape (n_queries,) or None, default=None
        The image that each query belongs to. :func:`bootstrap_interval` and :func:`paired_test` draw whole groups, since
        the captions of one image succeed and fail together; None takes each query on its own.

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
    groups: np.ndarray | None = None

    @property
    def first(self):
        """Rank of the best relevant item of each query, ndarray of shape (n_queries,)."""
        return self.ranks[self.indptr[:-1]]

    @property
    def n_queries(self):
        """Number of queries."""
        return len(self.indptr) - 1


def rank_relevant(scores, relevance=None, *, groups=None):
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
    groups : array-like of shape (n_queries,) or None, default=None
        The image that each query belongs to, kept for intervals and tests.

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
    relevance = check_relevance(relevance, scores.shape)
    return _collect([_rank_block(scores, relevance, 0.0)], relevance, groups)


def rank_embeddings(queries, gallery, relevance=None, *, groups=None, block_size=None):
    """Rank the relevant items of each query by cosine similarity, without ever holding all the scores.

    Parameters
    ----------
    queries : array-like of shape (n_queries, n_components)
    gallery : array-like of shape (n_gallery, n_components)
    relevance : None, array-like or sparse matrix, default=None
        As in :func:`rank_relevant`.
    groups : array-like of shape (n_queries,) or None, default=None
        The image that each query belongs to, kept for intervals and tests.
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
    relevance = check_relevance(relevance, (len(queries), len(gallery)))
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    blocks = [
        _rank_block(queries[rows] @ gallery.T, relevance[rows], tolerance)
        for rows in gen_batches(len(queries), block_size or _block_size(relevance, dtype))
    ]
    return _collect(blocks, relevance, groups)


def rank_scored(score, queries, relevance, *, tolerance=0.0, groups=None, block_size=None):
    """Rank the relevant items of each query by any score, without ever holding all the scores.

    Parameters
    ----------
    score : callable
        From a block of queries to their scores, array of shape (n_block, n_gallery), higher is more similar; for example
        what ``Retriever.scores_against`` gives.
    queries : array-like of shape (n_queries, ...)
        Handed to `score` in blocks of consecutive rows.
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery)
        As in :func:`rank_relevant`; its shape says how large the gallery is.
    tolerance : float, default=0.0
        Two scores are a tie if they differ by no more than this times the largest score, without sign, of the query. Scores from
        products in float32 are equal only to about 1e-6.
    groups : array-like of shape (n_queries,) or None, default=None
        The image that each query belongs to, kept for intervals and tests.
    block_size : int or None, default=None
        Number of queries scored at a time; None takes what fits in 64 MiB of scores.

    Returns
    -------
    ranks : RelevantRanks
        Ties count against.

    Raises
    ------
    ValueError
        If a score is NaN or infinite, shapes do not agree, or a query has no relevant item.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.metrics import match_groups, rank_scored
    >>> gallery = np.array([[0.0], [2.0], [5.0]])
    >>> nearness = lambda queries: -np.abs(queries - gallery.T)
    >>> rank_scored(nearness, np.array([[0.9], [4.0]]), match_groups([0, 1], [0, 1, 1])).first
    array([1, 1])
    """
    shape = getattr(relevance, "shape", np.shape(relevance))
    if len(shape) != 2:
        raise ValueError(f"`relevance` must be a matrix, as `match_groups` gives it. Got shape {shape} instead.")
    relevance = check_relevance(relevance, shape)
    if len(queries) != relevance.shape[0]:
        raise ValueError(f"relevance has {relevance.shape[0]} rows for {len(queries)} queries. Give one row a query.")
    blocks = []
    for rows in gen_batches(len(queries), block_size or _block_size(relevance, np.dtype(np.float64))):
        scores = check_array(score(queries[rows]), dtype=[np.float64, np.float32], input_name="scores")
        if scores.shape != (rows.stop - rows.start, relevance.shape[1]):
            raise ValueError(
                f"`score` must give scores of shape {(rows.stop - rows.start, relevance.shape[1])}. Got {scores.shape} instead."
            )
        margins = tolerance * np.abs(scores).max(axis=1)
        blocks.append(_rank_block(scores, relevance[rows], margins))
    return _collect(blocks, relevance, groups)


def _block_size(relevance, dtype):
    return max(1, _BLOCK_BYTES // (dtype.itemsize * relevance.shape[1]))


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
    margins = tolerance[rows] if np.ndim(tolerance) else tolerance
    return 1 + position + count_above(others, found - margins, relevance.indptr, rows), gains


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


def _collect(blocks, relevance, groups):
    ranks = np.concatenate([ranks for ranks, _ in blocks])
    gains = np.concatenate([gains for _, gains in blocks])
    if groups is not None:
        group_codes(groups, "groups")
        groups = np.asarray(groups)
        if len(groups) != relevance.shape[0]:
            raise ValueError(f"`groups` must have one value a query, {relevance.shape[0]}. Got {len(groups)} instead.")
    return RelevantRanks(relevance.indptr.astype(np.int64), ranks, gains, relevance.shape[1], groups)
