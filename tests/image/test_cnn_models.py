"""Every family of networks, networks of timm and of one's own: the features of the plain network, one at a time."""

import pickle
import shutil
import threading
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from torch import nn
from torchvision import models
from torchvision.transforms import v2

from mmfeat.image import CNNFeatures
from mmfeat.image._network import _build
from mmfeat.utils import _optional

pytestmark = pytest.mark.filterwarnings("ignore:weights=None", "ignore:.*init_weights:FutureWarning")


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    sizes = [(330, 400), (310, 500), (64, 48)]
    return [Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(size) for size in sizes]


def cosines(one, other):
    one, other = (np.asarray(rows, dtype=np.float64) for rows in (one, other))
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def caught(network, part, pictures):
    """Input of a module for tensors that pass the network one at a time."""
    inputs = []
    handle = network.get_submodule(part).register_forward_pre_hook(
        lambda _, values: inputs.append(values[0].flatten(1))
    )
    with torch.no_grad():
        for picture in pictures:
            network(picture[None])
    handle.remove()
    return torch.cat(inputs).numpy()


FAMILIES = {
    "vgg16": ("classifier.6", 4096),
    "vgg19": ("classifier.6", 4096),
    "resnet18": ("fc", 512),
    "resnet50": ("fc", 2048),
    "inception_v3": ("fc", 2048),
    "mobilenet_v2": ("classifier.1", 1280),
    "mobilenet_v3_small": ("classifier.3", 1024),
    "efficientnet_b0": ("classifier.1", 1280),
    "convnext_tiny": ("classifier.2", 768),
    "vit_b_16": ("heads.head", 768),
}
SLOW = {"vgg16", "vgg19", "inception_v3", "vit_b_16", "resnet50", "convnext_tiny"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in FAMILIES])
def test_families(name, images):
    head, width = FAMILIES[name]
    options = {"transform_input": True, "init_weights": True} if name == "inception_v3" else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = models.get_model(name, weights=None, **options).eval()
    transforms = models.get_model_weights(name).DEFAULT.transforms()
    expected = caught(plain, head, [transforms(image) for image in images])
    del plain
    cnn = CNNFeatures(name, weights=None, device="cpu").fit(images)
    got = cnn.transform(images)
    assert cnn._network().preset.crop_size == [299 if name == "inception_v3" else 224]
    assert got.shape == (3, width) == (3, cnn.n_features_out_)
    np.testing.assert_allclose(got, expected, atol=3e-5 * np.abs(expected).max())
    names = cnn.get_feature_names_out()
    assert (names[0], names[-1]) == (f"{cnn.layers_[0]}_0", f"{cnn.layers_[0]}_{width - 1}")
    half = cnn.set_params(precision="bfloat16").transform(images)
    assert not np.array_equal(half, got)
    assert cosines(half, got).min() > 0.999
    _build.cache_clear()


# Networks of one's own


def seeded(function, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return function()


def make_own():
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=4),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 12, 3, bias=False),
            nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(12, 4),
        )
    )


class Branching(nn.Module):
    """Cannot be traced: what it does depends on the values."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 7, stride=7)
        self.second = nn.Conv2d(6, 5, 3)
        self.head = nn.Linear(5, 2)

    def forward(self, pictures):
        maps = self.first(pictures)
        if maps.sum() > 1e9:
            maps = maps * 0
        maps = self.second(maps.relu_())
        return self.head(maps.mean((2, 3)))


def make_branching():
    return seeded(Branching)


IMAGENET = v2.Compose(
    [
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


def tensors(images):
    resized = [v2.functional.resize(image, [256], interpolation=v2.InterpolationMode.BILINEAR) for image in images]
    return [IMAGENET(v2.functional.center_crop(image, [224, 224])) for image in resized]


@pytest.mark.parametrize(("make", "head"), [(make_own, "7"), (make_branching, "head")])
def test_a_network_of_ones_own_comes_in_training_mode_and_is_left_in_it(make, head, images):
    module = make()
    assert module.training
    before = {name: value.clone() for name, value in module.state_dict().items()}
    expected = caught(make().eval(), head, tensors(images))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cnn = CNNFeatures(lambda: module).fit(images)
    got = cnn.transform(images)
    np.testing.assert_allclose(got, expected, atol=2e-5 * np.abs(expected).max())
    assert cosines(cnn.set_params(precision="bfloat16").transform(images), got).min() > 0.999
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_row_alone_is_row_in_batch(precision, images):
    cnn = CNNFeatures(make_own, precision=precision, layer="3").fit(images)
    together = cnn.transform(images)
    tolerance = 1e-6 if precision == "float32" else 1e-2
    for row, image in enumerate(images):
        np.testing.assert_allclose(cnn.transform([image])[0], together[row], atol=tolerance * np.abs(together).max())


def test_layers_of_a_network_that_cannot_be_traced(images):
    network = make_branching().eval()
    first = []
    network.first.register_forward_hook(lambda _, inputs, output: first.append(output.clone()))
    with torch.no_grad():
        network(torch.stack(tensors(images)))
    cnn = CNNFeatures(make_branching, layer=["second", "first"]).fit(images)
    got = cnn.transform(images)
    assert cnn.layers_ == ["second", "first"]
    np.testing.assert_allclose(
        got[:, 5:], first[0].mean((2, 3)), rtol=1e-4, atol=1e-5
    )  # before it is rectified in place
    assert CNNFeatures(make_branching).fit(images).layers_ == ["head:input"]
    for layer, message in (("secnd", "'secnd' is no layer.*Did you mean 'second'"), (["head", "head"], "twice")):
        with pytest.raises(ValueError, match=message):
            CNNFeatures(make_branching, layer=layer).fit(images)


def test_threads_share_a_network_that_cannot_be_traced(images):
    cnn = CNNFeatures(make_branching).fit(images)
    expected = [cnn.transform([image]) for image in images]
    results = {}

    def work(number):
        results[number] = [cnn.transform([images[number % 3]]) for _ in range(10)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, rows in results.items():
        assert all(np.array_equal(row, expected[number % 3]) for row in rows)


def test_a_network_of_ones_own_is_pickled_by_name_and_known_by_its_weights(images, monkeypatch):
    cnn = CNNFeatures(make_branching).fit(images)
    expected = cnn.transform(images)
    again = pickle.loads(pickle.dumps(cnn))
    _build.cache_clear()
    np.testing.assert_array_equal(again.transform(images), expected)
    other = CNNFeatures(lambda: seeded(Branching, 1)).fit(images)
    assert other.weights_digest_ != cnn.weights_digest_
    with pytest.raises(ValueError, match="are not the weights of fit"):
        cnn.set_params(model=lambda: seeded(Branching, 1)).transform(images)


class NormalisedBranching(Branching):
    """Also holds a batch norm, which in training mode would see what else is in the batch."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(self.first, nn.BatchNorm2d(6))


def test_a_network_that_cannot_be_traced_runs_in_evaluation_mode(images):
    expected = caught(seeded(NormalisedBranching).eval(), "head", tensors(images))
    got = CNNFeatures(lambda: seeded(NormalisedBranching), device="cpu").fit_transform(images)
    np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())


def test_weights_for_a_network_of_ones_own(images, tmp_path):
    torch.save(seeded(Branching, 3).state_dict(), tmp_path / "own.pth")
    got = CNNFeatures(make_branching, tmp_path / "own.pth").fit_transform(images)
    expected = CNNFeatures(lambda: seeded(Branching, 3)).fit_transform(images)
    np.testing.assert_array_equal(got, expected)
    with pytest.raises(ValueError, match="'IMAGENET1K_V1' is no existing file, and no other names are known"):
        CNNFeatures(make_branching, "IMAGENET1K_V1").fit(images)


def test_a_network_made_at_random_follows_the_seed(images):
    rows = [CNNFeatures(Branching, random_state=seed).fit_transform(images) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(rows[0], rows[1])
    assert not np.allclose(rows[0], rows[2])


def test_a_network_that_was_trained_since_is_taken_by_the_next_fit(images):
    module = make_branching()
    cnn = CNNFeatures(lambda: module).fit(images)
    before = cnn.transform(images)
    with torch.no_grad():
        module.second.weight.mul_(2.0)
        module.second.bias.mul_(2.0)
    np.testing.assert_array_equal(cnn.transform(images), before)  # it was copied
    digest = cnn.weights_digest_
    np.testing.assert_allclose(cnn.fit(images).transform(images), 2 * before, rtol=1e-5, atol=1e-6)
    assert cnn.weights_digest_ != digest
    np.testing.assert_array_equal(clone(cnn).fit_transform(images), cnn.transform(images))


class Shifted(nn.Module):
    """Adds a constant map to each picture of a batch."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 8, 16, stride=16)
        self.shift = nn.Parameter(torch.randn(1, 8, 14, 14))
        self.head = nn.Linear(8, 2)

    def forward(self, pictures):
        return self.head(torch.relu(self.body(pictures) + self.shift).mean((2, 3)))


def test_a_constant_added_to_each_picture_of_a_batch(images):
    expected = caught(seeded(Shifted).eval(), "head", tensors(images))
    got = CNNFeatures(lambda: seeded(Shifted)).fit_transform(images)
    np.testing.assert_allclose(got, expected, atol=2e-5 * np.abs(expected).max())


class Forked(nn.Module):
    """Computes another branch between the body and the head."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 8, 16, stride=16)
        self.side = nn.Conv2d(3, 2, 32, stride=32)
        self.head = nn.Linear(8, 2)

    def forward(self, pictures):
        pooled = self.body(pictures).mean((2, 3))
        side = self.side(pictures).mean((2, 3))
        return self.head(pooled) + side


def test_the_default_layer_is_the_input_of_the_head_and_not_what_was_computed_before(images):
    expected = caught(seeded(Forked).eval(), "head", tensors(images))
    got = CNNFeatures(lambda: seeded(Forked)).fit_transform(images)
    np.testing.assert_allclose(got, expected, atol=2e-5 * np.abs(expected).max())


def test_a_network_without_a_head_needs_a_layer(images):
    def make():
        return nn.Sequential(nn.AvgPool2d(16), nn.ReLU())

    with pytest.raises(ValueError, match=r"calls none that could be found. Name a layer; near its end: .*1\."):
        CNNFeatures(make).fit(images)
    assert CNNFeatures(make, layer="1").fit_transform(images).shape == (3, 3)


def test_what_is_no_network_is_refused(images):
    with pytest.raises(TypeError, match=r"must return a torch.nn.Module .* Got dict instead"):
        CNNFeatures(dict).fit(images)


class Stubborn(nn.Module):
    """Cannot run in bfloat16 as a whole: numbers in its code are float32."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 8, 16, stride=16)
        self.head = nn.Linear(8, 2)

    def forward(self, pictures):
        return self.head(self.body(pictures).mean((2, 3)) * torch.ones(pictures.shape[0], 8, dtype=torch.float32))


def test_bfloat16_where_the_network_as_a_whole_cannot(images):
    cnn = CNNFeatures(lambda: seeded(Stubborn), layer="head").fit(images)
    got = cnn.transform(images)
    half = cnn.set_params(precision="bfloat16").transform(images)
    assert cnn._network().cast
    assert not np.array_equal(half, got)
    assert cosines(half, got).min() > 0.999


# timm


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "vit_tiny_patch16_224"])
def test_networks_of_timm_in_evaluation_mode_with_their_own_preprocessing(name, images):
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = timm.create_model(name, pretrained=False)
    config = timm.data.resolve_model_data_config(plain)
    transform = timm.data.create_transform(**config, is_training=False)
    head = plain.pretrained_cfg["classifier"]
    expected = caught(plain.eval(), head, [transform(image) for image in images])
    cnn = CNNFeatures(f"timm/{name}", weights=None).fit(images)
    np.testing.assert_allclose(cnn.transform(images), expected, atol=5e-5 * np.abs(expected).max())
    np.testing.assert_allclose(cnn.transform(images[:1]), expected[:1], atol=5e-5 * np.abs(expected).max())


def test_names_of_timm_are_checked(images, monkeypatch):
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match=r"'timm/resnet81' is no network of timm. Did you mean '.*resnet"):
        CNNFeatures("timm/resnet81", weights=None).fit(images)

    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(_optional.importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"pip install 'mmfeat\[timm\]'"):
        CNNFeatures("timm/resnet18", weights=None).fit(images)


def test_published_weights_of_timm_that_cannot_be_had(images, monkeypatch):
    timm = pytest.importorskip("timm")

    def fail(name, pretrained, **options):
        assert pretrained
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(
        OSError, match=r"published weights of timm/resnet18: no route to host.*pass the file as `weights`"
    ):
        CNNFeatures("timm/resnet18").fit(images)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="needs a C++ compiler")
def test_compiled_networks_give_the_same(images):
    cnn = CNNFeatures(make_own).fit(images)
    expected = cnn.transform(images)
    cnn.set_params(compile=True)
    got = cnn.transform(images)
    np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(cnn.transform(images[:1]), expected[:1], atol=1e-5 * np.abs(expected).max())


def test_the_cure_is_named_where_a_network_cannot_be_compiled(images, monkeypatch):
    def fail(inputs):
        raise RuntimeError("no working compiler\nmany lines more")

    monkeypatch.setattr(torch, "compile", lambda network: fail)
    with pytest.raises(RuntimeError, match=r"failed: no working compiler. It needs .* or use compile=False"):
        CNNFeatures(lambda: seeded(Branching), compile=True).fit(images)
