"""Pictures of every mode and arrays of every accepted type as 8-bit gray or RGB pixels; nothing is opened here."""

import struct

import numpy as np

_EXIF_ORIENTATION = 0x0112

# EXIF 2.32, tag 274: how the stored array is turned into the upright one.
_UPRIGHT = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}


def picture_to_pixels(picture, mode):
    """Return a decoded PIL image as upright pixels.

    Parameters
    ----------
    picture : PIL.Image.Image
    mode : {"RGB", "L"}

    Returns
    -------
    pixels : ndarray of shape (height, width, 3) or (height, width), dtype uint8

    Raises
    ------
    ValueError
        If the samples have no known range.
    """
    orientation = _orientation(picture)
    if picture.mode == "I" or picture.mode == "F" or picture.mode.startswith("I;16"):
        # Pillow's own conversion clips these to 255 instead of scaling them.
        pixels = array_to_pixels(_deep_samples(picture), mode)
    else:
        pixels = np.array(_on_white(picture).convert(mode))
    if orientation in _UPRIGHT:
        pixels = np.ascontiguousarray(_UPRIGHT[orientation](pixels))
    return pixels


def array_to_pixels(array, mode):
    """Return an array of samples as pixels of 8 bits.

    Parameters
    ----------
    array : ndarray of shape (height, width[, 1, 3 or 4])
        uint8, bool, uint16, or float in [0, 1].
    mode : {"RGB", "L"}

    Returns
    -------
    pixels : ndarray of shape (height, width, 3) or (height, width), dtype uint8

    Raises
    ------
    ValueError
        If the shape, the type or the range of the values is another one.
    """
    from PIL import Image

    samples = _to_bytes(_check_shape(array))
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[:, :, 0]
    if samples.ndim == 2:
        return samples if mode == "L" else np.repeat(samples[:, :, None], 3, axis=2)
    if samples.shape[2] == 3 and mode == "RGB":
        return samples
    return np.array(_on_white(Image.fromarray(samples)).convert(mode))


def resize_pixels(pixels, size, resample):
    """Resize pixels by a filter of Pillow, the aspect not kept.

    Parameters
    ----------
    pixels : ndarray of shape (height, width[, 3]), dtype uint8
    size : (int, int)
        Height and width of the result.
    resample : PIL.Image.Resampling

    Returns
    -------
    resized : ndarray of shape (*size[, 3]), dtype uint8
    """
    from PIL import Image

    height, width = size
    picture = Image.fromarray(pixels)
    if is_strip(pixels) and picture.width < width and picture.height > height:
        # Pillow before 12.2 widens all rows first: a column of a million pixels became a million rows of full width.
        picture = picture.resize((picture.width, height), resample)
    return np.asarray(picture.resize((width, height), resample))


def is_strip(pixels):
    """Whether a picture is so long that resizing its short side first would need far more memory than the result."""
    short, long = sorted(pixels.shape[:2])
    return long > 32 * short


def _check_shape(array):
    if array.size == 0:
        raise ValueError("it has no pixels")
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4)):
        return array
    cure = "Expected (height, width) or (height, width, channels) with 1, 3 or 4 channels"
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        cure += ". The channels seem to come first: use array.transpose(1, 2, 0)"
    raise ValueError(f"its shape is {array.shape}. {cure}")


def _to_bytes(array):
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype.kind == "f":
        low, high = array.min(), array.max()  # NaN, if there is one
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"its float values run from {low:g} to {high:g}. Floats must lie in [0, 1]: rescale them, or cast "
                f"values of 0 to 255 with .astype(np.uint8)"
            )
        return np.rint(array.astype(np.float32) * 255).astype(np.uint8)
    raise ValueError(f"its type is {array.dtype}. Use uint8, uint16, bool or floats in [0, 1]: .astype(np.uint8)")


def _deep_samples(picture):
    samples = np.asarray(picture)
    if picture.mode == "F":
        return samples
    if picture.mode == "I":
        low, high = samples.min(), samples.max()
        if low < 0 or high > 65535:
            raise ValueError(f"its 32-bit values run from {low} to {high}. Rescale them to 8 or 16 bits")
    return samples.astype(np.uint16)


def _on_white(picture):
    from PIL import Image

    if not picture.has_transparency_data:
        return picture
    colours = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)


def _orientation(picture):
    try:
        return picture.getexif().get(_EXIF_ORIENTATION)
    except (OSError, SyntaxError, TypeError, ValueError, LookupError, struct.error):
        return None  # a damaged EXIF block says nothing against the pixels, which are decoded by now
