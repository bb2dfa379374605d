"""Decision-level fusion: a classifier of the pictures and one of the words decide together."""

from numbers import Integral

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.multioutput import MultiOutputClassifier
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from mmfeat.multimodal._rules import choose_weight, class_shares, combine, leave_to_other, sharpened, votes_of
from mmfeat.multimodal._samples import shared_pictures
from mmfeat.multimodal._side import _Side
from mmfeat.multimodal._targets import check_weights, encode_classes, folds, weights_of_rows
from mmfeat.utils._compat import HasMethods, Interval, StrOptions, _fit_context
from mmfeat.utils._pairs import pair_columns

_TIE = 1e-6  # what a probability counts beside a vote


class LateFusionClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Two whole classifiers, one of the picture and one of the words, whose decisions are fused: late fusion.

    Parameters
    ----------
    image_classifier : classifier
        Takes a sequence of images: ``make_pipeline(CNNFeatures(), LogisticRegression())``, say.
    text_classifier : classifier
        Takes a sequence of str: ``make_pipeline(tfidf_lsa(None), LogisticRegression())``, say. Several captions in one row
        are one text, a caption a line.
    combine : {"mean", "weighted", "product", "max", "vote", "stack"}, default="mean"
        "mean" of the probabilities; "weighted" mean, with a weight that cross-validation finds; "product", divided by the
        shares of the classes; the larger of the two, "max", brought back to a sum of 1; "vote", where ties go to the
        class of the larger mean probability; "stack", a classifier that learns from both classifiers' probabilities.
        All but "vote" need classifiers with ``predict_proba``.
    weights : (float, float) or None, default=None
        Weights of picture and words in "weighted" and "vote". None lets "weighted" find them and makes votes equal.
    image : str, default="image"
        Name of the column of images when the pairs are a DataFrame.
    text : str, default="text"
        Name of the column of texts when the pairs are a DataFrame.
    missing : {"error", "impute", "other"}, default="error"
        What becomes of a row whose picture or words are missing: None, NaN, or a picture for which the first step of
        `image_classifier` gives NaN (``CNNFeatures(on_error="warn")``). "error" refuses it by name. "impute" lets the
        shares of the classes in training stand in for the decision. "other" leaves the row to the other side. With the
        last two an empty path and a blank text are missing too, and each classifier learns from what is there.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes as in scikit-learn, handed to both classifiers as weights of the samples.
    final_estimator : classifier or None, default=None
        What "stack" learns with; None is a logistic regression.
    cv : int, cross-validation generator or iterable, default=5
        Folds for the probabilities that "weighted" and "stack" learn from; each row's come from classifiers that have
        not seen it. An int keeps the shares of the classes, and keeps rows of one picture together.
    n_jobs : int or None, default=None
        Processes for the folds.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,) or list of ndarray
        The classes; for several labels, ``[0, 1]`` for each.
    image_classifier_, text_classifier_ : classifier
        The fitted classifiers.
    weights_ : ndarray of shape (2,)
        Weights of picture and words; of "mean", "weighted" and "vote" only.
    power_ : float
        Of "weighted" only: what the means are raised to; 1 where `weights` are given.
    final_estimator_ : classifier
        Of "stack" only.
    class_prior_ : ndarray of shape (n_classes,) or (n_labels, 2)
        Shares of the classes in training.

    See Also
    --------
    PairFeatures : Fuses features instead of decisions.
    AttentionFusionClassifier : Lets the features meet inside a network.

    Notes
    -----
    A mean of two good forecasts is less sure than it should be (Ranjan and Gneiting), so that its log loss speaks against
    means. "weighted" therefore looks for the weight w, out of 0, 0.05, ..., 1, at which ``w * p_image + (1 - w) *
    p_text``, raised to the best power, has the least log loss on the folds left out, and raises its means to that power. The
    better side is taken alone where the other one gains less than a standard error in log loss, over the shares of the
    classes in its place, or loses accuracy, so that pure noise on one side does no harm.

    "product" is equation 8 of Kittler et al.: right if picture and words are independent given the class.

    With several labels (`y` an indicator matrix) rules are applied to each label by itself, with one weight for all.

    References
    ----------
    Kittler, J., Hatef, M., Duin, R. P. W. and Matas, J. (1998). On combining classifiers. IEEE Transactions on Pattern
    Analysis and Machine Intelligence 20(3), section 3.

    Ranjan, R. and Gneiting, T. (2010). Combining probability forecasts. Journal of the Royal Statistical Society B
    72(1), theorem 1.

    Wolpert, D. H. (1992). Stacked generalization. Neural Networks 5(2).

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from mmfeat.datasets import make_scenes
    >>> from mmfeat.image import ColorMoments
    >>> from mmfeat.multimodal import LateFusionClassifier
    >>> from mmfeat.text import tfidf_lsa
    >>> posts = make_scenes(80, image_size=32, captions_per_image=1, task="sentiment", random_state=0)
    >>> images = make_pipeline(ColorMoments(), LogisticRegression(max_iter=1000))
    >>> texts = make_pipeline(tfidf_lsa(None), LogisticRegression())
    >>> model = LateFusionClassifier(images, texts, combine="product").fit(posts[:60], posts["label"][:60])
    >>> model.predict_proba(posts[60:]).shape
    (20, 2)
    """

    _parameter_constraints = {
        "image_classifier": [HasMethods(["fit", "predict"])],
        "text_classifier": [HasMethods(["fit", "predict"])],
        "combine": [StrOptions({"mean", "weighted", "product", "max", "vote", "stack"})],
        "weights": ["array-like", None],
        "image": [str],
        "text": [str],
        "missing": [StrOptions({"error", "impute", "other"})],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "final_estimator": [HasMethods(["fit", "predict"]), None],
        "cv": [Interval(Integral, 2, None, closed="left"), HasMethods(["split", "get_n_splits"]), "array-like"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        image_classifier,
        text_classifier,
        combine="mean",
        *,
        weights=None,
        image="image",
        text="text",
        missing="error",
        class_weight=None,
        final_estimator=None,
        cv=5,
        n_jobs=None,
    ):
        self.image_classifier = image_classifier
        self.text_classifier = text_classifier
        self.combine = combine
        self.weights = weights
        self.image = image
        self.text = text
        self.missing = missing
        self.class_weight = class_weight
        self.final_estimator = final_estimator
        self.cv = cv
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None):
        """Fit both classifiers, and what joins them.

        Parameters
        ----------
        X : DataFrame of pandas or polars, or object ndarray of shape (n_samples, 2)
            The pairs; a text is a str or a list of str. A picture may stand in several rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Classes, or an indicator matrix of 0 and 1.
        sample_weight : array-like of shape (n_samples,), default=None
            Handed to both classifiers, also to the last step of a pipeline, and counted in what "weighted" and "stack"
            learn.

        Returns
        -------
        self : LateFusionClassifier

        Raises
        ------
        ValueError
            If `X` is no pairs table, something is missing that may not be, a side is missing in all rows, a classifier
            lacks ``predict_proba`` or does not take weights that are given, or there are fewer than two classes.
        """
        given = None if self.weights is None else check_weights(self.weights) / np.sum(self.weights)
        codes, classes = encode_classes(y, len(pair_columns(X, self.image, self.text)[0]))
        sample_weight = weights_of_rows(sample_weight, self.class_weight, codes, classes)
        for name in ("weights_", "power_", "final_estimator_"):  # of another rule, fitted before
            if hasattr(self, name):
                delattr(self, name)
        self._rule = self.combine
        self._multilabel = classes is None
        self._prior = class_shares(codes.reshape(len(codes), -1), 2 if classes is None else len(classes), sample_weight)
        sides = self._make_sides(classes)
        cv = folds(self.cv, X, codes, shared_pictures(X, self.image, self.text))
        params = {} if sample_weight is None else {"sample_weight": sample_weight}
        # Weights are handed on by name to the estimator that uses them, whatever the caller routes.
        with config_context(enable_metadata_routing=False):
            if self.combine == "stack":
                self._fit_stack(sides, X, codes, cv, params)
            else:
                self._fit_sides(sides, X, codes, cv, params, given)
        self.classes_ = [np.arange(2)] * codes.shape[1] if classes is None else classes
        self.class_prior_ = self._prior if classes is None else self._prior[0]
        self.image_classifier_, self.text_classifier_ = (side.classifier_ for side in self._sides)
        return self

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
        winners = self._decide(X).argmax(axis=2)
        return winners if self._multilabel else self.classes_[winners[:, 0]]

    @available_if(lambda self: self.combine != "vote")
    def predict_proba(self, X):
        """Return the probabilities of the classes; not there for "vote".

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
        fused = self._decide(X)
        return fused[:, :, 1] if self._multilabel else fused[:, 0]

    def _make_sides(self, classes):
        sides = [
            _Side(classifier, side, self.image, self.text, self.missing, classes, fill=self.combine == "stack")
            for side, classifier in (("image", self.image_classifier), ("text", self.text_classifier))
        ]
        for side in sides:
            if self.combine != "vote" and not side.has_probabilities():
                raise ValueError(
                    f"combine={self.combine!r} needs probabilities, but the {side.side} classifier has no predict_proba: "
                    f'{side.classifier!r}. Wrap it in CalibratedClassifierCV(..., ensemble=False), or use combine="vote".'
                )
        return sides

    def _fit_sides(self, sides, X, codes, cv, params, given):
        self._sides = [side.fit(X, codes, **params) for side in sides]
        if self.combine == "weighted" and given is None:
            unseen = [
                cross_val_predict(side, X, codes, cv=cv, n_jobs=self.n_jobs, params=params, method="predict_proba")
                for side in sides
            ]
            # Of several labels it is a list of one array each.
            unseen = [np.stack(part, axis=1) if isinstance(part, list) else part[:, None] for part in unseen]
            of_image, self.power_ = choose_weight(unseen[0], unseen[1], codes.reshape(len(codes), -1), **params)
            given = (of_image, 1 - of_image)
        elif self.combine == "weighted":
            self.power_ = 1.0
        if self.combine in ("mean", "weighted", "vote"):
            self.weights_ = np.array(given if given is not None and self.combine != "mean" else (0.5, 0.5))

    def _fit_stack(self, sides, X, codes, cv, params):
        final = LogisticRegression() if self.final_estimator is None else self.final_estimator
        if self._multilabel and self.final_estimator is None:
            final = MultiOutputClassifier(final)
        stack = StackingClassifier(
            [(side.side, side) for side in sides], final, cv=cv, stack_method="predict_proba", n_jobs=self.n_jobs
        )
        stack.fit(X, codes, **params)
        self._sides, self.final_estimator_ = stack.estimators_, stack.final_estimator_

    def _decide(self, X):
        """Fused probabilities of shape (n, n_labels, n_classes); of "vote", votes."""
        check_is_fitted(self)
        if self._rule == "vote" and not all(side.has_probabilities() for side in self._sides):
            return self._fuse("weighted", [side.votes(X) for side in self._sides])
        seen = [side.probabilities(X) for side in self._sides]
        if self._rule == "vote":
            votes = self._fuse("weighted", [votes_of(part) for part in seen])
            return votes + _TIE * self._fuse("mean", seen, (0.5, 0.5))
        if self._rule == "stack":
            return self._stacked(seen)
        fused = self._fuse(self._rule, seen)
        return sharpened(fused, self.power_) if self._rule == "weighted" and self.power_ != 1 else fused

    def _fuse(self, rule, seen, weights=None):
        weights = getattr(self, "weights_", None) if weights is None else weights
        return combine(rule, *seen, prior=self._prior, weights=weights, fall_back=self._sides[0].missing == "other")

    def _stacked(self, seen):
        # The columns that StackingClassifier makes: of two classes the second alone.
        filled = [np.where(np.isnan(part), self._prior, part) for part in seen]
        first = 1 if self._multilabel or self._prior.shape[1] == 2 else 0
        meta = np.hstack([part[:, :, first:].reshape(len(part), -1) for part in filled])
        result = self.final_estimator_.predict_proba(meta)
        if not self._multilabel:
            fused = result[:, None]
        else:
            present = np.stack([one[:, 1] for one in result], axis=1) if isinstance(result, list) else result
            fused = np.stack([1 - present, present], axis=2)
        return leave_to_other(fused, seen[0], seen[1], self._prior) if self._sides[0].missing == "other" else fused

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.no_validation = True
        tags.classifier_tags.multi_label = True
        return tags
