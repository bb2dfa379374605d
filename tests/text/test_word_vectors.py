"""WordVectors against loops over the words written out, and what it does with words that have no vector."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from mmfeat.text import JiebaTokenizer, WordVectors, _pooling
from mmfeat.text._corpus import cut_texts

VOCABULARY = ["a", "red", "ball", "cube", "dog", "the", "狗", "黑", "草地"]
TEXTS = [
    "A red ball, and a red cube",
    "the dog",
    "",
    "nothing known here",
    "a dog; the DOG. a-dog",
    "naïve dog \u0000 ball",
    "cube",
]


@pytest.fixture
def table():
    return np.random.default_rng(0).standard_normal((len(VOCABULARY), 6)).astype(np.float32)


@pytest.fixture
def file(table, tmp_path):
    lines = [" ".join([word, *map(repr, row.tolist())]) for word, row in zip(VOCABULARY, table, strict=True)]
    (tmp_path / "vectors.txt").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "vectors.txt"


@pytest.fixture
def keyed(table):
    keyed = pytest.importorskip("gensim.models").KeyedVectors(6)
    keyed.add_vectors(VOCABULARY, table)
    return keyed


def cut(text):
    return re.findall(r"\b\w+\b", text.lower())


def known(text):
    return [word for word in cut(text) if word in VOCABULARY]


def loop(texts, table, pool):
    """One row a text, from the vectors of its known words and the words; zeros without any."""
    rows = []
    for text in texts:
        words = known(text)
        vectors = np.array([table[VOCABULARY.index(word)] for word in words], dtype=np.float64)
        rows.append(pool(vectors, words) if words else np.zeros(table.shape[1]))
    return np.array(rows)


def test_mean_and_max(file, table):
    for pooling, pool in (("mean", lambda v, words: v.mean(0)), ("max", lambda v, words: v.max(0))):
        features = WordVectors(file, pooling=pooling).fit_transform(TEXTS)
        assert features.dtype == np.float32
        np.testing.assert_allclose(features, loop(TEXTS, table, pool), atol=1e-6)
        assert not features[[2, 3]].any()


def test_idf_is_that_of_scikit_learn_learned_in_fit(file, table):
    train, new = TEXTS[:4], TEXTS[4:] + ["red 狗 red"]
    vectorizer = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b").fit(train)
    idf = dict(zip(vectorizer.get_feature_names_out(), vectorizer.idf_, strict=True))
    unseen = np.log(1 + len(train)) + 1

    def pool(vectors, words):
        weights = np.array([idf.get(word, unseen) for word in words])
        return weights @ vectors / weights.sum()

    encoder = WordVectors(file, pooling="idf").fit(train)
    assert encoder.word_weights_ == pytest.approx(idf)
    for texts in (train, new):
        np.testing.assert_allclose(encoder.transform(texts), loop(texts, table, pool), atol=1e-6)


@pytest.mark.parametrize("n_common", [0, 1, 2])
def test_sif_is_algorithm_1_of_the_paper_with_what_fit_has_seen(n_common, file, table):
    train, new = TEXTS, ["a red dog", "狗 ball", "cube zzz", ""]
    a = 1e-3
    words = [word for text in train for word in cut(text)]

    def weighted(vectors, words_of_text):
        share = np.array([words.count(word) / len(words) for word in words_of_text])
        return (a / (a + share)) @ vectors / len(words_of_text)

    sums = loop(train, table, weighted)
    _, _, right = np.linalg.svd(sums, full_matrices=False)
    u = right[:n_common].T

    encoder = WordVectors(file, pooling="sif", n_common=n_common).fit(train)
    for texts in (train, new):
        v = loop(texts, table, weighted)
        np.testing.assert_allclose(encoder.transform(texts), v - v @ u @ u.T, atol=1e-6)
    assert encoder.common_components_.shape == (n_common, 6)
    np.testing.assert_allclose(np.abs(encoder.common_components_ @ u), np.eye(n_common), atol=1e-5)


def test_what_is_transformed_changes_nothing_that_was_learned(file):
    encoder = WordVectors(file, pooling="sif").fit(TEXTS)
    before = encoder.transform(TEXTS)
    encoder.transform(["a a a a a", "狗"])
    np.testing.assert_array_equal(encoder.transform(TEXTS), before)


def test_sif_alpha_counts(file, table):
    everything = WordVectors(file, pooling="sif", sif_alpha=1e9, n_common=0).fit_transform(TEXTS)
    np.testing.assert_allclose(everything, WordVectors(file).fit_transform(TEXTS), atol=1e-6)


def test_bags_hold_the_known_words_in_order_with_repeats(file, table):
    bags = WordVectors(file, pooling=None).fit_transform(TEXTS)
    assert isinstance(bags, list)
    for bag, text in zip(bags, TEXTS, strict=True):
        expected = table[[VOCABULARY.index(word) for word in known(text)]]
        assert bag.dtype == np.float32
        np.testing.assert_array_equal(bag, expected.reshape(-1, 6))


@pytest.mark.filterwarnings("ignore:.*converge")
def test_bags_go_into_a_fisher_vector(file):
    from mmfeat.encoding import FisherVector

    texts = TEXTS * 5
    pipeline = make_pipeline(WordVectors(file, pooling=None), FisherVector(2, random_state=0))
    vectors = pipeline.fit_transform(texts)
    assert vectors.shape[0] == len(texts)
    assert np.isfinite(vectors).all() and not vectors[2].any()
    np.testing.assert_allclose(pipeline.transform(texts[:1])[0], vectors[0], atol=1e-5)
    frame = pipeline.set_output(transform="pandas").transform(texts)
    np.testing.assert_allclose(frame.to_numpy(), vectors, atol=1e-5)


def test_bags_stay_lists_where_matrices_become_data_frames(file):
    encoder = WordVectors(file, pooling=None).set_output(transform="pandas").fit(TEXTS)
    assert isinstance(encoder.transform(TEXTS), list)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(WordVectors(file, pooling=None).fit(TEXTS).transform(TEXTS), list)
        assert isinstance(WordVectors(file, pooling=None).fit_transform(TEXTS), list)
        assert isinstance(WordVectors(file).fit_transform(TEXTS), pd.DataFrame)


def test_large_columns_are_worked_through_in_blocks(file, table, monkeypatch):
    texts = TEXTS * 400
    expected = WordVectors(file, pooling="max").fit_transform(texts)
    monkeypatch.setattr(_pooling, "_CACHED_FLOATS", 20)
    np.testing.assert_array_equal(WordVectors(file, pooling="max").fit_transform(texts), expected)
    np.testing.assert_allclose(expected[: len(TEXTS)], loop(TEXTS, table, lambda v, w: v.max(0)), atol=1e-6)


# Where the words come from


@settings(deadline=None, max_examples=300)
@given(st.lists(st.text() | st.text("aZ_9 -'\n\t\0é", max_size=12), min_size=1, max_size=6))
def test_english_is_cut_as_by_tfidf_lsa(texts):
    corpus = cut_texts(texts, "en")
    build = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b").build_analyzer()
    assert list(corpus) == [build(text) for text in texts]


def test_chinese_is_cut_by_jieba(file, table):
    texts = ["一只黑狗在草地上跑。", "狗"]
    (grass, dog) = table[[VOCABULARY.index("草地"), VOCABULARY.index("狗")]]
    for tokenizer in ("zh", JiebaTokenizer()):
        features = WordVectors(file, tokenizer=tokenizer).fit_transform(texts)
        np.testing.assert_allclose(features, [grass, dog], atol=1e-6)
    tokenizer = JiebaTokenizer(stop_words=["草地"])
    encoder = WordVectors(file, tokenizer=tokenizer, pooling="max").fit(texts)
    assert not encoder.transform(texts[:1]).any()
    encoder.set_params(tokenizer__stop_words=None).fit(texts)
    assert encoder.transform(texts[:1]).any()


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (lambda text: text, r"`tokenizer` gave 'a ball' \(str\) for text 1"),
        (lambda text: None, r"`tokenizer` gave None \(NoneType\) for text 0"),
        (lambda text: [3], r"`tokenizer` gave the word 3 \(int\)"),
        (lambda text: ["a", ["dog"]], r"`tokenizer` gave the word \['dog'\] \(list\)"),
        ("de", "'tokenizer' parameter"),
    ],
)
def test_a_tokenizer_that_gives_no_words_is_refused(tokenizer, message, file):
    def listed_first(text):
        return text.split() if text == "dog" and message.find("text 1") > 0 else tokenizer(text)

    with pytest.raises(ValueError, match=message):
        WordVectors(file, tokenizer=tokenizer if isinstance(tokenizer, str) else listed_first).fit(["dog", "a ball"])


def test_a_tokenizer_may_give_any_iterable(file):
    one = WordVectors(file, tokenizer=lambda text: (word for word in text.split())).fit_transform(["red ball", ""])
    np.testing.assert_array_equal(one, WordVectors(file).fit_transform(["red ball", ""]))


def test_numbers_and_bytes_are_refused_with_the_row(file):
    for value in (3, 2.5, b"dog", ["dog"]):
        with pytest.raises(ValueError, match=r"Text 1 is"):
            WordVectors(file).fit(["dog", value])


def test_a_column_without_words_is_refused(file):
    with pytest.raises(ValueError, match=r"None of the 3 texts has a word"):
        WordVectors(file).fit(["", " ", "?!"])


def test_a_column_in_another_language_is_refused(file):
    with pytest.raises(ValueError, match=r"No word of the 2 texts has a vector; .* 'ein', 'mann'"):
        WordVectors(file).fit(["Ein Mann", "ein Haus"])


def test_a_fit_that_failed_leaves_nothing_that_looks_fitted(file):
    encoder = WordVectors(file)
    with pytest.raises(ValueError, match="has a vector"):
        encoder.fit(["Ein Mann"])
    with pytest.raises(NotFittedError):
        encoder.transform(TEXTS)


# Words without a vector


def test_misses_are_counted(file):
    encoder = WordVectors(file).fit(TEXTS)
    words = [word for text in TEXTS for word in cut(text)]
    missing = [word for word in words if word not in VOCABULARY]
    assert encoder.oov_rate_ == pytest.approx(len(missing) / len(words))
    assert dict(encoder.oov_words_) == {word: missing.count(word) for word in missing}
    assert encoder.count_oov(["x dog x y", "y x", ""]) == (5 / 6, [("x", 3), ("y", 2)])
    assert encoder.count_oov([""]) == (0, [])


def test_characters_stand_for_a_chinese_word(file, table):
    encoder = WordVectors(file, tokenizer="zh", oov="characters", pooling=None).fit(["黑狗", "黑狗和猫"])
    rows = table[[VOCABULARY.index("黑"), VOCABULARY.index("狗")]]
    bags = encoder.transform(["黑狗", "猫"])
    np.testing.assert_allclose(bags[0], rows.mean(0, keepdims=True), atol=1e-6)
    assert bags[1].shape == (0, 6)
    assert encoder.oov_words_[0] == ("黑狗", 2)


def test_letters_do_not_stand_for_a_word(tmp_path):
    (tmp_path / "vectors.txt").write_text("z 1 0\ne 0 1\n恤 1 1\n", encoding="utf-8")
    encoder = WordVectors(tmp_path / "vectors.txt", tokenizer=str.split, oov="characters").fit(["z"])
    np.testing.assert_allclose(encoder.transform(["zee", "z恤", "z"]), [[0, 0], [1, 1], [1, 0]])


def test_a_filled_in_word_has_the_weight_of_the_word(file, table):
    train = ["黑狗 黑狗", "狗", "草地", "草地"]
    encoder = WordVectors(file, tokenizer=str.split, oov="characters", pooling="sif", n_common=0).fit(train)
    filled = table[[VOCABULARY.index("黑"), VOCABULARY.index("狗")]].mean(0)
    np.testing.assert_allclose(encoder.transform(["黑狗"])[0], 1e-3 / (1e-3 + 2 / 5) * filled, atol=1e-6)


def test_subwords_need_their_vectors(file):
    with pytest.raises(ValueError, match=r"oov='subwords' needs.*fasttext"):
        WordVectors(file, oov="subwords").fit(TEXTS)


# Vectors given, and their life


def test_keyed_vectors_and_their_file_are_one(file, keyed):
    expected = WordVectors(file, pooling="sif").fit_transform(TEXTS)
    encoder = WordVectors(keyed, pooling="sif")
    np.testing.assert_array_equal(encoder.fit_transform(TEXTS), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).transform(TEXTS), expected)
    np.testing.assert_array_equal(clone(encoder).fit_transform(TEXTS), expected)


def test_keyed_vectors_that_are_not_finite_are_refused(keyed):
    keyed.vectors[4, 2] = np.nan
    with pytest.raises(ValueError, match=r"The vector of 'dog' .* not finite"):
        WordVectors(keyed).fit(TEXTS)


def test_a_path_is_pickled_and_not_the_vectors(file):
    encoder = WordVectors(file, pooling="sif").fit(TEXTS)
    expected = encoder.transform(TEXTS)
    assert "_opened" not in encoder.__getstate__()
    copy = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(copy.transform(TEXTS), expected)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"is no file"):
        pickle.loads(pickle.dumps(encoder)).transform(TEXTS)


def test_other_vectors_than_those_of_fit_are_refused(file, keyed):
    encoder = WordVectors(file).fit(TEXTS)
    file.write_text(
        file.read_text("utf-8").replace("dog 1", "dog 2").replace("dog -1", "dog -2") + " \n", encoding="utf-8"
    )
    with pytest.raises(ValueError, match=r"vectors.txt.* are not those of fit \(SHA-256"):
        encoder.transform(TEXTS)
    encoder.fit(TEXTS).transform(TEXTS)
    for other in (None, keyed):
        with pytest.raises(ValueError, match=r"are not those of fit"):
            clone(encoder).fit(TEXTS).set_params(vectors=other).transform(TEXTS)


def test_pooling_that_was_not_learned_is_refused(file):
    encoder = WordVectors(file, pooling="sif").fit(TEXTS)
    np.testing.assert_array_equal(
        encoder.set_params(pooling="mean").transform(TEXTS), WordVectors(file).fit_transform(TEXTS)
    )
    with pytest.raises(ValueError, match=r"pooling='idf' has weights to learn.*Fit again"):
        encoder.set_params(pooling="idf").transform(TEXTS)
    assert not hasattr(encoder.fit(TEXTS), "common_components_")


def test_a_wrong_file_is_told_at_fit(file):
    file.write_text("a 1 2\nb 1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"Line 2 of .*vectors.txt"):
        WordVectors(file).fit(TEXTS)


@pytest.mark.parametrize(
    "bad", [{"pooling": "sum"}, {"vectors": 3}, {"oov": None}, {"sif_alpha": 0}, {"encoding": None}]
)
def test_bad_parameters_are_refused(bad, file):
    with pytest.raises(ValueError, match=f"'{next(iter(bad))}' parameter"):
        WordVectors(**{"vectors": file, **bad}).fit(TEXTS)


def test_vectors_put_in_place_of_others_are_seen(file, keyed, table):
    """Also where Python gives a new object the address of an old one."""
    encoder = WordVectors(keyed).fit(TEXTS)
    models = pytest.importorskip("gensim.models")
    for scale in (2, 3, 4):
        other = models.KeyedVectors(6)
        other.add_vectors(VOCABULARY, scale * table)
        features = encoder.set_params(vectors=other).fit_transform(TEXTS)
        np.testing.assert_allclose(features, scale * WordVectors(file).fit_transform(TEXTS), atol=1e-5)
        del other


def test_oov_set_after_fit_counts_at_once(file):
    encoder = WordVectors(file, tokenizer=str.split).fit(["狗 黑狗"])
    assert not encoder.transform(["黑狗"]).any()
    assert encoder.set_params(oov="characters").transform(["黑狗"]).any()
    with pytest.raises(ValueError, match=r"oov='subwords' needs"):
        encoder.set_params(oov="subwords").transform(["黑狗"])


def test_a_relative_path_is_that_of_the_folder_one_is_in(file, table, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    encoder = WordVectors(file.name).fit(TEXTS)
    expected = encoder.transform(TEXTS)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path / "below")
    np.testing.assert_array_equal(encoder.transform(TEXTS), expected)  # the same content elsewhere is the same
