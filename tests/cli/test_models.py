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


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "m")
