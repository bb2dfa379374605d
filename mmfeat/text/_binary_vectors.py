"""Vectors in the binary format of word2vec: after a header, each word, a blank and its numbers as float32."""

import numpy as np

from mmfeat.text._vector_streams import read_block

_LONGEST_WORD = 1 << 14


def binary_blocks(stream, start, path, encoding, dim, count):
    r"""Read binary records in blocks.

    Parameters
    ----------
    stream : io.BufferedReader
        What follows `start`.
    start : bytes
        What has been read of the records already.
    path : path-like
        For messages.
    encoding : str
        Of the words.
    dim, count : int
        Numbers in each record and records, as the header announces them.

    Yields
    ------
    words : list of bytes
        In UTF-8.
    rows : ndarray of shape (n, dim), dtype float32

    Raises
    ------
    ValueError
        If a record is wrong or cut off, or bytes follow the last one; with the number of the word.
    """
    found, buffer = 0, start
    while found < count:
        block, damage = read_block(stream)
        buffer += block
        words, rows, used = _records(buffer, 4 * dim, count - found)
        buffer = buffer[used:]
        if words:
            yield _in_utf8(words, found, path, encoding), _numbers(rows, words, found, path, dim)
            found += len(words)
        if found < count:
            _refuse_garbage(buffer, found, path)
            if damage or not block:
                raise ValueError(
                    f"Word {found + 1} of '{path}' is cut off: {damage or 'the file ends too early'}; line 1 announces {count} "
                    f"words of {dim} numbers. Fetch the file again."
                ) from damage
    block, damage = read_block(stream)
    rest = len((buffer + block).strip(b"\n"))
    if rest or damage:
        raise ValueError(
            f"'{path}' goes on after word {count}, the last one that line 1 announces. Correct the header, or fetch the "
            "file again."
        )


def _records(buffer, width, most):
    """Words, bytes of their numbers, and how much of the buffer the whole records take."""
    words: list[bytes] = []
    rows: list[bytes] = []
    place = 0
    while len(words) < most:
        blank = buffer.find(b" ", place)
        end = blank + 1 + width
        if blank < 0 or end > len(buffer):
            break
        # The first program puts a line feed after each record, others do not.
        words.append(buffer[place:blank].lstrip(b"\n"))
        rows.append(buffer[blank + 1 : end])
        place = end
    return words, rows, place


def _refuse_garbage(buffer, found, path):
    if len(buffer) > _LONGEST_WORD and b" " not in buffer[:_LONGEST_WORD]:
        raise ValueError(
            f"Word {found + 1} of '{path}' does not end within {_LONGEST_WORD} bytes. The file is damaged, or line 1 announces "
            "another width than it has. Fetch it again."
        )


def _in_utf8(words, found, path, encoding):
    texts = []
    for number, word in enumerate(words, start=found + 1):
        try:
            texts.append(word.decode(encoding).encode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(
                f"Word {number} of '{path}' is not in {encoding}: {word[:60]!r}. Pass the file's own `encoding`; or line 1 "
                "announces another width than the file has."
            ) from error
        if not word:
            raise ValueError(
                f"Word {number} of '{path}' is empty. Line 1 announces another width, or the file is damaged."
            )
    return texts


def _numbers(rows, words, found, path, dim):
    values = np.frombuffer(b"".join(rows), dtype="<f4").reshape(-1, dim)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"Word {found + row + 1} of '{path}' ({words[row][:60]!r}) has a number that is not finite. Remove the word, or "
            "fetch the file again."
        )
    return values
