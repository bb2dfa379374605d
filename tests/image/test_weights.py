"""Weights from files and by name: the same features as the network they were saved from, or a clear error."""

import os
import pickle
import re
import urllib.error

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from mmfeat.image import CNNFeatures


@pytest.fixture(scope="module")
def images():
    return [np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)]


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return models.squeezenet1_1().eval()


@pytest.fixture
def file(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "net.pth")
    return tmp_path / "net.pth"


@pytest.fixture
def expected(images):
    with pytest.warns(UserWarning, match="random"):
        return CNNFeatures("squeezenet1_1", weights=None, random_state=5).fit_transform(images)


def test_every_way_to_store_them_gives_the_same(network, expected, images, tmp_path):
    state = network.state_dict()
    torch.save(dict(state), tmp_path / "plain.pt")
    torch.save(
        {"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}, tmp_path / "wrapped"
    )
    save_file(state, tmp_path / "safe.safetensors")
    for name in ("plain.pt", "wrapped", "safe.safetensors"):
        for path in (tmp_path / name, str(tmp_path / name)):
            np.testing.assert_array_equal(CNNFeatures("squeezenet1_1", path).fit_transform(images), expected)


def test_weights_of_a_file_leave_the_callers_generator_alone(file, images):
    state = torch.random.get_rng_state()
    CNNFeatures("squeezenet1_1", file).fit_transform(images)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_links_to_files_without_a_suffix(network, expected, images, tmp_path):
    """As caches of downloads keep them: the name with the suffix is a link to a file called by its digest."""
    save_file(network.state_dict(), tmp_path / "0123abcd")
    torch.save(network.state_dict(), tmp_path / "4567cdef")
    for name, blob in (("net.safetensors", "0123abcd"), ("net.pth", "4567cdef")):
        (tmp_path / name).symlink_to(blob)
        cnn = CNNFeatures("squeezenet1_1", tmp_path / name).fit(images)
        np.testing.assert_array_equal(cnn.transform(images), expected)
        np.testing.assert_array_equal(CNNFeatures("squeezenet1_1", tmp_path / blob).fit_transform(images), expected)
        # Another file behind the same link is another network.
        torch.save({key: value * 1.5 for key, value in network.state_dict().items()}, tmp_path / "changed")
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to("changed")
        if name == "net.pth":
            with pytest.raises(ValueError, match="are not the weights of fit"):
                cnn.transform(images)


def test_a_network_tuned_for_other_classes(images, tmp_path):
    tuned = models.squeezenet1_1(num_classes=7)
    torch.save(tuned.state_dict(), tmp_path / "tuned.pth")
    model = CNNFeatures("squeezenet1_1", tmp_path / "tuned.pth", layer="classifier.3").fit(images)
    assert model.n_features_out_ == 7


@pytest.mark.parametrize(("model", "width"), [("mnasnet0_5", 1280), ("shufflenet_v2_x0_5", 1024)])
def test_files_without_the_metadata_of_torch(model, width, images, tmp_path):
    state = models.get_model(model).state_dict()
    kept = {key: value.contiguous() for key, value in state.items() if not key.endswith("num_batches_tracked")}
    save_file(kept, tmp_path / "net.safetensors")
    assert CNNFeatures(model, tmp_path / "net.safetensors").fit_transform(images).shape == (1, width)


def test_names_of_layers_of_old_densenet_files():
    from mmfeat.image._weights import _rename

    assert _rename("features.denseblock1.denselayer2.norm.1.weight") == "features.denseblock1.denselayer2.norm1.weight"
    assert _rename("features.denseblock1.denselayer2.norm1.weight") == "features.denseblock1.denselayer2.norm1.weight"
    assert _rename("module.fc.bias") == "fc.bias"


def test_another_file_than_the_fitted_one_is_refused_until_refit(file, network, images):
    model = CNNFeatures("squeezenet1_1", file).fit(images)
    copy = pickle.dumps(model)
    assert re.fullmatch("[0-9a-f]{64}", model.weights_digest_)
    before = model.transform(images)
    moved = file.with_name("moved.pth")
    file.rename(moved)
    with pytest.raises(ValueError, match="is no existing file"):
        pickle.loads(copy).transform(images)
    np.testing.assert_array_equal(pickle.loads(copy).set_params(weights=moved).transform(images), before)
    state = {key: value * 1.5 for key, value in network.state_dict().items()}
    torch.save(state, file)
    for changed in (model, pickle.loads(copy)):
        with pytest.raises(ValueError, match=r"net.pth.*are not the weights of fit.*fit again"):
            changed.transform(images)
    assert not np.allclose(model.fit(images).transform(images), before, rtol=1e-2)


def test_other_weights_of_the_same_size_and_time_are_seen(file, network, images):
    """As archives and package managers leave them, who give all files one time."""
    torch.save({key: value * 1.0 for key, value in network.state_dict().items()}, file)
    model = CNNFeatures("squeezenet1_1", file).fit(images)
    status = file.stat()
    torch.save({key: value * 1.5 for key, value in network.state_dict().items()}, file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    with pytest.raises(ValueError, match="are not the weights of fit"):
        model.transform(images)


def test_the_file_is_read_without_running_code(images, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"a": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ValueError, match="could not be read as weights"):
        CNNFeatures("squeezenet1_1", tmp_path / "trap.pth").fit(images)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.pth", b"no weights at all", "could not be read as weights"),
        ("empty.pth", b"", "could not be read as weights"),
        ("text.safetensors", b"no weights at all", "could not be read as weights"),
        ("empty.safetensors", b"", "could not be read as weights"),
    ],
)
def test_what_is_no_file_of_weights_is_refused(name, content, message, images, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"(?s){name}' {message}.*state dict"):
        CNNFeatures("squeezenet1_1", tmp_path / name).fit(images)


def test_a_truncated_file_is_refused(file, images):
    file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="could not be read as weights"):
        CNNFeatures("squeezenet1_1", file).fit(images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: [1, 2], "holds list that is no state dict"),
        (lambda state: {}, "is no state dict"),
        (lambda state: {"lr": 0.1}, "is no state dict"),
        (lambda state: {**state, "extra.weight": torch.zeros(1)}, r"1 names \(extra.weight, ...\) unknown"),
        (lambda state: dict(list(state.items())[2:]), r"2 names \(features.0.weight.*missing"),
        (lambda state: {**state, "features.0.weight": torch.zeros(2, 2)}, "do not fit squeezenet1_1.*size mismatch"),
    ],
)
def test_state_dicts_that_do_not_fit_are_refused(network, change, message, images, tmp_path):
    torch.save(change(dict(network.state_dict())), tmp_path / "changed.pth")
    with pytest.raises(ValueError, match=rf"changed.pth' .*{message}"):
        CNNFeatures("squeezenet1_1", tmp_path / "changed.pth").fit(images)


def test_weights_of_another_model_are_refused(file, images):
    with pytest.raises(ValueError, match=r"do not fit resnet18: .* Set `model` to the network they were saved from"):
        CNNFeatures("resnet18", file).fit(images)


def test_unknown_weights_name_the_known_ones(images):
    with pytest.raises(ValueError, match=r"'IMAGENET1K_V7' is no existing file.*DEFAULT, IMAGENET1K_V1.*Did you mean"):
        CNNFeatures("squeezenet1_1", "IMAGENET1K_V7").fit(images)


def test_without_a_network_the_cure_is_named(images, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "urlopen", fail)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        OSError, match=r"download the weights .* from https://.*squeezenet1_1.*pass its path as `weights`"
    ):
        CNNFeatures("squeezenet1_1").fit(images)


def test_weights_that_were_downloaded_before_are_used(network, expected, images, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(network.state_dict(), folder / models.SqueezeNet1_1_Weights.DEFAULT.url.rpartition("/")[2])
    for name in ("DEFAULT", "IMAGENET1K_V1"):
        np.testing.assert_array_equal(CNNFeatures("squeezenet1_1", name).fit_transform(images), expected)
