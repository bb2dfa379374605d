"""The decision of a fitted classifier as a function of one row of features: linear where it is, else by its gradient."""

import numpy as np
from scipy import sparse
from sklearn.preprocessing import Normalizer
from sklearn.utils.validation import check_is_fitted

from mmfeat.multimodal._late_fusion import LateFusionClassifier
from mmfeat.utils._steps import flat_steps, numeric_gradient, pull_back

# Between a classifier's own decision and that from its coefficients, which may be in float32.
_SAME = 1e-5


def steps_of(classifier, side):
    """List the steps of a fitted classifier of pairs, of pictures or of texts.

    Parameters
    ----------
    classifier : Pipeline, LateFusionClassifier, or a search over one
    side : {"image", "text"}
        Of which a late fusion has a classifier.

    Returns
    -------
    steps : list
        The last one is the classifier proper; the first is a :class:`~mmfeat.multimodal.PairFeatures` if pairs go in.

    Raises
    ------
    ValueError
        If there is but one step.
    """
    check_is_fitted(classifier)
    classifier = getattr(classifier, "best_estimator_", classifier)
    if isinstance(classifier, LateFusionClassifier):
        return steps_of(classifier.image_classifier_ if side == "image" else classifier.text_classifier_, side)
    steps = flat_steps(classifier)
    if len(steps) < 2:
        raise ValueError(
            f"Expected a pipeline of an encoder and a classifier, or a LateFusionClassifier of such. Got "
            f"{type(classifier).__name__} instead."
        )
    return steps


def find_target(classifier, row, target):
    """Return the place of a class among those of a classifier, and the class.

    Parameters
    ----------
    classifier : classifier
    row : ndarray of shape (n_features,)
    target : object or None
        None takes the class that is predicted.

    Returns
    -------
    place : int
    target : object

    Raises
    ------
    ValueError
        If it is none of the classes, or there are several labels and none is named.
    """
    classes = np.asarray(getattr(classifier, "classes_", None))
    if classes.ndim != 1:
        raise ValueError(f"{type(classifier).__name__} has no single list of classes. Explain one of its labels alone.")
    if target is None:
        predicted = np.asarray(classifier.predict(row[None]))
        if predicted.ndim != 1:
            raise ValueError(f"There are several labels. Pass `target`, one of {classes.tolist()}.")
        target = predicted[0]
    places = np.flatnonzero(classes == target)
    if len(places) != 1:
        raise ValueError(f"`target`={target!r} is no class. The classes are {classes.tolist()}.")
    return int(places[0]), target


def linear_decision(classifier, row, place):
    """Write the decision for a class as ``row @ slope + intercept``.

    Parameters
    ----------
    classifier : classifier
    row : ndarray of shape (n_features,)
    place : int
        Of the class. Of two classes the first has the decision of the second with the other sign.

    Returns
    -------
    slope : ndarray of shape (n_features,), or None
        None where the classifier is not linear, or decides between pairs of more than two classes.
    intercept : float
    """
    coefficients = getattr(classifier, "coef_", None)
    if coefficients is None or not hasattr(classifier, "decision_function") or _is_pairwise(classifier):
        return None, 0.0
    dense = coefficients.toarray() if sparse.issparse(coefficients) else coefficients
    coefficients = np.atleast_2d(np.asarray(dense, dtype=np.float64))
    n_classes = len(classifier.classes_)
    if coefficients.shape[0] != (1 if n_classes == 2 else n_classes):
        return None, 0.0
    intercepts = np.broadcast_to(np.asarray(classifier.intercept_, dtype=np.float64), len(coefficients))
    found = np.ravel(classifier.decision_function(row[None]))
    expected = coefficients @ row + intercepts
    if found.shape != expected.shape or not np.allclose(found, expected, rtol=_SAME, atol=_SAME):
        return None, 0.0
    if n_classes == 2:
        sign = 1.0 if place else -1.0
        return sign * coefficients[0], sign * float(intercepts[0])
    return coefficients[place], float(intercepts[place])


def decision_gradient(classifier, row, place):
    """Gradient of the decision for a class, or of its probability where there is no decision function.

    Parameters
    ----------
    classifier : classifier
    row : ndarray of shape (n_features,)
    place : int

    Returns
    -------
    gradient : ndarray of shape (n_features,)

    Raises
    ------
    ValueError
        If it has neither, no gradient, or decisions that are not one a class.
    """
    slope, _ = linear_decision(classifier, row, place)
    if slope is not None:
        return slope
    method = next((name for name in ("decision_function", "predict_proba") if hasattr(classifier, name)), None)
    if method is None:
        raise ValueError(f"{type(classifier).__name__} has neither decision_function nor predict_proba to explain.")

    if _is_pairwise(classifier):
        raise _not_by_class(classifier, "decides between pairs of classes")

    def score(rows):
        values = getattr(classifier, method)(rows)
        if values.ndim == 1:  # of the second of two classes
            return values if place else -values
        if values.shape[1] != len(classifier.classes_):
            raise _not_by_class(classifier, f"has {values.shape[1]} decisions for {len(classifier.classes_)} classes")
        return values[:, place]

    return numeric_gradient(score, row, type(classifier).__name__)


def _is_pairwise(classifier):
    """Whether the decisions are between two of more than two classes, as those of a support vector machine may be."""
    # Of three classes there are as many pairs: the numbers of columns tell nothing.
    classifier = getattr(classifier, "best_estimator_", classifier)
    return getattr(classifier, "decision_function_shape", None) == "ovo" and len(classifier.classes_) > 2


def _not_by_class(classifier, what):
    return ValueError(
        f"{type(classifier).__name__} {what}, so no decision is that of one class. "
        'Use decision_function_shape="ovr" or another classifier.'
    )


def scaling_of(block):
    """What a side of :class:`~mmfeat.multimodal.PairFeatures` does to its features: a step or None, and a factor."""
    step = Normalizer() if block.normalize == "l2" else block.scaler
    return step, float(block.factor / block.length)


def columns_of(pair_features, side):
    """Return the block of a side and its columns.

    Parameters
    ----------
    pair_features : PairFeatures
    side : {"image", "text"}

    Returns
    -------
    block : object
    columns : slice

    Raises
    ------
    ValueError
        If the side was dropped.
    """
    start = 0
    for block in pair_features._blocks:
        if block.side == side:
            return block, slice(start, start + block.width)
        start += block.width
    raise ValueError(f'The classifier does not see the {side}: its `{side}_encoder` is "drop".')


def pull_through_block(block, row, slope):
    """Gradient by what the encoder gives, of a score whose gradient by the columns of its block is `slope`."""
    step, factor = scaling_of(block)
    slope = slope * factor
    return slope if step is None else pull_back(step, row, slope)
