"""Expectation maximisation: monotone, right against scikit-learn, and finds what the data were drawn from."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from mmfeat.encoding._em import learn_mixture, weighted_medians
from mmfeat.encoding._mixture import Mixture

SETTINGS = {"start": None, "var_floor": 1e-6, "max_iter": 200, "tol": 1e-7}


def learn(rows, n_components, kind, **settings):
    return learn_mixture(rows, n_components, kind, rng=np.random.RandomState(0), **{**SETTINGS, **settings})


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["gaussian", "laplacian", "hybrid"])
@pytest.mark.parametrize("var_floor", [1e-6, 0.3])
def test_log_likelihood_never_falls(kind, var_floor):
    rng = np.random.default_rng(1)
    rows = np.concatenate([rng.normal(size=(150, 4)), rng.laplace(size=(150, 4)) * 2 + 1, np.ones((20, 4))])
    bounds = learn(rows, 5, kind, var_floor=var_floor, max_iter=60, tol=0).lower_bounds_
    assert len(bounds) > 10
    assert np.diff(bounds).min() > -1e-9
    assert bounds[-1] - bounds[0] > 0.05


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gaussian_steps_are_those_of_scikit_learn(dtype):
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(200, 3)), rng.normal(size=(100, 3)) * 0.5 + 2]).astype(dtype)
    start = Mixture(np.full(2, 0.5), rows[[0, -1]].astype(np.float64), np.ones((2, 3)), np.zeros((2, 3), dtype=bool))
    ours = learn(rows, 2, "gaussian", start=start, tol=1e-9)
    theirs = GaussianMixture(
        2, covariance_type="diag", reg_covar=0, tol=1e-9, max_iter=200,
        weights_init=start.weights_, means_init=start.means_, precisions_init=np.ones((2, 3)),
    ).fit(rows.astype(np.float64))  # fmt: skip
    np.testing.assert_allclose(ours.means_, theirs.means_, atol=1e-5)
    np.testing.assert_allclose(ours.scales_**2, theirs.covariances_, atol=1e-5)
    np.testing.assert_allclose(ours.weights_, theirs.weights_, atol=1e-5)


@pytest.mark.parametrize("kind", ["laplacian", "hybrid"])
def test_parameters_are_found_in_data_drawn_from_the_mixture(kind):
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0, 0.0], [4.0, -3.0, 5.0]])
    scales = np.array([[1.0, 0.5, 1.5], [0.8, 1.2, 0.6]])
    laplacian = np.array([[True, False, True], [False, False, True]]) | (kind == "laplacian")
    component = (rng.random(30000) < 0.3).astype(int)
    noise = np.where(laplacian[component], rng.laplace(size=(30000, 3)), rng.normal(size=(30000, 3)))
    found = learn(centres[component] + scales[component] * noise, 2, kind)
    order = found.means_[:, 0].argsort()
    np.testing.assert_allclose(found.weights_[order], [0.7, 0.3], atol=0.01)
    np.testing.assert_allclose(found.means_[order], centres, atol=0.05)
    np.testing.assert_allclose(found.scales_[order], scales, atol=0.05)
    np.testing.assert_array_equal(found.laplacian_[order], laplacian)
    assert found.converged_


def test_no_variance_falls_below_the_floor():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(100, 2)) * 10, np.full((100, 2), 3.0)])
    for kind, variance in (("gaussian", 1), ("laplacian", 2)):
        scales = learn(rows, 2, kind, var_floor=0.01).scales_
        least = variance * scales**2 / rows.var(axis=0)
        np.testing.assert_allclose(least.min(axis=0), 0.01, rtol=1e-6)


def test_stopping_early_is_told():
    rows = np.random.default_rng(0).normal(size=(200, 3))
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        assert not learn(rows, 4, "laplacian", max_iter=2).converged_


@pytest.mark.parametrize("n", [1, 2, 7, 100, 1001])
def test_weighted_medians_are_the_lower_ones(n):
    rng = np.random.default_rng(n)
    rows, weights = rng.integers(0, 50, (n, 3)) / 7, rng.random((4, n)) ** 6
    weights[3] = 0
    weights[3, n // 2] = 1
    order = np.argsort(rows, axis=0, kind="stable").T.astype(np.int32)
    found = weighted_medians(rows, order, weights)
    for k, d in np.ndindex(4, 3):
        places = np.argsort(rows[:, d], kind="stable")
        shares = np.cumsum(weights[k, places])
        assert found[k, d] == rows[places[np.searchsorted(shares, shares[-1] / 2)], d]
