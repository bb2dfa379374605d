"""Scorers for cross_validate and GridSearchCV over estimators that encode images and texts."""

import numpy as np

from mmfeat.metrics._graded import mean_average_precision, mean_average_precision_at_r, ndcg
from mmfeat.metrics._metrics import mean_rank, mean_reciprocal_rank, median_rank, precision_at_k, recall_at_k
from mmfeat.metrics._ranks import rank_embeddings, rank_scored
from mmfeat.metrics._relevance import match_groups
from mmfeat.metrics._rsum import rsum
from mmfeat.utils._pairs import split_pairs
from mmfeat.utils._ranks import tie_tolerance

_RECALLS = (1, 5, 10)
_DIRECTIONS = ("i2t", "t2i")
# Those that take a `k`, and the others.
_AT_K = {"recall": recall_at_k, "precision": precision_at_k, "ndcg": ndcg}
_WHOLE = {
    "mean_recall": lambda ranks: np.mean([recall_at_k(ranks, k=k) for k in _RECALLS]),
    "rsum": rsum,
    "neg_median_rank": lambda ranks: -median_rank(ranks),
    "neg_mean_rank": lambda ranks: -mean_rank(ranks),
    "mean_reciprocal_rank": mean_reciprocal_rank,
    "mean_average_precision": mean_average_precision,
    "mean_average_precision_at_r": mean_average_precision_at_r,
}


def rank_pairs(estimator, pairs, *, directions=("i2t", "t2i")):
    """Rank the captions for each image and the images for each caption of a pairs table.

    Parameters
    ----------
    estimator : Retriever, or a fitted search over one
        Anything with ``encode_image`` and ``encode_text``; ``best_estimator_`` is used where there is one. Encodings are compared
        by cosine, or by ``scores_against(gallery, query="image" or "text")`` where the estimator has that method, which gives a
        function from a block of encoded queries to their scores.
    pairs : DataFrame or object ndarray of shape (n_images, 2)
        One row per image; its text is a str or a list of str.
    directions : tuple of {"i2t", "t2i"}, default=("i2t", "t2i")
        Which rankings to make.

    Returns
    -------
    ranks : dict of str to RelevantRanks
        For ``"i2t"``, image queries over all captions as gallery; for ``"t2i"``, caption queries over all images. Their `groups`
        are the rows of the images, so that :func:`bootstrap_interval` and :func:`paired_test` draw images.

    Raises
    ------
    ValueError
        If `pairs` is no pairs table, or a direction is unknown.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from mmfeat.metrics import rank_pairs
    >>> class Lengths:
    ...     encode_image = staticmethod(lambda images: np.array([[1.0, image.mean()] for image in images]))
    ...     encode_text = staticmethod(lambda texts: np.array([[1.0, len(text)] for text in texts]))
    >>> pairs = pd.DataFrame({"image": [np.full((2, 2), 1), np.full((2, 2), 9)], "text": [["a", "ab"], ["abcdefghi"]]})
    >>> rank_pairs(Lengths(), pairs)["t2i"].first
    array([1, 1, 1])
    """
    unknown = [direction for direction in directions if direction not in _DIRECTIONS]
    if unknown or not directions:
        raise ValueError(f"`directions` must be of {_DIRECTIONS}. Got {directions!r} instead.")
    estimator = getattr(estimator, "best_estimator_", estimator)
    parts = split_pairs(pairs, getattr(estimator, "image", "image"), getattr(estimator, "text", "text"))
    images, texts = estimator.encode_image(parts.images), estimator.encode_text(parts.texts)
    rows = np.arange(len(parts.images))
    relevance = match_groups(rows, parts.groups)
    ranks = {}
    if "i2t" in directions:
        ranks["i2t"] = _rank(estimator, images, texts, relevance, "image", rows)
    if "t2i" in directions:
        ranks["t2i"] = _rank(estimator, texts, images, relevance.T.tocsr(), "text", parts.groups)
    return ranks


def _rank(estimator, queries, gallery, relevance, query, groups):
    if not hasattr(estimator, "scores_against"):
        return rank_embeddings(queries, gallery, relevance=relevance, groups=groups)
    # Scores are products of numbers of this precision, whatever becomes of them afterwards.
    tolerance = tie_tolerance(np.result_type(queries, gallery))
    # The queries of a transductive correction are its bank, and must come at once.
    block_size = len(queries) if getattr(estimator, "transductive_", False) else None
    score = estimator.scores_against(gallery, query=query)
    return rank_scored(score, queries, relevance=relevance, tolerance=tolerance, groups=groups, block_size=block_size)


def retrieval_scorer(estimator, pairs, y=None):
    """Score both directions at once; pass it as ``scoring`` to :func:`sklearn.model_selection.cross_validate`.

    Each image and each caption is encoded once.

    Parameters
    ----------
    estimator : Retriever, or a fitted search over one
    pairs : DataFrame or object ndarray of shape (n_images, 2)
        At least 10 images.
    y : object
        Ignored.

    Returns
    -------
    scores : dict of str to float
        ``i2t_recall_at_1``, ``i2t_recall_at_5``, ``i2t_recall_at_10`` and the same for ``t2i``, in [0, 1];
        ``mean_recall``, the mean of these six, and ``rsum``, their sum in percent, up to 600; ``i2t_neg_median_rank`` and
        ``t2i_neg_median_rank``, at most -1. Higher is better for all. The gallery is all images, or all captions, of `pairs`.
        Where the estimator looks at all queries at once (a transductive correction, attribute ``transductive_``), every name
        begins with ``transductive_``.

    Raises
    ------
    ValueError
        If `pairs` is no pairs table or has fewer than 10 images.

    Examples
    --------
    >>> from sklearn.model_selection import cross_validate
    >>> from mmfeat.datasets import make_scenes
    >>> from mmfeat.fusion import CCA
    >>> from mmfeat.image import ColorHistogram
    >>> from mmfeat.metrics import retrieval_scorer
    >>> from mmfeat.retrieval import Retriever
    >>> from mmfeat.text import tfidf_lsa
    >>> retriever = Retriever(ColorHistogram(), tfidf_lsa(16), CCA(8))
    >>> scores = cross_validate(retriever, make_scenes(60, random_state=0), cv=3, scoring=retrieval_scorer)
    >>> scores["test_t2i_recall_at_10"].shape
    (3,)
    """
    rankings = rank_pairs(estimator, pairs)
    n_images = rankings["t2i"].n_gallery
    if n_images < max(_RECALLS):
        raise ValueError(
            f"recall@{max(_RECALLS)} needs at least {max(_RECALLS)} images. Got {n_images}. Use fewer folds or more pairs, or "
            f"`make_retrieval_scorer('recall', k=...)` with k up to {n_images}."
        )
    recalls = {
        f"{direction}_recall_at_{k}": recall_at_k(ranks, k=k) for direction, ranks in rankings.items() for k in _RECALLS
    }
    medians = {f"{direction}_neg_median_rank": -median_rank(ranks) for direction, ranks in rankings.items()}
    whole = {"mean_recall": float(np.mean(list(recalls.values()))), "rsum": rsum(rankings, ks=_RECALLS)}
    scores = {**recalls, **whole, **medians}
    if getattr(getattr(estimator, "best_estimator_", estimator), "transductive_", False):
        return {f"transductive_{name}": score for name, score in scores.items()}
    return scores


def make_retrieval_scorer(metric="recall", k=10, direction="mean"):
    """Make a scorer that returns one number; pass it as ``scoring`` to ``GridSearchCV`` or ``cross_val_score``.

    Parameters
    ----------
    metric : {"recall", "precision", "ndcg", "mean_recall", "rsum", "neg_median_rank", "neg_mean_rank", \
            "mean_reciprocal_rank", "mean_average_precision", "mean_average_precision_at_r"}, default="recall"
        "mean_recall" is the mean of the recalls at 1, 5 and 10, "rsum" their sum in percent.
    k : int, default=10
        For "recall", "precision" and "ndcg"; the others have no use for it.
    direction : {"i2t", "t2i", "mean"}, default="mean"
        Image queries, caption queries, or the mean of the two; for "rsum" the sum of the two, as papers report it.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, pairs, y=None)`` returns a float, higher is better. It can be pickled.

    Raises
    ------
    ValueError
        If a parameter is none of these.

    Examples
    --------
    >>> from mmfeat.metrics import make_retrieval_scorer
    >>> make_retrieval_scorer("recall", k=5, direction="t2i")
    make_retrieval_scorer('recall', k=5, direction='t2i')
    """
    if metric not in (*_AT_K, *_WHOLE):
        raise ValueError(f"`metric` must be one of {[*_AT_K, *_WHOLE]}. Got {metric!r} instead.")
    if direction not in (*_DIRECTIONS, "mean"):
        raise ValueError(f"`direction` must be 'i2t', 't2i' or 'mean'. Got {direction!r} instead.")
    if not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError(f"`k` must be an integer of at least 1. Got {k!r} instead.")
    return _RetrievalScorer(metric, k, direction)


class _RetrievalScorer:
    """One metric in one direction; a class and no closure, so that worker processes can be sent it."""

    def __init__(self, metric, k, direction):
        self.metric, self.k, self.direction = metric, k, direction

    def __call__(self, estimator, pairs, y=None):
        directions = _DIRECTIONS if self.direction == "mean" else (self.direction,)
        rankings = rank_pairs(estimator, pairs, directions=directions)
        if self.metric == "rsum":
            return rsum(rankings, ks=_RECALLS)
        return float(np.mean([self._value(ranks) for ranks in rankings.values()]))

    def __repr__(self):
        return f"make_retrieval_scorer({self.metric!r}, k={self.k}, direction={self.direction!r})"

    def _value(self, ranks):
        return _AT_K[self.metric](ranks, k=self.k) if self.metric in _AT_K else _WHOLE[self.metric](ranks)
