"""Colour moments against the formulas over pixels."""

import colorsys

import numpy as np
import pytest
from scipy import stats
from skimage.color import rgb2lab

from mmfeat.image import ColorMoments


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (13, 10, 3), dtype=np.uint8) ** 2 // 2


def moments(values):
    """Stricker and Orengo 1995, of each column; scipy's skewness has the deviation divided out."""
    std = values.std(axis=0)
    return np.stack([values.mean(axis=0), std, np.cbrt(stats.skew(values, axis=0)) * std], axis=1).ravel()


def test_rgb_equals_the_formulas(image):
    got = ColorMoments("rgb").fit_transform([image])[0]
    np.testing.assert_allclose(got, moments(image.reshape(-1, 3) / 255), atol=1e-6)


def test_hsv_agrees_with_the_standard_library(image):
    hsv = np.array([colorsys.rgb_to_hsv(*(pixel / 255)) for pixel in image.reshape(-1, 3)])
    np.testing.assert_allclose(ColorMoments("hsv").fit_transform([image])[0], moments(hsv), atol=0.02)


def test_lab_agrees_with_scikit_image(image):
    lab = (rgb2lab(image).reshape(-1, 3) * [255 / 100, 1, 1] + [0, 128, 128]) / 255
    np.testing.assert_allclose(ColorMoments("lab").fit_transform([image])[0], moments(lab), atol=0.01)


def test_each_cell_of_the_grid_has_the_moments_of_its_part(image):
    got = ColorMoments("lab", grid=2).fit_transform([image])[0].reshape(4, -1)
    parts = [image[:7, :5], image[:7, 5:], image[7:, :5], image[7:, 5:]]
    np.testing.assert_array_equal(got, ColorMoments("lab").fit_transform(parts))


def test_one_colour_has_no_deviation():
    got = ColorMoments("rgb").fit_transform([np.full((1, 1, 3), 51, np.uint8)])[0]
    np.testing.assert_allclose(got, [0.2, 0, 0] * 3, atol=1e-7)


def test_names_tell_cell_channel_and_moment():
    red = np.zeros((4, 4, 3), np.uint8)
    red[:2, 2:, 0] = 255
    model = ColorMoments("rgb", grid=2).fit([red])
    values = dict(zip(model.get_feature_names_out(), model.transform([red])[0], strict=True))
    assert [name for name, value in values.items() if value] == ["rgb_0_1_r_mean"]


@pytest.mark.parametrize(
    ("parameters", "message"), [({"space": "xyz"}, "space"), ({"grid": 11}, "Image 0 is 10x13 pixels, smaller than")]
)
def test_bad_parameters_are_refused(image, parameters, message):
    with pytest.raises(ValueError, match=message):
        ColorMoments(**parameters).fit_transform([image])
