"""VLAD against a loop over descriptors."""

import numpy as np
import pytest

from mmfeat.encoding import VLAD


def make_bags(lengths=(40, 1, 25, 0, 60), width=6, dtype=np.float32):
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(n, width)) + rng.normal(size=width)).astype(dtype) for n in lengths]


def aggregate(bag, encoder):
    """Sums of residuals of one bag, descriptor by descriptor, in float64."""
    words = encoder.vocabulary_.astype(np.float64)
    sums = np.zeros(words.shape)
    for descriptor in bag.astype(np.float64):
        squared = ((words - descriptor) ** 2).sum(axis=1)
        if encoder.assignment == "hard":
            sums[squared.argmin()] += descriptor - words[squared.argmin()]
        else:
            nearest = squared.argsort()[: encoder.n_nearest]
            weights = np.exp(-squared[nearest] / (2 * encoder.sigma_**2))
            sums[nearest] += (weights / weights.sum())[:, None] * (descriptor - words[nearest])
    return sums


def unit(values, axis):
    lengths = np.linalg.norm(values, axis=axis, keepdims=True)
    return values / np.where(lengths > 0, lengths, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("assignment", ["hard", "soft"])
@pytest.mark.parametrize("intra_norm", [False, True])
@pytest.mark.parametrize(("power", "norm"), [(1, None), (1, "l2"), (0.5, "l2")])
def test_equals_a_loop_over_descriptors(dtype, assignment, intra_norm, power, norm):
    bags = make_bags(dtype=dtype)
    encoder = VLAD(4, assignment=assignment, intra_norm=intra_norm, power=power, norm=norm, random_state=0).fit(bags)
    expected = np.array([aggregate(bag, encoder) for bag in bags])
    expected = np.sign(expected) * np.abs(expected) ** power
    expected = unit(expected, 2) if intra_norm else expected
    expected = expected.reshape(len(bags), -1)
    expected = unit(expected, 1) if norm else expected
    result = encoder.transform(bags)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
    assert not result[3].any()


def test_descriptors_equal_to_their_word_give_zeros_not_noise():
    bag = np.full((37, 5), 0.1, dtype=np.float32)
    encoder = VLAD(1, random_state=0).fit([bag])
    assert not encoder.transform([bag, bag[:1]]).any()


def test_float64_descriptors_far_from_the_origin_keep_their_residuals():
    bags = make_bags(dtype=np.float64)
    encoder = VLAD(4, random_state=0).fit(bags)
    moved = [bag + 1e7 for bag in bags]
    far = VLAD(4, random_state=0).fit(moved)
    far.vocabulary_ = encoder.vocabulary_ + 1e7
    np.testing.assert_allclose(far.transform(moved), encoder.transform(bags), atol=1e-5)
