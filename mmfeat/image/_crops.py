"""Preprocessing before a network: pictures resized, cut and scaled to the numbers the network was trained on."""

from math import ceil, floor

import numpy as np

from mmfeat.image._pixels import is_strip, resize_pixels

# Where the crops of a picture lie along its height and width: at the start, in the middle, at the end.
_CENTRE = ((0.5, 0.5),)
_FIVE = ((0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5))

CROPS = {"center": _CENTRE, "flip": _CENTRE, "five_crop": _FIVE, "ten_crop": _FIVE}
"""Crops of each kind of `test_time`."""

MIRRORED = frozenset({"flip", "ten_crop"})
"""Kinds of `test_time` in which the mirror image of each crop counts too."""


def prepare(pixels, preset, resize, places=_CENTRE):
    """Resize and crop a picture for a network.

    Parameters
    ----------
    pixels : ndarray of shape (height, width, 3), dtype uint8
    preset : mmfeat.image._architecture.Preset
        Or the preprocessing of weights of torchvision.
    resize : {"crop", "squash"}
    places : sequence of (float, float)
        Of the crops: 0 is the first row or column, 1 the last.

    Returns
    -------
    crops : ndarray of shape (len(places), size, size, 3), dtype uint8
    """
    from PIL import Image

    side, resample = preset.crop_size[0], Image.Resampling[preset.interpolation.name]
    if resize == "squash" and len(places) == 1:
        return resize_pixels(pixels, (side, side), resample)[None]
    resized = preset.resize_size[0]
    if resize == "squash":
        pixels = resize_pixels(pixels, (resized, resized), resample)
    elif is_strip(pixels):
        return np.stack([_crop_strip(pixels, resized, side, resample, place) for place in places])
    else:
        pixels = _resize_short_side(pixels, preset)
    return np.stack([_cut(pixels, side, place) for place in places])


def crop_boxes(height, width, preset, resize, places=_CENTRE):
    """Say where the crops of :func:`prepare` lie in the picture.

    Parameters
    ----------
    height, width : int
        Of the picture.
    preset : mmfeat.image._architecture.Preset
    resize : {"crop", "squash"}
    places : sequence of (float, float)

    Returns
    -------
    boxes : ndarray of shape (len(places), 4)
        Top, left, bottom and right of each crop as shares of height and width; below 0 or above 1 where the picture was
        padded.
    """
    side, resized = preset.crop_size[0], preset.resize_size[0]
    if resize == "squash":
        sizes = [resized if len(places) > 1 else side] * 2
    else:
        sizes = [int(resized * length / min(height, width)) for length in (height, width)]
    before = [max(side - size, 0) // 2 for size in sizes]  # as torchvision pads
    boxes = []
    for place in places:
        padded = (max(side, size) for size in sizes)
        first = [_first(*numbers) for numbers in zip(padded, (side, side), place, strict=True)]
        low = [(start - gap) / size for start, gap, size in zip(first, before, sizes, strict=True)]
        high = [(start - gap + side) / size for start, gap, size in zip(first, before, sizes, strict=True)]
        boxes.append([*low, *high])
    return np.array(boxes)


def _resize_short_side(pixels, preset):
    from PIL import Image
    from torchvision.transforms import functional

    picture = functional.resize(Image.fromarray(pixels), preset.resize_size, interpolation=preset.interpolation)
    side = preset.crop_size[0]
    if min(picture.size) < side:  # resized to less than is cut: black around it, as torchvision has it
        width, height = picture.size
        picture = functional.center_crop(picture, [max(side, height), max(side, width)])
    return np.asarray(picture)


def _cut(pixels, side, place):
    top, left = (_first(size, side, share) for size, share in zip(pixels.shape[:2], place, strict=True))
    return pixels[top : top + side, left : left + side]


def _first(size, side, share):
    return round((size - side) * share)


def _crop_strip(pixels, resized, side, resample, place):
    """Resize the short side of a strip and crop it, without ever holding the whole strip resized.

    2 x 60,000 pixels would become 256 x 7.7 million. So the source is cut first, with the pixels around that the
    filter sees; the rest is the arithmetic of torchvision.
    """
    from PIL import Image

    short = min(pixels.shape[:2])
    parts, bounds = [], []
    for length, share in zip(pixels.shape[:2], place, strict=True):
        size = int(resized * length / short)
        first = _first(size, side, share)
        start, stop = first * length / size, (first + side) * length / size
        low, high = max(floor(start) - 4 * short, 0), min(ceil(stop) + 4 * short, length)
        parts.append(slice(low, high))
        bounds.append((start - low, stop - low))  # Pillow keeps them in float32, too coarse far from the start
    (top, bottom), (left, right) = bounds
    region = Image.fromarray(pixels[tuple(parts)])
    # The last bound may lie a rounding error outside, which Pillow refuses.
    box = (left, top, min(right, region.width), min(bottom, region.height))
    return np.asarray(region.resize((side, side), resample, box=box))


def factors(preset, device):
    """Factor and summand for each number of a row of pixels: (x / 255 - mean) / std = x * factor + summand.

    Parameters
    ----------
    preset : mmfeat.image._architecture.Preset
    device : str

    Returns
    -------
    pair : (torch.Tensor, torch.Tensor)
        Each of shape (3 * crop width,).
    """
    import torch

    mean, std = (torch.tensor(values, dtype=torch.float64) for values in (preset.mean, preset.std))
    width = preset.crop_size[0]
    return tuple(values.repeat(width).float().to(device) for values in (1 / (255 * std), -mean / std))


def normalise(crops, pair, dtype):
    """Turn 8-bit pictures into what the network takes, on the device where they are.

    Parameters
    ----------
    crops : torch.Tensor of shape (n, height, width, 3), dtype uint8
    pair : (torch.Tensor, torch.Tensor)
        Of :func:`factors`.
    dtype : torch.dtype

    Returns
    -------
    inputs : torch.Tensor of shape (n, 3, height, width)
        Channels last in memory.
    """
    import torch

    n, height, width, _ = crops.shape
    factor, summand = pair
    rows = crops.reshape(n, height, width * 3)  # over three channels alone, vector instructions would be half empty
    scaled = torch.addcmul(summand, rows.float(), factor)
    return scaled.to(dtype).view(n, height, width, 3).permute(0, 3, 1, 2)
