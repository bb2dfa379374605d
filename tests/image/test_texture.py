"""Texture against scikit-image: patterns exactly, Gabor responses to 1e-6."""

import numpy as np
import pytest
from PIL import Image
from skimage.feature import local_binary_pattern
from skimage.filters import gabor

from mmfeat.image import TextureFeatures
from mmfeat.image._io import load_image
from mmfeat.image._texture_filters import N_PATTERNS, binary_patterns


def picture(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def patterns_of_skimage(image, radius):
    pad = int(np.ceil(radius)) + 1
    padded = np.pad(image, pad, mode="edge")
    return local_binary_pattern(padded, 8, radius, "nri_uniform")[pad:-pad, pad:-pad].astype(int)


def cells(values, grid):
    return [cell for band in np.array_split(values, grid, axis=-2) for cell in np.array_split(band, grid, axis=-1)]


@pytest.mark.parametrize("grid", [1, 3])
@pytest.mark.parametrize("radii", [(1,), (1, 2, 3.5)])
def test_patterns_equal_scikit_image(grid, radii):
    image = picture(61, 47)
    got = (
        TextureFeatures(radii, (), grid=grid, size=(61, 47)).fit_transform([image])[0].reshape(grid**2, len(radii), -1)
    )
    for place, radius in enumerate(radii):
        for cell, numbers in enumerate(cells(patterns_of_skimage(image, radius), grid)):
            expected = np.bincount(numbers.ravel(), minlength=59) / numbers.size
            np.testing.assert_allclose(got[cell, place], expected, atol=1e-6)


@pytest.mark.parametrize("grid", [1, 2])
@pytest.mark.parametrize(("frequencies", "orientations"), [((0.25,), 1), ((0.4, 0.1), 4), ((0.05,), 5)])
def test_gabor_energies_equal_scikit_image(grid, frequencies, orientations):
    image = picture(40, 56)
    model = TextureFeatures((), frequencies, orientations, grid=grid, size=(40, 56))
    got = model.fit_transform([image])[0].reshape(grid**2, len(frequencies), orientations, 2)
    for place, frequency in enumerate(frequencies):
        for turn in range(orientations):
            magnitude = np.hypot(*gabor(image / 255, frequency, theta=np.pi * turn / orientations))
            for cell, values in enumerate(cells(magnitude, grid)):
                expected = [values.mean(), values.std()]
                np.testing.assert_allclose(got[cell, place, turn], expected, atol=1e-6)


def test_equal_gray_values_count_as_equal_however_they_are_interpolated():
    for level in (0, 1, 77, 255):
        assert (binary_patterns(np.full((20, 30), level, np.uint8), 2.5) == N_PATTERNS - 2).all()


def test_every_pattern_has_a_number_of_its_own():
    found = TextureFeatures((1,), (), size=(400, 400)).fit_transform([picture(400, 400)])[0]
    assert (found > 0).all()
    assert found.sum() == pytest.approx(1)


def test_other_sizes_are_resized_by_pillows_bilinear_filter():
    image = picture(90, 70, 3)
    gray = Image.fromarray(load_image(image, 0, mode="L")).resize((40, 48), Image.Resampling.BILINEAR)
    model = TextureFeatures(size=(48, 40)).fit([image])
    np.testing.assert_array_equal(model.transform([image]), model.transform([np.asarray(gray)]))


def test_names_tell_part_cell_and_value():
    stripes = np.tile(np.array([[0, 0, 255, 255]], dtype=np.uint8), (64, 16))
    half = stripes.copy()
    half[:, 32:] = 128
    model = TextureFeatures((1,), (0.25, 0.1), 2, grid=2, size=(64, 64)).fit([half])
    values = dict(zip(model.get_feature_names_out(), model.transform([half])[0], strict=True))
    energies = {name: value for name, value in values.items() if name.endswith("mean")}
    assert {max(energies, key=energies.get)} <= {"gabor_0.25_0_0_0_mean", "gabor_0.25_0_1_0_mean"}
    assert values[f"lbp_1_0_1_{N_PATTERNS - 2}"] > 0.9
    assert list(values)[59] == "gabor_0.25_0_0_0_mean" and list(values)[60] == "gabor_0.25_0_0_0_std"


def test_tiny_images():
    tiny = [np.full((1, 1), 7, np.uint8), np.zeros((2, 700, 3), np.uint8)]
    for size in ((128, 128), (1, 1), (3, 200)):
        assert np.isfinite(TextureFeatures(size=size).fit_transform(tiny)).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"radii": (), "frequencies": ()}, "`radii` and `frequencies` are both empty"),
        ({"radii": (0.5,)}, "`radii` must be numbers of at least 1"),
        ({"radii": ("1",)}, "`radii` must be numbers of at least 1"),
        ({"frequencies": (0.6,)}, "`frequencies` must be above 0"),
        ({"frequencies": (0,)}, "`frequencies` must be above 0"),
        ({"orientations": 0}, "orientations"),
        ({"grid": 5, "size": (4, 8)}, "`size` must be two integers of at least 5"),
        ({"size": (4,)}, "`size` must be two integers"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        TextureFeatures(**parameters).fit([picture(20, 20)])
