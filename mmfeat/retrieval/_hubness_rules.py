"""What each correction remembers of the bank, block by block, and how it corrects rows of scores."""

from typing import Any

import numpy as np
from scipy.special import log_ndtr


class CSLS:
    """Mean of the best `k` scores of each item, and of each query."""

    def __init__(self, k, temperature):
        self.k = k
        self.best: Any = None

    def update(self, scores):
        """Take in scores (n_block, n_gallery) of the bank."""
        scores = scores if self.best is None else np.concatenate([self.best, scores])
        self.best = _largest(scores, self.k, axis=0).copy()

    @property
    def hubness(self):
        """What is held against each item."""
        return self.best.mean(axis=0)

    def correct(self, scores):
        """Corrected scores of new queries."""
        own = _largest(scores, self.k, axis=1).mean(axis=1, keepdims=True)
        return 2 * scores - own - self.hubness


class InvertedSoftmax:
    """Logarithm of the mean of exp(score / temperature) over the bank."""

    def __init__(self, k, temperature):
        self.temperature = temperature
        self.n = 0
        self.largest: Any = None
        self.total: Any = 0.0

    def update(self, scores):
        """Take in scores (n_block, n_gallery) of the bank."""
        largest = scores.max(axis=0)
        if self.n:
            largest = np.maximum(largest, self.largest)
            self.total = self.total * np.exp((self.largest - largest) / self.temperature)
        self.total = self.total + np.exp((scores - largest) / self.temperature).sum(axis=0)
        self.n, self.largest = self.n + len(scores), largest

    @property
    def hubness(self):
        """What is held against each item: the soft maximum of its scores."""
        return self.largest + self.temperature * np.log(self.total / self.n)

    def correct(self, scores):
        """Corrected scores of new queries."""
        return scores - self.hubness


class QBNorm(InvertedSoftmax):
    """The inverted softmax, for the queries whose best item was the best of a query of the bank too."""

    def __init__(self, k, temperature):
        super().__init__(k, temperature)
        self.activated = False

    def update(self, scores):
        """Take in scores (n_block, n_gallery) of the bank."""
        super().update(scores)
        self.activated = self.activated | _is_best(scores).any(axis=0)

    def correct(self, scores):
        """Corrected scores of new queries."""
        chosen = (_is_best(scores) & self.activated).any(axis=1)
        return np.where(chosen[:, None], super().correct(scores), scores)


class MutualProximity:
    """Mean and standard deviation of the scores of each item, and of each query."""

    def __init__(self, k, temperature):
        self.n, self.mean, self.squares = 0, 0.0, 0.0

    def update(self, scores):
        """Take in scores (n_block, n_gallery) of the bank."""
        n = self.n + len(scores)
        mean = scores.mean(axis=0)
        step = mean - self.mean
        squares = ((scores - mean) ** 2).sum(axis=0)
        self.squares = self.squares + squares + step**2 * (self.n * len(scores) / n)
        self.mean = self.mean + step * (len(scores) / n)
        self.n = n

    @property
    def hubness(self):
        """What is held against each item: its mean score."""
        return self.mean

    def correct(self, scores):
        """Corrected scores of new queries."""
        own = _standard(scores, scores.mean(axis=1, keepdims=True), scores.std(axis=1, keepdims=True))
        theirs = _standard(scores, self.mean, np.sqrt(self.squares / self.n))
        # Log of p over 1 - p, so that neither the best nor the worst run together.
        below = log_ndtr(own)
        return below + log_ndtr(theirs) - np.logaddexp(log_ndtr(-own), below + log_ndtr(-theirs))


RULES: dict[str, Any] = {
    "csls": CSLS,
    "inverted_softmax": InvertedSoftmax,
    "qb_norm": QBNorm,
    "mutual_proximity": MutualProximity,
}


def _largest(scores, k, axis):
    """The `k` largest along an axis, or all where there are no more."""
    n = scores.shape[axis]
    if k >= n:
        return scores
    return np.take(np.partition(scores, n - k, axis=axis), np.arange(n - k, n), axis=axis)


def _is_best(scores):
    return scores == scores.max(axis=1, keepdims=True)


def _standard(scores, mean, deviation):
    # Without spread there is nothing to divide by: rounding alone would decide.
    flat = deviation <= 1e-12 * np.maximum(1, np.abs(mean))
    return (scores - mean) / np.where(flat, 1, deviation)
