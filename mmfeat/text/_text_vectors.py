"""Vectors written as text: a word and its numbers a line."""

import math
import re
import warnings

import numpy as np

from mmfeat.text._vector_streams import read_block

_LONGEST_LINE = 1 << 24
_BLANKS = re.compile(rb"[ \t]+")
_OTHER_SPACE = (b"\t", b"\r", b"\v", b"\f")


def text_blocks(stream, start, path, encoding, dim, count=None):
    """Read lines of text in blocks.

    Parameters
    ----------
    stream : io.BufferedReader
        What follows `start`.
    start : bytes
        What has been read of the rows already.
    path : path-like
        For messages.
    encoding : str
        Of the words.
    dim : int
        Numbers in each line.
    count : int or None, default=None
        Rows that a header announces; None without a header.

    Yields
    ------
    words : list of bytes
        In UTF-8.
    rows : ndarray of shape (n, dim), dtype float32

    Raises
    ------
    ValueError
        If a line is wrong, or there are more or fewer than announced; with the number of the line.
    """
    found = 0
    first = 1 if count is None else 2
    for lines in _line_blocks(stream, start, path, first):
        rows = _Rows(lines, first + found, path, dim, has_header=count is not None)
        found += len(lines)
        if count is not None and found > count:
            raise ValueError(
                f"Line 1 of '{path}' announces {count} words, but line {first + count} holds another one. Correct the header."
            )
        yield rows.words(encoding), rows.values()
    if count is not None and found < count:
        raise ValueError(
            f"Line 1 of '{path}' announces {count} words, but the file ends after line {first + found - 1} with {found} "
            "of them. Fetch it again, or correct the header."
        )


def _line_blocks(stream, carry, path, number):
    """Lines in blocks, without their ends; blank lines are taken at the end of the file only."""
    blank = None
    damage = None
    while True:
        block, damage = read_block(stream)
        if block:
            whole, end, carry = (carry + block).rpartition(b"\n")
        else:
            whole, end, carry = carry, b"", b""
        lines = [line.rstrip(b" \t\r") for line in whole.split(b"\n")] if whole or end else []
        last = len(lines)
        while last and not lines[last - 1]:
            last -= 1
        if last and blank is None and b"" in lines[:last]:
            blank = number + lines.index(b"")
        if last and blank is not None:
            raise ValueError(f"Line {blank} of '{path}' is empty. Expected a word and its numbers. Remove the line.")
        if last < len(lines) and blank is None:
            blank = number + last
        if last:
            yield lines[:last]
        number += len(lines)
        if damage:
            raise ValueError(f"Line {number} of '{path}' is cut off: {damage}. Fetch the file again.") from damage
        if len(carry) > _LONGEST_LINE:
            raise ValueError(
                f"Line {number} of '{path}' has more than {_LONGEST_LINE} bytes. Expected a word and numbers."
            )
        if not block:
            return


class _Rows:
    """Words and numbers of a block of lines: read at once where all is well, line by line where something is wrong."""

    def __init__(self, lines, number, path, dim, *, has_header):
        self._number, self._path, self._dim, self._has_header = number, path, dim, has_header
        parts = [line.partition(b" ") for line in lines]
        self._words = [word for word, _, _ in parts]
        self._numbers = [numbers for _, _, numbers in parts]
        blanks = dim - 1
        for row, numbers in enumerate(self._numbers):
            if numbers.count(b" ") != blanks or not self._words[row]:
                self._words[row], self._numbers[row] = self._split(row, lines[row])

    def words(self, encoding):
        """Words in UTF-8."""
        try:
            text = b"\n".join(self._words).decode(encoding)
        except UnicodeDecodeError:
            for row, word in enumerate(self._words):
                self._decode(row, word, encoding)
            raise
        return text.encode("utf-8").split(b"\n")

    def values(self):
        """Vectors, ndarray of shape (n, dim)."""
        shape = len(self._numbers), self._dim
        joined = b" ".join(self._numbers)
        try:
            with warnings.catch_warnings():
                # Before numpy 2.3 what is no number ends the reading with this warning, later with ValueError.
                warnings.simplefilter("error", DeprecationWarning)
                values = np.fromstring(joined, dtype=np.float32, sep=" ")
            # Parted by counted blanks alone, no row has more numbers than it should, to make up for another that lacks some.
            alone = not any(space in joined for space in _OTHER_SPACE)
            good = alone and values.size == shape[0] * shape[1] and np.isfinite(values).all()
        except (DeprecationWarning, ValueError):
            good = False
        return values.reshape(shape) if good else np.array([self._floats(row) for row in range(shape[0])])

    def _where(self, row):
        return f"Line {self._number + row} of '{self._path}'"

    def _decode(self, row, word, encoding):
        try:
            word.decode(encoding)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{self._where(row)} is not in {encoding}: the word {word!r}. Pass the file's own `encoding`, for example "
                "'gb18030' or 'latin-1'."
            ) from error

    def _split(self, row, line):
        """Word and numbers of a line with tabs, several blanks, a word of several parts, or a wrong width."""
        fields = _BLANKS.split(line)
        word = fields[: -self._dim]
        if not fields[0]:
            raise ValueError(f"{self._where(row)} begins with a blank: it has no word. Remove the line.")
        # Some words of GloVe's larger files hold blanks, as in "contact name@domain.com".
        if not word or (len(word) > 1 and _is_number(word[-1])):
            raise self._ragged(row, fields[0], len(fields) - 1)
        return b" ".join(word), b" ".join(fields[-self._dim :])

    def _ragged(self, row, word, width):
        source = "the header (line 1) announces" if self._has_header else "line 1 has"
        return ValueError(
            f"{self._where(row)} has {width} numbers after the word {word.decode('utf-8', 'replace')!r}, but {source} "
            f"{self._dim}. Correct or remove the line, or correct line 1."
        )

    def _floats(self, row):
        """Numbers of one line; says which of them is none."""
        fields = _BLANKS.split(self._numbers[row])
        if len(fields) != self._dim or not fields[0]:
            raise self._ragged(row, self._words[row], sum(map(bool, fields)))
        values = np.empty(self._dim, dtype=np.float32)
        for column, field in enumerate(fields):
            value = float(field) if _is_number(field) else None
            with np.errstate(over="ignore"):
                single = None if value is None else np.float32(value)
            if single is None or not math.isfinite(single):
                raise ValueError(
                    f"{self._where(row)}: number {column + 1} of the word {self._words[row].decode('utf-8', 'replace')!r} is "
                    f"{field.decode('utf-8', 'replace')!r}. Expected a finite number. Correct or remove the line."
                )
            values[column] = single
        return values


def _is_number(field):
    try:
        float(field)
    except ValueError:
        return False
    return b"_" not in field
