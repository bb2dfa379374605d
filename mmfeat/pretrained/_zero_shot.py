"""Pictures told apart by the names of their classes."""

from collections.abc import Mapping
from numbers import Real

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils.validation import check_is_fitted

from mmfeat.utils._compat import HasMethods, Interval, StrOptions, _fit_context
from mmfeat.utils._rows import unit_rows
from mmfeat.utils._validation import check_images, check_sequence


class ZeroShotClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """The class whose name lies nearest to a picture; no labelled picture is needed.

    Parameters
    ----------
    image_encoder : transformer
        From a sequence of images to a matrix, for example ``TwoTower(model, "image")``.
    text_encoder : transformer
        From a sequence of str to a matrix of the same width, for example
        ``TwoTower(model, "text", templates=["a photo of a {}", "a drawing of a {}"])``.
    classes : sequence of str, mapping or None, default=None
        The names of the classes, which are their labels too; or for each label a name. None takes the labels of the `y`
        of :meth:`fit` for names.
    scale : float or "auto", default="auto"
        What a cosine is multiplied by before the softmax over the classes. "auto" is what the model of `image_encoder`
        has learned (`logit_scale_`, also of one in a :class:`~mmfeat.caching.CachedTransformer`).

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    class_vectors_ : ndarray of shape (n_classes, n_features), dtype float32
        Rows of the names, of unit length.
    scale_ : float
    image_encoder_ : transformer
        The fitted encoder.

    See Also
    --------
    TwoTower : The encoders.

    Notes
    -----
    The labels of `y` are not learned from: with ``cross_val_score`` each fold is scored by the same classifier. The
    probabilities are those of the choice between these classes; a picture of none of them gets one all the same. The row
    of a picture that could not be read (``on_error="warn"``) is NaN in :meth:`predict_proba` and refused by
    :meth:`predict`.

    References
    ----------
    Radford, A. et al. (2021). Learning transferable visual models from natural language supervision. ICML, section 3.1.

    Examples
    --------
    >>> from mmfeat.pretrained import TwoTower, ZeroShotClassifier
    >>> model = "google/siglip-base-patch16-224"
    >>> text = TwoTower(model, "text", templates=["a photo of a {}", "a drawing of a {}"])
    >>> classifier = ZeroShotClassifier(TwoTower(model, "image"), text, classes=["cat", "dog"])
    >>> classifier.fit(pictures).predict(pictures)  # doctest: +SKIP
    array(['dog', 'cat'], dtype='<U3')
    """

    _parameter_constraints = {
        "image_encoder": [HasMethods(["fit", "transform"])],
        "text_encoder": [HasMethods(["fit", "transform"])],
        "classes": ["array-like", Mapping, None],
        "scale": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, image_encoder, text_encoder, classes=None, *, scale="auto"):
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.classes = classes
        self.scale = scale

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Embed the names of the classes; the pictures are not opened.

        Parameters
        ----------
        X : sequence of images
            Only checked.
        y : array-like of shape (n_images,), default=None
            Labels. Needed where `classes` is None; otherwise each must be one of them.

        Returns
        -------
        self : ZeroShotClassifier

        Raises
        ------
        ValueError
            If there are no names, two labels have one, a label of `y` has none, or the encoders differ in width.
        """
        images = check_images(X)
        self.classes_, names = _labels_and_names(self.classes, y, len(images))
        self.image_encoder_ = clone(self.image_encoder).fit(images)
        vectors = np.asarray(clone(self.text_encoder).fit_transform(names))
        width = len(self.image_encoder_.get_feature_names_out())
        if vectors.shape[1] != width:
            raise ValueError(
                f"`image_encoder` gives {width} columns and `text_encoder` {vectors.shape[1]}. Use both towers of one model."
            )
        self.class_vectors_ = unit_rows(vectors)
        self.scale_ = _learned_scale(self.image_encoder_) if isinstance(self.scale, str) else float(self.scale)
        return self

    def predict_proba(self, X):
        """Softmax over the classes of the scaled cosines.

        Parameters
        ----------
        X : sequence of images

        Returns
        -------
        probabilities : ndarray of shape (n_images, n_classes)
        """
        return softmax(self.scale_ * self._cosines(X), axis=1)

    def predict(self, X):
        """The class whose name is nearest.

        Parameters
        ----------
        X : sequence of images

        Returns
        -------
        labels : ndarray of shape (n_images,)

        Raises
        ------
        ValueError
            If a picture could not be read and the encoder did not say so.
        """
        cosines = self._cosines(X)
        unread = np.flatnonzero(np.isnan(cosines).any(axis=1))
        if len(unread):
            raise ValueError(
                f"Image {unread[0]} and {len(unread)} in all could not be read, so that they have no class. Drop them, or "
                "use predict_proba, whose rows of them are NaN."
            )
        return self.classes_[cosines.argmax(axis=1)]

    def _cosines(self, X):
        check_is_fitted(self)
        rows = unit_rows(np.asarray(self.image_encoder_.transform(check_images(X)), dtype=np.float64))
        return rows @ self.class_vectors_.T

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.target_tags.required = self.classes is None
        tags.no_validation = True
        return tags


def _labels_and_names(classes, y, n_images):
    """Labels, sorted, and the name of each."""
    found = None if y is None else _sorted(check_sequence(y, what="label"), "y").tolist()
    if y is not None and len(y) != n_images:
        raise ValueError(f"X has {n_images} images and y {len(y)} labels. Pass one label an image.")
    if classes is None and found is None:
        raise ValueError("There are no classes. Pass their names as `classes`, or labels as `y`.")
    if isinstance(classes, Mapping):
        labels, names = list(classes), list(classes.values())
    else:
        labels = names = list(found or ()) if classes is None else check_sequence(classes, what="class name")
    for label, name in zip(labels, names, strict=True):
        if not isinstance(name, str):
            raise ValueError(
                f"The class {label!r} has the name {name!r}. Pass `classes` as {{label: name}}, names as str."
            )
    if len(set(names)) < len(names):
        raise ValueError(
            f"Two of the classes {labels} have one name, and cannot be told apart. Pass names that differ."
        )
    named = dict(zip(labels, names, strict=True))
    strangers = [] if found is None else [label for label in found if label not in named]
    if strangers:
        raise ValueError(f"y holds the label {strangers[0]!r}, which is not in `classes` ({labels}). Add it.")
    ordered = _sorted(labels, "`classes`")
    return ordered, [named[label] for label in ordered.tolist()]


def _sorted(labels, where):
    try:
        ordered = sorted(set(labels))
    except TypeError as error:
        raise ValueError(
            f"The labels in {where} are not of one kind ({error}). Use str for all, or numbers."
        ) from error
    return np.array(ordered)


def _learned_scale(encoder):
    for inner in (encoder, getattr(encoder, "transformer_", None)):
        scale = getattr(inner, "logit_scale_", None)
        if scale is not None:
            return scale
    raise ValueError(
        f"scale='auto' reads `logit_scale_`, which {type(encoder).__name__} does not have. Pass a number; CLIP learned 100."
    )
