"""The exact search against scores computed one by one and sorted as a whole, to the last bit and with many ties."""

import threading
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from threadpoolctl import threadpool_info

from mmfeat.retrieval import EmbeddingIndex
from mmfeat.retrieval._search import _device, _exact, _threads
from mmfeat.retrieval._search._device import DeviceSearch
from mmfeat.retrieval._search._gallery import Gallery
from mmfeat.retrieval._search._grid import METRICS, make_queries, on_grid
from mmfeat.utils._device import matmul_precision

STORED = [("float32", False), ("float16", False), ("int8", False), ("float16", True), ("int8", True)]


def full_sort(gallery, queries, k, metric, allowed=None):
    """Scores of every pair in Python's own arithmetic, all sorted."""
    items = gallery.exact_rows(slice(0, len(gallery))).astype(float)
    scores = np.array([[_score(query, item, metric) for item in items] for query in queries.rows.astype(float)])
    allowed = np.arange(len(items)) if allowed is None else allowed
    order = allowed[np.argsort(-scores[:, allowed], axis=1, kind="stable")[:, :k]]
    return np.take_along_axis(scores, order, axis=1), order


def _score(query, item, metric):
    product = sum(a * b for a, b in zip(query.tolist(), item.tolist(), strict=True))
    if metric == "euclidean":
        squares = sum(a * a for a in query.tolist()), sum(b * b for b in item.tolist())
        return np.float32(0 - np.sqrt(max(squares[0] - 2 * (product - squares[1] / 2), 0)))
    return np.float32(min(max(product, -1), 1) if metric == "cosine" else product)


def make_rows(kind, n, d, rng):
    """Rows without ties, of few values, copies of few rows scaled, or all the same."""
    if kind == "normal":
        return rng.normal(size=(n, d))
    if kind == "few values":
        return rng.integers(-1, 2, size=(n, d)).astype(float)
    if kind == "copies":
        return rng.normal(size=(3, d))[rng.integers(0, 3, n)] * 2.0 ** rng.integers(-3, 3, (n, 1))
    return np.ones((n, d))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 120),
    d=st.integers(1, 6),
    kind=st.sampled_from(["normal", "few values", "copies", "constant"]),
    metric=st.sampled_from(METRICS),
    stored=st.sampled_from(STORED),
    blocks=st.tuples(st.integers(1, 40), st.integers(1, 4)),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_found_is_the_head_of_a_stable_sort_whatever_the_blocks(n, d, kind, metric, stored, blocks, share, seed):
    rng = np.random.default_rng(seed)
    matrix, k = make_rows(kind, n, d, rng), 1 + int(share * (n - 1))
    queries = make_queries(make_rows("few values" if seed % 2 else "normal", 6, d, rng), metric)
    gallery = Gallery.make(matrix, metric, *stored)
    before = _exact.ITEMS, _exact.QUERIES
    _exact.ITEMS, _exact.QUERIES = blocks
    try:
        scores, found = _exact.search_exactly(gallery, queries, k)
    finally:
        _exact.ITEMS, _exact.QUERIES = before
    expected_scores, expected = full_sort(gallery, queries, k, metric)
    assert_array_equal(found, expected)
    assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize("kind", ["normal", "copies", "constant"])
def test_rescored_is_what_float32_finds_score_for_score(metric, dtype, kind):
    rng = np.random.default_rng(0)
    matrix, queries = make_rows(kind, 9000, 16, rng), rng.normal(size=(40, 16))
    expected = EmbeddingIndex(matrix, metric=metric).search(queries, 10)
    index = EmbeddingIndex(matrix, metric=metric, dtype=dtype, rescore=True)
    for ours, theirs in zip(index.search(queries, 10), expected, strict=True):
        assert_array_equal(ours, theirs)
    rounded = EmbeddingIndex(matrix, metric=metric, dtype=dtype).search(queries, 10)[0]
    assert_allclose(rounded, expected[0], rtol=2e-3 if dtype == "float16" else 3e-2, atol=0.1)
    assert kind == "constant" or (rounded != expected[0]).any()


@pytest.mark.parametrize("kind", ["normal", "constant"])
def test_many_items_and_queries_in_threads(kind):
    rng = np.random.default_rng(0)
    matrix, queries = make_rows(kind, 9000, 8, rng), rng.normal(size=(300, 8))
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    exact = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ unit.T
    before = _threads.blas_threads()
    scores, found = EmbeddingIndex(matrix).search(queries, 20)
    assert _threads.blas_threads() == before
    if kind == "constant":
        assert_array_equal(found, np.tile(np.arange(20), (300, 1)))
    assert_allclose(scores, -np.sort(-exact, axis=1)[:, :20], atol=1e-6)
    assert_allclose(np.take_along_axis(exact, found, axis=1), scores, atol=1e-6)


@pytest.mark.parametrize("kind", ["normal", "copies", "constant"])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_the_matrix_of_all_scores_is_never_there(kind, dtype):
    rng = np.random.default_rng(0)
    index, queries = EmbeddingIndex(make_rows(kind, 50_000, 4, rng), dtype=dtype), rng.normal(size=(2000, 4))
    tracemalloc.start()
    index.search(queries, 5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6 < 4 * 50_000 * 2000 / 3


def test_two_searches_at_once_leave_the_threads_as_they_were(monkeypatch):
    monkeypatch.setattr(_exact, "blas_threads", lambda: 2)
    before = [library["num_threads"] for library in threadpool_info()]
    rng = np.random.default_rng(0)
    index, queries = EmbeddingIndex(rng.normal(size=(5000, 16))), rng.normal(size=(400, 16))
    results = []
    threads = [threading.Thread(target=lambda: results.append(index.search(queries, 5)[1])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for found in results[1:]:
        assert_array_equal(found, results[0])
    assert [library["num_threads"] for library in threadpool_info()] == before


@pytest.mark.parametrize("metric", METRICS)
def test_products_of_rows_on_the_grid_are_exact_in_any_order(metric):
    rng = np.random.default_rng(0)
    rows = on_grid(rng.normal(size=(40, 300)) * 10.0 ** rng.integers(-6, 6, (40, 1)), metric)[0]
    products = rows.astype(float) @ rows.astype(float).T
    shuffled = rng.permutation(300)
    assert_array_equal(products, rows[:, shuffled].astype(float) @ rows[:, shuffled].astype(float).T)
    exact = sum(Fraction(a) * Fraction(b) for a, b in zip(rows[3].tolist(), rows[7].tolist(), strict=True))
    assert Fraction(products[3, 7]) == exact


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_those_of_the_formula(metric):
    rng = np.random.default_rng(0)
    matrix, queries = 3 * rng.normal(size=(60, 7)), 3 * rng.normal(size=(5, 7))
    if metric == "euclidean":
        expected = -np.sqrt(((queries[:, None] - matrix) ** 2).sum(axis=2))
    else:
        expected = queries @ matrix.T
        if metric == "cosine":
            expected /= np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(matrix, axis=1)
    scores, found = EmbeddingIndex(matrix, metric=metric).search(queries, 60)
    assert_array_equal(found, np.argsort(-expected, axis=1))
    assert_allclose(scores, -np.sort(-expected, axis=1), rtol=1e-6, atol=1e-5)


def test_a_row_is_at_distance_zero_from_itself():
    rows = 100 + np.random.default_rng(0).normal(size=(500, 32)).astype(np.float32)
    scores, found = EmbeddingIndex(rows, metric="euclidean").search(rows, 2)
    assert_array_equal(found[:, 0], np.arange(500))
    assert_array_equal(scores[:, 0], 0)
    assert not np.signbit(scores[:, 0]).any()


def test_zero_queries_take_the_first_items():
    matrix = np.random.default_rng(0).normal(size=(5000, 8))
    for metric in ("cosine", "inner_product"):
        scores, found = EmbeddingIndex(matrix, metric=metric).search(np.zeros((3, 8)), 4)
        assert_array_equal(found, np.tile(np.arange(4), (3, 1)))
        assert_array_equal(scores, 0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("kind", ["normal", "few values", "copies", "constant"])
@pytest.mark.parametrize("k", [1, 5, 150])
def test_the_search_on_a_device_is_the_same(monkeypatch, metric, stored, kind, k):
    monkeypatch.setattr(_device, "ITEMS", 70)
    monkeypatch.setattr(_device, "QUERIES", 4)
    monkeypatch.setattr(_device, "_GROUP", 3)
    rng = np.random.default_rng(0)
    gallery = Gallery.make(make_rows(kind, 400, 5, rng), metric, *stored)
    queries = make_queries(rng.normal(size=(9, 5)), metric)
    device = DeviceSearch(gallery, "cpu")
    for allowed in (None, np.flatnonzero(rng.random(400) < 0.6)):
        expected = _exact.search_exactly(gallery, queries, k, allowed)
        for ours, theirs in zip(device.search(queries, k, allowed), expected, strict=True):
            assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("numbers", [1, 64, 1000])
def test_the_search_on_a_device_holds_so_many_numbers_at_a_time(monkeypatch, dtype, numbers):
    rng = np.random.default_rng(0)
    gallery = Gallery.make(rng.normal(size=(400, 8)), "euclidean", dtype, False)
    queries = make_queries(rng.normal(size=(9, 8)), "euclidean")
    expected = DeviceSearch(gallery, "cpu").search(queries, 200)
    monkeypatch.setattr(_device, "_NUMBERS", numbers)
    monkeypatch.setattr(_device, "_PAIRS", 500)
    device, held = DeviceSearch(gallery, "cpu"), []
    decode, best = device._items, device._best

    def items(which):
        if not isinstance(which, slice):
            held.append(which.numel() * 8)
        return decode(which)

    def search(rows, m, *others):
        assert len(rows) * m <= 500
        return best(rows, m, *others)

    monkeypatch.setattr(device, "_items", items)
    monkeypatch.setattr(device, "_best", search)
    for ours, theirs in zip(device.search(queries, 200), expected, strict=True):
        assert_array_equal(ours, theirs)
    assert len(held) > 1 and max(held) <= max(numbers, 8)


@pytest.mark.parametrize("setting", ["ieee", "tf32", "bf16", "none", "new to us"])
def test_any_setting_of_the_precision_of_products_leaves_the_answer(monkeypatch, setting):
    import torch

    monkeypatch.setattr(_device, "_SPARE", 2)
    rng = np.random.default_rng(0)
    gallery = Gallery.make(make_rows("copies", 400, 5, rng), "cosine", "float32", False)
    queries = make_queries(rng.normal(size=(9, 5)), "cosine")
    switch = torch.backends.mkldnn.matmul
    before = switch.fp32_precision
    if setting == "new to us":
        monkeypatch.setattr(_device, "matmul_precision", lambda device: setting)
    else:
        switch.fp32_precision = setting
    try:
        found = DeviceSearch(gallery, "cpu").search(queries, 5)
    finally:
        switch.fp32_precision = before
    for ours, theirs in zip(found, _exact.search_exactly(gallery, queries, 5), strict=True):
        assert_array_equal(ours, theirs)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(
    ("legacy", "new", "expected"),
    [("high", None, "tf32"), ("highest", None, "ieee"), (None, "tf32", "tf32"), (None, "ieee", "ieee")],
)
def test_the_precision_of_products_is_read_whichever_switch_was_set(device, legacy, new, expected):
    import torch

    switches = [kind.matmul for kind in (torch.backends.cuda, torch.backends.mkldnn)]
    before = torch.get_float32_matmul_precision()
    kept = [switch.fp32_precision for switch in switches]
    try:
        if legacy:
            torch.set_float32_matmul_precision(legacy)
        for switch in switches if new else ():
            switch.fp32_precision = new
        assert matmul_precision(device) == expected
    finally:
        torch.set_float32_matmul_precision(before)
        for switch, value in zip(switches, kept, strict=True):
            switch.fp32_precision = value


@pytest.mark.gpu
@pytest.mark.parametrize("stored", STORED)
def test_the_search_on_cuda_is_the_same(stored):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    rng = np.random.default_rng(0)
    matrix, queries = rng.normal(size=(100_000, 64)), rng.normal(size=(300, 64))
    options = {"dtype": stored[0], "rescore": stored[1]}
    expected = EmbeddingIndex(matrix, **options).search(queries, 10)
    for ours, theirs in zip(
        EmbeddingIndex(matrix, device="cuda", **options).search(queries, 10), expected, strict=True
    ):
        assert_array_equal(ours, theirs)
