"""Intervals and tests against scipy, and by simulation: how often they are right is what they promise."""

from functools import partial
from itertools import product

import numpy as np
import pytest
from scipy.stats import bootstrap

from mmfeat.metrics import (
    RelevantRanks,
    bootstrap_interval,
    mean_rank,
    mean_reciprocal_rank,
    median_rank,
    paired_test,
    rank_relevant,
    recall_at_k,
    rsum,
)

at_5 = partial(recall_at_k, k=5)


def as_ranks(first, groups=None, n_gallery=1000):
    """One relevant item a query, at the given ranks."""
    first = np.asarray(first)
    return RelevantRanks(np.arange(len(first) + 1), first, np.ones(len(first)), n_gallery, groups)


def simulated(rng, n_images, n_captions=5, ease=0.0):
    """Ranks of captions that are hard or easy together, by image; `ease` is what a system adds."""
    common = rng.normal(size=(n_images, 1))
    noise = rng.normal(size=(n_images, n_captions))
    ranks = np.ceil(np.exp(np.clip(2 - ease - common - noise, 0, 6.9))).astype(int)
    return ranks.ravel(), np.repeat(np.arange(n_images), n_captions)


def test_the_interval_is_that_of_scipy_where_each_query_is_its_own_group():
    ranks = simulated(np.random.default_rng(0), 300, 1)[0]
    ours = bootstrap_interval(as_ranks(ranks), mean_reciprocal_rank, n_resamples=20000, random_state=0)
    theirs = bootstrap((1 / ranks,), np.mean, n_resamples=20000, method="BCa", random_state=0).confidence_interval
    width = theirs.high - theirs.low
    assert ours.estimate == pytest.approx(np.mean(1 / ranks))
    assert ours.low == pytest.approx(theirs.low, abs=0.02 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.02 * width)


def test_the_interval_is_that_of_scipy_over_images_with_captions_of_any_number():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(200), rng.integers(1, 6, 200))
    hits = (rng.random(len(groups)) < 0.2 + 0.6 * (groups % 2)).astype(float)
    sums, counts = np.bincount(groups, hits), np.bincount(groups)
    theirs = bootstrap(
        (sums, counts),
        lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        n_resamples=20000,
        random_state=0,
    ).confidence_interval
    ranks = as_ranks(np.where(hits, 1, 9), groups)
    ours = bootstrap_interval(ranks, partial(recall_at_k, k=1), n_resamples=20000, random_state=0)
    assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=0.03 * (theirs.high - theirs.low))
    assert ours.n_groups == 200


def coverage(metric, make, truth, n_simulations=1000):
    rng = np.random.default_rng(0)
    intervals = [bootstrap_interval(make(rng), metric, n_resamples=999, random_state=s) for s in range(n_simulations)]
    return np.mean([interval.low <= truth <= interval.high for interval in intervals])


@pytest.mark.parametrize("captions", [1, 5])
def test_95_of_100_intervals_hold_the_truth(captions):
    # 400,000 images stand for the population.
    truth = np.mean(simulated(np.random.default_rng(99), 400_000, captions)[0] <= 5)

    def make(rng):
        ranks, groups = simulated(rng, 150, captions)
        return as_ranks(ranks, groups)

    assert 0.93 <= coverage(at_5, make, truth) <= 0.97


def test_95_of_100_intervals_hold_the_true_rsum_of_both_directions():
    def make(rng, n_images=150):
        ranks, groups = simulated(rng, n_images)
        best = ranks.reshape(n_images, -1).min(axis=1)
        return {"i2t": as_ranks(best, np.arange(n_images)), "t2i": as_ranks(ranks, groups)}

    assert 0.93 <= coverage(rsum, make, rsum(make(np.random.default_rng(99), 200_000)), 600) <= 0.97


def test_captions_drawn_one_by_one_would_pretend_to_know_more():
    ranks, groups = simulated(np.random.default_rng(3), 200)
    by_image = bootstrap_interval(as_ranks(ranks, groups), at_5, random_state=0)
    by_caption = bootstrap_interval(as_ranks(ranks), at_5, random_state=0)
    assert by_image.high - by_image.low > 1.2 * (by_caption.high - by_caption.low)


@pytest.mark.parametrize("method", ["permutation", "bootstrap"])
def test_five_of_a_hundred_equal_systems_look_different(method):
    rng = np.random.default_rng(0)
    p_values = []
    for number in range(1000):
        common = rng.normal(size=(100, 1))
        systems = [
            as_ranks(
                np.ceil(np.exp(np.clip(2 - common - rng.normal(size=(100, 3)), 0, 6))).astype(int).ravel(),
                np.repeat(np.arange(100), 3),
            )
            for _ in range(2)
        ]
        result = paired_test(*systems, mean_reciprocal_rank, method=method, n_resamples=499, random_state=number)
        p_values.append(result.p_value)
    assert 0.03 <= np.mean(np.array(p_values) <= 0.05) <= 0.07


def test_the_permutation_test_is_the_exact_one_of_all_exchanges():
    one, two = np.array([1, 1, 2, 5, 1, 3, 1, 9]), np.array([2, 4, 2, 4, 8, 1, 2, 1])
    gaps = 1 / one - 1 / two
    signs = np.array(list(product([-1, 1], repeat=8)))
    exact = np.mean(np.abs(signs @ gaps) >= abs(gaps.sum()) - 1e-12)
    result = paired_test(as_ranks(one), as_ranks(two), mean_reciprocal_rank, n_resamples=40000, random_state=0)
    assert result.difference == pytest.approx(gaps.mean())
    assert result.p_value == pytest.approx(exact, abs=0.01)


def test_a_real_difference_is_found_and_its_sign_is_that_of_the_first():
    easy, groups = simulated(np.random.default_rng(5), 300, ease=0.5)
    hard, _ = simulated(np.random.default_rng(5), 300)
    for method in ("permutation", "bootstrap"):
        result = paired_test(as_ranks(easy, groups), as_ranks(hard, groups), at_5, method=method, random_state=0)
        assert 0 < result.low < result.difference < result.high
        assert result.p_value < 0.001
        swapped = paired_test(as_ranks(hard, groups), as_ranks(easy, groups), at_5, method=method, random_state=0)
        assert swapped.difference == pytest.approx(-result.difference)


def test_a_system_does_not_differ_from_itself():
    ranks = as_ranks(simulated(np.random.default_rng(6), 40)[0])
    result = paired_test(ranks, ranks, mean_rank, random_state=0)
    assert (result.difference, result.low, result.high, result.p_value) == (0, 0, 0, 1)


def test_constant_values_have_an_interval_of_no_width():
    interval = bootstrap_interval(as_ranks(np.ones(20, dtype=int)), at_5, random_state=0)
    assert (interval.estimate, interval.low, interval.high) == (1, 1, 1)


def test_the_same_seed_gives_the_same_interval():
    ranks = as_ranks(simulated(np.random.default_rng(7), 40)[0])
    one, two, other = (bootstrap_interval(ranks, mean_rank, random_state=seed) for seed in (0, 0, 1))
    assert one == two
    assert one != other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": median_rank}, "`average=False`; median_rank does not"),
        ({"metric": lambda ranks, average: np.ones(3)}, r"one value a query, 6. Got shape \(3,\)"),
        ({"confidence_level": 95}, "between 0 and 1, for example 0.95. Got 95"),
        ({"n_resamples": 0}, "at least 1. Got 0"),
    ],
)
def test_bad_intervals_are_refused(change, message):
    arguments = {"metric": mean_rank, **change}
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(as_ranks(np.arange(1, 7)), **arguments)


def test_one_image_is_no_sample():
    with pytest.raises(ValueError, match=r"at least 2 images. Got 1"):
        bootstrap_interval(as_ranks([1, 2, 3], np.zeros(3)), mean_rank)


def test_directions_of_other_images_are_refused():
    both = {"i2t": as_ranks([1, 2, 3], np.arange(3)), "t2i": as_ranks([1, 2, 3], np.arange(1, 4))}
    with pytest.raises(ValueError, match="must be the same images"):
        bootstrap_interval({name: RelevantRanks(**{**vars(r), "n_gallery": 20}) for name, r in both.items()})


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (as_ranks([1, 2]), "did not answer the same queries"),
        (as_ranks([1, 2, 3], np.array([0, 0, 1])), "did not answer the same queries"),
        (as_ranks([1, 2, 3], n_gallery=7), "hold 1000 and 7 items"),
        ({"i2t": as_ranks([1, 2, 3])}, "same directions"),
    ],
)
def test_systems_of_other_queries_are_not_compared(second, message):
    with pytest.raises(ValueError, match=message):
        paired_test(as_ranks([1, 2, 3]), second, mean_rank)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match=r"'permutation' or 'bootstrap'. Got 'wilcoxon'"):
        paired_test(as_ranks([1, 2]), as_ranks([2, 1]), mean_rank, method="wilcoxon")


def test_ranks_of_a_matrix_serve_as_well():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(60, 60))
    better, worse = (rank_relevant(scores + ease * np.eye(60)) for ease in (3, 1))
    assert paired_test(better, worse, mean_rank, random_state=0).difference < 0
