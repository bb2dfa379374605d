"""The one file that opens images: a path, the bytes of a file, a PIL image or an array becomes pixels."""

import io
import os
import stat
import struct
import threading
import zlib
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np

from mmfeat.image._pixels import array_to_pixels, picture_to_pixels

MAX_PIXELS = 89_478_485
"""Most pixels a picture may have: 256 MiB of decoded RGB, the size from which Pillow suspects a decompression bomb."""

# No format whose decoder starts another program (EPS starts Ghostscript), and none without a signature (TGA).
_FORMATS = ("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")

# What Pillow's decoders raise on damaged files; seen with files damaged at random (tests/image/test_io_fuzz.py).
_DECODER_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

_LAZY_PICTURES = threading.Lock()


class ImageDecodeError(ValueError):
    """An image that could not be read; the message names its row, the image and the reason.

    Examples
    --------
    >>> from mmfeat.image import ColorHistogram, ImageDecodeError
    >>> try:
    ...     ColorHistogram().fit_transform([b""])
    ... except ImageDecodeError as error:
    ...     print(error)
    could not decode image 0 (bytes of length 0): it is empty (0 bytes)
    """


def load_image(image, row, *, mode="RGB", min_size=None):
    """Read one image as pixels of 8 bits.

    Parameters
    ----------
    image : str, os.PathLike, bytes, PIL.Image.Image or ndarray
        A file, the content of a file, a picture in memory, or an array (height, width[, 1, 3 or 4]) of
        uint8, bool, uint16 (divided by 257) or float in [0, 1].
    row : int
        Position of the image in the caller's sequence, for the error message.
    mode : {"RGB", "L"}, default="RGB"
        Colour, or gray by ITU-R BT.601 luma.
    min_size : int or None, default=None
        Where an exact picture is not needed: a JPEG of which both sides are at least twice this many pixels may
        be decoded at 1/2, 1/4 or 1/8 of its size, both sides staying at least `min_size`. Much quicker.

    Returns
    -------
    pixels : ndarray of shape (height, width, 3) or (height, width), dtype uint8

    Raises
    ------
    ImageDecodeError
        If it cannot be read, has no pixels, or has more than 89,478,485 of them (checked before decoding).

    Notes
    -----
    Transparency is laid on white; 16-bit samples are divided by 257; the EXIF orientation is applied; of an animation
    the first frame is taken (of a PIL image the frame it stands at); colour profiles are ignored.
    Safe to call from several threads: no setting of Pillow is changed.
    """
    with naming_image(image, row):
        if isinstance(image, np.ndarray):
            return array_to_pixels(image, mode)
        with _opened(image, min_size) as picture:
            return picture_to_pixels(picture, mode)


@contextmanager
def naming_image(image, row):
    """Turn what decoding and resizing raise into an :class:`ImageDecodeError` that names the image.

    Parameters
    ----------
    image : str, os.PathLike, bytes, PIL.Image.Image or ndarray
    row : int
        Position of the image in the caller's sequence.

    Raises
    ------
    ImageDecodeError
        Instead of any error that Pillow or NumPy raise on images they cannot treat, too little memory included.
    """
    try:
        yield
    except _DECODER_ERRORS as error:
        raise ImageDecodeError(f"could not decode image {row} ({_describe(image)}): {_reason(error)}") from error


@contextmanager
def _opened(image, min_size):
    from PIL import Image

    if isinstance(image, Image.Image):
        _check_size(image)
        with _LAZY_PICTURES:  # a picture that the user opened may still be undecoded, and stand in several rows
            image.load()
        yield image
        return
    with _open_stream(image) as stream:
        try:
            picture = Image.open(stream, formats=_known_formats())
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError(f"it has too many pixels, above the limit of {MAX_PIXELS:,}. Shrink it first") from error
        with picture:
            _check_size(picture)
            if min_size is not None and picture.format in ("JPEG", "MPO"):
                picture.draft(None, (min_size, min_size))
            picture.load()
            yield picture


def _open_stream(image):
    if isinstance(image, bytes):
        _check_length(len(image))
        return io.BytesIO(image)
    path = Path(image)
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ValueError("it is a directory. Pass the files in it")
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    _check_length(status.st_size)
    return path.open("rb")


def _check_length(n_bytes):
    if n_bytes == 0:
        raise ValueError("it is empty (0 bytes)")


def _check_size(picture):
    width, height = picture.size
    if width * height == 0:
        raise ValueError("it has no pixels")
    if width * height > MAX_PIXELS:
        raise ValueError(f"it has {width}x{height} pixels, above the limit of {MAX_PIXELS:,}. Shrink it first")


@lru_cache(maxsize=1)
def _known_formats():
    from PIL import Image

    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _describe(image):
    if isinstance(image, bytes):
        return f"bytes of length {len(image)}"
    if isinstance(image, np.ndarray):
        return f"array of shape {image.shape}, {image.dtype}"
    if isinstance(image, (str, os.PathLike)):
        return repr(os.fspath(image))
    size = getattr(image, "size", None)
    return f"PIL image of mode {image.mode}, size {size}" if size else type(image).__name__


def _reason(error):
    from PIL import UnidentifiedImageError

    text = str(error)
    if isinstance(error, UnidentifiedImageError):
        return "it is no image of a known format, or ends within its header"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, MemoryError):
        return "there is not enough memory for it. Shrink it first"
    if text.startswith("image file is truncated"):
        return text.removeprefix("image ")
    if isinstance(error, EOFError) or "truncated" in text.lower():
        return f"file is truncated ({text or type(error).__name__})"
    return text or type(error).__name__
