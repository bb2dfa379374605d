"""Power normalisation against the formula, and scikit-learn's own checks."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.utils.estimator_checks import parametrize_with_checks

from mmfeat.encoding import PowerNormalizer


@parametrize_with_checks([PowerNormalizer(), PowerNormalizer(power=0.3, norm="l2")])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def matrix():
    values = np.random.default_rng(0).normal(size=(7, 5)) * 10
    values[2] = 0
    values[:, 3] = 0
    return values


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, sparse.csr_array, sparse.csc_array])
@pytest.mark.parametrize("power", [0.25, 0.5, 1, 2])
@pytest.mark.parametrize("norm", [None, "l2"])
def test_equals_the_formula_value_by_value(matrix, dtype, make, power, norm):
    expected = [[(1 if v > 0 else -1) * abs(v) ** power if v else 0.0 for v in row] for row in matrix]
    if norm == "l2":
        expected = [[v / (sum(w * w for w in row) ** 0.5 or 1) for v in row] for row in expected]
    X = make(matrix.astype(dtype))
    result = PowerNormalizer(power=power, norm=norm).fit_transform(X)
    assert result.dtype == dtype
    assert sparse.issparse(result) == sparse.issparse(X)
    dense = result.toarray() if sparse.issparse(result) else result
    np.testing.assert_allclose(dense, expected, rtol=1e-5)
    np.testing.assert_array_equal(X.toarray() if sparse.issparse(X) else X, matrix.astype(dtype))  # left as it was


def test_repeated_entries_of_a_sparse_matrix_are_summed_first():
    X = sparse.csr_matrix((np.array([1.0, 3.0]), np.array([0, 0]), np.array([0, 2])), shape=(1, 2))
    np.testing.assert_allclose(PowerNormalizer().transform(X).toarray(), [[2, 0]])
    assert X.nnz == 2


def test_names_stay(matrix):
    frame = pd.DataFrame(matrix, columns=list("abcde"))
    result = PowerNormalizer().set_output(transform="pandas").fit_transform(frame)
    assert list(result.columns) == list("abcde")


@pytest.mark.parametrize("parameters", [{"power": 0}, {"power": -1}, {"power": "half"}, {"norm": "l1"}])
def test_bad_parameters_are_refused(matrix, parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        PowerNormalizer(**parameters).fit(matrix)
