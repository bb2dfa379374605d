"""Images in threads: in order, few at a time, errors where they belong."""

import threading
import time

import numpy as np
import pytest

from mmfeat.image import ImageDecodeError
from mmfeat.image._map import map_images


@pytest.fixture
def images():
    return [np.full((2, 3, 3), value, np.uint8) for value in range(40)]


@pytest.mark.parametrize("n_threads", [1, 4, None])
def test_results_come_in_order(images, n_threads):
    def late(pixels, row):
        time.sleep(0.002 * (row % 3 == 0))
        return int(pixels[0, 0, 0]), row

    assert list(map_images(late, images, n_threads=n_threads)) == [(row, row) for row in range(40)]


def test_only_a_bounded_number_is_ahead(images):
    started = []
    results = map_images(lambda pixels, row: started.append(row), images, n_threads=2, ahead=3)
    for done in range(1, 10):
        next(results)
        assert len(started) <= done + 3
    results.close()


def test_threads_end_with_the_generator(images):
    before = threading.active_count()
    results = map_images(lambda pixels, row: row, images, n_threads=3)
    next(results)
    assert threading.active_count() > before
    results.close()
    assert threading.active_count() == before


def test_the_first_bad_image_in_order_is_named(images):
    images[31], images[17] = b"bad", b"worse"
    with pytest.raises(ImageDecodeError, match="image 17 "):
        list(map_images(lambda pixels, row: row, images, n_threads=4))
