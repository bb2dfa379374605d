"""How good a ranking is where several items are relevant, more or less so."""

import numpy as np

from mmfeat.metrics._metrics import as_ranks, averaged, check_k
from mmfeat.metrics._relevance import named
from mmfeat.utils._ranks import average_precisions, positions_of


@named
def mean_average_precision(
    scores, *, relevance=None, positions=None, query_labels=None, gallery_labels=None, average=True
):
    """Mean over the queries of the average of the precisions at the ranks of the relevant items.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery) or RelevantRanks
        As in :func:`recall_at_k`.
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery), default=None
        Grades, as in :func:`rank_relevant`; positive grades count as relevant.
    positions : array-like of shape (n_queries,), default=None
        Row of the one right item of each query, counted from 0.
    query_labels, gallery_labels : array-like of shape (n_queries,) and (n_gallery,), default=None
        Classes or identifiers: an item of the query's label is right.
    average : bool, default=True
        False gives the average precision of each query.

    Returns
    -------
    map : float or ndarray of shape (n_queries,)
        In (0, 1].

    Raises
    ------
    ValueError
        If the scores or the relevance are invalid.

    References
    ----------
    Manning, C., Raghavan, P. and Schütze, H. (2008). Introduction to Information Retrieval, section 8.4.

    Examples
    --------
    >>> from mmfeat.metrics import mean_average_precision
    >>> mean_average_precision([[0.9, 0.5, 0.1]], query_labels=[1], gallery_labels=[1, 0, 1])
    0.8333333333333333
    """
    ranks = as_ranks(scores, relevance, positions, query_labels, gallery_labels)
    return averaged(average_precisions(ranks.ranks, ranks.indptr), average)


@named
def mean_average_precision_at_r(
    scores, *, relevance=None, positions=None, query_labels=None, gallery_labels=None, average=True
):
    """Mean average precision over the first R items alone, R being how many items are relevant to the query.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery) or RelevantRanks
        As in :func:`recall_at_k`.
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
    map_at_r : float or ndarray of shape (n_queries,)
        In [0, 1]. With one relevant item a query it is recall at 1.

    Raises
    ------
    ValueError
        If the scores or the relevance are invalid.

    References
    ----------
    Musgrave, K., Belongie, S. and Lim, S. (2020). A metric learning reality check. ECCV, section 3.2.

    Examples
    --------
    >>> from mmfeat.metrics import mean_average_precision_at_r
    >>> mean_average_precision_at_r([[0.9, 0.5, 0.1]], query_labels=[1], gallery_labels=[1, 0, 1])
    0.5
    """
    ranks = as_ranks(scores, relevance, positions, query_labels, gallery_labels)
    counts = np.diff(ranks.indptr)
    precisions = np.where(ranks.ranks <= np.repeat(counts, counts), positions_of(ranks.indptr) / ranks.ranks, 0)
    return averaged(np.add.reduceat(precisions, ranks.indptr[:-1]) / counts, average)


@named
def ndcg(
    scores,
    *,
    k=None,
    relevance=None,
    positions=None,
    query_labels=None,
    gallery_labels=None,
    average=True,
):
    """Normalised discounted cumulative gain: graded answers, worth less the further down they stand.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery) or RelevantRanks
        As in :func:`recall_at_k`.
    k : int or None, default=None
        Only the first `k` ranks count; None takes the whole gallery.
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery), default=None
        Grades, as in :func:`rank_relevant`; the grades are the gains.
    positions : array-like of shape (n_queries,), default=None
        Row of the one right item of each query, counted from 0.
    query_labels, gallery_labels : array-like of shape (n_queries,) and (n_gallery,), default=None
        Classes or identifiers: an item of the query's label is right.
    average : bool, default=True
        False gives the value of each query.

    Returns
    -------
    ndcg : float or ndarray of shape (n_queries,)
        In [0, 1].

    Raises
    ------
    ValueError
        If `k` is not an integer in [1, n_gallery], or the scores or the relevance are invalid.

    References
    ----------
    Järvelin, K. and Kekäläinen, J. (2002). Cumulated gain-based evaluation of IR techniques. ACM TOIS 20(4). Linear
    gains and a discount of ``1 / log2(rank + 1)``, as in :func:`sklearn.metrics.ndcg_score`.

    Examples
    --------
    >>> from mmfeat.metrics import ndcg
    >>> round(ndcg([[0.9, 0.5, 0.1]], relevance=[[0, 2, 1]]), 4)
    0.6697
    """
    ranks = as_ranks(scores, relevance, positions, query_labels, gallery_labels)
    k = ranks.n_gallery if k is None else check_k(k, ranks)
    starts = ranks.indptr[:-1]
    query = np.repeat(np.arange(ranks.n_queries), np.diff(ranks.indptr))
    gained = np.where(ranks.ranks <= k, ranks.gains / np.log2(ranks.ranks + 1.0), 0)
    ideal_rank = positions_of(ranks.indptr)
    ideal_gains = ranks.gains[np.lexsort((-ranks.gains, query))]
    ideal = np.where(ideal_rank <= k, ideal_gains / np.log2(ideal_rank + 1.0), 0)
    return averaged(np.add.reduceat(gained, starts) / np.add.reduceat(ideal, starts), average)
