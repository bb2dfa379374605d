"""The cache of features: look-up, and what it adds to a first run.

    python benchmarks/speed/cache.py [--only NAME ...] [--out FOLDER]

Rows of 1,280 columns float32. The network is a stand-in that takes 5 ms a row without using the processor. "bare" is the least
that any cache must do on the same rows in the same run.
"""

import hashlib
import tempfile
import time
from pathlib import Path

import numpy as np
from _harness import in_turn, run_sections, seconds

from mmfeat.caching import CachedTransformer
from mmfeat.utils._base import SequenceTransformer

COLUMNS = 1280


class StandIn(SequenceTransformer):
    """Takes its time for each row; rows are random, and depend on the length of the content."""

    def __init__(self, seconds_a_row=0.0):
        self.seconds_a_row = seconds_a_row

    def fit(self, X, y=None):
        """Learn nothing."""
        self.n_features_out_ = COLUMNS
        return self

    def transform(self, X):
        """Rows that tell the items apart."""
        time.sleep(self.seconds_a_row * len(X))
        pool = np.random.default_rng(0).random(COLUMNS + 1000, dtype=np.float32)
        return np.stack([pool[hash(str(item)) % 1000 :][:COLUMNS] for item in X])


def files(folder, n, size=30_000):
    """Write `n` files of random bytes, as small JPEGs would be; old enough for their digests to be remembered."""
    rng = np.random.default_rng(0)
    paths = [Path(folder) / f"{i}.jpg" for i in range(n)]
    for path in paths:
        path.write_bytes(rng.bytes(size))
    time.sleep(2.5)
    return [str(path) for path in paths]


def look_up():
    """All rows found: files whose digests are remembered, files that must be read, sentences, arrays in memory."""
    n = 20_000
    rng = np.random.default_rng(0)
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = files(folder, n)
        inputs = {
            "files": paths,
            "texts": [f"the caption of picture {i}" for i in range(n)],
            "arrays_of_32x32x3": list(rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)),
        }
        for name, items in inputs.items():
            cached = CachedTransformer(StandIn(), Path(folder) / "cache").fit(items)
            cached.transform(items)
            taken = seconds(lambda cached=cached, items=items: cached.transform(items), repeats=5)
            assert cached.n_computed_ == 0
            result[name] = {"rows_per_second": n / taken}
        matrix = rng.random((n, COLUMNS), dtype=np.float32)
        np.save(Path(folder) / "bare.npy", matrix)
        taken = in_turn(
            {
                "np_load": lambda: np.load(Path(folder) / "bare.npy"),
                "read_and_digest_files": lambda: [hashlib.sha256(Path(path).read_bytes()).digest() for path in paths],
            }
        )
        result["bare_rows_per_second"] = {name: n / value for name, value in taken.items()}
    return result


def cold_run():
    """First run of 2,000 files at 5 ms a row, with the cache and without, in turn."""
    n = 2000
    with tempfile.TemporaryDirectory() as folder:
        paths = files(folder, n, size=100_000)
        count = iter(range(1000))

        def cold():
            CachedTransformer(StandIn(0.005), Path(folder) / f"cache{next(count)}").fit(paths).transform(paths)

        taken = in_turn({"bare": lambda: StandIn(0.005).fit(paths).transform(paths), "cached": cold}, repeats=3)
    return {"seconds": taken, "overhead_percent": 100 * (taken["cached"] / taken["bare"] - 1)}


def size_on_disk():
    """Bytes on disk against those of the matrix; and against the bound, after ten times as much was written."""
    with tempfile.TemporaryDirectory() as folder:
        texts = [f"text {i}" for i in range(5000)]
        CachedTransformer(StandIn(), Path(folder) / "a").fit(texts).transform(texts)
        size = (Path(folder) / "a" / "v1" / "data.mdb").stat().st_size
        bound = 25_000_000
        bounded = CachedTransformer(StandIn(), Path(folder) / "b", max_bytes=bound).fit(texts)
        for part in range(50):
            bounded.transform([f"text {part} {i}" for i in range(1000)])
        bounded_size = (Path(folder) / "b" / "v1" / "data.mdb").stat().st_size
    return {
        "file_in_matrices": size / (5000 * COLUMNS * 4),
        "file_in_bounds_after_ten_times_the_bound": bounded_size / bound,
    }


SECTIONS = {"look_up": look_up, "cold_run": cold_run, "size_on_disk": size_on_disk}


if __name__ == "__main__":
    run_sections("speed_cache", SECTIONS, __doc__)
