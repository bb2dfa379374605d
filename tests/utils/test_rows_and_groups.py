"""Rows of unit length at every size of number, and groups of every kind."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmfeat.metrics import match_groups, ndcg, rank_embeddings
from mmfeat.retrieval import EmbeddingIndex, Retriever
from mmfeat.utils._device import resolve_device
from mmfeat.utils._groups import group_codes
from mmfeat.utils._rows import unit_rows


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1, 1e30, 1e300])
def test_rows_of_any_size_become_units(size):
    rows = np.random.default_rng(0).normal(size=(5, 4))
    expected = rows / np.sqrt((rows**2).sum(axis=1))[:, None]
    assert_allclose(unit_rows(rows * size), expected, rtol=1e-12)


def test_a_row_of_zeros_stays_as_it_is():
    assert unit_rows(np.zeros((2, 3))).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert unit_rows(np.zeros((2, 0))).shape == (2, 0)


def test_small_embeddings_are_found_and_ranked():
    assert EmbeddingIndex(np.eye(2) * 1e-30).search(np.eye(2) * 1e-30, 1)[1].tolist() == [[0], [1]]
    assert rank_embeddings(np.eye(3) * 1e-200, np.eye(3)).first.tolist() == [1, 1, 1]


def test_codes_follow_the_order_of_the_values():
    assert group_codes(["b", "a", "b"], "groups").tolist() == [1, 0, 1]
    assert group_codes(np.array([2.5, 1, 2.5]), "groups").tolist() == [1, 0, 1]
    assert group_codes((3, 1), "groups").tolist() == [1, 0]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([1, None], r"groups\[1\] is missing \(None\)"),
        ([1.0, float("nan")], r"groups\[1\] is missing \(nan\)"),
        (np.array([np.nan, 1]), r"groups\[0\] is missing"),
        ([1, "1"], "all numbers or all strings. Got int, str"),
        (np.zeros((2, 2)), r"1-D, one value a row. Got shape \(2, 2\)"),
    ],
)
def test_groups_that_cannot_be_told_apart_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        group_codes(groups, "groups")


def test_numbers_do_not_match_strings_nor_missing_labels_each_other():
    with pytest.raises(ValueError, match="all numbers or all strings"):
        match_groups([1, 2], ["1", "2"])
    with pytest.raises(ValueError, match=r"gallery_groups\[0\] is missing"):
        match_groups([1.0], [float("nan")])


@pytest.mark.parametrize("grade", [np.nan, np.inf])
def test_grades_must_be_finite(grade):
    with pytest.raises(ValueError, match="Grades must be finite"):
        ndcg([[0.1, 0.2]], relevance=[[1, grade]])


def test_passthrough_needs_encoders_of_one_width():
    class Wide:
        def __init__(self, width=2):
            self.width = width

        def fit(self, X, y=None):
            return self

        def transform(self, X):
            return np.ones((len(X), self.width))

        def get_params(self, deep=True):
            return {"width": self.width}

    pairs = np.array([["a.png", "a"], ["b.png", "b"]], dtype=object)
    with pytest.raises(ValueError, match="images have 2 columns and texts 3"):
        Retriever(Wide(2), Wide(3), "passthrough").fit(pairs)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "CPU"])
def test_unknown_devices_are_refused(device):
    with pytest.raises(ValueError, match="`device` must be 'auto'"):
        resolve_device(device)
