"""Bags of words: how often each word of a vocabulary occurs."""

import numpy as np

from mmfeat.encoding._base import stack
from mmfeat.encoding._cells import signed_power, unit_length
from mmfeat.encoding._sample import common_dtype
from mmfeat.encoding._vocabulary import VocabularyEncoder
from mmfeat.utils._compat import StrOptions


class BagOfWords(VocabularyEncoder):
    r"""Histogram of the words of a learned vocabulary that the descriptors of a bag fall on.

    The vocabulary holds the centres of k-means over a sample of the descriptors. Every descriptor counts for its
    nearest word, or is shared among the nearest few. Counts are divided by the number of descriptors, weighted by
    inverse document frequency, raised to a power, and brought to unit length.

    Parameters
    ----------
    n_words : int, default=1000
        Size of the vocabulary.
    assignment : {"hard", "soft"}, default="hard"
        Whether a descriptor counts for its nearest word alone, or for the nearest few with weights
        :math:`\exp(-d^2 / 2\sigma^2)` that sum to 1.
    n_nearest : int, default=5
        Words among which a descriptor is shared by soft assignment.
    sigma : float or None, default=None
        Width of soft assignment, in the units of the (projected) descriptors. None takes the width at which the last
        of the nearest words weighs, in the geometric mean, 1/e of the first.
    idf : bool, default=True
        Weight word w by :math:`\log\frac{1 + n}{1 + n_w} + 1`, where :math:`n_w` of the n training bags hold it.
    n_pca : int or None, default=None
        Principal directions of the descriptors that are kept; None keeps all.
    projection : {"pca", "whiten", "ica"}, default="pca"
        What is done with these directions: nothing more, unit variance, or a further rotation to independent
        components (FastICA). With ``n_pca=None`` and "pca" the descriptors are left as they are.
    power : float, default=1.0
        Exponent of the weighted frequencies; 0.5 damps words that repeat within an image.
    norm : {None, "l1", "l2"}, default="l2"
        Norm of the histogram of each cell, and of the whole row.
    coordinates : {None, "layout", "extend"}, default=None
        None says that all columns describe. Otherwise the last three columns of a bag are x, y and scale in [0, 1]:
        "layout" uses them for `levels` only, "extend" also appends them to the projected descriptors.
    levels : int or list of (int, int), default=1
        Levels of a spatial pyramid, of which level i has 2**i by 2**i cells, or the grids as pairs (rows, columns)
        such as ``[(1, 1), (3, 1)]``. The histograms of all cells stand side by side.
    max_samples : int, default=100_000
        Descriptors at most that the vocabulary and the projection are learned from.
    random_state : int, RandomState instance or None, default=None
        For the sample, the projection and k-means.

    Attributes
    ----------
    vocabulary_ : ndarray of shape (n_words, n_columns)
        Words, in the space of the projected descriptors.
    idf_ : ndarray of shape (n_words,)
        Weights of the words, if `idf`.
    sigma_ : float
        Width of soft assignment, if `assignment` is "soft".
    n_features_in_ : int
        Columns of a bag.
    n_features_out_ : int
        Columns of the result.

    See Also
    --------
    VLAD : Keeps where around its word a descriptor lies, and does with far fewer words.
    FisherVector : Keeps the spread as well.

    Notes
    -----
    :meth:`partial_fit` moves the words by mini-batch k-means. Each batch counts towards the document frequencies
    with the words as they are after it.

    References
    ----------
    Sivic, J. and Zisserman, A. (2003). Video Google: a text retrieval approach to object matching in videos. ICCV.

    Lazebnik, S., Schmid, C. and Ponce, J. (2006). Beyond bags of features: spatial pyramid matching for recognizing
    natural scene categories. CVPR.

    Liu, L., Wang, L. and Liu, X. (2011). In defense of soft-assignment coding. ICCV.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.encoding import BagOfWords
    >>> left, right = np.float32([[0, 0]]), np.float32([[9, 9]])
    >>> bags = [np.repeat(left, 3, axis=0), np.concatenate([left, right]), np.empty((0, 2), np.float32)]
    >>> histograms = BagOfWords(2, idf=False, norm="l1", random_state=0).fit_transform(bags)
    >>> np.sort(histograms, axis=1)
    array([[0. , 1. ],
           [0.5, 0.5],
           [0. , 0. ]], dtype=float32)
    """

    _parameter_constraints = {
        **VocabularyEncoder._vocabulary_constraints,
        "idf": ["boolean"],
        "n_pca": VocabularyEncoder._shared_constraints["n_pca"],
        "projection": VocabularyEncoder._shared_constraints["projection"],
        "power": VocabularyEncoder._shared_constraints["power"],
        "norm": [None, StrOptions({"l1", "l2"})],
        "coordinates": VocabularyEncoder._shared_constraints["coordinates"],
        "levels": VocabularyEncoder._shared_constraints["levels"],
        "max_samples": VocabularyEncoder._shared_constraints["max_samples"],
        "random_state": VocabularyEncoder._shared_constraints["random_state"],
    }

    def __init__(
        self,
        n_words=1000,
        *,
        assignment="hard",
        n_nearest=5,
        sigma=None,
        idf=True,
        n_pca=None,
        projection="pca",
        power=1.0,
        norm="l2",
        coordinates=None,
        levels=1,
        max_samples=100_000,
        random_state=None,
    ):
        self.n_words = n_words
        self.assignment = assignment
        self.n_nearest = n_nearest
        self.sigma = sigma
        self.idf = idf
        self.n_pca = n_pca
        self.projection = projection
        self.power = power
        self.norm = norm
        self.coordinates = coordinates
        self.levels = levels
        self.max_samples = max_samples
        self.random_state = random_state

    def _count(self, bags, afresh):
        if not self.idf:
            return
        if afresh:
            self._n_bags, self._n_bags_with = 0, np.zeros(self.n_words)
        for first, last in self._chunks(bags, np.dtype(np.float64)):
            present = np.zeros((last - first, self.n_words), dtype=bool)
            for part in self._parts(bags[first:last], np.dtype(np.float64)):
                rows, owners = stack(part, common_dtype(part))
                words = self._assign(self._project(rows), None)[1]
                present[owners.repeat(words.shape[1]), words.ravel()] = True
            self._n_bags_with = self._n_bags_with + present.sum(axis=0)
        self._n_bags += len(bags)
        self.idf_ = np.log((1 + self._n_bags) / (1 + self._n_bags_with)) + 1

    def _sums(self, parts, cells, counts, model):
        _, words, weights = parts
        places = (cells[:, None] * len(self.vocabulary_) + words).ravel()
        return np.bincount(places, weights.ravel(), minlength=len(counts) * len(self.vocabulary_))

    def _finish(self, sums, counts, model):
        histograms = sums / np.maximum(counts, 1)[:, None]
        if self.idf:
            histograms *= self.idf_
        return unit_length(signed_power(histograms, self.power), self.norm)

    def _vector_names(self):
        return [f"word_{word}" for word in range(len(self.vocabulary_))]
