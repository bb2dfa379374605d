"""The one computation of ranks against sorted lists, ties and all, wherever in the library ranks are counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from scipy import sparse

from mmfeat.metrics import rank_relevant
from mmfeat.utils._ranks import (
    all_ranks,
    average_precisions,
    first_ranks,
    first_ranks_both_ways,
    mean_reciprocal_rank_both_ways,
    relevant_ranks,
)


def loop(row, right):
    """Ranks of the right items of one query: wrong ones with the same score stand before them."""
    order = sorted(range(len(row)), key=lambda j: (-row[j], bool(right[j])))
    return [place for place, item in enumerate(order, start=1) if right[item]]


@st.composite
def owned_captions(draw):
    """A few whole numbers as scores make ties the rule; every image has a caption, some have several."""
    n_images = draw(st.integers(1, 6))
    owners = np.r_[
        np.arange(n_images), draw(hnp.arrays(np.int64, draw(st.integers(0, 25)), elements=st.integers(0, n_images - 1)))
    ]
    whole = st.integers(-2, 2).map(float)
    return draw(hnp.arrays(np.float64, (n_images, len(owners)), elements=whole)), owners


@given(owned_captions())
def test_every_count_of_ranks_is_that_of_a_loop(case):
    scores, owners = case
    right = np.arange(len(scores))[:, None] == owners
    expected = [loop(*pair) for pair in zip(scores, right, strict=True)]
    relevance = sparse.csr_array(right.astype(float))
    ranks, _ = relevant_ranks(scores, relevance)
    assert ranks.tolist() == [rank for ranks in expected for rank in ranks]
    assert first_ranks(scores, relevance).tolist() == [ranks[0] for ranks in expected]
    precisions = [np.mean([(at + 1) / rank for at, rank in enumerate(ranks)]) for ranks in expected]
    np.testing.assert_allclose(average_precisions(ranks, relevance.indptr), precisions)


@given(owned_captions())
def test_both_ways_are_those_of_the_metric(case):
    scores, owners = case
    right = np.arange(len(scores))[:, None] == owners
    of_images, of_captions = first_ranks_both_ways(scores, scores.T, owners)
    assert_array_equal(of_images, rank_relevant(scores, relevance=right).first)
    assert_array_equal(of_captions, rank_relevant(scores.T, relevance=right.T).first)
    expected = (np.mean(1 / of_images) + np.mean(1 / of_captions)) / 2
    assert mean_reciprocal_rank_both_ways(scores, owners) == pytest.approx(expected)


@given(hnp.arrays(np.float64, (3, 7), elements=st.integers(-2, 2).map(float)))
def test_all_items_have_the_last_of_the_places_that_they_share(scores):
    for item in range(7):
        relevance = sparse.csr_array((np.ones(3), (np.arange(3), np.full(3, item))), shape=(3, 7))
        assert_array_equal(all_ranks(scores)[:, item], first_ranks(scores, relevance))


@pytest.mark.situation(
    "early stopping on scores that are all the same", "the epoch counts as the worst, not as the best"
)
def test_the_validation_score_counts_ties_against():
    owner = np.array([0, 0, 1, 2])
    constant = np.ones((3, 4), dtype=np.float32)
    assert mean_reciprocal_rank_both_ways(constant, owner) == pytest.approx(((1 / 3 + 1 / 4 + 1 / 4) / 3 + 1 / 3) / 2)
    scores = np.array([[0.9, 0.1, 0.5, 0.0], [0.0, 0.2, 0.4, 0.3], [0.1, 0.1, 0.6, 0.2]])
    # Best own text of each image at 1, 1, 2; image of each text at 1, 3 (tied with the third), 3, 2.
    expected = ((1 + 1 + 1 / 2) / 3 + (1 + 1 / 3 + 1 / 3 + 1 / 2) / 4) / 2
    assert mean_reciprocal_rank_both_ways(scores, owner) == pytest.approx(expected)


@pytest.mark.situation("a collapsed model, whose cosines differ by rounding", "scores that differ by rounding are ties")
def test_rounding_does_not_break_ties_of_the_validation_score():
    rows = np.full((1003, 300), 0.1, dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert mean_reciprocal_rank_both_ways(rows @ rows.T, np.arange(1003)) == pytest.approx(1 / 1003)
