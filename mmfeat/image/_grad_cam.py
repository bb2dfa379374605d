"""Which part of a picture speaks for a score of its features."""

import os
from functools import partial

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from mmfeat.image._cnn import CNNFeatures
from mmfeat.image._crops import CROPS, MIRRORED, crop_boxes, normalise, prepare
from mmfeat.image._io import load_image, naming_image
from mmfeat.image._pipeline import arithmetic
from mmfeat.image._pool import channels_first, pool
from mmfeat.image._tapped import tap_network
from mmfeat.utils._compat import validate_params
from mmfeat.utils._validation import check_images


@validate_params(
    {
        "encoder": [CNNFeatures],
        "score": ["array-like", callable],
        "layer": [str, None],
        "signed": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def grad_cam(encoder, images, score, layer=None, *, signed=False):
    """Draw heat maps of the parts of pictures that speak for a score: Grad-CAM.

    Parameters
    ----------
    encoder : CNNFeatures
        Fitted; with any `pooling` but None.
    images : sequence of images
        Paths, PIL images, arrays (height, width[, 1, 3 or 4]) or bytes of image files.
    score : array-like of shape (n_features_out,) or (n_images, n_features_out), or callable
        A direction: the score is the inner product with the features; of two dimensions, one for each picture. Or a
        function from a torch tensor, the features of one picture, shape (n_features_out,), to a tensor of one number.
    layer : str or None, default=None
        Layer whose maps are weighted, any of the network's. None: the last of the encoder's layers that gives maps;
        where none does, the last map before them. Of a network that cannot be traced only modules.
    signed : bool, default=False
        Keep what speaks against the score, as values below 0.

    Returns
    -------
    heat_maps : list of ndarray of shape (height, width), dtype float32
        One a picture, in its own upright size; 0 where the network did not look. Only proportions within a map have a
        meaning.

    Raises
    ------
    ImageDecodeError
        If an image cannot be read, whatever `on_error` is.
    ValueError
        If the encoder makes bags, the score does not fit its features or does not depend on the layer, or the layer is
        unknown or gives no maps with rows and columns.

    See Also
    --------
    draw_heat_map : Lays a map over its picture.
    mmfeat.retrieval.pair_heat_maps : For the similarity to a sentence.
    mmfeat.multimodal.class_heat_maps : For a class.

    Notes
    -----
    With maps :math:`A^k` of a layer and the score :math:`s`, the weight of a channel is the mean of the gradient over the
    Z places, and the map the weighted sum, negative parts cut off ([1]_, equations 1 and 2):

    .. math:: \\alpha_k = \\frac{1}{Z} \\sum_{ij} \\frac{\\partial s}{\\partial A^k_{ij}}, \\qquad
              L = \\max\\Bigl(0, \\sum_k \\alpha_k A^k\\Bigr).

    For a linear score of an average over the places it is the class activation map, but for the factor 1/Z. The map is
    resized to the part of the picture that the network saw. Views (`test_time`) have gradients of their own; their maps
    are put where each view lies and added before negative parts are cut off. The network runs in the encoder's `precision`
    and never compiled.

    References
    ----------
    .. [1] Selvaraju, R. R., Cogswell, M., Das, A., Vedantam, R., Parikh, D. and Batra, D. (2017). Grad-CAM: visual
       explanations from deep networks via gradient-based localization. ICCV.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from mmfeat.image import CNNFeatures, grad_cam
    >>> picture = np.zeros((40, 60, 3), dtype=np.uint8)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # the network is random
    ...     cnn = CNNFeatures("squeezenet1_1", weights=None).fit([picture])
    >>> heat = grad_cam(cnn, [picture], np.ones(512))
    >>> heat[0].shape
    (40, 60)
    """
    check_is_fitted(encoder)
    images = check_images(images)
    if encoder.pooling is None:
        raise ValueError("`pooling`=None makes bags, which have no score. Use an encoder with pooling='avg', say.")
    network = encoder._checked_network()
    n_features = sum(encoder._widths(network))
    scores = _scores(score, len(images), n_features)
    tapped = tap_network(encoder._network_key(), network.layers, layer)
    encoder._check_digest(tapped.network)
    heat_maps = []
    for row, (image, one_score) in enumerate(zip(images, scores, strict=True)):
        crops, boxes, size = _cut_out(image, row, network.preset, encoder)
        maps = _weighted_maps(tapped, crops, one_score, network.layers, encoder)
        heat = sum(_spread(*seen, size) for seen in zip(maps, _views(boxes, encoder.test_time), strict=True))
        heat_maps.append(heat if signed else np.maximum(heat, 0))
    return heat_maps


def _scores(score, n_images, n_features):
    """One function of the features for each picture."""
    if callable(score):
        return [score] * n_images
    directions = check_array(score, ensure_2d=False, dtype=np.float32, input_name="score")
    if directions.shape not in ((n_features,), (n_images, n_features)):
        raise ValueError(
            f"`score` has shape {directions.shape}. Expected ({n_features},), one number a feature, or ({n_images}, "
            f"{n_features}), a row for each picture."
        )
    return [partial(_inner_product, row) for row in np.broadcast_to(directions, (n_images, n_features))]


def _inner_product(direction, features):
    import torch

    return features @ torch.tensor(direction, device=features.device)


def _cut_out(image, row, preset, encoder):
    """What the network sees of a picture: uint8 crops, their boxes in it, and its height and width."""
    places = CROPS[encoder.test_time]
    least = 2 * max(preset.crop_size[0], preset.resize_size[0])  # as for the features
    pixels = load_image(image, row, min_size=least)
    with naming_image(image, row):
        crops = prepare(pixels, preset, encoder.resize, places)
    size = pixels.shape[:2]
    boxes = crop_boxes(size[0], size[1], preset, encoder.resize, places)
    if isinstance(image, (str, os.PathLike, bytes)) and min(size) >= least:  # perhaps decoded at a part of its size
        size = load_image(image, row).shape[:2]
    return crops, boxes, size


def _views(boxes, test_time):
    """Box of each view, and whether it is a mirror image: first all as they are."""
    views = [(box, False) for box in boxes]
    return views + [(box, True) for box in boxes] if test_time in MIRRORED else views


def _weighted_maps(tapped, crops, score, layers, encoder):
    """Sum of the channels of each view, weighted by their mean gradients: shape (n_views, rows, columns)."""
    import torch

    network, tap, layer = tapped
    crops = torch.tensor(crops, device=network.device)
    with torch.inference_mode(False), torch.enable_grad(), arithmetic(network):
        inputs = normalise(crops, network.factors, network.dtype)
        if encoder.test_time in MIRRORED:
            inputs = torch.cat([inputs, inputs.flip(-1)])
        outputs = network.module(inputs)
        maps = tap.take()
        views = torch.cat([pool(outputs[name], encoder.pooling) for name in layers], dim=-1)
        gradient = _gradient(score(views.mean(0)), maps, layer)
    maps, gradient = (channels_first(part.detach().float()) for part in (maps, gradient))
    return (gradient.mean((2, 3), keepdim=True) * maps).sum(1).cpu().numpy()


def _gradient(value, maps, layer):
    import torch

    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        got = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        raise ValueError(f"`score` must return a torch tensor of one number. Got {got} instead.")
    gradient = None
    if maps is not None and value.requires_grad:
        (gradient,) = torch.autograd.grad(value.sum(), maps, allow_unused=True)
    if gradient is None:
        raise ValueError(
            f"The score does not depend on the layer {layer!r}. Name one that the encoder's own layers are computed from, "
            "and let a function compute with torch alone."
        )
    return gradient


def _spread(weights, view, size):
    """Resize a map to the part of a picture that a view shows; 0 elsewhere."""
    (top, left, bottom, right), mirrored = view
    weights = weights[:, ::-1] if mirrored else weights
    rows = _interpolation(weights.shape[0], top, bottom, size[0])
    columns = _interpolation(weights.shape[1], left, right, size[1])
    return rows @ weights @ columns.T


def _interpolation(n_cells, low, high, length):
    """Matrix from cells that share out the way from `low` to `high` to pixels from 0 to 1: linear between centres."""
    pixels = (np.arange(length) + 0.5) / length
    cells = (pixels - low) / (high - low) * n_cells - 0.5
    inside = (cells > -0.5) & (cells < n_cells - 0.5)
    cells = cells.clip(0, n_cells - 1)[:, None]
    shares = np.maximum(1 - np.abs(cells - np.arange(n_cells)), 0) * inside[:, None]
    return shares.astype(np.float32)
