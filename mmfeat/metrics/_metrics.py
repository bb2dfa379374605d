"""How good a ranking is, each from the ranks of the first relevant items."""

import numpy as np

from mmfeat.metrics._ranks import RelevantRanks, rank_relevant
from mmfeat.metrics._relevance import named


@named
def recall_at_k(
    scores,
    *,
    k=10,
    relevance=None,
    positions=None,
    query_labels=None,
    gallery_labels=None,
    average=True,
):
    """Share of queries with at least one relevant item among the first `k`.

    This is the hit recall of the image-text literature: with five captions to an image, one of them among the first
    `k` is enough. The recall of information retrieval, the share of the relevant items found, is another quantity.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery) or RelevantRanks
        Scores, higher is more similar, or ranks from :func:`rank_relevant` or :func:`rank_embeddings`.
    k : int, default=10
        Length of the list that is looked at, at most the size of the gallery.
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery), default=None
        Grades, as in :func:`rank_relevant`; none of these with ranks, which hold them.
    positions : array-like of shape (n_queries,), default=None
        Row of the one right item of each query, counted from 0.
    query_labels, gallery_labels : array-like of shape (n_queries,) and (n_gallery,), default=None
        Classes or identifiers: an item of the query's label is right.
    average : bool, default=True
        False gives the value of each query, ndarray of shape (n_queries,), whose mean the metric is.

    Returns
    -------
    recall : float or ndarray of shape (n_queries,)
        In [0, 1]. Ties count against: a constant score gives 0 for every `k` below the size of the gallery.

    Raises
    ------
    ValueError
        If `k` is not an integer in [1, n_gallery], or the scores or the relevance are invalid.

    References
    ----------
    Hodosh, M., Young, P. and Hockenmaier, J. (2013). Framing image description as a ranking task. JAIR 47, section 4.

    Examples
    --------
    >>> from mmfeat.metrics import recall_at_k
    >>> scores = [[0.9, 0.1, 0.5], [0.2, 0.1, 0.4], [0.3, 0.1, 0.2]]
    >>> recall_at_k(scores, k=2)
    0.6666666666666666
    >>> recall_at_k(scores, k=2, average=False)
    array([1., 0., 1.])
    """
    ranks = as_ranks(scores, relevance, positions, query_labels, gallery_labels)
    return averaged(ranks.first <= check_k(k, ranks), average)


@named
def precision_at_k(
    scores,
    *,
    k=10,
    relevance=None,
    positions=None,
    query_labels=None,
    gallery_labels=None,
    average=True,
):
    """Mean over the queries of the share of the first `k` items that are relevant.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery) or RelevantRanks
        As in :func:`recall_at_k`.
    k : int, default=10
        At most the size of the gallery.
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery), default=None
        Grades, as in :func:`rank_relevant`; positive grades count as relevant.
    positions : array-like of shape (n_queries,), default=None
        Row of the one right item of each query, counted from 0.
    query_labels, gallery_labels : array-like of shape (n_queries,) and (n_gallery,), default=None
        Classes or identifiers: an item of the query's label is right.
    average : bool, default=True
        False gives the value of each query.

    Returns
    -------
    precision : float or ndarray of shape (n_queries,)
        In [0, 1]; a query with fewer than `k` relevant items cannot reach 1.

    Raises
    ------
    ValueError
        If `k` is not an integer in [1, n_gallery], or the scores or the relevance are invalid.

    References
    ----------
    Manning, C., Raghavan, P. and Schütze, H. (2008). Introduction to Information Retrieval, section 8.4.

    Examples
    --------
    >>> from mmfeat.metrics import precision_at_k
    >>> precision_at_k([[0.9, 0.5, 0.1]], k=2, query_labels=[1], gallery_labels=[1, 0, 1])
    0.5
    """
    ranks = as_ranks(scores, relevance, positions, query_labels, gallery_labels)
    found = np.add.reduceat(ranks.ranks <= check_k(k, ranks), ranks.indptr[:-1], dtype=np.int64)
    return averaged(found / k, average)


@named
def mean_reciprocal_rank(
    scores, *, relevance=None, positions=None, query_labels=None, gallery_labels=None, average=True
):
    """Mean over the queries of one over the rank of the best relevant item.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery) or RelevantRanks
        As in :func:`recall_at_k`.
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery), default=None
        Grades, as in :func:`rank_relevant`.
    positions : array-like of shape (n_queries,), default=None
        Row of the one right item of each query, counted from 0.
    query_labels, gallery_labels : array-like of shape (n_queries,) and (n_gallery,), default=None
        Classes or identifiers: an item of the query's label is right.
    average : bool, default=True
        False gives the value of each query.

    Returns
    -------
    mrr : float or ndarray of shape (n_queries,)
        In (0, 1]; higher is better.

    Raises
    ------
    ValueError
        If the scores or the relevance are invalid.

    References
    ----------
    Voorhees, E. (1999). The TREC-8 question answering track report. TREC 8.

    Examples
    --------
    >>> from mmfeat.metrics import mean_reciprocal_rank
    >>> mean_reciprocal_rank([[0.9, 0.1], [0.9, 0.1]])
    0.75
    """
    return averaged(1 / as_ranks(scores, relevance, positions, query_labels, gallery_labels).first, average)


@named
def mean_rank(scores, *, relevance=None, positions=None, query_labels=None, gallery_labels=None, average=True):
    """Mean over the queries of the rank of the best relevant item; 1 is perfect.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery) or RelevantRanks
        As in :func:`recall_at_k`.
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery), default=None
        Grades, as in :func:`rank_relevant`.
    positions : array-like of shape (n_queries,), default=None
        Row of the one right item of each query, counted from 0.
    query_labels, gallery_labels : array-like of shape (n_queries,) and (n_gallery,), default=None
        Classes or identifiers: an item of the query's label is right.
    average : bool, default=True
        False gives the rank of each query.

    Returns
    -------
    rank : float or ndarray of shape (n_queries,)
        In [1, n_gallery]; lower is better.

    Raises
    ------
    ValueError
        If the scores or the relevance are invalid.

    Examples
    --------
    >>> from mmfeat.metrics import mean_rank
    >>> mean_rank([[0.9, 0.1, 0.5], [0.2, 0.1, 0.4], [0.3, 0.1, 0.2]])
    2.0
    """
    return averaged(as_ranks(scores, relevance, positions, query_labels, gallery_labels).first, average)


@named
def median_rank(scores, *, relevance=None, positions=None, query_labels=None, gallery_labels=None):
    """Median over the queries of the rank of the best relevant item; 1 is perfect.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery) or RelevantRanks
        As in :func:`recall_at_k`.
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery), default=None
        Grades, as in :func:`rank_relevant`.
    positions : array-like of shape (n_queries,), default=None
        Row of the one right item of each query, counted from 0.
    query_labels, gallery_labels : array-like of shape (n_queries,) and (n_gallery,), default=None
        Classes or identifiers: an item of the query's label is right.

    Returns
    -------
    rank : float
        In [1, n_gallery]; lower is better.

    Raises
    ------
    ValueError
        If the scores or the relevance are invalid.

    Examples
    --------
    >>> from mmfeat.metrics import median_rank
    >>> median_rank([[0.9, 0.1, 0.5], [0.2, 0.1, 0.4], [0.3, 0.1, 0.2]])
    2.0
    """
    return float(np.median(as_ranks(scores, relevance, positions, query_labels, gallery_labels).first))


def as_ranks(scores, relevance=None, positions=None, query_labels=None, gallery_labels=None):
    """Ranks as they are, or of scores."""
    right = {
        "relevance": relevance,
        "positions": positions,
        "query_labels": query_labels,
        "gallery_labels": gallery_labels,
    }
    if isinstance(scores, dict):
        raise ValueError(
            f"These are rankings by direction, {sorted(scores)}. Pass one of them, for example `rankings['t2i']`."
        )
    if not isinstance(scores, RelevantRanks):
        return rank_relevant(scores, **right)
    given = [name for name, value in right.items() if value is not None]
    if given:
        raise ValueError(f"Ranks hold what is right already. Pass `{given[0]}` to `rank_relevant` instead.")
    return scores


def averaged(values, average):
    """The mean of the values of the queries, or these."""
    values = np.asarray(values, dtype=np.float64)
    return float(values.mean()) if average else values


def check_k(k, ranks):
    """`k` if it lies between one and the size of the gallery."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= ranks.n_gallery:
        raise ValueError(
            f"`k` must be an integer between 1 and the size of the gallery, {ranks.n_gallery}. Got {k!r} instead. "
            "Reduce `k` or enlarge the gallery."
        )
    return k
