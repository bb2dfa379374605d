"""Adding, removing and filters against an index made anew of the same rows."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from numpy.testing import assert_array_equal

from mmfeat.retrieval import EmbeddingIndex

QUERIES = np.random.default_rng(1).normal(size=(4, 3))


def same(index, matrix, ids, k=3):
    scores, found = index.search(QUERIES, k)
    expected_scores, expected = EmbeddingIndex(matrix).search(QUERIES, k)
    assert_array_equal(scores, expected_scores)
    assert found.tolist() == [[ids[place] for place in row] for row in expected]


class Changes(RuleBasedStateMachine):
    """Additions and removals in any order, with a list of rows beside them."""

    @initialize(dtype=st.sampled_from(["float32", "float16", "int8"]), seed=st.integers(0, 99))
    def start(self, dtype, seed):
        self.rng = np.random.default_rng(seed)
        self.rows, self.ids, self.count = list(self.rng.normal(size=(5, 3))), list("abcde"), 5
        self.index = EmbeddingIndex(np.array(self.rows), self.ids, dtype=dtype, rescore=True)

    @rule(n=st.integers(1, 8))
    def add(self, n):
        rows = list(self.rng.normal(size=(n, 3)))
        if self.rng.random() < 0.3:
            rows[0] = self.rows[0]
        ids = [f"item {self.count + i}" for i in range(n)]
        assert self.index.add(np.array(rows), ids) is self.index
        self.rows, self.ids, self.count = self.rows + rows, self.ids + ids, self.count + n

    @rule(share=st.floats(0, 1))
    def remove(self, share):
        gone = self.rng.permutation(len(self.ids))[: int(share * (len(self.ids) - 3))]
        if len(gone):
            self.index.remove([self.ids[place] for place in gone])
        left = [place for place in range(len(self.ids)) if place not in gone]
        self.rows, self.ids = [self.rows[place] for place in left], [self.ids[place] for place in left]

    @invariant()
    def it_is_an_index_of_the_rows(self):
        assert self.index.ids.tolist() == self.ids
        assert len(self.index) == len(self.ids)
        same(self.index, np.array(self.rows), self.ids)


Changes.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
TestChanges = Changes.TestCase


def test_numbers_are_not_given_twice():
    index = EmbeddingIndex(np.eye(3))
    index.remove([2]).add([[1, 1, 0]])
    assert index.ids.tolist() == [0, 1, 3]
    assert index.search([[1, 1, 0]], 1)[1].tolist() == [[3]]


def test_ids_of_another_kind_may_be_added():
    index = EmbeddingIndex(np.eye(3), ids=["a", "b", "c"]).add(np.eye(3)[:2], ids=[1, ("d", 2)])
    assert index.ids.tolist() == ["a", "b", "c", 1, ("d", 2)]
    assert index.search([[0, 1, 0]], 2)[1].tolist() == [["b", ("d", 2)]]
    assert EmbeddingIndex(np.eye(2), ids=[5, 6]).add(np.eye(2), ids=[7, 8]).ids.dtype == np.int64


def test_a_longer_string_is_not_cut():
    assert EmbeddingIndex(np.eye(2), ids=["a", "b"]).add([[1, 1]], ids=["a longer one"]).ids[2] == "a longer one"


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "euclidean"])
def test_a_filter_is_a_search_in_what_is_left(metric):
    rng = np.random.default_rng(0)
    matrix, ids = rng.normal(size=(5000, 3)), [f"item {i}" for i in range(5000)]
    index = EmbeddingIndex(matrix, ids, metric=metric)
    for share in (0.01, 0.5, 1):
        mask = rng.random(5000) < share
        positions = np.flatnonzero(mask)
        scores, places = EmbeddingIndex(matrix[mask], metric=metric).search(QUERIES, 5)
        expected = np.array(ids)[positions[places]]
        names = [ids[place] for place in rng.permutation(positions)]
        for where in (mask, mask.tolist(), names, np.array(names), set(names)):
            ours = index.search(QUERIES, 5, where=where)
            assert_array_equal(ours[0], scores)
            assert_array_equal(ours[1], expected)


MASK = [False, False, True, True]


def masks():
    import pandas as pd
    import polars as pl
    import torch

    kinds = [np.array(MASK), np.array(MASK, dtype=object), tuple(MASK), [np.bool_(value) for value in MASK]]
    kinds += [pd.Series(MASK), pd.Series(MASK, dtype="boolean"), pd.Series(MASK, dtype=object), pd.array(MASK)]
    return [*kinds, pl.Series(MASK), torch.tensor(MASK)]


def test_masks_of_every_kind_are_taken():
    index = EmbeddingIndex(np.eye(4))
    for where in [*masks(), iter(MASK), (value for value in MASK)]:
        assert index.search([[1, 0.5, 0.2, 0.1]], 2, where=where)[1].tolist() == [[2, 3]]


@pytest.mark.parametrize("place", range(10))
def test_a_mask_removes_nothing(place):
    index = EmbeddingIndex(np.eye(4))
    with pytest.raises(
        ValueError, match=r"`ids` holds truth values. Pass ids; those of a mask are `index.ids\[mask\]`"
    ):
        index.remove(masks()[place])
    assert len(index) == 4
    assert index.remove(index.ids[np.array(MASK)]).ids.tolist() == [0, 1]


def test_masks_with_holes_are_refused():
    import pandas as pd
    import polars as pl

    index, holed = EmbeddingIndex(np.eye(3)), [True, None, True]
    for where in (pd.Series(holed, dtype="boolean"), pl.Series(holed)):
        with pytest.raises(ValueError, match="`where` has 1 missing values, the first in row 1"):
            index.search(np.eye(3), 1, where=where)
    with pytest.raises(ValueError, match="`where` holds truth values"):
        index.search(np.eye(3), 1, where=holed)


def test_truth_values_may_be_names():
    index = EmbeddingIndex(np.eye(3), ids=[True, "a", None])
    assert index.search([[0, 1, 2]], 1, where=[True, "a"])[1].tolist() == [["a"]]
    assert index.remove([True]).ids.tolist() == ["a", None]


def test_a_filter_by_numbers_is_one_of_ids():
    assert EmbeddingIndex(np.eye(3)).search([[1, 0.5, 0.2]], 2, where=[2, 1, 1])[1].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index.add(np.eye(2), ids=[1, 2]), "embeddings have 2 components, the gallery has 3"),
        (lambda index: index.add(np.eye(3)), "was made with ids. Give `ids`"),
        (lambda index: index.add(np.eye(3), ids=["d", "b", "e"]), "1 of the `ids` are in the index already.*'b'"),
        (lambda index: index.add(np.eye(3), ids=["d", "d", "e"]), "'d' stands there 2 times"),
        (lambda index: index.add([[0, 1, 0], [0, 0, np.nan]], ids=["d", "e"]), "NaN, first in row 1"),
        (lambda index: index.add(np.empty((0, 3)), ids=[]), "0 sample"),
        (lambda index: index.remove(["a", "z"]), "`ids` has 1 ids that the index does not hold, the first is 'z'"),
        (lambda index: index.remove("a"), r"write \['a'\]"),
        (lambda index: index.remove(["a", "b", "c"]), "cannot be empty"),
        (lambda index: index.search(np.eye(3), 1, where=[True, False]), r"shape \(3,\). Got shape \(2,\)"),
        (lambda index: index.search(np.eye(3), 1, where=["q"]), "`where` has 1 ids that .* 'q'"),
        (lambda index: index.search(np.eye(3), 1, where="a"), r"write \['a'\]"),
        (lambda index: index.search(np.eye(3), 2, where=["a"]), "number of items that `where` lets through, 1. Got 2"),
        (lambda index: index.search(np.eye(3), 1, where=[]), "lets through, 0"),
        (lambda index: index.search(np.eye(3), 1, where=5), "`where` must be a sequence of ids. Got 5"),
        (lambda index: index.search(np.eye(3), 1, where=slice(2)), "sequence of ids. Got slice"),
        (lambda index: index.search(np.eye(3), 1, where=np.array([["a", "b"]])), r"1-D. Got shape \(1, 2\)"),
        (lambda index: index.search(np.eye(3), 1, where=[["a"]]), r"Value 0 of `where`, \['a'\], is a list"),
        (lambda index: index.remove([("a", ["b"])]), "Value 0 of `ids`.* is a tuple"),
        (lambda index: index.add(np.eye(3), ids=["d", ["e"], "f"]), r"Value 1 of `ids`, \['e'\], is a list"),
    ],
)
def test_a_refused_change_leaves_the_index_as_it_was(change, message):
    index = EmbeddingIndex(np.eye(3), ids=["a", "b", "c"])
    with pytest.raises(ValueError, match=message):
        change(index)
    same(index, np.eye(3), ["a", "b", "c"])
    assert len(index) == 3


def test_ids_are_not_taken_where_items_are_counted():
    with pytest.raises(ValueError, match=r"counts its items\. Leave `ids` out"):
        EmbeddingIndex(np.eye(3)).add(np.eye(3), ids=[7, 8, 9])


def test_ids_cannot_be_written_to():
    for index in (EmbeddingIndex(np.eye(3)), EmbeddingIndex(np.eye(3), ids=["a", "b", "c"]).remove(["a"])):
        with pytest.raises(ValueError, match="read-only"):
            index.ids[0] = index.ids[1]


@pytest.mark.parametrize("ids", [["a", "a\0", "a\0\0"], [2**63, 2**64 + 1, -1], [2**63 + 1, 5, 6]])
def test_ids_that_an_array_would_change_are_kept(tmp_path, ids):
    index = EmbeddingIndex(np.eye(3), ids=ids)
    index.save(tmp_path / "a.index")
    for found in (index, EmbeddingIndex.load(tmp_path / "a.index")):
        assert found.ids.tolist() == ids
        assert found.search([[0, 1, 0]], 1, where=ids[1:])[1].tolist() == [[ids[1]]]


def test_ids_from_torch_are_numbers():
    import torch

    index = EmbeddingIndex(np.eye(3), ids=torch.tensor([7, 8, 9]))
    assert index.search(np.eye(3)[:1], 1, where=torch.tensor([8, 9]))[1].tolist() == [[8]]
