"""Fisher vectors against scikit-image, and against numerical derivatives of the log-likelihood."""

import warnings

import numpy as np
import pytest
from skimage.feature import fisher_vector
from sklearn.mixture import GaussianMixture

from mmfeat.encoding import FisherVector
from mmfeat.encoding._mixture import Mixture


def make_bags(lengths=(80, 1, 45, 120), width=5, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, width)) * 2
    return [(centres[rng.integers(3, size=n)] + rng.laplace(size=(n, width))).astype(dtype) for n in lengths]


@pytest.mark.parametrize("improved", [False, True])
@pytest.mark.parametrize("n_components", [2, 5])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-5)])
def test_equals_scikit_image(improved, n_components, dtype, tolerance):
    bags = make_bags(dtype=dtype)
    settings = {"power": 0.5, "norm": "l2"} if improved else {"power": 1, "norm": None}
    encoder = FisherVector(n_components, random_state=0, **settings).fit(bags)
    assert isinstance(encoder.mixture_, GaussianMixture)
    expected = [fisher_vector(bag.astype(np.float64), encoder.mixture_, improved=improved) for bag in bags]
    result = encoder.transform(bags)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_float32_keeps_its_digits_far_from_the_origin_and_in_narrow_components(shift):
    bags = [bag + shift for bag in make_bags((300, 200))]
    bags[0][:20] = bags[0][0] + 1e-3 * np.random.default_rng(0).normal(size=(20, 5))
    bags = [bag.astype(np.float32) for bag in bags]
    encoder = FisherVector(6, power=1, random_state=0).fit(bags)
    exact = encoder.transform([bag.astype(np.float64) for bag in bags])
    assert np.abs(encoder.transform(bags) - exact).max() < 1e-5 * np.abs(exact).max()


@pytest.mark.parametrize("kind", ["gaussian", "hybrid"])
def test_float32_keeps_its_digits_in_narrow_components_far_apart(kind):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 5)) * 1000
    bags = [(centres[rng.integers(4, size=200)] + rng.normal(size=(200, 5))).astype(np.float32) for _ in range(3)]
    encoder = FisherVector(4, mixture=kind, power=1, norm=None, var_floor=1e-8, random_state=0).fit(bags)
    exact = encoder.transform([bag.astype(np.float64) for bag in bags])
    assert np.abs(encoder.transform(bags) - exact).max() < 1e-5 * np.abs(exact).max()


def log_densities(X, weights, centres, scales, laplacian):
    """Log-likelihood of each row, column by column, in the textbook's words."""
    total = np.zeros((len(X), len(weights)))
    for k, d in np.ndindex(*centres.shape):
        z = (X[:, d] - centres[k, d]) / scales[k, d]
        if laplacian[k, d]:
            total[:, k] += -np.abs(z) - np.log(2 * scales[k, d])
        else:
            total[:, k] += -0.5 * z**2 - 0.5 * np.log(2 * np.pi) - np.log(scales[k, d])
    return np.logaddexp.reduce(total + np.log(weights), axis=1)


@pytest.mark.parametrize("kind", ["gaussian", "laplacian", "hybrid"])
def test_equals_the_numerical_gradient_over_the_root_of_the_fisher_information(kind):
    bags = make_bags(width=4)
    encoder = FisherVector(3, mixture=kind, power=1, norm=None, random_state=0).fit(bags)
    found = encoder.mixture_
    weights, centres = found.weights_, found.means_
    if kind == "gaussian":
        scales, laplacian = np.sqrt(found.covariances_), np.zeros(centres.shape, dtype=bool)
    else:
        scales, laplacian = found.scales_, found.laplacian_
    if kind == "hybrid":
        assert 0 < laplacian.mean() < 1

    def likelihood(bag, logits, centres, log_rates):
        shares = np.exp(logits) / np.exp(logits).sum()
        return log_densities(bag, shares, centres, np.exp(-log_rates), laplacian).mean()

    def derivative(bag, which):
        values = [np.log(weights), centres, -np.log(scales)]
        # The part of the scales is the derivative by the log of the precision, for Laplacian columns of the rate.
        step, slopes = 1e-6, np.empty(values[which].shape)
        for place in np.ndindex(*slopes.shape):
            ends = []
            for sign in (1, -1):
                moved = [value.copy() for value in values]
                moved[which][place] += sign * step
                ends.append(likelihood(bag, *moved))
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
        return slopes

    roots = np.sqrt(weights)[:, None]
    for bag, vector in zip(bags, encoder.transform(bags), strict=True):
        # Of log precision the derivative is half of that by log rate, and its information a half; of log rate it is 1.
        expected = [
            derivative(bag, 0) / roots[:, 0],
            derivative(bag, 1) * scales / roots,
            derivative(bag, 2) * np.where(laplacian, 1, 0.5 / np.sqrt(0.5)) / roots,
        ]
        np.testing.assert_allclose(vector, np.concatenate([part.ravel() for part in expected]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["gaussian", "laplacian", "hybrid"])
def test_gradients_are_uncorrelated_with_unit_variance_on_data_of_well_separated_components(kind):
    rng = np.random.default_rng(0)
    centres = np.array([[-60.0, 0.0], [60.0, 5.0]])
    component = rng.integers(2, size=40000)
    noise = {"gaussian": rng.normal(size=(40000, 2)), "laplacian": rng.laplace(size=(40000, 2))}
    noise["hybrid"] = np.stack([noise["gaussian"][:, 0], noise["laplacian"][:, 1]], axis=1)
    data = centres[component] + noise[kind]
    settings = {"power": 1, "norm": None, "var_floor": 1e-5, "random_state": 0}
    encoder = FisherVector(2, mixture=kind, gradients=("means", "scales"), **settings).fit([data])
    if kind == "hybrid":
        np.testing.assert_array_equal(encoder.mixture_.laplacian_, [[False, True]] * 2)
    singles = encoder.transform(list(data[:, None]))
    information = singles.T @ singles / len(singles)
    np.testing.assert_allclose(information, np.eye(8), atol=0.06)


@pytest.mark.parametrize("gradients", [("weights",), ["scales", "means"], ("means", "weights")])
def test_gradients_are_parts_of_the_whole_in_a_fixed_order(gradients):
    bags = make_bags()
    whole = FisherVector(3, norm=None, random_state=0).fit(bags)
    some = FisherVector(3, norm=None, gradients=gradients, random_state=0).fit(bags)
    names = [name for name in whole.get_feature_names_out() if f"{name.split('_')[1]}s" in gradients]
    assert list(some.get_feature_names_out()) == names
    chosen = np.isin(whole.get_feature_names_out(), names)
    np.testing.assert_array_equal(some.transform(bags), whole.transform(bags)[:, chosen])


def test_intra_norm_brings_each_block_to_one():
    bags = make_bags()
    blocks = FisherVector(3, intra_norm=True, norm=None, random_state=0).fit_transform(bags)
    np.testing.assert_allclose(np.linalg.norm(blocks[:, 3:].reshape(len(bags), 6, 5), axis=2), 1, rtol=1e-6)


@pytest.mark.parametrize("gradients", [(), ("mean",), ["weights", 3]])
def test_unknown_gradients_are_refused(gradients):
    with pytest.raises(ValueError, match="gradients"):
        FisherVector(2, gradients=gradients).fit(make_bags())


@pytest.mark.parametrize("kind", ["gaussian", "laplacian", "hybrid"])
def test_constant_descriptors_give_finite_vectors(kind):
    constant = [np.full((9, 3), 0.3, dtype=np.float32), np.full((1, 3), 0.3, dtype=np.float32)]
    other = [np.zeros((4, 3), np.float32), np.full((2, 3), 1e4, np.float32)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = FisherVector(2, mixture=kind, random_state=0).fit(constant)
    assert np.isfinite(encoder.transform(constant + other)).all()
    half = make_bags((50, 20), dtype=np.float32)
    for bag in half:
        bag[:, 1] = 7
    encoder = FisherVector(2, mixture=kind, random_state=0).fit(half)
    assert np.isfinite(encoder.transform(half)).all()


@pytest.mark.parametrize("kind", ["gaussian", "hybrid"])
def test_partial_fit_of_one_batch_is_fit_and_more_batches_improve_the_mixture(kind):
    def score(encoder, bags):
        return encoder.mixture_.score(np.concatenate(bags))

    bags = make_bags((200,) * 6)
    settings = {"mixture": kind, "tol": 1e-6, "max_iter": 300, "random_state": 0}
    one = FisherVector(3, **settings).partial_fit(bags[:1])
    np.testing.assert_array_equal(one.transform(bags), FisherVector(3, **settings).fit(bags[:1]).transform(bags))
    before = score(one, bags)
    for bag in bags[1:]:
        one.partial_fit([bag])
    assert score(one, bags) > before
    assert score(one, bags) == pytest.approx(score(FisherVector(3, **settings).fit(bags), bags), abs=0.02)


def test_partial_fit_keeps_a_bounded_even_sample():
    encoder = FisherVector(2, max_samples=300, random_state=0)
    for batch in range(10):
        encoder.partial_fit([np.random.default_rng(batch).normal(size=(200, 1)) * 0.1 + batch])
    kept = encoder._reservoir.rows
    assert kept.shape == (300, 1)
    counts = np.bincount(np.rint(kept[:, 0]).astype(int), minlength=10)
    assert counts.min() > 10 and counts.max() < 60
    assert encoder.fit(make_bags())._reservoir is None


def test_rows_of_a_stream_leave_the_sample_with_equal_chance_under_a_seed():
    encoder = FisherVector(1, max_samples=50, max_iter=1, random_state=0)
    encoder.partial_fit([np.arange(-49, 1.0)[:, None]])
    for place in range(1, 401):
        encoder.partial_fit([np.full((1, 1), float(place))])
    kept = encoder._reservoir.rows
    # 50, 300 and 100 of 450 rows.
    assert (kept <= 0).mean() == pytest.approx(1 / 9, abs=0.09)
    assert (kept > 300).mean() == pytest.approx(2 / 9, abs=0.12)


def test_a_stream_after_fit_is_refused():
    encoder = FisherVector(2, random_state=0).fit(make_bags())
    before = encoder.transform(make_bags())
    with pytest.raises(ValueError, match="Begin the stream with `partial_fit`"):
        encoder.partial_fit(make_bags((20,)))
    np.testing.assert_array_equal(encoder.transform(make_bags()), before)


def test_a_mixture_of_another_library_may_take_the_place():
    bags = make_bags()
    encoder = FisherVector(4, random_state=0).fit(bags)
    encoder.mixture_ = GaussianMixture(4, covariance_type="diag", random_state=1).fit(np.concatenate(bags))
    expected = [fisher_vector(bag, encoder.mixture_, improved=True) for bag in bags]
    np.testing.assert_allclose(encoder.transform(bags), expected, atol=1e-10)


def test_densities_of_a_mixture_are_the_textbook_ones():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4))
    parameters = rng.dirichlet(np.ones(3)), rng.normal(size=(3, 4)), rng.uniform(0.5, 2, (3, 4))
    mixture = Mixture(*parameters, rng.random((3, 4)) < 0.5)
    np.testing.assert_allclose(mixture.score_samples(X), log_densities(X, *parameters, mixture.laplacian_), rtol=1e-10)
    np.testing.assert_allclose(mixture.predict_proba(X).sum(axis=1), 1)
    assert mixture.score(X) == pytest.approx(mixture.score_samples(X).mean())
