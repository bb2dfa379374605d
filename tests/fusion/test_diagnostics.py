"""Diagnostics against the published example of SAS, regressions, simulations, and the classical tests."""

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose
from scipy import linalg, sparse, stats
from sklearn.datasets import load_linnerud
from sklearn.linear_model import LinearRegression

from mmfeat.fusion import CCA, PLS, RidgeMapping, permutation_test, redundancy, wilks_test


def make_views(n, d, e, shared, rng, noise=1.0):
    common = rng.normal(size=(n, shared))
    X = common @ rng.normal(size=(shared, d)) + noise * rng.normal(size=(n, d))
    return X, common @ rng.normal(size=(shared, e)) + noise * rng.normal(size=(n, e))


WIDE_AND_TALL = [(60, 8, 5), (20, 30, 6), (20, 6, 30)]


class Doubled(PLS):
    """Components of another strength than the singular values of the cross-covariance."""

    @property
    def covariances_(self):
        return 2 * super().covariances_


class TestFitnessClub:
    """Canonical correlation analysis of the fitness club data, SAS/STAT User's Guide, PROC CANCORR, example 1."""

    exercises, body = load_linnerud(return_X_y=True)

    def test_wilks_lambda_and_f(self):
        correlations = CCA(reg=0).fit(self.body, self.exercises).canonical_correlations_
        assert_allclose(correlations, [0.795608, 0.200556, 0.072570], atol=5e-7)
        result = wilks_test(correlations, n_samples=20, n_features=3, n_targets=3)
        assert_allclose(result.wilks_lambda, [0.35039053, 0.95472266, 0.99473355], atol=5e-9)
        assert_allclose(result.f, [2.05, 0.18, 0.08], atol=0.005)
        assert_allclose(result.f_df1, [9, 4, 1])
        assert_allclose(result.f_df2, [34.223, 30, 16], atol=5e-4)
        assert_allclose(result.f_p_values, [0.0635, 0.9491, 0.7748], atol=5e-5)

    def test_redundancy(self):
        result = redundancy(CCA(reg=0).fit(self.body, self.exercises), self.body, self.exercises)
        assert_allclose(result.x_variance, [0.4508, 0.2470, 0.3022], atol=5e-5)
        assert_allclose(result.x_redundancy, [0.2854, 0.0099, 0.0016], atol=5e-5)
        assert_allclose(result.y_variance, [0.4081, 0.4345, 0.1574], atol=5e-5)
        assert_allclose(result.y_redundancy, [0.2584, 0.0175, 0.0008], atol=5e-5)


class TestRedundancy:
    def test_the_sum_is_the_share_that_regression_explains(self):
        X, Y = make_views(80, 7, 4, 2, np.random.default_rng(0))
        result = redundancy(CCA(reg=0).fit(X, Y), X, Y)
        r_squared = [LinearRegression().fit(X, column).score(X, column) for column in Y.T]
        assert_allclose(result.y_redundancy.sum(), np.mean(r_squared), atol=1e-10)
        assert_allclose(result.y_variance.sum(), 1, atol=1e-10)

    def test_held_out_rows_have_their_own_correlations(self):
        rng = np.random.default_rng(1)
        X, Y = make_views(400, 10, 8, 2, rng)
        cca = CCA(4, reg=0.1).fit(X[:200], Y[:200])
        result = redundancy(cca, X[200:], sparse.csr_array(Y[200:]))
        a, b = cca.transform(X[200:]), cca.transform_y(Y[200:])
        assert_allclose(result.correlations, [np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(4)], atol=1e-10)
        loadings = np.corrcoef(X[200:].T, a.T)[:10, 10:]
        assert_allclose(result.x_redundancy, (loadings**2).mean(axis=0) * result.correlations**2, atol=1e-10)

    def test_constant_columns_are_left_out(self):
        X, Y = make_views(60, 5, 4, 2, np.random.default_rng(2))
        wide = np.column_stack([X, np.full(60, 7.3)])
        expected = redundancy(CCA(3, reg=0).fit(X, Y), X, Y)
        assert_allclose(redundancy(CCA(3, reg=0).fit(wide, Y), wide, Y).x_variance, expected.x_variance, atol=1e-8)

    def test_other_rows_are_refused(self):
        X, Y = make_views(60, 5, 4, 2, np.random.default_rng(2))
        with pytest.raises(ValueError, match="Got 60 and 59"):
            redundancy(CCA(3).fit(X, Y), X, Y[1:])


class TestWilks:
    @pytest.mark.parametrize("n_targets", [1, 2])
    def test_f_is_exact_for_one_or_two_targets(self, n_targets):
        """One target: the F test of multiple regression. Two: p values are uniform under independence."""
        rng = np.random.default_rng(3)
        n, p = 25, 6
        p_values = []
        for _ in range(300):
            X, Y = rng.normal(size=(n, p)), rng.normal(size=(n, n_targets))
            correlations = CCA(reg=0).fit(X, Y).canonical_correlations_
            result = wilks_test(correlations, n, p, n_targets)
            p_values.append(result.f_p_values[0])
            if n_targets == 1:
                r2 = LinearRegression().fit(X, Y).score(X, Y)
                assert_allclose(result.f, r2 / (1 - r2) * (n - p - 1) / p, rtol=1e-6)
        assert stats.kstest(p_values, "uniform").pvalue > 0.01

    def test_bartlett_and_rao_agree_on_many_rows(self):
        result = wilks_test([0.09, 0.05, 0.02], 3000, 5, 3)
        assert_allclose(result.chi2_df, [15, 8, 3])
        assert_allclose(result.chi2_p_values, result.f_p_values, atol=1e-3)
        product = (1 - 0.09**2) * (1 - 0.05**2) * (1 - 0.02**2)
        assert_allclose(result.chi2[0], -(3000 - 1 - 4.5) * np.log(product))

    def test_a_perfect_correlation_has_p_value_zero(self):
        result = wilks_test([1.0, 0.1], 30, 4, 2)
        assert result.wilks_lambda[0] == 0 and result.f_p_values[0] == 0 and result.chi2_p_values[0] == 0
        assert np.isfinite(result.f_p_values).all()

    @pytest.mark.parametrize(
        ("correlations", "n_samples", "message"),
        [
            ([0.5], 100, "must hold all 2"),
            ([0.5, 1.2], 100, "in \\[0, 1\\]"),
            ([0.1, 0.5], 100, "descend"),
            ([0.5, np.nan], 100, "descend"),
            ([0.5, 0.1], 6, "more than 4 \\+ 2"),
        ],
    )
    def test_what_cannot_be_tested_is_refused(self, correlations, n_samples, message):
        with pytest.raises(ValueError, match=message):
            wilks_test(correlations, n_samples, 4, 2)


class TestPermutation:
    @pytest.mark.parametrize(
        ("fusion", "shape"),
        [
            (CCA(3, reg=0), (60, 8, 5)),
            *(
                (fusion, shape)
                for fusion in (CCA(3, reg=(0.5, 0.1)), CCA(3, reg="oas"), PLS(3))
                for shape in WIDE_AND_TALL
            ),
        ],
    )
    def test_each_null_statistic_is_that_of_a_refit(self, fusion, shape):
        """The first of a permutation is what the fusion itself finds on those rows, the ridge included."""
        X, Y = make_views(*shape, 2, np.random.default_rng(4))
        result = permutation_test(fusion, X, Y, n_permutations=6, random_state=0)
        rng = np.random.RandomState(0)

        def strengths(texts):
            fitted = type(fusion)(**fusion.get_params()).fit(X, texts)
            return fitted.canonical_correlations_ if isinstance(fusion, CCA) else fitted.covariances_

        assert_allclose(result.statistics, strengths(Y), atol=1e-8)
        refits = [strengths(Y[rng.permutation(shape[0])])[0] for _ in range(6)]
        assert_allclose(result.null_distribution[:, 0], refits, atol=1e-8)

    def test_later_null_statistics_are_angles_between_what_is_left_of_the_views(self):
        """Winkler's step: what the first canonical variables explain goes, then rows are permuted."""
        X, Y = make_views(40, 7, 5, 2, np.random.default_rng(12))
        result = permutation_test(CCA(3, reg=0), X, Y, n_permutations=5, random_state=0)
        cca, rng = CCA(5, reg=0, power=0).fit(X, Y), np.random.RandomState(0)
        orders = [rng.permutation(40) for _ in range(5)]
        for k in range(3):
            rests = []
            for view, scores in ((X, cca.transform(X)[:, :k]), (Y, cca.transform_y(Y)[:, :k])):
                rest = view - view.mean(axis=0)
                rest = rest - scores @ np.linalg.lstsq(scores, rest, rcond=None)[0] if k else rest
                rests.append(linalg.orth(rest, rcond=1e-10))
            angles = [linalg.subspace_angles(rests[0], rests[1][order]).min() for order in orders]
            assert_allclose(result.null_distribution[:, k], np.cos(angles), atol=1e-8)

    def test_p_values_count_and_never_fall(self):
        X, Y = make_views(120, 6, 5, 2, np.random.default_rng(5), noise=0.5)
        result = permutation_test(CCA(reg=0.1), X, Y, n_permutations=49, random_state=0)
        counts = (result.null_distribution >= result.statistics).sum(axis=0)
        assert_allclose(result.p_values, np.maximum.accumulate((1 + counts) / 50))
        assert result.p_values[0] == 1 / 50 and (np.diff(result.p_values) >= 0).all()

    @pytest.mark.parametrize("fusion", [CCA(1, reg=0), CCA(1, reg=0.5), PLS(1)])
    def test_p_values_are_uniform_under_independence(self, fusion):
        rng = np.random.default_rng(6)
        p_values = [
            permutation_test(
                fusion, rng.normal(size=(30, 6)), rng.normal(size=(30, 4)), n_permutations=39, random_state=seed
            ).p_values[0]
            for seed in range(200)
        ]
        # Against uniform on 1/40, 2/40 ... 40/40.
        observed = np.histogram(p_values, bins=np.arange(0.5, 41, 8) / 40)[0]
        assert stats.chisquare(observed).pvalue > 0.01

    @pytest.mark.parametrize("fusion", [CCA(4, reg=0), CCA(4, reg=0.5), PLS(4)])
    def test_it_finds_the_number_of_shared_components(self, fusion):
        rng = np.random.default_rng(7)
        found = []
        for seed in range(20):
            X, Y = make_views(200, 8, 6, 2, rng)
            found.append((permutation_test(fusion, X, Y, n_permutations=99, random_state=seed).p_values <= 0.05).sum())
        # Both are found, and a third at the rate of the level: P(more than 4 of 20 at 5 %) is 0.003.
        assert min(found) == 2
        assert np.sum(np.array(found) > 2) <= 4

    def test_a_second_component_is_not_significant_because_the_first_is(self):
        """A plain comparison with permuted second correlations would reject nearly always here."""
        rng = np.random.default_rng(8)
        p_values, plain = [], []
        for seed in range(100):
            X, Y = make_views(100, 10, 8, 1, rng)
            result = permutation_test(CCA(2, reg=0), X, Y, n_permutations=39, random_state=seed)
            p_values.append(result.p_values[1])
            null = [
                CCA(2, reg=0).fit(X, Y[rng.permutation(100)]).canonical_correlations_[1]
                for _ in range(39 * (seed < 40))
            ]
            plain.append((1 + (np.array(null) >= result.statistics[1]).sum()) / 40)
        # P(more than 12 of 100 at 5 %) is 0.001.
        assert np.sum(np.array(p_values) <= 0.05) <= 12
        assert np.mean(np.array(plain[:40]) <= 0.05) > 0.12

    def test_captions_of_one_image_move_together(self):
        """Sibling captions resemble each other and share their picture: as single rows they would seem significant."""
        rng = np.random.default_rng(9)
        groups = np.repeat(np.arange(30), 4)
        with_groups, without = [], []
        for seed in range(30):
            X, Y = rng.normal(size=(30, 5))[groups], rng.normal(size=(30, 4))[groups] + rng.normal(size=(120, 4))
            order = rng.permutation(120)
            arguments = {"n_permutations": 39, "random_state": seed}
            with_groups.append(
                permutation_test(CCA(1, reg=0.1), X[order], Y[order], groups=groups[order], **arguments).p_values[0]
            )
            without.append(permutation_test(CCA(1, reg=0.1), X[order], Y[order], **arguments).p_values[0])
        assert np.sum(np.array(with_groups) <= 0.05) <= 5
        assert np.sum(np.array(without) <= 0.05) > 10

    def test_seed_workers_and_storage_do_not_change_the_answer(self):
        X, Y = make_views(40, 6, 50, 2, np.random.default_rng(10))
        X[X < 0.3] = Y[Y < 0.3] = 0
        expected = permutation_test(CCA(3, reg=0.2), X, Y, n_permutations=9, random_state=3).null_distribution
        for x, y, n_jobs in ((X, Y, 2), (sparse.csr_array(X), sparse.csr_array(Y), None)):
            with parallel_config(backend="threading"):
                result = permutation_test(CCA(3, reg=0.2), x, y, n_permutations=9, random_state=3, n_jobs=n_jobs)
            assert_allclose(result.null_distribution, expected, atol=1e-8)

    def test_what_cannot_be_tested_is_refused(self):
        X, Y = make_views(40, 6, 5, 2, np.random.default_rng(11))
        with pytest.raises(ValueError, match="needs CCA or PLS"):
            permutation_test(RidgeMapping(), X, Y)
        with pytest.raises(ValueError, match="not those of plain CCA or PLS"):
            permutation_test(Doubled(2), X, Y)
        with pytest.raises(ValueError, match="No two groups have the same number of rows"):
            permutation_test(CCA(2), X, Y, groups=np.repeat([0, 1], [10, 30]))
        with pytest.raises(ValueError, match="All columns of a view are constant"):
            permutation_test(CCA(2), np.ones((40, 3)), Y)
        with pytest.raises(ValueError, match="n_permutations"):
            permutation_test(CCA(2), X, Y, n_permutations=0)
