"""Metrics against scikit-learn's and against written-out definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score, top_k_accuracy_score

from mmfeat.metrics import mean_average_precision, median_rank, ndcg, rank_relevant, recall_at_k

seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_recall_with_one_right_answer_is_top_k_accuracy(seed):
    rng = np.random.default_rng(seed)
    scores, right = rng.normal(size=(20, 8)), rng.integers(0, 8, 20)
    for k in (1, 3, 7):
        assert recall_at_k(scores, positions=right, k=k) == pytest.approx(
            top_k_accuracy_score(right, scores, k=k, labels=np.arange(8))
        )


@given(seeds)
def test_mean_average_precision_is_that_of_scikit_learn_without_ties(seed):
    rng = np.random.default_rng(seed)
    scores, relevant = rng.permutation(200).reshape(10, 20).astype(float), rng.random((10, 20)) < 0.3
    relevant[:, 0] = True
    expected = np.mean([average_precision_score(r, s) for r, s in zip(relevant, scores, strict=True)])
    assert mean_average_precision(scores, relevance=relevant) == pytest.approx(expected)


@given(seeds, st.sampled_from([None, 1, 3, 20]))
def test_ndcg_is_that_of_scikit_learn_without_ties(seed, k):
    rng = np.random.default_rng(seed)
    scores, grades = rng.permutation(200).reshape(10, 20).astype(float), rng.integers(0, 4, (10, 20))
    grades[:, 3] = 1
    assert ndcg(scores, relevance=grades, k=k) == pytest.approx(ndcg_score(grades, scores, k=k))


def test_five_captions_are_a_hit_with_one_of_them():
    # The recall of information retrieval would be 0.2 here at most.
    scores = np.arange(10.0)[None, ::-1]
    assert recall_at_k(scores, relevance=[[1, 0, 0, 0, 0, 0, 1, 1, 1, 1]], k=1) == 1


def test_constant_scores_are_worth_nothing():
    constant = np.ones((6, 6))
    assert recall_at_k(constant, k=5) == 0
    assert recall_at_k(constant, k=6) == 1
    assert median_rank(constant) == 6
    assert mean_average_precision(constant) == pytest.approx(1 / 6)


def test_median_rank_of_ranks_one_two_and_three():
    assert median_rank([[3, 2, 1], [3, 2, 1], [3, 2, 1]]) == 2


@pytest.mark.parametrize("metric", [recall_at_k, ndcg])
@pytest.mark.parametrize("k", [0, 4, 1.5, "all"])
def test_k_beyond_the_gallery_is_refused(metric, k):
    with pytest.raises(ValueError, match="between 1 and the size of the gallery, 3"):
        metric(np.eye(3), k=k)


def test_ranks_know_their_relevance():
    ranks = rank_relevant(np.eye(3))
    assert recall_at_k(ranks, k=1) == 1
    with pytest.raises(ValueError, match=r"Ranks hold what is right already\. Pass `positions`"):
        recall_at_k(ranks, positions=[0, 1, 2])
