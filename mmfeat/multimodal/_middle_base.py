"""What a classifier with fusion in the middle is beside its parameters: encoders fitted, a network trained and used."""

from numbers import Real

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from mmfeat.multimodal._middle_arrays import SIDES, Form, predict_scores
from mmfeat.multimodal._middle_sides import MiddleSide
from mmfeat.multimodal._middle_training import Task, train_network
from mmfeat.multimodal._rules import class_shares
from mmfeat.multimodal._samples import image_column, shared_pictures, text_column
from mmfeat.multimodal._targets import encode_classes, weights_of_rows
from mmfeat.utils._pairs import pair_columns


class MiddleClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Base of :class:`~mmfeat.multimodal.AttentionFusionClassifier`, which has the parameters."""

    def predict(self, X):
        """Return the class of each pair.

        Parameters
        ----------
        X : DataFrame of pandas or polars, or object ndarray of shape (n_samples, 2)

        Returns
        -------
        labels : ndarray of shape (n_samples,) or (n_samples, n_labels)
            For several labels 1 where the probability is above one half.

        Raises
        ------
        ValueError
            If `X` is no pairs table, or something is missing that may not be; the message names the row.
        """
        probabilities = self.predict_proba(X)
        return (probabilities > 0.5).astype(int) if self._multilabel else self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(self, X):
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : DataFrame of pandas or polars, or object ndarray of shape (n_samples, 2)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            For several labels, of each label being present.

        Raises
        ------
        ValueError
            As in :meth:`predict`.
        """
        check_is_fitted(self)
        made = [side.transform(self._column(side, X)) for side in self._sides]
        present = np.stack([there for _, there in made], axis=1)
        scores = predict_scores(self.network_, [view for view, _ in made], present).astype(np.float64)
        probabilities = expit(scores) if self._multilabel else softmax(scores, axis=1)
        if self.network_["form"]["falls_back"]:
            prior = self.class_prior_[:, 1] if self._multilabel else self.class_prior_
            probabilities[~present.any(axis=1)] = prior
        return probabilities

    def _column(self, side, X):
        return (image_column if side.side == "image" else text_column)(X, self.image, self.text, side.missing)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.no_validation = True
        tags.classifier_tags.multi_label = True
        return tags

    def _fit(self, X, y, sample_weight):
        auxiliary = _two_weights(self.auxiliary_weight)
        codes, classes = encode_classes(y, len(pair_columns(X, self.image, self.text)[0]))
        weights = weights_of_rows(sample_weight, self.class_weight, codes, classes)
        weights = np.ones(len(codes)) if weights is None else weights
        if not weights.any():
            raise ValueError("All weights of the samples are zero, so there is nothing to learn from.")
        falls_back = self.missing == "other"
        form = Form(
            self.fusion, self.n_components, tuple(self.hidden), self.tower, self.tower_width, falls_back=falls_back
        )
        self._sides = [MiddleSide(side, getattr(self, f"{side}_encoder"), self.missing) for side in SIDES]
        labels = codes if classes is None else classes[codes]
        made = [side.fit_transform(self._column(side, X), labels) for side in self._sides]
        n_outputs = codes.shape[1] if classes is None else len(classes)
        task = Task(
            codes.astype(np.int64),
            n_outputs,
            weights,
            np.stack([present for _, present in made], axis=1),
            auxiliary,
            self.side_dropout if falls_back else 0.0,
        )
        groups = shared_pictures(X, self.image, self.text)
        groups = np.arange(len(codes)) if groups is None else groups
        rng = check_random_state(self.random_state)
        self.network_, state = train_network(self, form, [view for view, _ in made], groups, task, rng)
        self.loss_curve_, self.validation_curve_ = state.loss_curve, state.validation_curve
        self.best_epoch_ = state.best_epoch
        self._multilabel = classes is None
        prior = class_shares(codes.reshape(len(codes), -1), 2 if classes is None else n_outputs, weights)
        self.classes_ = [np.arange(2)] * n_outputs if classes is None else classes
        self.class_prior_ = prior if classes is None else prior[0]
        self.image_encoder_, self.text_encoder_ = (side.encoder for side in self._sides)
        return self


def _two_weights(given):
    """Return the weights of the losses of the two sides."""
    pair = (given, given) if isinstance(given, Real) else tuple(given)
    if len(pair) != 2 or not all(isinstance(one, Real) and 0 <= float(one) < np.inf for one in pair):
        raise ValueError(f"`auxiliary_weight` must be one or two numbers of at least 0. Got {given!r} instead.")
    return tuple(map(float, pair))
