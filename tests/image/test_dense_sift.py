"""Dense SIFT against OpenCV's descriptors at the same upright key points."""

import cv2
import numpy as np
import pytest

from mmfeat.image._dense_sift import dense_sift, grid_points


def texture(height, width, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 1.5), None, 0, 255, cv2.NORM_MINMAX)


def of_opencv(gray, places):
    keypoints = [cv2.KeyPoint(float(x), float(y), float(side / 6), 0) for x, y, side in places]
    found, descriptors = cv2.SIFT_create().compute(gray, keypoints)
    assert len(found) == len(places)
    return descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("size", "step", "scale"),
    [
        ((240, 320), 8, 4),
        ((100, 77), 3, 4),
        ((90, 131), 7, 6.5),
        ((64, 64), 5, 8),
        ((48, 200), 16, 12),
        ((33, 40), 1, 2.3),
    ],
)
def test_equals_opencv(size, step, scale):
    gray = texture(*size)
    descriptors, places, _ = dense_sift(gray, step, (scale,))
    cosines = np.einsum("ij,ij->i", descriptors, of_opencv(gray, places))
    assert len(places) > 3
    assert cosines.min() > 0.999  # OpenCV rounds to bytes


def test_several_scales_stand_one_after_the_other():
    gray = texture(70, 80)
    together, places, contrast = dense_sift(gray, 6, (4, 5, 9))
    parts = [dense_sift(gray, 6, (scale,)) for scale in (4, 5, 9)]
    np.testing.assert_allclose(together, np.concatenate([part[0] for part in parts]), atol=1e-5)
    np.testing.assert_array_equal(places, np.concatenate([part[1] for part in parts]))
    np.testing.assert_allclose(contrast, np.concatenate([part[2] for part in parts]), rtol=1e-4)


@pytest.mark.parametrize("length", [1, 15, 16, 17, 23, 24, 25, 64])
def test_all_patches_lie_inside_and_the_rest_is_shared(length):
    places = grid_points((length, 40), 8, 4)
    rows = np.unique(places[:, 1])
    assert len(rows) == (0 if length < 16 else (length - 16) // 8 + 1)
    if len(rows):
        above, below = rows[0] - 8, length - (rows[-1] + 8)
        assert above >= 0
        assert 0 <= below - above <= 1
        assert (np.diff(rows) == 8).all()


def test_torch_gives_the_same():
    gray = texture(61, 90)
    for got, expected in zip(dense_sift(gray, 5, (4, 7), "torch:cpu"), dense_sift(gray, 5, (4, 7)), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.gpu
def test_cuda_gives_the_same():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA")
    gray = texture(240, 320)
    got, expected = (dense_sift(gray, 4, (4, 8), device)[0] for device in ("cuda", "cpu"))
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_flat_patches_are_zeros_and_have_no_contrast():
    gray = np.full((40, 80), 77, np.uint8)
    gray[:, 60:] = texture(40, 20)
    descriptors, places, contrast = dense_sift(gray, 8, (4,))
    flat = places[:, 0] < 40
    assert not descriptors[flat].any()
    assert (contrast[flat] < 1e-4).all()
    np.testing.assert_allclose(np.linalg.norm(descriptors[places[:, 0] > 60], axis=1), 1, atol=1e-5)


def test_contrast_follows_the_gray_values_and_descriptors_do_not():
    gray = texture(64, 64)
    faint = (gray // 4).astype(np.uint8)
    descriptors, _, contrast = dense_sift(gray, 8, (6,))
    fainter, _, less = dense_sift(faint, 8, (6,))
    np.testing.assert_allclose(less / contrast, 0.25, rtol=0.1)
    assert np.einsum("ij,ij->i", descriptors, fainter).mean() > 0.98


def test_an_image_smaller_than_a_patch_has_no_points():
    assert dense_sift(texture(15, 200), 4, (4, 8))[0].shape == (0, 128)
