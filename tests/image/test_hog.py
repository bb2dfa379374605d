"""HOG against scikit-image."""

import numpy as np
import pytest
from PIL import Image
from skimage.feature import hog

from mmfeat.image import HOGFeatures
from mmfeat.image._hog import _gradients, _polar, _polar_by_table
from mmfeat.image._io import load_image


def picture(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


NORMS = ["L1", "L1-sqrt", "L2", "L2-Hys"]


@pytest.mark.parametrize("block_norm", NORMS)
@pytest.mark.parametrize("transform_sqrt", [False, True])
@pytest.mark.parametrize("channel_axis", [None, -1])
def test_equals_scikit_image(block_norm, transform_sqrt, channel_axis):
    image = picture((64, 48) if channel_axis is None else (64, 48, 3))
    options = {"block_norm": block_norm, "transform_sqrt": transform_sqrt, "channel_axis": channel_axis}
    got = HOGFeatures(size=(64, 48), **options).fit_transform([image])[0]
    np.testing.assert_allclose(got, hog(image, **options), atol=1e-5)


@pytest.mark.parametrize(
    ("size", "pixels_per_cell", "cells_per_block", "orientations"),
    [
        ((37, 53), (7, 5), (2, 3), 9),
        ((61, 29), (3, 9), (1, 1), 12),
        ((40, 40), (8, 8), (2, 2), 4),
        ((33, 70), (16, 4), (1, 4), 8),
        ((24, 24), (8, 8), (3, 3), 28),
        ((16, 16), (16, 16), (1, 1), 1),
    ],
)
@pytest.mark.parametrize("channel_axis", [None, -1])
def test_equals_scikit_image_at_odd_sizes(size, pixels_per_cell, cells_per_block, orientations, channel_axis):
    image = picture(size if channel_axis is None else (*size, 3), seed=1)
    image[:8] = (image[:8] > 127) * 255  # gradients at exactly 0, 45, 90 and 135 degrees
    options = {
        "pixels_per_cell": pixels_per_cell,
        "cells_per_block": cells_per_block,
        "orientations": orientations,
        "channel_axis": channel_axis,
    }
    model = HOGFeatures(size=size, **options).fit([image])
    np.testing.assert_allclose(model.transform([image])[0], hog(image, **options), atol=1e-5)
    assert len(model.get_feature_names_out()) == model.n_features_out_ == hog(image, **options).size


@pytest.mark.parametrize("block_norm", NORMS)
@pytest.mark.parametrize("transform_sqrt", [False, True])
@pytest.mark.parametrize("channel_axis", [None, -1])
def test_equals_scikit_image_before_the_rounding_to_float32(block_norm, transform_sqrt, channel_axis):
    image = picture((61, 47) if channel_axis is None else (61, 47, 3), seed=2)
    options = {
        "pixels_per_cell": (7, 5),
        "cells_per_block": (2, 3),
        "orientations": 11,
        "block_norm": block_norm,
        "transform_sqrt": transform_sqrt,
        "channel_axis": channel_axis,
    }
    got = HOGFeatures(size=(61, 47), **options)._describe(image, 0)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, hog(image, **options), atol=1e-6)  # histograms of float32 there


def test_gradients_are_looked_up_as_they_would_be_computed():
    for shape in ((70, 90), (70, 90, 3)):
        pixels = picture(shape, seed=3)
        pixels[:20] = (pixels[:20] > 127) * 255
        for got, expected in zip(
            _polar_by_table(pixels, 9), _polar(*_gradients(pixels.astype(np.float64)), 9), strict=True
        ):
            np.testing.assert_array_equal(got, expected)


def test_other_sizes_are_resized_by_pillows_bilinear_filter():
    image = picture((90, 70, 3))
    expected = hog(
        np.asarray(Image.fromarray(load_image(image, 0, mode="L")).resize((40, 48), Image.Resampling.BILINEAR))
    )
    np.testing.assert_allclose(HOGFeatures(size=(48, 40)).fit_transform([image])[0], expected, atol=1e-5)


def test_a_flat_picture_gives_zeros():
    assert not HOGFeatures(size=(32, 32)).fit_transform([np.full((9, 9), 200, np.uint8)]).any()


def test_names_tell_block_cell_and_orientation():
    image = picture((40, 48))
    model = HOGFeatures(size=(40, 48), cells_per_block=(2, 3)).fit([image])
    expected = hog(image, cells_per_block=(2, 3), feature_vector=False)
    values = dict(zip(model.get_feature_names_out(), model.transform([image])[0], strict=True))
    for place in np.ndindex(expected.shape):
        assert values["hog_" + "_".join(map(str, place))] == pytest.approx(expected[place], abs=1e-5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"size": (16, 128)}, r"`size`=\(16, 128\) is smaller than one block of 24 rows and 24 columns"),
        ({"size": (16,)}, "`size` must be two integers"),
        ({"pixels_per_cell": (8, 0)}, "`pixels_per_cell` must be two integers"),
        ({"cells_per_block": (2.0, 2)}, "`cells_per_block` must be two integers"),
        ({"block_norm": "L3"}, "block_norm"),
        ({"channel_axis": 0}, "channel_axis"),
        ({"orientations": 0}, "orientations"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        HOGFeatures(**parameters).fit([picture((64, 64))])
