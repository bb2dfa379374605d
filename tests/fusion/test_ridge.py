"""RidgeMapping against scikit-learn's Ridge."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.linear_model import LinearRegression, Ridge

from mmfeat.fusion import RidgeMapping

SHAPES = [(120, 9, 7), (20, 50, 7), (20, 7, 50), (20, 50, 60)]


def make_views(n=120, d=9, e=7, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * rng.uniform(0.5, 3, d) + rng.normal(size=d)
    return X, X[:, :1] + np.tanh(X @ rng.normal(size=(d, e))) + 0.3 * rng.normal(size=(n, e)) + 2


def oracle(source, target, reg):
    alpha = reg * ((source - source.mean(axis=0)) ** 2).sum() / source.shape[1]
    return Ridge(alpha=alpha, solver="svd").fit(source, target)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reg", [0.01, 1.0])
def test_it_is_the_ridge_of_scikit_learn_both_ways(shape, reg):
    X, Y = make_views(*shape)
    new_x, new_y = make_views(*shape, seed=1)
    onto_x, onto_y = RidgeMapping(reg=reg).fit(X, Y), RidgeMapping(reg=reg, direction="x_to_y").fit(X, Y)
    assert_allclose(onto_x.transform_y(new_y), oracle(Y, X, reg).predict(new_y) - X.mean(axis=0), atol=1e-9)
    assert_allclose(onto_x.transform(new_x), new_x - X.mean(axis=0))
    assert_allclose(onto_y.transform(new_x), oracle(X, Y, reg).predict(new_x) - Y.mean(axis=0), atol=1e-9)
    assert_allclose(onto_y.transform_y(new_y), new_y - Y.mean(axis=0))
    assert (onto_x.n_components_, onto_y.n_components_) == shape[1:]


@pytest.mark.parametrize("shape", SHAPES)
def test_without_ridge_it_is_least_squares_of_the_smallest_norm(shape):
    X, Y = make_views(*shape)
    mapping = RidgeMapping(reg=0).fit(X, Y)
    assert_allclose(mapping.coef_.T, LinearRegression().fit(Y, X).coef_, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("direction", ["y_to_x", "x_to_y"])
def test_sparse_views_give_the_answer_of_dense_ones(shape, direction):
    rng = np.random.default_rng(2)
    X = sparse.random_array(shape[:2], density=0.3, rng=rng, format="csr")
    Y = sparse.random_array((shape[0], shape[2]), density=0.3, rng=rng, format="csr")
    dense = RidgeMapping(direction=direction).fit(X.toarray(), Y.toarray())
    for left, right in ((X, Y), (X, Y.toarray()), (X.toarray(), Y)):
        ours = RidgeMapping(direction=direction).fit(left, right)
        assert_allclose(ours.transform(left), dense.transform(X.toarray()), atol=1e-10)
        assert_allclose(ours.transform_y(right), dense.transform_y(Y.toarray()), atol=1e-10)


def test_the_ridge_does_not_depend_on_the_scale_of_the_view_that_is_mapped():
    X, Y = make_views()
    expected = RidgeMapping().fit(X, Y).transform_y(Y)
    assert_allclose(RidgeMapping().fit(X, 1000 * Y).transform_y(1000 * Y), expected, atol=1e-9)


def test_many_rows_are_multiplied_in_blocks_with_the_same_answer():
    X, Y = make_views(10_000)
    assert_allclose(
        RidgeMapping(reg=1.0).fit(X, Y).transform_y(Y), oracle(Y, X, 1.0).predict(Y) - X.mean(axis=0), atol=1e-9
    )


def test_float32_stays_float32_and_close_far_from_the_origin():
    X, Y = make_views()
    expected = RidgeMapping(direction="x_to_y").fit(X, Y).transform(X)
    ours = RidgeMapping(direction="x_to_y").fit((X + 100).astype("f4"), Y.astype("f4"))
    rounded = ours.transform((X + 100).astype("f4"))
    assert rounded.dtype == np.float32
    assert_allclose(rounded, expected, atol=1e-3)


def test_mapping_what_is_searched_makes_fewer_hubs():
    """The claim of the docstring, as the skewness of how often an item of the gallery is among the ten nearest."""
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(1000, 30))
    X = shared @ rng.normal(size=(30, 60)) + 6 * rng.normal(size=(1000, 60))
    Y = shared @ rng.normal(size=(30, 60)) + 6 * rng.normal(size=(1000, 60))

    def skewness(direction):
        mapping = RidgeMapping(direction=direction).fit(X[:500], Y[:500])
        queries, gallery = mapping.transform(X[500:]), mapping.transform_y(Y[500:])
        distances = ((queries[:, None] - gallery[None]) ** 2).sum(axis=2)
        counts = np.bincount(np.argsort(distances, axis=1)[:, :10].ravel(), minlength=500)
        return ((counts - counts.mean()) ** 3).mean() / counts.std() ** 3

    assert skewness("y_to_x") < 0.7 * skewness("x_to_y")


def test_a_direction_set_after_the_fit_waits_for_the_next():
    X, Y = make_views()
    mapping = RidgeMapping().fit(X, Y)
    expected = mapping.transform_y(Y)
    assert_allclose(mapping.set_params(direction="x_to_y").transform_y(Y), expected)
    assert mapping.fit(X, Y).transform_y(Y).shape == Y.shape


@pytest.mark.parametrize("shape", [(30, 9, 7), (5, 9, 7)])
def test_a_constant_view_is_mapped_to_nothing(shape):
    X, Y = make_views(*shape)
    assert_allclose(RidgeMapping(direction="x_to_y").fit(np.ones_like(X), Y).transform(X), 0)
