"""Approximate search behind the same face: exact scores, recall, changes, files, and the missing package."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mmfeat.retrieval import EmbeddingIndex

BACKENDS = ["faiss", "usearch"]
RNG = np.random.default_rng(0)
MATRIX, QUERIES = RNG.normal(size=(600, 16)), RNG.normal(size=(30, 16))


@pytest.fixture(params=BACKENDS)
def backend(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "euclidean"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_most_is_found_and_scores_are_exact(backend, metric, dtype):
    index = EmbeddingIndex(MATRIX, metric=metric, dtype=dtype, backend=backend)
    exact = EmbeddingIndex(MATRIX, metric=metric, dtype=dtype)
    scores, found = index.search(QUERIES, 10)
    all_scores, all_found = exact.search(QUERIES, 600)
    place = np.argsort(all_found, axis=1)
    assert_array_equal(scores, np.take_along_axis(np.take_along_axis(all_scores, place, 1), found, 1))
    assert (np.diff(scores, axis=1) <= 0).all()
    report = index.evaluate(QUERIES, 10)
    assert report["recall"] > 0.97
    hits = [len(set(row) & set(right)) / 10 for row, right in zip(found, all_found[:, :10], strict=True)]
    assert_array_equal(report["recall_per_query"], hits)


def test_a_poor_graph_has_a_poor_recall(backend):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(3000, 64))
    options = {"connectivity": 2, "expansion_add": 4, "expansion_search": 4}
    index = EmbeddingIndex(matrix, backend=backend, backend_options=options)
    assert index.evaluate(rng.normal(size=(50, 64)), 1)["recall"] < 0.8


def test_the_exact_search_has_recall_one():
    report = EmbeddingIndex(MATRIX).evaluate(QUERIES, 7)
    assert report["recall"] == 1
    assert (report["n_items"], report["n_queries"], report["k"]) == (600, 30, 7)
    assert min(report["seconds"], report["seconds_exact"]) > 0


def test_additions_and_removals_are_seen(backend):
    index = EmbeddingIndex(MATRIX[:400], [f"item {i}" for i in range(400)], backend=backend)
    index.add(MATRIX[400:], [f"item {i}" for i in range(400, 600)])
    # A graph is built by several threads, in another order each time, and may miss a few.
    assert (index.search(MATRIX, 1)[1][:, 0] == [f"item {i}" for i in range(600)]).mean() > 0.98
    index.remove(["item 3", "item 500"])
    found = index.search(MATRIX, 1)[1][:, 0]
    assert {"item 3", "item 500"}.isdisjoint(found)
    assert (found == [f"item {i}" for i in range(600)]).mean() > 0.98
    assert index.evaluate(QUERIES, 5)["recall"] > 0.97


def test_a_filter_is_exact(backend):
    mask = RNG.random(600) < 0.1
    expected = EmbeddingIndex(MATRIX).search(QUERIES, 5, where=mask)
    for ours, theirs in zip(
        EmbeddingIndex(MATRIX, backend=backend).search(QUERIES, 5, where=mask), expected, strict=True
    ):
        assert_array_equal(ours, theirs)


def test_all_items_are_found_where_the_graph_does_not_reach_them(backend):
    # Copies are linked to each other alone: a graph cannot come from one bundle of them to the next.
    matrix = np.repeat(RNG.normal(size=(3, 4)), 200, axis=0)
    options = {"connectivity": 2, "expansion_add": 2, "expansion_search": 2}
    index = EmbeddingIndex(matrix, backend=backend, backend_options=options)
    found = index.search(QUERIES[:, :4], 600)[1]
    assert_array_equal(np.sort(found, axis=1), np.tile(np.arange(600), (30, 1)))


def test_one_query_and_one_item(backend):
    index = EmbeddingIndex([[1.0, 2.0]], ["only"], backend=backend)
    assert index.search([[1, 1]], 1)[1].tolist() == [["only"]]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_graph_is_in_the_file(backend, dtype, tmp_path, monkeypatch):
    index = EmbeddingIndex(MATRIX, dtype=dtype, backend=backend, backend_options={"connectivity": 8})
    index.save(tmp_path / "a.index")
    loaded = EmbeddingIndex.load(tmp_path / "a.index")
    assert loaded._engine._graph is not None
    for ours, theirs in zip(loaded.search(QUERIES, 5), index.search(QUERIES, 5), strict=True):
        assert_array_equal(ours, theirs)
    loaded.add(QUERIES)
    assert (loaded.search(QUERIES, 1)[1][:, 0] == np.arange(600, 630)).mean() > 0.9


def test_unknown_options_are_refused(backend):
    with pytest.raises(ValueError, match=r"unknown keys \['links'\]"):
        EmbeddingIndex(MATRIX, backend=backend, backend_options={"links": 3})


@pytest.mark.parametrize(("backend", "module"), [("faiss", "faiss"), ("usearch", "usearch.index")])
def test_a_missing_package_names_its_extra(monkeypatch, backend, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'mmfeat\[{backend}\]'"):
        EmbeddingIndex(MATRIX, backend=backend)
