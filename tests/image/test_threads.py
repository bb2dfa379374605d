"""OpenCV and the matrix products get their threads back."""

import threading

import cv2
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from mmfeat.image import LocalDescriptors, TextureFeatures
from mmfeat.image._threads import one_blas_thread, one_opencv_thread


def now():
    blas = {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
    return cv2.getNumThreads(), blas


@pytest.fixture(autouse=True)
def several():
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    with threadpool_limits(2, user_api="blas"):
        yield
    cv2.setNumThreads(before)


def test_one_inside_and_as_before_outside():
    with one_opencv_thread(), one_blas_thread():
        assert now() == (1, {1})
        with one_opencv_thread(), one_blas_thread():
            assert now() == (1, {1})
        assert now() == (1, {1})
    assert now() == (3, {2})


def test_restored_after_an_error():
    with pytest.raises(ZeroDivisionError), one_opencv_thread(), one_blas_thread():
        _ = 1 / 0
    assert now() == (3, {2})


def test_threads_that_come_and_go_in_any_order():
    def work():
        for _ in range(50):
            with one_opencv_thread():
                seen.append(cv2.getNumThreads())

    seen = []
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {1} and len(seen) == 200
    assert cv2.getNumThreads() == 3


@pytest.mark.parametrize(
    "model",
    [LocalDescriptors(n_jobs=2), LocalDescriptors(sampling="dense", max_bytes=0, n_jobs=2), TextureFeatures()],
)
def test_estimators_restore(model):
    images = [np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)] * 4
    result = model.fit_transform(images)
    assert now() == (3, {2})
    if hasattr(result, "in_parts"):
        for _ in result.in_parts():
            assert now()[1] == {2}
        assert now() == (3, {2})
