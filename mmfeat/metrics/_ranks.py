"""Ranks of the relevant items of all queries, from scores or from embeddings."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, gen_batches

from mmfeat.metrics._relevance import named, resolve_relevance
from mmfeat.utils._groups import group_codes
from mmfeat.utils._ranks import relevant_ranks, tie_tolerance
from mmfeat.utils._rows import unit_rows

# Scores are doubted, as distances, where so many queries and items have the right ones lowest in more than this share.
_FEWEST_TO_DOUBT, _SHARE_TO_DOUBT = 10, 0.9
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


@named
def rank_relevant(scores, *, relevance=None, positions=None, query_labels=None, gallery_labels=None, groups=None):
    """Rank the relevant items of each query in a matrix of scores.

    The rank of a relevant item is one plus the number of items that score higher, where an irrelevant item with the
    *same* score counts as higher: a system that scores everything alike gets the last place, not the first.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery)
        Higher is more similar; negative scores are ordinary scores.
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery), default=None
        Grades, of which the positive ones are relevant. What is right is given in one way: by this, by `positions` or by
        labels; in none of them, item ``i`` is the one right answer to query ``i``.
    positions : array-like of shape (n_queries,), default=None
        Row of the one right item of each query in the gallery, counted from 0.
    query_labels, gallery_labels : array-like of shape (n_queries,) and (n_gallery,), default=None
        Classes or identifiers, numbers or strings: all items of the query's label are right. With class labels of pairs,
        the same labels twice.
    groups : array-like of shape (n_queries,) or None, default=None
        The image that each query belongs to, kept for intervals and tests.

    Returns
    -------
    ranks : RelevantRanks

    Raises
    ------
    ValueError
        If a score is NaN or infinite, shapes do not agree, or a query has no relevant item.

    Warns
    -----
    UserWarning
        If the right items have the lowest scores of nearly all queries, as where distances are passed.

    Examples
    --------
    >>> from mmfeat.metrics import rank_relevant
    >>> scores = [[0.1, 0.7, 0.3], [0.1, 0.7, 0.3]]
    >>> rank_relevant(scores, positions=[1, 2]).first
    array([1, 2])
    >>> rank_relevant(scores, query_labels=["cat", "dog"], gallery_labels=["dog", "cat", "cat"]).ranks
    array([1, 2, 3])
    """
    scores = _check_scores(scores)
    relevance = resolve_relevance(
        scores.shape,
        relevance=relevance,
        positions=positions,
        query_labels=query_labels,
        gallery_labels=gallery_labels,
    )
    block = relevant_ranks(scores, relevance)
    _doubt_distances(_n_lowest(scores, relevance), scores.shape)
    return _collect([block], relevance, groups)


@named
def rank_embeddings(
    queries,
    gallery,
    *,
    relevance=None,
    positions=None,
    query_labels=None,
    gallery_labels=None,
    groups=None,
    block_size=None,
):
    """Rank the relevant items of each query by cosine similarity, without ever holding all the scores.

    Parameters
    ----------
    queries : array-like of shape (n_queries, n_components)
    gallery : array-like of shape (n_gallery, n_components)
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery), default=None
        Grades, as in :func:`rank_relevant`.
    positions : array-like of shape (n_queries,), default=None
        Row of the one right item of each query, counted from 0.
    query_labels, gallery_labels : array-like of shape (n_queries,) and (n_gallery,), default=None
        Classes or identifiers: an item of the query's label is right.
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
    >>> rank_embeddings(np.eye(3), np.eye(3)[[1, 0, 2]], positions=[1, 0, 2]).first
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
    relevance = resolve_relevance(
        (len(queries), len(gallery)),
        relevance=relevance,
        positions=positions,
        query_labels=query_labels,
        gallery_labels=gallery_labels,
    )
    tolerance = tie_tolerance(dtype)
    blocks = [
        relevant_ranks(queries[rows] @ gallery.T, relevance[rows], tolerance)
        for rows in gen_batches(len(queries), block_size or _block_size(relevance, dtype))
    ]
    return _collect(blocks, relevance, groups)


@named
def rank_scored(
    score,
    queries,
    *,
    relevance=None,
    query_labels=None,
    gallery_labels=None,
    tolerance=0.0,
    groups=None,
    block_size=None,
):
    """Rank the relevant items of each query by any score, without ever holding all the scores.

    Parameters
    ----------
    score : callable
        From a block of queries to their scores, array of shape (n_block, n_gallery), higher is more similar; for example
        what ``Retriever.scores_against`` gives.
    queries : array-like of shape (n_queries, ...)
        Handed to `score` in blocks of consecutive rows.
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery), default=None
        Grades, as in :func:`rank_relevant`; this or the labels must be given, they say how large the gallery is.
    query_labels, gallery_labels : array-like of shape (n_queries,) and (n_gallery,), default=None
        Classes or identifiers: an item of the query's label is right.
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
    >>> from mmfeat.metrics import rank_scored
    >>> gallery = np.array([[0.0], [2.0], [5.0]])
    >>> nearness = lambda queries: -np.abs(queries - gallery.T)
    >>> rank_scored(nearness, np.array([[0.9], [4.0]]), query_labels=[0, 1], gallery_labels=[0, 1, 1]).first
    array([1, 1])
    """
    if relevance is None and gallery_labels is None:
        raise ValueError(
            "A function does not say how large the gallery is. Give `relevance`, a matrix as `match_groups` makes it, or "
            "`query_labels` and `gallery_labels`."
        )
    n_gallery = len(gallery_labels) if relevance is None else np.shape(relevance)[-1]
    relevance = resolve_relevance(
        (len(queries), n_gallery), relevance=relevance, query_labels=query_labels, gallery_labels=gallery_labels
    )
    blocks, n_lowest = [], 0
    for rows in gen_batches(len(queries), block_size or _block_size(relevance, np.dtype(np.float64))):
        scores = _check_scores(score(queries[rows]))
        if scores.shape != (rows.stop - rows.start, relevance.shape[1]):
            raise ValueError(
                f"`score` must give scores of shape {(rows.stop - rows.start, relevance.shape[1])}. Got {scores.shape} instead."
            )
        margins = tolerance * np.abs(scores).max(axis=1)
        blocks.append(relevant_ranks(scores, relevance[rows], margins))
        n_lowest += _n_lowest(scores, relevance[rows])
    _doubt_distances(n_lowest, relevance.shape)
    return _collect(blocks, relevance, groups)


def _check_scores(scores):
    """A matrix of finite numbers, rows are queries."""
    scores = scores if sparse.issparse(scores) else np.asarray(scores)
    if scores.ndim != 2:
        raise ValueError(
            f"`scores` must be a matrix, one row a query and one column an item. Got shape {scores.shape} instead. "
            "Wrap the scores of a single query in a list."
        )
    scores = check_array(scores, dtype=[np.float64, np.float32], ensure_all_finite=False, input_name="scores")
    if not np.isfinite(scores).all():
        row, column = np.argwhere(~np.isfinite(scores))[0]
        raise ValueError(
            f"scores[{row}, {column}] is {scores[row, column]}. Scores must be finite, not NaN or infinity; to leave an item "
            "out, give it a score below all others."
        )
    return scores


def _n_lowest(scores, relevance):
    """Number of queries whose right items all score lower than the others."""
    counts = np.diff(relevance.indptr)
    found = scores[np.repeat(np.arange(len(counts)), counts), relevance.indices]
    best = np.maximum.reduceat(found, relevance.indptr[:-1])
    lower_or_level = np.count_nonzero(scores <= best[:, None], axis=1)
    # Of a query for which all is right, nothing can be said.
    return np.count_nonzero((lower_or_level == counts) & (counts < scores.shape[1]))


def _doubt_distances(n_lowest, shape):
    """Warn where the right items are lowest so often as chance does not make them."""
    if min(shape) >= _FEWEST_TO_DOUBT and n_lowest > _SHARE_TO_DOUBT * shape[0]:
        warnings.warn(
            "The right items have the lowest scores of nearly all queries, as distances would give. Higher must be more "
            "similar: pass the negative of distances.",
            UserWarning,
            stacklevel=4,
        )


def _block_size(relevance, dtype):
    return max(1, _BLOCK_BYTES // (dtype.itemsize * relevance.shape[1]))


def _collect(blocks, relevance, groups):
    ranks = np.concatenate([ranks for ranks, _ in blocks])
    gains = np.concatenate([gains for _, gains in blocks])
    if groups is not None:
        group_codes(groups, "groups")
        groups = np.asarray(groups)
        if len(groups) != relevance.shape[0]:
            raise ValueError(f"`groups` must have one value a query, {relevance.shape[0]}. Got {len(groups)} instead.")
    return RelevantRanks(relevance.indptr.astype(np.int64), ranks, gains, relevance.shape[1], groups)
