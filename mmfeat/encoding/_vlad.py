"""Vectors of locally aggregated descriptors."""

import numpy as np

from mmfeat.encoding._cells import signed_power, unit_length
from mmfeat.encoding._vocabulary import VocabularyEncoder
from mmfeat.utils._compat import StrOptions

# Shares of the length of a word that are rounding: of descriptors, and in float64 of the running means of k-means.
_ROUNDING = {np.dtype(np.float32): 8 * np.finfo(np.float32).eps, np.dtype(np.float64): 1e-11}


class VLAD(VocabularyEncoder):
    r"""Vector of locally aggregated descriptors: for each word, the sum of what its descriptors differ from it.

    The block of word k is :math:`\sum_{i: w(x_i) = k} (x_i - c_k)`. The values are raised to a power, each block is
    brought to unit length (intra-normalisation, against bursts of one word), and then the whole.

    Parameters
    ----------
    n_words : int, default=64
        Size of the vocabulary, the centres of k-means over a sample of the descriptors.
    assignment : {"hard", "soft"}, default="hard"
        Whether a descriptor counts for its nearest word alone, or for the nearest few with weights
        :math:`\exp(-d^2 / 2\sigma^2)` that sum to 1.
    n_nearest : int, default=5
        Words among which a descriptor is shared by soft assignment.
    sigma : float or None, default=None
        Width of soft assignment, in the units of the (projected) descriptors. None takes the width at which the last
        of the nearest words weighs, in the geometric mean, 1/e of the first.
    n_pca : int or None, default=None
        Principal directions of the descriptors that are kept; None keeps all.
    projection : {"pca", "whiten", "ica"}, default="pca"
        What is done with these directions: nothing more, unit variance, or a further rotation to independent
        components (FastICA). With ``n_pca=None`` and "pca" the descriptors are left as they are.
    power : float, default=1.0
        Exponent of the values before the norms. Jégou et al. (2012) take 0.5, without `intra_norm`.
    intra_norm : bool, default=True
        Bring the block of each word to unit length.
    norm : {None, "l2"}, default="l2"
        Norm of the vector of each cell, and of the whole row.
    coordinates : {None, "layout", "extend"}, default=None
        None says that all columns describe. Otherwise the last three columns of a bag are x, y and scale in [0, 1]:
        "layout" uses them for `levels` only, "extend" also appends them to the projected descriptors.
    levels : int or list of (int, int), default=1
        Levels of a spatial pyramid, of which level i has 2**i by 2**i cells, or the grids as pairs (rows, columns)
        such as ``[(1, 1), (3, 1)]``. The vectors of all cells stand side by side.
    max_samples : int, default=100_000
        Descriptors at most that the vocabulary and the projection are learned from.
    random_state : int, RandomState instance or None, default=None
        For the sample, the projection and k-means.

    Attributes
    ----------
    vocabulary_ : ndarray of shape (n_words, n_columns)
        Words, in the space of the projected descriptors.
    sigma_ : float
        Width of soft assignment, if `assignment` is "soft".
    n_features_in_ : int
        Columns of a bag.
    n_features_out_ : int
        Columns of the result.

    See Also
    --------
    BagOfWords : Counts alone, of many words.
    FisherVector : Soft, and keeps the spread as well.

    References
    ----------
    Jégou, H., Douze, M., Schmid, C. and Pérez, P. (2010). Aggregating local descriptors into a compact image
    representation. CVPR, equation 1.

    Arandjelović, R. and Zisserman, A. (2013). All about VLAD. CVPR, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.encoding import VLAD
    >>> bags = [np.float32([[1, 0], [3, 0], [9, 9]]), np.float32([[2, 5]]), np.empty((0, 2), np.float32)]
    >>> vectors = VLAD(2, random_state=0).fit(bags).transform(bags)
    >>> vectors.shape
    (3, 4)
    >>> np.linalg.norm(vectors, axis=1).round(3)
    array([1., 1., 0.], dtype=float32)
    """

    _parameter_constraints = {
        **VocabularyEncoder._vocabulary_constraints,
        "n_pca": VocabularyEncoder._shared_constraints["n_pca"],
        "projection": VocabularyEncoder._shared_constraints["projection"],
        "power": VocabularyEncoder._shared_constraints["power"],
        "intra_norm": ["boolean"],
        "norm": [None, StrOptions({"l2"})],
        "coordinates": VocabularyEncoder._shared_constraints["coordinates"],
        "levels": VocabularyEncoder._shared_constraints["levels"],
        "max_samples": VocabularyEncoder._shared_constraints["max_samples"],
        "random_state": VocabularyEncoder._shared_constraints["random_state"],
    }

    def __init__(
        self,
        n_words=64,
        *,
        assignment="hard",
        n_nearest=5,
        sigma=None,
        n_pca=None,
        projection="pca",
        power=1.0,
        intra_norm=True,
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
        self.n_pca = n_pca
        self.projection = projection
        self.power = power
        self.intra_norm = intra_norm
        self.norm = norm
        self.coordinates = coordinates
        self.levels = levels
        self.max_samples = max_samples
        self.random_state = random_state

    def _sums(self, parts, cells, counts, model):
        rows, words, weights = parts
        # In float64: the sum and the shares of the word that are taken from it are large beside their difference.
        indicator = self._indicator(words, weights, cells, len(counts))
        total = np.asarray(indicator.sum(axis=1)).reshape(len(counts), -1, 1)
        sums = (indicator @ rows.astype(np.float64, copy=False)).reshape(len(counts), *self.vocabulary_.shape)
        sums -= total * self.vocabulary_
        # Descriptors that are all equal to their word leave rounding errors, which the norms would blow up.
        largest = total[:, :, 0] * np.linalg.norm(self.vocabulary_, axis=1)
        sums[np.linalg.norm(sums, axis=2) <= _ROUNDING[rows.dtype] * largest] = 0
        return sums

    def _finish(self, sums, counts, model):
        vectors = signed_power(sums.reshape(len(counts), *self.vocabulary_.shape), self.power)
        if self.intra_norm:
            unit_length(vectors, "l2")
        return unit_length(vectors.reshape(len(counts), -1), self.norm)

    def _vector_names(self):
        return [f"vlad_{word}_{column}" for word, column in np.ndindex(*self.vocabulary_.shape)]
