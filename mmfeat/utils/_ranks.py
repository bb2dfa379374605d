"""Ranks of the relevant items: the one computation behind metrics, chosen ridges, early stopping and fused scores."""

import numpy as np
from scipy import sparse
from scipy.stats import rankdata

# Up to this many relevant items a query, counting is faster than sorting the row.
_COUNT_UP_TO = 16


def tie_tolerance(dtype):
    """Largest difference of two cosines that is rounding: equal vectors get unequal last digits from a blocked product.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the embeddings that were multiplied.

    Returns
    -------
    tolerance : float
    """
    return 1e-6 if np.dtype(dtype) == np.float32 else 1e-14


def relevant_ranks(scores, relevance, tolerance=0.0):
    """Rank all relevant items of each query; irrelevant items with the same score are ranked before them.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_gallery)
        Higher is more similar.
    relevance : csr_array of shape (n_queries, n_gallery)
        Each row has at least one entry, and none is zero.
    tolerance : float or ndarray of shape (n_queries,), default=0.0
        Scores that differ by no more are the same.

    Returns
    -------
    ranks : ndarray of shape (n_relevant,), dtype int64
        From 1, ascending within a query, the queries in the rows of ``relevance.indptr``.
    gains : ndarray of shape (n_relevant,)
        Entry of `relevance` at each rank.
    """
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


def first_ranks(scores, relevance, tolerance=0.0):
    """Rank the best relevant item of each query; ties count against.

    Parameters
    ----------
    scores, relevance, tolerance : see :func:`relevant_ranks`

    Returns
    -------
    ranks : ndarray of shape (n_queries,), dtype int64
    """
    counts = np.diff(relevance.indptr)
    rows = np.repeat(np.arange(len(counts)), counts)
    found = scores[rows, relevance.indices]
    least = np.maximum.reduceat(found, relevance.indptr[:-1]) - tolerance
    level = np.count_nonzero(scores >= least[:, None], axis=1)
    return 1 + level - np.bincount(rows[found >= least[rows]], minlength=len(counts))


def first_ranks_both_ways(i2t, t2i, owners, tolerance=0.0):
    """Rank the best caption of each image, and the image of each caption.

    Parameters
    ----------
    i2t : ndarray of shape (n_images, n_captions)
        Scores of the captions for each image.
    t2i : ndarray of shape (n_captions, n_images)
        Scores of the images for each caption.
    owners : ndarray of shape (n_captions,), dtype int
        Image of each caption; every image has one.
    tolerance : float, default=0.0
        As in :func:`relevant_ranks`.

    Returns
    -------
    of_images, of_captions : ndarray, dtype int64
    """
    places = np.arange(len(owners))
    relevance = sparse.csr_array((np.ones(len(owners)), (places, owners)), shape=t2i.shape)
    return first_ranks(i2t, relevance.T.tocsr(), tolerance), first_ranks(t2i, relevance, tolerance)


def mean_reciprocal_rank_both_ways(scores, owners):
    """Mean reciprocal rank over both directions of one matrix of cosines.

    Parameters
    ----------
    scores : ndarray of shape (n_images, n_captions)
    owners : ndarray of shape (n_captions,), dtype int
        Image of each caption; every image has one.

    Returns
    -------
    score : float
    """
    ranks = first_ranks_both_ways(scores, scores.T, owners, tie_tolerance(scores.dtype))
    return float(np.mean([np.mean(1 / part) for part in ranks]))


def average_precisions(ranks, indptr):
    """Mean of the precisions at the ranks of the relevant items of each query.

    Parameters
    ----------
    ranks : ndarray of shape (n_relevant,)
        From :func:`relevant_ranks`.
    indptr : ndarray of shape (n_queries + 1,)
        Where the ranks of each query begin and end.

    Returns
    -------
    values : ndarray of shape (n_queries,)
    """
    return np.add.reduceat(positions_of(indptr) / ranks, indptr[:-1]) / np.diff(indptr)


def positions_of(indptr):
    """Number of each relevant item among those of its query, from 1."""
    return 1 + np.arange(indptr[-1]) - np.repeat(indptr[:-1], np.diff(indptr))


def all_ranks(scores):
    """Rank every item of each query; items with equal scores all have the last of the places that they share.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_gallery)

    Returns
    -------
    ranks : ndarray of shape (n_queries, n_gallery), from 1
    """
    return rankdata(-scores, method="max", axis=1)


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
