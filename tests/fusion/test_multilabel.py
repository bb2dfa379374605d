"""MultiLabelCCA against a loop over all pairs of rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import linalg, sparse

from mmfeat.fusion import CCA, MultiLabelCCA


def make_views(n=40, d=7, e=5, n_tags=6, seed=0):
    rng = np.random.default_rng(seed)
    tags = (rng.random((n, n_tags)) < 0.35).astype(int)
    X = tags @ rng.normal(size=(n_tags, d)) + rng.normal(size=(n, d)) + 3
    Y = tags @ rng.normal(size=(n_tags, e)) + rng.normal(size=(n, e)) - 2
    return X, Y, tags


def similarity_of(a, b, kind):
    if not a.any() or not b.any():
        return 0.0
    if kind == "cosine":
        return a @ b / np.sqrt((a @ a) * (b @ b))
    shared = sum(1 for left, right in zip(a, b, strict=True) if left and right)
    return 2 * shared / (np.count_nonzero(a) + np.count_nonzero(b))


def covariances_over_all_pairs(X, Y, tags, kind, share):
    """Mean and covariances of the n * n pairs, each with its weight, in a written-out double loop."""
    n = len(X)
    weights = np.array([[similarity_of(a, b, kind) for b in tags] for a in tags])
    weights = (1 - share) * n * weights / weights.sum() + share * np.eye(n)
    mean_x = sum(weights[i, j] * X[i] for i in range(n) for j in range(n)) / n
    mean_y = sum(weights[i, j] * Y[j] for i in range(n) for j in range(n)) / n
    xx, yy, xy = (np.zeros((a.shape[1], b.shape[1])) for a, b in ((X, X), (Y, Y), (X, Y)))
    for i in range(n):
        for j in range(n):
            x, y = X[i] - mean_x, Y[j] - mean_y
            xx += weights[i, j] * np.outer(x, x) / (n - 1)
            yy += weights[i, j] * np.outer(y, y) / (n - 1)
            xy += weights[i, j] * np.outer(x, y) / (n - 1)
    return mean_x, mean_y, xx, yy, xy


def textbook(X, Y, tags, kind, share, reg, k):
    mean_x, mean_y, xx, yy, xy = covariances_over_all_pairs(X, Y, tags, kind, share)
    xx += reg * np.trace(xx) / len(xx) * np.eye(len(xx))
    yy += reg * np.trace(yy) / len(yy) * np.eye(len(yy))
    squared, left = linalg.eigh(xy @ np.linalg.solve(yy, xy.T), xx)
    values, left = np.sqrt(np.maximum(squared[::-1][:k], 0)), left[:, ::-1][:, :k]
    return values, (X - mean_x) @ left, (Y - mean_y) @ np.linalg.solve(yy, xy.T @ left) / values


@pytest.mark.parametrize("kind", ["cosine", "dice"])
@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(40, 7, 5), (15, 7, 30), (15, 30, 20)])
def test_it_is_cca_over_all_pairs_weighted_by_their_labels(kind, share, shape):
    X, Y, tags = make_views(*shape)
    tags[3] = 0
    cca = MultiLabelCCA(3, reg=0.1, power=0, similarity=kind, pair_share=share).fit(X, Y, labels=tags)
    values, scores_x, scores_y = textbook(X, Y, tags, kind, share, 0.1, 3)
    signs = np.sign((cca.transform(X) * scores_x).sum(axis=0))
    assert_allclose(cca.canonical_correlations_, values, atol=1e-10)
    assert_allclose(cca.transform(X) * signs, scores_x, atol=1e-7)
    assert_allclose(cca.transform_y(Y) * signs, scores_y, atol=1e-7)
    weighted = cca.set_params(power=2).transform(X)
    assert_allclose(weighted * signs, scores_x * values**2, atol=1e-7)


def test_weights_of_tags_count_in_the_cosine():
    X, Y, tags = make_views()
    weights = tags * np.random.default_rng(1).uniform(0.1, 2, tags.shape)
    expected, *_ = textbook(X, Y, weights, "cosine", 0.0, 0.1, 3)
    assert_allclose(MultiLabelCCA(3, reg=0.1).fit(X, Y, labels=weights).canonical_correlations_, expected, atol=1e-10)
    with pytest.raises(ValueError, match="labels of 0 and 1"):
        MultiLabelCCA(3, similarity="dice").fit(X, Y, labels=weights)


@pytest.mark.parametrize("kind", ["cosine", "dice"])
@pytest.mark.parametrize("reg", [0.1, (0.5, 0.01)])
@pytest.mark.parametrize("shape", [(40, 7, 5), (15, 30, 20)])
def test_a_label_for_each_row_or_none_at_all_is_cca(kind, reg, shape):
    X, Y, tags = make_views(*shape)
    expected = CCA(4, reg=reg).fit(X, Y)
    for keywords, labels in (({}, np.arange(len(X))), ({}, None), ({"pair_share": 1.0}, tags)):
        ours = MultiLabelCCA(4, reg=reg, similarity=kind, **keywords).fit(X, Y, labels=labels)
        assert_allclose(ours.canonical_correlations_, expected.canonical_correlations_, atol=1e-10)
        assert_allclose(ours.transform(X), expected.transform(X), atol=1e-8)
        assert_allclose(ours.transform_y(Y), expected.transform_y(Y), atol=1e-8)


@pytest.mark.parametrize("share", [0.0, 0.4])
@pytest.mark.parametrize("shape", [(200, 20, 15), (30, 60, 40)])
def test_sparse_views_and_labels_give_the_answer_of_dense_ones(shape, share):
    rng = np.random.default_rng(2)
    X = sparse.random_array(shape[:2], density=0.2, rng=rng, format="csr")
    Y = sparse.random_array((shape[0], shape[2]), density=0.2, rng=rng, format="csr") + X[:, : shape[2]]
    labels = rng.integers(0, 2, (shape[0], 6))
    dense = MultiLabelCCA(3, pair_share=share).fit(X.toarray(), Y.toarray(), labels=labels)
    for left, right in ((X, Y), (X, Y.toarray()), (X.toarray(), Y)):
        ours = MultiLabelCCA(3, pair_share=share).fit(left, right, labels=sparse.csr_array(labels))
        assert_allclose(ours.transform(left), dense.transform(X.toarray()), atol=1e-9)
        assert_allclose(ours.transform_y(right), dense.transform_y(Y.toarray()), atol=1e-9)


def test_pairs_that_are_shuffled_within_a_class_make_no_difference():
    X, Y, _ = make_views(120)
    classes = np.arange(120) % 3
    shuffled = np.concatenate([np.random.default_rng(c).permutation(np.flatnonzero(classes == c)) for c in range(3)])
    order = np.concatenate([np.flatnonzero(classes == c) for c in range(3)])
    partner = np.empty(120, dtype=int)
    partner[order] = shuffled
    expected = MultiLabelCCA(2).fit(X, Y, labels=classes).transform(X)
    assert_allclose(MultiLabelCCA(2).fit(X, Y[partner], labels=classes).transform(X), expected, atol=1e-8)
    assert np.abs(CCA(2).fit(X, Y[partner]).transform(X) - CCA(2).fit(X, Y).transform(X)).max() > 0.01


def test_components_beyond_the_labels_have_no_strength():
    X, Y, _ = make_views()
    cca = MultiLabelCCA(5).fit(X, Y, labels=np.arange(40) % 3)
    assert (cca.canonical_correlations_[:2] > 0.05).all()
    assert_allclose(cca.canonical_correlations_[2:], 0, atol=1e-7)
    assert np.isfinite(cca.transform(X)).all()


def test_labels_for_no_row_or_the_wrong_rows_are_refused():
    X, Y, tags = make_views()
    with pytest.raises(ValueError, match="No row has a label"):
        MultiLabelCCA(2).fit(X, Y, labels=tags * 0)
    with pytest.raises(ValueError, match=r"one row a pair, 40\. Got 39"):
        MultiLabelCCA(2).fit(X, Y, labels=tags[1:])
    with pytest.raises(ValueError, match="tuple of 2"):
        MultiLabelCCA(2, reg=(0.1, 0.2, 0.3)).fit(X, Y, labels=tags)
