"""Visual or spoken words: a vocabulary of cluster centres, and which words a descriptor belongs to."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans

from mmfeat.encoding._base import BagEncoder
from mmfeat.utils._compat import Interval, StrOptions

# Two words are told apart in float32 only if their squared distances differ by more than this share of the terms.
_ROUNDING = 16 * np.finfo(np.float32).eps
# Words of a stream with less than this share of the descriptors of the commonest may start anew (scikit-learn's default).
_RAREST = 0.01


class VocabularyEncoder(BagEncoder):
    """Base of the encoders by a vocabulary: k-means, and hard or soft assignment to its words."""

    _vocabulary_constraints = {
        "n_words": [Interval(Integral, 1, None, closed="left")],
        "assignment": [StrOptions({"hard", "soft"})],
        "n_nearest": [Interval(Integral, 1, None, closed="left")],
        "sigma": [None, Interval(Real, 0, None, closed="neither")],
    }

    @property
    def _n_components(self):
        return self.n_words

    @property
    def _row_width(self):
        return self.vocabulary_.shape[1] + len(self.vocabulary_)

    def _start(self, rows, n_seen, rng):
        # In float64: in float32 the running means of mini-batch k-means drift, by 0.4 % in 100 passes.
        exact = rows.astype(np.float64, copy=False)
        seed = rng.randint(2**31 - 1)
        self._kmeans = MiniBatchKMeans(
            self.n_words, batch_size=4096, n_init=1, compute_labels=False, random_state=seed
        ).fit(exact)
        if n_seen is not None:
            self._begin_stream(exact, n_seen)
        self._settle(rows)

    def _begin_stream(self, rows, n_seen):
        """Let each descriptor count once: `fit` counts it in every pass, and later batches would move nothing."""
        centres = self._kmeans.cluster_centers_
        self._kmeans = clone(self._kmeans).set_params(init=centres, reassignment_ratio=0)
        self._kmeans.partial_fit(rows, sample_weight=np.full(len(rows), n_seen / len(rows)))
        self._kmeans.set_params(init="k-means++", reassignment_ratio=_RAREST).cluster_centers_ = centres

    def _go_on(self, rows, n_seen, rng):
        weights = np.full(len(rows), n_seen / len(rows))
        self._kmeans.partial_fit(rows.astype(np.float64, copy=False), sample_weight=weights)
        self._settle(rows)

    def _settle(self, rows):
        self.vocabulary_ = self._kmeans.cluster_centers_.copy()
        if self.assignment == "soft":
            self.sigma_ = self.sigma if self.sigma is not None else self._choose_sigma(rows[:10000])

    def _choose_sigma(self, rows):
        """The width at which the last of the nearest words weighs 1/e of the first in the geometric mean."""
        nearest = np.sort(self._nearest_few(rows)[1], axis=1)
        spread = float(np.mean(nearest[:, -1] - nearest[:, 0]))
        return (spread / 2) ** 0.5 if spread > 0 else 1.0

    def _assign(self, rows, model):
        """Rows, the words of each and their weights, both (n, n_nearest)."""
        if self.assignment == "hard":
            words = nearest_words(rows, self.vocabulary_)[:, None]
            return rows, words, np.ones_like(words, dtype=np.float64)
        words, distances = self._nearest_few(rows)
        weights = np.exp((distances.min(axis=1, keepdims=True) - distances) / (2 * self.sigma_**2))
        return rows, words, weights / weights.sum(axis=1, keepdims=True)

    def _nearest_few(self, rows):
        """The nearest words, in no order, and the squared distances to them, in float64."""
        distances = squared_distances(rows.astype(np.float64, copy=False), self.vocabulary_.astype(np.float64))
        count = min(self.n_nearest, distances.shape[1])
        words = np.argpartition(distances, count - 1, axis=1)[:, :count]
        return words, np.maximum(np.take_along_axis(distances, words, axis=1), 0)

    def _indicator(self, words, weights, cells, n_cells):
        """Sparse matrix (n_cells * n_words, n) of the weights with which a row counts for a word of its cell."""
        places = (cells[:, None] * len(self.vocabulary_) + words).ravel()
        columns = np.arange(len(words)).repeat(words.shape[1])
        shape = (n_cells * len(self.vocabulary_), len(words))
        return sparse.csr_matrix((weights.ravel(), (places, columns)), shape=shape)


def squared_distances(rows, centres):
    """Squared Euclidean distances (n, k) in the dtype of the rows, less accurate where they are small."""
    distances = rows @ (-2 * centres.T)
    distances += np.einsum("ij,ij->i", centres, centres)
    distances += np.einsum("ij,ij->i", rows, rows)[:, None]
    return distances


def nearest_words(rows, centres):
    """Which centre is nearest to each row; of float32 rows too it is the one that float64 finds.

    Parameters
    ----------
    rows : ndarray of shape (n, d), dtype float32 or float64
    centres : ndarray of shape (k, d)

    Returns
    -------
    words : ndarray of int, shape (n,)
    """
    if rows.dtype == np.float64:
        return squared_distances(rows, centres.astype(np.float64)).argmin(axis=1)
    centres = centres.astype(np.float32)
    lengths = np.einsum("ij,ij->i", centres, centres)
    distances = rows @ (-2 * centres.T)
    distances += lengths
    words = distances.argmin(axis=1)
    numbers = np.arange(len(rows))
    best = distances[numbers, words]
    distances[numbers, words] = np.inf
    terms = np.einsum("ij,ij->i", rows, rows) + lengths.max()
    close = np.flatnonzero(distances.min(axis=1) - best <= _ROUNDING * terms)
    if len(close):  # too close to call: a descriptor must not change its word with the size of its chunk
        again = squared_distances(rows[close].astype(np.float64), centres.astype(np.float64))
        words[close] = again.argmin(axis=1)
    return words
