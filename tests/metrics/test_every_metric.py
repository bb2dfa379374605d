"""All metrics against definitions written out as loops over sorted items, ties and all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mmfeat.metrics import (
    mean_average_precision,
    mean_average_precision_at_r,
    mean_rank,
    mean_reciprocal_rank,
    ndcg,
    precision_at_k,
    rank_embeddings,
    rank_relevant,
    rank_scored,
    recall_at_k,
    rsum,
)


@st.composite
def rankings(draw):
    n_queries, n_items = draw(st.integers(1, 5)), draw(st.integers(1, 25))
    scores = draw(hnp.arrays(np.float64, (n_queries, n_items), elements=st.integers(-2, 2).map(float)))
    relevant = draw(hnp.arrays(bool, (n_queries, n_items)))
    relevant[np.arange(n_queries), draw(hnp.arrays(np.int64, n_queries, elements=st.integers(0, n_items - 1)))] = True
    return scores, relevant, draw(st.integers(1, n_items))


def answers(scores, right):
    """Right and wrong, in the order of the scores; among equals the wrong ones first."""
    return [bool(right[j]) for j in sorted(range(len(scores)), key=lambda j: (-scores[j], bool(right[j])))]


def precision(hits, n):
    return sum(hits[:n]) / n


def average_precision(hits, upto):
    return sum(precision(hits, i + 1) for i in range(upto) if hits[i]) / sum(hits)


@given(rankings())
def test_values_of_each_query_equal_loops(case):
    scores, relevant, k = case
    ranks = rank_relevant(scores, relevance=relevant)
    ordered = [answers(row, right) for row, right in zip(scores, relevant, strict=True)]
    expected = {
        recall_at_k: [float(any(hits[:k])) for hits in ordered],
        precision_at_k: [precision(hits, k) for hits in ordered],
    }
    for metric, values in expected.items():
        np.testing.assert_allclose(metric(ranks, k=k, average=False), values, atol=1e-12)
        assert metric(scores, relevance=relevant, k=k) == pytest.approx(np.mean(values))
    whole = {
        mean_rank: [hits.index(True) + 1 for hits in ordered],
        mean_reciprocal_rank: [1 / (hits.index(True) + 1) for hits in ordered],
        mean_average_precision: [average_precision(hits, len(hits)) for hits in ordered],
        mean_average_precision_at_r: [average_precision(hits, sum(hits)) for hits in ordered],
    }
    for metric, values in whole.items():
        np.testing.assert_allclose(metric(ranks, average=False), values, atol=1e-12)
        assert metric(scores, relevance=relevant) == pytest.approx(np.mean(values))


@given(rankings())
def test_ndcg_of_each_query_equals_a_loop(case):
    scores, relevant, k = case
    discounts = 1 / np.log2(np.arange(2, scores.shape[1] + 2))
    expected = [
        (np.array(answers(row, right))[:k] * discounts[:k]).sum() / discounts[: min(k, right.sum())].sum()
        for row, right in zip(scores, relevant, strict=True)
    ]
    np.testing.assert_allclose(ndcg(scores, relevance=relevant, k=k, average=False), expected, atol=1e-12)


@given(rankings())
def test_scores_from_a_function_are_ranked_as_in_a_matrix(case):
    scores, relevant, _ = case
    rows = np.arange(len(scores))
    found = rank_scored(lambda chosen: scores[chosen], rows, relevance=relevant, block_size=2)
    assert found.ranks.tolist() == rank_relevant(scores, relevance=relevant).ranks.tolist()


def test_scores_within_the_tolerance_are_ties():
    scores = np.array([[100.0, 100.0 + 1e-5, 50.0]])
    score = {0: lambda _: scores}[0]
    assert rank_scored(score, scores, relevance=[[1, 0, 0]], tolerance=1e-6).first == 2
    assert rank_scored(score, scores, relevance=[[0, 1, 0]], tolerance=1e-6).first == 2
    assert rank_scored(score, scores, relevance=[[0, 1, 0]]).first == 1


@pytest.mark.parametrize(
    ("score", "queries", "message"),
    [
        (lambda rows: np.ones((len(rows), 2)), np.arange(2), r"shape \(2, 3\). Got \(2, 2\)"),
        (lambda rows: np.full((len(rows), 3), np.nan), np.arange(2), "NaN"),
        (
            lambda rows: np.ones((len(rows), 3)),
            np.arange(3),
            r"shape \(2, 3\). Expected \(n_queries, n_gallery\) = \(3, 3\)",
        ),
    ],
)
def test_functions_that_do_not_score_are_refused(score, queries, message):
    with pytest.raises(ValueError, match=message):
        rank_scored(score, queries, relevance=[[1, 0, 0], [0, 1, 0]])


def test_rsum_is_the_sum_of_six_recalls_in_percent():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(30, 30)) + 2 * np.eye(30)
    both = {"i2t": rank_relevant(scores), "t2i": rank_relevant(scores.T)}
    six = [recall_at_k(ranks, k=k) for ranks in both.values() for k in (1, 5, 10)]
    assert rsum(both) == pytest.approx(100 * sum(six))
    values = rsum(both, average=False)
    assert sum(value.mean() for value in values.values()) == pytest.approx(rsum(both))
    assert rsum(both["i2t"]) == pytest.approx(100 * sum(six[:3]))
    assert rsum(both["i2t"], average=False).shape == (30,)


def test_rankings_of_both_directions_are_no_single_ranking():
    both = {"i2t": rank_relevant(np.eye(3)), "t2i": rank_relevant(np.eye(3))}
    with pytest.raises(ValueError, match=r"Pass one of them, for example `rankings\['t2i'\]`"):
        recall_at_k(both, k=1)
    with pytest.raises(ValueError, match="Got ndarray instead"):
        rsum(np.eye(3))
    with pytest.raises(ValueError, match="Got dict instead"):
        rsum({})
    with pytest.raises(ValueError, match="must be a matrix"):
        rank_scored(lambda rows: np.ones((1, 3)), np.arange(1), relevance=[0])


def test_groups_are_kept_with_the_ranks():
    groups = ["a", "a", "b"]
    assert rank_relevant(np.eye(3), groups=groups).groups.tolist() == groups
    assert rank_embeddings(np.eye(3), np.eye(3), groups=groups).groups.tolist() == groups
    assert rank_relevant(np.eye(3)).groups is None
    with pytest.raises(ValueError, match=r"one value a query, 3. Got 2"):
        rank_relevant(np.eye(3), groups=["a", "b"])
    with pytest.raises(ValueError, match=r"groups\[1\] is missing"):
        rank_relevant(np.eye(3), groups=["a", None, "b"])
