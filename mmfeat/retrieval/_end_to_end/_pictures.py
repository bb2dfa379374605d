"""Pictures of a training: read by threads, batch by batch, and changed at random; only the batches at hand are held."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from joblib import cpu_count

from mmfeat.image._crops import prepare
from mmfeat.image._io import load_image, naming_image

# Batches that are read while the network computes; on a processor both would want the same cores.
_AHEAD = 2
_ASPECTS = (3 / 4, 4 / 3)
_TRIES = 10


@dataclass(frozen=True)
class Augmentation:
    """How pictures are changed at random.

    Parameters
    ----------
    crop : float
        Least share of the area of a picture that is cut out; 1: no random crop.
    flip : float
        Share of the pictures that are mirrored.
    color : float
        By how much, at most, brightness, contrast and saturation are changed.
    """

    crop: float
    flip: float
    color: float

    def __call__(self, pixels, preset, rng):
        """Cut, mirror and colour a picture.

        Parameters
        ----------
        pixels : ndarray of shape (height, width, 3), dtype uint8
        preset : Preset
        rng : numpy.random.Generator

        Returns
        -------
        crop : ndarray of shape (side, side, 3), dtype uint8

        References
        ----------
        The crop is that of ``torchvision.transforms.RandomResizedCrop`` (Szegedy, C. et al., 2015, Going deeper with
        convolutions, section 6), the colours those of ``ColorJitter``, in one order.
        """
        from PIL import Image, ImageEnhance

        if self.crop < 1:
            side, resample = preset.crop_size[0], Image.Resampling[preset.interpolation.name]
            box = random_box(pixels.shape[0], pixels.shape[1], self.crop, rng)
            picture = Image.fromarray(pixels).resize((side, side), resample, box=box)
        else:
            picture = Image.fromarray(prepare(pixels, preset, "crop")[0])
        if rng.random() < self.flip:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.color:
            for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
                picture = kind(picture).enhance(rng.uniform(max(0, 1 - self.color), 1 + self.color))
        return np.asarray(picture)


def random_box(height, width, least, rng):
    """Draw a part of a picture.

    Parameters
    ----------
    height, width : int
    least : float
        Least share of the area.
    rng : numpy.random.Generator

    Returns
    -------
    box : tuple of (left, top, right, bottom)
        Between three to four and four to three, where the picture has room for it; else the middle.
    """
    for _ in range(_TRIES):
        area = height * width * rng.uniform(least, 1)
        aspect = exp(rng.uniform(*map(log, _ASPECTS)))
        wide, high = round(sqrt(area * aspect)), round(sqrt(area / aspect))
        if 0 < wide <= width and 0 < high <= height:
            left, top = rng.integers(width - wide + 1), rng.integers(height - high + 1)
            return int(left), int(top), int(left) + wide, int(top) + high
    wide = min(width, max(1, round(height * _ASPECTS[1])))
    high = min(height, max(1, round(width / _ASPECTS[0])))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


def read_batches(images, batches, preset, device, change=None):
    """Yield pictures batch by batch.

    Parameters
    ----------
    images : sequence of str, os.PathLike, PIL.Image.Image, ndarray or bytes
    batches : sequence of sequence of (int, object)
        Positions in `images`, each with something that `change` is given.
    preset : Preset
    device : str
    change : callable or None
        From pixels, `preset` and that something to a crop; None cuts the middle.

    Yields
    ------
    crops : torch.Tensor of shape (n, side, side, 3), dtype uint8
        In the memory of the host.

    Raises
    ------
    ImageDecodeError
        For the first picture of a batch that cannot be read; it names its position and path.
    """
    import torch

    side = preset.crop_size[0]
    least = 2 * max(side, preset.resize_size[0])

    def read(row, given):
        pixels = load_image(images[row], row, min_size=least)
        with naming_image(images[row], row):
            return prepare(pixels, preset, "crop")[0] if change is None else change(pixels, preset, given)

    def gathered(futures):
        crops = torch.empty((len(futures), side, side, 3), dtype=torch.uint8, pin_memory=device != "cpu")
        views = crops.numpy()
        for place, future in enumerate(futures):
            views[place] = future.result()
        return crops

    ahead = 0 if device == "cpu" else _AHEAD
    executor = ThreadPoolExecutor(cpu_count(), thread_name_prefix="mmfeat-image")
    try:
        pending: deque = deque()
        for batch in batches:
            pending.append([executor.submit(read, row, given) for row, given in batch])
            if len(pending) > ahead:
                yield gathered(pending.popleft())
        while pending:
            yield gathered(pending.popleft())
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
