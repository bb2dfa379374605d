"""Random samples of bounded size, drawn from bags without joining them first."""

import numpy as np


def sample_rows(bags, max_rows, rng):
    """Draw descriptors evenly over the bags: each gives the same number, or all it has if that is fewer.

    Parameters
    ----------
    bags : list of ndarray of shape (n_i, d)
    max_rows : int
        Most descriptors drawn; all are taken if there are no more.
    rng : RandomState

    Returns
    -------
    rows : ndarray of shape (n_rows, d), dtype float32 or float64
        In the order of the bags.
    """
    lengths = np.array([len(bag) for bag in bags])
    quotas = _quotas(lengths, max_rows, rng)
    rows = np.empty((int(quotas.sum()), bags[0].shape[1]), dtype=common_dtype(bags))
    start = 0
    for bag, length, quota in zip(bags, lengths, quotas, strict=True):
        if quota:
            chosen = slice(None) if quota == length else np.sort(rng.choice(length, quota, replace=False))
            rows[start : start + quota] = bag[chosen]
        start += quota
    return rows


def _quotas(lengths, max_rows, rng):
    """How many rows each bag gives: at most a common number, the remainder by lot."""
    if lengths.sum() <= max_rows:
        return lengths
    ascending = np.sort(lengths)
    # With the common number at ascending[i], bags up to i give all they have and the others give that many.
    given = np.cumsum(ascending) + ascending * np.arange(len(ascending) - 1, -1, -1)
    n_whole = int(np.searchsorted(given, max_rows, side="right"))
    common = int((max_rows - ascending[:n_whole].sum()) // (len(lengths) - n_whole))
    quotas = np.minimum(lengths, common)
    longer = np.flatnonzero(lengths > common)
    quotas[rng.choice(longer, int(max_rows - quotas.sum()), replace=False)] += 1
    return quotas


def common_dtype(bags):
    """float64 if a bag that holds descriptors does, else float32."""
    return np.dtype(np.float64 if any(bag.dtype == np.float64 and len(bag) for bag in bags) else np.float32)


class Reservoir:
    """An even sample, of bounded size, of all rows that went by.

    Parameters
    ----------
    max_rows : int

    Attributes
    ----------
    rows : ndarray of shape (at most max_rows, d) or None
    n_seen : int
    """

    def __init__(self, max_rows):
        self.max_rows = max_rows
        self.rows = None
        self.n_seen = 0

    def add(self, rows, n_seen, rng):
        """Take in an even sample `rows` of `n_seen` further rows."""
        if self.rows is None:
            self.rows = rows
        elif len(rows):
            room = min(self.max_rows, len(self.rows) + len(rows))
            n_new = rng.hypergeometric(n_seen, self.n_seen, room)
            n_new = int(np.clip(n_new, room - len(self.rows), len(rows)))
            parts = [(self.rows, room - n_new), (rows, n_new)]
            self.rows = np.concatenate([part[rng.permutation(len(part))[:count]] for part, count in parts])
        self.n_seen += n_seen
