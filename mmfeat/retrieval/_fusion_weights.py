"""Weights of several retrievers, chosen by the recalls of their weighted sum on pairs that none of them has seen."""

from itertools import product

import numpy as np

from mmfeat.utils._ranks import first_ranks_both_ways

# Shares of one retriever that are tried while the others keep their proportions.
_SHARES = np.linspace(0, 1, 21)
_ROUNDS = 5
_KS = (1, 5, 10)


def choose_weights(i2t, t2i, groups):
    """Non-negative weights with the highest mean recall@1, 5 and 10 over both directions.

    Parameters
    ----------
    i2t : list of ndarray of shape (n_images, n_texts)
        Scores of each retriever, comparable in scale, images asking.
    t2i : list of ndarray of shape (n_texts, n_images)
        The same, texts asking.
    groups : ndarray of shape (n_texts,)
        Image of each text, ascending.

    Returns
    -------
    weights : ndarray of shape (n_retrievers,)
        Their sum is 1.
    recall : float
        Mean recall with them.

    Notes
    -----
    From equal weights, one retriever after the other is given each share of a grid while the rest keep their proportions,
    until nothing gets better: for two retrievers the whole simplex, for more a local optimum. Among weights of equal
    recall the higher mean reciprocal rank wins, so that a plateau is not left to chance.
    """
    n_retrievers = len(i2t)
    tried = {}

    def value(weights):
        key = tuple(np.round(weights, 12))
        if key not in tried:
            tried[key] = _recall_and_reciprocal(_mixed(i2t, weights), _mixed(t2i, weights), groups)
        return tried[key]

    weights = np.full(n_retrievers, 1 / n_retrievers)
    best = value(weights)
    for _ in range(_ROUNDS):
        before = best
        for place, share in product(range(n_retrievers), _SHARES):
            trial = _with_share(weights, place, share)
            if value(trial) > best:
                best, weights = value(trial), trial
        if best == before:
            break
    return weights, best[0]


def _mixed(scores, weights):
    return sum(weight * part for weight, part in zip(weights.astype(scores[0].dtype), scores, strict=True) if weight)


def _with_share(weights, place, share):
    others = weights.copy()
    others[place] = 0
    if len(weights) == 1:
        return weights
    if others.sum() <= 1e-12:
        others = (np.arange(len(weights)) != place).astype(float)
    trial = (1 - share) * others / others.sum()
    trial[place] = share
    return trial


def _recall_and_reciprocal(i2t, t2i, groups):
    ranks = first_ranks_both_ways(i2t, t2i, groups)
    recall = np.mean([np.mean(part <= k) for part in ranks for k in _KS])
    return float(recall), float(np.mean([np.mean(1 / part) for part in ranks]))
