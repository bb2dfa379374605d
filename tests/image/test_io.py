"""Every kind of image opens to the pixels that another decoder or plain arithmetic gives, or is refused by name."""

import io
import os
import struct
import sys
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

from mmfeat.image import ImageDecodeError
from mmfeat.image._io import MAX_PIXELS, load_image


def encode(picture, kind="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def attempt(image):
    try:
        return load_image(image, 0)
    except ImageDecodeError as error:
        return error


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


@pytest.fixture
def smooth():
    """A picture that JPEG keeps well: a colour ramp."""
    down, across = np.mgrid[0:96, 0:160]
    return np.stack([down * 2, across, 255 - across], axis=-1).astype(np.uint8)


def test_path_string_bytes_pil_and_array_give_the_same_pixels(pixels, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    for image in (path, str(path), path.read_bytes(), Image.fromarray(pixels), Image.open(path), pixels, pixels / 255):
        np.testing.assert_array_equal(load_image(image, 0), pixels)


def test_jpeg_agrees_with_opencv(smooth):
    content = encode(Image.fromarray(smooth), "JPEG", quality=95)
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(load_image(content, 0).astype(int) - expected).max() <= 2


def test_gray_is_bt601_luma_from_every_source(pixels):
    expected = pixels @ np.array([0.299, 0.587, 0.114])
    for image in (pixels, Image.fromarray(pixels), encode(Image.fromarray(pixels))):
        gray = load_image(image, 0, mode="L")
        assert gray.shape == (12, 20)
        assert np.abs(gray - expected).max() <= 1


def test_gray_arrays_are_repeated_over_the_channels(pixels):
    gray = pixels[..., 0]
    for image in (gray, gray[..., None]):
        np.testing.assert_array_equal(load_image(image, 0), np.stack([gray] * 3, axis=-1))
        np.testing.assert_array_equal(load_image(image, 0, mode="L"), gray)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_gray_is_scaled_not_clipped(kind):
    deep = np.linspace(0, 65535, 240).astype(np.uint16).reshape(12, 20)
    content = encode(Image.fromarray(deep), kind)
    expected = np.rint(deep / 257)
    np.testing.assert_array_equal(load_image(content, 0, mode="L"), expected)
    np.testing.assert_array_equal(load_image(Image.fromarray(deep.astype(np.int32)), 0)[..., 2], expected)
    np.testing.assert_array_equal(load_image(deep, 0)[..., 1], expected)


def test_16_bit_colour_png_agrees_with_opencv():
    deep = np.random.default_rng(0).integers(0, 65536, (8, 9, 3), dtype=np.uint16)
    content = cv2.imencode(".png", deep)[1].tobytes()
    assert np.abs(load_image(content, 0).astype(float) - deep[..., ::-1] / 257).max() <= 1


def test_booleans_and_float_pictures():
    mask = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(load_image(mask, 0, mode="L"), [[255, 0], [0, 255]])
    np.testing.assert_array_equal(
        load_image(Image.fromarray(mask.astype(np.float32)), 0, mode="L"), [[255, 0], [0, 255]]
    )
    np.testing.assert_array_equal(load_image(Image.fromarray(mask), 0, mode="L"), [[255, 0], [0, 255]])


def test_cmyk_jpeg_is_not_inverted(smooth):
    content = encode(Image.fromarray(smooth).convert("CMYK"), "JPEG", quality=95)
    assert Image.open(io.BytesIO(content)).mode == "CMYK"
    assert b"Adobe" in content  # so its inks are stored inverted
    assert np.abs(load_image(content, 0).astype(int) - smooth).mean() < 4


def test_palette_with_and_without_transparency():
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putdata([0, 1])
    np.testing.assert_array_equal(load_image(encode(picture), 0), [[[10, 20, 30], [200, 100, 50]]])
    see_through = encode(picture, transparency=0)
    np.testing.assert_array_equal(load_image(see_through, 0), [[[255, 255, 255], [200, 100, 50]]])
    np.testing.assert_array_equal(load_image(encode(picture, "GIF", transparency=1), 0)[0, 1], [255] * 3)


@pytest.mark.parametrize("opacity", [0, 128, 255])
def test_transparency_lies_on_white(pixels, opacity):
    layer = np.full((12, 20, 1), opacity, np.uint8)
    expected = (pixels.astype(float) * opacity + 255.0 * (255 - opacity)) / 255
    with_alpha = np.concatenate([pixels, layer], axis=2)
    for image in (with_alpha, Image.fromarray(with_alpha), encode(Image.fromarray(with_alpha)), with_alpha / 255):
        assert np.abs(load_image(image, 0) - expected).max() <= 1
    gray_alpha = Image.merge("LA", [Image.fromarray(pixels[..., 0]), Image.fromarray(layer[..., 0])])
    for image in (gray_alpha, encode(gray_alpha)):
        assert np.abs(load_image(image, 0)[..., 1] - expected[..., 0]).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(orientation, kind, smooth):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"PNG": {}, "TIFF": {}, "JPEG": {"quality": 95}, "WEBP": {"lossless": True}}[kind]
    content = encode(Image.fromarray(smooth), kind, exif=exif, **options)
    # Where the stored first row and first column belong, from the table of EXIF 2.32.
    upright = {
        1: smooth,
        2: np.fliplr(smooth),
        3: np.rot90(smooth, 2),
        4: np.flipud(smooth),
        5: np.transpose(smooth, (1, 0, 2)),
        6: np.rot90(smooth, 3),
        7: np.rot90(np.transpose(smooth, (1, 0, 2)), 2),
        8: np.rot90(smooth, 1),
    }[orientation]
    for image in (content, Image.open(io.BytesIO(content))):
        loaded = load_image(image, 0).astype(int)
        assert loaded.shape == upright.shape
        assert np.abs(loaded - upright).mean() < 2


def test_opencv_turns_photographs_the_same_way(smooth):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode(Image.fromarray(smooth), "JPEG", exif=exif, quality=95)
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(load_image(content, 0).astype(int) - expected).max() <= 2


def test_damaged_exif_does_not_lose_the_picture(smooth):
    content = encode(Image.fromarray(smooth), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    assert load_image(content, 0).shape == smooth.shape


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(load_image(content, 0), np.asarray(frames[0]))


def test_large_jpeg_is_decoded_at_a_fraction_when_that_is_enough(smooth):
    large = cv2.resize(smooth, (640, 400), interpolation=cv2.INTER_CUBIC)
    content = encode(Image.fromarray(large), "JPEG", quality=95)
    assert load_image(content, 0).shape == (400, 640, 3)
    assert load_image(content, 0, min_size=201).shape == (400, 640, 3)
    half = load_image(content, 0, min_size=200)
    assert half.shape == (200, 320, 3)
    assert np.abs(half - cv2.resize(large, (320, 200), interpolation=cv2.INTER_AREA).astype(int)).mean() < 1
    assert load_image(encode(Image.fromarray(large)), 0, min_size=10).shape == (400, 640, 3)  # a PNG


def bomb(width, height):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(10_000, 9_000), (20_000, 10_000), (60_000, 60_000)])
def test_decompression_bombs_are_refused_before_decoding(size):
    with pytest.raises(ImageDecodeError, match=rf"image 4 .*pixels, above the limit of {MAX_PIXELS:,}"):
        load_image(bomb(*size), 4)


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_bomb_warning_turned_into_an_error_is_still_a_decode_error():
    with pytest.raises(ImageDecodeError, match="too many pixels"):
        load_image(bomb(10_000, 9_000), 0)


TRUNCATED = {"JPEG": {}, "PNG": {}, "GIF": {}, "BMP": {}, "PPM": {}, "TIFF": {}}


@pytest.mark.parametrize("kind", TRUNCATED)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_files_are_told_as_such(kind, share, pixels, tmp_path):
    content = encode(Image.fromarray(np.tile(pixels, (5, 5, 1))), kind)
    path = tmp_path / "cut.img"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageDecodeError, match=r"could not decode image 17 \('.*cut.img'\): file is truncated"):
        load_image(path, 17)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("no/such.jpg", "no such file"),
        ("null\0byte.jpg", "null"),
        ("x" * 5000, "name too long"),
        (b"", r"empty \(0 bytes\)"),
        (b"plain text, no picture", "no image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image of a known format"),
        (np.zeros((0, 5), np.uint8), "no pixels"),
        (np.zeros(5, np.uint8), r"shape is \(5,\)"),
        (np.zeros((3, 8, 9), np.uint8), r"transpose\(1, 2, 0\)"),
        (np.zeros((8, 9, 2), np.uint8), "1, 3 or 4 channels"),
        (np.zeros((8, 9), np.int64), r"type is int64.*astype\(np.uint8\)"),
        (np.full((8, 9), None), "type is object"),
        (np.full((8, 9), np.nan), r"nan.*\[0, 1\]"),
        (np.full((8, 9), 1.5), r"1\.5.*\[0, 1\]"),
        (np.full((8, 9), -0.5), r"-0\.5.*\[0, 1\]"),
        (Image.new("RGB", (0, 4)), "no pixels"),
        (Image.fromarray(np.full((2, 2), 70_000, np.int32)), "32-bit values run from 70000"),
        (Image.fromarray(np.full((2, 2), 7, np.float32)), r"\[0, 1\]"),
    ],
)
def test_unreadable_images_are_refused_with_the_reason(image, reason):
    with pytest.raises(ImageDecodeError, match=rf"(?is)could not decode image 3 \(.*\): .*{reason}"):
        load_image(image, 3)


def test_directory_empty_file_pipe_and_forbidden_file(tmp_path):
    with pytest.raises(ImageDecodeError, match="is a directory"):
        load_image(tmp_path, 0)
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageDecodeError, match=r"empty.jpg'\): it is empty"):
        load_image(tmp_path / "empty.jpg", 0)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        with pytest.raises(ImageDecodeError, match="not a regular file"):  # and no waiting for a writer
            load_image(tmp_path / "pipe.jpg", 0)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_no_file_stays_open(pixels, tmp_path):
    paths = [tmp_path / name for name in ("good.png", "cut.png", "text.png", "animated.gif", "some.tiff")]
    Image.fromarray(pixels).save(paths[0])
    paths[1].write_bytes(paths[0].read_bytes()[:300])
    paths[2].write_text("no picture")
    frames = [Image.fromarray(pixels), Image.fromarray(255 - pixels)]
    for path in paths[3:]:
        frames[0].save(path, save_all=True, append_images=frames[1:])
    before = set(Path("/proc/self/fd").iterdir())
    # The errors hold their tracebacks, and those the frames: the files must be closed all the same.
    results = [attempt(path) for path in paths * 5]
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert sum(isinstance(result, ImageDecodeError) for result in results) == 10


def test_settings_of_pillow_are_left_alone(pixels):
    truncated, limit = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
    load_image(encode(Image.fromarray(pixels)), 0)
    assert truncated == ImageFile.LOAD_TRUNCATED_IMAGES
    assert limit == Image.MAX_IMAGE_PIXELS


def test_one_undecoded_picture_in_many_threads(smooth):
    large = cv2.resize(smooth, (1600, 1200))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(3):
            picture = Image.open(io.BytesIO(encode(Image.fromarray(large))))
            results = []
            workers = [
                threading.Thread(target=lambda p=picture, r=results: r.append(load_image(p, 0))) for _ in range(6)
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            assert len(results) == 6
            assert all(np.array_equal(result, large) for result in results)
    finally:
        sys.setswitchinterval(interval)
