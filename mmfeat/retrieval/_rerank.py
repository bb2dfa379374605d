"""The second stage of a search: the best of the first one in the order of other scores."""

import numpy as np
from sklearn.utils import check_array


def rerank(scores, ids, second, weight=1.0):
    """Put what a search found in the order of the scores of a second, slower judge.

    Parameters
    ----------
    scores : array-like of shape (n_queries, k)
        Of the first stage, as :meth:`EmbeddingIndex.search` gives them.
    ids : array-like of shape (n_queries, k)
        What was found.
    second : array-like of shape (n_queries, k) or callable
        Scores of the same items by the second stage, as :meth:`mmfeat.fusion.CrossAttentionScorer.rerank` gives them; or any
        scorer of pairs as a function, ``second(ids)``, that gives them for what was found.
    weight : float, default=1.0
        Of the second stage, in [0, 1]; the first has the rest.

    Returns
    -------
    scores : ndarray of shape (n_queries, k)
        Weighted means of both, best first.
    ids : ndarray of shape (n_queries, k)
        In that order; among equals that of the first stage.

    Raises
    ------
    ValueError
        If the shapes differ, a score is NaN or infinite, or the weight is outside [0, 1].

    See Also
    --------
    mmfeat.fusion.CrossAttentionScorer : Scores of regions and words.

    Examples
    --------
    >>> from mmfeat.retrieval import EmbeddingIndex, rerank
    >>> index = EmbeddingIndex([[1, 0], [0, 1], [1, 1]])
    >>> scores, found = index.search([[2.0, 1.0]], k=2)
    >>> found
    array([[2, 0]])
    >>> rerank(scores, found, [[0.1, 0.9]])
    (array([[0.9, 0.1]]), array([[0, 2]]))
    >>> rerank(scores, found, lambda ids: -ids, weight=0.5)[1]
    array([[0, 2]])
    """
    ids = np.asarray(ids)
    if callable(second):
        second = second(ids)
    first, second = (
        check_array(part, dtype=[np.float64, np.float32], input_name=name)
        for name, part in (("scores", scores), ("second", second))
    )
    if not first.shape == second.shape == ids.shape[:2]:
        raise ValueError(
            f"`scores`, `ids` and `second` must have one shape (n_queries, k). Got {first.shape}, {ids.shape} and "
            f"{second.shape} instead. Score what the search found, in its order."
        )
    if not 0 <= weight <= 1:
        raise ValueError(f"`weight` must be in [0, 1]. Got {weight!r} instead.")
    mean = weight * second + (1 - weight) * first
    order = np.argsort(-mean, axis=1, kind="stable")
    return np.take_along_axis(mean, order, axis=1), np.take_along_axis(ids, order, axis=1)
