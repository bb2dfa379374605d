"""The second stage of a search: order, ties, and what does not fit together."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmfeat.retrieval import rerank


def test_the_second_stage_decides_and_ties_keep_the_order_of_the_first():
    first = [[0.9, 0.8, 0.7, 0.6], [0.5, 0.4, 0.3, 0.2]]
    ids = np.array([["a", "b", "c", "d"], ["d", "c", "b", "a"]])
    scores, found = rerank(first, ids, [[0.0, 1.0, 1.0, -1.0], [0.1, 0.2, 0.3, 0.4]])
    assert_array_equal(found, [["b", "c", "a", "d"], ["a", "b", "c", "d"]])
    assert_allclose(scores, [[1, 1, 0, -1], [0.4, 0.3, 0.2, 0.1]])


@pytest.mark.parametrize("weight", [0, 0.3, 1])
def test_scores_are_weighted_means_best_first(weight):
    first, second = np.random.default_rng(0).normal(size=(2, 6, 9))
    ids = np.argsort(first, axis=1)
    scores, found = rerank(first, ids, second, weight)
    for query in range(6):
        mean = {ids[query, i]: (1 - weight) * first[query, i] + weight * second[query, i] for i in range(9)}
        assert found[query].tolist() == sorted(mean, key=mean.get, reverse=True)
        assert_allclose(scores[query], sorted(mean.values(), reverse=True))


def test_the_second_stage_may_be_a_function_of_what_was_found():
    first, ids = np.array([[0.9, 0.8, 0.1]]), np.array([[4, 2, 7]])
    scores, found = rerank(first, ids, lambda ids: ids / 10, weight=0.5)
    assert_array_equal(found, [[4, 2, 7]])
    assert_allclose(scores, [[0.65, 0.5, 0.4]])
    assert_array_equal(rerank(first, ids, lambda ids: ids / 10)[1], [[7, 4, 2]])
    with pytest.raises(ValueError, match="one shape"):
        rerank(first, ids, lambda ids: ids[:, :2] / 10)


@pytest.mark.parametrize(
    ("scores", "ids", "second", "weight", "message"),
    [
        ([[1, 2]], [[0, 1]], [[1, 2, 3]], 1, r"one shape \(n_queries, k\). Got \(1, 2\), \(1, 2\) and \(1, 3\)"),
        ([[1, 2]], [0, 1], [[1, 2]], 1, "one shape"),
        ([[1, 2]], [[0, 1]], [[1, np.nan]], 1, "second contains NaN"),
        ([[1, 2]], [[0, 1]], [[1, 2]], 1.5, r"`weight` must be in \[0, 1\]. Got 1.5"),
    ],
)
def test_what_does_not_fit_together_is_refused(scores, ids, second, weight, message):
    with pytest.raises(ValueError, match=message):
        rerank(scores, ids, second, weight)
