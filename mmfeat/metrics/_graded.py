"""How good a ranking is where several items are relevant, more or less so."""

import numpy as np

from mmfeat.metrics._metrics import as_ranks, averaged, check_k


def mean_average_precision(scores, relevance=None, *, average=True):
    """Mean over the queries of the average of the precisions at the ranks of the relevant items.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery) or RelevantRanks
        As in :func:`recall_at_k`.
    relevance : None, array-like or sparse matrix, default=None
        As in :func:`rank_relevant`; positive grades count as relevant.
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
    >>> from mmfeat.metrics import match_groups, mean_average_precision
    >>> mean_average_precision([[0.9, 0.5, 0.1]], match_groups([1], [1, 0, 1]))
    0.8333333333333333
    """
    ranks = as_ranks(scores, relevance)
    precisions = _positions(ranks) / ranks.ranks
    return averaged(np.add.reduceat(precisions, ranks.indptr[:-1]) / np.diff(ranks.indptr), average)


def mean_average_precision_at_r(scores, relevance=None, *, average=True):
    """Mean average precision over the first R items alone, R being how many items are relevant to the query.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery) or RelevantRanks
        As in :func:`recall_at_k`.
    relevance : None, array-like or sparse matrix, default=None
        As in :func:`rank_relevant`; positive grades count as relevant.
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
    >>> from mmfeat.metrics import match_groups, mean_average_precision_at_r
    >>> mean_average_precision_at_r([[0.9, 0.5, 0.1]], match_groups([1], [1, 0, 1]))
    0.5
    """
    ranks = as_ranks(scores, relevance)
    counts = np.diff(ranks.indptr)
    precisions = np.where(ranks.ranks <= np.repeat(counts, counts), _positions(ranks) / ranks.ranks, 0)
    return averaged(np.add.reduceat(precisions, ranks.indptr[:-1]) / counts, average)


def ndcg(scores, relevance=None, *, k=None, average=True):
    """Normalised discounted cumulative gain: graded answers, worth less the further down they stand.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery) or RelevantRanks
        As in :func:`recall_at_k`.
    relevance : None, array-like or sparse matrix, default=None
        As in :func:`rank_relevant`; the grades are the gains.
    k : int or None, default=None
        Only the first `k` ranks count; None takes the whole gallery.
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
    >>> round(ndcg([[0.9, 0.5, 0.1]], [[0, 2, 1]]), 4)
    0.6697
    """
    ranks = as_ranks(scores, relevance)
    k = ranks.n_gallery if k is None else check_k(k, ranks)
    starts = ranks.indptr[:-1]
    query = np.repeat(np.arange(ranks.n_queries), np.diff(ranks.indptr))
    gained = np.where(ranks.ranks <= k, ranks.gains / np.log2(ranks.ranks + 1.0), 0)
    ideal_rank = _positions(ranks)
    ideal_gains = ranks.gains[np.lexsort((-ranks.gains, query))]
    ideal = np.where(ideal_rank <= k, ideal_gains / np.log2(ideal_rank + 1.0), 0)
    return averaged(np.add.reduceat(gained, starts) / np.add.reduceat(ideal, starts), average)


def _positions(ranks):
    """Number of each relevant item among those of its query, from 1."""
    return 1 + np.arange(len(ranks.ranks)) - np.repeat(ranks.indptr[:-1], np.diff(ranks.indptr))
