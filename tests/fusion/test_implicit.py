"""Wide sparse views by products alone, against the route that squares them."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from mmfeat.fusion import CCA, PLS, _implicit
from mmfeat.fusion._bases import row_basis
from mmfeat.fusion._implicit import SparseCovariance, ridged_inverse


@pytest.fixture
def views():
    """Dense rows that share directions with sparse ones of far more columns."""
    rng = np.random.default_rng(0)
    Y = sparse.random_array((1500, 400), density=0.03, format="csr", rng=rng)
    X = rng.normal(size=(1500, 25)) + Y @ rng.normal(size=(400, 25)) + 3
    return X, Y


@pytest.fixture
def both_routes(monkeypatch):
    """Fit a fusion by squares and by products."""

    def fit(fusion, *args, **kwargs):
        squared = type(fusion)(**fusion.get_params()).fit(*args, **kwargs)
        with monkeypatch.context() as patch:
            patch.setattr(_implicit, "_WIDEST_SQUARE", 300)
            patch.setattr(_implicit, "_COLUMNS_AT_A_TIME", 7)
            return squared, fusion.fit(*args, **kwargs)

    return fit


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("wide_first", [True, False])
def test_both_routes_agree(views, both_routes, wide_first, weighted, center):
    X, Y = views[::-1] if wide_first else views
    reg = (0.05, 0.4) if wide_first else (0.4, 0.05)
    weights = np.random.default_rng(1).integers(0, 3, X.shape[0]) if weighted else None
    squared, implicit = both_routes(CCA(8, reg=reg, center=center), X, Y, sample_weight=weights)
    assert implicit.moments_ is None and squared.moments_ is not None
    assert_allclose(implicit.canonical_correlations_, squared.canonical_correlations_, atol=1e-9)
    assert_allclose(implicit.transform(X), squared.transform(X), atol=1e-6)
    assert_allclose(implicit.transform_y(Y), squared.transform_y(Y), atol=1e-6)
    embedded = squared.transform(X)
    assert_allclose(implicit.inverse_transform(embedded), squared.inverse_transform(embedded), atol=1e-5)
    assert_allclose(implicit.inverse_transform_y(embedded, "x"), squared.inverse_transform_y(embedded, "x"), atol=1e-5)


def test_covariance_directions_of_a_wide_view(views, both_routes):
    squared, implicit = both_routes(PLS(8), *views)
    assert_allclose(implicit.covariances_, squared.covariances_, rtol=1e-9)
    assert_allclose(implicit.transform_y(views[1]), squared.transform_y(views[1]), atol=1e-7)


def test_more_columns_than_rows_on_the_narrow_side(both_routes):
    rng = np.random.default_rng(0)
    Y = sparse.random_array((350, 700), density=0.03, format="csr", rng=rng)
    X = rng.normal(size=(350, 290)) + Y @ rng.normal(size=(700, 290))
    squared, implicit = both_routes(CCA(8), X, Y)
    assert_allclose(implicit.canonical_correlations_, squared.canonical_correlations_, atol=1e-9)
    assert_allclose(implicit.transform(X), squared.transform(X), atol=1e-6)


def test_the_covariance_is_that_of_numpy(views):
    _, Y = views
    weights = np.random.default_rng(1).integers(0, 3, Y.shape[0]).astype(np.float64)
    dense = np.cov(Y.toarray().T, fweights=weights.astype(int))
    covariance = SparseCovariance(Y, np.average(Y.toarray(), axis=0, weights=weights), weights)
    assert_allclose(covariance @ np.eye(Y.shape[1]), dense, atol=1e-14)
    assert_allclose(covariance.mean_variance, np.trace(dense) / len(dense), rtol=1e-12)


def test_systems_are_solved_to_the_tolerance(views):
    _, Y = views
    covariance = SparseCovariance(Y, np.asarray(Y.mean(axis=0)).ravel())
    right_hand = np.random.default_rng(1).normal(size=(Y.shape[1], 5))
    right_hand[:, 2] = 0
    solution = ridged_inverse(covariance, 1e-4, right_hand)
    expected = np.linalg.solve(covariance @ np.eye(Y.shape[1]) + 1e-4 * np.eye(Y.shape[1]), right_hand)
    assert_allclose(solution, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    assert not solution[:, 2].any()


def test_what_does_not_converge_is_told(views, monkeypatch):
    _, Y = views
    covariance = SparseCovariance(Y, np.asarray(Y.mean(axis=0)).ravel())
    monkeypatch.setattr(_implicit, "_MOST_STEPS", 2)
    with pytest.warns(ConvergenceWarning, match="after 2 steps"):
        ridged_inverse(covariance, 1e-6, np.ones((Y.shape[1], 1)))


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        (CCA(5, reg="auto"), "Give numbers"),
        (CCA(5, reg="oas"), "Give numbers"),
        (CCA(5, reg=(0.1, 0)), "ridge above 0"),
        (PLS(5, deflation="canonical"), "Use 'none'"),
    ],
)
def test_what_needs_the_square_is_refused(views, monkeypatch, fusion, message):
    monkeypatch.setattr(_implicit, "_WIDEST_SQUARE", 300)
    with pytest.raises(ValueError, match=message):
        fusion.fit(*views)


def test_two_wide_views_are_refused(monkeypatch):
    monkeypatch.setattr(_implicit, "_WIDEST_SQUARE", 20)
    Y = sparse.random_array((100, 50), density=0.2, format="csr", rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="Both views"):
        CCA(5).fit(Y, Y)


def test_a_constant_narrow_view_has_no_correlation(views, both_routes):
    _, Y = views
    _, implicit = both_routes(CCA(3), np.ones((Y.shape[0], 4)), Y)
    assert not implicit.canonical_correlations_.any()
    assert np.isfinite(implicit.transform_y(Y)).all()


def test_more_rows_cannot_be_added_to_it(views, both_routes):
    _, implicit = both_routes(CCA(3), *views)
    with pytest.raises(ValueError, match="kept no statistics"):
        implicit.partial_fit(*views)


@pytest.mark.parametrize("rank", [1, 5, 100])
def test_a_wide_view_of_low_rank_has_the_answer_of_squares(both_routes, rank):
    rng = np.random.default_rng(0)
    templates = sparse.random_array((rank, 1200), density=0.05, format="csr", rng=rng)
    Y = sparse.csr_array((rng.random((800, rank)) < 0.5).astype(float)) @ templates
    X = rng.normal(size=(800, 10)) + Y @ rng.normal(size=(1200, 10))
    squared, implicit = both_routes(CCA(3, reg=(0.1, 1e-3)), X, Y)
    n_real = min(rank, 3)
    assert_allclose(
        implicit.canonical_correlations_[:n_real], squared.canonical_correlations_[:n_real], rtol=1e-7, atol=1e-7
    )


@pytest.mark.parametrize("row", [np.zeros(400), np.linspace(0, 0.3, 400)])
def test_a_constant_wide_view_has_no_correlation(both_routes, row):
    X = np.random.default_rng(0).normal(size=(1000, 5))
    _, implicit = both_routes(CCA(3), X, sparse.csr_array(np.tile(row, (1000, 1))))
    assert not implicit.canonical_correlations_.any()
    assert np.isfinite(implicit.transform(X)).all()


def test_a_wide_view_is_not_squared_by_chunks_either(views, monkeypatch):
    monkeypatch.setattr(_implicit, "_WIDEST_SQUARE", 300)
    with pytest.raises(ValueError, match="y is sparse and has 400 columns"):
        CCA(3).partial_fit(*views)


def test_an_unknown_device_is_refused_also_where_none_is_used(views, monkeypatch):
    monkeypatch.setattr(_implicit, "_WIDEST_SQUARE", 300)
    with pytest.raises(ValueError, match="`device`"):
        CCA(3, device="gpu").fit(*views)


def test_the_basis_of_sparse_rows_is_orthonormal_and_gives_them_back():
    matrix = sparse.random_array((30, 200), density=0.2, format="csr", rng=np.random.default_rng(0))
    mean = np.asarray(matrix.mean(axis=0)).ravel()
    scores, basis = row_basis(matrix, mean)
    columns = basis @ np.eye(scores.shape[1])
    assert scores.shape == (30, 29)
    assert_allclose(columns.T @ columns, np.eye(29), atol=1e-9)
    assert_allclose(scores @ columns.T, matrix.toarray() - mean, atol=1e-9)


def test_few_rows_of_a_very_wide_sparse_view_need_no_dense_matrix_of_its_size():
    rng = np.random.default_rng(0)
    Y = sparse.random_array((400, 200_000), density=1e-4, format="csr", rng=rng)
    X = rng.normal(size=(400, 5))
    tracemalloc.start()
    CCA(3).fit(X, Y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The basis alone would have 640 MB.
    assert peak < 100e6
