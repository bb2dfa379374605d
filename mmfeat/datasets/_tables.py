"""CSV tables as text: nothing is guessed to be a number, and no encoding is guessed without evidence."""

import codecs
import csv
import io
import re
import threading
import unicodedata
from pathlib import Path

_WRITE_UTF8 = "Save the file as UTF-8, or name its encoding with `encoding`."

_FIELD_SIZE_LIMIT = threading.Lock()


def read_table(csv_path, *, encoding=None):
    """Read a CSV file with every cell as text.

    Parameters
    ----------
    csv_path : str or os.PathLike
        File with a line of column names, comma-separated, quoted as in RFC 4180.
    encoding : str or None, default=None
        Encoding of the file, for instance "big5". None tells UTF-8 (with or without byte order mark) and GB18030 apart.

    Returns
    -------
    table : pandas.DataFrame of str
        Cells exactly as written: "007" and "NA" stay text, an empty cell is "". Names of columns lose surrounding
        blanks. Row 0 is the first below the names; lines that are blank, or have only blank cells, are no rows. A first
        column without a name is dropped: it is the index that ``DataFrame.to_csv`` writes.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be decoded (with the position of the byte), is empty, has no rows, has equal or empty
        names of columns, is separated by semicolons or tabs, or a line is malformed or holds a NUL character (with its
        number).

    Notes
    -----
    Bytes that are no UTF-8 are taken for GB18030 only if they decode and at least a third of the characters beyond
    ASCII belong to GB 2312, as in Chinese text: nearly every Latin-1 or Shift-JIS file would otherwise be read as
    Chinese characters without a word. The bytes of a very short GB18030 table may be valid UTF-8; they are taken for
    GB18030 if they would else mix scripts within a word. Name the encoding of a table that holds only a character or
    two of Chinese.

    References
    ----------
    Shafranovich, Y. (2005). Common Format and MIME Type for Comma-Separated Values (CSV) Files. RFC 4180.

    GB 18030-2022. Information technology - Chinese coded character set.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mmfeat.datasets import read_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "words.csv").write_bytes("text_id,caption\\n007,一只猫\\n".encode("gb18030"))
    ...     read_table(Path(folder, "words.csv")).to_dict("records")
    [{'text_id': '007', 'caption': '一只猫'}]
    """
    import pandas as pd

    path = Path(csv_path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file '{path}'. Correct the path of the CSV table.")
    header, rows = _parse(_decode(path.read_bytes(), path, encoding).lstrip("\ufeff"), path)
    return pd.DataFrame(rows, columns=header, dtype=str)


def require_columns(table, names, path):
    """Say which column a table lacks, and which it has."""
    for name in names:
        if name not in table.columns:
            raise ValueError(
                f"'{path}' has no column '{name}'. Found: {', '.join(map(repr, table.columns))}. Name the right one."
            )


def first_few(items, limit=5):
    """First items, joined by commas, and how many there are in all."""
    shown = ", ".join(map(str, items[:limit]))
    return shown if len(items) <= limit else f"{shown}, ... ({len(items)} in all)"


def _decode(data, path, encoding):
    if encoding is not None:
        return _decode_as(data, path, encoding, f"Pass the encoding it was written in. Got encoding={encoding!r}.")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"'{path}' begins with the byte order mark of UTF-16. {_WRITE_UTF8}")
    if data.startswith(codecs.BOM_UTF8):
        return _decode_as(data, path, "utf-8", _WRITE_UTF8)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _decode_chinese(data, path)
    return data.decode("gb18030") if _is_misread_chinese(text, data) else text


def _decode_chinese(data, path):
    text = _decode_as(data, path, "gb18030", f"It is no UTF-8 either. {_WRITE_UTF8}")
    foreign = [character for character in text if ord(character) > 127]
    if 3 * sum(map(_is_everyday_chinese, foreign)) < len(foreign):
        position = next(i for i, byte in enumerate(data) if byte > 127)
        raise ValueError(
            f"'{path}' is no UTF-8 and, read as GB18030, no likely Chinese: it holds "
            f"{''.join(foreign[:8])!r}, the first of them at byte {position}. {_WRITE_UTF8}"
        )
    return text


def _is_misread_chinese(text, data):
    """Whether valid UTF-8 is GB18030 by accident: "一只猫" also spells a Cyrillic, a Hebrew and a Latin letter."""
    words = re.findall(r"[^\x00-\x7f]+", text)
    # What these accidents have in common: two-byte codes alone, and words that mix scripts.
    if not any(map(_mixes_scripts, words)) or max(map(max, words)) > "\u07ff":
        return False
    # Every two-byte code of UTF-8 is one of GB18030 as well, so this decodes.
    return all(_is_everyday_chinese(character) for character in data.decode("gb18030") if ord(character) > 127)


def _mixes_scripts(word):
    return len({unicodedata.name(character, "").partition(" ")[0] for character in word}) > 1


def _decode_as(data, path, encoding, cure):
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise _undecodable(path, error, cure) from error
    except LookupError as error:
        raise ValueError(
            f"`encoding` must be the name of an encoding Python knows. Got {encoding!r} instead."
        ) from error


def _undecodable(path, error, cure):
    byte = error.object[error.start]
    return ValueError(
        f"Could not decode '{path}' as {error.encoding}: byte {error.start} is 0x{byte:02X} ({error.reason}). {cure}"
    )


def _is_everyday_chinese(character):
    # Four-byte codes have a form that does not arise by chance, so characters outside the two-byte part count as well.
    try:
        return len(character.encode("gb18030")) == 4 or bool(character.encode("gb2312"))
    except UnicodeEncodeError:
        return False


def _parse(text, path):
    _refuse_nul(text, path)
    _refuse_other_separator(text, path)
    records = _read_records(text, path)
    if not records:
        raise ValueError(f"'{path}' is empty. Expected a line of column names and at least one row.")
    header = [name.strip() for name in records[0][1]]
    first = 1 if len(header) > 1 and not header[0] else 0  # the index that pandas writes has no name
    names = header[first:]
    if "" in names or len(set(names)) < len(names):
        raise ValueError(f"'{path}' has empty or equal column names: {header}. Give every column a name of its own.")
    for line, record in records[1:]:
        if len(record) != len(header):
            raise ValueError(
                f"'{path}' is malformed at line {line}: {len(record)} cells where the header has {len(header)}. "
                "Put cells that hold commas in quotes."
            )
    if len(records) == 1:
        raise ValueError(f"'{path}' has no rows below the column names {names}. Expected at least one.")
    return names, [record[first:] for _, record in records[1:]]


def _refuse_nul(text, path):
    position = text.find("\0")
    if position >= 0:
        line = len(re.findall(r"\r\n?|\n", text[:position])) + 1
        raise ValueError(
            f"'{path}' holds a NUL character at line {line}: it is damaged, or UTF-16 without a byte order mark. "
            f"{_WRITE_UTF8}"
        )


def _refuse_other_separator(text, path):
    header = text.strip().partition("\n")[0].strip()
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if separator in header and "," not in header:
            raise ValueError(
                f"'{path}' seems to be separated by {name}: its first line is {header[:80]!r}. "
                "Save it with commas between the cells."
            )


def _read_records(text, path):
    """Lines that are not blank, each with the number of the line it ends at."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    with _FIELD_SIZE_LIMIT:
        limit = csv.field_size_limit()  # of the whole process; 128 KiB unless someone changed it
        csv.field_size_limit(max(limit, len(text)))
        try:
            return [(reader.line_num, record) for record in reader if any(map(str.strip, record))]
        except csv.Error as error:
            raise ValueError(
                f"'{path}' is malformed at line {reader.line_num}: {error}. Mend the quotes of that line."
            ) from error
        finally:
            csv.field_size_limit(limit)
