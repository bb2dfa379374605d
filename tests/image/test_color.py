"""Colour histograms against counting by hand."""

import colorsys

import numpy as np
import pytest
from skimage.color import rgb2lab

from mmfeat.image import ColorHistogram


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (13, 10, 3), dtype=np.uint8)


@pytest.mark.parametrize("bins", [1, 3, 8, 256])
def test_rgb_shares_equal_numpy_histograms(image, bins):
    expected = [np.histogram(image[..., c], bins=bins, range=(0, 256))[0] / image.size for c in range(3)]
    got = ColorHistogram(space="rgb", bins=bins).fit_transform([image])[0]
    np.testing.assert_allclose(got, np.concatenate(expected), atol=1e-7)


def test_joint_histogram_equals_histogramdd(image):
    expected = np.histogramdd(image.reshape(-1, 3), bins=4, range=[(0, 256)] * 3)[0].ravel() / 130
    np.testing.assert_allclose(ColorHistogram("rgb", 4, joint=True).fit_transform([image])[0], expected, atol=1e-7)


def test_hsv_agrees_with_the_standard_library(image):
    hsv = np.array([colorsys.rgb_to_hsv(*(pixel / 255)) for pixel in image.reshape(-1, 3)])
    expected = np.concatenate([np.histogram(hsv[:, c], bins=6, range=(0, 1))[0] / 390 for c in range(3)])
    got = ColorHistogram("hsv", bins=6).fit_transform([image])[0]
    # OpenCV rounds to 8 bits before counting: a pixel or two may cross a bound.
    np.testing.assert_allclose(got, expected, atol=4 / 390)


def test_lab_agrees_with_scikit_image(image):
    lab = rgb2lab(image).reshape(-1, 3) * [255 / 100, 1, 1] + [0, 128, 128]
    expected = np.concatenate([np.histogram(lab[:, c], bins=4, range=(0, 256))[0] / 390 for c in range(3)])
    np.testing.assert_allclose(ColorHistogram("lab", bins=4).fit_transform([image])[0], expected, atol=4 / 390)


@pytest.mark.parametrize("joint", [False, True])
def test_each_cell_of_the_grid_is_the_histogram_of_its_part(image, joint):
    got = ColorHistogram("rgb", bins=4, grid=2, joint=joint).fit_transform([image])[0].reshape(4, -1)
    whole = ColorHistogram("rgb", bins=4, joint=joint).fit([image])
    parts = [image[:7, :5], image[:7, 5:], image[7:, :5], image[7:, 5:]]
    np.testing.assert_array_equal(got, whole.transform(parts))
    np.testing.assert_allclose(got.sum(axis=1), 1, rtol=1e-6)


def test_names_tell_cell_and_bin(image):
    histogram = ColorHistogram("hsv", bins=4, grid=2).fit([image])
    names = list(histogram.get_feature_names_out())
    assert names[:2] == ["hsv_0_0_h0", "hsv_0_0_h1"]
    assert names[-1] == "hsv_1_1_v3"
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    filled = ColorHistogram("rgb", bins=2, joint=True).fit([red])
    assert filled.get_feature_names_out()[filled.transform([red])[0].argmax()] == "rgb_0_0_r1_g0_b0"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"space": "xyz"}, "space"),
        ({"bins": 0}, "bins"),
        ({"bins": 257}, "bins"),
        ({"grid": 11}, "Image 0 is 10x13 pixels, smaller than the grid of 11"),
    ],
)
def test_bad_parameters_are_refused(image, parameters, message):
    with pytest.raises(ValueError, match=message):
        ColorHistogram(**parameters).fit_transform([image])
