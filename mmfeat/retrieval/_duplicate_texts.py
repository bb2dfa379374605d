"""Sentences that are the same or nearly so: equal but for case and punctuation, or alike in their runs of characters."""

import unicodedata

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

# Letters in a run, and candidates compared at a time.
_RUN = 4
_BLOCK = 1 << 18
# Say in which form the character before is to be drawn.
_SELECTORS = {*range(0xFE00, 0xFE10)}


class _Plain(dict):
    """What becomes of each character, looked up when it comes for the first time."""

    def __missing__(self, code):
        category = unicodedata.category(chr(code))
        if code in _SELECTORS or category == "Cf":
            # Invisible, and within words, as the joiners of Persian.
            kept = None
        else:
            # Marks are letters of many scripts: the vowels of Hindi and Thai. So are the pictorial symbols.
            kept = code if category[0] in "LMN" or category == "So" else " "
        self[code] = kept
        return kept


_PLAIN = _Plain()


def plain(text):
    """A text without case, punctuation, widths of characters, invisible characters and repeated spaces.

    Letters with their marks, digits, and pictorial symbols such as emoji are kept.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.translate(_PLAIN).split())


def near_texts(texts, threshold, matters):
    """Pairs of texts whose sets of runs of characters have at least so high a Jaccard index; exact, not sampled.

    Two sets that are so alike share one of the first few runs of each, in an order from rare to common (prefix
    filtering, Chaudhuri et al. 2006; the shorter prefix of the smaller set, Xiao et al. 2008), so that only sets of
    like size that do are compared.

    Parameters
    ----------
    texts : list of str
        From :func:`plain`, without repetition.
    threshold : float
        In (0, 1].
    matters : callable
        From two arrays of positions to a mask of the pairs that are wanted.

    Returns
    -------
    first, second : ndarray of shape (n_pairs,)
        Positions, first < second.
    similarities : ndarray of shape (n_pairs,)
    """
    if not any(len(text) >= _RUN for text in texts):
        return np.empty((3, 0))
    runs = CountVectorizer(analyzer="char", ngram_range=(_RUN, _RUN), binary=True, lowercase=False, dtype=np.float32)
    sets = sparse.csr_array(runs.fit_transform(texts))
    # Columns from rare to common: the first entries of a row are then its prefix.
    common = np.bincount(sets.indices, minlength=sets.shape[1])
    place = np.empty(len(common), dtype=np.int32)
    place[np.argsort(common, kind="stable")] = np.arange(len(common))
    sets = sparse.csr_array((sets.data, place[sets.indices], sets.indptr), shape=sets.shape)
    # Rows from small to large: what comes before a row is compared with it, down to the least size that may be alike.
    order = np.argsort(np.diff(sets.indptr), kind="stable")
    sets = sets[order]
    sets.sort_indices()
    sizes = np.diff(sets.indptr)
    of_larger, of_smaller = (_prefixes(sets, sizes, share) for share in (threshold, 2 * threshold / (1 + threshold)))
    found = [np.empty((0, 3))]
    for rows in _blocks(of_larger, of_smaller):
        low = np.searchsorted(sizes, threshold * sizes[rows.start] - 1e-9)
        shared = sparse.coo_array(of_larger[rows] @ of_smaller[low : rows.stop].T)
        large, small = (place.astype(np.int64) for place in shared.nonzero())
        large, small = large + rows.start, small + low
        first, second = np.sort([order[large], order[small]], axis=0)
        wanted = (small < large) & (sizes[small] >= threshold * sizes[large] - 1e-9) & matters(first, second)
        large, small, first, second = large[wanted], small[wanted], first[wanted], second[wanted]
        both = np.asarray(sets[large].multiply(sets[small]).sum(axis=1)).ravel()
        similarities = both / (sizes[large] + sizes[small] - both)
        near = similarities >= threshold - 1e-9
        found.append(np.column_stack([first, second, similarities])[near])
    return np.concatenate(found).T


def _prefixes(sets, sizes, share):
    """The first runs of each row, one more than may be missing if so large a share of the row is in the other one."""
    lengths = np.where(sizes > 0, sizes - np.ceil(share * sizes - 1e-9).astype(np.int64) + 1, 0)
    kept = np.arange(sets.nnz) - np.repeat(sets.indptr[:-1], sizes) < np.repeat(lengths, sizes)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return sparse.csr_array((sets.data[kept], sets.indices[kept], indptr), shape=sets.shape)


def _blocks(of_larger, of_smaller):
    """Slices of rows with at most so many candidates, a single row apart."""
    carriers = np.bincount(of_smaller.indices, minlength=of_smaller.shape[1]).astype(np.float64)
    costs = of_larger @ carriers
    block = np.cumsum(costs) // _BLOCK
    edges = np.flatnonzero(np.diff(block)) + 1
    starts, stops = [0, *edges.tolist()], [*edges.tolist(), len(costs)]
    return [slice(start, stop) for start, stop in zip(starts, stops, strict=True)]
