"""tfidf_lsa against formulas written out, and what it says to bad input."""

import itertools
from math import log

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer

from mmfeat.text import JiebaTokenizer, tfidf_lsa
from mmfeat.text._tfidf import _CheckedTfidf

ENGLISH = [
    "A red ball.",
    "a RED cube and a ball",
    "two cubes: I see x",
    "a ball, a ball, a cube",
    "red cubes",
    "I see a ball",
]
CHINESE = ["一个红色的球", "红色的方块和球", "两个方块", "我看见一个球", "穿T恤的男人看见方块"]


def tfidf_by_hand(documents, min_df=1, sublinear=True):
    """Rows of TF-IDF over sorted terms, with smooth IDF and unit length, from lists of terms."""
    frequency = {term: sum(term in document for document in documents) for term in itertools.chain(*documents)}
    terms = sorted(term for term, count in frequency.items() if count >= min_df)
    rows = []
    for document in documents:
        counts = [document.count(term) for term in terms]
        tf = [(1 + log(c) if c else 0) if sublinear else c for c in counts]
        row = np.array(
            [f * (log((1 + len(documents)) / (1 + frequency[t])) + 1) for f, t in zip(tf, terms, strict=True)]
        )
        rows.append(row / (np.linalg.norm(row) or 1))
    return terms, np.array(rows)


def with_bigrams(tokens):
    return tokens + [f"{first} {second}" for first, second in itertools.pairwise(tokens)]


@pytest.mark.parametrize("sublinear", [True, False])
@pytest.mark.parametrize("min_df", [1, 2])
def test_english_tfidf_is_the_formula_with_words_of_one_letter(min_df, sublinear):
    table = str.maketrans("", "", ".,:")
    documents = [with_bigrams(text.lower().translate(table).split()) for text in ENGLISH]
    terms, expected = tfidf_by_hand(documents, min_df, sublinear)
    pipeline = tfidf_lsa(None, min_df=min_df, sublinear_tf=sublinear)
    result = pipeline.fit_transform(ENGLISH)
    assert list(pipeline.get_feature_names_out()) == terms
    assert "i" in terms
    assert sparse.issparse(result)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.toarray(), expected, atol=1e-6)


def test_chinese_tfidf_is_the_formula_over_words():
    words = ["一个 红色 的 球", "红色 的 方块 和 球", "两个 方块", "我 看见 一个 球", "穿 t恤 的 男人 看见 方块"]
    terms, expected = tfidf_by_hand([line.split() for line in words])
    pipeline = tfidf_lsa(None, language="zh", ngram_range=(1, 1), min_df=1).fit(CHINESE)
    assert list(pipeline.get_feature_names_out()) == terms
    np.testing.assert_allclose(pipeline.transform(CHINESE).toarray(), expected, atol=1e-6)


@pytest.mark.parametrize(("language", "texts"), [("en", ENGLISH), ("zh", CHINESE)])
def test_lsa_is_the_singular_value_decomposition_with_rows_of_unit_length(language, texts):
    matrix = tfidf_lsa(None, language=language, min_df=1).fit_transform(texts).toarray().astype(float)
    left, values, _ = np.linalg.svd(matrix, full_matrices=False)
    expected = left[:, :3] * values[:3]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    result = tfidf_lsa(3, language=language, min_df=1, random_state=0).fit_transform(texts)
    assert result.dtype == np.float32
    # The signs of singular vectors are free; inner products of rows are not.
    np.testing.assert_allclose(result @ result.T, expected @ expected.T, atol=1e-4)


def test_fit_on_train_alone_gives_the_same_vectors_for_it_later():
    pipeline = tfidf_lsa(2, min_df=1, random_state=0)
    np.testing.assert_allclose(pipeline.fit_transform(ENGLISH), pipeline.transform(ENGLISH), atol=1e-6)


def test_unknown_words_and_empty_texts_are_rows_of_zeros():
    pipeline = tfidf_lsa(2, min_df=1, random_state=0).fit(ENGLISH)
    np.testing.assert_array_equal(pipeline.transform(["", "zebra"]), np.zeros((2, 2), np.float32))


def test_steps_and_their_settings_are_within_reach():
    pipeline = tfidf_lsa(3, language="zh", max_features=7)
    assert list(pipeline.named_steps) == ["tfidf", "svd", "normalizer"]
    assert list(tfidf_lsa(None).named_steps) == ["tfidf"]
    pipeline.set_params(svd__n_components=2, tfidf__tokenizer__stop_words=["的"], tfidf__min_df=1)
    assert clone(pipeline).fit_transform(CHINESE).shape == (5, 2)
    terms = pipeline.fit(CHINESE)[:1].get_feature_names_out()
    assert len(terms) == 7
    assert "的" not in terms


def test_seed_decides_the_randomised_decomposition():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice([f"w{n}" for n in range(400)], 12)) for _ in range(300)]
    first, same, other = (tfidf_lsa(5, random_state=seed).fit_transform(texts) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("n_components", [1, 2])
def test_data_frames_on_request(n_components):
    frame = tfidf_lsa(n_components, min_df=1).set_output(transform="pandas").fit_transform(ENGLISH)
    assert list(frame.columns) == [f"lsa{column}" for column in range(n_components)]


def test_too_many_components_are_refused_with_the_cure():
    with pytest.raises(
        ValueError, match=r"upper bound is 6 for 6 texts with 24 terms. Got 300 instead. Reduce `n_comp"
    ):
        tfidf_lsa(min_df=1).fit(ENGLISH)
    with pytest.raises(ValueError, match="lower `min_df`"):
        tfidf_lsa(6, min_df=2, ngram_range=(1, 1), max_features=4).fit(ENGLISH)


@pytest.mark.parametrize("method", ["fit", "fit_transform", "transform"])
@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a red ball", "sequence"),
        (None, "sequence"),
        (["a", None], "Text 1"),
        (["a", float("nan")], "Text 1"),
        ([], "at least one"),
    ],
)
def test_what_is_no_column_of_texts_is_refused(method, texts, message):
    pipeline = tfidf_lsa(2, min_df=1)
    if method == "transform":
        pipeline.fit(ENGLISH)
    with pytest.raises(ValueError, match=message):
        getattr(pipeline, method)(texts)


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_components": 0},
        {"language": "auto"},
        {"min_df": -1},
        {"max_features": 0},
        {"ngram_range": 2},
        {"sublinear_tf": "no"},
    ],
)
def test_bad_parameters_are_refused(parameters):
    with pytest.raises(ValueError, match=f"'{next(iter(parameters))}' parameter"):
        tfidf_lsa(**parameters)


def characters(text, least, most):
    """Runs of characters of a text in lower case."""
    text = text.lower()
    return [text[i : i + n] for n in range(least, most + 1) for i in range(len(text) - n + 1)]


def test_words_and_characters_stand_side_by_side():
    words = ["一个 红色 的 球", "红色 的 方块 和 球", "两个 方块", "我 看见 一个 球", "穿 t恤 的 男人 看见 方块"]
    _, of_words = tfidf_by_hand([line.split() for line in words])
    _, of_characters = tfidf_by_hand([characters(text, 1, 2) for text in CHINESE])
    pipeline = tfidf_lsa(None, language="zh", ngram_range=(1, 1), char_ngram_range=(1, 2), min_df=1)
    result = pipeline.fit_transform(CHINESE)
    assert sparse.issparse(result) and result.dtype == np.float32
    np.testing.assert_allclose(result.toarray(), np.hstack([of_words, of_characters]) / np.sqrt(2), atol=1e-6)
    names = pipeline.get_feature_names_out()
    assert len(names) == result.shape[1]
    assert {"word__t恤", "char__t恤"} <= set(names)
    dense = tfidf_lsa(3, language="zh", char_ngram_range=(1, 2), min_df=1, random_state=0).fit_transform(CHINESE)
    np.testing.assert_allclose(np.linalg.norm(dense, axis=1), 1, atol=1e-6)


def test_characters_alone_stay_within_english_words():
    padded = [" " + " ".join(text.lower().split()).replace(" ", "  ") + " " for text in ENGLISH]
    documents = [[run for run in characters(text, 3, 3) if "  " not in run] for text in padded]
    terms, expected = tfidf_by_hand(documents)
    pipeline = tfidf_lsa(None, ngram_range=None, char_ngram_range=(3, 3), min_df=1)
    np.testing.assert_allclose(pipeline.fit_transform(ENGLISH).toarray(), expected, atol=1e-6)
    assert list(pipeline.get_feature_names_out()) == terms


def test_both_parts_work_in_a_data_frame_a_copy_and_a_grid():
    pipeline = tfidf_lsa(2, char_ngram_range=(2, 3), min_df=1, random_state=0)
    frame = pipeline.set_output(transform="pandas").fit_transform(ENGLISH)
    assert list(frame.columns) == ["lsa0", "lsa1"]
    other = clone(pipeline).set_params(tfidf__char__ngram_range=(2, 2), tfidf__transformer_weights={"word": 2})
    assert not np.allclose(other.fit_transform(ENGLISH), frame)
    with pytest.raises(ValueError, match="both None"):
        tfidf_lsa(ngram_range=None)


def test_stop_words_and_tokenizers_of_the_users_choice():
    terms = tfidf_lsa(None, min_df=1, ngram_range=(1, 1), stop_words="en").fit(ENGLISH).get_feature_names_out()
    assert list(terms) == ["ball", "cube", "cubes", "red", "see", "two", "x"]
    terms = (
        tfidf_lsa(None, language="zh", min_df=1, ngram_range=(1, 1), stop_words="zh")
        .fit(CHINESE)
        .get_feature_names_out()
    )
    assert not {"的", "和", "我"} & set(terms) and {"红色", "球"} <= set(terms)
    terms = tfidf_lsa(None, min_df=1, ngram_range=(1, 1), tokenizer=str.split).fit(ENGLISH).get_feature_names_out()
    assert {"ball.", "cubes:"} <= set(terms)


def test_stop_words_beside_a_tokenizer_are_dropped_without_warnings(recwarn):
    texts = [*CHINESE, "THE 球 the T恤"]
    plain = tfidf_lsa(None, language="zh", min_df=1, stop_words="zh+en").fit(texts)
    tokenizer = JiebaTokenizer(stop_words=["球"])
    beside = tfidf_lsa(None, tokenizer=tokenizer, min_df=1, stop_words="zh+en").fit(texts)
    assert not recwarn.list
    assert tokenizer.stop_words == ["球"]
    single = {term for term in plain.get_feature_names_out() if " " not in term}
    assert "the" not in single and "的" not in single
    assert {term for term in beside.get_feature_names_out() if " " not in term} == single - {"球"}


@pytest.mark.parametrize("ngram_range", [(1, 1), (1, 2)])
@pytest.mark.parametrize("stop_words", [None, ["的"]])
def test_columns_cut_at_once_give_what_the_plain_vectorizer_gives(ngram_range, stop_words):
    tokenizer = JiebaTokenizer(lowercase=False)
    settings = {"token_pattern": None, "ngram_range": ngram_range, "stop_words": stop_words}
    plain, ours = (kind(tokenizer=tokenizer, **settings) for kind in (TfidfVectorizer, _CheckedTfidf))
    np.testing.assert_array_equal(ours.fit_transform(CHINESE).toarray(), plain.fit_transform(CHINESE).toarray())
    assert list(ours.get_feature_names_out()) == list(plain.get_feature_names_out())
    np.testing.assert_array_equal(
        ours.fit(CHINESE[:3]).transform(CHINESE[3:]).toarray(), plain.fit(CHINESE[:3]).transform(CHINESE[3:]).toarray()
    )
    analyze = ours.build_analyzer()
    assert analyze("穿T恤的人") == plain.build_analyzer()("穿T恤的人")


@pytest.mark.parametrize("n_components", [2, None])
@pytest.mark.parametrize(
    ("language", "texts", "message"),
    [
        ("en", ["", " \n", ""], "No term was found in 3 texts, 3 of them blank"),
        ("zh", ["。", "", "！"], "No term was found in 3 texts, 1 of them blank"),
        ("en", ["a", "b", "c"], "`min_df`=2 asks for: the most frequent, 'a', in 1. Lower"),
        ("zh", ["狗"], "of the 1 texts as `min_df`=2"),
    ],
)
def test_nothing_to_learn_is_told_with_its_cause(language, texts, message, n_components):
    with pytest.raises(ValueError, match=message):
        tfidf_lsa(n_components, language=language).fit(texts)


def test_other_errors_of_the_vectorizer_come_through():
    with pytest.raises(ValueError, match="max_df"):
        tfidf_lsa(None).set_params(tfidf__max_df=1).fit(ENGLISH)
