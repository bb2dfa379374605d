"""Models of open_clip against open_clip itself, one item at a time."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from mmfeat.datasets import make_scenes
from mmfeat.pretrained import TwoTower

open_clip = pytest.importorskip("open_clip")
torch = pytest.importorskip("torch")

TEXTS = ["a red ball", "two dogs run", "dog dog", "红色 cat", "wow!"]


@pytest.fixture
def copy(tiny_open_clip, tmp_path):
    return shutil.copytree(tiny_open_clip, tmp_path / "copy")


@pytest.fixture(scope="module")
def by_hand(tiny_open_clip):
    network, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tiny_open_clip}")
    return network.eval(), preprocess, open_clip.get_tokenizer(f"local-dir:{tiny_open_clip}")


@pytest.mark.parametrize("batch_size", [1, 64])
def test_rows_are_those_of_the_model(tiny_open_clip, by_hand, batch_size):
    network, preprocess, tokenizer = by_hand
    pictures = list(make_scenes(4, image_size=48, random_state=0)["image"])
    options = {"batch_size": batch_size, "normalize": False, "device": "cpu"}
    with torch.no_grad():
        images = [network.encode_image(preprocess(Image.fromarray(np.asarray(p)))[None])[0].numpy() for p in pictures]
        texts = [network.encode_text(tokenizer([text]))[0].numpy() for text in TEXTS]
    image = TwoTower(tiny_open_clip, "image", **options).fit(pictures)
    np.testing.assert_allclose(image.transform(pictures), images, rtol=1e-5, atol=1e-5)
    text = TwoTower(tiny_open_clip, "text", **options).fit(TEXTS)
    np.testing.assert_allclose(text.transform(TEXTS), texts, rtol=1e-5, atol=1e-5)
    assert (image.n_features_out_, image.logit_scale_) == (12, pytest.approx(np.exp(3)))


def test_long_texts_are_cut_as_the_tokenizer_does(tiny_open_clip, by_hand):
    network, _, tokenizer = by_hand
    texts = ["dog " * 22, "dog " * 23, "dog " * 60]
    with pytest.warns(UserWarning, match="2 of 3 texts"):
        found = TwoTower(tiny_open_clip, "text", normalize=False, device="cpu").fit_transform(texts)
    with torch.no_grad():
        np.testing.assert_allclose(found, network.encode_text(tokenizer(texts)).numpy(), rtol=1e-5, atol=1e-5)
    with pytest.warns(UserWarning, match="1 of 1 texts"):
        short = TwoTower(tiny_open_clip, "text", max_length=4, normalize=False, device="cpu").fit_transform(
            ["dog " * 9]
        )
    with torch.no_grad():
        np.testing.assert_allclose(short, network.encode_text(tokenizer(["dog dog"])).numpy(), rtol=1e-5, atol=1e-5)


def test_a_very_long_picture_is_read(tiny_open_clip):
    assert np.isfinite(TwoTower(tiny_open_clip, device="cpu").fit_transform([np.zeros((2, 9000, 3), np.uint8)])).all()


def test_bfloat16_is_near(tiny_open_clip):
    exact = TwoTower(tiny_open_clip, "text", device="cpu").fit_transform(TEXTS)
    rough = TwoTower(tiny_open_clip, "text", precision="bfloat16", device="cpu").fit_transform(TEXTS)
    assert 0 < np.abs(exact - rough).max() < 0.1


def change(folder, part, **settings):
    file = folder / "open_clip_config.json"
    content = json.loads(file.read_text())
    content["model_cfg"][part].update(settings)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [
        ("text_cfg", {"hf_model_name": "someone/bert"}, "built around 'someone/bert'"),
        ("vision_cfg", {"timm_model_name": "hf-hub:someone/vit"}, "built around 'hf-hub:someone/vit'"),
        ("text_cfg", {"tokenizer_mode": "clips"}, "in the mode 'clips'"),
        ("text_cfg", {"layers": 3}, r"does not fit open_clip_config\.json"),
    ],
)
def test_what_needs_other_models_or_does_not_fit_is_refused(copy, part, settings, message):
    change(copy, part, **settings)
    with pytest.raises(ValueError, match=message):
        TwoTower(copy, device="cpu").fit(["a"])


def test_pickled_weights_are_not_read(copy):
    (copy / "open_clip_model.safetensors").rename(copy / "model.safetensors")
    torch.save({}, copy / "open_clip_pytorch_model.bin")
    with pytest.raises(ValueError, match=r"holds no open_clip_model\.safetensors"):
        TwoTower(copy, device="cpu").fit(["a"])


def test_a_configuration_of_something_else_is_refused(copy):
    (copy / "open_clip_config.json").write_text("[]")
    with pytest.raises(ValueError, match="has no `model_cfg`"):
        TwoTower(copy, device="cpu").fit(["a"])


def test_a_missing_extra_is_named(copy, monkeypatch):
    from mmfeat.pretrained import _shared

    _shared._loaded.clear()
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ImportError, match=r"mmfeat\[open_clip\]"):
        TwoTower(copy, device="cpu").fit(["a"])
