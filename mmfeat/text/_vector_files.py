"""Files of word vectors, recognised by their content: word2vec (text and binary), GloVe and fastText text."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mmfeat.text._binary_vectors import binary_blocks
from mmfeat.text._text_vectors import text_blocks
from mmfeat.text._vector_streams import DamagedError, read_block, unpacked

_SAMPLE = 1 << 16
_LONGEST_LINE = 1 << 24
_HEADER = re.compile(rb"[ \t]*(-?[0-9]+)[ \t]+(-?[0-9]+)[ \t]*\r?\n?")
_WRITTEN = re.compile(rb"[-+.0-9eE \t\r]+")
# What else users hold in their hands, by its first bytes, with what to do about it.
_STRANGERS = {
    b"PK\x03\x04": "a zip archive. Unpack it and pass the file inside",
    b"BZh": "compressed with bzip2. Unpack it, or compress it with gzip",
    b"\xfd7zXZ": "compressed with xz. Unpack it, or compress it with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd. Unpack it, or compress it with gzip",
    b"\x80\x04": "a pickle. Load it with gensim and pass the KeyedVectors",
    b"\x80\x05": "a pickle. Load it with gensim and pass the KeyedVectors",
    b"\x93NUMPY": "an array of numpy, without words. Write the word2vec format",
    b"\x89HDF": "an HDF5 file. Write the word2vec format",
    b"\xff\xfe": "text in UTF-16. Recode it to UTF-8, for example with iconv",
    b"\xfe\xff": "text in UTF-16. Recode it to UTF-8, for example with iconv",
}


@dataclass(frozen=True)
class VectorFile:
    """A file of vectors that is being read.

    Parameters
    ----------
    dim : int
        Width of the vectors.
    blocks : iterator of (list of bytes, ndarray of shape (n, dim), dtype float32)
        Words in UTF-8 and their vectors, in the order of the file; raises ValueError that names the place.
    unit : str
        What the rows are counted in: ``"line"`` or ``"word"``.
    first : int
        Number of the first row in that unit.
    stream : io.BufferedReader
        Kept, as it closes the raw stream when it is dropped.
    """

    dim: int
    blocks: Iterator[tuple[list[bytes], np.ndarray]]
    unit: str
    first: int
    stream: io.BufferedReader

    def where(self, row):
        """Name of the place of a row."""
        return f"{self.unit} {row + self.first}"


def read_vectors(raw, path, encoding="utf-8"):
    """Recognise a file of vectors and begin to read it.

    Parameters
    ----------
    raw : mmfeat.text._vector_streams.HashingStream
        At the start of the file.
    path : path-like
        For messages.
    encoding : str, default="utf-8"
        Of the words: one that contains ASCII as it is.

    Returns
    -------
    vectors : VectorFile

    Raises
    ------
    ValueError
        If the encoding is unknown, or the file is empty, of another kind, or begins with a line that is neither a header nor
        a word with its numbers.
    """
    check_encoding(encoding)
    try:
        stream = unpacked(raw)
        line = stream.readline(_LONGEST_LINE)
    except DamagedError as error:
        raise ValueError(f"Line 1 of '{path}' cannot be read: {error}. Fetch the file again.") from error
    _refuse_strangers(line, path)
    line = line.removeprefix(b"\xef\xbb\xbf")  # the byte order mark that some editors put before UTF-8
    header = _HEADER.fullmatch(line)
    if header is None:
        return VectorFile(
            _width(line, path), text_blocks(stream, line, path, encoding, _width(line, path)), "line", 1, stream
        )
    count, dim = int(header[1]), int(header[2])
    if count < 1 or dim < 1:
        raise ValueError(
            f"Line 1 of '{path}' announces {count} words of {dim} numbers. Expected at least one of each. "
            "Correct the header, or drop it."
        )
    sample, _ = read_block(stream, _SAMPLE)
    if _is_binary(sample):
        return VectorFile(dim, binary_blocks(stream, sample, path, encoding, dim, count), "word", 1, stream)
    return VectorFile(dim, text_blocks(stream, sample, path, encoding, dim, count), "line", 2, stream)


def check_encoding(encoding):
    """Raise ValueError unless a codec is known and leaves ASCII, and so blanks and ends of lines, as they are."""
    ascii_letters = "".join(map(chr, range(128)))
    try:
        same = ascii_letters.encode(encoding) == ascii_letters.encode("ascii")
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"`encoding`={encoding!r} cannot be used ({error}). Use 'utf-8', 'gb18030', ...") from error
    if not same:
        raise ValueError(f"`encoding`={encoding!r} does not hold ASCII as it is. Recode the file to UTF-8.")


def _refuse_strangers(start, path):
    if not start:
        raise ValueError(
            f"The file '{path}' is empty (line 1). Expected a word and its numbers a line. Fetch it again."
        )
    for magic, kind in _STRANGERS.items():
        if start.startswith(magic):
            raise ValueError(f"The file '{path}' is {kind}.")


def _width(line, path):
    """Count the numbers of the first row of a file without a header."""
    fields = re.split(rb"[ \t]+", line.rstrip(b" \t\r\n"))
    try:
        numbers = [float(field) for field in fields[1:]]
    except ValueError:
        numbers = []
    if not numbers or b"\x00" in line:
        raise ValueError(
            f"Line 1 of '{path}' is {line[:60]!r}. Expected a header 'COUNT WIDTH', or a word and its numbers with blanks "
            "between them, as word2vec, GloVe and fastText write them. Correct the line."
        )
    return len(numbers)


def _is_binary(sample):
    """Whether vectors after a header are binary: numbers written out hold neither control characters nor high bytes."""
    numbers = sample.partition(b" ")[2].partition(b"\n")[0]
    if not sample or _WRITTEN.fullmatch(numbers):
        return False
    # Words may hold control characters; they tell where the first line is no word with numbers.
    controls = sample.translate(None, bytes([*range(9, 14), *range(32, 256)]))
    return bool(controls) or not numbers.isascii()
