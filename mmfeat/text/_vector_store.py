"""Word vectors that can be looked up: in memory, or in a converted file that is mapped and read where it is needed."""

import functools
import hashlib
import json
import mmap
import os
import zlib

import numpy as np

HEADER_BYTES = 4096
_MAGIC = b"mmfeatWV"
_FORMAT = 1
_ROWS_AT_ONCE = 64


def hash_words(words):
    """Hash words to 64 bits.

    Parameters
    ----------
    words : iterable of bytes

    Returns
    -------
    keys : ndarray of dtype uint64
    """
    digests = b"".join(hashlib.blake2b(word, digest_size=8).digest() for word in words)
    return np.frombuffer(digests, dtype="<u8")


class MemoryStore:
    """Vectors in memory.

    Parameters
    ----------
    words : sequence of str
    vectors : ndarray of shape (n_words, dim)
    ngrams : ndarray of shape (n_buckets, dim) or None, default=None
        Vectors of the hashed character n-grams of fastText.
    ngram_range : (int, int) or None, default=None
        Least and greatest length of an n-gram.
    """

    def __init__(self, words, vectors, ngrams=None, ngram_range=None):
        self.vectors = vectors
        self.ngrams = ngrams
        self.ngram_range = ngram_range
        self._words = words
        self._rows = {word: row for row, word in enumerate(words)}

    def rows(self, words):
        """Rows of words in `vectors`, -1 for a word that is not there.

        Parameters
        ----------
        words : list of str

        Returns
        -------
        rows : ndarray of shape (len(words),), dtype int64
        """
        return np.fromiter((self._rows.get(word, -1) for word in words), dtype=np.int64, count=len(words))

    def take(self, rows):
        """Vectors of some rows, float32."""
        return self.vectors[rows].astype(np.float32, copy=False)

    @functools.cached_property
    def digest(self):
        """SHA-256 of words and vectors in hexadecimal."""
        sha = hashlib.sha256("\n".join(map(str, self._words)).encode("utf-8", "surrogatepass"))
        for part in (self.vectors, self.ngrams):
            if part is not None:
                sha.update(np.ascontiguousarray(part).data)
        return sha.hexdigest()


def from_gensim(keyed):
    """Vectors of gensim's KeyedVectors, with the n-grams of a FastTextKeyedVectors.

    Parameters
    ----------
    keyed : gensim.models.KeyedVectors

    Returns
    -------
    store : MemoryStore
    """
    vectors = np.asarray(keyed.vectors, dtype=np.float32)
    if not np.isfinite(vectors).all():
        row = int((~np.isfinite(vectors).all(axis=1)).argmax())
        raise ValueError(f"The vector of {keyed.index_to_key[row]!r} in `vectors` is not finite. Remove the word.")
    if not getattr(keyed, "bucket", 0):
        return MemoryStore(keyed.index_to_key, vectors)
    return MemoryStore(keyed.index_to_key, vectors, keyed.vectors_ngrams, (keyed.min_n, keyed.max_n))


class MappedStore:
    """Vectors in a converted file, mapped into memory: pages are read when touched, and shared between processes.

    The words are looked up by bisection in their sorted hashes, so that no dictionary of them is ever built.

    Parameters
    ----------
    file : binary file
        Open; written by :class:`mmfeat.text._vector_writer.VectorWriter`.
    header : dict
        As read by :func:`read_header` from the same open file.
    """

    def __init__(self, file, header):
        # numpy's own memmap would not let go of pages.
        self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        whole = np.frombuffer(self._map, dtype=np.uint8)
        parts = {name: whole[start : start + size].view(kind) for name, (start, size, kind) in header["parts"].items()}
        self.header = header
        self.digest = header["digest"]
        self.vectors = parts["vectors"].reshape(-1, header["dim"])
        self.ngrams = parts["ngrams"].reshape(-1, header["dim"]) if "ngrams" in parts else None
        self.ngram_range = header["ngram_range"]
        self._hashes, self._order, self._ends = parts["hashes"], parts["order"], parts["ends"]
        self._letters = parts["letters"]

    def rows(self, words):
        """Rows of words in `vectors`, -1 for a word that is not there.

        Parameters
        ----------
        words : list of str

        Returns
        -------
        rows : ndarray of shape (len(words),), dtype int64
        """
        encoded = [word.encode("utf-8", "surrogatepass") for word in words]
        keys = hash_words(encoded)
        places = np.searchsorted(self._hashes, keys)
        found = self._hashes[np.minimum(places, len(self._hashes) - 1)] == keys
        rows = np.full(len(words), -1, dtype=np.int64)
        for number in np.flatnonzero(found):
            rows[number] = self._row(encoded[number], int(places[number]))
        return rows

    def take(self, rows):
        """Vectors of some rows, float32.

        The system maps many pages around each one that is touched. They are let go again after some dozen rows, or the
        process would seem to hold most of the file; they stay in the system's cache.
        """
        taken = np.empty((len(rows), self.vectors.shape[1]), dtype=np.float32)
        order = np.argsort(rows)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            some = order[start : start + _ROWS_AT_ONCE]
            taken[some] = self.vectors[rows[some]]
            if hasattr(self._map, "madvise") and hasattr(mmap, "MADV_DONTNEED"):
                self._map.madvise(mmap.MADV_DONTNEED)
        return taken

    def _row(self, word, place):
        """Row of a word among those of one hash, which begin at `place`."""
        key = self._hashes[place]
        while place < len(self._hashes) and self._hashes[place] == key:
            row = int(self._order[place])
            start = int(self._ends[row - 1]) if row else 0
            if self._letters[start : int(self._ends[row])].tobytes() == word:
                return row
            place += 1
        return -1


def open_store(path):
    """Map a converted file.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    store : MappedStore or None
        None if there is no such file, or it is not whole, or of another version.
    """
    try:
        # Header and content through one open file: meanwhile another process may put a new one in its place.
        with path.open("rb") as file:
            header = read_header(file)
            return None if header is None else MappedStore(file, header)
    except OSError:
        return None


def read_header(file):
    """Header of an open converted file, a dict; None if it is not whole, or of another version."""
    block = file.read(HEADER_BYTES)
    if len(block) < HEADER_BYTES or not block.startswith(_MAGIC):
        return None
    content, _, _ = block[len(_MAGIC) + 4 :].partition(b"\0")
    if not content or zlib.crc32(content) != int.from_bytes(block[len(_MAGIC) : len(_MAGIC) + 4], "little"):
        return None
    header = json.loads(content)
    return header if header["format"] == _FORMAT and header["bytes"] == os.fstat(file.fileno()).st_size else None


def header_block(header):
    """Bytes of a header, always of the same length."""
    content = json.dumps({"format": _FORMAT, **header}).encode("ascii")
    block = _MAGIC + zlib.crc32(content).to_bytes(4, "little") + content
    return block.ljust(HEADER_BYTES, b"\0")
