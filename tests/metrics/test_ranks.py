"""Ranks against a written-out double loop, ties and all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from mmfeat.metrics import match_groups, rank_embeddings, rank_relevant


def loop_ranks(scores, relevant):
    """Ranks of the relevant items of each query: an item that is wrong and scores the same stands before a right one."""
    all_ranks = []
    for row, right in zip(scores, relevant, strict=True):
        items = sorted(range(len(row)), key=lambda j: (-row[j], bool(right[j])))
        all_ranks.append([place for place, item in enumerate(items, start=1) if right[item]])
    return all_ranks


@st.composite
def rankings(draw):
    n_queries, n_items = draw(st.integers(1, 6)), draw(st.integers(1, 30))
    # A few whole numbers as scores make ties the rule; negative ones are among them.
    scores = draw(hnp.arrays(np.float64, (n_queries, n_items), elements=st.integers(-3, 3).map(float)))
    relevant = draw(hnp.arrays(bool, (n_queries, n_items)))
    relevant[np.arange(n_queries), draw(hnp.arrays(np.int64, n_queries, elements=st.integers(0, n_items - 1)))] = True
    return scores, relevant


@given(rankings())
def test_ranks_equal_a_written_out_loop(ranking):
    scores, relevant = ranking
    ranks = rank_relevant(scores, relevance=relevant)
    found = [list(ranks.ranks[a:b]) for a, b in zip(ranks.indptr[:-1], ranks.indptr[1:], strict=True)]
    assert found == loop_ranks(scores, relevant)
    assert ranks.n_gallery == scores.shape[1]


@pytest.mark.parametrize("per_query", [3, 40])
def test_counting_and_sorting_agree_with_the_loop(per_query):
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 12, (9, 60)).astype(float)
    relevant = np.zeros((9, 60), dtype=bool)
    for row in relevant:
        row[rng.choice(60, per_query, replace=False)] = True
    ranks = rank_relevant(scores, relevance=sparse.csr_array(relevant))
    assert ranks.ranks.tolist() == [rank for row in loop_ranks(scores, relevant) for rank in row]


def test_a_collapsed_network_comes_last_not_first():
    # 1003 equal rows: a blocked product gives some of them other last digits, which must not break the tie.
    constant = np.full((1003, 300), 0.1, dtype=np.float32)
    assert rank_embeddings(constant, constant).first.min() == 1003


def test_embeddings_are_ranked_by_cosine_in_blocks_as_in_one():
    rng = np.random.default_rng(1)
    queries, gallery = rng.normal(size=(23, 7)), rng.normal(size=(31, 7))
    groups = rng.integers(0, 5, 23), np.r_[np.arange(5), rng.integers(0, 5, 26)]
    relevance = match_groups(*groups)
    cosine = queries @ gallery.T / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(gallery, axis=1)
    expected = [rank for row in loop_ranks(cosine, groups[0][:, None] == groups[1]) for rank in row]
    assert rank_embeddings(queries, gallery, relevance=relevance).ranks.tolist() == expected
    assert rank_embeddings(queries, gallery, relevance=relevance, block_size=4).ranks.tolist() == expected


def test_negative_scores_are_ordinary_scores():
    assert rank_relevant([[-0.1, -0.5, -0.9]], positions=[0]).first.tolist() == [1]


def test_a_zero_embedding_is_ranked_last():
    gallery = np.eye(4)
    assert rank_embeddings(np.zeros((4, 4)), gallery).first.tolist() == [4, 4, 4, 4]


def test_relevance_can_be_indices_groups_or_grades():
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    assert rank_relevant(scores, positions=[1, 1]).first.tolist() == [2, 2]
    assert rank_relevant(scores, query_labels=["a", "b"], gallery_labels=["b", "a", "b"]).first.tolist() == [2, 1]
    graded = rank_relevant(scores, relevance=[[0, 2, 1], [0, -1, 3]])
    assert graded.ranks.tolist() == [2, 3, 1]
    assert graded.gains.tolist() == [2, 1, 3]


@pytest.mark.parametrize(
    ("scores", "relevance", "message"),
    [
        ([[0.1, 0.2], [0.1, 0.2]], [[1, 0], [0, 0]], "the first is query 1"),
        ([[0.1, 0.2]], [[1, 0, 0]], r"shape \(1, 3\)"),
    ],
)
def test_bad_rankings_are_refused(scores, relevance, message):
    with pytest.raises(ValueError, match=message):
        rank_relevant(scores, relevance=relevance)


def test_embeddings_of_two_widths_are_refused():
    with pytest.raises(ValueError, match="queries have 3 components and the gallery 4"):
        rank_embeddings(np.ones((2, 3)), np.ones((2, 4)))


def test_groups_must_be_flat():
    with pytest.raises(ValueError, match="1-D"):
        match_groups([[1]], [1])
