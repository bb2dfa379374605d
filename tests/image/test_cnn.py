"""Network features against torchvision used by hand, one image at a time."""

import pickle
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from torchvision import models
from torchvision.transforms import functional

from mmfeat.image import CNNFeatures, ImageDecodeError
from mmfeat.image._crops import prepare
from mmfeat.image._cut import cut, extract_layers, probe
from mmfeat.image._network import _build
from mmfeat.image._pool import pool, pooled_width
from mmfeat.utils._device import uses_bfloat16

pytestmark = pytest.mark.filterwarnings("ignore:weights=None")

SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).resize((90, 60 + 10 * row))
        for row, size in enumerate([(6, 8), (5, 5), (9, 4)])
    ]


def seeded(model, seed=0, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return models.get_model(model, weights=None, **options).eval()


def by_hand(network, name, images, module, *, pre=False, size=None, mirror=False):
    """Output (or input, if `pre`) of a module, averaged over the places, by a hook and torchvision's own transforms."""
    transforms = models.get_model_weights(name).DEFAULT.transforms()
    caught = []
    part = network.get_submodule(module)
    if pre:
        handle = part.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].clone()))
    else:
        handle = part.register_forward_hook(lambda _, inputs, output: caught.append(output.clone()))
    rows = []
    with torch.no_grad():
        for image in images:
            picture = image if size is None else image.resize((size, size), Image.Resampling.BILINEAR)
            tensor = transforms(picture)
            network((tensor.flip(-1) if mirror else tensor)[None])
            output = caught.pop()[0]
            rows.append(output.flatten(1).mean(1).numpy() if output.ndim == 3 else output.numpy())
    handle.remove()
    return np.stack(rows)


def assert_same(got, expected):
    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(got / scale, expected / scale, atol=2e-5)


@pytest.mark.parametrize(
    ("model", "head"),
    [("squeezenet1_1", "classifier.1"), ("resnet18", "fc"), ("mobilenet_v3_small", "classifier.3")],
)
def test_default_layer_is_the_input_of_the_last_one(model, head, images):
    expected = by_hand(seeded(model, seed=3), model, images, head, pre=True)
    assert_same(CNNFeatures(model, weights=None, random_state=3).fit_transform(images), expected)


def test_ported_networks_scale_their_input_as_torchvision_does(images):
    network = seeded("googlenet", init_weights=True, transform_input=True)
    expected = by_hand(network, "googlenet", images, "fc", pre=True)
    assert_same(CNNFeatures("googlenet", weights=None).fit_transform(images), expected)


def tiny_transformers():
    vit = models.VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=12, mlp_dim=8, num_classes=5)
    swin = models.SwinTransformer([4, 4], 6, [1, 1], [1, 1], [4, 4], num_classes=5)
    # Layer, whether its input is meant, and the axes of its places.
    return [
        (vit, None, "heads.head", ()),
        (vit, "encoder", "encoder", (1,)),
        (vit, "conv_proj", "conv_proj", (2, 3)),
    ] + [
        (swin, None, "head", ()),
        (swin, "features.1", "features.1", (1, 2)),  # channels last
        (swin, "features.0.0", "features.0.0", (2, 3)),
        (swin, "norm", "norm", (1, 2)),
    ]


@pytest.mark.parametrize(("network", "layer", "module", "places"), tiny_transformers())
def test_layers_of_transformers_are_averaged_over_their_places(network, layer, module, places):
    network.eval()
    pictures = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    caught = []
    part = network.get_submodule(module)
    if layer is None:
        handle = part.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    else:
        handle = part.register_forward_hook(lambda _, inputs, output: caught.append(output))
    with torch.inference_mode():
        network(pictures)
        handle.remove()
        extractor, (name,) = extract_layers(network, "tiny", layer)
        got = pool(extractor(pictures)[name], "avg")
    torch.testing.assert_close(got, caught[0].mean(places) if places else caught[0])
    (shape,) = probe(extractor, [name], torch.zeros(1, 3, 32, 32))
    assert got.shape == (2, pooled_width(shape, "avg"))


def test_a_layer_that_gives_no_features_is_refused():
    network = seeded("shufflenet_v2_x0_5")
    with pytest.raises(ValueError, match=r"The layer 'stage2.0.size' gives Size for one picture"):
        probe(cut(network, {"stage2.0.size": "stage2.0.size"}), ["stage2.0.size"], torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("model", "layer", "module"),
    [("mobilenet_v3_small", None, "classifier.0"), ("shufflenet_v2_x0_5", "conv5.0", "conv5.0")],
)
def test_batch_norms_with_trained_statistics(model, layer, module, images, tmp_path):
    network = seeded(model)
    generator = torch.Generator().manual_seed(1)
    norms = [part for part in network.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:  # fresh ones change nothing
            norm.running_mean.normal_(0, 0.3, generator=generator)
            norm.running_var.uniform_(0.5, 2, generator=generator)
            norm.weight.uniform_(0.5, 2, generator=generator)
            norm.bias.normal_(0, 0.3, generator=generator)
    torch.save(network.state_dict(), tmp_path / "net.pth")
    expected = by_hand(network, model, images, module, pre=layer is None)
    features = CNNFeatures(model, tmp_path / "net.pth", "avgpool" if layer is None else layer).fit(images)
    assert_same(features.transform(images), expected)
    left = [part for part in features._network().module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert len(left) == 0


def test_several_layers_stand_in_the_order_asked_for(images):
    network = seeded("squeezenet1_1")
    layers = ["features.12", "features.5"]
    expected = [by_hand(network, "squeezenet1_1", images, layer) for layer in layers]
    model = CNNFeatures("squeezenet1_1", weights=None, layer=layers).fit(images)
    assert_same(model.transform(images), np.hstack(expected))
    names = model.get_feature_names_out()
    assert model.layers_ == layers
    assert (names[0], names[511], names[512], names[-1]) == (
        "features.12_0",
        "features.12_511",
        "features.5_0",
        "features.5_127",
    )


def test_a_layer_is_read_before_the_next_one_overwrites_it(images):
    """The rectifier behind the first convolution works in place."""
    network = seeded("squeezenet1_1")
    expected = [by_hand(network, "squeezenet1_1", images, layer) for layer in ("features.0", "features.3")]
    model = CNNFeatures("squeezenet1_1", weights=None, layer=["features.0", "features.3"])
    got = model.fit_transform(images)
    assert (expected[0] < 0).any()
    assert_same(got[:, :64], expected[0])
    assert_same(got[:, 64:], expected[1])


def test_pooling(images):
    network = seeded("squeezenet1_1")
    maps = []
    network.features[12].register_forward_hook(lambda _, inputs, output: maps.append(output))
    transforms = models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    with torch.no_grad():
        network(torch.stack([transforms(image) for image in images]))
    for pooling, expected in (("max", maps[0].amax((2, 3))), ("flatten", maps[0].flatten(1))):
        model = CNNFeatures("squeezenet1_1", weights=None, layer="features.12", pooling=pooling)
        assert_same(model.fit_transform(images), expected.numpy())
        assert model.n_features_out_ == len(model.get_feature_names_out()) == expected.shape[1]


def test_flip_averages_the_mirror_image(images):
    network = seeded("squeezenet1_1")
    plain, mirrored = (
        by_hand(network, "squeezenet1_1", images, "classifier.1", pre=True, mirror=mirror) for mirror in (False, True)
    )
    assert not np.allclose(plain, mirrored, rtol=1e-3)
    assert_same(
        CNNFeatures("squeezenet1_1", weights=None, test_time="flip").fit_transform(images), (plain + mirrored) / 2
    )


def test_squash_sees_the_whole_picture(images):
    network = seeded("squeezenet1_1")
    # Squashed to 256 by hand, the crop of torchvision's transforms would cut: so give it the 224 pixels in a margin.
    expected = []
    for image in images:
        framed = Image.new("RGB", (256, 256))
        framed.paste(image.resize((224, 224), Image.Resampling.BILINEAR), (16, 16))
        expected.append(by_hand(network, "squeezenet1_1", [framed], "classifier.1", pre=True)[0])
    assert_same(CNNFeatures("squeezenet1_1", weights=None, resize="squash").fit_transform(images), np.stack(expected))


def test_maps_with_channels_last_are_pooled_over_their_places():
    maps = torch.arange(2 * 3 * 3 * 5.0).reshape(2, 3, 3, 5)
    torch.testing.assert_close(pool(maps, "avg"), maps.mean((1, 2)))
    torch.testing.assert_close(pool(maps.permute(0, 3, 1, 2), "avg"), maps.mean((1, 2)))
    tokens = maps.flatten(1, 2)
    torch.testing.assert_close(pool(tokens, "max"), tokens.amax(1))
    assert [pooled_width(s, "avg") for s in ((3, 3, 5), (5, 3, 3), (9, 5), (5,), (3, 3, 3))] == [5, 5, 5, 5, 3]
    assert pooled_width((9, 5), "flatten") == 45


def test_large_photographs_are_decoded_smaller_with_nearly_the_same_features(tmp_path):
    down, across = np.mgrid[0:1200, 0:1600]
    waves = [127 + 120 * np.sin(down / 40) * np.cos(across / s) for s in (30, 50, 90)]
    photograph = Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8))
    photograph.save(tmp_path / "large.jpg", quality=95)
    photograph.save(tmp_path / "large.png")
    jpeg, png = CNNFeatures("squeezenet1_1", weights=None).fit_transform(
        [tmp_path / "large.jpg", tmp_path / "large.png"]
    )
    assert jpeg @ png / np.linalg.norm(jpeg) / np.linalg.norm(png) > 0.999


def test_random_networks_are_announced_seeded_and_leave_the_generator(images):
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    _build.cache_clear()
    with pytest.warns(UserWarning, match="squeezenet1_1 is random.*weights='DEFAULT'"):
        first = CNNFeatures("squeezenet1_1", weights=None, random_state=1).fit(images)
    assert torch.rand(1) == expected
    rows = first.transform(images)
    other = CNNFeatures("squeezenet1_1", weights=None, random_state=2).fit_transform(images)
    assert not np.allclose(rows, other, rtol=1e-2)
    copy = pickle.dumps(first)
    assert len(copy) < 3000  # no network in it
    _build.cache_clear()
    np.testing.assert_array_equal(pickle.loads(copy).transform(images), rows)


def test_set_params_changes_the_result_before_and_after_fit(images):
    model = CNNFeatures("squeezenet1_1", weights=None).set_params(layer="features.5").fit(images)
    assert model.transform(images).shape == (3, 128)
    for parameters in ({"layer": "features.12"}, {"random_state": 5}, {"pooling": "max"}, {"test_time": "flip"}):
        before = model.transform(images)
        after = model.set_params(**parameters).transform(images)
        assert before.shape != after.shape or not np.allclose(before, after, rtol=1e-3)
        np.testing.assert_array_equal(clone(model).fit_transform(images), after)
        assert len(model.get_feature_names_out()) == after.shape[1]


def test_bfloat16_is_close(images):
    model = CNNFeatures("squeezenet1_1", weights=None).fit(images)
    exact, half = model.transform(images), model.set_params(precision="bfloat16").transform(images)
    assert half.dtype == np.float32
    assert not np.array_equal(exact, half)
    cosine = (exact * half).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(half, axis=1)
    assert cosine.min() > 0.999


def test_auto_precision_follows_the_processor(monkeypatch):
    for amx, avx in ((False, False), (True, False), (False, True)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx, raising=False)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx, raising=False)
        assert uses_bfloat16("auto", "cpu") == (amx or avx)
        assert not uses_bfloat16("float32", "cpu")
    for major in (7, 8):  # torch also says yes to devices that emulate it, slowly
        monkeypatch.setattr(torch.version, "hip", None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device, n=major: SimpleNamespace(major=n))
        monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True, raising=False)
        assert uses_bfloat16("auto", "cuda") == (major >= 8)


def test_threads_may_share_one_estimator(images):
    model = CNNFeatures("squeezenet1_1", weights=None).fit(images)
    expected = model.transform(images)
    model = pickle.loads(pickle.dumps(model))
    results = []
    threads = [threading.Thread(target=lambda: results.append(model.transform(images))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.allclose(result, expected, rtol=1e-5) for result in results)


def test_clones_share_one_network(images):
    model = CNNFeatures("squeezenet1_1", weights=None, random_state=77)
    misses = _build.cache_info().misses
    for _ in range(3):
        clone(model).fit(images)
    assert _build.cache_info().misses == misses + 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": "resnet81"}, "'resnet81' is no classification network of torchvision. Did you mean .*'resnet18'"),
        ({"layer": "features.99"}, "'features.99' is no layer of squeezenet1_1. Did you mean 'features"),
        ({"layer": ["features.12", "zzz"]}, "'zzz' is no layer of squeezenet1_1. Layers near its end: .*classifier"),
        ({"layer": ["features", "features.12"]}, "one output of squeezenet1_1 twice: 'features' and 'features.12'"),
        ({"layer": []}, "`layer` is an empty list"),
        ({"device": "tpu"}, "`device` must be 'auto', 'cpu', 'cuda' or 'cuda:N'. Got 'tpu'"),
        ({"device": "cuda:99"}, "torch sees . CUDA devices. Use device='auto' or 'cpu'"),
        ({"pooling": "mean"}, "pooling"),
        ({"batch_size": 0}, "batch_size"),
        ({"random_state": None}, "random_state"),
    ],
)
def test_bad_parameters_are_refused(images, parameters, message):
    with pytest.raises(ValueError, match=message):
        CNNFeatures(**{"model": "squeezenet1_1", "weights": None, **parameters}).fit(images)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_cuda_equals_cpu(images, precision):
    model = CNNFeatures("resnet18", weights=None, device="cpu").fit(images)
    expected = model.transform(images)
    got = model.set_params(device="cuda", precision=precision).transform(images)
    cosine = (expected * got).sum(1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(got, axis=1)
    assert cosine.min() > 0.999


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
@pytest.mark.parametrize("layer", [None, "features.18"])
def test_photographs_with_trained_weights_equal_a_plain_loop(layer):
    path = SHARED / "weights" / "mobilenet_v2_imagenet.pth"
    photographs = sorted((SHARED / "data" / "flickr8k" / "images").glob("*.jpg"))[:6]
    network = models.mobilenet_v2()
    network.load_state_dict(torch.load(path, weights_only=True))
    opened = [Image.open(photograph).convert("RGB") for photograph in photographs]
    module = ("features.18", False) if layer else ("classifier.1", True)
    expected = by_hand(network.eval(), "mobilenet_v2", opened, module[0], pre=module[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = CNNFeatures("mobilenet_v2", path, layer, batch_size=4).fit_transform(photographs)
    assert_same(got, expected)


@pytest.mark.parametrize("model", ["resnet18", "swin_t", "vit_h_14"])
@pytest.mark.parametrize("shape", [(3, 130), (130, 3), (300, 9801), (375, 500), (621, 259)])
def test_crops_are_those_of_torchvision(model, shape):
    down, across = np.mgrid[: shape[0], : shape[1]]
    waves = [127 + 120 * np.sin(down / s) * np.cos(across / (s + 5)) for s in (9, 12, 20)]
    pixels = np.stack(waves, axis=-1).astype(np.uint8)
    preset = models.get_model_weights(model).DEFAULT.transforms()
    resized = functional.resize(Image.fromarray(pixels), preset.resize_size, interpolation=preset.interpolation)
    expected = np.asarray(functional.center_crop(resized, preset.crop_size))
    difference = np.abs(prepare(pixels, preset, "crop")[0].astype(int) - expected)
    assert difference.max() <= (max(shape) > 32 * min(shape))


@pytest.mark.parametrize("resize", ["crop", "squash"])
@pytest.mark.parametrize("shape", [(1, 4_000_000, 3), (4_000_000, 1, 3)])
def test_strips_need_no_more_memory_than_themselves(shape, resize):
    preset = models.get_model_weights("resnet18").DEFAULT.transforms()
    assert (prepare(np.full(shape, 7, np.uint8), preset, resize) == 7).all()  # a strip of 256 rows would need 4 TB


def test_a_picture_that_cannot_be_resized_is_named(images, monkeypatch):
    def fail(*arguments):
        raise MemoryError

    model = CNNFeatures("squeezenet1_1", weights=None).fit(images)
    monkeypatch.setattr("mmfeat.image._pipeline.prepare", fail)
    with pytest.raises(ImageDecodeError, match=r"image 0 \(PIL image .*\): there is not enough memory"):
        model.transform(images)
