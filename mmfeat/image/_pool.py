"""Preprocessing before a network and pooling after it."""

from math import prod

import numpy as np


def prepare(pixels, preset, resize):
    """Resize and crop a picture for a network.

    Parameters
    ----------
    pixels : ndarray of shape (height, width, 3), dtype uint8
    preset : torchvision.transforms._presets.ImageClassification
    resize : {"crop", "squash"}

    Returns
    -------
    crop : ndarray of shape (size, size, 3), dtype uint8
    """
    from PIL import Image
    from torchvision.transforms import functional

    picture = Image.fromarray(pixels)
    side = preset.crop_size[0]
    if resize == "squash":
        return np.asarray(functional.resize(picture, [side, side], interpolation=preset.interpolation))
    picture = functional.resize(picture, preset.resize_size, interpolation=preset.interpolation)
    return np.asarray(functional.center_crop(picture, [side, side]))


def normalise(batch, preset, device):
    """Turn 8-bit pictures into what the network takes.

    Parameters
    ----------
    batch : ndarray of shape (n, height, width, 3), dtype uint8
    preset : torchvision.transforms._presets.ImageClassification
    device : str

    Returns
    -------
    inputs : torch.Tensor of shape (n, 3, height, width), dtype float32
        Channels last in memory.
    """
    import torch

    inputs = torch.from_numpy(batch).to(device).permute(0, 3, 1, 2).float().div_(255)
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (preset.mean, preset.std))
    return inputs.sub_(mean).div_(std)


def pool(output, pooling):
    """Reduce the output of a layer to one vector a picture.

    Parameters
    ----------
    output : torch.Tensor of shape (n, channels, height, width), (n, tokens, channels) or (n, channels)
    pooling : {"avg", "max", "flatten"}

    Returns
    -------
    vectors : torch.Tensor of shape (n, width), dtype float32
    """
    output = output.float()
    if output.ndim == 2 or pooling == "flatten":
        return output.flatten(1)
    places = _places(output.shape[1:])
    return output.mean(places) if pooling == "avg" else output.amax(places)


def pooled_width(shape, pooling):
    """Return the length of the vector that :func:`pool` makes of one output of this shape."""
    if len(shape) == 1 or pooling == "flatten":
        return prod(shape)
    return prod(size for axis, size in enumerate(shape, start=1) if axis not in _places(shape))


def _places(shape):
    """Axes, the batch's counted, of the places in an output: of tokens, or of the rows and columns of a map."""
    if len(shape) == 2:
        return (1,)
    # Pictures are square, so maps are: two equal sizes in front mean channels last, as in Swin transformers.
    return (1, 2) if shape[0] == shape[1] != shape[2] else (2, 3)
