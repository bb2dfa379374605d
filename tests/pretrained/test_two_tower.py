"""TwoTower against the model itself, one item at a time, and what it will not read or run."""

import json
import pickle
import shutil
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.utils import get_tags

from mmfeat.caching import CachedTransformer
from mmfeat.datasets import make_scenes
from mmfeat.fusion import CCA, LearnedProjection
from mmfeat.image import ImageDecodeError
from mmfeat.metrics import rank_embeddings
from mmfeat.pretrained import TwoTower, _folder, _shared
from mmfeat.pretrained._folder import kind_of
from mmfeat.retrieval import Retriever
from mmfeat.text import UnknownTextWarning

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

TEXTS = ["a red ball", "two dogs run and", "ball", "dog dog", "红色的球 cat", "blue cube, blue cat!", "cat"]
PADDING = {"clip": {}, "chinese_clip": {}, "siglip": {"padding": "max_length", "max_length": 32}}


@pytest.fixture(scope="module")
def pictures():
    return [np.asarray(image) for image in make_scenes(9, image_size=48, random_state=0)["image"]]


@pytest.fixture
def copy(tiny_clip, tmp_path):
    return shutil.copytree(tiny_clip, tmp_path / "copy")


@pytest.fixture(autouse=True)
def empty_shelf():
    """Each test loads its own models."""
    _shared._loaded.clear()
    _folder._download.cache_clear()


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def tensor_of(output):
    return getattr(output, "pooler_output", output)[0].numpy()


def images_by_hand(folder, pictures):
    """Each picture alone through the model's own processor and the model."""
    network = transformers.AutoModel.from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    with torch.no_grad():
        inputs = [processor(images=Image.fromarray(picture), return_tensors="pt") for picture in pictures]
        return np.array([tensor_of(network.get_image_features(**item)) for item in inputs])


def texts_by_hand(folder, texts):
    """Each text alone through the model's own processor and the model."""
    network = transformers.AutoModel.from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    padding = PADDING[network.config.model_type]
    with torch.no_grad():
        inputs = [processor(text=[text], return_tensors="pt", truncation=True, **padding) for text in texts]
        return np.array([tensor_of(network.get_text_features(**item)) for item in inputs])


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_rows_of_pictures_are_those_of_the_model(folder, pictures, batch_size):
    tower = TwoTower(folder, "image", batch_size=batch_size, normalize=False, device="cpu").fit(pictures)
    found, expected = tower.transform(pictures), images_by_hand(folder, pictures)
    assert found.dtype == np.float32
    assert found.shape == (len(pictures), tower.n_features_out_)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    tower.set_params(normalize=True)
    np.testing.assert_allclose(tower.transform(pictures), unit(expected), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_rows_of_texts_are_those_of_the_model(folder, batch_size):
    tower = TwoTower(folder, "text", batch_size=batch_size, normalize=False, device="cpu").fit(TEXTS)
    expected = texts_by_hand(folder, TEXTS)
    np.testing.assert_allclose(tower.transform(TEXTS), expected, rtol=1e-5, atol=1e-5)
    tower.set_params(normalize=True)
    np.testing.assert_allclose(tower.transform(TEXTS), unit(expected), atol=1e-5)


def old_clip(folder):
    """The layout of the models of 2021: sizes as numbers, a tokenizer of two files."""
    words = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    (folder / "vocab.json").write_text(json.dumps(words), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 40, "tokenizer_class": "CLIPTokenizer"}')
    normal = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.2, 0.3], "do_normalize": True}
    size = {"size": 16, "crop_size": 16, "do_resize": True, "do_center_crop": True, "resample": 3}
    content = {**normal, **size, "feature_extractor_type": "CLIPFeatureExtractor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))


def old_chinese_clip(folder):
    """As published: of the tokenizer only the words, which do not tell the longest text."""
    words = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in sorted(words, key=words.get)), "utf-8")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


def new_clip(folder):
    """As version 5 of transformers saves a processor: one file for all."""
    processor = transformers.AutoProcessor.from_pretrained(folder)
    for name in ("preprocessor_config.json", "tokenizer_config.json", "tokenizer.json"):
        (folder / name).unlink()
    processor.save_pretrained(folder)
    assert not (folder / "preprocessor_config.json").exists()


@pytest.mark.parametrize(
    ("kind", "layout"), [("clip", old_clip), ("chinese_clip", old_chinese_clip), ("clip", new_clip)]
)
def test_layouts_of_published_folders_are_read(request, tmp_path, pictures, kind, layout):
    folder = shutil.copytree(request.getfixturevalue(f"tiny_{kind}"), tmp_path / "copy")
    layout(folder)
    for tower, items, by_hand in (("image", pictures, images_by_hand), ("text", TEXTS, texts_by_hand)):
        found = TwoTower(folder, tower, device="cpu").fit_transform(items)
        np.testing.assert_allclose(found, unit(by_hand(folder, items)), atol=1e-5)


def test_rows_keep_their_place_over_many_windows(tiny_clip):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abc "), rng.integers(0, 20))) for _ in range(150)]
    found = TwoTower(tiny_clip, "text", batch_size=1, device="cpu").fit_transform(texts)
    together = TwoTower(tiny_clip, "text", batch_size=150, device="cpu").fit_transform(texts)
    np.testing.assert_allclose(found, together, atol=1e-5)
    np.testing.assert_allclose(found[::10], unit(texts_by_hand(tiny_clip, texts[::10])), atol=1e-5)


def test_scale_and_bias_are_those_of_the_model(folder):
    network = transformers.AutoModel.from_pretrained(folder)
    tower = TwoTower(folder, "text", device="cpu").fit(TEXTS)
    assert tower.logit_scale_ == pytest.approx(np.exp(3.0))
    assert tower.logit_bias_ == pytest.approx(getattr(network, "logit_bias", torch.zeros(1)).item())


@pytest.mark.parametrize("normalize", [True, False])
def test_templates_are_averaged(tiny_clip, normalize):
    templates = ["a {}", "the {} dog", "{}"]
    words = ["cat", "ball", "{} {0}"]
    tower = TwoTower(tiny_clip, "text", templates=templates, normalize=normalize, batch_size=2, device="cpu")
    rows = [texts_by_hand(tiny_clip, [template.replace("{}", word, 1) for word in words]) for template in templates]
    expected = unit(np.mean([unit(part) for part in rows], axis=0)) if normalize else np.mean(rows, axis=0)
    np.testing.assert_allclose(tower.fit_transform(words), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("templates", "message"),
    [([], "is empty"), (["a"], r"`templates`\[0\].*Got 'a'"), (["{}", "{} {}"], r"\[1\]"), ([None], "Got None")],
)
def test_templates_without_a_place_are_refused(tiny_clip, templates, message):
    with pytest.raises(ValueError, match=message):
        TwoTower(tiny_clip, "text", templates=templates, device="cpu").fit(["a"])


@pytest.mark.parametrize("parameter", [{"templates": ["{}"]}, {"max_length": 5}])
def test_what_is_for_texts_is_refused_for_pictures(tiny_clip, parameter):
    with pytest.raises(ValueError, match=r"is for tower='text'"):
        TwoTower(tiny_clip, "image", device="cpu", **parameter).fit(["a.jpg"])


def test_retriever_ranks_as_a_loop_over_the_model(folder, pictures):
    texts = [*TEXTS, "one", "two red"]
    pairs = pd.DataFrame({"image": pictures, "text": texts})
    towers = [TwoTower(folder, tower, device="cpu", batch_size=4) for tower in ("image", "text")]
    retriever = Retriever(*towers, fusion="passthrough").fit(pairs)
    images, sentences = retriever.encode_image(pictures), retriever.encode_text(texts)
    found = rank_embeddings(sentences, images).ranks
    scores = unit(texts_by_hand(folder, texts)) @ unit(images_by_hand(folder, pictures)).T
    expected = [
        1 + sum(score >= row[own] for place, score in enumerate(row) if place != own) for own, row in enumerate(scores)
    ]
    np.testing.assert_array_equal(np.ravel(found), expected)


@pytest.mark.parametrize("fusion", [CCA(2, reg=0.1), LearnedProjection(2, max_epochs=2, random_state=0)])
def test_towers_are_adapted_by_a_fusion(tiny_clip, pictures, fusion):
    pairs = pd.DataFrame({"image": pictures, "text": [["a", "red ball"], *(f"{word} dog" for word in "bcdefghi")]})
    towers = [TwoTower(tiny_clip, tower, device="cpu") for tower in ("image", "text")]
    retriever = Retriever(*towers, fusion).fit(pairs)
    assert retriever.encode_image(pictures).shape == (9, 2)
    assert retriever.encode_text(TEXTS).shape == (len(TEXTS), 2)


def test_one_model_is_loaded_for_both_towers_and_all_estimators(copy, monkeypatch, pictures):
    loads = []
    load = _shared._load
    monkeypatch.setattr(_shared, "_load", lambda *arguments: loads.append(arguments) or load(*arguments))
    image, text = (TwoTower(copy, tower, device="cpu") for tower in ("image", "text"))
    image.fit(pictures).transform(pictures)
    text.fit(TEXTS).transform(TEXTS)
    threads = [threading.Thread(target=lambda: clone(text).fit(TEXTS).transform(TEXTS)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pickle.loads(pickle.dumps(image)).transform(pictures)
    assert len(loads) == 1
    # The same files elsewhere are the same model; another precision is another.
    other = shutil.copytree(copy, copy.parent / "other")
    TwoTower(other, device="cpu").fit(pictures).transform(pictures)
    assert len(loads) == 1
    clone(image).set_params(precision="bfloat16").fit(pictures)
    assert len(loads) == 2


def test_no_more_than_two_models_stay_in_memory(tiny_clip, tiny_chinese_clip, tiny_siglip):
    for folder in (tiny_clip, tiny_chinese_clip, tiny_siglip):
        TwoTower(folder, "text", device="cpu").fit(["a"])
    assert len(_shared._loaded) == 2


@pytest.mark.filterwarnings("ignore:.*cut off:UserWarning")
def test_threads_may_encode_at_once(tiny_clip):
    tower = TwoTower(tiny_clip, "text", device="cpu", batch_size=2).fit(TEXTS)
    texts = TEXTS * 10
    expected, found = tower.transform(texts), {}
    short = clone(tower).set_params(max_length=4).fit(texts)

    def work(place):
        found[place] = (tower if place % 2 else short).transform(texts)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cut = short.transform(texts)
    for place in range(4):
        np.testing.assert_allclose(found[place], expected if place % 2 else cut, atol=1e-6)


def test_network_is_not_pickled(tiny_clip, pictures):
    tower = TwoTower(str(tiny_clip), device="cpu").fit(pictures)
    expected = tower.transform(pictures)
    stored = pickle.dumps(tower)
    assert len(stored) < 2000
    assert b"torch" not in stored and b"transformers" not in stored
    np.testing.assert_array_equal(pickle.loads(stored).transform(pictures), expected)


def test_names_and_tags(tiny_clip):
    image, text = (TwoTower(tiny_clip, tower, device="cpu") for tower in ("image", "text"))
    assert get_tags(text).input_tags.string and not get_tags(image).input_tags.string
    names = text.fit(TEXTS).get_feature_names_out()
    assert list(names) == [f"twotower{column}" for column in range(12)]


def test_cache_computes_nothing_twice(copy, tmp_path, pictures):
    paths = []
    for place, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{place}.png")
        paths.append(str(tmp_path / f"{place}.png"))
    location = tmp_path / "cache"
    for tower, items in (("image", paths), ("text", TEXTS)):
        inner = TwoTower(copy, tower, device="cpu")
        first = CachedTransformer(inner, location).fit(items)
        expected = first.transform(items)
        assert first.n_computed_ == len(items)
        # Another place, size of batches and device are the same model.
        elsewhere = shutil.copytree(copy, tmp_path / f"elsewhere-{tower}")
        moved = clone(inner).set_params(model=str(elsewhere), batch_size=2, device="auto", on_error="warn")
        again = CachedTransformer(moved, location).fit(items)
        np.testing.assert_array_equal(again.transform(items), expected)
        assert again.n_computed_ == 0
        raw = CachedTransformer(clone(inner).set_params(normalize=False), location).fit(items)
        raw.transform(items)
        assert raw.n_computed_ == len(items)
    alter(copy)
    changed = CachedTransformer(TwoTower(copy, "text", device="cpu"), location).fit(TEXTS)
    changed.transform(TEXTS)
    assert changed.n_computed_ == len(TEXTS)


def test_a_text_that_is_the_name_of_a_file_is_a_text(tiny_clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat").write_text("one")
    cached = CachedTransformer(TwoTower(tiny_clip, "text", device="cpu"), tmp_path / "cache").fit(["cat"])
    cached.transform(["cat"])
    (tmp_path / "cat").write_text("another")
    cached.transform(["cat"])
    assert cached.n_computed_ == 0


def test_long_texts_are_cut_off_with_one_warning(folder):
    texts = ["cat " * 60, "a", "dog " * 60, "ball"]
    with pytest.warns(UserWarning, match="2 of 4 texts have more tokens") as told:
        found = TwoTower(folder, "text", device="cpu", batch_size=1).fit_transform(texts)
    assert len([warning for warning in told if "cut off" in str(warning.message)]) == 1
    if kind_of(folder) != "chinese_clip":  # its tokenizer does not know the model's length
        np.testing.assert_allclose(found, unit(texts_by_hand(folder, texts)), atol=1e-5)
    assert np.isfinite(found).all()


def test_a_text_cut_in_several_templates_counts_once(tiny_clip):
    with pytest.warns(UserWarning, match="1 of 2 texts"):
        TwoTower(tiny_clip, "text", templates=["a {}", "{}"], device="cpu").fit_transform(["b " * 60, "b"])


def test_max_length_cuts_and_has_bounds(tiny_clip):
    with pytest.warns(UserWarning, match="cut off"):
        short = TwoTower(tiny_clip, "text", max_length=4, device="cpu").fit_transform(["a b c d"])
    np.testing.assert_allclose(short, unit(texts_by_hand(tiny_clip, ["a b"])), atol=1e-5)
    for length, message in ((41, r"upper bound is 40\. Got 41"), (2, r"lower bound is 3.*Got 2")):
        with pytest.raises(ValueError, match=message):
            TwoTower(tiny_clip, "text", max_length=length, device="cpu").fit(["a"]).transform(["a"])


def test_lone_surrogates_and_odd_characters_pass(folder):
    texts = ["a\ud800b", "\x00", "👨‍👩‍👧", "\ufeff", " \n"]
    assert np.isfinite(TwoTower(folder, "text", device="cpu").fit_transform(texts)).all()


@pytest.mark.parametrize("method", ["fit", "transform"])
@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a", "sequence of texts.*Wrap"),
        (None, "sequence of texts"),
        ([], "at least one text"),
        (["a", None], "Text 1 is None"),
        (["a", np.nan], "Text 1 is nan"),
        (["a", b"a"], "Text 1 is b'a'"),
    ],
)
def test_bad_texts_are_refused_and_named(tiny_clip, method, texts, message):
    tower = TwoTower(tiny_clip, "text", device="cpu").fit(["a"])
    with pytest.raises(ValueError, match=message):
        getattr(tower, method)(texts)


def test_pictures_of_all_sorts_are_read(folder, tmp_path):
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(colour).save(tmp_path / "a.png")
    Image.fromarray(colour).convert("CMYK").save(tmp_path / "cmyk.tif")
    clear = np.dstack([colour, np.zeros((20, 30), np.uint8)])
    gray = colour[..., 0]
    items = [
        colour, str(tmp_path / "a.png"), tmp_path / "a.png", (tmp_path / "a.png").read_bytes(), Image.fromarray(colour),
        clear, np.full_like(colour, 255), gray, np.dstack([gray] * 3), gray.astype(np.uint16) * 257, tmp_path / "cmyk.tif",
        np.zeros((1, 1, 3), np.uint8), np.zeros((3, 40, 3), np.uint8),
    ]  # fmt: skip
    rows = TwoTower(folder, device="cpu", batch_size=3).fit_transform(items)
    assert np.isfinite(rows).all()
    for same in ([0, 1, 2, 3, 4], [5, 6], [7, 8, 9]):
        np.testing.assert_allclose(rows[same], rows[[same[0]] * len(same)], atol=1e-5)
    assert np.abs(rows[0] - rows[5]).max() > 1e-3


def test_very_long_pictures_are_the_middle_of_them(folder):
    strip = np.zeros((2, 20_000, 3), np.uint8)
    strip[:, 9_000:11_000] = np.random.default_rng(0).integers(0, 256, (2, 2000, 3))
    rows = TwoTower(folder, device="cpu").fit_transform([strip, strip.transpose(1, 0, 2)])
    assert np.isfinite(rows).all()
    if kind_of(folder) == "clip":
        np.testing.assert_allclose(rows[:1], unit(images_by_hand(folder, [strip])), atol=1e-4)


def test_pictures_that_cannot_be_read_are_named(tiny_clip, tmp_path, pictures):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    items = [pictures[0], str(tmp_path / "bad.jpg"), pictures[1], tmp_path / "gone.jpg", b"", pictures[2]]
    with pytest.raises(ImageDecodeError, match=r"image 1 \('.*bad\.jpg'\)"):
        TwoTower(tiny_clip, device="cpu").fit_transform(items)
    tower = TwoTower(tiny_clip, device="cpu", on_error="warn", batch_size=2).fit(items)
    with pytest.warns(UserWarning, match=r"3 of 6 images could not be read, their rows are NaN.*bad\.jpg"):
        rows = tower.transform(items)
    assert np.isnan(rows).any(1).tolist() == [False, True, False, True, True, False]
    assert [(row, path) for row, path, _ in tower.errors_] == [
        (1, str(tmp_path / "bad.jpg")), (3, str(tmp_path / "gone.jpg")), (4, None)
    ]  # fmt: skip
    np.testing.assert_allclose(rows[[0, 2, 5]], tower.transform(pictures[:3]), atol=1e-6)
    assert tower.errors_ == []


@pytest.mark.parametrize("bad", ["a.jpg", None, [], [None], [np.nan], [3]])
def test_bad_pictures_are_refused(tiny_clip, bad):
    tower = TwoTower(tiny_clip, device="cpu").fit(["x.jpg"])
    with pytest.raises(ValueError, match=r"image|Image 0"):
        tower.transform(bad)


def test_bfloat16_is_near_and_not_the_same(tiny_clip, pictures):
    for tower, items in (("image", pictures), ("text", TEXTS)):
        exact = TwoTower(tiny_clip, tower, device="cpu").fit_transform(items)
        rough = TwoTower(tiny_clip, tower, precision="bfloat16", device="cpu").fit_transform(items)
        assert rough.dtype == np.float32
        assert 0 < np.abs(rough - exact).max() < 0.1


@pytest.mark.gpu
def test_cuda_gives_the_same(folder, pictures):
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    for tower, items in (("image", pictures), ("text", TEXTS)):
        expected = TwoTower(folder, tower, device="cpu").fit_transform(items)
        found = TwoTower(folder, tower, device="cuda", batch_size=2).fit_transform(items)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        rough = TwoTower(folder, tower, device="cuda", precision="auto").fit_transform(items)
        np.testing.assert_allclose(rough, expected, atol=0.1)


def alter(folder):
    """Change one number of the weights."""
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)


def test_another_model_at_the_same_place_is_refused(copy):
    tower = TwoTower(copy, "text", device="cpu").fit(TEXTS)
    alter(copy)
    with pytest.raises(ValueError, match="is not the model of fit"):
        tower.transform(TEXTS)
    tower.fit(TEXTS).transform(TEXTS)
    shutil.rmtree(copy)
    with pytest.raises(FileNotFoundError, match="not there"):
        tower.transform(TEXTS)


def test_parameters_set_later_count(tiny_clip, tiny_chinese_clip):
    tower = TwoTower(tiny_clip, "text", device="cpu").fit(TEXTS)
    tower.set_params(model=tiny_chinese_clip)
    with pytest.raises(ValueError, match="is not the model of fit"):
        tower.transform(TEXTS)
    np.testing.assert_allclose(
        tower.fit(TEXTS).transform(TEXTS), unit(texts_by_hand(tiny_chinese_clip, TEXTS)), atol=1e-5
    )
    with pytest.raises(ValueError, match="'batch_size' parameter"):
        tower.set_params(batch_size=0).transform(TEXTS)


def test_loading_says_nothing_and_leaves_the_settings_alone(folder, capfd):
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    TwoTower(folder, "text", device="cpu").fit(TEXTS).transform(TEXTS)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def write_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def refuses(folder, message, kind=ValueError, tower="image"):
    with pytest.raises(kind, match=message):
        TwoTower(folder, tower, device="cpu").fit(["a"])


def test_code_of_a_model_is_not_run(copy, tmp_path):
    (copy / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    evil = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model", "AutoTokenizer": ["evil.Model", "evil.Model"]}
    write_config(copy, auto_map=evil)
    for name in ("preprocessor_config.json", "tokenizer_config.json"):
        content = json.loads((copy / name).read_text())
        (copy / name).write_text(json.dumps({**content, "auto_map": {**evil, "AutoImageProcessor": "evil.Model"}}))
    TwoTower(copy, "text", device="cpu").fit(["a"]).transform(
        ["a"]
    )  # the types are known: the library's own code is used
    write_config(copy, model_type="evil")
    refuses(copy, "a model of type 'evil'. Expected a two-tower model")
    assert not (tmp_path / "ran").exists()


def test_pickled_weights_are_not_read(copy):
    (copy / "model.safetensors").unlink()
    torch.save({}, copy / "pytorch_model.bin")
    refuses(copy, r"pytorch_model\.bin is a pickle.*not read")


def test_files_that_are_missing_or_damaged_are_named(copy, tiny_clip, tmp_path):
    write_config(copy, projection_dim=13)
    refuses(copy, "do not fit its config.json: .*projection")
    shutil.copy(tiny_clip / "config.json", copy)
    (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes()[:500])
    refuses(copy, r"model\.safetensors is damaged")
    shutil.move(copy / "model.safetensors", copy / "other.safetensors")
    shutil.copy(tiny_clip / "model.safetensors", copy / "other.safetensors")
    refuses(copy, r"holds no model\.safetensors")
    shutil.copy(tiny_clip / "model.safetensors", copy)
    (copy / "preprocessor_config.json").unlink()
    refuses(copy, "holds no image processor that can be read")
    shutil.copy(tiny_clip / "preprocessor_config.json", copy)
    (copy / "tokenizer.json").unlink()
    refuses(copy, "vocabulary of its tokenizer|no tokenizer that can be read")
    (copy / "config.json").write_text("{")
    refuses(copy, r"config\.json is no JSON")
    (copy / "config.json").unlink()
    refuses(copy, r"holds no config\.json")
    refuses(tmp_path / "none", "not there", FileNotFoundError)
    refuses("./none", "not there", FileNotFoundError)


def test_another_model_is_no_two_tower_model(tiny_bert):
    refuses(tiny_bert, "a model of type 'bert'. Expected a two-tower model: one of chinese_clip, clip, siglip")


def test_a_name_is_looked_up_on_the_hub_once_for_safe_files_only(tiny_clip, tiny_chinese_clip, monkeypatch):
    import huggingface_hub

    asked = []

    def download(name, **options):
        asked.append((name, options))
        if name == "nobody/nothing":
            raise FileNotFoundError("offline")
        return str(tiny_clip)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    tower = TwoTower("someone/tiny", "text", revision="v1", device="cpu").fit(TEXTS)
    clone(tower).fit(TEXTS).transform(TEXTS)
    TwoTower("hf-hub:someone/tiny", "text", device="cpu").fit(TEXTS)
    (name, options), (other, others) = asked
    assert (name, options["revision"], other, others["revision"]) == ("someone/tiny", "v1", "someone/tiny", None)
    assert "model*.safetensors" in options["allow_patterns"]
    assert "open_clip_*.safetensors" in others["allow_patterns"]
    for patterns in (options["allow_patterns"], others["allow_patterns"]):
        assert not any(pattern.endswith((".bin", ".py", ".pt", "*", ".pkl")) for pattern in patterns)
    with pytest.raises(ValueError, match="is not the model of fit"):  # the name is asked for anew where it is gone
        moved = pickle.loads(pickle.dumps(tower))
        monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **options: str(tiny_chinese_clip))
        _folder._download.cache_clear()
        moved.transform(TEXTS)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    refuses("nobody/nothing", r"Could not get the model 'nobody/nothing'.*offline.*go online", OSError)


def test_a_missing_extra_is_named(copy, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    refuses(copy, r"mmfeat\[pretrained\]", ImportError)


@pytest.mark.situation("empty texts, and texts of which a tower knows no token", "the zero vector, and one warning")
@pytest.mark.parametrize("templates", [None, ["a {}", "the {} dog"]])
def test_texts_without_a_known_token_are_zero(folder, templates):
    knows_few = json.loads((folder / "config.json").read_text("utf-8"))["model_type"] == "chinese_clip"
    texts = ["cat", "", "a ball", " \n", *(["ж"] if knows_few else [])]
    tower = TwoTower(folder, "text", templates=templates, batch_size=2, device="cpu").fit(texts)
    with pytest.warns(UnknownTextWarning) as told:
        found = tower.transform(texts)
    unknown = [1, 3, 4][: len(texts) - 2]
    assert [warning.message.rows for warning in told] == [tuple(unknown)]
    assert np.flatnonzero(~found.any(axis=1)).tolist() == unknown
