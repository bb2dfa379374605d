"""The Retriever under scikit-learn's model selection, over every kind of pairs table."""

import pickle

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline, make_union

from mmfeat.datasets import make_scenes
from mmfeat.encoding import PowerNormalizer
from mmfeat.fusion import CCA, PLS, LearnedProjection
from mmfeat.image import ColorHistogram, HOGFeatures
from mmfeat.metrics import make_retrieval_scorer, recall_at_k, retrieval_scorer
from mmfeat.retrieval import Retriever
from mmfeat.text import tfidf_lsa


@pytest.fixture(scope="module")
def pairs():
    return make_scenes(90, image_size=48, captions_per_image=3, random_state=0)


@pytest.fixture
def retriever():
    hog = HOGFeatures(size=(48, 48), pixels_per_cell=(12, 12), cells_per_block=(1, 1), channel_axis=-1)
    images = make_union(make_pipeline(ColorHistogram(grid=2), PowerNormalizer()), hog)
    return Retriever(images, tfidf_lsa(20, random_state=0), CCA(10, reg=0.3))


def as_array(pairs):
    array = np.empty((len(pairs), 2), dtype=object)
    array[:, 0], array[:, 1] = pairs["image"].to_list(), pairs["text"].to_list()
    return array


def as_polars(pairs):
    return pl.DataFrame(
        {"image": pl.Series(pairs["image"].to_list(), dtype=pl.Object), "text": pairs["text"].to_list()}
    )


def test_score_is_the_mean_of_the_recalls_of_the_full_score_matrix(pairs, retriever):
    train, test = pairs[:60], pairs[60:]
    retriever.fit(train)
    images, texts = retriever.encode_image(test["image"]), retriever.encode_text(test["text"].explode())
    assert images.shape == (30, 10) and texts.shape == (90, 10)
    images, texts = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (images, texts))
    owner = np.repeat(np.arange(30), 3)
    recalls = [recall_at_k(texts @ images.T, k=k, positions=owner) for k in (1, 5, 10)]
    recalls += [
        recall_at_k(images @ texts.T, k=k, query_labels=np.arange(30), gallery_labels=owner) for k in (1, 5, 10)
    ]
    assert retriever.score(test) == pytest.approx(np.mean(recalls))
    # Far above chance, which is (1 + 5 + 10) / 30 / 3 for a sentence and about as much for a picture.
    assert retriever.score(test) > 0.3


def test_pandas_polars_and_arrays_score_alike_in_cross_validation(pairs, retriever):
    expected = cross_val_score(retriever, pairs, cv=3)
    assert np.isfinite(expected).all()
    for table in (as_polars(pairs), as_array(pairs)):
        assert_allclose(cross_val_score(retriever, table, cv=3), expected)


def test_a_grid_reaches_every_step_over_two_processes(pairs, retriever):
    grid = {
        "fusion__reg": [0.1, 1.0],
        "image_encoder__hogfeatures__orientations": [4, 9],
        "text_encoder__svd__n_components": [12, 20],
    }
    search = GridSearchCV(retriever, grid, cv=KFold(2), n_jobs=2, scoring=make_retrieval_scorer("recall", 10, "t2i"))
    search.fit(pairs[:60])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert retrieval_scorer(search, pairs[60:]) == retrieval_scorer(search.best_estimator_, pairs[60:])


def test_whole_fusions_are_a_grid_and_searches_nest(pairs, retriever):
    grid = {"fusion": [CCA(5), PLS(5), LearnedProjection(5, max_epochs=1, random_state=0)]}
    search = GridSearchCV(retriever, grid, cv=2, error_score="raise")
    scores = cross_validate(search, pairs, cv=2, scoring=retrieval_scorer, error_score="raise")
    assert scores["test_i2t_recall_at_10"].shape == (2,)
    assert scores["test_mean_recall"].min() > 0.1


def test_folds_see_only_their_own_rows(pairs, retriever):
    # A test fold's captions must not reach the vocabulary or the means: the same fold scores the same without the rest.
    folds = list(KFold(3).split(pairs))
    train, test = folds[0]
    alone = clone(retriever).fit(pairs.iloc[train]).score(pairs.iloc[test])
    assert cross_val_score(retriever, pairs, cv=[folds[0]])[0] == pytest.approx(alone)


class Recorder(BaseEstimator):
    """A fusion that keeps what it was handed."""

    def fit(self, X, y, groups=None, labels=None):
        self.handed_ = {"X": X, "y": y, "groups": groups, "labels": labels}
        return self

    def transform(self, X):
        return X

    def transform_y(self, y):
        return y


@pytest.mark.parametrize("kind", ["classes", "tags", "indicators", "sparse"])
def test_labels_of_any_kind_follow_the_captions(pairs, retriever, kind):
    classes = np.arange(90) % 4
    indicators = np.eye(4)[classes]
    labels = {
        "classes": classes,
        "tags": [["red"] * (1 + number) for number in classes],
        "indicators": indicators,
        "sparse": sparse.csr_array(indicators),
    }[kind]
    # A fusion that names labels and does not look at them takes them all.
    plain = retriever.set_params(fusion=CCA(4)).fit(pairs, labels)
    assert plain.encode_text(["red"]).shape == (1, 4)
    handed = retriever.set_params(fusion=Recorder()).fit(pairs, labels).fusion_.handed_["labels"]
    if kind == "tags":
        assert [len(tags) for tags in handed] == np.repeat(1 + classes, 3).tolist()
    else:
        assert handed.shape[0] == 270
    with pytest.raises(ValueError, match=r"one row an image\. Got 2 rows for 90"):
        retriever.fit(pairs, labels[:2])


def test_each_caption_is_a_row_and_groups_and_labels_follow(pairs, retriever):
    labels = np.arange(90) % 4
    handed = retriever.set_params(fusion=Recorder()).fit(pairs, labels).fusion_.handed_
    assert handed["groups"].tolist() == np.repeat(np.arange(90), 3).tolist()
    assert handed["labels"].tolist() == np.repeat(labels, 3).tolist()
    assert handed["X"].shape[0] == handed["y"].shape[0] == 270
    assert_allclose(handed["X"][3], handed["X"][5])
    with pytest.raises(ValueError, match="Got 3 rows for 90 images"):
        retriever.fit(pairs, [1, 2, 3])


def test_passthrough_compares_the_encoders_themselves(pairs):
    class Same(BaseEstimator):
        def fit(self, X, y=None):
            self.fitted_ = True
            return self

        def transform(self, X):
            return np.array([[1.0, len(x)] for x in X])

    retriever = Retriever(Same(), Same(), "passthrough").fit(pairs)
    assert retriever.encode_text(["abc"]).tolist() == [[1, 3]]


def test_columns_may_have_other_names(pairs, retriever):
    renamed = pairs.rename(columns={"image": "photo", "text": "title"})
    retriever.set_params(image="photo", text="title").fit(renamed[:60])
    assert 0 < retriever.score(renamed[60:]) <= 1


def test_clone_pickle_and_refit_change_nothing(pairs, retriever):
    parameters = {name: repr(value) for name, value in retriever.get_params().items()}
    retriever.fit(pairs)
    assert {name: repr(value) for name, value in retriever.get_params().items()} == parameters
    again = pickle.loads(pickle.dumps(retriever))
    assert_allclose(again.encode_text(["a red car"]), retriever.encode_text(["a red car"]))
    assert_allclose(clone(retriever).fit(pairs).encode_text(["a car"]), retriever.encode_text(["a car"]), atol=1e-6)
    assert not hasattr(retriever.fusion, "x_rotations_")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_encoder": "hog"}, "image_encoder"),
        ({"fusion": "cca"}, "fusion"),
        ({"image": 3}, "image"),
    ],
)
def test_bad_parts_are_refused(pairs, retriever, change, message):
    with pytest.raises(ValueError, match=message):
        retriever.set_params(**change).fit(pairs)


def test_two_views_in_a_list_are_refused(pairs, retriever):
    with pytest.raises(ValueError, match="put them side by side"):
        retriever.fit([pairs["image"], pairs["text"]])


def test_unfitted_and_too_few(pairs, retriever):
    with pytest.raises(NotFittedError):
        retriever.encode_text(["a"])
    with pytest.raises(ValueError, match=r"at least 10 images\. Got 9"):
        retriever.fit(pairs).score(pairs[:9])
    with pytest.raises(ValueError, match="Wrap a single text in a list"):
        retriever.encode_text("a")
