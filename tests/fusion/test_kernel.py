"""KernelCCA against CCA, a textbook formula and written-out kernels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import linalg, sparse

from mmfeat.fusion import CCA, KernelCCA, _kernel
from mmfeat.fusion._kernels import LandmarkMap, fourier_map, make_kernel

WRITTEN_OUT = {
    "linear": lambda a, b, gamma: a @ b,
    "cosine": lambda a, b, gamma: a @ b / np.sqrt((a @ a) * (b @ b)),
    "rbf": lambda a, b, gamma: np.exp(-gamma * ((a - b) ** 2).sum()),
    "chi2": lambda a, b, gamma: np.exp(
        -gamma * sum((s - t) ** 2 / (s + t) for s, t in zip(a, b, strict=True) if s + t)
    ),
    "intersection": lambda a, b, gamma: np.minimum(a, b).sum(),
}


def make_views(n=80, d=12, e=9, shared=3, seed=0):
    """Histograms that share a few latent directions, and 20 new pairs of the same kind."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(shared, d)), rng.normal(size=(shared, e))
    common = rng.normal(size=(n + 20, shared))
    X, Y = (np.exp(common @ one + 0.5 * rng.normal(size=(n + 20, one.shape[1]))) for one in maps)
    X, Y = X / X.sum(axis=1, keepdims=True), Y / Y.sum(axis=1, keepdims=True)
    X[:, 0] = np.where(rng.random(n + 20) < 0.3, 0, X[:, 0])
    return X[:n], Y[:n], X[n:], Y[n:]


def written_out(kind, left, right, gamma):
    return np.array([[WRITTEN_OUT[kind](a, b, gamma) for b in right] for a in left])


def assert_same_up_to_sign(ours, theirs, **tolerance):
    signs = np.sign((ours * theirs).sum(axis=0))
    assert_allclose(ours, theirs * signs, **tolerance)


@pytest.mark.parametrize("reg", [0.1, (0.5, 0.01)])
@pytest.mark.parametrize("shape", [(80, 12, 9), (30, 60, 9), (30, 60, 50)])
def test_the_linear_kernel_is_cca(shape, reg):
    X, Y, new_x, new_y = make_views(*shape)
    ours, theirs = KernelCCA(5, kernel="linear", reg=reg).fit(X, Y), CCA(5, reg=reg, power=1).fit(X, Y)
    assert_allclose(ours.canonical_correlations_, theirs.canonical_correlations_, atol=1e-9)
    images, texts = theirs.transform(new_x), theirs.transform_y(new_y)
    assert_same_up_to_sign(ours.transform(new_x), images, atol=1e-7)
    assert_same_up_to_sign(ours.transform_y(new_y), texts, atol=1e-7)
    assert_allclose(ours.transform(new_x) @ ours.transform_y(new_y).T, images @ texts.T, atol=1e-6)


@pytest.mark.parametrize("kernel", ["rbf", "chi2", "intersection", ("cosine", "rbf")])
def test_exact_is_the_textbook_formula(kernel):
    """Hardoon, Szedmak and Shawe-Taylor (2004), equation 4.3, with the ridge on the norm of the directions."""
    X, Y, new_x, _ = make_views()
    kcca = KernelCCA(4, kernel=kernel, gamma=(2.0, 3.0), reg=(0.2, 0.7), power=0).fit(X, Y)
    n, kinds = len(X), kernel if isinstance(kernel, tuple) else (kernel, kernel)
    centring = np.eye(n) - 1 / n
    raw_x, raw_y = written_out(kinds[0], X, X, 2.0), written_out(kinds[1], Y, Y, 3.0)
    K_x, K_y = centring @ raw_x @ centring, centring @ raw_y @ centring
    ridged_x = K_x + 0.2 * np.trace(K_x) / X.shape[1] * np.eye(n)
    ridged_y = K_y + 0.7 * np.trace(K_y) / Y.shape[1] * np.eye(n)
    squares, duals = linalg.eig(np.linalg.solve(ridged_x, K_y @ np.linalg.solve(ridged_y, K_x)))
    order = np.argsort(-squares.real)[:4]
    assert_allclose(kcca.canonical_correlations_, np.sqrt(squares.real[order]), atol=1e-8)
    # New rows are centred in the space of the kernel with the means of the training rows.
    new = written_out(kinds[0], new_x, X, 2.0)
    centred = new - new.mean(axis=1, keepdims=True) - raw_x.mean(axis=0) + raw_x.mean()
    expected = centred @ duals.real[:, order]
    scale = np.sqrt((n - 1) / np.einsum("ij,ij->j", duals.real[:, order], ridged_x @ K_x @ duals.real[:, order]))
    assert_same_up_to_sign(kcca.transform(new_x), expected * scale, atol=1e-6)


@pytest.mark.parametrize("kind", WRITTEN_OUT)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_kernels_are_those_written_out(kind, dtype):
    X, _, new_x, _ = make_views(15)
    kernel = make_kernel(kind, 1.7, X.astype(dtype), None)
    assert_allclose(kernel(new_x.astype(dtype), X.astype(dtype)), written_out(kind, new_x, X, 1.7), atol=1e-6)


@pytest.mark.parametrize("kind", ["rbf", "chi2"])
def test_the_median_width_is_one_over_the_median_distance(kind):
    X, Y, *_ = make_views(25)
    pairs = [(a, b) for row, a in enumerate(X) for b in X[:row]]
    distances = [-np.log(WRITTEN_OUT[kind](a, b, 1.0)) for a, b in pairs]
    kcca = KernelCCA(2, kernel=(kind, "linear")).fit(X, Y)
    assert_allclose(kcca.x_gamma_, 1 / np.median(distances))
    assert kcca.y_gamma_ is None


@pytest.mark.parametrize("kernel", ["rbf", "chi2", "intersection", "cosine", "linear"])
def test_nystroem_with_all_rows_is_exact(kernel):
    X, Y, new_x, new_y = make_views()
    exact = KernelCCA(4, kernel=kernel, reg=0.3).fit(X, Y)
    nystroem = KernelCCA(4, kernel=kernel, reg=0.3, approximation="nystroem", random_state=0).fit(X, Y)
    assert_allclose(nystroem.canonical_correlations_, exact.canonical_correlations_, atol=1e-8)
    assert_allclose(nystroem.transform(new_x), exact.transform(new_x), atol=1e-5)
    assert_allclose(nystroem.transform_y(new_y), exact.transform_y(new_y), atol=1e-5)


@pytest.mark.parametrize("kernel", ["rbf", "chi2"])
@pytest.mark.parametrize("approximation", ["nystroem", "fourier"])
def test_approximations_embed_much_as_the_exact_one(kernel, approximation):
    X, Y, new_x, _ = make_views(400)
    exact = KernelCCA(2, kernel=kernel, reg=0.5).fit(X, Y)
    close = KernelCCA(
        2, kernel=kernel, reg=0.5, approximation=approximation, n_landmarks=200 if approximation == "nystroem" else 2000,
        random_state=0,
    ).fit(X, Y)  # fmt: skip
    assert_allclose(close.canonical_correlations_, exact.canonical_correlations_, atol=0.02)
    cosines = np.corrcoef(exact.transform(new_x).T, close.transform(new_x).T)[:2, 2:].diagonal()
    assert np.abs(cosines).min() > 0.98


@pytest.mark.parametrize("kind", ["rbf", "chi2"])
def test_products_of_fourier_features_are_the_kernel(kind):
    X, *_ = make_views(60)
    kernel = make_kernel(kind, "median", X, np.random.RandomState(0))
    features = fourier_map(kernel, 20000, X, np.random.RandomState(1)).transform(X)
    # Five standard errors of a mean of 20,000 bounded values.
    assert np.abs(features @ features.T - written_out(kind, X, X, kernel.gamma)).max() < 0.035


def test_products_of_the_nystroem_map_are_the_kernel_with_the_landmarks():
    X, _, new_x, _ = make_views(40)
    kernel = make_kernel("rbf", 1.0, X, None)
    mapping = LandmarkMap.nystroem(kernel, X[:10])
    assert_allclose(mapping.transform(new_x) @ mapping.transform(X[:10]).T, kernel(new_x, X[:10]), atol=1e-7)


def test_a_function_is_a_kernel():
    X, Y, new_x, _ = make_views()
    named = KernelCCA(3, kernel="linear", reg=0.3).fit(X, Y)
    ours = KernelCCA(3, kernel=(lambda a, b: a @ b.T, "linear"), reg=0.3).fit(X, Y)
    assert_allclose(ours.transform(new_x), named.transform(new_x), atol=1e-8)
    with pytest.raises(ValueError, match=r"finite array of shape \(80, 80\).*Got shape \(80,\)"):
        KernelCCA(3, kernel=lambda a, b: a[:, 0]).fit(X, Y)


@pytest.mark.parametrize("approximation", [None, "nystroem", "fourier"])
def test_rows_are_embedded_alone_in_blocks_and_again_alike(approximation, monkeypatch):
    X, Y, new_x, new_y = make_views()
    kcca = KernelCCA(3, approximation=approximation, n_landmarks=30, random_state=0).fit(X, Y)
    images, texts = kcca.transform(new_x), kcca.transform_y(new_y)
    assert_allclose(kcca.transform(new_x[7:8])[0], images[7], atol=1e-10)
    assert_allclose(kcca.transform_y(new_y[7:8])[0], texts[7], atol=1e-10)
    monkeypatch.setattr(_kernel, "_BLOCK_VALUES", 100)
    assert_allclose(kcca.transform(new_x), images, atol=1e-10)
    monkeypatch.undo()
    assert_allclose(kcca.fit(X, Y).transform(new_x), images, atol=1e-10)


def test_power_weights_components_without_a_new_fit():
    X, Y, new_x, _ = make_views()
    plain = KernelCCA(3, power=0).fit(X, Y)
    expected = plain.transform(new_x) * plain.canonical_correlations_**2
    assert_allclose(plain.set_params(power=2).transform(new_x), expected)


@pytest.mark.parametrize("kernel", ["linear", "cosine", "rbf"])
@pytest.mark.parametrize("approximation", [None, "nystroem"])
def test_sparse_views_give_the_answer_of_dense_ones(kernel, approximation):
    X, Y, new_x, _ = make_views()
    X, new_x = np.where(X < 0.05, 0, X), np.where(new_x < 0.05, 0, new_x)
    parameters = {"kernel": kernel, "approximation": approximation, "n_landmarks": 40, "random_state": 0}
    dense = KernelCCA(3, **parameters).fit(X, Y).transform(new_x)
    ours = KernelCCA(3, **parameters).fit(sparse.csr_array(X), Y).transform(sparse.csr_array(new_x))
    assert_allclose(ours, dense, atol=1e-7)


@pytest.mark.parametrize("kernel", ["chi2", "intersection"])
def test_kernels_of_histograms_refuse_sparse_and_negative_views(kernel):
    X, Y, *_ = make_views()
    negative = Y.copy()
    negative[5, 2] = -0.5
    fitted = KernelCCA(2, kernel=kernel).fit(X, Y)
    for refused in (KernelCCA(2, kernel=kernel).fit, lambda _, y: fitted.transform_y(y)):
        with pytest.raises(ValueError, match=rf"{kernel}.* cannot take the sparse y.*'cosine'"):
            refused(X, sparse.csr_array(Y))
        with pytest.raises(ValueError, match=rf"Negative values.*{kernel}.*row 5 of y holds -0\.5"):
            refused(X, negative)
    KernelCCA(2, kernel=(kernel, "rbf")).fit(X, negative)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kernel": ("rbf", "chi3")}, "`kernel` must be one of chi2, cosine.*two of them"),
        ({"kernel": ("rbf",)}, "`kernel` must be"),
        ({"gamma": ("median", 0)}, "`gamma` must be 'median' or a number above 0"),
        ({"gamma": -1}, "gamma"),
        ({"reg": (1, -1)}, "`reg` must be a number of at least 0"),
        ({"kernel": ("rbf", "cosine"), "approximation": "fourier"}, "Got 'cosine' instead.*nystroem"),
        ({"n_components": 81}, r"upper bound is 80\. Got 81"),
    ],
)
def test_bad_parameters_are_refused_with_the_cure(parameters, message):
    X, Y, *_ = make_views()
    with pytest.raises(ValueError, match=message):
        KernelCCA(**parameters).fit(X, Y)


def test_permuted_pairs_do_not_correlate_on_new_rows():
    X, Y, *_ = make_views(600)

    def held_out(texts):
        kcca = KernelCCA(2, reg=1.0).fit(X[:300], texts[:300])
        return np.corrcoef(kcca.transform(X[300:]).T, kcca.transform_y(texts[300:]).T)[:2, 2:].diagonal()

    # Four standard errors of a correlation over 300 independent rows.
    assert np.abs(held_out(Y[np.random.default_rng(3).permutation(600)])).max() < 4 / np.sqrt(300)
    assert held_out(Y).min() > 0.6


@pytest.mark.parametrize("approximation", [None, "nystroem", "fourier"])
def test_a_constant_view_has_no_correlation_and_no_nan(approximation):
    X, Y, *_ = make_views()
    kcca = KernelCCA(1, approximation=approximation, n_landmarks=20).fit(np.ones_like(X), Y)
    assert_allclose(kcca.canonical_correlations_, 0, atol=1e-7)
    assert np.isfinite(kcca.transform(X)).all()


def test_components_beyond_the_rank_are_zero():
    X, Y, new_x, _ = make_views(80, 12, 3)
    kcca = KernelCCA(8, kernel="linear").fit(X, Y)
    assert_allclose(kcca.canonical_correlations_[3:], 0)
    assert_allclose(kcca.transform(new_x)[:, 3:], 0)
    assert KernelCCA(kernel="linear").fit(X, Y + 1).n_components_ <= 3
