"""Texts without one known word: the zero vector from every text encoder, and one warning that names the rows."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.pipeline import make_pipeline

from mmfeat.caching import CachedTransformer
from mmfeat.encoding import VLAD, BagOfWords, FisherVector, PowerNormalizer
from mmfeat.text import PretrainedTextFeatures, TextNormalizer, UnknownTextWarning, WordVectors, tfidf_lsa

TEXTS = ["a red ball", "a red cube", "two cubes and a ball", "a ball", "two red balls", "the dog and the ball"] * 3
UNKNOWN = ["", " \t\n", "zzz qqq", "!?…", "😀🎈", "斑马"]
# Rows 1, 3, 4, 6, 7 and 9 of ten have no known word.
MIXED = ["a red ball", *UNKNOWN[:1], "ball", *UNKNOWN[1:3], "two", *UNKNOWN[3:5], "the dog", UNKNOWN[5]]
ROWS = (1, 3, 4, 6, 7, 9)
WORDS = {"train_params": {"vector_size": 5, "min_count": 1, "epochs": 1}}


def lsa(n_components=4, **settings):
    return tfidf_lsa(n_components, min_df=1, random_state=0, **settings)


ENCODERS = {
    "tfidf_lsa": lambda: lsa(),
    "tfidf_lsa without reduction": lambda: lsa(None),
    "tfidf_lsa of characters": lambda: lsa(ngram_range=None, char_ngram_range=(3, 5)),
    "tfidf_lsa of both": lambda: lsa(char_ngram_range=(3, 5)),
    "tfidf_lsa of both without reduction": lambda: lsa(None, char_ngram_range=(3, 5)),
    "tfidf_lsa in Chinese": lambda: lsa(language="zh"),
    "tfidf_lsa and power": lambda: make_pipeline(lsa(), PowerNormalizer()),
    "mean": lambda: WordVectors(**WORDS),
    "max": lambda: WordVectors(pooling="max", **WORDS),
    "idf": lambda: WordVectors(pooling="idf", **WORDS),
    "sif": lambda: WordVectors(pooling="sif", **WORDS),
    "bags": lambda: WordVectors(pooling=None, **WORDS),
    "bag of words": lambda: make_pipeline(WordVectors(pooling=None, **WORDS), BagOfWords(3, random_state=0)),
    "VLAD": lambda: make_pipeline(WordVectors(pooling=None, **WORDS), VLAD(2, n_pca=2, random_state=0)),
    "Fisher vector": lambda: make_pipeline(
        WordVectors(pooling=None, **WORDS), FisherVector(2, projection="whiten", random_state=0)
    ),
}


def told(function, *args):
    """What a call gives, and the warnings of unknown texts that it gave meanwhile."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function(*args)
    return result, [item for item in caught if item.category is UnknownTextWarning]


def are_zero(result):
    """For each row whether it is zeros, or a bag of nothing."""
    if isinstance(result, list):
        return [len(bag) == 0 for bag in result]
    return list(~(result.toarray() if sparse.issparse(result) else result).any(axis=1))


def check(result, caught):
    assert np.flatnonzero(are_zero(result)).tolist() == list(ROWS)
    assert len(caught) == 1
    assert caught[0].message.rows == ROWS
    assert str(caught[0].message).startswith("No known word in texts 1, 3, 4, 6, 7, ... (6 in all)")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.situation(
                f"texts without a known word (empty, blank, symbols, emoji, another language), {name}",
                "the zero vector, and one warning that names the rows",
            ),
        )
        for name in ENCODERS
    ],
)
def test_zero_vector_and_one_warning(name):
    encoder = ENCODERS[name]()
    assert told(encoder.fit, TEXTS)[1] == []
    check(*told(encoder.transform, MIXED))
    assert told(encoder.transform, TEXTS)[1] == []


@pytest.mark.situation("unknown texts among those that are fitted", "`fit` is silent, `fit_transform` names the rows")
@pytest.mark.parametrize("name", ["tfidf_lsa", "tfidf_lsa without reduction", "sif", "bags"])
def test_fit_transform_warns_and_fit_does_not(name):
    texts = [*TEXTS, "", "?!"]
    encoder = ENCODERS[name]()
    assert told(encoder.fit, texts)[1] == []
    result, caught = told(encoder.fit_transform, texts)
    assert np.flatnonzero(are_zero(result)).tolist() == [18, 19]
    assert [item.message.rows for item in caught] == [(18, 19)]


@pytest.mark.parametrize(
    "pooling",
    [
        pytest.param(
            pooling,
            marks=pytest.mark.situation(
                f"texts of which BERT knows no token, pooled by {pooling}", "the zero vector, and one warning"
            ),
        )
        for pooling in ("mean", "cls")
    ],
)
def test_a_language_model_does_not_answer_with_its_marks(tiny_bert, pooling):
    texts = ["a red ball", "", "ж", "😀", " \n", "ab 😀", "[SEP]", "\x00"]
    encoder = PretrainedTextFeatures(tiny_bert, pooling, device="cpu", batch_size=2)
    encoder.fit(texts)
    result, caught = told(encoder.transform, texts)
    assert np.flatnonzero(are_zero(result)).tolist() == [1, 2, 3, 4, 6, 7]
    assert [item.message.rows for item in caught] == [(1, 2, 3, 4, 6, 7)]


@pytest.mark.situation("texts that a normalizer empties, before an encoder", "the zero vector, and one warning")
def test_texts_of_which_nothing_is_left(tmp_path):
    encoder = make_pipeline(TextNormalizer(emoji="drop"), lsa()).fit(TEXTS)
    check(*told(encoder.transform, MIXED))


@pytest.mark.situation("unknown texts through a cache, computed or found", "one warning that names all rows")
def test_a_cache_tells_the_same(tmp_path):
    cached = CachedTransformer(lsa(), tmp_path).fit(TEXTS)
    cached.transform(MIXED[:5])
    check(*told(cached.transform, MIXED))
    check(*told(cached.transform, MIXED))


@pytest.mark.situation("known words that no component holds", "the zero vector, not rounding errors at length 1")
def test_rounding_does_not_become_a_direction():
    # Words of the second group never occur with those of the first, which take both components.
    texts = ["red ball", "red cube", "ball cube"] * 20 + ["x y"] * 2
    encoder = lsa(2, ngram_range=(1, 1)).fit(texts)
    result, caught = told(encoder.transform, ["red", "x y", "y"])
    assert are_zero(result) == [False, True, True]
    assert caught[0].message.rows == (1, 2)


@pytest.mark.situation("a text that SIF's common components hold entirely", "the zero vector, not rounding errors")
def test_sif_leaves_no_rounding():
    vectors = pytest.importorskip("gensim.models").KeyedVectors(3)
    vectors.add_vectors(["red", "ball"], np.float32([[0.1, 0.2, 0.7], [0.2, 0.4, 1.4]]))
    encoder = WordVectors(vectors, pooling="sif").fit(["red", "ball", "red ball"])
    result, caught = told(encoder.transform, ["red", "ball red"])
    assert are_zero(result) == [True, True]
    assert caught[0].message.rows == (0, 1)


@pytest.mark.situation("a word whose vector in the file is zeros", "the zero vector, and the warning")
def test_a_word_of_zeros_is_told():
    vectors = pytest.importorskip("gensim.models").KeyedVectors(2)
    vectors.add_vectors(["pad", "ball"], np.float32([[0, 0], [1, 2]]))
    encoder = WordVectors(vectors).fit(["pad ball"])
    assert told(encoder.transform, ["ball", "pad"])[1][0].message.rows == (1,)


def test_the_warning_points_to_the_line_of_the_user():
    encoder = lsa().fit(TEXTS)
    assert told(encoder.transform, [""])[1][0].filename == __file__
