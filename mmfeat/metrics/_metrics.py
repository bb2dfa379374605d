"""Metrics of a ranking, each from the ranks of the relevant items."""

import numpy as np

from mmfeat.metrics._ranks import RelevantRanks, rank_relevant


def recall_at_k(scores, relevance=None, *, k=10):
    """Share of queries with at least one relevant item among the first `k`.

    This is the hit recall of the image-text literature: with five captions to an image, one of them among the first
    `k` is enough. The recall of information retrieval, the share of the relevant items found, is another quantity.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery) or RelevantRanks
        Scores, higher is more similar, or ranks from :func:`rank_relevant` or :func:`rank_embeddings`.
    relevance : None, array-like or sparse matrix, default=None
        What is right for each query, as in :func:`rank_relevant`; must be None when `scores` are ranks.
    k : int, default=10
        Length of the list that is looked at, at most the size of the gallery.

    Returns
    -------
    recall : float
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
    """
    ranks = _as_ranks(scores, relevance)
    return float(np.mean(ranks.first <= _check_k(k, ranks)))


def median_rank(scores, relevance=None):
    """Median over the queries of the rank of the best relevant item; 1 is perfect.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery) or RelevantRanks
        As in :func:`recall_at_k`.
    relevance : None, array-like or sparse matrix, default=None
        As in :func:`rank_relevant`.

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
    return float(np.median(_as_ranks(scores, relevance).first))


def mean_average_precision(scores, relevance=None):
    """Mean over the queries of the average of the precisions at the ranks of the relevant items.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery) or RelevantRanks
        As in :func:`recall_at_k`.
    relevance : None, array-like or sparse matrix, default=None
        As in :func:`rank_relevant`; positive grades count as relevant.

    Returns
    -------
    map : float
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
    ranks = _as_ranks(scores, relevance)
    counts = np.diff(ranks.indptr)
    position = 1 + np.arange(len(ranks.ranks)) - np.repeat(ranks.indptr[:-1], counts)
    sums = np.add.reduceat(position / ranks.ranks, ranks.indptr[:-1])
    return float(np.mean(sums / counts))


def ndcg(scores, relevance=None, *, k=None):
    """Normalised discounted cumulative gain: graded answers, worth less the further down they stand.

    Parameters
    ----------
    scores : array-like of shape (n_queries, n_gallery) or RelevantRanks
        As in :func:`recall_at_k`.
    relevance : None, array-like or sparse matrix, default=None
        As in :func:`rank_relevant`; the grades are the gains.
    k : int or None, default=None
        Only the first `k` ranks count; None takes the whole gallery.

    Returns
    -------
    ndcg : float
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
    ranks = _as_ranks(scores, relevance)
    k = ranks.n_gallery if k is None else _check_k(k, ranks)
    starts = ranks.indptr[:-1]
    query = np.repeat(np.arange(ranks.n_queries), np.diff(ranks.indptr))
    gained = np.where(ranks.ranks <= k, ranks.gains / np.log2(ranks.ranks + 1.0), 0)
    ideal_rank = 1 + np.arange(len(query)) - starts[query]
    ideal_gains = ranks.gains[np.lexsort((-ranks.gains, query))]
    ideal = np.where(ideal_rank <= k, ideal_gains / np.log2(ideal_rank + 1.0), 0)
    return float(np.mean(np.add.reduceat(gained, starts) / np.add.reduceat(ideal, starts)))


def _as_ranks(scores, relevance):
    if not isinstance(scores, RelevantRanks):
        return rank_relevant(scores, relevance)
    if relevance is not None:
        raise ValueError("Ranks hold their relevance already. Pass `relevance` to `rank_relevant` instead.")
    return scores


def _check_k(k, ranks):
    if not isinstance(k, (int, np.integer)) or not 1 <= k <= ranks.n_gallery:
        raise ValueError(
            f"`k` must be an integer between 1 and the size of the gallery, {ranks.n_gallery}. Got {k!r} instead. "
            "Reduce `k` or enlarge the gallery."
        )
    return k
