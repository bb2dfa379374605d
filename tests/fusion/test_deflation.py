"""Canonical deflation from cross products against scikit-learn's, which works on the rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.cross_decomposition import PLSCanonical

from mmfeat.fusion._deflation import canonical_deflation


def make_centred_views(n, d, e, shared=12, seed=0):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, shared)) * np.geomspace(4, 0.5, shared)
    X = common @ rng.normal(size=(shared, d)) + rng.normal(size=(n, d))
    Y = common @ rng.normal(size=(shared, e)) + rng.normal(size=(n, e))
    return X - X.mean(axis=0), Y - Y.mean(axis=0)


@pytest.mark.parametrize(
    ("n", "d", "e", "k"), [(100, 8, 5, 1), (100, 8, 5, 5), (100, 5, 8, 4), (60, 90, 20, 6), (150, 80, 100, 10)]
)
def test_scores_are_those_of_scikit_learn_up_to_sign(n, d, e, k):
    X, Y = make_centred_views(n, d, e)
    theirs = PLSCanonical(k, scale=False, algorithm="svd").fit(X, Y)
    strengths, x_rotations, y_rotations = canonical_deflation(X.T @ X, Y.T @ Y, X.T @ Y, k)
    expected_x, expected_y = theirs.transform(X, Y)
    signs = np.sign((X @ x_rotations * expected_x).sum(axis=0))
    scale = np.abs(expected_x).max()
    assert_allclose(X @ x_rotations * signs, expected_x, atol=1e-7 * scale)
    assert_allclose(Y @ y_rotations * signs, expected_y, atol=1e-7 * scale)
    assert_allclose(strengths, (expected_x * expected_y).sum(axis=0), rtol=1e-7)
    assert (np.diff(strengths) < 0).all()


def test_inputs_are_left_alone_and_a_scale_only_scales_the_strengths():
    X, Y = make_centred_views(50, 6, 4)
    products = X.T @ X, Y.T @ Y, X.T @ Y
    before = [matrix.copy() for matrix in products]
    strengths, x_rotations, _ = canonical_deflation(*products, 3)
    for matrix, copy in zip(products, before, strict=True):
        assert_allclose(matrix, copy, rtol=0)
    scaled = canonical_deflation(*(matrix / 49 for matrix in products), 3)
    assert_allclose(scaled[0], strengths / 49)
    assert_allclose(np.abs(scaled[1]), np.abs(x_rotations), atol=1e-10)


@pytest.mark.parametrize("d", [20, 90])
def test_it_stops_where_nothing_is_left(d):
    rng = np.random.default_rng(1)
    common = rng.normal(size=(200, 3))
    common -= common.mean(axis=0)
    X, Y = common @ rng.normal(size=(3, d)), common @ rng.normal(size=(3, 70))
    strengths, x_rotations, y_rotations = canonical_deflation(X.T @ X, Y.T @ Y, X.T @ Y, 10)
    assert len(strengths) == 3
    assert x_rotations.shape == (d, 3) and y_rotations.shape == (70, 3)
    strengths, x_rotations, y_rotations = canonical_deflation(X.T @ X, Y.T @ Y, np.zeros((d, 70)), 2)
    assert strengths.shape == (0,) and x_rotations.shape == (d, 0) and y_rotations.shape == (70, 0)
