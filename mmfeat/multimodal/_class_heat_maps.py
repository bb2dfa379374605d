"""Which part of a picture speaks for a class."""

import numpy as np

from mmfeat.image import grad_cam
from mmfeat.image._behind_network import BehindNetwork
from mmfeat.multimodal._decision import columns_of, decision_gradient, find_target, pull_through_block, steps_of
from mmfeat.multimodal._late_fusion import LateFusionClassifier
from mmfeat.multimodal._pair_features import PairFeatures
from mmfeat.multimodal._samples import image_column
from mmfeat.utils._compat import HasMethods, validate_params
from mmfeat.utils._steps import dense_row, pull_back
from mmfeat.utils._validation import check_images


@validate_params(
    {"classifier": [HasMethods(["predict"])], "layer": [str, None], "signed": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def class_heat_maps(classifier, X, target=None, layer=None, *, signed=False):
    """Draw heat maps of the parts of pictures that speak for a class: Grad-CAM of the decision function.

    Parameters
    ----------
    classifier : classifier
        Fitted: a pipeline from :class:`PairFeatures` or from :class:`~mmfeat.image.CNNFeatures` to a classifier, a
        :class:`LateFusionClassifier`, whose classifier of pictures is explained, or a search over one of these. Its
        image encoder is a CNNFeatures or a pipeline that begins with one.
    X : DataFrame of pandas or polars, object ndarray of shape (n_samples, 2), or sequence of images
        What the classifier takes: pairs or, a pipeline from CNNFeatures, images. Each must have a picture.
    target : object or None, default=None
        The class; None: for each row the one that is predicted (in a late fusion, by the picture's side).
    layer : str or None, default=None
        See :func:`mmfeat.image.grad_cam`.
    signed : bool, default=False
        Keep what speaks against the class, as values below 0.

    Returns
    -------
    heat_maps : list of ndarray of shape (height, width), dtype float32
        One a row, in the size of its picture.

    Raises
    ------
    ValueError
        If the image encoder does not begin with a network, a picture is missing or cannot be read, the class is
        unknown, or the classifier has no gradient, as decision trees have none.

    See Also
    --------
    word_contributions : What the words say for a class.
    mmfeat.image.draw_heat_map : Lays a map over its picture.

    Notes
    -----
    Steps that scale, select, project or normalise and classifiers with ``coef_`` are differentiated in closed form; all
    others by central differences of the decision function or, where there is none, of the probability. What the words
    say is held fast.

    Examples
    --------
    >>> import warnings
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from mmfeat.datasets import make_scenes
    >>> from mmfeat.image import CNNFeatures
    >>> from mmfeat.multimodal import PairFeatures, class_heat_maps
    >>> from mmfeat.text import tfidf_lsa
    >>> posts = make_scenes(20, captions_per_image=1, task="sentiment", random_state=0)
    >>> cnn = CNNFeatures("squeezenet1_1", weights=None, layer="features.5")
    >>> model = make_pipeline(PairFeatures(cnn, tfidf_lsa(5, random_state=0)), LogisticRegression())
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # the network is random
    ...     model = model.fit(posts, posts["label"])
    >>> class_heat_maps(model, posts[:1], "positive")[0].shape
    (96, 96)
    """
    steps = steps_of(classifier, "image")
    classifier = getattr(classifier, "best_estimator_", classifier)
    if isinstance(steps[0], PairFeatures):
        return _of_pairs(steps, X, target, layer, signed)
    if isinstance(classifier, LateFusionClassifier):
        images = image_column(X, classifier.image, classifier.text, "error").cells
    else:
        images = check_images(X)
    behind = BehindNetwork(steps[:-1], images)
    slopes = []
    for number in range(len(images)):
        slope = _slope([], steps[-1], behind.output(number), target)
        slopes.append(behind.pull_back(number, slope))
    return grad_cam(behind.network, images, slopes, layer, signed=signed)


def _of_pairs(steps, X, target, layer, signed):
    pair_features, *middle = steps
    block, columns = columns_of(pair_features, "image")
    images = image_column(X, pair_features.image, pair_features.text, "error").cells
    behind = BehindNetwork([block.encoder], images)
    rows = pair_features.transform(X)
    slopes = []
    for number in range(len(images)):
        slope = _slope(middle[:-1], middle[-1], dense_row(rows[number : number + 1]), target)
        slope = pull_through_block(block, behind.output(number), slope[columns])
        slopes.append(behind.pull_back(number, slope))
    return grad_cam(behind.network, images, slopes, layer, signed=signed)


def _slope(steps, classifier, row, target):
    """Gradient of the decision by what the first of some steps takes."""
    rows = [row]
    for step in steps:
        rows.append(dense_row(step.transform(rows[-1][None])))
    place, _ = find_target(classifier, rows[-1], target)
    slope = decision_gradient(classifier, rows[-1], place)
    for step, taken in zip(reversed(steps), reversed(rows[:-1]), strict=True):
        slope = pull_back(step, taken, slope)
    return np.asarray(slope, dtype=np.float64)
