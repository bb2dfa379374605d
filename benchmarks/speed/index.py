"""The index against its peers and against the bare products, in one run.

    python benchmarks/speed/index.py [--only NAME ...]

Random data throughout. Peers: scikit-learn, and faiss and usearch, which ``pip install -e ".[bench]"`` brings.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from _harness import RESULTS, forget_peak, in_process, in_turn, peak_bytes, run_sections

from mmfeat.retrieval import EmbeddingIndex
from mmfeat.retrieval._search import _exact
from mmfeat.retrieval._search._gallery import Gallery
from mmfeat.retrieval._search._grid import make_queries
from mmfeat.retrieval._search._threads import blas_threads, in_threads

WIDTH, K = 256, 10


def make_rows(n, seed=0, width=WIDTH):
    """Random rows of unit length, float32."""
    rows = np.random.default_rng(seed).standard_normal((n, width), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def bare_product(gallery, queries):
    """The products of the search, block for block, thrown away."""
    out = np.empty((_exact.ITEMS, _exact.QUERIES), dtype=np.float32)
    for which in _exact.blocks(len(gallery), K):
        for columns in _exact.columns_of(len(queries)):
            shape = which.stop - which.start, columns.stop - columns.start
            part = out.reshape(-1)[: shape[0] * shape[1]].reshape(shape)
            np.matmul(gallery[which], queries[columns].T, out=part)


def bare_in_threads(gallery, queries):
    """The same with the queries shared out among threads, as the search does it."""
    n = blas_threads()
    share = -(-len(queries) // n)
    parts = [queries[start : start + share] for start in range(0, len(queries), share)]
    in_threads(lambda part: bare_product(gallery, part), parts, n)


def against_peers(n=200_000, n_queries=5_000, repeats=5):
    """Top 10 of 5,000 queries in 200,000 x 256 float32."""
    import faiss
    from sklearn.neighbors import NearestNeighbors

    gallery, queries = make_rows(n), make_rows(n_queries, seed=1)
    index = EmbeddingIndex(gallery)
    flat = faiss.IndexFlatIP(WIDTH)
    flat.add(gallery)
    brute = NearestNeighbors(n_neighbors=K, algorithm="brute", metric="cosine").fit(gallery)
    _, found = index.search(queries, K)
    _, faiss_found = flat.search(queries, K)
    taken = in_turn(
        {
            "mmfeat": lambda: index.search(queries, K),
            "bare_product": lambda: bare_product(gallery, queries),
            "bare_product_in_threads": lambda: bare_in_threads(gallery, queries),
            "faiss_IndexFlatIP": lambda: flat.search(queries, K),
            "scikit_learn_brute_cosine": lambda: brute.kneighbors(queries),
        },
        repeats,
    )
    bare = min(taken["bare_product"], taken["bare_product_in_threads"])
    return {
        "gallery": n,
        "queries": n_queries,
        "threads": blas_threads(),
        "seconds": taken,
        "times_as_fast_as_faiss": taken["faiss_IndexFlatIP"] / taken["mmfeat"],
        "times_as_fast_as_scikit_learn": taken["scikit_learn_brute_cosine"] / taken["mmfeat"],
        "in_bare_products": taken["mmfeat"] / bare,
        "giga_operations_a_second_of_the_bare_product": 2e-9 * n * n_queries * WIDTH / bare,
        "share_of_places_as_faiss": float((found == faiss_found).mean()),
    }


def million():
    """1,000,000 x 256: memory of building and of searching above the index, and saving and opening."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.index"
        built, _ = in_process(_build_million, path)
        opened, _ = in_process(_open_million, path)
    return built | opened


def _build_million(path):
    EmbeddingIndex(make_rows(100)).search(make_rows(1000, seed=2), K)
    rows, queries = make_rows(1_000_000), make_rows(1_000, seed=1)
    forget_peak()
    before = peak_bytes()
    start = time.perf_counter()
    index = EmbeddingIndex(rows)
    seconds, size = time.perf_counter() - start, rows.nbytes
    building = peak_bytes() - before - size
    forget_peak()
    before = peak_bytes()
    start = time.perf_counter()
    index.search(queries, K)
    search = time.perf_counter() - start
    searching = peak_bytes() - before
    start = time.perf_counter()
    index.save(path)
    return {
        "index_bytes": size,
        "seconds_of_building": seconds,
        "bytes_above_embeddings_and_index_when_building": building,
        "seconds_of_1000_queries": search,
        "bytes_above_the_index_when_searching": searching,
        "seconds_of_saving": time.perf_counter() - start,
    }


def _open_million(path):
    start = time.perf_counter()
    index = EmbeddingIndex.load(path)
    opened = time.perf_counter() - start
    start = time.perf_counter()
    index.search(make_rows(1, seed=1), K)
    return {"seconds_of_opening": opened, "seconds_of_the_first_query_after": time.perf_counter() - start}


def cost_against_rows(sizes=(50_000, 100_000, 200_000, 400_000, 800_000)):
    """Seconds of 1,000 queries against the size of the gallery; the picture beside the record."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows, queries = make_rows(max(sizes)), make_rows(1_000, seed=1)
    indices = {n: EmbeddingIndex(rows[:n]) for n in sizes}
    taken = in_turn({n: lambda n=n: indices[n].search(queries, K) for n in sizes}, 5)
    seconds = np.array([taken[n] for n in sizes])
    slope, constant = np.polyfit(sizes, seconds, 1, w=1 / seconds)
    fitted = np.polyval((slope, constant), sizes)
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    axes.plot(np.array(sizes) / 1000, seconds, "o", label="top 10 of 1,000 queries, 256 components, median of 5")
    axes.plot(
        np.array(sizes) / 1000, fitted, label=f"{1e6 * slope:.2f} s per million items and {constant:.2f} s", zorder=0
    )
    axes.set(xlabel="items in the gallery, thousands", ylabel="seconds", xlim=(0, None), ylim=(0, 1.25 * seconds.max()))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    figure.savefig(RESULTS / "speed_index_rows.png", dpi=110)
    return {
        "seconds": {str(n): taken[n] for n in sizes},
        "seconds_per_million_items": 1e6 * slope,
        "seconds_without_items": constant,
        "largest_share_off_the_line": float(np.max(np.abs(seconds / fitted - 1))),
    }


def storage(n=200_000, n_queries=1_000):
    """float16 and int8, with and without the originals: bytes, seconds, and what is found of the answer in float32."""
    rows, queries = make_rows(n), make_rows(n_queries, seed=1)
    indices = {"float32": EmbeddingIndex(rows)}
    for dtype in ("float16", "int8"):
        indices[dtype] = EmbeddingIndex(rows, dtype=dtype)
        indices[f"{dtype}, rescored"] = EmbeddingIndex(rows, dtype=dtype, rescore=True)
    taken = in_turn({name: lambda index=index: index.search(queries, K) for name, index in indices.items()}, 5)
    scores, exact = indices["float32"].search(queries, K)
    result = {}
    for name, index in indices.items():
        values, found = index.search(queries, K)
        hits = [len(set(row) & set(right)) for row, right in zip(found, exact, strict=True)]
        result[name] = {
            "bytes_a_row": sum(column.nbytes for _, column in index._engine.gallery.columns.items()) / n,
            "seconds": taken[name],
            "seconds_in_those_of_float32": taken[name] / taken["float32"],
            "recall_at_10_of_float32": float(np.mean(hits)) / K,
            "same_order_and_scores": bool((found == exact).all() and (values == scores).all()),
        }
    return result


def make_clusters(n, seed=0, n_clusters=2_000, width=WIDTH):
    """Rows around random centres, with noise as long as the centres: what a graph can find its way in."""
    centres = np.random.default_rng(99).standard_normal((n_clusters, width), dtype=np.float32)
    rng = np.random.default_rng(seed)
    return centres[rng.integers(n_clusters, size=n)] + rng.standard_normal((n, width), dtype=np.float32)


def backends(n=100_000, n_queries=1_000):
    """Graphs at several settings: recall at 10 against the exact search, and milliseconds a query."""
    rows, queries = make_clusters(n), make_clusters(n_queries, seed=1)
    result = {}
    for backend in ("faiss", "usearch"):
        start = time.perf_counter()
        index = EmbeddingIndex(rows, backend=backend)
        built = time.perf_counter() - start
        for expansion in (32, 64, 128, 256, 512):
            index._engine._graph._options["expansion_search"] = expansion
            report = index.evaluate(queries, K)
            result[f"{backend}, expansion_search {expansion}"] = {
                "recall_at_10": report["recall"],
                "milliseconds_a_query": 1e3 * report["seconds"] / n_queries,
                "milliseconds_a_query_exact": 1e3 * report["seconds_exact"] / n_queries,
                "seconds_of_building": built,
            }
    return result


def on_device(n=200_000, n_queries=5_000):
    """The ratio to the bare product on CUDA, where there is one."""
    import torch

    if not torch.cuda.is_available():
        return {"skipped": "no CUDA here"}
    from mmfeat.retrieval._search import _device

    rows = make_rows(n)
    gallery, queries = Gallery.make(rows, "cosine", "float32", False), make_queries(make_rows(n_queries, 1), "cosine")
    device = _device.DeviceSearch(gallery, "cuda")
    items, asked = (torch.tensor(matrix, device="cuda") for matrix in (rows, queries.rows))

    def bare():
        for start in range(0, n_queries, _device.QUERIES):
            for first in range(0, n, _device.ITEMS):
                asked[start : start + _device.QUERIES] @ items[first : first + _device.ITEMS].T
        torch.cuda.synchronize()

    taken = in_turn({"mmfeat": lambda: device.search(queries, K), "bare_product": bare}, 9)
    same = all(map(np.array_equal, device.search(queries, K), _exact.search_exactly(gallery, queries, K)))
    name = torch.cuda.get_device_name()
    return {"device": name, "seconds": taken, "in_bare_products": taken["mmfeat"] / taken["bare_product"], "same": same}


SECTIONS = {
    "peers": against_peers,
    "million": million,
    "rows": cost_against_rows,
    "storage": storage,
    "backends": backends,
    "device": on_device,
}

if __name__ == "__main__":
    run_sections("speed_index", SECTIONS, __doc__)
