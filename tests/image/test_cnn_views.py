"""Several crops and bags of regions against torchvision's own crops, one at a time."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models
from torchvision.transforms import functional

from mmfeat.image import CNNFeatures

pytestmark = pytest.mark.filterwarnings("ignore:weights=None")

LAYER = "features.7"


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(size)
        for size in ((300, 261), (90, 200))
    ]


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return models.squeezenet1_1().eval()


def maps_of(network, crops, preset):
    """Output of the layer for crops of one picture."""
    tensors = [functional.normalize(functional.to_tensor(crop), preset.mean, preset.std) for crop in crops]
    with torch.no_grad():
        return network.features[: int(LAYER.partition(".")[2]) + 1](torch.stack(tensors))


@pytest.mark.parametrize(("test_time", "cut"), [("five_crop", functional.five_crop), ("ten_crop", functional.ten_crop)])
def test_crops_are_averaged(test_time, cut, images, network):
    preset = models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    expected = []
    for image in images:
        resized = functional.resize(image, preset.resize_size, interpolation=preset.interpolation)
        expected.append(maps_of(network, cut(resized, preset.crop_size), preset).amax((2, 3)).mean(0).numpy())
    cnn = CNNFeatures("squeezenet1_1", weights=None, layer=LAYER, pooling="max", test_time=test_time)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(cnn.fit_transform(images) / scale, np.stack(expected) / scale, atol=2e-5)


def test_crops_of_a_squashed_picture_are_cut_from_the_size_that_is_cropped(images, network):
    preset = models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    crops = functional.five_crop(images[0].resize((256, 256), Image.Resampling.BILINEAR), [224, 224])
    expected = maps_of(network, crops, preset).mean((0, 2, 3)).numpy()
    cnn = CNNFeatures("squeezenet1_1", weights=None, layer=LAYER, test_time="five_crop", resize="squash")
    np.testing.assert_allclose(cnn.fit_transform(images[:1])[0], expected, atol=2e-5 * np.abs(expected).max())


def test_bags_hold_the_places_of_one_view_after_the_other(images, network):
    preset = models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    cnn = CNNFeatures("squeezenet1_1", weights=None, layer=LAYER, pooling=None, test_time="flip").fit(images)
    bags = cnn.transform(images)
    assert isinstance(bags, list)
    assert [bag.dtype for bag in bags] == [np.float32] * 2
    for image, bag in zip(images, bags, strict=True):
        resized = functional.resize(image, preset.resize_size, interpolation=preset.interpolation)
        crop = functional.center_crop(resized, preset.crop_size)
        maps = maps_of(network, [crop, functional.hflip(crop)], preset)
        expected = torch.cat([maps[0].flatten(1).T, maps[1].flatten(1).T]).numpy()
        np.testing.assert_allclose(bag, expected, atol=2e-5 * np.abs(expected).max())
    assert cnn.n_features_out_ == bags[0].shape[1] == len(cnn.get_feature_names_out())


def test_layers_of_one_size_are_joined_place_by_place(images):
    layers = ["features.6", "features.7"]
    joined = CNNFeatures("squeezenet1_1", weights=None, layer=layers, pooling=None).fit_transform(images)
    single = [CNNFeatures("squeezenet1_1", weights=None, layer=layer, pooling=None) for layer in layers]
    parts = [cnn.fit_transform(images) for cnn in single]
    for row, bag in enumerate(joined):
        np.testing.assert_allclose(bag, np.hstack([parts[0][row], parts[1][row]]), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"'features\.4' has 3025 places and 'features\.7' has 729"):
        CNNFeatures("squeezenet1_1", weights=None, layer=["features.4", "features.7"], pooling=None).fit(images)


@pytest.mark.parametrize("test_time", ["five_crop", "ten_crop"])
@pytest.mark.parametrize("resize", ["crop", "squash"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 20_000, 3), (5000, 1, 3), (224, 225, 3)])
def test_odd_shapes_have_crops_too(shape, resize, test_time):
    cnn = CNNFeatures("squeezenet1_1", weights=None, layer="features.1", test_time=test_time, resize=resize)
    plain = CNNFeatures("squeezenet1_1", weights=None, layer="features.1")
    picture = [np.full(shape, 120, np.uint8)]
    np.testing.assert_allclose(cnn.fit_transform(picture), plain.fit_transform(picture), rtol=1e-4, atol=1e-6)
