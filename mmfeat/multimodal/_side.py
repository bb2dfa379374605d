"""One side of a late fusion: a classifier of pictures or of texts that takes the whole pairs."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from mmfeat.multimodal._readable import call_readable, fit_readable
from mmfeat.multimodal._rules import class_shares
from mmfeat.multimodal._samples import image_column, joined, text_column


class _Side(ClassifierMixin, BaseEstimator):
    """Classifier of pairs that looks at one column and knows where it is empty.

    Parameters
    ----------
    classifier : classifier
        Of pictures or of texts.
    side : {"image", "text"}
    image, text : str
        Names of the columns.
    missing : {"error", "impute", "other"}
    classes : ndarray of shape (n_classes,) or None
        What the codes that `fit` takes stand for; None for several labels.
    fill : bool, default=False
        Whether `predict_proba` gives the shares of the classes instead of NaN where the side is missing.
    """

    def __init__(self, classifier, side, image, text, missing, classes, fill=False):
        self.classifier = classifier
        self.side = side
        self.image = image
        self.text = text
        self.missing = missing
        self.classes = classes
        self.fill = fill

    def fit(self, X, y, sample_weight=None):
        """Fit the classifier to the rows that have this side; `y` holds codes, of shape (n,) or (n, n_labels)."""
        column = self._column(X)
        if not column.present.any():
            raise ValueError(f"No row has a {self.side}. Fit a classifier of the other side alone.")
        n_classes = 2 if self.classes is None else len(self.classes)
        self.classes_ = [np.arange(2)] * y.shape[1] if self.classes is None else np.arange(n_classes)
        self.prior_ = class_shares(y.reshape(len(y), -1), n_classes, sample_weight)
        labels = y if self.classes is None else self.classes[y]
        there = column.present
        params = {} if sample_weight is None else {self._weight_name(): sample_weight[there]}
        self.classifier_, _, readable = fit_readable(self.classifier, self._cells(column), labels[there], params)
        self._check_readable(readable, there)
        return self

    def predict(self, X):
        """Codes of the classes, which scikit-learn asks for in what it cross-validates."""
        winners = self.probabilities(X).argmax(axis=2)
        return winners if self.classes is None else winners[:, 0]

    def predict_proba(self, X):
        """Probabilities as scikit-learn has them: (n, n_classes), or a list of (n, 2) for several labels."""
        result = self.probabilities(X)
        if self.fill:
            result = np.where(np.isnan(result), self.prior_, result)
        return result[:, 0] if self.classes is not None else list(result.transpose(1, 0, 2))

    def probabilities(self, X):
        """Probabilities of shape (n, n_labels, n_classes), NaN where the side is missing."""
        return self._call(X, "predict_proba", self._align)

    def votes(self, X):
        """The same with 1 for what the classifier predicts and 0 for the others."""
        return self._call(X, "predict", self._one_hot)

    def has_probabilities(self):
        """Whether the classifier gives probabilities; may be asked before it is fitted."""
        return hasattr(getattr(self, "classifier_", self.classifier), "predict_proba")

    def _call(self, X, method, arrange):
        column = self._column(X)
        found = np.full((len(column.present), *self.prior_.shape), np.nan)
        if column.present.any():
            result, readable = call_readable(self.classifier_, self._cells(column), method)
            self._check_readable(readable, column.present)
            if result is not None:
                found[np.flatnonzero(column.present)[readable]] = arrange(result)
        return found

    def _align(self, result):
        """Bring what classifiers give to one form, classes that one has not seen included."""
        inner = self.classifier_.classes_
        if self.classes is not None:
            aligned = np.zeros((len(result), 1, len(self.classes)))
            aligned[:, 0, np.searchsorted(self.classes, inner)] = result
            return aligned
        if isinstance(result, list):
            # A label that is always absent, or always present, has one class.
            result = [
                one[:, list(known).index(1)] if 1 in known else np.zeros(len(one))
                for one, known in zip(result, inner, strict=True)
            ]
            result = np.stack(result, axis=1)
        return np.stack([1 - result, result], axis=2)

    def _one_hot(self, result):
        codes = np.asarray(result) if self.classes is None else np.searchsorted(self.classes, result)[:, None]
        return (codes[..., None] == np.arange(self.prior_.shape[1])).astype(float)

    def _column(self, X):
        return (image_column if self.side == "image" else text_column)(X, self.image, self.text, self.missing)

    def _cells(self, column):
        cells = column.some(column.present)
        return joined(cells) if self.side == "text" else cells

    def _check_readable(self, readable, present):
        if self.missing == "error" and not readable.all():
            row = np.flatnonzero(present)[np.flatnonzero(~readable)[0]]
            raise ValueError(
                f"The {self.side} of pair {row} could not be read: its features are NaN. Drop the row, or pass "
                'missing="impute" or missing="other".'
            )

    def _weight_name(self):
        name = weight_parameter(self.classifier)
        if name is None:
            raise ValueError(
                f"Weights of samples or classes were given, but the {self.side} classifier does not take "
                f"`sample_weight`: {self.classifier!r}. Use one that does, or give no weights."
            )
        return name


def weight_parameter(classifier):
    """Name under which a classifier's `fit` takes weights of samples, None if it does not.

    Parameters
    ----------
    classifier : classifier
        Also a pipeline, or a search over one.

    Returns
    -------
    name : str or None
    """
    if isinstance(classifier, Pipeline):
        step, last = classifier.steps[-1]
        inner = weight_parameter(last)
        return None if inner is None else f"{step}__{inner}"
    if has_fit_parameter(classifier, "sample_weight"):
        return "sample_weight"
    # A search hands what it does not know to the estimator it searches over.
    return (
        weight_parameter(classifier.estimator)
        if hasattr(classifier, "cv") and hasattr(classifier, "estimator")
        else None
    )
