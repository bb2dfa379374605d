"""Ridges that CCA finds by itself: formulas against scikit-learn's, the search against an exhaustive one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone
from sklearn.covariance import OAS, ledoit_wolf_shrinkage
from sklearn.metrics import average_precision_score

from mmfeat.fusion import CCA
from mmfeat.fusion._auto import _Embedded, accumulate_folds
from mmfeat.fusion._moments import Moments
from mmfeat.metrics import mean_average_precision, rank_embeddings, recall_at_k


def make_views(n=900, d=150, e=120, shared=12, noise=2.0, seed=0):
    """Views whose columns have very unequal variances, so that the ridge matters."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, shared))
    scales = np.geomspace(1, 0.05, d), np.geomspace(1, 0.05, e)
    X = (common @ rng.normal(size=(shared, d)) + noise * rng.normal(size=(n, d))) * scales[0] + 3
    Y = (common @ rng.normal(size=(shared, e)) + noise * rng.normal(size=(n, e))) * scales[1]
    return X, Y


def recall(cca, X, Y):
    ranks = rank_embeddings(cca.transform(X), cca.transform_y(Y)), rank_embeddings(cca.transform_y(Y), cca.transform(X))
    return np.mean([recall_at_k(rank, k=k) for rank in ranks for k in (1, 5, 10)])


@pytest.mark.parametrize("rows", [900, 60])
@pytest.mark.parametrize("as_sparse", [False, True])
def test_formulas_are_those_of_scikit_learn(rows, as_sparse):
    X, Y = (view[:rows] for view in make_views())
    views = (sparse.csr_array(X), sparse.csr_array(Y)) if as_sparse else (X, Y)
    expected = [shrinkage / (1 - shrinkage) for shrinkage in (ledoit_wolf_shrinkage(X), ledoit_wolf_shrinkage(Y))]
    assert_allclose(CCA(4, reg="ledoit-wolf").fit(*views).reg_, expected, rtol=1e-6)
    expected = [OAS().fit(view).shrinkage_ / (1 - OAS().fit(view).shrinkage_) for view in (X, Y)]
    assert_allclose(CCA(4, reg="oas").fit(*views).reg_, expected, rtol=1e-6)


def test_a_found_ridge_is_that_ridge_given():
    X, Y = make_views()
    found = CCA(4, reg="oas").fit(X, Y)
    assert_allclose(CCA(4, reg=found.reg_).fit(X, Y).transform(X), found.transform(X))
    streamed = CCA(4, reg="oas").partial_fit(X[:400], Y[:400]).partial_fit(X[400:], Y[400:])
    assert_allclose(streamed.transform(X), found.transform(X), atol=1e-8)


@pytest.mark.parametrize("reg", ["auto", "ledoit-wolf"])
def test_what_needs_all_rows_cannot_be_streamed(reg):
    X, Y = make_views()
    with pytest.raises(ValueError, match="Give a number, or 'oas'"):
        CCA(4, reg=reg).partial_fit(X, Y)


@pytest.mark.parametrize("noise", [4.0, 6.0])
def test_auto_ranks_new_rows_like_the_best_of_an_exhaustive_grid(noise):
    X, Y = make_views(1500, noise=noise)
    train, test = slice(0, 900), slice(900, 1500)
    auto = CCA(60, reg="auto").fit(X[train], Y[train])
    grid = [
        recall(CCA(n, reg=(a, b), power=power).fit(X[train], Y[train]), X[test], Y[test])
        for a in (0.03, 0.1, 0.3, 1, 3)
        for b in (0.03, 0.1, 0.3, 1, 3)
        for power in (0.5, 1, 2)
        for n in (15, 60)
    ]
    # The grid has seen the test rows and auto has not.
    assert recall(auto, X[test], Y[test]) > 0.95 * max(grid)
    assert max(grid) > 1.1 * np.median(grid)


def test_with_labels_auto_chooses_by_what_shares_them():
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 4, 600)
    # Classes are told by few loud columns, the very pair by many quiet ones.
    loud, quiet = np.eye(4)[classes] * 3, rng.normal(size=(600, 30))
    X = np.c_[loud + rng.normal(size=(600, 4)), quiet + rng.normal(size=(600, 30))]
    Y = np.c_[loud + rng.normal(size=(600, 4)), quiet + rng.normal(size=(600, 30))]
    by_pair, by_class = CCA(30, reg="auto").fit(X, Y), CCA(30, reg="auto").fit(X, Y, labels=classes)
    indicator = CCA(30, reg="auto").fit(X, Y, labels=np.eye(4, dtype=int)[classes])
    assert by_class.n_components_ < by_pair.n_components_
    assert indicator.reg_ == by_class.reg_ and indicator.n_components_ == by_class.n_components_
    with pytest.raises(ValueError, match="one row a pair, 600"):
        CCA(5, reg="auto").fit(X, Y, labels=classes[:-1])


def embedded(images, captions, labels=None):
    """What a fold ranks: row i of both is pair i."""
    relevance = None if labels is None else sparse.csr_array(labels[:, None] == labels)
    parts = (part.astype("f4") for part in (images, captions))
    return _Embedded(np.ones(images.shape[1], "f4"), *parts, np.arange(len(images)), relevance)


def test_the_score_of_a_fold_with_labels_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    images, captions = (rng.normal(size=(30, 6)) for _ in range(2))
    labels = np.r_[rng.integers(0, 4, 29), 9]
    cosines = captions @ images.T / np.linalg.norm(captions, axis=1)[:, None] / np.linalg.norm(images, axis=1)
    right = labels[:, None] == labels
    ours = embedded(images, captions, labels).score(1, 6)
    expected = [
        average_precision_score(r, row) for scores in (cosines, cosines.T) for r, row in zip(right, scores, strict=True)
    ]
    assert_allclose(ours, np.mean(expected), rtol=1e-5)


@pytest.mark.situation('reg="auto" with labels, where all scores are the same', "ties count against, as in the metrics")
def test_constant_scores_are_worth_as_little_to_auto_as_to_the_metrics():
    # 1003 equal rows: a blocked product gives some of them other last digits.
    constant, labels = np.full((1003, 300), 0.1), np.arange(1003) // 2
    expected = mean_average_precision(np.ones((1003, 1003)), query_labels=labels, gallery_labels=labels)
    assert_allclose(embedded(constant, constant, labels).score(1, 300), expected, rtol=1e-6)
    assert embedded(constant, constant).score(1, 300) == 0


@pytest.mark.situation('reg="auto", where some images have no label', "such rows are left out of the score")
def test_rows_without_a_label_are_not_scored():
    few = _Embedded(
        np.ones(3, "f4"), np.eye(3, dtype="f4"), np.eye(3, dtype="f4"), np.arange(3), sparse.csr_array((3, 3))
    )
    assert few.score(1, 3) == 0


@pytest.mark.situation("a caption that is given twice for its image", "it does not push its own image down")
def test_a_caption_given_twice_does_not_count_against_its_image():
    twice = np.array([0, 1, 2, 3, 0])
    scored = _Embedded(np.ones(4, "f4"), np.eye(4, dtype="f4"), np.eye(4, dtype="f4")[twice], twice, None)
    assert scored.score(1, 4) == 1


def test_auto_chooses_within_bounds_and_repeatably():
    X, Y = make_views(300)
    first, again = (CCA(20, reg="auto").fit(X, Y) for _ in range(2))
    assert first.reg_ == again.reg_
    assert first.n_components_ == first.transform(X).shape[1] <= 20
    assert_allclose(first.transform(X), again.transform(X))
    given = CCA(first.n_components_, reg=first.reg_, power=first.power_).fit(X, Y)
    assert_allclose(given.transform(X), first.transform(X), atol=1e-8)
    assert not hasattr(clone(first), "reg_")


@pytest.mark.parametrize("shape", [(100, 300, 8), (12, 5, 4), (3, 2, 2)])
def test_auto_works_on_wide_and_on_tiny_views(shape):
    X, Y = make_views(*shape, shared=2)
    embedded = CCA(reg="auto").fit(X, Y).transform(X)
    assert np.isfinite(embedded).all()


def test_folds_hold_images_whole_and_sum_to_the_total():
    X, Y = make_views(200)
    groups = np.random.default_rng(0).integers(0, 50, 200)
    groups = np.unique(groups, return_inverse=True)[1]
    total, folds = accumulate_folds(X, Y, groups, None)
    assert_allclose(total.xy, Moments.of(X, Y).xy, atol=1e-8)
    assert len(folds) == 5
    for fold in folds:
        # A sampled row stands in the fold; its siblings must not stand in the statistics it is judged by.
        own = {int(groups[np.flatnonzero((row == X).all(axis=1))[0]]) for row in fold.X}
        outside = ~np.isin(groups, sorted(own))
        assert_allclose(fold.moments.xx, Moments.of(X[outside], Y[outside]).xx, atol=1e-8)


@pytest.mark.parametrize("reg", ["ledoit-wolf", "oas"])
@pytest.mark.parametrize("rows", [300, 60])
def test_formulas_count_a_row_of_weight_two_twice(reg, rows):
    X, Y = make_views(rows)
    weights = np.random.default_rng(0).integers(0, 4, rows)
    repeated = np.repeat(np.arange(rows), weights)
    expected = CCA(4, reg=reg).fit(X[repeated], Y[repeated]).reg_
    assert_allclose(CCA(4, reg=reg).fit(X, Y, sample_weight=weights).reg_, expected)


def test_auto_does_not_look_at_rows_that_do_not_count():
    X, Y = make_views(300)
    weights, labels = np.repeat([1, 0], 150), np.arange(300) % 7
    Y[150:] = np.random.default_rng(0).normal(size=Y[150:].shape) * 100
    for given in (None, labels):
        ours = CCA(20, reg="auto").fit(X, Y, sample_weight=weights, labels=given)
        expected = CCA(20, reg="auto").fit(X[:150], Y[:150], labels=None if given is None else given[:150])
        assert (ours.reg_, ours.power_) == (expected.reg_, expected.power_)
        assert_allclose(ours.transform(X), expected.transform(X), atol=1e-8)


def test_too_little_to_choose_by_is_told():
    X, Y = make_views(300)
    with pytest.raises(ValueError, match="of 1 too little"):
        CCA(2, reg="auto").fit(X, Y, groups=np.zeros(300, dtype=int))
    with pytest.raises(ValueError, match="of 2 too little"):
        CCA(2, reg="auto").fit(X, Y, sample_weight=np.r_[1, 1, np.zeros(298)])
    with pytest.raises(ValueError, match="`labels` are all 0"):
        CCA(2, reg="auto").fit(X, Y, labels=np.zeros((300, 4)))
    with pytest.raises(ValueError, match=r"labels\[0\] is missing"):
        CCA(2, reg="auto").fit(X, Y, labels=[None, "car"] * 150)
    with pytest.raises(ValueError, match="MultiLabelBinarizer"):
        CCA(2, reg="auto").fit(X, Y, labels=[["car", "red"]] * 300)


def test_rare_labels_leave_folds_without_any():
    X, Y = make_views(300)
    found = CCA(4, reg="auto").fit(X, Y, labels=np.eye(300, 1) @ np.ones((1, 2)))
    assert np.isfinite(found.transform(X)).all()


def test_what_was_found_is_forgotten_with_its_reg():
    X, Y = make_views(300)
    found = CCA(20, reg="auto").fit(X, Y)
    embedded = found.transform(X)
    assert_allclose(found.set_params(reg=0.5).transform(X), embedded)
    assert_allclose(found.fit(X, Y).transform(X), CCA(20).fit(X, Y).transform(X))
    assert not hasattr(found, "power_")
    # The ridge of another setting is not taken for one that "auto" had found.
    with pytest.raises(ValueError, match="looks at all rows at once"):
        found.set_params(reg="auto").partial_fit(X, Y)


@pytest.mark.parametrize("reg", ["auto", "ledoit-wolf"])
def test_a_found_ridge_stays_when_rows_are_added(reg):
    X, Y = make_views(600)
    found = CCA(20, reg=reg).fit(X[:300], Y[:300])
    settings = {"reg": found.reg_, "power": getattr(found, "power_", 1.0)}
    expected = CCA(found.n_components_, **settings).fit(X, Y).transform(X)
    assert_allclose(found.partial_fit(X[300:], Y[300:]).transform(X), expected, atol=1e-8)
