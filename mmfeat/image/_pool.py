"""Preprocessing before a network and pooling after it."""

from math import ceil, floor, prod

import numpy as np

from mmfeat.image._pixels import is_strip, resize_pixels


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

    side = preset.crop_size[0]
    if resize == "squash":
        return resize_pixels(pixels, (side, side), Image.Resampling[preset.interpolation.name])
    if is_strip(pixels):
        return _crop_strip(pixels, preset.resize_size[0], side, Image.Resampling[preset.interpolation.name])
    picture = functional.resize(Image.fromarray(pixels), preset.resize_size, interpolation=preset.interpolation)
    return np.asarray(functional.center_crop(picture, [side, side]))


def _crop_strip(pixels, resized, side, resample):
    """Resize the short side of a strip and crop the centre, without ever holding the whole strip resized.

    2 x 60,000 pixels would become 256 x 7.7 million. So the source is cut first, with the pixels around that the
    filter sees; the rest is the arithmetic of torchvision.
    """
    from PIL import Image

    short = min(pixels.shape[:2])
    parts, bounds = [], []
    for length in pixels.shape[:2]:
        size = int(resized * length / short)
        first = round((size - side) / 2)
        start, stop = first * length / size, (first + side) * length / size
        low, high = max(floor(start) - 4 * short, 0), min(ceil(stop) + 4 * short, length)
        parts.append(slice(low, high))
        bounds.append((start - low, stop - low))  # Pillow keeps them in float32, too coarse far from the start
    (top, bottom), (left, right) = bounds
    region = Image.fromarray(pixels[tuple(parts)])
    return np.asarray(region.resize((side, side), resample, box=(left, top, right, bottom)))


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
