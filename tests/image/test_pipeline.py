"""From files to rows: errors where they belong, memory and threads within bounds, batches that are too large."""

import concurrent.futures
import io
import struct
import threading
import time
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from mmfeat.image import CNNFeatures, ImageDecodeError, _pipeline


class Tiny(nn.Module):
    """Means of the colours of 16 pixels square, times a few numbers; refuses more pictures at once than its limit."""

    limit = 1000

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 16, stride=16)
        self.head = nn.Linear(4, 2)
        self.sizes = []

    def forward(self, pictures):
        self.sizes.append(len(pictures))
        if int(pictures.shape[0]) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.head(self.body(pictures).mean((2, 3)))


class Small(Tiny):
    limit = 3


class Nothing(Tiny):
    limit = 0


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (20 + row, 30, 3), dtype=np.uint8) for row in range(23)]


@pytest.fixture
def cores(monkeypatch):
    def set_to(number):
        monkeypatch.setattr(_pipeline, "cpu_count", lambda: number)

    return set_to


@pytest.fixture(scope="module")
def expected(pictures):
    return CNNFeatures(Tiny).fit_transform(pictures)


@pytest.mark.parametrize("batch_size", [1, 4, 23, 100])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_rows_are_in_order_whatever_the_batch_and_the_cores(pictures, expected, cores, batch_size, n):
    cores(n)
    got = CNNFeatures(Tiny, batch_size=batch_size).fit_transform(pictures)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ahead", [True, False])
def test_decoding_ahead_gives_the_same_rows(pictures, expected, cores, monkeypatch, ahead):
    """As on CUDA, where decoding goes on while the network runs; the memory is not pinned here."""
    cores(3)
    cnn = CNNFeatures(Tiny, batch_size=4).fit(pictures)
    if ahead:
        plain = torch.empty
        monkeypatch.setattr(torch, "empty", lambda *a, pin_memory=False, **k: plain(*a, **k))
        network = cnn._network()
        seen = _Device(network)
        monkeypatch.setattr(cnn, "_checked_network", lambda: seen)
    np.testing.assert_allclose(cnn.transform(pictures), expected, rtol=1e-5, atol=1e-6)


class _Device:
    """A network whose device is called CUDA by those who plan ahead, and CPU by torch."""

    def __init__(self, network):
        self._network = network

    def __getattr__(self, name):
        return getattr(self._network, name)

    @property
    def device(self):
        return _Name("cpu")


class _Name(str):
    __slots__ = ()

    def __eq__(self, other):
        return False

    def __ne__(self, other):
        return True

    __hash__ = str.__hash__


def test_a_float32_run_repeats_bit_for_bit(pictures):
    make = {"model": "squeezenet1_1", "weights": None, "precision": "float32", "batch_size": 8}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs = [CNNFeatures(**make).fit_transform(pictures) for _ in range(3)]
    assert all(np.array_equal(runs[0], run) for run in runs[1:])


# Pictures that cannot be read


def bomb():
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("n", [1, 3])
def test_the_first_unreadable_picture_is_named(pictures, cores, n):
    cores(n)
    bad = [*pictures[:9], "missing.jpg", *pictures[9:], b"not a picture"]
    threads = threading.active_count()
    cnn = CNNFeatures(Tiny, batch_size=4).fit(bad)
    with pytest.raises(ImageDecodeError, match=r"could not decode image 9 \('missing.jpg'\): no such file"):
        cnn.transform(bad)
    assert threading.active_count() == threads


@pytest.mark.parametrize("pooling", ["avg", None])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_unreadable_pictures_give_nan_and_are_listed(pictures, expected, tmp_path, pooling, batch_size):
    (tmp_path / "cut.png").write_bytes(bomb()[:60])
    bad = {0: tmp_path / "missing.jpg", 5: str(tmp_path / "cut.png"), 6: b"", 7: bomb(), 24: np.zeros((0, 4), np.uint8)}
    rest = iter(pictures)
    column = [bad[row] if row in bad else next(rest) for row in range(28)]
    cnn = CNNFeatures(Tiny, batch_size=batch_size, on_error="warn", pooling=pooling).fit(column)
    assert cnn.errors_ == []
    with pytest.warns(
        UserWarning, match=r"5 of 28 images could not be read, their .*`errors_`.*image 0 \('.*missing.jpg'\)"
    ):
        got = cnn.transform(column)
    assert [(row, path) for row, path, _ in cnn.errors_] == [
        (0, str(tmp_path / "missing.jpg")),
        (5, str(tmp_path / "cut.png")),
        (6, None),
        (7, None),
        (24, None),
    ]
    assert "image 7 " in cnn.errors_[3][2]
    assert "30000x30000 pixels, above the limit" in cnn.errors_[3][2] or "too many pixels" in cnn.errors_[3][2]
    good = [row for row in range(28) if row not in bad]
    if pooling is None:
        assert [len(got[row]) for row in bad] == [0] * 5
        assert {bag.shape[1] for bag in got} == {4}
        got = np.stack([got[row].mean(0) for row in good])
    else:
        assert np.isnan(got[list(bad)]).all()
        got = got[good]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    cnn.transform(pictures)
    assert cnn.errors_ == []


def test_all_pictures_unreadable(pictures):
    cnn = CNNFeatures(Tiny, on_error="warn", batch_size=2).fit(pictures)
    with pytest.warns(UserWarning, match="3 of 3 images"):
        got = cnn.transform([b"", b"", b""])
    assert got.shape == (3, 4)
    assert np.isnan(got).all()


def test_a_bomb_is_refused_before_it_is_decoded(pictures, monkeypatch):
    def decode(*arguments):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    with pytest.raises(ImageDecodeError, match=r"image 0 .*pixels"):
        CNNFeatures(Tiny).fit(pictures).transform([bomb()])


# Batches too large for the device


def test_a_batch_that_does_not_fit_is_halved_and_told_once(pictures, expected, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)  # four pictures each
    cnn = CNNFeatures(Small, batch_size=8).fit(pictures)
    sizes = cnn._network().module.module.sizes
    sizes.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = cnn.transform(pictures)
    told = [str(warning.message) for warning in caught if "too many" in str(warning.message)]
    assert len(told) == 1
    assert told[0].startswith("8 pictures at once are too many for the memory of cpu; going on with 4")
    assert sizes[:3] == [8, 4, 2]
    assert max(sizes[3:]) == 2  # not tried again and again
    sizes.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(cnn.transform(pictures), got)
    assert max(sizes) == 2  # nor by the next call
    with torch.random.fork_rng():
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_not_even_one_picture_fits(pictures, monkeypatch):
    monkeypatch.setattr(Nothing, "limit", 1)
    cnn = CNNFeatures(Nothing, batch_size=2).fit(pictures)
    monkeypatch.setattr(Nothing, "limit", 0)
    with pytest.warns(UserWarning, match="too many"), pytest.raises(torch.OutOfMemoryError):
        cnn.transform(pictures)


# Bounds


def test_a_processor_takes_no_more_at_once_than_its_caches_hold(pictures, expected, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    cnn = CNNFeatures(Tiny, batch_size=100).fit(pictures)
    sizes = cnn._network().module.module.sizes
    sizes.clear()
    np.testing.assert_allclose(cnn.transform(pictures), expected, rtol=1e-5, atol=1e-6)
    assert sizes == [8, 8, 7]


def test_memory_does_not_grow_with_the_number_of_pictures(pictures):
    cnn = CNNFeatures(Tiny, batch_size=4).fit(pictures)
    cnn.transform(pictures)

    def peak(column):
        tracemalloc.start()  # counts the arrays of NumPy: pixels and rows
        cnn.transform(column)
        value = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return value

    assert peak(pictures * 20) < 1.5 * peak(pictures * 2) + 200_000


def test_no_more_pictures_are_decoded_than_the_network_will_soon_take(pictures, cores, monkeypatch):
    cores(2)
    decoded, described, most = [0], [0], [0]
    load, features = _pipeline.load_image, _pipeline._Runner._features

    def loading(*arguments, **options):
        decoded[0] += 1
        most[0] = max(most[0], decoded[0] - described[0])
        return load(*arguments, **options)

    def counting(self, crops):
        described[0] += len(crops)
        return features(self, crops)

    monkeypatch.setattr(_pipeline, "load_image", loading)
    monkeypatch.setattr(_pipeline._Runner, "_features", counting)
    CNNFeatures(Tiny, batch_size=4).fit(pictures).transform(pictures * 10)
    assert decoded[0] == described[0] == 230
    assert most[0] <= 16  # 8 a thread


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("where", ["network", "waiting"])
def test_an_interruption_ends_at_once_and_leaves_no_thread(pictures, cores, monkeypatch, error, where):
    cores(3)
    cnn = CNNFeatures(Tiny, batch_size=4).fit(pictures)
    threads = threading.active_count()
    calls = []

    def interrupted(original):
        def run(*arguments):
            calls.append(1)
            if len(calls) == 3:
                raise error("stop")
            return original(*arguments)

        return run

    if where == "network":
        monkeypatch.setattr(_pipeline._Runner, "_features", interrupted(_pipeline._Runner._features))
    else:
        monkeypatch.setattr(concurrent.futures.Future, "result", interrupted(concurrent.futures.Future.result))
    start = time.monotonic()
    with pytest.raises(error, match="stop"):
        cnn.transform(pictures * 50)
    assert time.monotonic() - start < 60
    assert threading.active_count() == threads
    monkeypatch.undo()
    assert len(cnn.transform(pictures)) == 23  # and it works again


# Damaged files


def damage(content, rng):
    """Overwrite a few bytes, then perhaps cut out, repeat or cut off a part."""
    content = bytearray(content)
    for place in rng.integers(0, len(content), rng.integers(1, 8)):
        content[place] = rng.integers(256)
    start, stop = sorted(rng.integers(0, len(content), 2))
    action = rng.integers(5)
    if action == 1:
        del content[start:stop]
    elif action == 2:
        content[start:start] = content[start:stop]
    elif action == 3:
        del content[start:]
    return bytes(content)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
def test_a_thousand_damaged_files_each_give_a_row_or_an_error(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for number in range(1000):
        picture = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((120, 90))
        stream = io.BytesIO()
        picture.save(
            stream, "JPEG" if number % 2 else "PNG", **({"progressive": number % 4 == 1} if number % 2 else {})
        )
        paths.append(tmp_path / f"{number}.{'jpg' if number % 2 else 'png'}")
        paths[-1].write_bytes(damage(stream.getvalue(), rng))
    cnn = CNNFeatures(Tiny, on_error="warn").fit(paths)
    got = cnn.transform(paths)
    failed = [row for row, _, _ in cnn.errors_]
    assert 200 < len(failed) < 950
    assert failed == sorted(set(failed))
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(got).any(1)), failed)
    assert np.isnan(got[failed]).all()
    assert all(str(paths[row]) == path and f"image {row} " in message for row, path, message in cnn.errors_)
