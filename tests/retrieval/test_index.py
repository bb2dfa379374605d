"""Exact search against a full sort of all similarities."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmfeat.retrieval import EmbeddingIndex
from mmfeat.retrieval._search import _exact


def full_sort(queries, gallery, k):
    cosine = queries @ gallery.T / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(gallery, axis=1)
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(cosine, order, axis=1), order


@pytest.mark.parametrize(("n_items", "n_queries"), [(1, 1), (16, 3), (4096, 256)])
@pytest.mark.parametrize("k", [1, 7, 50])
def test_search_is_a_full_sort(monkeypatch, n_items, n_queries, k):
    monkeypatch.setattr(_exact, "ITEMS", n_items)
    monkeypatch.setattr(_exact, "QUERIES", n_queries)
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(20, 8)), rng.normal(size=(50, 8))
    scores, indices = EmbeddingIndex(gallery).search(queries, k)
    expected_scores, expected_indices = full_sort(queries, gallery, k)
    assert_array_equal(indices, expected_indices)
    assert_allclose(scores, expected_scores, atol=1e-6)
    assert scores.dtype == np.float32


def test_among_equals_the_first_comes_first():
    gallery = np.array([[0, 1], [1, 0], [2, 0], [3, 0], [0, 1]], dtype=np.float32)
    scores, indices = EmbeddingIndex(gallery).search([[5, 0]], k=2)
    assert indices.tolist() == [[1, 2]]
    assert scores.tolist() == [[1, 1]]


def test_ids_of_any_kind_are_returned():
    gallery = np.eye(3)
    assert EmbeddingIndex(gallery, ids=pd.Index(["a", "b", "c"])).search([[0, 2, 1]], 2)[1].tolist() == [["b", "c"]]
    assert EmbeddingIndex(gallery, ids=[30, 10, 20]).search([[0, 2, 1]], 2)[1].tolist() == [[10, 20]]
    mixed = EmbeddingIndex(gallery, ids=[1, "a", ("b", 2)]).search([[0, 2, 1]], 3)[1]
    assert mixed.tolist() == [["a", ("b", 2), 1]]


def test_a_zero_row_is_similar_to_nothing():
    scores, _ = EmbeddingIndex([[0, 0], [1, 1]]).search([[1, 1]], k=2)
    assert_allclose(scores, [[1, 0]], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EmbeddingIndex(np.eye(3)).search(np.eye(3), k=4), "size of the gallery, 3. Got 4"),
        (lambda: EmbeddingIndex(np.eye(3)).search(np.eye(3), k=0), "Got 0"),
        (lambda: EmbeddingIndex(np.eye(3)).search(np.eye(4), k=1), "queries have 4 components, the gallery has 3"),
        (lambda: EmbeddingIndex(np.empty((0, 3))), "0 sample"),
        (lambda: EmbeddingIndex([[0, 1], [np.nan, 1]]), "embeddings contain NaN, first in row 1"),
        (lambda: EmbeddingIndex(np.eye(3)).search([[0, np.inf, 1]], k=1), "queries contain infinity, first in row 0"),
        (lambda: EmbeddingIndex(np.eye(3)).search(np.empty((0, 3)), k=1), "0 sample"),
        (lambda: EmbeddingIndex(np.eye(3)).search(np.eye(3), k=True), "Got True"),
        (lambda: EmbeddingIndex(np.eye(3), metric="manhattan"), "`metric` must be one of .* Got 'manhattan'"),
        (lambda: EmbeddingIndex(np.eye(3), dtype="float64"), "`dtype` must be one of .* Got 'float64'"),
        (lambda: EmbeddingIndex(np.eye(3), backend="annoy"), "`backend` must be one of .* Got 'annoy'"),
        (lambda: EmbeddingIndex([[1, 0], [1e20, 0]], metric="euclidean"), "Row 1 of the embeddings has length 1e"),
        (lambda: EmbeddingIndex(np.eye(3), ids=["a", "b"]), "one value an embedding, 3. Got 2"),
        (lambda: EmbeddingIndex(np.eye(3), ids="abc"), "Got the string 'abc'"),
        (lambda: EmbeddingIndex(np.eye(3), ids=np.eye(3)), r"1-D. Got shape \(3, 3\)"),
        (lambda: EmbeddingIndex(np.eye(3), ids=["a", "b", "a"]), "'a'.* stands there 2 times"),
        (lambda: EmbeddingIndex(np.eye(3), ids=[[0], [1], [2]]), r"Value 0 of `ids`, \[0\], is a list"),
        (lambda: EmbeddingIndex(np.eye(3), ids=5), "`ids` must be a sequence of ids. Got 5"),
    ],
)
def test_bad_searches_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_length_is_the_size_of_the_gallery():
    assert len(EmbeddingIndex(np.eye(3))) == 3


def test_torch_tensors_are_taken():
    import torch

    tensor = torch.eye(3, requires_grad=True)
    assert EmbeddingIndex(tensor).search(tensor, 1)[1].tolist() == [[0], [1], [2]]


def test_a_copy_by_pickle_finds_the_same():
    rng = np.random.default_rng(0)
    index = EmbeddingIndex(rng.normal(size=(30, 4)), ids=[f"item {i}" for i in range(30)], dtype="int8", rescore=True)
    queries = rng.normal(size=(5, 4))
    for ours, copied in zip(
        index.search(queries, 3), pickle.loads(pickle.dumps(index)).search(queries, 3), strict=True
    ):
        assert_array_equal(ours, copied)
