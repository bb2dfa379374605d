"""Networks by name of torchvision or timm, or made by the user's own function, with their preprocessing."""

from copy import deepcopy
from dataclasses import dataclass
from math import floor
from typing import Any

from mmfeat.image._weights import near_matches
from mmfeat.utils._optional import import_optional

_TIMM = "timm/"
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preset:
    """Preprocessing of pictures, with the names that torchvision gives it.

    Attributes
    ----------
    crop_size, resize_size : list of one int
        Side of the square that is cut, and what the short side is resized to before.
    mean, std : sequence of three float
        Of the channels, of values in [0, 1].
    interpolation : torchvision.transforms.InterpolationMode
    """

    crop_size: list
    resize_size: list
    mean: Any
    std: Any
    interpolation: Any


def is_timm(model):
    """Whether a model is named as one of timm."""
    return isinstance(model, str) and model.startswith(_TIMM)


def model_name(model):
    """How messages call a model."""
    return model if isinstance(model, str) else f"the network of {getattr(model, '__name__', repr(model))}"


def check_model(model):
    """Raise if `model` names no network.

    Raises
    ------
    ValueError
        With near matches of the name.
    ImportError
        If it is a network of timm, and timm is not installed.
    """
    from torchvision import models

    if not isinstance(model, str):
        return
    if is_timm(model):
        timm = _timm()
        name = model.removeprefix(_TIMM)
        if ":" not in name and not timm.is_model(name):  # "hf-hub:..." and "local-dir:..." name more than a network
            near = near_matches(name, timm.list_models()) or ". timm.list_models() lists them"
            raise ValueError(f"`model`={model!r} is no network of timm{near}.")
        return
    known = models.list_models(module=models)
    if model not in known:
        near = near_matches(model, known) or ". torchvision.models.list_models() lists them"
        raise ValueError(f"`model`={model!r} is no classification network of torchvision{near}.")


def construct(model, *, pretrained=False, init_weights=True, num_classes=None):
    """Make a network.

    Parameters
    ----------
    model : str or callable
        Checked by :func:`check_model`.
    pretrained : bool, default=False
        With the weights that timm publishes for it; no other has any here.
    init_weights : bool, default=True
        False where weights are loaded right after: some networks take long to be filled at random.
    num_classes : int or None, default=None
        Of the head; None is the usual number.

    Returns
    -------
    module : torch.nn.Module

    Raises
    ------
    TypeError
        If a callable returns something else.
    OSError
        If weights of timm cannot be downloaded.
    """
    from torchvision import models

    arguments: dict = {} if num_classes is None else {"num_classes": num_classes}
    if callable(model):
        return _called(model, arguments)
    if is_timm(model):
        return _from_timm(model, pretrained, arguments)
    if model in ("googlenet", "inception_v3"):  # ported weights: expect inputs scaled their way, as torchvision does
        arguments.update(transform_input=True, init_weights=init_weights)
    return models.get_model(model, weights=None, **arguments)


def preset_of(module, published):
    """Return the preprocessing of a network.

    Parameters
    ----------
    module : torch.nn.Module
        One of timm knows its own.
    published : torchvision.models.WeightsEnum or None
        Weights of torchvision whose preprocessing is meant.

    Returns
    -------
    preset : Preset
        224 of 256 pixels and the means of ImageNet where nothing else is known.

    Raises
    ------
    ValueError
        If the network takes pictures that are not square.
    """
    from torchvision.transforms import InterpolationMode

    if published is not None:
        known = published.transforms()
        return Preset(known.crop_size, known.resize_size, known.mean, known.std, known.interpolation)
    config = getattr(module, "pretrained_cfg", None)
    if not isinstance(config, dict) or "input_size" not in config:
        return Preset([224], [256], _IMAGENET_MEAN, _IMAGENET_STD, InterpolationMode.BILINEAR)
    height, width = config["input_size"][1:]
    if height != width:
        raise ValueError(f"The network takes pictures of {height}x{width} pixels. Only square ones are supported.")
    resized = floor(width / config.get("crop_pct", 0.875))
    filters = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
    interpolation = filters.get(config.get("interpolation", "bicubic"), InterpolationMode.BICUBIC)
    return Preset([width], [resized], config["mean"], config["std"], interpolation)


def _called(model, arguments):
    from torch import nn

    module = model(**arguments)
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"`model` must return a torch.nn.Module when called without arguments. Got {type(module).__name__} instead."
        )
    return deepcopy(module)  # it may be the user's own, trained on elsewhere, and is changed here


def _from_timm(model, pretrained, arguments):
    name = model.removeprefix(_TIMM)
    try:
        return _timm().create_model(name, pretrained=pretrained, **arguments)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise OSError(
            f"Could not load the published weights of {model}: {error}. Download them on another machine and pass the "
            f"file as `weights`."
        ) from error


def _timm():
    return import_optional("timm", extra="timm", purpose="A model named 'timm/...'")
