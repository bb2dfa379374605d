"""Three and more views against a generalised eigenproblem written out in float64."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import linalg, sparse

from mmfeat.fusion import CCA, GeneralizedCCA


def make_views(n=300, widths=(12, 9), n_tags=5, seed=0):
    rng = np.random.default_rng(seed)
    tags = (rng.random((n, n_tags)) < 0.4).astype(float)
    views = [tags @ rng.normal(size=(n_tags, d)) + rng.normal(size=(n, d)) + rng.normal(size=d) for d in widths]
    return *views, tags


def textbook(views, regs, k):
    """Leading eigenpairs of C w = value D w; D holds the ridged covariances within views, C those and all between."""
    stops = np.cumsum([view.shape[1] for view in views])
    whole = np.cov(np.concatenate(views, axis=1).T)
    within = np.zeros_like(whole)
    for stop, view, reg in zip(stops, views, regs, strict=True):
        block = slice(stop - view.shape[1], stop)
        ridge = reg * np.trace(whole[block, block]) / view.shape[1] * np.eye(view.shape[1])
        whole[block, block] += ridge
        within[block, block] = whole[block, block]
    values, vectors = linalg.eigh(whole, within)
    vectors = vectors[:, ::-1][:, :k] * np.sqrt(len(views))
    scores = [
        (view - view.mean(axis=0)) @ vectors[stop - view.shape[1] : stop]
        for stop, view in zip(stops, views, strict=True)
    ]
    return values[::-1][:k], scores


def assert_same_up_to_signs(ours, expected, atol=1e-8):
    signs = np.sign((ours[0] * expected[0]).sum(axis=0))
    for mine, theirs in zip(ours, expected, strict=True):
        assert_allclose(mine * signs, theirs, atol=atol)


@pytest.mark.parametrize(
    ("n", "widths", "reg"),
    [
        (300, (12, 9), 0.0),
        (300, (12, 9), (0.5, 0.01, 0.2)),
        (50, (120, 9), 0.3),
        (50, (120, 70), (0.5, 0.01, 0.2)),
    ],
)
def test_labels_as_third_view_are_the_textbook_eigenproblem(n, widths, reg):
    X, Y, tags = make_views(n, widths)
    gcca = GeneralizedCCA(4, reg=reg, power=0).fit(X, Y, labels=tags)
    values, expected = textbook([X, Y, tags], reg if isinstance(reg, tuple) else [reg] * 3, 4)
    assert_allclose(gcca.canonical_correlations_, (values - 1) / 2, atol=1e-10)
    ours = [gcca.transform(X), gcca.transform_y(Y), gcca.transform_view(tags, 2)]
    assert_same_up_to_signs(ours, expected)
    weighted = gcca.set_params(power=2).transform_view(tags, 2)
    assert_allclose(weighted, ours[2] * gcca.canonical_correlations_**2)


@pytest.mark.parametrize("reg", [0.0, 0.3, (0.5, 0.01)])
@pytest.mark.parametrize(("n", "widths"), [(300, (12, 9)), (50, (120, 70))])
def test_two_views_are_cca(n, widths, reg):
    X, Y, _ = make_views(n, widths)
    gcca, cca = GeneralizedCCA(5, reg=reg).fit(X, Y), CCA(5, reg=reg).fit(X, Y)
    if reg == 0.0 and n < max(widths):
        # All correlations are 1, so that the directions are not unique.
        assert_allclose(gcca.canonical_correlations_, 1)
        return
    assert_allclose(gcca.canonical_correlations_, cca.canonical_correlations_, atol=1e-10)
    assert_allclose(gcca.transform(X), cca.transform(X), atol=1e-8)
    assert_allclose(gcca.transform_y(Y), cca.transform_y(Y), atol=1e-8)


def test_blocks_of_columns_are_views():
    X, Z, Y, tags = make_views(300, (12, 7, 9))
    both = np.concatenate([X, Z], axis=1)
    gcca = GeneralizedCCA(3, blocks=[12, 7], reg=(0.1, 0.2, 0.3, 0.4), power=0).fit(both, Y, labels=tags)
    _, expected = textbook([X, Z, Y, tags], (0.1, 0.2, 0.3, 0.4), 3)
    ours = [gcca.transform_view(view, number) for number, view in enumerate((X, Z, Y, tags))]
    assert_same_up_to_signs(ours, expected)
    assert_allclose(gcca.transform(both), (ours[0] + ours[1]) / 2, atol=1e-10)
    assert_allclose(gcca.transform_y(Y), ours[2])
    assert gcca.n_views_ == 4


def test_columns_of_a_table_can_be_split_into_views():
    X, Z, Y, _ = make_views(100, (12, 7, 9))
    table = pd.DataFrame(np.concatenate([X, Z], axis=1), columns=[f"c{i}" for i in range(19)])
    expected = GeneralizedCCA(3, blocks=(12, 7)).fit(table.to_numpy(), Y).transform(table.to_numpy())
    assert_allclose(GeneralizedCCA(3, blocks=(12, 7)).fit(table, Y).transform(table), expected)


def test_classes_are_one_hot_labels():
    X, Y, _ = make_views()
    classes = np.random.default_rng(1).choice(["cat", "dog", "owl"], 300)
    indicators = (classes[:, None] == ["cat", "dog", "owl"]).astype(int)
    expected = GeneralizedCCA(2).fit(X, Y, labels=indicators).transform(X)
    for labels in (classes, list(classes), classes[:, None], sparse.csr_array(indicators), indicators.astype(bool)):
        assert_allclose(GeneralizedCCA(2).fit(X, Y, labels=labels).transform(X), expected, atol=1e-10)


def test_rank_deficient_views_without_ridge_stay_finite_and_white():
    """One-hot columns sum to one, and a column repeated adds nothing."""
    X, Y, _ = make_views()
    classes = np.random.default_rng(2).integers(0, 4, 300)
    plain = GeneralizedCCA(3, reg=0).fit(X, Y, labels=np.eye(4)[classes][:, :3]).transform(X)
    doubled = GeneralizedCCA(3, reg=0).fit(np.concatenate([X, X], axis=1), Y, labels=classes)
    assert_allclose(np.abs(doubled.transform(np.concatenate([X, X], axis=1))), np.abs(plain), atol=1e-7)


@pytest.mark.parametrize("shape", [(200, 40, 30), (40, 90, 60)])
def test_sparse_views_give_the_answer_of_dense_ones(shape):
    rng = np.random.default_rng(3)
    X = sparse.random_array(shape[:2], density=0.2, rng=rng, format="csr")
    Y = sparse.random_array((shape[0], shape[2]), density=0.2, rng=rng, format="csr") + X[:, : shape[2]]
    labels = rng.integers(0, 2, (shape[0], 4))
    dense = GeneralizedCCA(3, blocks=(10, shape[1] - 10)).fit(X.toarray(), Y.toarray(), labels=labels)
    for left, right in ((X, Y), (X, Y.toarray()), (X.toarray(), Y)):
        ours = GeneralizedCCA(3, blocks=(10, shape[1] - 10)).fit(left, right, labels=labels)
        assert_allclose(ours.transform(left), dense.transform(X.toarray()), atol=1e-9)
        assert_allclose(ours.transform_y(right), dense.transform_y(Y.toarray()), atol=1e-9)


def test_labels_help_where_views_agree_in_something_else():
    """Two views share a strong nuisance; with tags as third view the first components are those of the tags."""
    rng = np.random.default_rng(4)
    tags, nuisance = rng.integers(0, 2, (600, 2)) * 1.0, rng.normal(size=(600, 2))
    X = np.concatenate([tags + 0.8 * rng.normal(size=(600, 2)), nuisance], axis=1)
    Y = np.concatenate([tags + 0.8 * rng.normal(size=(600, 2)), nuisance + 0.6 * rng.normal(size=(600, 2))], axis=1)

    def share_of_tags(**labels):
        rotation = GeneralizedCCA(2, reg=0.01).fit(X, Y, **labels).rotations_[0]
        return (rotation[:2] ** 2).sum() / (rotation**2).sum()

    assert share_of_tags() < 0.1
    assert share_of_tags(labels=tags) > 0.8


def test_bad_blocks_ridges_labels_and_views_are_refused():
    X, Y, tags = make_views()
    for blocks in ([5, 6], [12, 0], [6.0, 6.0], []):
        with pytest.raises(ValueError, match="together the 12 columns of X"):
            GeneralizedCCA(2, blocks=blocks).fit(X, Y)
    for reg in ((0.1,), (0.1, -1), (0.1, "a"), (0.1, 0.1, 0.1)):
        with pytest.raises(ValueError, match="tuple of 2 of them"):
            GeneralizedCCA(2, reg=reg).fit(X, Y)
    with pytest.raises(ValueError, match=r"one row a pair, 300\. Got 299"):
        GeneralizedCCA(2).fit(X, Y, labels=tags[1:])
    with pytest.raises(ValueError, match=r"at least 0\. Got -1"):
        GeneralizedCCA(2).fit(X, Y, labels=tags - 1)
    with pytest.raises(ValueError, match=r"upper bound is 9\. Got 10"):
        GeneralizedCCA(10).fit(X, Y)
    gcca = GeneralizedCCA(2).fit(X, Y, labels=tags)
    with pytest.raises(ValueError, match=r"from 0 to 2\. Got 3"):
        gcca.transform_view(tags, 3)
    with pytest.raises(ValueError, match=r"View 2 has 5 columns\. Got 12"):
        gcca.transform_view(X, 2)


@pytest.mark.parametrize("n", [30, 5])
def test_constant_views_agree_in_nothing(n):
    X, Y, tags = make_views(n)
    gcca = GeneralizedCCA(2).fit(np.ones_like(X), Y, labels=tags * 0)
    assert_allclose(gcca.canonical_correlations_, 0, atol=1e-7)
    gcca = GeneralizedCCA(2).fit(np.ones_like(X), np.ones_like(Y))
    assert_allclose(gcca.transform(X), 0)
