"""Vectors for words that have none of their own: from fastText's character n-grams, or from single characters."""

import re

import numpy as np

_FNV_OFFSET, _FNV_PRIME, _MASK = 2166136261, 16777619, 0xFFFFFFFF

# Unified and compatibility ideographs of Unicode, in the first plane and beyond.
_IDEOGRAPH = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def ngram_buckets(word, least, most, n_buckets):
    """Buckets of the character n-grams of a word, as fastText hashes them.

    Parameters
    ----------
    word : str
    least, most : int
        Lengths of the n-grams in characters.
    n_buckets : int

    Returns
    -------
    buckets : list of int
        One for each n-gram of ``<word>``; the two marks alone do not count.
    """
    marked = f"<{word}>"
    buckets = []
    for start in range(len(marked)):
        for end in range(start + max(least, 1), min(start + most, len(marked)) + 1):
            if end - start == 1 and (start == 0 or end == len(marked)):
                continue
            buckets.append(_fnv(marked[start:end].encode("utf-8", "surrogatepass")) % n_buckets)
    return buckets


def _fnv(data):
    """32-bit FNV-1a with fastText's slip: bytes are signed, so that those above 127 flip the upper bits too."""
    value = _FNV_OFFSET
    for byte in data:
        value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * _FNV_PRIME) & _MASK
    return value


def from_subwords(store, word):
    """Mean vector of the n-grams of a word, or None if it has none.

    Parameters
    ----------
    store : MemoryStore or MappedStore
        With n-grams.
    word : str

    Returns
    -------
    vector : ndarray of shape (dim,) or None
    """
    least, most = store.ngram_range
    buckets = ngram_buckets(word, least, most, len(store.ngrams))
    return store.ngrams[buckets].mean(axis=0) if buckets else None


def from_characters(store, word):
    """Mean vector of the Chinese characters of a word that have one, or None; single letters of alphabets mean nothing.

    Parameters
    ----------
    store : MemoryStore or MappedStore
    word : str

    Returns
    -------
    vector : ndarray of shape (dim,) or None
    """
    ideographs = _IDEOGRAPH.findall(word)
    if not ideographs:
        return None
    rows = store.rows(ideographs)
    rows = rows[rows >= 0]
    return store.take(rows).mean(axis=0) if len(rows) else None


def word_table(store, words, oov):
    """Vectors of words, those without one filled in as far as can be.

    Parameters
    ----------
    store : MemoryStore or MappedStore
    words : list of str
    oov : {"skip", "characters", "subwords"}

    Returns
    -------
    table : ndarray of shape (len(words), dim), dtype float32
        Zeros for a word without a vector.
    known : ndarray of shape (len(words),), dtype bool
        Whether there is one, filled in or not.
    own : ndarray of shape (len(words),), dtype bool
        Whether the word itself stands in the vocabulary.

    Raises
    ------
    ValueError
        If subwords are asked for and the vectors have none.
    """
    if oov == "subwords" and store.ngrams is None:
        raise ValueError(
            "oov='subwords' needs vectors of n-grams. Train with train='fasttext', pass a binary model of fastText (.bin) as "
            "`vectors`, or choose another `oov`."
        )
    rows = store.rows(words)
    own = rows >= 0
    known = own.copy()
    table = np.zeros((len(words), store.vectors.shape[1]), dtype=np.float32)
    table[own] = store.take(rows[own])
    if oov != "skip":
        fill = from_characters if oov == "characters" else from_subwords
        for number in np.flatnonzero(~own):
            vector = fill(store, words[number])
            if vector is not None:
                table[number], known[number] = vector, True
    return table, known, own
