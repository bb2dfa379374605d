"""CCA and PLS against textbook formulas in float64."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import linalg, sparse
from sklearn import cross_decomposition
from sklearn.cross_decomposition import PLSSVD, PLSCanonical

from mmfeat.fusion import CCA, PLS, _moments
from mmfeat.fusion._moments import Moments
from mmfeat.fusion._solve import leading_svd


def make_views(n=300, d=40, e=30, shared=5, seed=0):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, shared))
    X = common @ rng.normal(size=(shared, d)) + rng.normal(size=(n, d)) + rng.normal(size=d)
    Y = common @ rng.normal(size=(shared, e)) + rng.normal(size=(n, e)) + rng.normal(size=e)
    return X, Y


def textbook_correlations(X, Y, reg_x, reg_y, n_components):
    """Square roots of the eigenvalues of A^-1 C B^-1 C' with ridged covariances A and B."""
    X, Y, n = X - X.mean(axis=0), Y - Y.mean(axis=0), len(X) - 1

    def ridged(view, reg):
        covariance = view.T @ view / n
        return covariance + reg * np.trace(covariance) / len(covariance) * np.eye(len(covariance))

    cross = X.T @ Y / n
    squared = linalg.eigh(cross @ np.linalg.solve(ridged(Y, reg_y), cross.T), ridged(X, reg_x), eigvals_only=True)
    return np.sqrt(np.maximum(squared[::-1][:n_components], 0))


@pytest.mark.parametrize("reg", [0, 0.1, (0.5, 0.01)])
@pytest.mark.parametrize("shape", [(300, 40, 30), (300, 6, 30)])
def test_correlations_are_those_of_the_textbook(shape, reg):
    X, Y = make_views(*shape)
    regs = reg if isinstance(reg, tuple) else (reg, reg)
    cca = CCA(6, reg=reg).fit(X, Y)
    assert_allclose(cca.canonical_correlations_, textbook_correlations(X, Y, *regs, 6), atol=1e-10)


@pytest.mark.parametrize("shape", [(40, 200, 90), (40, 200, 10), (40, 10, 200)])
def test_more_columns_than_rows_give_the_same_answer(shape):
    X, Y = make_views(*shape)
    cca = CCA(8, reg=0.2).fit(X, Y)
    assert_allclose(cca.canonical_correlations_, textbook_correlations(X, Y, 0.2, 0.2, 8), atol=1e-10)
    # Unseen rows lie outside the span of the training rows; the covariance route knows nothing of that span.
    new_x, new_y = make_views(*shape, seed=1)
    from_moments = CCA(8, reg=0.2).partial_fit(X, Y)
    assert_allclose(cca.transform(new_x), from_moments.transform(new_x), atol=1e-8)
    assert_allclose(cca.transform_y(new_y), from_moments.transform_y(new_y), atol=1e-8)


def test_without_ridge_scores_are_white_and_paired():
    X, Y = make_views()
    cca = CCA(6, reg=0, power=0).fit(X, Y)
    scores_x, scores_y = cca.transform(X), cca.transform_y(Y)
    assert_allclose(np.cov(scores_x.T), np.eye(6), atol=1e-10)
    assert_allclose(np.cov(scores_y.T), np.eye(6), atol=1e-10)
    cross = np.cov(scores_x.T, scores_y.T)[:6, 6:]
    assert_allclose(cross, np.diag(cca.canonical_correlations_), atol=1e-10)


def test_components_span_those_of_nipals():
    X, Y = make_views(200, 6, 5, 3)
    ours = CCA(3, reg=0, power=0).fit(X, Y).transform(X)
    theirs = cross_decomposition.CCA(3, max_iter=5000, tol=1e-10).fit(X, Y).transform(X)
    cosines = np.abs((ours * theirs).sum(axis=0)) / np.linalg.norm(ours, axis=0) / np.linalg.norm(theirs, axis=0)
    assert_allclose(cosines, 1, atol=1e-4)


def test_correlations_do_not_change_under_invertible_maps_without_ridge():
    X, Y = make_views()
    mixed = X @ np.random.default_rng(2).normal(size=(40, 40)) + 3
    expected = CCA(6, reg=0).fit(X, Y).canonical_correlations_
    assert_allclose(CCA(6, reg=0).fit(mixed, Y).canonical_correlations_, expected, atol=1e-8)
    assert_allclose(CCA(6, reg=0).fit(Y, X).canonical_correlations_, expected, atol=1e-10)


def test_swapped_views_swap_their_components():
    X, Y = make_views()
    one, other = CCA(6, reg=(0.1, 0.4)).fit(X, Y), CCA(6, reg=(0.4, 0.1)).fit(Y, X)
    assert_allclose(one.canonical_correlations_, other.canonical_correlations_, atol=1e-12)
    assert_allclose(np.abs(one.transform(X)), np.abs(other.transform_y(X)), atol=1e-8)


def test_torch_gives_the_products_of_numpy(monkeypatch):
    X, Y = make_views()
    monkeypatch.setattr(_moments, "_DEVICE_BLOCK_BYTES", 40_000)
    # Any device other than the processor's own name takes the way through torch.
    ours, expected = Moments.of(X, Y, device="cpu:0"), Moments.of(X, Y)
    for name in ("mean_x", "xx", "yy", "xy"):
        assert_allclose(getattr(ours, name), getattr(expected, name), rtol=1e-12, atol=1e-9)
    with pytest.raises(ValueError, match="`device`"):
        CCA(2, device="gpu").fit(X, Y)


@pytest.mark.parametrize("setting", ["tf32", "ieee", "none"])
def test_the_precision_of_products_is_left_as_it_was_set(setting):
    import torch

    X, Y = make_views(50, 4, 3)
    switch = torch.backends.cuda.matmul
    before, switch.fp32_precision = switch.fp32_precision, setting
    try:
        products = _moments.torch_products(X, Y, "cpu")
        assert switch.fp32_precision == setting
    finally:
        switch.fp32_precision = before
    assert_allclose(products[2], X.T @ Y)


@pytest.mark.gpu
def test_cuda_gives_the_answer_of_the_processor():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA")
    X, Y = (view.astype(np.float32) for view in make_views(3000, 100, 60))
    ours, expected = CCA(8, device="cuda").fit(X, Y), CCA(8).fit(X, Y)
    assert_allclose(ours.canonical_correlations_, expected.canonical_correlations_, atol=1e-5)
    assert_allclose(ours.transform(X), expected.transform(X), atol=1e-3)
    auto = CCA(8, device="cuda", reg="auto").fit(X, Y)
    assert auto.reg_ == CCA(8, reg="auto").fit(X, Y).reg_


def test_ridge_does_not_depend_on_the_scale_of_a_view():
    X, Y = make_views()
    expected = CCA(6, reg=0.3).fit(X, Y).canonical_correlations_
    assert_allclose(CCA(6, reg=0.3).fit(1000 * X, Y / 50).canonical_correlations_, expected, atol=1e-10)


def test_power_weights_components_by_their_correlation():
    X, Y = make_views()
    plain, weighted = CCA(4, power=0).fit(X, Y), CCA(4, power=3).fit(X, Y)
    assert_allclose(weighted.transform(X), plain.transform(X) * plain.canonical_correlations_**3)
    assert_allclose(weighted.transform_y(Y), plain.transform_y(Y) * plain.canonical_correlations_**3)
    assert_allclose(plain.set_params(power=3).transform(X), weighted.transform(X))


def test_a_large_ridge_leaves_partial_least_squares():
    X, Y = make_views()
    ridged, pls = CCA(3, reg=1e9, power=0).fit(X, Y), PLS(3).fit(X, Y)
    for ours, theirs in ((ridged.x_rotations_, pls.x_rotations_), (ridged.y_rotations_, pls.y_rotations_)):
        assert_allclose(ours / np.linalg.norm(ours, axis=0), theirs, atol=1e-6)


def test_permuted_pairs_do_not_correlate_on_new_rows():
    X, Y = make_views(600)
    permuted = Y[np.random.default_rng(3).permutation(600)]

    def held_out(texts):
        cca = CCA(5, reg=0.1).fit(X[:300], texts[:300])
        return np.corrcoef(cca.transform(X[300:]).T, cca.transform_y(texts[300:]).T)[:5, 5:].diagonal()

    # Four standard errors of a correlation over 300 independent rows.
    assert np.abs(held_out(permuted)).max() < 4 / np.sqrt(300)
    assert held_out(Y).min() > 0.8


@pytest.mark.parametrize("shape", [(300, 40, 30), (40, 200, 10)])
def test_pls_is_that_of_scikit_learn(shape):
    X, Y = make_views(*shape)
    ours, theirs = PLS(4).fit(X, Y), PLSSVD(4, scale=False).fit(X, Y)
    scores = theirs.transform(X)
    assert_allclose(np.abs(ours.transform(X)), np.abs(scores), atol=1e-8)
    assert_allclose(ours.covariances_, linalg.svdvals((X - X.mean(0)).T @ (Y - Y.mean(0)))[:4] / (len(X) - 1))


@pytest.mark.parametrize("shape", [(300, 40, 30), (40, 200, 10)])
def test_pls_with_canonical_deflation_is_that_of_scikit_learn(shape):
    X, Y = make_views(*shape)
    ours = PLS(4, deflation="canonical").fit(X, Y)
    theirs = PLSCanonical(4, scale=False, max_iter=5000, tol=1e-12).fit(X, Y).transform(X, Y)
    for found, expected in zip((ours.transform(X), ours.transform_y(Y)), theirs, strict=True):
        assert_allclose(np.abs(found), np.abs(expected), atol=1e-5 * np.abs(expected).max())


def test_a_fitted_fusion_explains_a_pair():
    X, Y = make_views()
    cca = CCA(5).fit(X, Y)
    explanation = cca.explain(X[3], Y[3], top=4)
    x, y = cca.transform(X[3:4])[0], cca.transform_y(Y[3:4])[0]
    assert explanation.cosine == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


@pytest.mark.parametrize("fusion", [CCA(5, reg=0.1), PLS(5), PLS(5, deflation="canonical")])
class TestBothLinearFusions:
    def test_chunks_and_parts_are_one_fit(self, fusion):
        X, Y = make_views()
        whole = type(fusion)(**fusion.get_params()).fit(X, Y)
        chunked = type(fusion)(**fusion.get_params())
        for rows in np.array_split(np.arange(300), [70, 72, 90, 120, 150, 170, 200, 240, 290]):
            chunked.partial_fit(X[rows], Y[rows])
        bounds = ((0, 60), (60, 150), (150, 200), (200, 300))
        parts = [type(fusion)(**fusion.get_params()).fit(X[start:stop], Y[start:stop]) for start, stop in bounds]
        merged = parts[0].merge(parts[1]).merge(parts[2].merge(parts[3]))
        assert merged is parts[0]
        assert_allclose(merged.transform(X), whole.transform(X), atol=1e-8)
        assert_allclose(merged.transform_y(Y), whole.transform_y(Y), atol=1e-8)
        assert_allclose(chunked.transform(X), whole.transform(X), atol=1e-8)

    @pytest.mark.parametrize("shape", [(300, 40, 30), (60, 200, 90)])
    def test_sparse_views_give_the_answer_of_dense_ones(self, fusion, shape):
        rng = np.random.default_rng(4)
        X = sparse.random_array(shape[:2], density=0.2, rng=rng, format="csr")
        Y = sparse.random_array((shape[0], shape[2]), density=0.2, rng=rng, format="csr") + X[:, : shape[2]]
        dense = type(fusion)(**fusion.get_params()).fit(X.toarray(), Y.toarray())
        for left, right in ((X, Y), (X, Y.toarray()), (X.toarray(), Y)):
            ours = type(fusion)(**fusion.get_params()).fit(left, right)
            assert_allclose(ours.transform(left), dense.transform(X.toarray()), atol=1e-8)
            assert_allclose(ours.transform_y(right), dense.transform_y(Y.toarray()), atol=1e-8)

    def test_float32_stays_float32_and_close(self, fusion):
        X, Y = make_views()
        exact = type(fusion)(**fusion.get_params()).fit(X, Y).transform(X)
        rounded = type(fusion)(**fusion.get_params()).fit(X.astype("f4"), Y.astype("f4")).transform(X.astype("f4"))
        assert rounded.dtype == np.float32
        assert_allclose(rounded, exact, atol=1e-3 * np.abs(exact).max())

    def test_each_view_is_embedded_alone_with_any_number_of_rows(self, fusion):
        X, Y = make_views()
        fusion = fusion.fit(X, Y)
        assert_allclose(fusion.transform(X[7:8])[0], fusion.transform(X)[7])
        assert_allclose(fusion.transform_y(Y[7:8])[0], fusion.transform_y(Y)[7])

    @pytest.mark.parametrize("shape", [(60, 10, 8), (30, 100, 8)])
    @pytest.mark.parametrize("as_sparse", [False, True])
    def test_a_weight_of_two_is_the_row_twice(self, fusion, shape, as_sparse):
        X, Y = make_views(*shape)
        weights = np.random.default_rng(8).integers(0, 3, shape[0])
        repeated = np.repeat(np.arange(shape[0]), weights)
        expected = type(fusion)(**fusion.get_params()).fit(X[repeated], Y[repeated]).transform(X)
        view = sparse.csr_array(X) if as_sparse else X
        assert_allclose(fusion.fit(view, Y, sample_weight=weights).transform(X), expected, atol=1e-7)
        with pytest.raises(ValueError, match="sum to more than 1"):
            fusion.fit(X, Y, sample_weight=np.full(shape[0], 1e-9))

    def test_float32_far_from_the_origin_keeps_its_digits(self, fusion):
        X, Y = make_views()
        expected = type(fusion)(**fusion.get_params()).fit(X, Y).transform(X)
        far = (X + 1000).astype(np.float32)
        exact = type(fusion)(**fusion.get_params()).fit(far.astype(np.float64), Y).transform(far.astype(np.float64))
        ours = fusion.fit(far, Y.astype(np.float32)).transform(far.astype(np.float64))
        assert np.abs(exact - expected).max() < 1e-2
        assert_allclose(ours, exact, atol=1e-4 * np.abs(exact).max())

    @pytest.mark.parametrize("as_sparse", [False, True])
    def test_groups_of_repeated_images_change_the_time_but_not_the_answer(self, fusion, as_sparse):
        X, Y = make_views(40, 100, 30)
        groups = np.repeat(np.arange(40)[::-1], 3)
        repeated, texts = X[groups], np.random.default_rng(6).normal(size=(120, 30)) + Y[groups]
        view = sparse.csr_array(repeated) if as_sparse else repeated
        plain = type(fusion)(**fusion.get_params()).fit(repeated, texts)
        grouped = type(fusion)(**fusion.get_params()).fit(view, texts, groups=groups)
        assert grouped.moments_ is None and plain.moments_ is not None
        assert_allclose(grouped.transform(X), plain.transform(X), atol=1e-7)
        assert_allclose(grouped.transform_y(Y), plain.transform_y(Y), atol=1e-7)
        # Groups whose rows are no repetitions are told apart and must not be collapsed.
        noisy = repeated + np.random.default_rng(7).normal(size=repeated.shape)
        expected = type(fusion)(**fusion.get_params()).fit(noisy, texts).transform(X)
        assert_allclose(fusion.fit(noisy, texts, groups=groups).transform(X), expected, atol=1e-8)

    def test_too_many_components_are_refused_with_the_bound(self, fusion):
        X, Y = make_views(300, 40, 3)
        with pytest.raises(ValueError, match=r"upper bound is 3\. Got 5 instead"):
            fusion.fit(X, Y)

    def test_views_of_different_length_are_refused(self, fusion):
        X, Y = make_views()
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            fusion.fit(X, Y[:-1])

    def test_a_second_view_of_another_width_is_refused(self, fusion):
        X, Y = make_views()
        fusion.fit(X, Y)
        with pytest.raises(ValueError, match=f"y has 29 features, but {type(fusion).__name__} was fitted with 30"):
            fusion.transform_y(Y[:, :-1])
        with pytest.raises(ValueError, match="y has 29 features"):
            fusion.partial_fit(X, Y[:, :-1])

    def test_only_like_fusions_merge(self, fusion):
        X, Y = make_views()
        fusion.fit(X, Y)
        other = PLS() if isinstance(fusion, CCA) else CCA()
        with pytest.raises(ValueError, match=f"Expected a fitted {type(fusion).__name__}"):
            fusion.merge(other.fit(X, Y))
        with pytest.raises(ValueError, match="saw views of 39 and 30 columns, this one of 40 and 30"):
            fusion.merge(type(fusion)().fit(X[:, :-1], Y))
        with pytest.raises(ValueError, match="kept no statistics"):
            fusion.merge(type(fusion)().fit(X[:20], Y[:20]))
        with pytest.raises(ValueError, match="Start with `partial_fit`"):
            type(fusion)().fit(X[:20], Y[:20]).partial_fit(X, Y)


@pytest.mark.parametrize("reg", [-0.1, (0.1,), (0.1, -1), (np.inf, 1), "huge"])
def test_a_bad_ridge_is_refused(reg):
    X, Y = make_views()
    with pytest.raises(ValueError, match="reg"):
        CCA(2, reg=reg).fit(X, Y)


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (100, 100)])
@pytest.mark.parametrize("k", [1, 20, 90])
def test_the_leading_decomposition_is_that_of_lapack(shape, k):
    matrix = np.random.default_rng(9).normal(size=shape) * np.geomspace(1, 1e-3, shape[1])
    left, values, right = leading_svd(matrix, k)
    assert_allclose(values, linalg.svdvals(matrix)[:k], rtol=1e-8)
    assert_allclose(left.T @ left, np.eye(k), atol=1e-6)
    assert_allclose(left.T @ matrix @ right, np.diag(values), atol=1e-8)


def test_weak_components_are_not_lost_to_squaring():
    rng = np.random.default_rng(10)
    frame = [linalg.qr(rng.normal(size=(200, 30)), mode="economic")[0] for _ in range(2)]
    values = np.geomspace(1, 1e-9, 30)
    left, found, _ = leading_svd(frame[0] * values @ frame[1].T, 30)
    assert_allclose(found, values, rtol=1e-5)
    assert_allclose(np.abs((left * frame[0]).sum(axis=0)), 1, atol=1e-6)


def test_folds_are_taken_away_from_the_total():
    X, Y = make_views()
    total, fold = Moments.of(X, Y), Moments.of(X[:60], Y[:60])
    rest = Moments.of(X[60:], Y[60:])
    for name in ("n", "mean_x", "mean_y", "xx", "yy", "xy"):
        assert_allclose(getattr(total - fold, name), getattr(rest, name), atol=1e-9)
        assert_allclose(getattr(fold + rest, name), getattr(total, name), atol=1e-9)


@pytest.mark.parametrize("shape", [(300, 40, 30), (10, 40, 30)])
@pytest.mark.parametrize("fusion", [CCA(2), CCA(2, reg=0), PLS(2), CCA(2, reg="auto"), CCA(2, reg="oas")])
def test_a_constant_view_has_no_correlation_and_no_nan(fusion, shape):
    X, Y = make_views(*shape)
    for left, right in ((np.ones_like(X), Y), (X, np.zeros_like(Y))):
        fusion.fit(left, right)
        assert_allclose(fusion._strengths, 0, atol=1e-7)
        assert np.isfinite(fusion.transform(X)).all()
        assert np.isfinite(fusion.transform_y(Y)).all()


def test_units_of_measure_do_not_hide_a_column_without_ridge():
    X, Y = make_views(200, 6, 5, 4)
    expected = CCA(4, reg=0).fit(X, Y).canonical_correlations_
    assert_allclose(CCA(4, reg=0).fit(X * [1e8, 1, 1, 1e-6, 1, 1], Y).canonical_correlations_, expected, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-25, 1e20])
def test_float32_of_any_size_is_multiplied_without_loss(scale):
    X, Y = make_views(200, 6, 5, 4)
    expected = CCA(4, reg=0).fit(X, Y).canonical_correlations_
    assert_allclose(CCA(4, reg=0).fit((X * scale).astype("f4"), Y).canonical_correlations_, expected, atol=1e-4)


def test_float32_rows_in_order_of_size_do_not_cancel(monkeypatch):
    monkeypatch.setattr(_moments, "_BLOCK_BYTES", 1)
    X, Y = make_views(3000, 6, 5, 4)
    X[1536:] += 1e4  # where a block begins: within one, float32 has no more digits to give
    X, Y = X.astype("f4"), Y.astype("f4")
    expected = CCA(4, reg=0).fit(X.astype("f8"), Y.astype("f8")).canonical_correlations_
    assert_allclose(CCA(4, reg=0).fit(X, Y).canonical_correlations_, expected, atol=2e-3)


def test_a_refit_gives_the_same_signs():
    X, Y = make_views()
    order = np.random.default_rng(5).permutation(len(X))
    assert_allclose(CCA(5).fit(X, Y).x_rotations_, CCA(5).fit(X[order], Y[order]).x_rotations_, atol=1e-8)


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_constant_column_has_no_say_without_ridge(monkeypatch, as_sparse, streamed):
    monkeypatch.setattr(_moments, "_BLOCK_BYTES", 1)
    X, Y = make_views(700, 6, 5, 4)
    # No power of two, so that the mean of each block is rounded.
    views = np.c_[X, np.full(700, 0.3)], np.c_[Y, np.full(700, -1e3 / 3)]
    if as_sparse:
        views = tuple(sparse.csr_array(view) for view in views)
    cca = CCA(5, reg=0)
    if streamed:
        cca.partial_fit(*(view[:300] for view in views)).partial_fit(*(view[300:] for view in views))
    else:
        cca.fit(*views)
    assert not cca.x_rotations_[-1].any() and not cca.y_rotations_[-1].any()
    assert_allclose(cca.canonical_correlations_, CCA(5, reg=0).fit(X, Y).canonical_correlations_, atol=1e-10)


def test_a_small_float32_column_beside_large_ones_keeps_its_digits():
    X, Y = make_views(300, 5, 5)
    X = (X * [1e-22, 1, 1, 1, 1]).astype("f4")
    expected = CCA(4, reg=0).fit(X.astype("f8"), Y).canonical_correlations_
    assert_allclose(CCA(4, reg=0).fit(X, Y).canonical_correlations_, expected, atol=1e-6)


def test_chunks_of_any_size_and_weight_are_one_fit():
    X, Y = make_views()
    weights = np.full(300, 0.1)
    expected = CCA(8).fit(X, Y, sample_weight=weights)
    chunked = CCA(8).partial_fit(X[:15], Y[:15], sample_weight=weights[:15])
    # 1.5 rows have one component; the rest are zero until there are more.
    assert chunked.transform(X).shape == (300, 8) and not chunked.x_rotations_[:, 1:].any()
    for rows in (slice(15, 16), slice(16, 20), slice(20, 300)):
        chunked.partial_fit(X[rows], Y[rows], sample_weight=weights[rows])
    assert_allclose(chunked.transform(X), expected.transform(X), atol=1e-8)
    with pytest.raises(ValueError, match="Start with more rows"):
        CCA(1).partial_fit(X[:1], Y[:1])


@pytest.mark.parametrize("as_sparse", [False, True])
def test_two_constant_views_of_few_rows(as_sparse):
    X = sparse.csr_array(np.ones((10, 40))) if as_sparse else np.ones((10, 40))
    assert not CCA(2).fit(X, np.ones((10, 30))).canonical_correlations_.any()


def test_an_older_model_without_the_newer_parameters_still_embeds():
    X, Y = make_views()
    cca = CCA(4).fit(X, Y)
    embedded = cca.transform(X)
    for name in ("center", "device"):
        del cca.__dict__[name]
    assert_allclose(cca.transform(X), embedded)
    assert_allclose(cca.partial_fit(X, Y).moments_.n, 600)
