"""The best items of some queries, found while the blocks of their products go by."""

import numpy as np

from mmfeat.retrieval._search._grid import CHUNK, to_scores

# Items of a group, of which only the largest product is looked at, unless that passes.
_GROUP = 16
# A share of pairs from which a product of the whole block in float64 is cheaper than one pair at a time.
_DENSE = 1 / 128


class Race:
    """Candidates of some queries, item after item in the order of the gallery.

    Of each candidate a floor and a ceiling of its exact product are known. The k-th highest floor bounds the answer:
    what has its ceiling below is out. Where too many are left, as among many equal items, the exact products decide.

    Parameters
    ----------
    gallery : Gallery
    queries : Queries
    k : int
    """

    def __init__(self, gallery, queries, k):
        self.gallery, self.queries, self.k = gallery, queries, k
        self._lengths = queries.lengths
        self._bounds = np.full(len(queries), -np.inf)
        self._parts = []
        self._held, self._tidy_at = 0, 0

    def enter(self, products, limits, which, columns):
        """Look for candidates in the float32 products (m, q) of a block with the queries in a slice."""
        margins = limits.margins(self._lengths[columns])
        groups = _grouped(products, self.k)
        best = groups.max(axis=0)
        bounds, inclusive = self._bounds[columns], False
        if np.isneginf(bounds).any():
            # These bounds come from the same items, which may as well be equal to them.
            bounds, inclusive = self._lowered(_kth_highest(best, self.k) - margins, columns), True
        least = _rounded_down(bounds - margins, inclusive)
        most = max(_DENSE * products.size, 4 * self.k * products.shape[1])
        passed = _passing(products, groups, best, least, most)
        if len(passed) > most:
            self._enter_exactly(which, columns, bounds if inclusive else None)
            return
        items, queries = np.divmod(passed, products.shape[1])
        values, margins = products.reshape(-1)[passed].astype(np.float64), margins[queries]
        self._hold(columns.start + queries, _positions(which, items), values - margins, values + margins)

    def _lowered(self, halves, queries):
        return lowered(halves, self.queries.squares[queries], self.gallery.metric)

    def _enter_exactly(self, which, columns, lowest):
        """Take the best of a block by its exact products, which may be equal to `lowest` if these are given."""
        products = exact_products(self.gallery, self.queries.rows[columns], which)
        passed = products > self._bounds[columns] if lowest is None else products >= lowest
        scores = to_scores(products, self.queries.squares[columns], self.gallery.metric)
        for query in np.flatnonzero(passed.any(axis=0)):
            items = np.flatnonzero(passed[:, query])
            items = items[np.argsort(-scores[items, query], kind="stable")[: self.k]]
            values = products[items, query]
            self._hold(np.full(len(items), columns.start + query), _positions(which, items), values, values)

    def _hold(self, queries, positions, floors, ceilings):
        self._parts.append((queries, positions, floors, ceilings))
        self._held += len(queries)

    def tidy(self, last_of_power):
        """Raise the bounds and drop what cannot win, if there is enough to drop or it has not been done for long."""
        if not last_of_power and self._held <= self._tidy_at:
            return
        queries, positions, floors, ceilings = self._joined()
        order = np.lexsort((-floors, queries))
        first, enough = self._first_of_each(queries)
        kth = floors[order[first[enough] + self.k - 1]]
        self._bounds[enough] = np.maximum(self._bounds[enough], kth)
        # Later items must be better than the bound, those that are here may have the same score and come first.
        kept = np.flatnonzero(ceilings >= self._lowered(self._bounds, slice(None))[queries])
        self._parts = [(queries[kept], positions[kept], floors[kept], ceilings[kept])]
        self._held = len(kept)
        most = 4 * self.k * len(self.queries)
        if self._held > most:
            self._settle()
        self._tidy_at = self._held + most

    def finish(self):
        """Scores and positions of the best, arrays of shape (n_queries, k)."""
        scores, positions = self._settle()
        return scores.reshape(-1, self.k), positions.reshape(-1, self.k)

    def _settle(self):
        """Replace all products by exact ones and keep the best k of each query, the first among equals."""
        queries, positions, floors, ceilings = self._joined()
        open_ = np.flatnonzero(floors != ceilings)
        floors[open_] = exact_pairs(self.gallery, self.queries.rows, queries[open_], positions[open_])
        scores = to_scores(floors, self.queries.squares[queries], self.gallery.metric)
        order = np.lexsort((positions, -scores, queries))
        first, enough = self._first_of_each(queries)
        place = np.arange(len(order)) - first[queries[order]]
        order = order[place < self.k]
        queries, positions, floors = queries[order], positions[order], floors[order]
        lowest = np.full(len(self.queries), np.inf)
        np.minimum.at(lowest, queries, floors)
        self._bounds[enough] = np.maximum(self._bounds[enough], lowest[enough])
        self._parts, self._held = [(queries, positions, floors, floors)], len(order)
        return scores[order], positions

    def _joined(self):
        return [np.concatenate(column) for column in zip(*self._parts, strict=True)]

    def _first_of_each(self, queries):
        """Where the candidates of each query begin when sorted, and which queries have k of them."""
        counts = np.bincount(queries, minlength=len(self.queries))
        return np.cumsum(counts) - counts, counts >= self.k


def lowered(halves, squares, metric):
    """Products from which on the scores in float32 may be the same as those of given products."""
    # By twice the distance of two neighbours in float32.
    if metric == "euclidean":
        return halves - 2.0**-22 * np.maximum(squares - 2 * np.maximum(halves, -1e300), 0) - 1e-44
    halves = np.minimum(halves, 1) if metric == "cosine" else halves
    return halves - 2.0**-22 * np.abs(np.maximum(halves, -1e300)) - 1e-44


def exact_products(gallery, queries, which):
    """Products of items with queries less half the items' squares, float64 of shape (m, q), without rounding."""
    rows, halves = gallery.exact(which)
    products = rows.astype(np.float64) @ queries.astype(np.float64).T
    return products if halves is None else products - halves[:, None]


def exact_pairs(gallery, queries, numbers, positions):
    """The same of pairs, each of one query and one item, float64 of shape (n_pairs,)."""
    products = np.empty(len(numbers))
    for start in range(0, len(numbers), CHUNK):
        chunk = slice(start, start + CHUNK)
        rows, halves = gallery.exact(positions[chunk])
        values = np.einsum("ij,ij->i", rows.astype(np.float64), queries[numbers[chunk]].astype(np.float64))
        products[chunk] = values if halves is None else values - halves
    return products


def _positions(which, items):
    return which.start + items if isinstance(which, slice) else which[items]


def _grouped(products, k):
    """Products as (group, m // group, q): the items of a group are far from each other, so that maxima are quick.

    The items past the last full group are left out.
    """
    m, q = products.shape
    group = _GROUP
    while group > 1 and m // group < 2 * k:
        group //= 2
    return products[: m // group * group].reshape(group, -1, q)


def _kth_highest(best, k):
    """The k-th highest of each column; -inf if there are not so many."""
    m, q = best.shape
    return np.partition(best, m - k, axis=0)[m - k].astype(np.float64) if m >= k else np.full(q, -np.inf)


def _passing(products, groups, best, limits, most):
    """Places, in the products laid flat, of those above the limit of their query; of more than `most`, not all."""
    size, per_group, q = groups.shape
    hit = np.flatnonzero(best > limits)
    if len(hit) > most:
        return hit
    places = hit[:, None] + np.arange(size) * (per_group * q)
    places = places[products.reshape(-1)[places] > limits[hit % q][:, None]]
    rest = size * per_group
    return np.concatenate([places, rest * q + np.flatnonzero(products[rest:] > limits)])


def _rounded_down(values, inclusive):
    """The same in float32, not above; and reached by `>` where inclusive."""
    rounded = values.astype(np.float32)
    lower = np.nextafter(rounded, np.float32(-np.inf))
    return lower if inclusive else np.where(rounded > values, lower, rounded)
