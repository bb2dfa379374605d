"""PairFeatures: blocks of encoders fitted apart, side by side; several captions, weights, and what is missing."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import get_tags

from mmfeat.caching import CachedTransformer
from mmfeat.image import CNNFeatures, ColorHistogram, ColorMoments
from mmfeat.multimodal import LateFusionClassifier, PairFeatures
from mmfeat.text import tfidf_lsa


class Counting(TransformerMixin, BaseEstimator):
    """Mean colours, with a note in a file of each picture that was seen."""

    _cache_ignores = ("log",)

    def __init__(self, log):
        self.log = log

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        with Path(self.log).open("a") as file:
            file.write("x" * len(X))
        return np.array([np.asarray(image, float).mean(axis=(0, 1)) for image in X], dtype=np.float32)


def counting(log):
    return Counting(str(log))


class MeanColour(TransformerMixin, BaseEstimator):
    """Mean colours, NaN for what is no array, as an encoder with ``on_error="warn"``."""

    def __init__(self, on_error="warn"):
        self.on_error = on_error

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        gone = np.full(3, np.nan)
        return np.array([gone if isinstance(image, bytes) else image.mean(axis=(0, 1)) for image in X])


def as_array(pairs):
    array = np.empty((len(pairs), 2), dtype=object)
    array[:, 0], array[:, 1] = pairs["image"].to_list(), pairs["text"].to_list()
    return array


def documents(pairs):
    return ["\n".join(captions) for captions in pairs["text"]]


def unreadable(pairs, rows):
    """The same posts with pictures that cannot be decoded in some rows."""
    cells = np.empty(len(pairs), dtype=object)
    cells[:] = [b"no picture" if row in rows else image for row, image in enumerate(pairs["image"])]
    return pairs.assign(image=cells)


# What is joined


def test_the_same_as_two_encoders_fitted_apart(posts):
    train, test = posts[:80], posts[80:]
    features = PairFeatures(ColorMoments(), tfidf_lsa(6, random_state=0)).fit(train)
    images = ColorMoments().fit(train["image"]).transform(test["image"])
    texts = tfidf_lsa(6, random_state=0).fit(documents(train)).transform(documents(test))
    result = features.transform(test)
    assert result.dtype == np.float32
    assert_allclose(result, np.hstack([images, texts]), rtol=1e-4, atol=1e-5)
    assert_allclose(features.fit_transform(test), clone(features).fit(test).transform(test), rtol=1e-4, atol=1e-5)
    assert features.n_features_out_ == result.shape[1]


def test_a_sparse_side_makes_it_sparse(posts):
    features = PairFeatures(ColorMoments(), tfidf_lsa(None)).fit(posts)
    result = features.transform(posts)
    assert sparse.issparse(result) and result.format == "csr" and result.dtype == np.float32
    texts = tfidf_lsa(None).fit_transform(documents(posts))
    assert_allclose(result.toarray(), np.hstack([ColorMoments().fit_transform(posts["image"]), texts.toarray()]))
    counts = PairFeatures("drop", CountVectorizer()).fit_transform(posts)
    assert_array_equal(counts.toarray(), CountVectorizer().fit_transform(documents(posts)).toarray())
    assert counts.dtype.kind == "f"


def test_double_precision_is_kept(posts):
    result = PairFeatures(make_pipeline(ColorMoments(), StandardScaler()), tfidf_lsa(3)).fit_transform(posts)
    assert result.dtype == np.float32
    assert PairFeatures(ColorMoments(), make_pipeline(CountVectorizer(dtype=float))).fit_transform(posts).dtype == float


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("how", [None, "l2", "standard", "block"])
def test_normalisation_and_weights_are_those_written_out(posts, how, dense):
    train, test = posts[:80], posts[80:]
    encoder = tfidf_lsa(4, random_state=0) if dense else CountVectorizer(dtype=np.float32)
    features = PairFeatures(ColorMoments(), encoder, normalize=how, weights=(0.5, 3)).fit(train)
    blocks = []
    for one, column, factor in ((ColorMoments(), "image", 0.5), (encoder, "text", 3)):
        cells = [pairs[column] if column == "image" else documents(pairs) for pairs in (train, test)]
        fitted = clone(one).fit(cells[0])
        known, new = (fitted.transform(part) for part in cells)
        is_sparse = sparse.issparse(known)
        known, new = (np.asarray(part.todense() if is_sparse else part, dtype=float) for part in (known, new))
        if how == "l2":
            new = new / np.linalg.norm(new, axis=1, keepdims=True)
        if how == "standard":
            deviations = known.std(axis=0)
            new = (new - (0 if is_sparse else known.mean(axis=0))) / np.where(deviations > 1e-6, deviations, 1)
        if how == "block":
            new = new / np.sqrt(np.mean((known**2).sum(axis=1)))
        blocks.append(factor * new)
    result = features.transform(test)
    result = result.toarray() if sparse.issparse(result) else result
    assert result.dtype == np.float32
    assert_allclose(result, np.hstack(blocks), rtol=1e-3, atol=1e-4)


def test_captions_joined_or_averaged(posts):
    joined = PairFeatures("drop", CountVectorizer()).fit_transform(posts)
    mean = PairFeatures("drop", CountVectorizer(), captions="mean").fit_transform(posts)
    assert_allclose(mean.toarray() * 2, joined.toarray())
    uneven = posts.assign(text=[captions[: 1 + row % 2] for row, captions in enumerate(posts["text"])])
    encoder = tfidf_lsa(5, random_state=0)
    mean = PairFeatures("drop", encoder, captions="mean").fit_transform(uneven)
    everyone = [caption for captions in uneven["text"] for caption in captions]
    encoder.fit(everyone)
    expected = [encoder.transform(captions).mean(axis=0) for captions in uneven["text"]]
    assert_allclose(mean, expected, rtol=1e-4, atol=1e-5)


def test_names_and_data_frames(posts):
    features = PairFeatures(ColorMoments(), tfidf_lsa(3)).set_output(transform="pandas").fit(posts)
    names = [f"image__{name}" for name in ColorMoments().fit(posts["image"]).get_feature_names_out()]
    names += ["text__lsa0", "text__lsa1", "text__lsa2"]
    assert list(features.get_feature_names_out()) == names
    frame = features.transform(posts)
    assert list(frame.columns) == names
    assert frame.index.equals(posts.index)
    assert isinstance(features.set_output(transform="polars").transform(posts), pl.DataFrame)


def test_an_encoder_without_names_gets_numbers(posts, tmp_path):
    features = PairFeatures(counting(tmp_path / "log"), tfidf_lsa(2)).fit(posts)
    assert list(features.get_feature_names_out()) == ["image__0", "image__1", "image__2", "text__lsa0", "text__lsa1"]


def test_a_side_may_be_left_out(posts):
    alone = PairFeatures(ColorMoments(), "drop").fit(posts)
    assert_array_equal(alone.transform(posts), ColorMoments().fit_transform(posts["image"]))
    assert alone.text_encoder_ == "drop"
    without = posts.assign(text=None)
    assert alone.transform(without).shape == (120, 9)
    with pytest.raises(ValueError, match='both "drop"'):
        PairFeatures("drop", "drop").fit(posts)


def test_every_kind_of_table_and_one_picture_in_several_rows(posts):
    features = PairFeatures(ColorMoments(), tfidf_lsa(3, random_state=0))
    expected = features.fit_transform(posts)
    assert_array_equal(features.fit_transform(as_array(posts)), expected)
    table = pl.DataFrame({"i": pl.Series(posts["image"].to_list(), dtype=pl.Object), "t": posts["text"].to_list()})
    assert_array_equal(clone(features).set_params(image="i", text="t").fit_transform(table), expected)
    twice = pd.concat([posts, posts])
    assert features.fit_transform(twice).shape == (240, 12)


def test_encoders_learn_from_the_classes(posts):
    selected = make_pipeline(tfidf_lsa(None), SelectKBest(k=4))
    features = PairFeatures(ColorMoments(), selected).fit(posts, posts["label"])
    expected = clone(selected).fit(documents(posts), posts["label"]).get_feature_names_out()
    assert list(features.get_feature_names_out()[9:]) == [f"text__{name}" for name in expected]


# Under model selection


def models_and_grid(images):
    texts = tfidf_lsa(8, min_df=1, random_state=0)
    early = make_pipeline(PairFeatures(images, texts, normalize="standard"), PCA(3), SVC())
    late = LateFusionClassifier(make_pipeline(images, LogisticRegression()), make_pipeline(texts, LogisticRegression()))
    grid = [
        {"clf": [early], "clf__svc__C": [1, 10], "clf__pairfeatures__text_encoder": ["drop", texts]},
        {"clf": [early], "clf__pairfeatures__text_encoder__svd__n_components": [3]},
        {"clf": [late], "clf__combine": ["mean", "product"], "clf__cv": [2]},
    ]
    return Pipeline([("clf", early)]), grid


def test_early_and_late_fusion_encoders_and_classifiers_in_one_search(posts, tmp_path):
    posts = posts[:60]
    model, grid = models_and_grid(CachedTransformer(ColorMoments(), tmp_path))
    search = GridSearchCV(model, grid, cv=2, n_jobs=2, error_score="raise").fit(posts, posts["label"])
    assert len(search.cv_results_["params"]) == 7
    best = clone(model).set_params(**search.best_params_).fit(posts, posts["label"])
    assert_array_equal(best.predict(posts), search.predict(posts))


def test_a_search_computes_each_picture_once(posts, tmp_path):
    posts = posts[:60]
    images = CachedTransformer(counting(tmp_path / "log"), tmp_path / "cache")
    images.fit(posts["image"]).transform(posts["image"])
    assert len((tmp_path / "log").read_text()) == 60
    model, grid = models_and_grid(images)
    with parallel_config("threading"):  # the class of this file is unknown to other processes
        GridSearchCV(model, grid, cv=2, n_jobs=2, error_score="raise").fit(posts, posts["label"])
    assert len((tmp_path / "log").read_text()) == 60


def test_nested_cross_validation(posts):
    model = make_pipeline(PairFeatures(ColorMoments(), tfidf_lsa(8, random_state=0), normalize="block"), SVC(C=10))
    inner = GridSearchCV(model, {"pairfeatures__weights": [None, (1, 0.1)]}, cv=2)
    scores = cross_val_score(inner, posts, posts["label"], cv=2, error_score="raise")
    assert scores.shape == (2,)


def test_pickles_and_clones(posts):
    features = PairFeatures(ColorMoments(), tfidf_lsa(4, random_state=0), normalize="standard", missing="other").fit(
        posts
    )
    expected = features.transform(posts)
    assert_array_equal(pickle.loads(pickle.dumps(features)).transform(posts), expected)
    with pytest.raises(NotFittedError):
        clone(features).transform(posts)
    assert clone(features).get_params()["text_encoder__svd__n_components"] == 4
    tags = get_tags(features)
    assert tags.input_tags.string and tags.no_validation and not tags.target_tags.required


# What is missing


@pytest.mark.parametrize("cell", [None, np.nan, float("nan"), pd.NA, pd.NaT])
def test_what_is_missing_is_named(posts, cell):
    features = PairFeatures(ColorMoments(), tfidf_lsa(3))
    for column, row in ((0, 7), (1, 9)):
        array = as_array(posts)
        array[row, column] = cell
        with pytest.raises(ValueError, match=rf"Pair {row} has no {('image', 'text')[column]}.*missing=\"impute\""):
            features.fit(array)
    array[9, 1] = ["a dog", cell]
    with pytest.raises(ValueError, match="Pair 9 has no text"):
        clone(features).fit(posts).transform(array)


@pytest.mark.parametrize("cell", [3, {"a": 1}, [3], ["a", b"b"]])
@pytest.mark.parametrize("missing", ["error", "other"])
def test_what_is_no_text_or_picture_is_named(posts, cell, missing):
    features = PairFeatures(ColorMoments(), tfidf_lsa(3), missing=missing)
    array = as_array(posts)
    array[5, 1] = cell
    with pytest.raises(ValueError, match="The text of pair 5 is"):
        features.fit(array)
    array = as_array(posts)
    array[5, 0] = cell
    with pytest.raises(ValueError, match="Image 5 is"):
        features.fit(array)


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("share", [0, 0.1, 0.5])
def test_means_are_put_in(with_gaps, share, dense):
    pairs, gone = with_gaps(share)
    encoder = tfidf_lsa(4, random_state=0) if dense else CountVectorizer(dtype=np.float32)
    features = PairFeatures(ColorMoments(), encoder, missing="impute")
    result = features.fit_transform(pairs)
    result = result if dense else result.toarray()
    texts = clone(encoder).fit_transform(
        [text for text, no in zip(pairs["text"].map(joined), gone[1], strict=True) if not no]
    )
    texts = texts if dense else texts.toarray()
    images = ColorMoments().fit_transform([image for image, no in zip(pairs["image"], gone[0], strict=True) if not no])
    expected = np.empty((len(pairs), 9 + texts.shape[1]))
    for columns, block, no in ((slice(9), images, gone[0]), (slice(9, None), texts, gone[1])):
        expected[~no, columns], expected[no, columns] = block, block.mean(axis=0)
    assert_allclose(result, expected, rtol=1e-4, atol=1e-5)
    again = features.transform(pairs)
    assert_allclose(again if dense else again.toarray(), result, rtol=1e-4, atol=1e-5)


def joined(captions):
    return "\n".join(captions) if isinstance(captions, list) and None not in captions else ""


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("share", [0, 0.1, 0.5])
def test_or_zeros_and_a_column_that_tells(with_gaps, share, dense):
    pairs, gone = with_gaps(share)
    encoder = tfidf_lsa(4, random_state=0) if dense else CountVectorizer(dtype=np.float32)
    features = PairFeatures(ColorMoments(), encoder, missing="other", normalize="standard")
    result = features.fit_transform(pairs)
    result = result if dense else result.toarray()
    assert list(features.get_feature_names_out()[-2:]) == ["image__missing", "text__missing"]
    assert_array_equal(result[:, -2:], np.column_stack(gone))
    assert_array_equal(result[gone[0], :9], 0)
    assert_array_equal(result[gone[1], 9:-2], 0)
    assert np.abs(result[~gone[0], :9]).sum(axis=1).min() > 0
    assert_allclose(result[~gone[0], :9].mean(axis=0), 0, atol=1e-4)


@pytest.mark.parametrize("missing", ["impute", "other"])
def test_new_pairs_may_lack_a_side_altogether(posts, missing):
    features = PairFeatures(ColorMoments(), tfidf_lsa(4, random_state=0), missing=missing).fit(posts)
    complete = features.transform(posts)
    result = features.transform(posts.assign(text=None))
    assert_array_equal(result[:, :9], complete[:, :9])
    expected = complete[:, 9:13].mean(axis=0) if missing == "impute" else np.zeros(4)
    assert_allclose(result[:, 9:13], np.tile(expected, (120, 1)), atol=1e-5)
    with pytest.raises(ValueError, match=r'No row has a text.*text_encoder="drop"'):
        clone(features).fit(posts.assign(text=None))


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_pictures_that_cannot_be_read(posts, in_pipeline):
    encoder = make_pipeline(MeanColour(), StandardScaler(), PCA(2)) if in_pipeline else MeanColour()
    bad = unreadable(posts, (3, 17))
    good = np.delete(np.arange(120), [3, 17])
    with pytest.raises(ValueError, match="The image of pair 3 could not be read"):
        PairFeatures(encoder, tfidf_lsa(3)).fit(bad)
    features = PairFeatures(encoder, tfidf_lsa(3, random_state=0), missing="other").fit(bad)
    result = features.transform(bad)
    assert_array_equal(np.flatnonzero(result[:, -2]), [3, 17])
    expected = clone(encoder).fit(posts["image"].iloc[good]).transform(posts["image"].iloc[good])
    width = expected.shape[1]
    assert_array_equal(result[[3, 17], :width], 0)
    assert_allclose(result[good][:, :width], expected, rtol=1e-4, atol=1e-4)
    assert_allclose(clone(features).fit_transform(bad), result, rtol=1e-4, atol=1e-4)
    assert isinstance(features.image_encoder_, type(encoder))
    imputed = clone(features).set_params(missing="impute").fit(bad).transform(bad[3:4])
    assert_allclose(imputed[0, :width], expected.mean(axis=0), rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match=r"(No image could|None of 120 items could) be read"):
        clone(features).fit(unreadable(posts, range(120)))


@pytest.mark.filterwarnings("ignore:.*(random|could not be read):UserWarning")
def test_pictures_that_a_network_cannot_read(posts):
    posts = posts[:6]
    network = CNNFeatures("squeezenet1_1", weights=None, layer="features.3", on_error="warn", resize="squash")
    features = PairFeatures(network, "drop", missing="other").fit(unreadable(posts, [2]))
    result = features.transform(unreadable(posts, [2]))
    assert result[:, -1].tolist() == [0, 0, 1, 0, 0, 0]
    assert not result[2, :-1].any()
    assert_allclose(
        result[[0, 1, 3, 4, 5], :-1], features.image_encoder_.transform(posts["image"].drop("2")), rtol=1e-4
    )


def test_each_item_is_encoded_once_in_a_fit(posts, tmp_path):
    log = tmp_path / "log"
    features = PairFeatures(make_pipeline(counting(log), StandardScaler()), tfidf_lsa(2))
    features.fit_transform(posts)
    assert len(log.read_text()) == 120
    features.transform(posts)
    assert len(log.read_text()) == 240


@pytest.mark.parametrize("weights", [(1,), (1, -1), (1, np.inf), ("a", 1), (1, 2, 3), (np.nan, 1)])
def test_weights_that_are_none(posts, weights):
    with pytest.raises(ValueError, match="`weights` must be two numbers"):
        PairFeatures(ColorMoments(), tfidf_lsa(2), weights=weights).fit(posts)


def test_parameters_are_checked(posts):
    for change in ({"missing": "drop"}, {"normalize": "l1"}, {"captions": "first"}, {"image_encoder": None}):
        with pytest.raises(ValueError, match=f"'{next(iter(change))}' parameter of PairFeatures"):
            PairFeatures(**{"image_encoder": ColorHistogram(), "text_encoder": tfidf_lsa(2), **change}).fit(posts)
    with pytest.raises(ValueError, match="no column 'words'"):
        PairFeatures(ColorHistogram(), tfidf_lsa(2), text="words").fit(posts)
