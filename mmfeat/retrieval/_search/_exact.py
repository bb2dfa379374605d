"""Exact search on a processor: blocks of products that are looked through while they are in the cache."""

import numpy as np

from mmfeat.retrieval._search._race import Race
from mmfeat.retrieval._search._threads import blas_threads, in_threads

# Products of 4,096 items with 256 queries are 4 MiB: they stay in the cache, and the multiplication runs at full speed.
ITEMS, QUERIES = 4096, 256
# Candidates of all queries of a race: what is held beside the blocks.
_PAIRS = 1 << 22
_MOST_QUERIES = 8192
# With fewer queries a thread, the products take the threads.
_LEAST_SHARE = 64


def search_exactly(gallery, queries, k, allowed=None):
    """Best `k` items of each query, best first, the first in the gallery among equal scores.

    Parameters
    ----------
    gallery : Gallery
    queries : Queries
    k : int
        At most the number of items allowed.
    allowed : ndarray of int or None
        Ascending positions of the items to choose from.

    Returns
    -------
    scores : ndarray of shape (n_queries, k), dtype float32
    positions : ndarray of shape (n_queries, k), dtype int64
    """
    n_threads = blas_threads()
    if len(queries) < _LEAST_SHARE * n_threads:
        n_threads = 1
    at_a_time = min(_MOST_QUERIES, max(1, _PAIRS // k), -(-len(queries) // n_threads))
    shares = [queries[start : start + at_a_time] for start in range(0, len(queries), at_a_time)]

    def race(share):
        return _race(gallery, share, k, allowed)

    # Each thread multiplies and looks through blocks of its own, or all but one would wait while one looks.
    found = in_threads(race, shares, n_threads) if n_threads > 1 else [race(share) for share in shares]
    scores, positions = zip(*found, strict=True)
    return np.concatenate(scores), np.concatenate(positions)


def _race(gallery, queries, k, allowed):
    race = Race(gallery, queries, k)
    run(race, gallery, allowed)
    return race.finish()


def run(race, gallery, allowed):
    """Let all blocks of the gallery enter a race."""
    products = np.empty((ITEMS, QUERIES), dtype=np.float32)
    for number, which in enumerate(blocks(len(gallery) if allowed is None else allowed, race.k), 1):
        rows, limits = gallery.block(which), gallery.limits(which)
        if len(rows) > len(products):
            products = np.empty((len(rows), QUERIES), dtype=np.float32)
        for columns in columns_of(len(race.queries)):
            # A view of the buffer's beginning is contiguous whatever its shape.
            shape = len(rows), columns.stop - columns.start
            part = products.reshape(-1)[: shape[0] * shape[1]].reshape(shape)
            np.matmul(rows, race.queries.rows[columns].T, out=part)
            if limits.halves is not None:
                part -= limits.halves[:, None]
            race.enter(part, limits, which, columns)
        race.tidy(last_of_power=number & (number - 1) == 0)


def blocks(items, k):
    """Slices of a number of items, or parts of an array of positions."""
    # A block that is to bound the k-th best must hold some times k items.
    size = max(ITEMS, 4 * k)
    n = items if isinstance(items, int) else len(items)
    for start in range(0, n, size):
        rows = slice(start, min(n, start + size))
        yield rows if isinstance(items, int) else items[rows]


def columns_of(n_queries):
    """Slices of the queries that are multiplied at a time."""
    for start in range(0, n_queries, QUERIES):
        yield slice(start, min(n_queries, start + QUERIES))
