"""Samples of bounded size, drawn evenly."""

import numpy as np
import pytest

from mmfeat.encoding._sample import Reservoir, sample_rows


def numbered(lengths):
    ends = np.cumsum(lengths)
    return [np.arange(end - n, end, dtype=np.float32)[:, None] for n, end in zip(lengths, ends, strict=True)]


@pytest.mark.parametrize("lengths", [[5], [0, 3], [10, 0, 7, 100, 3, 50], [1] * 30, [1000, 1]])
@pytest.mark.parametrize("max_rows", [1, 2, 7, 25, 30, 70, 5000])
def test_each_bag_gives_the_same_number_or_all_it_has(lengths, max_rows):
    bags = numbered(lengths)
    rows = sample_rows(bags, max_rows, np.random.RandomState(0))
    assert rows.dtype == np.float32
    assert len(rows) == len(np.unique(rows)) == min(max_rows, sum(lengths))
    given = [int(np.isin(rows, bag).sum()) for bag in bags]
    short = [g for g, n in zip(given, lengths, strict=True) if g < n]
    if short:
        assert max(short) - min(short) <= 1
        assert max(given) <= max(short) + 1
        assert min(short) >= max(given) - 1


def test_which_rows_are_drawn_is_random_and_reproducible():
    bags = numbered([100, 100])
    draws = [sample_rows(bags, 20, np.random.RandomState(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    every = np.concatenate([sample_rows(bags, 20, np.random.RandomState(seed)) for seed in range(60)])
    assert len(np.unique(every)) > 190


def test_reservoir_holds_each_row_with_equal_chance():
    counts = np.zeros(60)
    for seed in range(400):
        rng = np.random.RandomState(seed)
        reservoir = Reservoir(12)
        for start, n in ((0, 5), (5, 25), (30, 30)):
            bag = np.arange(start, start + n, dtype=np.float32)[:, None]
            reservoir.add(sample_rows([bag], 12, rng), n, rng)
        assert reservoir.n_seen == 60
        assert len(np.unique(reservoir.rows)) == 12
        counts[reservoir.rows[:, 0].astype(int)] += 1
    # 80 of 400 expected in each place, with a standard deviation of 8.
    assert counts.min() > 48
    assert counts.max() < 112
