"""SemanticMatching against classifiers of scikit-learn fitted by hand."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import FunctionTransformer

from mmfeat.fusion import CCA, SemanticMatching
from mmfeat.metrics import match_groups as match_labels
from mmfeat.metrics import mean_average_precision, rank_embeddings
from mmfeat.retrieval import Retriever

NAMES = np.array(["war", "art", "sport"])


def make_views(n=150, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, n)
    centres_x, centres_y = np.random.default_rng(9).normal(size=(3, 6)), np.random.default_rng(10).normal(size=(3, 5))
    return centres_x[codes] + rng.normal(size=(n, 6)), centres_y[codes] + rng.normal(size=(n, 5)), NAMES[codes]


def cosines(images, texts):
    lengths = np.linalg.norm(images, axis=1)[:, None] * np.linalg.norm(texts, axis=1)
    return images @ texts.T / lengths


def test_cosine_is_the_sum_of_products_of_probabilities():
    X, Y, labels = make_views()
    new_x, new_y, new_labels = make_views(seed=1)
    matching = SemanticMatching(GaussianNB(), LogisticRegression()).fit(X, Y, labels=labels)
    P = GaussianNB().fit(X, labels).predict_proba(new_x)
    Q = LogisticRegression().fit(Y, labels).predict_proba(new_y)
    images, texts = matching.transform(new_x), matching.transform_y(new_y)
    assert_allclose(cosines(images, texts), P @ Q.T, atol=1e-12)
    assert_allclose(images[:, :3], P)
    assert_array_equal(matching.classes_, ["art", "sport", "war"])
    relevance = match_labels(new_labels, new_labels)
    ours = mean_average_precision(rank_embeddings(images, texts, relevance=relevance))
    assert_allclose(ours, mean_average_precision(P @ Q.T, relevance=relevance), atol=1e-3)


def test_a_projection_goes_before_both_classifiers():
    X, Y, labels = make_views()
    projection = CCA(3, reg=0.3, power=0)
    matching = SemanticMatching(GaussianNB(), GaussianNB(), projection=projection).fit(X, Y, labels=labels)
    cca = clone(projection).fit(X, Y)
    P = GaussianNB().fit(cca.transform(X), labels).predict_proba(cca.transform(X))
    Q = GaussianNB().fit(cca.transform_y(Y), labels).predict_proba(cca.transform_y(Y))
    assert_allclose(cosines(matching.transform(X), matching.transform_y(Y)), P @ Q.T, atol=1e-10)
    assert not hasattr(projection, "x_rotations_")


@pytest.mark.parametrize("as_sparse", [False, True])
def test_tags_are_one_classifier_each(as_sparse):
    X, Y, labels = make_views()
    tags = np.column_stack([labels == "war", labels != "art", X[:, 0] > 0, X[:, 1] > 0]).astype(int)
    matching = SemanticMatching(GaussianNB(), GaussianNB())
    matching.fit(X, Y, labels=sparse.csr_array(tags) if as_sparse else tags)
    P, Q = (
        np.column_stack([GaussianNB().fit(view, tag).predict_proba(view)[:, 1] for tag in tags.T]) for view in (X, Y)
    )
    assert_allclose(cosines(matching.transform(X), matching.transform_y(Y)), P @ Q.T / 4, atol=1e-12)


def test_the_default_classifiers_tell_the_classes_apart_also_where_views_are_sparse():
    X, Y, labels = make_views()
    new_x, new_y, new_labels = make_views(seed=1)
    relevance = match_labels(new_labels, new_labels)
    for make in (np.asarray, sparse.csr_array):
        matching = SemanticMatching().fit(make(X), make(Y), labels=labels)
        images, texts = matching.transform(make(new_x)), matching.transform_y(make(new_y))
        assert mean_average_precision(rank_embeddings(images, texts, relevance=relevance)) > 0.7


def test_retriever_hands_its_y_on_as_labels():
    X, Y, labels = make_views()
    # Stand-ins for encoders: they look up the rows that the images and texts name.
    rows = [str(row) for row in range(len(X))]
    pairs = pd.DataFrame({"image": rows, "text": [[f"{row} a", f"{row} b"] for row in rows]})
    encoders = [
        FunctionTransformer(lambda items, view=view: view[[int(item.split()[0]) for item in items]]) for view in (X, Y)
    ]
    retriever = Retriever(*encoders, SemanticMatching(GaussianNB(), GaussianNB())).fit(pairs, labels)
    expected = SemanticMatching(GaussianNB(), GaussianNB()).fit(X.repeat(2, 0), Y.repeat(2, 0), labels=labels.repeat(2))
    assert_allclose(retriever.encode_text(["3 a", "8 b"]), expected.transform_y(Y[[3, 8]]))
    assert_allclose(retriever.encode_image(["3"]), expected.transform(X[[3]]))
    with pytest.raises(ValueError, match=r"`labels` is None.*Retriever\.fit\(pairs, y\)"):
        retriever.fit(pairs)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, r"Retriever\.fit\(pairs, y\)"),
        (["art"] * 150, "at least two classes. Got only 'art'"),
        (["art", "war"], "inconsistent numbers of samples"),
        (np.linspace(0, 1, 150), "is continuous"),
        ([None] + ["art", "war"] * 74 + ["art"], "label of row 0 is None"),
        (["art", np.nan] * 75, "label of row 1 is|could not convert|'nan'"),
        (np.arange(300).reshape(150, 2), "multiclass-multioutput"),
    ],
)
def test_bad_labels_are_refused_with_the_cure(labels, message):
    X, Y, _ = make_views()
    if labels is not None and isinstance(labels, list):
        labels = np.array(labels, dtype=object)
    with pytest.raises(ValueError, match=message):
        SemanticMatching().fit(X, Y, labels=labels)


def test_contract_of_a_fusion():
    X, Y, labels = make_views()
    classifier = GaussianNB()
    matching = SemanticMatching(classifier)
    assert matching.fit(X, Y, labels=labels) is matching
    images = matching.transform(X)
    assert not hasattr(classifier, "classes_")
    assert_allclose(matching.transform(X[7:8])[0], images[7])
    assert_allclose(matching.transform_y(Y[7:8])[0], matching.transform_y(Y)[7])
    assert_array_equal(pickle.loads(pickle.dumps(matching)).transform(X), images)
    assert_array_equal(clone(matching).fit(X, Y, labels=pd.Series(labels)).transform(X), images)
    assert len(matching.get_feature_names_out()) == images.shape[1] == 5
    assert matching.transform(X.astype("f4")).dtype == np.float32
    with pytest.raises(ValueError, match="NaN"):
        matching.transform(np.full_like(X, np.nan))
    with pytest.raises(ValueError, match="y has 4 features, but SemanticMatching was fitted with 5"):
        matching.transform_y(Y[:, :-1])
