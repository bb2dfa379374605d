"""Rows of scores of several retrievers made one: sums, counts and ranks."""

from typing import NamedTuple

import numpy as np

from mmfeat.utils._ranks import all_ranks


class Rule(NamedTuple):
    """How scores are fused, as it was when the fusion was fitted."""

    method: str
    how: str | None
    depth: int
    rank_constant: int

    @classmethod
    def of(cls, fusion):
        """From the parameters of a :class:`ScoreFusion`, which are to be refused if they do not go together."""
        method, how = fusion.method, fusion.normalize
        if method not in ("weighted", "sum", "mnz"):
            how = None
        elif how == "auto":
            how = "global" if method == "weighted" else "minmax"
        if method == "mnz" and how == "zscore":
            raise ValueError(
                "method='mnz' multiplies sums by counts, and with normalize='zscore' sums below 0 would become worse the more "
                "retrievers have found the item. Use normalize='minmax'."
            )
        return cls(method, how, fusion.depth, fusion.rank_constant)


def normalized(scores, how, scale):
    """Scores of one retriever made comparable with those of another.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_gallery), dtype float64
    how : {"global", "zscore", "minmax", None}
    scale : float
        For "global".

    Returns
    -------
    scores : ndarray of shape (n_queries, n_gallery)
        Rows in which all is equal become zeros by "zscore" and "minmax".
    """
    if how is None:
        return scores
    if how == "global":
        return scores / scale
    if how == "zscore":
        middle, spread = scores.mean(axis=1, keepdims=True), scores.std(axis=1, keepdims=True)
    else:
        middle = scores.min(axis=1, keepdims=True)
        spread = scores.max(axis=1, keepdims=True) - middle
    flat = spread <= 1e-12 * np.maximum(1, np.abs(middle))
    return np.where(flat, 0, (scores - middle) / np.where(flat, 1, spread))


def fuse(scores, method, *, how, scales, weights, depth, rank_constant):
    """One matrix of scores out of those of several retrievers.

    Parameters
    ----------
    scores : list of ndarray of shape (n_queries, n_gallery), dtype float64
    method : {"weighted", "sum", "mnz", "rrf", "vote"}
    how : {"global", "zscore", "minmax", None}
        Normalisation of the first three methods.
    scales, weights : sequence of float
        Of the retrievers.
    depth, rank_constant : int

    Returns
    -------
    fused : ndarray of shape (n_queries, n_gallery), dtype float64
    """
    if method in ("weighted", "sum", "mnz"):
        parts = [normalized(part, how, scale) for part, scale in zip(scores, scales, strict=True)]
        if method == "weighted":
            return sum(weight * part for weight, part in zip(weights, parts, strict=True))
        total = sum(parts)
        return total if method == "sum" else total * sum(all_ranks(part) <= depth for part in scores)
    ranks = [all_ranks(part) for part in scores]
    if method == "rrf":
        return sum(1 / (rank_constant + rank) for rank in ranks)
    votes = sum((rank <= depth).astype(np.float64) for rank in ranks)
    # Below one vote, so that mean ranks decide among items with as many votes and nowhere else.
    order = 1 - sum(ranks) / len(ranks) / (scores[0].shape[1] + 1)
    return (votes + order) / len(ranks)
