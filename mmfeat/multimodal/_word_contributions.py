"""What each word adds to the decision of a linear classifier."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from mmfeat.fusion._explain import check_names
from mmfeat.fusion._explanation import TopFeatures, feature_table, top_features
from mmfeat.multimodal._decision import columns_of, find_target, linear_decision, scaling_of, steps_of
from mmfeat.multimodal._pair_features import PairFeatures
from mmfeat.multimodal._samples import SEPARATOR
from mmfeat.utils._compat import HasMethods, Interval, validate_params
from mmfeat.utils._steps import affine_map, dense_row, feature_names, flat_steps, split_at_linear
from mmfeat.utils._validation import check_texts

# Between the features of the text as the pipeline has them, perhaps in float32, and as they are here.
_SAME = 1e-4


@dataclass(frozen=True, repr=False)
class Decision:
    """The decision for a class as a sum: ``intercept``, ``picture`` and what each word adds. Printed, it is a table."""

    target: object
    value: float
    intercept: float
    picture: float
    words: TopFeatures

    def __str__(self):
        lines = [f"decision for {self.target!s} {self.value:+.4f}", f"intercept {self.intercept:+.4f}"]
        lines += [f"picture {self.picture:+.4f}"] if self.picture else []
        return "\n".join([*lines, "", feature_table("word", self.words)])

    __repr__ = __str__


@validate_params(
    {
        "classifier": [HasMethods(["predict"])],
        "text": [str, list, tuple],
        "top": [Interval(Integral, 1, None, closed="left"), None],
    },
    prefer_skip_nested_validation=True,
)
def word_contributions(classifier, text, image=None, *, target=None, top=10):
    """Take the decision of a linear classifier apart, down to the words, as an exact sum.

    Parameters
    ----------
    classifier : classifier
        Fitted: a pipeline from :class:`PairFeatures`, or from a vectorizer such as TF-IDF, to a linear classifier, with any
        linear steps between; a :class:`LateFusionClassifier`, whose classifier of texts is explained; or a search over
        one of these.
    text : str or list of str
        Several captions are one text, a caption a line.
    image : str, os.PathLike, PIL.Image.Image, ndarray, bytes or None, default=None
        The picture beside the text; for a pipeline from PairFeatures, which takes both.
    target : object or None, default=None
        The class; None: the one that is predicted. Of two classes the first has the decision of the second with the other
        sign.
    top : int or None, default=10
        How many words to keep, the strongest by absolute contribution; None keeps all.

    Returns
    -------
    decision : object
        With ``target``, the class; ``value``, its decision; ``intercept``, the decision of a pair with no features at all;
        ``picture``, what the columns of the picture add; and ``words``, the terms of the vectorizer that the text holds,
        strongest first: ``names``, ``values`` (those of its row), ``contributions`` and ``rest``, the sum over the
        ``n_rest`` terms left out. ``intercept + picture + words.contributions.sum() + words.rest`` is ``value``. Printed,
        it is a table.

    Raises
    ------
    ValueError
        If the classifier or a step between it and the vectorizer is not linear, the class is unknown, or the text cannot
        be read.

    See Also
    --------
    mmfeat.retrieval.explain_pair : The words that make a picture and a sentence similar.
    class_heat_maps : What the picture says for a class.

    Notes
    -----
    Behind the vectorizer there may be decompositions, scalers, selections and normalisers; a row's length, by which a
    normaliser divides, is held fast, so a contribution is a share of this decision and not what would change without the
    word. What scalers and decompositions subtract is in the intercept, so an absent word adds nothing. All sums are taken in
    float64.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from mmfeat.multimodal import word_contributions
    >>> texts = ["a fine day", "a sad day", "fine weather", "sad and gray"]
    >>> model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, ["good", "bad", "good", "bad"])
    >>> decision = word_contributions(model, "what a fine day")
    >>> print(decision)
    decision for good +0.3506
    intercept -0.0181
    <BLANKLINE>
    word                value  contribution
    fine               0.7071       +0.3685
    day                0.7071       +0.0001
    """
    captions = check_texts([text] if isinstance(text, str) else text)
    steps = steps_of(classifier, "text")
    if isinstance(steps[0], PairFeatures):
        return _of_pair(steps, captions, image, target, top)
    start = _Start(steps[:-1], SEPARATOR.join(captions))
    place, target = find_target(steps[-1], start.output, target)
    slope, intercept = _coefficients(steps[-1], start.output, place)
    slope, shift = start.pull(slope)
    return _decision(target, intercept + shift, 0.0, start, slope, top)


def _of_pair(steps, captions, image, target, top):
    pair_features, *middle = steps
    block, columns = columns_of(pair_features, "text")
    pair = np.empty((1, 2), dtype=object)
    pair[0, 0], pair[0, 1] = image, captions
    row = dense_row(pair_features.transform(pair))
    # Of float64 where the block is float32: the words are to add up.
    start = _Start(flat_steps(block.encoder), SEPARATOR.join(captions))
    step, factor = scaling_of(block)
    scaling = None if step is None else affine_map(step, start.output)
    scaled = factor * (start.output if scaling is None else dense_row(step.transform(start.output[None])))
    if not np.allclose(row[columns], scaled, rtol=_SAME, atol=_SAME):
        raise ValueError(
            "The features of this text are not those of its captions as one text: they are a mean, or stand in for a missing "
            "text. Explain one caption at a time, one that is there."
        )
    row[columns] = scaled
    behind = _Linear(middle[:-1], row)
    place, target = find_target(middle[-1], behind.output, target)
    slope, intercept = _coefficients(middle[-1], behind.output, place)
    slope, shift = behind.pull(slope)
    others = np.ones(len(row), dtype=bool)
    others[columns] = False
    picture = float(row[others] @ slope[others])
    slope = factor * slope[columns]
    if scaling is not None:
        shift += float(np.sum(scaling.shift * slope))
        slope = scaling.pull(slope)
    slope, inner = start.pull(slope)
    return _decision(target, intercept + shift + inner, picture, start, slope, top)


class _Linear:
    """A row on its way through linear steps."""

    def __init__(self, steps, row):
        self.row, self.output, self._maps = row, row, []
        for step in steps:
            affine = affine_map(step, self.output)
            if affine is None:
                raise ValueError(
                    f"{type(step).__name__} is not known to be linear, so the decision is no sum over the words. Leave the "
                    "step out."
                )
            self._maps.append(affine)
            self.output = dense_row(step.transform(self.output[None]))

    def pull(self, slope):
        """Slope by the first row, and the constant, of a linear function of the output."""
        constant = 0.0
        for affine in reversed(self._maps):
            constant += float(np.sum(affine.shift * slope))
            slope = affine.pull(slope)
        return slope, constant


class _Start(_Linear):
    """A text on its way through the steps that make a row of terms of it, and the linear ones behind."""

    def __init__(self, steps, text):
        self.first, later = split_at_linear(steps)
        value = [text]
        for step in self.first:
            value = step.transform(value)
        super().__init__(later, dense_row(value))


def _coefficients(classifier, row, place):
    slope, intercept = linear_decision(classifier, row, place)
    if slope is None:
        raise ValueError(
            f"{type(classifier).__name__} has no linear decision, so it is no sum over the words. Use LinearSVC or "
            "LogisticRegression, say."
        )
    return slope, intercept


def _decision(target, intercept, picture, start, slope, top):
    names = check_names(feature_names(start.first), len(start.row), "word")
    there = np.flatnonzero(start.row)
    words = top_features(names[there], start.row[there], (start.row * slope)[there], top)
    value = intercept + picture + words.contributions.sum() + words.rest
    return Decision(target, float(value), float(intercept), picture, words)
