"""The converted file: vectors, sorted hashes of the words, and the words, each in one piece."""

import importlib
import os
import struct
from array import array
from pathlib import Path

import numpy as np

from mmfeat.text._vector_store import HEADER_BYTES, hash_words
from mmfeat.text._vector_streams import GZIP_MAGIC, read_block, unpacked

_FASTTEXT_MAGIC = b"\xba\x16\x4f\x2f"
_ALIGNMENT = 64


def is_fasttext(path):
    """Whether a file is a binary model of fastText, packed with gzip or not."""
    with Path(path).open("rb", buffering=0) as file:
        start, _ = read_block(unpacked(file), len(_FASTTEXT_MAGIC))
        return start.startswith(_FASTTEXT_MAGIC)


def is_packed(path):
    """Whether a file is gzip, whatever its name."""
    with Path(path).open("rb") as file:
        return file.read(len(GZIP_MAGIC)) == GZIP_MAGIC


def unpack(path, file):
    """Write what a gzip file holds to another, or raise ValueError."""
    with Path(path).open("rb", buffering=0) as raw:
        stream = unpacked(raw)
        block, damage = read_block(stream)
        while block:
            file.write(block)
            block, damage = (b"", damage) if damage else read_block(stream)
    if damage:
        raise ValueError(f"'{path}' is cut off: {damage}. Fetch the file again.") from damage


class VectorWriter:
    """Write vectors to a file that :class:`mmfeat.text._vector_store.MappedStore` maps.

    Parameters
    ----------
    file : binary file
        Open and empty; room for the header is left at its start.
    """

    def __init__(self, file):
        self._file = file
        self._parts: dict = {}
        self._keys: list = []
        self._ends = array("Q")
        self._letters = bytearray()
        file.write(bytes(HEADER_BYTES))

    def write(self, source, path):
        """Write what is read from a file of vectors.

        Parameters
        ----------
        source : mmfeat.text._vector_files.VectorFile
        path : path-like
            For messages.

        Returns
        -------
        header : dict

        Raises
        ------
        ValueError
            If the file is wrong, or a word stands in it twice; the message names the line.
        """
        for words, rows in source.blocks:
            self._add_words(words)
            self._file.write(np.ascontiguousarray(rows, dtype="<f4"))
        self._close_part("vectors", HEADER_BYTES, "<f4")
        return self._finish(source.dim, source.where, path)

    def write_fasttext(self, model, path):
        """Write what gensim reads from a binary model of fastText, its n-grams too.

        Parameters
        ----------
        model : path-like
            Not packed.
        path : path-like
            For messages.

        Returns
        -------
        header : dict

        Raises
        ------
        ImportError
            If gensim is not installed.
        ValueError
            If the file is damaged.
        """
        fasttext = import_gensim("gensim.models.fasttext", "Reading a binary model of fastText")
        try:
            keyed = fasttext.load_facebook_vectors(os.fspath(model))
        except (AssertionError, EOFError, NotImplementedError, OSError, TypeError, ValueError, struct.error) as error:
            raise ValueError(
                f"The file '{path}' could not be read as a binary model of fastText: {error or type(error).__name__}. "
                "Fetch it again, or use its text file (.vec)."
            ) from error
        self._add_words([word.encode("utf-8", "surrogatepass") for word in keyed.index_to_key])
        self._file.write(np.ascontiguousarray(keyed.vectors, dtype="<f4"))
        self._close_part("vectors", HEADER_BYTES, "<f4")
        if keyed.bucket:
            self._add_part("ngrams", np.ascontiguousarray(keyed.vectors_ngrams, dtype="<f4"))
        header = self._finish(keyed.vector_size, lambda row: f"word {row + 1}", path)
        return {**header, "ngram_range": [keyed.min_n, keyed.max_n]}

    def _add_words(self, words):
        self._keys.append(hash_words(words))
        for word in words:
            self._letters += word
            self._ends.append(len(self._letters))

    def _finish(self, dim, where, path):
        keys = np.concatenate(self._keys)
        order = np.argsort(keys, kind="stable")
        hashes = keys[order]
        self._refuse_duplicates(hashes, order, where, path)
        self._add_part("hashes", hashes)
        self._add_part("order", order.astype("<u4" if len(order) < 2**32 else "<u8"))
        self._add_part("ends", np.frombuffer(self._ends, dtype=np.uint64).astype("<u8"))
        self._add_part("letters", np.frombuffer(self._letters, dtype=np.uint8))
        return {"dim": dim, "ngram_range": None, "parts": self._parts, "bytes": self._file.tell()}

    def _refuse_duplicates(self, hashes, order, where, path):
        twins = np.flatnonzero(hashes[1:] == hashes[:-1])
        pairs = [(int(order[twin + 1]), int(order[twin])) for twin in twins]
        for later, earlier in sorted(pairs):
            if self._word(later) == self._word(earlier):
                raise ValueError(
                    f"The word {self._word(later).decode('utf-8', 'replace')!r} stands twice in '{path}', on {where(earlier)} "
                    f"and on {where(later)}. Remove one of the two."
                )

    def _word(self, row):
        return bytes(self._letters[self._ends[row - 1] if row else 0 : self._ends[row]])

    def _add_part(self, name, values):
        start = self._file.tell()
        self._file.write(bytes(-start % _ALIGNMENT))
        start = self._file.tell()
        self._file.write(values)
        self._close_part(name, start, values.dtype.str)

    def _close_part(self, name, start, kind):
        self._parts[name] = [start, self._file.tell() - start, kind]


def import_gensim(name, purpose):
    """Import a module of gensim, or say how to install it; it is required, but not where it has no release."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs gensim, which could not be imported ({error}). Install it with: pip install gensim (it has no "
            "release for Python 3.14 yet); or pass a text file of vectors as `vectors`, which needs no gensim."
        ) from error
