"""Model files: a round trip, and what is refused before anything is built from it."""

import json
import pickle
import zipfile

import numpy as np
import pytest
import skops.io
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from mmfeat.cli._models import FORMAT, ModelFileError, load_model, save_model
from mmfeat.cli._systems import image_encoder, make_fusion
from mmfeat.datasets import make_scenes
from mmfeat.encoding import PowerNormalizer
from mmfeat.image import CNNFeatures
from mmfeat.retrieval import Retriever
from mmfeat.text import tfidf_lsa


@pytest.fixture(scope="module")
def pairs():
    return make_scenes(40, image_size=48, captions_per_image=2, random_state=0)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("fusion", ["cca", "pls", "learned"])
def test_a_model_comes_back_as_it_went(tmp_path, pairs, fusion, language):
    retriever = Retriever(
        image_encoder(), tfidf_lsa(10, language=language, min_df=1, random_state=0), make_fusion(fusion, 0)
    ).fit(pairs)
    save_model(retriever, tmp_path / "m", force=False)
    again = load_model(tmp_path / "m")
    assert_allclose(again.encode_text(["a red car"]), retriever.encode_text(["a red car"]))
    assert_allclose(again.encode_image(pairs["image"][:3]), retriever.encode_image(pairs["image"][:3]))


@pytest.mark.filterwarnings("ignore:.*random")
def test_a_network_comes_back_as_it_went(tmp_path, pairs):
    network = make_pipeline(CNNFeatures("squeezenet1_1", weights=None), PowerNormalizer())
    retriever = Retriever(network, tfidf_lsa(10, min_df=1, random_state=0), make_fusion("cca", 0)).fit(pairs)
    save_model(retriever, tmp_path / "m", force=False)
    assert (tmp_path / "m").stat().st_size < 30e6
    assert_allclose(
        load_model(tmp_path / "m").encode_image(pairs["image"][:2]), retriever.encode_image(pairs["image"][:2])
    )


def leaf(path, content):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("mmfeat.json", json.dumps(content))


def test_a_file_of_a_newer_version_is_refused(tmp_path):
    leaf(tmp_path / "m", {"format": FORMAT + 1, "mmfeat": "9.0"})
    with pytest.raises(ModelFileError, match=r"written by mmfeat 9.0.*pip install --upgrade mmfeat"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("content", [b"", b"not a model", pickle.dumps({"a": 1})])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ModelFileError, match="not a model file of mmfeat"):
        load_model(tmp_path / "m")


def test_another_model_is_refused(tmp_path):
    skops.io.dump(LinearRegression().fit(np.eye(2), [1, 2]), tmp_path / "m")
    with pytest.raises(ModelFileError, match="not a model file of mmfeat"):
        load_model(tmp_path / "m")
    leaf(tmp_path / "m", {"format": FORMAT, "mmfeat": "0.1.0"})
    with pytest.raises(ModelFileError, match="holds a LinearRegression"):
        load_model(tmp_path / "m")


class Stranger:
    """A type of neither library."""


@pytest.mark.parametrize("smuggled", [Stranger(), pytest.main, save_model])
def test_strange_types_and_functions_are_not_built(tmp_path, smuggled):
    skops.io.dump({"payload": smuggled}, tmp_path / "m")
    leaf(tmp_path / "m", {"format": FORMAT, "mmfeat": "0.1.0"})
    with pytest.raises(ModelFileError, match="neither of mmfeat nor of scikit-learn"):
        load_model(tmp_path / "m")


def test_a_truncated_file_is_refused(tmp_path, pairs):
    retriever = Retriever(image_encoder(), tfidf_lsa(10, min_df=1, random_state=0), make_fusion("pls", 0)).fit(pairs)
    save_model(retriever, tmp_path / "m", force=False)
    content = (tmp_path / "m").read_bytes()
    (tmp_path / "m").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelFileError):
        load_model(tmp_path / "m")


@pytest.fixture(scope="module")
def saved(tmp_path_factory, pairs):
    retriever = Retriever(image_encoder(), tfidf_lsa(10, min_df=1, random_state=0), make_fusion("pls", 0)).fit(pairs)
    path = tmp_path_factory.mktemp("saved") / "m"
    save_model(retriever, path, force=False)
    return path


def loads_or_refuses(path):
    """Whether a file gives a retriever; any error but the one that names the file fails the test."""
    refusal = ""
    try:
        assert isinstance(load_model(path), Retriever)
    except ModelFileError as error:
        refusal = str(error)
    assert not refusal or str(path) in refusal
    return not refusal


def test_flipped_bytes_are_refused_or_harmless(tmp_path, saved):
    content = saved.read_bytes()
    rng = np.random.default_rng(0)
    # The directory at the end has few bytes, each of which means something.
    anywhere, directory = rng.integers(len(content), size=100), len(content) - 1 - rng.integers(1500, size=100)
    outcomes = []
    for place in (*anywhere, *directory):
        damaged = bytearray(content)
        damaged[place] ^= rng.integers(1, 256)
        (tmp_path / "m").write_bytes(damaged)
        outcomes.append(loads_or_refuses(tmp_path / "m"))
    assert outcomes.count(False) > 100


@pytest.mark.parametrize(
    ("offset", "value"), [(10, 99), (8, 1)], ids=["unknown compression", "encrypted"]
)  # of an entry of the central directory
def test_strange_archives_are_refused(tmp_path, saved, offset, value):
    content = bytearray(saved.read_bytes())
    entry = content.rindex(b"schema.json") - 46
    assert content[entry : entry + 4] == b"PK\x01\x02"
    content[entry + offset] = value
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"is damaged.*mmfeat fit"):
        load_model(tmp_path / "m")


def test_overwritten_bytes_are_refused(tmp_path, saved):
    content = bytearray(saved.read_bytes())
    start = content.index(b"schema.json") + 40
    content[start : start + 200] = bytes(200)
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ModelFileError, match="is damaged"):
        load_model(tmp_path / "m")


def with_schema(saved, path, change):
    """Copy a model file, its schema changed in place by a function."""
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "schema.json":
                schema = json.loads(data)
                change(schema)
                data = json.dumps(schema)
            target.writestr(name, data)


def test_a_foreign_protocol_is_refused_with_the_name_of_the_file(tmp_path, saved):
    with_schema(saved, tmp_path / "m", lambda schema: schema.update(protocol=999, __loader__="NewNode"))
    with pytest.raises(ModelFileError, match=r"m is damaged or was written by other versions.*mmfeat fit"):
        load_model(tmp_path / "m")


def dicts(node):
    """All dictionaries inside a schema."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from dicts(child)


def fitted_attributes(schema):
    return [(part, name) for part in dicts(schema) for name in part if name.endswith("_") and not name.endswith("__")]


def test_a_model_without_one_of_its_fitted_attributes_is_refused_or_does_without(tmp_path, saved):
    with zipfile.ZipFile(saved) as archive:
        attributes = fitted_attributes(json.loads(archive.read("schema.json")))
    assert len(attributes) > 10
    refused = set()
    for place, (_, name) in enumerate(attributes):

        def remove(schema, place=place):
            part, name = fitted_attributes(schema)[place]
            del part[name]

        path = tmp_path / f"{place}"
        with_schema(saved, path, remove)
        if loads_or_refuses(path):
            load_model(path).encode_text(["a red car"])
        else:
            refused.add(name)
    assert {"image_encoder_", "text_encoder_", "fusion_", "components_"} <= refused


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model file .*mmfeat fit"):
        load_model(tmp_path / "m")
    with pytest.raises(IsADirectoryError, match=r"is a folder. Name a model file"):
        load_model(tmp_path)
