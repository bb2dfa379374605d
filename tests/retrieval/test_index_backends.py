"""Approximate search behind the same face: exact scores, recall, changes, files, and the missing package."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mmfeat.retrieval import EmbeddingIndex
from mmfeat.retrieval._search._files import read_arrays, write_arrays

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


def test_settings_of_a_graph_are_there_after_loading(backend, tmp_path):
    options = {"connectivity": 8, "expansion_add": 40, "expansion_search": 33}
    EmbeddingIndex(MATRIX, backend=backend, backend_options=options).save(tmp_path / "a.index")
    graph = EmbeddingIndex.load(tmp_path / "a.index")._engine._graph._graph
    found = graph.hnsw.efConstruction if backend == "faiss" else (graph.expansion_add, graph.expansion_search)
    assert found == (40 if backend == "faiss" else (40, 33))


def test_a_graph_of_other_rows_is_refused(backend, tmp_path):
    for n in (50, 60):
        EmbeddingIndex(MATRIX[:n], backend=backend).save(tmp_path / f"{n}.index")
    settings, arrays = read_arrays(tmp_path / "50.index")
    arrays["graph"] = read_arrays(tmp_path / "60.index")[1]["graph"]
    write_arrays(tmp_path / "mixed.index", settings, arrays)
    with pytest.raises(ValueError, match=r"shape \(60, 16\), its rows \(50, 16\)"):
        EmbeddingIndex.load(tmp_path / "mixed.index")


@pytest.mark.parametrize("any_backend", ["exact", *BACKENDS])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"links": 3}, r"unknown keys \['links'\]"),
        ({1: 2, "links": 3}, "unknown keys"),
        ([("connectivity", 16)], "must be a dict or None"),
        ({"connectivity": 0}, "an integer from 2 to 4096 as 'connectivity'. Got 0"),
        ({"connectivity": 1}, "Got 1 instead"),
        ({"connectivity": -3}, "Got -3"),
        ({"connectivity": 1 << 31}, "Got 2147483648"),
        ({"connectivity": 16.0}, "Got 16.0"),
        ({"connectivity": "a"}, "Got 'a'"),
        ({"connectivity": True}, "Got True"),
        ({"expansion_add": 0}, "an integer from 1 to .* as 'expansion_add'. Got 0"),
        ({"expansion_search": -5}, "'expansion_search'. Got -5"),
        ({"expansion_search": None}, "Got None"),
    ],
)
def test_wrong_options_are_refused_before_a_library_sees_them(any_backend, options, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingIndex(MATRIX, backend=any_backend, backend_options=options)


def test_options_are_copied_and_may_be_of_numpy(backend, tmp_path):
    options = {"connectivity": np.int64(16)}
    index = EmbeddingIndex(MATRIX, backend=backend, backend_options=options)
    options["links"] = 3
    index.remove([0]).save(tmp_path / "a.index")
    assert len(EmbeddingIndex.load(tmp_path / "a.index").search(QUERIES, 1)[0]) == 30


@pytest.mark.parametrize(("backend", "module"), [("faiss", "faiss"), ("usearch", "usearch.index")])
def test_a_missing_package_names_its_extra(monkeypatch, backend, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'mmfeat\[{backend}\]'"):
        EmbeddingIndex(MATRIX, backend=backend)
