"""Heat maps against the closed form, differences of scores, and pictures in which the right place is known."""

import io
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from torchvision import models
from torchvision.transforms import InterpolationMode

from mmfeat.datasets import make_scenes
from mmfeat.image import CNNFeatures, ImageDecodeError, draw_heat_map, grad_cam
from mmfeat.image._architecture import Preset
from mmfeat.image._crops import CROPS, crop_boxes, prepare
from mmfeat.image._grad_cam import _interpolation

SIDE = 32
RNG = np.random.default_rng(0)


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = make()
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.uniform_(-0.2, 0.2)
                part.running_var.uniform_(0.5, 1.5)
    network.pretrained_cfg = {"input_size": (3, SIDE, SIDE), "crop_pct": 0.8, "interpolation": "bilinear"}
    network.pretrained_cfg |= {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
    return network


class Branched(nn.Module):
    """A residual network in small: maps used twice, changed in place, and a vector behind them."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 5, 2, 2), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.second = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6))
        self.third = nn.Conv2d(6, 8, 3, 2, 1)
        self.wide = nn.Linear(8, 7)
        self.head = nn.Linear(7, 4)

    def upper(self, maps):
        """From the maps of the first block to those of the last."""
        return self.third(functional.relu_(self.second(maps) + maps))

    def forward(self, pictures):
        maps = self.upper(self.first(pictures))
        return self.head(torch.tanh(self.wide(torch.relu(maps).mean((2, 3)))))


class Untraceable(Branched):
    """The same, where what is done depends on the values."""

    def forward(self, pictures):
        return super().forward(pictures if pictures.sum() < 1e9 else -pictures)


def make_branched():
    return seeded(Branched)


def make_untraceable():
    return seeded(Untraceable)


def make_colours():
    """One map that is the red of each 4 x 4 pixels, nothing else: where the red is, is known."""
    network = nn.Sequential(nn.Conv2d(3, 2, 4, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].weight[0, 0] = network[0].weight[1, 2] = 1 / 16
        network[0].bias.zero_()
    network.pretrained_cfg = {"input_size": (3, SIDE, SIDE), "crop_pct": 0.8, "interpolation": "bilinear"}
    network.pretrained_cfg |= {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    return network


@pytest.fixture(scope="module")
def pictures():
    coarse = RNG.integers(0, 256, (3, 5, 6, 3), dtype=np.uint8)
    return [
        np.asarray(Image.fromarray(part).resize(size))
        for part, size in zip(coarse, [(50, 36), (40, 40), (33, 90)], strict=True)
    ]


def fitted(make, pictures, **options):
    return CNNFeatures(make, device="cpu", **options).fit(pictures)


def seen_by(cnn, picture):
    """What the network takes of the one view of a picture, in float64."""
    preset = cnn._network().preset
    crop = torch.tensor(prepare(picture, preset, cnn.resize)).double().permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values).double()[:, None, None] for values in (preset.mean, preset.std))
    return (crop - mean) / std


def resized(weights, size):
    """A map as wide as a squashed picture, by the interpolation of torch."""
    maps = torch.as_tensor(weights)[None, None]
    return functional.interpolate(maps, size, mode="bilinear", align_corners=False)[0, 0].numpy()


def assert_same(got, expected, atol=2e-5):
    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(got / scale, expected / scale, atol=atol)


@pytest.mark.parametrize("signed", [False, True])
def test_linear_score_of_an_average_is_the_class_activation_map(pictures, signed):
    cnn = fitted(make_branched, pictures, layer="third", resize="squash")
    directions = RNG.normal(size=(3, 8))
    found = grad_cam(cnn, pictures, directions, signed=signed)
    network = make_branched().double().eval()
    for picture, direction, heat in zip(pictures, directions, found, strict=True):
        with torch.no_grad():
            maps = network.upper(network.first(seen_by(cnn, picture)))[0]
        expected = resized(torch.einsum("k,kij->ij", torch.tensor(direction), maps) / maps[0].numel(), heat.shape)
        assert heat.dtype == np.float32 and heat.shape == picture.shape[:2]
        assert_same(heat, expected if signed else np.maximum(expected, 0))


@pytest.mark.parametrize("make", [make_branched, make_untraceable])
@pytest.mark.parametrize("layer", ["first", "third"])
def test_weights_are_differences_of_the_score(pictures, make, layer):
    """Through the layers behind the map: each channel raised a little, in float64, by central differences."""
    cnn = fitted(make, pictures, resize="squash")
    assert len(cnn._network().shapes[0]) == 1
    direction = torch.tensor(RNG.normal(size=7))

    def score(features):
        return (features @ direction.to(features.dtype)) ** 3 + features[0]

    found = grad_cam(cnn, pictures, score, layer, signed=True)
    network = make_branched().double().eval()
    for picture, heat in zip(pictures, found, strict=True):
        with torch.no_grad():
            first = network.first(seen_by(cnn, picture))
            maps = first if layer == "first" else network.upper(first)

            def of(changed):
                last = network.upper(changed.clone()) if layer == "first" else changed
                return float(score(torch.tanh(network.wide(torch.relu(last).mean((2, 3)))[0])))

            places = maps[0, 0].numel()
            slopes = []
            for channel in range(maps.shape[1]):
                step = torch.zeros_like(maps)
                step[:, channel] = 1e-6  # in all places at once: their sum, Z times the mean
                slopes.append((of(maps + step) - of(maps - step)) / 2e-6 / places)
            expected = torch.einsum("k,kij->ij", torch.tensor(slopes).double(), maps[0])
        assert_same(heat, resized(expected, heat.shape), atol=1e-4)


@pytest.mark.parametrize("pooling", ["max", "gem", "rmac", "flatten"])
def test_poolings(pictures, pooling):
    cnn = fitted(make_branched, pictures, layer=["first", "third"], pooling=pooling, resize="squash")
    direction = RNG.normal(size=cnn.n_features_out_)
    network = make_branched().double().eval()
    for layer in (None, "first"):
        heat = grad_cam(cnn, pictures[:1], direction, layer, signed=True)[0]
        first = network.first(seen_by(cnn, pictures[0])).detach().requires_grad_()
        third = network.upper(first.clone())
        maps = third if layer is None else first
        value = torch.cat([by_hand(part, pooling) for part in (first, third)]) @ torch.tensor(direction)
        weights = torch.autograd.grad(value, maps)[0].mean((2, 3), keepdim=True)
        assert_same(heat, resized((weights * maps).sum(1)[0].detach(), heat.shape), atol=1e-4)


def by_hand(maps, pooling):
    if pooling == "rmac":
        from mmfeat.image._pool import pool

        return pool(maps, pooling)[0].double()
    return {
        "max": lambda: maps.flatten(2).max(2).values[0],
        "gem": lambda: maps.clamp(min=1e-6).pow(3).mean((2, 3))[0].pow(1 / 3),
        "flatten": maps.flatten,
    }[pooling]()


def test_default_layer_is_the_last_map(pictures):
    joined = fitted(make_branched, pictures, layer=["third", "first"])
    direction = RNG.normal(size=14)
    np.testing.assert_array_equal(
        grad_cam(joined, pictures, direction)[2], grad_cam(joined, pictures, direction, "first")[2]
    )
    vectors = fitted(make_branched, pictures)
    # The rectified maps of the third layer, whose gradients are those of the layer itself.
    heat = grad_cam(vectors, pictures, np.ones(7), signed=True)
    assert max(np.abs(one).max() for one in heat) > 0
    resnet = CNNFeatures("resnet18", weights=None, device="cpu")
    with pytest.warns(UserWarning, match="random"):
        resnet.fit(pictures)
    found, named = (grad_cam(resnet, pictures[:1], np.ones(512), layer)[0] for layer in (None, "layer4"))
    np.testing.assert_allclose(found, named, atol=1e-6 * named.max())


def test_a_layer_of_the_encoder_may_be_named_by_any_of_its_names(pictures):
    direction = np.random.default_rng(0).normal(size=6)
    for one, other in (("first", "first.2"), ("first.2", "first")):
        cnn = fitted(make_branched, pictures, layer=one)
        expected = grad_cam(cnn, pictures, direction)
        for found, same in zip(grad_cam(cnn, pictures, direction, other), expected, strict=True):
            np.testing.assert_array_equal(found, same)
            assert same.max() > 0
    with pytest.raises(ValueError, match=r"names one output of .* twice: 'first' and 'first\.2'"):
        fitted(make_branched, pictures, layer=["first", "first.2"])


def test_maps_of_transformers_with_channels_last(pictures):
    def make():
        return seeded(lambda: models.SwinTransformer([4, 4], 6, [1, 1], [1, 1], [4, 4], num_classes=5))

    cnn = fitted(make, pictures, layer="norm", resize="squash")
    heat = grad_cam(cnn, pictures[:1], np.arange(12.0), signed=True)[0]
    bags = fitted(make, pictures, layer="norm", resize="squash", pooling=None).transform(pictures[:1])[0]
    assert_same(heat, resized((bags @ np.arange(12.0) / len(bags)).reshape(4, 4), heat.shape), atol=1e-4)


# Where a map lies


def with_a_red_corner(height, width, corner):
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    rows, columns = (slice(-12, None) if last else slice(12) for last in corner)
    picture[rows, columns, 0] = 255
    return picture


CORNERS = [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("size", [(40, 40), (60, 40), (40, 72)])
@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("test_time", ["center", "flip", "five_crop", "ten_crop"])
def test_a_corner_is_found_where_it_is(size, corner, test_time):
    picture = with_a_red_corner(*size, corner)
    red = picture[..., 0] > 0
    cnn = fitted(make_colours, [picture], resize="squash", test_time=test_time, layer="1")
    heat = grad_cam(cnn, [picture], [1, 0])[0]
    # The red that the linear interpolation carries past the border is all that may lie outside.
    assert heat.shape == size
    assert heat[red].sum() > 0.6 * heat.sum()
    assert red[np.unravel_index(heat.argmax(), size)]
    away = tuple(slice(16) if last else slice(-16, None) for last in corner)
    assert heat[away].max() == 0
    assert not grad_cam(cnn, [picture], [0, 1])[0].any()


@pytest.mark.parametrize("test_time", ["center", "flip"])
def test_of_a_cropped_picture_only_what_was_seen_is_warm(test_time):
    height, width = 40, 100
    cnn = fitted(make_colours, [np.zeros((4, 4, 3), np.uint8)], test_time=test_time, layer="1")
    # The short side becomes 40 of which the middle 32 are cut: of 100 columns those from 34 to 66.
    everywhere = np.full((height, width, 3), 255, dtype=np.uint8)
    heat = grad_cam(cnn, [everywhere], [1, 0])[0]
    assert np.flatnonzero(heat.any(axis=0)).tolist() == list(range(34, 66))
    assert np.flatnonzero(heat.any(axis=1)).tolist() == list(range(4, 36))
    np.testing.assert_allclose(heat[4:36, 34:66], heat.max(), rtol=1e-5)
    spot = np.zeros_like(everywhere)
    spot[20:28, 58:66, 0] = 255
    top = np.unravel_index(grad_cam(cnn, [spot], [1, 0])[0].argmax(), (height, width))
    assert 20 <= top[0] < 28 and 58 <= top[1] < 66


# Sides of crop and resized picture; the second is padded.
CUTS = [("crop", 32, 40), ("crop", 32, 24), ("squash", 32, 40)]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("test_time", ["center", "five_crop"])
@pytest.mark.parametrize("size", [(80, 80), (91, 150), (200, 77), (6, 300)])
def test_boxes_are_where_the_crops_were_cut(cut, test_time, size):
    """A picture whose colours are its coordinates tells where each crop comes from."""
    resize, side, resized_side = cut
    if resized_side < side and min(size) < 10:
        size = (12, 300)  # strips are not padded
    preset = Preset([side], [resized_side], None, None, InterpolationMode.BILINEAR)
    y, x = ((np.arange(length) + 0.5) / length * 200 + 30 for length in size)
    picture = np.stack(np.broadcast_arrays(y[:, None], x, 255), axis=-1).round().astype(np.uint8)
    crops = prepare(picture, preset, resize, CROPS[test_time])
    boxes = crop_boxes(*size, preset, resize, CROPS[test_time])
    for crop, (top, left, bottom, right) in zip(crops, boxes, strict=True):
        inside = crop[..., 2] == 255
        assert inside.sum() >= 24 * 24
        for channel, low, high in ((0, top, bottom), (1, left, right)):
            length = size[channel]
            shown = (low + (np.arange(side) + 0.5) / side * (high - low)) * 200 + 30
            shown = shown.clip(30 + 100 / length, 230 - 100 / length)  # filters repeat the pixels at the edge
            seen = crop[..., channel] if channel else crop[..., channel].T
            error = np.abs(seen - shown)[inside if channel else inside.T]
            assert error.max() <= 4


def test_interpolation_is_that_of_torch_inside_and_nothing_outside():
    weights = RNG.normal(size=(5, 7))
    got = _interpolation(5, 0, 1, 33) @ weights @ _interpolation(7, 0, 1, 20).T
    np.testing.assert_allclose(got, resized(weights, (33, 20)), atol=1e-5)
    part = _interpolation(4, 0.25, 0.75, 40)
    np.testing.assert_array_equal(part.any(axis=1), [False] * 10 + [True] * 20 + [False] * 10)
    np.testing.assert_allclose(part[10:30], _interpolation(4, 0, 1, 20), atol=1e-6)
    padded = _interpolation(4, -0.5, 1.5, 40)
    np.testing.assert_allclose(padded.sum(axis=1), 1, atol=1e-6)
    assert not padded[:, [0, 3]][15:25].any()


def test_files_are_explained_in_their_own_upright_size(tmp_path):
    """A large JPEG, of which the network sees a part of the pixels, and one that a camera has turned."""
    picture = np.zeros((400, 800, 3), dtype=np.uint8)
    picture[:100, 600:, 0] = 255
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(picture).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    cnn = fitted(make_colours, [picture], resize="squash", layer="1")
    whole, turned, plain = grad_cam(cnn, [stream.getvalue(), tmp_path / "turned.jpg", picture], [1, 0])
    assert whole.shape == (400, 800) and turned.shape == (800, 400)
    assert whole[:100, 600:].sum() > 0.75 * whole.sum()
    assert turned[600:, -100:].sum() > 0.75 * turned.sum()
    assert_same(whole, plain, atol=0.05)


# The rest


def test_precision_views_and_pickles(pictures):
    cnn = fitted(make_branched, pictures, layer="third", test_time="ten_crop")
    direction = RNG.normal(size=8)
    heat = grad_cam(cnn, pictures, direction)
    again = grad_cam(pickle.loads(pickle.dumps(cnn)), pictures[::-1], direction)[::-1]
    alone = grad_cam(cnn, pictures[1:2], direction)[0]
    for one, other in zip(heat, again, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(heat[1], alone)
    half = grad_cam(cnn.set_params(precision="bfloat16"), pictures, direction)
    assert not np.array_equal(half[0], heat[0])
    assert_same(half[0], heat[0], atol=0.05)


def test_gradients_are_taken_whatever_the_callers_mode(pictures):
    cnn = fitted(make_branched, pictures, layer="third")
    with torch.inference_mode():
        found = grad_cam(cnn, pictures[:1], np.ones(8))[0]
    np.testing.assert_array_equal(found, grad_cam(cnn, pictures[:1], np.ones(8))[0])


def test_what_cannot_be_explained_is_refused(pictures):
    cnn = fitted(make_branched, pictures, layer="first")
    with pytest.raises(ValueError, match=r"shape \(5,\). Expected \(6,\)"):
        grad_cam(cnn, pictures, np.ones(5))
    with pytest.raises(ValueError, match="NaN"):
        grad_cam(cnn, pictures, np.full(6, np.nan))
    with pytest.raises(ValueError, match="does not depend on the layer 'third'"):
        grad_cam(cnn, pictures, np.ones(6), "third")
    with pytest.raises(ValueError, match=r"'wide' gives \(7,\)"):
        grad_cam(cnn, pictures, np.ones(6), "wide")
    with pytest.raises(ValueError, match="no layer"):
        grad_cam(cnn, pictures, np.ones(6), "fourth")
    with pytest.raises(ValueError, match=r"one number. Got \(6,\)"):
        grad_cam(cnn, pictures, lambda features: features)
    with pytest.raises(ValueError, match="does not depend"):
        grad_cam(cnn, pictures, lambda features: torch.tensor(features.detach().numpy().sum()))
    with pytest.raises(ImageDecodeError, match="image 1"):
        grad_cam(cnn, [pictures[0], b""], np.ones(6))
    with pytest.raises(ValueError, match="makes bags"):
        grad_cam(fitted(make_branched, pictures, layer="first", pooling=None), pictures, np.ones(6))
    with pytest.raises(ValueError, match="reads no map, and its network cannot be traced"):
        grad_cam(fitted(make_untraceable, pictures), pictures, np.ones(7))


def test_weights_that_have_changed_since_fit_are_refused(pictures, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(make_branched().state_dict(), path)
    cnn = fitted(make_branched, pictures, layer="third", weights=path)
    np.testing.assert_array_equal(
        grad_cam(cnn, pictures[:1], np.ones(8))[0],
        grad_cam(fitted(make_branched, pictures, layer="third"), pictures[:1], np.ones(8))[0],
    )
    torch.save({name: tensor + 1 for name, tensor in make_branched().state_dict().items()}, path)
    with pytest.raises(ValueError, match="not the weights of fit"):
        grad_cam(cnn, pictures, np.ones(8))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("test_time", ["center", "ten_crop"])
def test_cuda_equals_cpu(pictures, test_time):
    cnn = fitted(make_branched, pictures, layer="third", test_time=test_time)
    expected = grad_cam(cnn, pictures, np.arange(8.0), "first", signed=True)
    found = grad_cam(cnn.set_params(device="cuda"), pictures, np.arange(8.0), "first", signed=True)
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other, atol=1e-3)


def test_drawing():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    picture = make_scenes(1, image_size=48, random_state=0)["image"].iloc[0]
    axis = draw_heat_map(picture, np.eye(3), title="red")
    below, above = axis.get_images()
    assert axis.get_title() == "red"
    np.testing.assert_array_equal(below.get_array(), picture)
    np.testing.assert_array_equal(above.get_array(), np.eye(3))
    assert above.get_clim() == (0, 1) and above.get_extent() == below.get_extent()
    signed = draw_heat_map(picture, [[-2.0, 1.0]], ax=axis).get_images()[-1]
    assert signed.get_clim() == (-2, 2)
    assert draw_heat_map(picture, np.zeros((2, 2))).get_images()[-1].get_clim() == (0, 1)
    with pytest.raises(ValueError, match="heat"):
        draw_heat_map(picture, [[np.nan]])
    pyplot.close("all")
