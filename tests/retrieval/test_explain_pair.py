"""Words of an explained pair, against a text side written out by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from mmfeat.datasets import make_scenes
from mmfeat.encoding import PowerNormalizer
from mmfeat.fusion import CCA, PLS, RidgeMapping
from mmfeat.image import ColorHistogram
from mmfeat.retrieval import Retriever, explain_pair
from mmfeat.text import tfidf_lsa


@pytest.fixture(scope="module")
def scenes():
    return make_scenes(130, image_size=32, random_state=0)


def fitted(scenes, text_encoder, fusion, image_encoder=None):
    return Retriever(image_encoder or ColorHistogram(), text_encoder, fusion).fit(scenes[:100])


def cosine_of(retriever, image, text):
    a, b = retriever.encode_image([image])[0], retriever.encode_text([text])[0]
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize("fusion", [CCA(8, reg=0.5), PLS(8)])
@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_words_are_those_of_the_chain_rule_by_hand(scenes, fusion, norm):
    encoder = tfidf_lsa(30, min_df=1, random_state=0).set_params(normalizer__norm=norm)
    retriever = fitted(scenes, encoder, fusion)
    image, text = scenes["image"].iloc[110], scenes["text"].iloc[111][0]
    explanation = explain_pair(retriever, image, text, top=None)
    tfidf, svd, _ = (step for _, step in retriever.text_encoder_.steps)
    terms = tfidf.transform([text]).toarray()[0].astype(np.float64)
    components = svd.components_.astype(np.float64)
    reduced = components @ terms
    y = reduced / np.linalg.norm(reduced, ord=1 if norm == "l1" else 2)
    z_x = retriever.fusion_.transform(retriever.image_encoder_.transform([image]).astype(np.float64))[0]
    z_y = retriever.fusion_.transform_y(y[None])[0]
    lengths = np.linalg.norm(z_x) * np.linalg.norm(z_y)
    # The derivative of the product of the embeddings by each column, by differences: the fusion is linear.
    origin = retriever.fusion_.transform_y(np.zeros((1, 30)))
    slope = (retriever.fusion_.transform_y(np.eye(30)) - origin) @ z_x / lengths
    average = np.linalg.lstsq(components, retriever.fusion_.y_mean_, rcond=None)[0]
    expected = (terms * (y @ reduced / (reduced @ reduced)) - average) * (components.T @ slope)
    assert_allclose(expected.sum(), z_x @ z_y / lengths, atol=1e-10)
    column = {name: number for number, name in enumerate(tfidf.get_feature_names_out())}
    found = explanation.y_features
    order = [column[name] for name in found.names]
    assert_allclose(found.contributions, expected[order], atol=1e-10)
    assert_allclose(found.values, terms[order], atol=1e-12)
    assert_allclose(found.contributions.sum(), explanation.cosine, atol=1e-10)
    assert_allclose(explanation.x_features.contributions.sum(), explanation.cosine, atol=1e-10)
    assert_allclose(explanation.components.sum(), explanation.cosine, atol=1e-10)
    assert_allclose(explanation.cosine, cosine_of(retriever, image, text), atol=1e-5)


def test_words_of_a_sparse_text_side(scenes):
    retriever = fitted(scenes, tfidf_lsa(None), CCA(8, reg=0.5))
    explanation = explain_pair(retriever, scenes["image"].iloc[110], scenes["text"].iloc[110][0], top=None)
    assert set(explanation.y_features.names) == set(retriever.text_encoder_.get_feature_names_out())
    assert_allclose(explanation.y_features.contributions.sum(), explanation.cosine, atol=1e-10)


def test_linear_steps_in_a_pipeline_of_pipelines_are_passed_and_others_stop(scenes):
    linear = make_pipeline(tfidf_lsa(20, random_state=0), "passthrough", Normalizer("max"))
    pair = scenes["image"].iloc[110], scenes["text"].iloc[110][0]
    words = explain_pair(fitted(scenes, linear, CCA(8)), *pair, top=None).y_features
    assert "red" in words.names
    curved = make_pipeline(tfidf_lsa(20, random_state=0), PowerNormalizer())
    explanation = explain_pair(fitted(scenes, curved, CCA(8)), *pair, top=None)
    assert sorted(explanation.y_features.names) == sorted(f"lsa{column}" for column in range(20))
    assert_allclose(explanation.y_features.contributions.sum(), explanation.cosine, atol=1e-10)


def test_a_word_that_names_the_colour_speaks_for_the_picture():
    """Plain pictures of two colours: the colour word carries the pair, and against the other colour its sign turns."""
    rng = np.random.default_rng(0)
    colours, fillers = {"red": (220, 30, 30), "blue": (30, 30, 220)}, ["ball", "cube", "tree", "house"]
    rows = []
    for _ in range(80):
        name = list(colours)[rng.integers(2)]
        picture = np.full((16, 16, 3), colours[name]) + rng.integers(-20, 20, (16, 16, 3))
        rows.append((np.clip(picture, 0, 255).astype(np.uint8), f"{name} {fillers[rng.integers(4)]}"))
    pairs = np.empty((80, 2), dtype=object)
    pairs[:] = rows
    encoder = tfidf_lsa(5, ngram_range=(1, 1), random_state=0)
    retriever = Retriever(ColorHistogram(), encoder, CCA(3, reg=0.5)).fit(pairs)
    red = next(row[0] for row in rows if row[1].startswith("red"))
    right, wrong = (explain_pair(retriever, red, f"{name} cube", top=None) for name in colours)
    shares = [dict(zip(e.y_features.names, e.y_features.contributions, strict=True)) for e in (right, wrong)]
    assert right.cosine > 0.5 and wrong.cosine < -0.5
    assert right.y_features.names[0] in colours and wrong.y_features.names[0] in colours
    assert shares[0]["red"] > 0 and shares[1]["blue"] < 0
    # The other colour speaks by its absence.
    assert shares[0]["blue"] > 0


def test_a_sentence_without_known_words_is_explained_by_what_is_absent(scenes):
    retriever = fitted(scenes, tfidf_lsa(20, random_state=0), CCA(8))
    explanation = explain_pair(retriever, scenes["image"].iloc[110], "zzz", top=None)
    assert (explanation.y_features.values == 0).all()
    assert_allclose(explanation.y_features.contributions.sum(), explanation.cosine, atol=1e-10)


def test_what_cannot_be_explained_is_refused(scenes):
    image, text = scenes["image"].iloc[110], scenes["text"].iloc[110][0]
    mapped = fitted(scenes, tfidf_lsa(20, random_state=0), RidgeMapping())
    with pytest.raises(ValueError, match="Got RidgeMapping, which has no"):
        explain_pair(mapped, image, text)
    retriever = fitted(scenes, tfidf_lsa(20, random_state=0), CCA(8))
    with pytest.raises(ValueError, match="Expected a str"):
        explain_pair(retriever, image, None)
