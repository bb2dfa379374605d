"""Digests of all rows of a call; those of files are remembered in the store."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

from joblib import cpu_count

from mmfeat.caching._content import item_digest, joined, text_digest
from mmfeat.caching._files import read_digest, stamp_of

_MOST_THREADS = 8
_FILES_OF_TASK = 16
_STAMP_BYTES = 40


class Digests:
    """Digest of each row, and what is known of the files among them.

    Parameters
    ----------
    rows : Rows
    strings : {"path", "text", "either"}
        What a str is to the transformer.
    store : Store

    Attributes
    ----------
    of_row : list of bytes or None
        None for a row that cannot be digested, such as a file that is not there.
    learned : dict of bytes to bytes
        Files to be remembered, by place.
    """

    def __init__(self, rows, strings, store):
        self.learned: dict = {}
        self._stamps: dict = {}
        self._young: dict = {}  # changed so lately that another change need not show in the stamp
        self._rows = rows
        paths = {row: path for row in range(rows.n) if (path := _path(rows.item(row), strings)) is not None}
        held = self._of_files(paths, store) if paths else {}
        self.of_row = [self._combine(row, row in paths, held.get(row), strings) for row in range(rows.n)]

    def is_unchanged(self, row):
        """Say whether the file of a row, if it is one, is still what was digested."""
        if row in self._young:
            return read_digest(self._rows.item(row))[0] == self._young[row]
        return row not in self._stamps or stamp_of(self._rows.item(row)) == self._stamps[row]

    def _combine(self, row, is_path, held, strings):
        if not is_path:
            item = self._rows.item(row)
            holds_paths = (
                strings != "text" and isinstance(item, (list, tuple)) and any(isinstance(p, str) for p in item)
            )
            return _digest_of_files(item) if holds_paths else self._rows.digest(row)
        if strings == "either" and isinstance(self._rows.item(row), str):
            text = text_digest(self._rows.item(row))
            return text if held is None else joined(text, held)
        return held

    def _of_files(self, paths, store):
        """Digests of the files that can be read, by row."""
        stamps = {row: stamp_of(path) for row, path in paths.items()}
        places = {row: _place(paths[row]) for row, stamp in stamps.items() if stamp is not None}
        known = store.remembered(set(places.values()))
        held = {}
        unknown: dict = {}
        for row, place in places.items():
            record = known.get(place, b"")
            if record[:_STAMP_BYTES] == stamps[row]:
                held[row], self._stamps[row] = record[_STAMP_BYTES:], stamps[row]
            else:
                unknown.setdefault(place, []).append(row)
        first = [rows[0] for rows in unknown.values()]
        for (place, rows), (digest, stamp, settled) in zip(unknown.items(), _read_all(paths, first), strict=True):
            if digest is None:
                continue
            held.update(dict.fromkeys(rows, digest))
            self._stamps.update(dict.fromkeys(rows, stamp))
            if settled:
                self.learned[place] = stamp + digest
            else:
                self._young.update(dict.fromkeys(rows, digest))
        return held


def _read_all(paths, rows):
    """Read and digest files, in a few threads if there are many: hashlib and reading let others run."""
    # Some files a task: handing one over takes as long as reading a small one.
    tasks = [rows[start : start + _FILES_OF_TASK] for start in range(0, len(rows), _FILES_OF_TASK)]
    n_threads = min(_MOST_THREADS, cpu_count(), len(tasks))
    if n_threads < 2:
        return [read_digest(paths[row]) for row in rows]
    with ThreadPoolExecutor(n_threads, thread_name_prefix="mmfeat-digest") as executor:
        parts = executor.map(lambda task: [read_digest(paths[row]) for row in task], tasks)
        return [record for part in parts for record in part]


def _digest_of_files(items):
    """Digest a list in which strings may be paths; None if the rest cannot be digested."""
    parts = [item_digest(item) for item in items]
    if None in parts:
        return None
    held = [read_digest(item)[0] or b"" if isinstance(item, str) else b"" for item in items]
    return joined(*parts, *held)


def _path(item, strings):
    if isinstance(item, os.PathLike) or (isinstance(item, str) and strings != "text"):
        return item
    return None


def _place(path):
    return hashlib.sha256(os.fsencode(os.path.abspath(path))).digest()
