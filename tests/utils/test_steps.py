"""Slopes carried back through steps: against differences in float64, and against formulas."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_selection import SelectKBest
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, Normalizer, PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from mmfeat.encoding import PowerNormalizer
from mmfeat.utils._steps import affine_map, flat_steps, numeric_gradient, pull_back, split_at_linear

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 7)) + 0.5
ROW = X[0] * 1.3
LINEAR = [
    MaxAbsScaler(),
    PCA(3),
    PCA(3, whiten=True),
    SelectKBest(k=2),
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    TruncatedSVD(3, random_state=0),
]


def differences(function, row, size=1e-6):
    return np.array([(function(row + step) - function(row - step)) / (2 * size) for step in size * np.eye(len(row))])


@pytest.mark.parametrize("step", LINEAR, ids=str)
def test_linear_steps_are_exact(step):
    step = step.fit(X, np.arange(60) % 2)
    slope = RNG.normal(size=step.transform(X).shape[1])

    def score(row):
        return step.transform(row[None])[0] @ slope

    affine = affine_map(step, ROW)
    assert_allclose(ROW @ affine.pull(slope) + np.sum(affine.shift * slope), score(ROW), rtol=1e-12)
    assert_allclose(pull_back(step, ROW, slope), differences(score, ROW), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "step",
    [Normalizer(), Normalizer("l1"), Normalizer("max"), PowerNormalizer(), PolynomialFeatures(3)],
    ids=str,
)
def test_other_steps_are_differentiated(step):
    step = step.fit(X)
    slope = RNG.normal(size=step.transform(X).shape[1])
    found = pull_back(step, ROW, slope)
    assert_allclose(found, differences(lambda row: step.transform(row[None])[0] @ slope, ROW), rtol=1e-5, atol=1e-8)


def test_a_normalizer_holds_the_length_of_the_row_fast():
    slope = RNG.normal(size=7)
    for norm in ("l1", "l2", "max"):
        affine = affine_map(Normalizer(norm), ROW)
        assert_allclose(ROW @ affine.pull(slope), Normalizer(norm).transform(ROW[None])[0] @ slope, rtol=1e-12)
    assert_allclose(affine_map(Normalizer(), np.zeros(7)).pull(slope), slope)


@pytest.mark.parametrize(("kind", "tolerance"), [(np.float64, 1e-8), (np.float32, 1e-3)])
def test_differences_of_a_function_of_either_precision(kind, tolerance):
    row = np.concatenate([RNG.uniform(0.1, 2, size=600), [0.0]])
    weights = RNG.normal(size=601)

    def function(rows):
        return ((np.sin(rows) + rows**2) @ weights).astype(kind)

    expected = weights * (np.cos(row) + 2 * row)
    assert_allclose(numeric_gradient(function, row, "it"), expected, atol=tolerance * np.abs(expected).max())


def test_roots_near_zero_are_differentiated_by_small_steps():
    row = np.array([4.0, 1.0, 0.01])
    found = numeric_gradient(lambda rows: np.sqrt(np.abs(rows)).sum(axis=1), row, "it")
    assert_allclose(found, 0.5 / np.sqrt(row), rtol=1e-5)


def test_what_has_no_gradient_is_refused():
    tree = DecisionTreeRegressor(max_depth=2, random_state=0).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="DecisionTreeRegressor has no gradient"):
        numeric_gradient(tree.predict, ROW, "DecisionTreeRegressor")
    with pytest.raises(ValueError, match="no gradient"), np.errstate(invalid="ignore"):
        numeric_gradient(lambda rows: np.sqrt(rows - 100).sum(axis=1), ROW, "it")


def test_steps_of_pipelines_in_pipelines():
    inner = make_pipeline(StandardScaler(), "passthrough", make_pipeline(PCA(2), None))
    steps = flat_steps(make_pipeline(PolynomialFeatures(), inner, MLPClassifier()))
    assert [type(step).__name__ for step in steps] == ["PolynomialFeatures", "StandardScaler", "PCA", "MLPClassifier"]
    first, later = split_at_linear(steps[:-1])
    assert (len(first), len(later)) == (1, 2)
    assert split_at_linear([StandardScaler()])[1] == []
    assert affine_map(PolynomialFeatures(), ROW) is None
