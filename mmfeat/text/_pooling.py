"""Vectors of words into vectors of texts."""

from itertools import pairwise

import numpy as np
from scipy import sparse

# Of vectors worked on at once: they should stay in a processor's cache.
_CACHED_FLOATS = 1 << 17
# Of sums in float32, as a share of the length of a row.
_ROUNDING = 1e-6


def idf_weights(corpus):
    """Smoothed inverse share of the texts that hold a word, as scikit-learn computes it.

    Parameters
    ----------
    corpus : mmfeat.text._corpus.Corpus

    Returns
    -------
    weights : ndarray of shape (n_words + 1,)
        The last one is for a word that is in none of the texts.
    """
    n_texts = len(corpus.starts) - 1
    return np.log((1 + n_texts) / (1 + np.append(corpus.text_counts(), 0))) + 1


def sif_weights(corpus, alpha):
    """Smooth inverse frequency, a / (a + p), where p is the share of a word among all words.

    Parameters
    ----------
    corpus : mmfeat.text._corpus.Corpus
    alpha : float

    Returns
    -------
    weights : ndarray of shape (n_words + 1,)
        The last one is for a word that is in none of the texts.
    """
    return alpha / (alpha + np.append(corpus.counts(), 0) / len(corpus.numbers))


def weighted_means(corpus, table, weights, share):
    """Weighted sum of the vectors of each text's words, divided by a sum of shares; zeros where that is 0.

    Parameters
    ----------
    corpus : mmfeat.text._corpus.Corpus
    table : ndarray of shape (n_words, dim), dtype float32
    weights : ndarray of shape (n_words,)
    share : ndarray of shape (n_words,)
        What each occurrence adds to the divisor.

    Returns
    -------
    means : ndarray of shape (n_texts, dim), dtype float32
    """
    sums = _occurrences(corpus, weights) @ table
    totals = _occurrences(corpus, share) @ np.ones(len(table), dtype=np.float32)
    sums /= np.where(totals > 0, totals, 1)[:, None]
    return sums


def maxima(corpus, table, known):
    """Largest value of each column over the known words of each text; zeros for a text without any.

    Parameters
    ----------
    corpus : mmfeat.text._corpus.Corpus
    table : ndarray of shape (n_words, dim), dtype float32
    known : ndarray of shape (n_words,), dtype bool

    Returns
    -------
    maxima : ndarray of shape (n_texts, dim), dtype float32
    """
    numbers, starts = known_only(corpus, known)
    lengths = np.diff(starts)
    result = np.zeros((len(lengths), table.shape[1]), dtype=np.float32)
    order = np.argsort(lengths, kind="stable")
    order = order[np.searchsorted(lengths[order], 1) :]
    size = max(1, _CACHED_FLOATS // table.shape[1])
    for block in range(0, len(order), size):
        rows = order[block : block + size]
        best = table[numbers[starts[rows]]]
        # The k-th words of all texts that have as many: the shorter texts of the block stand before them.
        for k in range(1, lengths[rows[-1]]):
            first = np.searchsorted(lengths[rows], k, side="right")
            np.maximum(best[first:], table[numbers[starts[rows[first:]] + k]], out=best[first:])
        result[rows] = best
    return result


def bags(corpus, table, known):
    """Vectors of the known words of each text.

    Parameters
    ----------
    corpus : mmfeat.text._corpus.Corpus
    table : ndarray of shape (n_words, dim), dtype float32
    known : ndarray of shape (n_words,), dtype bool

    Returns
    -------
    bags : list of ndarray of shape (n_known, dim), dtype float32
    """
    numbers, starts = known_only(corpus, known)
    return [table[numbers[start:end]] for start, end in pairwise(starts)]


def known_only(corpus, known):
    """Numbers of the tokens that have a vector, and where each text begins among them."""
    kept = known[corpus.numbers]
    before = np.concatenate([[0], np.cumsum(kept)])
    return corpus.numbers[kept], before[corpus.starts]


def common_components(features, n_components):
    """Leading right singular vectors of a matrix that is not centred, in float64.

    Parameters
    ----------
    features : ndarray of shape (n_texts, dim)
    n_components : int

    Returns
    -------
    components : ndarray of shape (n_components, dim), dtype float32
        The largest coefficient of each is positive.
    """
    gram = np.zeros((features.shape[1],) * 2)
    for start in range(0, len(features), 10_000):
        block = features[start : start + 10_000].astype(np.float64)
        gram += block.T @ block
    _, vectors = np.linalg.eigh(gram)
    components = vectors[:, ::-1][:, :n_components].T
    signs = np.sign(components[np.arange(len(components)), np.abs(components).argmax(axis=1)])
    return (components * signs[:, None]).astype(np.float32)


def remove_components(features, components):
    """Take out of each row its part along some components, in place.

    Parameters
    ----------
    features : ndarray of shape (n_texts, dim), dtype float32
    components : ndarray of shape (n_components, dim), dtype float32
        Orthonormal.
    """
    lengths = np.linalg.norm(features, axis=1)
    features -= (features @ components.T) @ components
    # What is left of a text that is all in the components is no more than rounding.
    features[np.linalg.norm(features, axis=1) <= _ROUNDING * lengths] = 0


def _occurrences(corpus, weights):
    """Sparse texts by words; a word that occurs twice stands twice, which the product adds up."""
    shape = len(corpus.starts) - 1, len(corpus.words)
    weights = weights.astype(np.float32)
    return sparse.csr_matrix((weights[corpus.numbers], corpus.numbers, corpus.starts), shape=shape)
