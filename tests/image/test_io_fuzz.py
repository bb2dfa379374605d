"""Files damaged at random: an array or an ImageDecodeError, nothing else."""

import io

import numpy as np
import pytest
from PIL import Image

from mmfeat.image import ImageDecodeError
from mmfeat.image._io import load_image


def damage(content, rng):
    """Overwrite a few bytes, then perhaps cut out, repeat or cut off a part."""
    content = bytearray(content)
    for place in rng.integers(0, len(content), rng.integers(1, 12)):
        content[place] = rng.integers(256)
    start, stop = sorted(rng.integers(0, len(content), 2))
    action = rng.integers(4)
    if action == 1:
        del content[start:stop]
    elif action == 2:
        content[start:start] = content[start:stop]
    elif action == 3:
        del content[start:]
    return bytes(content)


def attempt(content):
    try:
        return load_image(content, 0)
    except ImageDecodeError as error:
        return error


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"])
def test_damaged_files_give_an_array_or_a_decode_error(kind):
    rng = np.random.default_rng(7)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8))
    if kind == "GIF":
        picture = picture.convert("P")
    stream = io.BytesIO()
    picture.save(stream, kind, **({} if kind in ("GIF", "BMP") else {"exif": exif}))
    results = [attempt(damage(stream.getvalue(), rng)) for _ in range(60)]
    refused = [result for result in results if isinstance(result, ImageDecodeError)]
    assert len(refused) > 5
    assert all(str(error).startswith("could not decode image 0 (bytes of length") for error in refused)
    for loaded in (result for result in results if not isinstance(result, ImageDecodeError)):
        assert (loaded.dtype, loaded.ndim, loaded.shape[2]) == (np.uint8, 3, 3)
