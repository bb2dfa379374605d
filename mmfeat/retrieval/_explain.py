"""Why a retriever finds a picture and a sentence similar, down to the words."""

from numbers import Integral

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import Normalizer
from sklearn.utils.validation import check_is_fitted

from mmfeat.fusion import Explanation
from mmfeat.fusion._explain import Side, check_names, take_apart
from mmfeat.utils._compat import HasMethods, Interval, validate_params
from mmfeat.utils._steps import dense_row, feature_names, flat_steps
from mmfeat.utils._validation import check_images, check_texts


@validate_params(
    {
        "retriever": [HasMethods(["encode_image", "encode_text"])],
        "top": [Interval(Integral, 1, None, closed="left"), None],
    },
    prefer_skip_nested_validation=True,
)
def explain_pair(retriever, image, text, top=10):
    """Take the cosine of a picture and a sentence apart: over components, picture features and words.

    Parameters
    ----------
    retriever : Retriever
        Fitted, with a linear fusion such as :class:`~mmfeat.fusion.CCA` or :class:`~mmfeat.fusion.PLS`.
    image : str, os.PathLike, PIL.Image.Image, ndarray or bytes
    text : str
    top : int or None, default=10
        How many features of each side to keep, the strongest by absolute contribution; None keeps all.

    Returns
    -------
    explanation : Explanation
        ``y_features`` are the terms of the vectorizer where the text encoder is a pipeline of one with a
        :class:`~sklearn.decomposition.TruncatedSVD` or a :class:`~sklearn.preprocessing.Normalizer` behind it, as
        :func:`~mmfeat.text.tfidf_lsa` is; else the columns that the encoder makes. ``x_features`` likewise.

    Raises
    ------
    ValueError
        If the fusion is not linear, or the picture or the sentence cannot be read.

    See Also
    --------
    mmfeat.fusion.explain : The same for two rows of features.

    Notes
    -----
    A truncated singular value decomposition is linear and normalising a row is one factor, so the sums stay exact; they are
    taken in float64 and agree with the retriever's own float32 cosine to about 1e-6. Terms are measured against their
    weights in the average text of the training set, as far as the decomposition keeps that. So a term that is absent
    speaks as well, and its value is 0.

    Examples
    --------
    >>> from mmfeat.datasets import make_scenes
    >>> from mmfeat.fusion import CCA
    >>> from mmfeat.image import ColorHistogram
    >>> from mmfeat.retrieval import Retriever, explain_pair
    >>> from mmfeat.text import tfidf_lsa
    >>> pairs = make_scenes(120, random_state=0)
    >>> retriever = Retriever(ColorHistogram(), tfidf_lsa(40, random_state=0), CCA(8)).fit(pairs[:100])
    >>> explanation = explain_pair(retriever, pairs["image"].iloc[110], pairs["text"].iloc[110][0], top=None)
    >>> bool(abs(explanation.y_features.contributions.sum() - explanation.cosine) < 1e-10)
    True
    >>> bool("red" in explanation.y_features.names)
    True
    """
    check_is_fitted(retriever)
    picture = _Encoding(retriever.image_encoder_, check_images([image]))
    sentence = _Encoding(retriever.text_encoder_, check_texts([text]))
    taken = take_apart(retriever.fusion_, picture.output, sentence.output)
    sides = []
    for encoding, side, prefix in ((picture, taken.x, "x"), (sentence, taken.y, "y")):
        names = check_names(encoding.names(), len(encoding.row), prefix)
        sides.append(encoding.before_linear_steps(side).strongest(names, top))
    return Explanation(taken.cosine, taken.components, *sides)


class _Encoding:
    """One item on its way through an encoder, halted before the linear steps at its end."""

    def __init__(self, encoder, item):
        steps = flat_steps(encoder)
        cut = len(steps)
        while cut > 1 and isinstance(steps[cut - 1], (TruncatedSVD, Normalizer)):
            cut -= 1
        self._first, self._linear = steps[:cut], steps[cut:]
        value = item
        for step in self._first:
            value = step.transform(value)
        self.row = dense_row(value)
        # Of the normalisers: what they give is this times what they take.
        self.output, self.factor = self.row, 1.0
        for step in self._linear:
            output = step.transform(self.output[None])[0]
            if isinstance(step, Normalizer):
                length = self.output @ self.output
                self.factor *= float(output @ self.output / length) if length > 0 else 1.0
            self.output = output

    def names(self):
        """Names of the columns before the linear steps, or None."""
        return feature_names(self._first)

    def before_linear_steps(self, side):
        """The same cosine as a linear function of the row before these steps."""
        mean, slope = side.mean, side.slope
        for step in reversed(self._linear):
            if isinstance(step, TruncatedSVD):
                mean, slope = _preimage(step.components_, mean), step.components_.T.astype(np.float64) @ slope
        return Side(self.row, mean, slope, self.factor)


def _preimage(components, point):
    """Shortest row that the decomposition maps on `point`; its components are orthonormal but for rounding."""
    components = components.astype(np.float64)
    preimage = components.T @ point
    # The rounding of float32, 1e-7, is squared by the second step.
    for _ in range(2):
        preimage += components.T @ (point - components @ preimage)
    return preimage
