"""PretrainedTextFeatures against the network itself, one text at a time, and what it will not run."""

import json
import os
import pickle
import shutil
import sys

import numpy as np
import pytest
from sklearn.base import clone

from mmfeat.text import PretrainedTextFeatures
from mmfeat.text._model_folder import own_pooling

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

TEXTS = ["a red ball", "红色的球", "two dogs run and run", "x", "", "一只狗 a dog"]


def by_hand(folder, texts, pooling):
    """Each text alone through the network, with no padding, in float64; zeros for one of white space."""
    network = transformers.BertModel.from_pretrained(folder).double().eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in texts:
        with torch.no_grad():
            hidden = network(**tokenizer(text, return_tensors="pt", truncation=True, max_length=40)).last_hidden_state[
                0
            ]
        row = hidden[0].numpy() if pooling == "cls" else hidden.numpy().mean(0)
        rows.append(row if text.strip() else np.zeros_like(row))
    return np.array(rows)


@pytest.fixture
def copy(tiny_bert, tmp_path):
    return shutil.copytree(tiny_bert, tmp_path / "copy")


@pytest.mark.parametrize("batch_size", [1, 2, 64])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_is_the_network_pooled_over_real_tokens(tiny_bert, pooling, batch_size):
    features = PretrainedTextFeatures(tiny_bert, pooling, batch_size=batch_size, device="cpu").fit_transform(TEXTS)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, by_hand(tiny_bert, TEXTS, pooling), atol=1e-5)


def test_rows_keep_their_place_over_many_windows(tiny_bert):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abc "), rng.integers(0, 30))) for _ in range(300)]
    features = PretrainedTextFeatures(tiny_bert, batch_size=2, device="cpu").fit_transform(texts)
    np.testing.assert_allclose(features, by_hand(tiny_bert, texts, "mean"), atol=1e-5)


def test_bfloat16_is_near_and_not_the_same(tiny_bert):
    exact = PretrainedTextFeatures(tiny_bert, device="cpu").fit_transform(TEXTS)
    rough = PretrainedTextFeatures(tiny_bert, precision="bfloat16", device="cpu").fit_transform(TEXTS)
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.1


@pytest.mark.gpu
def test_cuda_gives_the_same(tiny_bert):
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    expected = PretrainedTextFeatures(tiny_bert, device="cpu").fit_transform(TEXTS)
    found = PretrainedTextFeatures(tiny_bert, device="cuda").fit_transform(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    rough = PretrainedTextFeatures(tiny_bert, device="cuda", precision="auto").fit_transform(TEXTS)
    np.testing.assert_allclose(rough, expected, atol=0.1)


def test_long_texts_are_cut_off_with_a_warning(tiny_bert):
    texts = ["a " * 100, "a"]
    with pytest.warns(UserWarning, match="1 of 2 texts have more tokens"):
        features = PretrainedTextFeatures(tiny_bert, device="cpu").fit_transform(texts)
    np.testing.assert_allclose(features, by_hand(tiny_bert, texts, "mean"), atol=1e-5)
    with pytest.warns(UserWarning, match="cut off"):
        short = PretrainedTextFeatures(tiny_bert, max_length=6, device="cpu").fit_transform(texts)
    np.testing.assert_allclose(short[0], by_hand(tiny_bert, ["a a a a"], "mean")[0], atol=1e-5)
    with pytest.raises(ValueError, match=r"upper bound is 40\. Got 41"):
        PretrainedTextFeatures(tiny_bert, max_length=41, device="cpu").fit(texts).transform(texts)


@pytest.mark.parametrize("max_length", [1, 2])
def test_a_length_that_leaves_nothing_of_a_text_is_refused(tiny_bert, max_length):
    with pytest.raises(ValueError, match=rf"`max_length` lower bound is 3.*Got {max_length} instead"):
        PretrainedTextFeatures(tiny_bert, max_length=max_length, device="cpu").fit(["a"]).transform(["a " * 100])


def test_a_folder_without_a_vocabulary_is_refused(copy):
    (copy / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"holds no vocabulary of its tokenizer \(.*tokenizer\.json"):
        PretrainedTextFeatures(copy, device="cpu").fit(["a"])


def test_lone_surrogates_and_odd_characters_pass(tiny_bert):
    texts = ["a\ud800b", "\x00", "👨‍👩‍👧", "\ufeff", " \n"]
    assert np.isfinite(PretrainedTextFeatures(tiny_bert, device="cpu").fit_transform(texts)).all()


def test_network_is_loaded_when_needed_and_not_pickled(tiny_bert):
    features = PretrainedTextFeatures(tiny_bert, device="cpu")
    assert "_built" not in vars(features)
    expected = features.fit(TEXTS).transform(TEXTS)
    stored = pickle.dumps(features)
    assert len(stored) < 2000
    again = pickle.loads(stored)
    assert "_built" not in vars(again)
    np.testing.assert_array_equal(again.transform(TEXTS), expected)
    assert "_built" not in vars(clone(features))


def test_another_model_at_the_same_place_is_refused(copy):
    features = PretrainedTextFeatures(copy, device="cpu").fit(TEXTS)
    stored = pickle.dumps(features)
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ValueError, match="is not the model of fit"):
        pickle.loads(stored).transform(TEXTS)


def test_parameters_set_later_count(tiny_bert):
    features = PretrainedTextFeatures(tiny_bert, "mean", device="cpu").fit(TEXTS)
    features.set_params(pooling="cls")
    np.testing.assert_allclose(features.transform(TEXTS), by_hand(tiny_bert, TEXTS, "cls"), atol=1e-5)
    with pytest.raises(ValueError, match="'pooling' parameter"):
        features.set_params(pooling="sum").transform(TEXTS)


def test_loading_says_nothing_and_leaves_the_settings_alone(tiny_bert, capfd):
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    PretrainedTextFeatures(tiny_bert, device="cpu").fit(TEXTS)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_pickled_weights_are_not_read(copy):
    (copy / "model.safetensors").unlink()
    torch.save({}, copy / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is a pickle.*not read"):
        PretrainedTextFeatures(copy, device="cpu").fit(TEXTS)


def test_code_of_a_model_is_not_run(copy, tmp_path):
    config = json.loads((copy / "config.json").read_text())
    config.update(model_type="evil", auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"})
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    with pytest.raises(ValueError):
        PretrainedTextFeatures(copy, device="cpu").fit(TEXTS)
    assert not (tmp_path / "ran").exists()


def test_weights_that_would_be_random_are_refused(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ValueError, match=r"encoder\.layer\.2.*would be random"):
        PretrainedTextFeatures(copy, device="cpu").fit(TEXTS)
    (copy / "config.json").write_text(json.dumps({**config, "intermediate_size": 25}))
    # Two weights and a bias of another shape in each of the two layers.
    with pytest.raises(ValueError, match=r"do not fit its config\.json: .*intermediate.* and 6 in all"):
        PretrainedTextFeatures(copy, device="cpu").fit(TEXTS)


def test_damaged_and_missing_files_are_named(copy, tiny_bert, tmp_path):
    (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        PretrainedTextFeatures(copy, device="cpu").fit(TEXTS)
    shutil.copy(tiny_bert / "model.safetensors", copy)
    (copy / "config.json").unlink()
    with pytest.raises(ValueError, match=r"no config\.json"):
        PretrainedTextFeatures(copy, device="cpu").fit(TEXTS)
    with pytest.raises(FileNotFoundError, match="not there"):
        PretrainedTextFeatures(tmp_path / "none", device="cpu").fit(TEXTS)
    with pytest.raises(FileNotFoundError, match="not there"):
        PretrainedTextFeatures("./none", device="cpu").fit(TEXTS)


def test_a_name_is_looked_up_on_the_hub_for_safe_files_only(tiny_bert, monkeypatch):
    import huggingface_hub

    asked = []

    def download(name, **options):
        asked.append((name, options["revision"], options["allow_patterns"]))
        if name == "nobody/nothing":
            raise FileNotFoundError("offline")
        return str(tiny_bert)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    features = PretrainedTextFeatures("someone/tiny", revision="v1", device="cpu").fit(TEXTS)
    np.testing.assert_allclose(features.transform(TEXTS), by_hand(tiny_bert, TEXTS, "mean"), atol=1e-5)
    (name, revision, patterns), *_ = asked
    assert (name, revision) == ("someone/tiny", "v1")
    assert not any(pattern.endswith((".bin", ".py", ".pt", "*", ".pkl")) for pattern in patterns)
    with pytest.raises(OSError, match=r"Could not get the model 'nobody/nothing'.*offline"):
        PretrainedTextFeatures("nobody/nothing", device="cpu").fit(TEXTS)


def test_a_missing_extra_is_named(tiny_bert, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"mmfeat\[pretrained\]"):
        PretrainedTextFeatures(tiny_bert, device="cpu").fit(TEXTS)


def sentence_transformer(folder, kinds, pooling):
    rows = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(rows))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"word_embedding_dimension": 16, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "include_prompt": True}, "mean"),
        ({"pooling_mode": "cls", "include_prompt": True}, "cls"),
        ({"pooling_mode": ["mean"]}, "mean"),
        ({}, "mean"),
    ],
)
def test_auto_pools_as_sentence_transformers_would(copy, config, pooling):
    sentence_transformer(copy, [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")], config)
    (copy / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 6}))
    with pytest.warns(UserWarning, match="cut off"):
        features = PretrainedTextFeatures(copy, device="cpu").fit_transform(["a a a a a a", "a"])
    np.testing.assert_allclose(features, by_hand(copy, ["a a a a", "a"], pooling), atol=1e-5)


def test_what_cannot_be_computed_is_refused(copy):
    sentence_transformer(copy, [("Transformer", ""), ("Pooling", "1_Pooling")], {"pooling_mode_max_tokens": True})
    with pytest.raises(ValueError, match=r"max_tokens.*Choose"):
        PretrainedTextFeatures(copy, device="cpu").fit(TEXTS).transform(TEXTS)
    PretrainedTextFeatures(copy, "mean", device="cpu").fit(TEXTS).transform(TEXTS)
    shutil.rmtree(copy / "1_Pooling")
    sentence_transformer(copy, [("Transformer", ""), ("Dense", "2_Dense")], {})
    with pytest.raises(ValueError, match="module Dense"):
        PretrainedTextFeatures(copy, device="cpu").fit(TEXTS)


@pytest.mark.parametrize("content", ['[{"type": "x.Transformer"}]', '["x"]', '{"type": "x.Transformer"}'])
def test_modules_that_say_too_little_are_refused(copy, content):
    (copy / "modules.json").write_text(content)
    with pytest.raises(ValueError, match=r"modules\.json does not say the type and the path"):
        PretrainedTextFeatures(copy, device="cpu").fit(TEXTS)


def test_pooling_of_a_model_that_says_nothing_is_mean():
    assert own_pooling({}) == "mean"


@pytest.fixture(params=["model2vec", "sentence-transformers"])
def static(request, tmp_path):
    """A table of vectors for six words, as either library writes it; returns the folder and the table."""
    import tokenizers
    from safetensors.numpy import save_file

    words = {"[UNK]": 0, "a": 1, "red": 2, "ball": 3, "dog": 4, "狗": 5}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    table = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    folder = tmp_path / "static"
    place = folder if request.param == "model2vec" else folder / "0_StaticEmbedding"
    place.mkdir(parents=True)
    tokenizer.save(str(place / "tokenizer.json"))
    if request.param == "model2vec":
        (folder / "config.json").write_text(json.dumps({"model_type": "model2vec", "normalize": True}))
        save_file({"embeddings": table}, place / "model.safetensors")
    else:
        row = {"idx": 0, "name": "0", "path": place.name, "type": "sentence_transformers.models.StaticEmbedding"}
        (folder / "modules.json").write_text(json.dumps([row]))
        save_file({"embedding.weight": table}, place / "model.safetensors")
    return folder, table


def test_a_static_table_gives_the_mean_of_its_tokens(static, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    folder, table = static
    features = PretrainedTextFeatures(folder, device="cpu", batch_size=2).fit_transform(["a red ball", "", "zebra 狗"])
    # model2vec leaves out unknown words, sentence-transformers does not.
    known = [5] if (folder / "config.json").is_file() else [0, 5]
    np.testing.assert_allclose(features, [table[1:4].mean(0), np.zeros(3), table[known].mean(0)], atol=1e-6)
    with pytest.warns(UserWarning, match="1 of 2"):
        short = PretrainedTextFeatures(folder, device="cpu", max_length=2).fit_transform(["a red ball", "dog"])
    np.testing.assert_allclose(short, [table[1:3].mean(0), table[4]], atol=1e-6)
    with pytest.raises(ValueError, match="pooling='mean'"):
        PretrainedTextFeatures(folder, "cls", device="cpu").fit(["a"]).transform(["a"])


@pytest.mark.parametrize("kind", ["WordLevel", "Unigram"])
def test_a_table_of_model2vec_gives_what_model2vec_gives(kind, tmp_path):
    model2vec = pytest.importorskip("model2vec")
    import tokenizers
    from tokenizers import models

    words = ["[UNK]", "a", "red", "ball", "狗"]
    if kind == "WordLevel":
        cutter = models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]")
    else:
        cutter = models.Unigram([(word, -1.0) for word in words], unk_id=0)
    tokenizer = tokenizers.Tokenizer(cutter)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    table = np.random.default_rng(0).standard_normal((len(words), 3)).astype(np.float32)
    model2vec.StaticModel(vectors=table, tokenizer=tokenizer, normalize=False).save_pretrained(tmp_path)
    texts = ["a red ball", "zebra 狗", "zebra", ""]
    expected = model2vec.StaticModel.from_pretrained(tmp_path).encode(texts)
    np.testing.assert_allclose(PretrainedTextFeatures(tmp_path, device="cpu").fit_transform(texts), expected, atol=1e-6)
    assert expected[1].any() and not expected[3].any()
    assert kind == "Unigram" or not expected[2].any()  # a Unigram finds an "a" in "zebra"


def test_a_table_without_its_tokenizer_is_told(static):
    folder, _ = static
    next(folder.rglob("tokenizer.json")).unlink()
    with pytest.raises(ValueError, match=r"holds no tokenizer\.json.*Fetch"):
        PretrainedTextFeatures(folder, device="cpu").fit(["a"])


def test_a_second_fit_sees_that_the_folder_has_changed(static):
    from safetensors.numpy import load_file, save_file

    folder, table = static
    features = PretrainedTextFeatures(folder, device="cpu").fit(["a"])
    file = next(folder.rglob("*.safetensors"))
    save_file({name: 2 * tensor for name, tensor in load_file(file).items()}, file)
    os.utime(file, (0, 0))
    np.testing.assert_allclose(features.fit(["a"]).transform(["a"])[0], 2 * table[1], atol=1e-6)
