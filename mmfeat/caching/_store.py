"""The store: rows under the digests of what they were computed from, in blocks that are written and evicted whole."""

import contextlib
import json
import os
import shutil
import struct
import tempfile
import time
import zlib
from pathlib import Path

from mmfeat.caching._environment import close, environment, guarded
from mmfeat.caching._rows import RowError

# A store of another layout gets a folder of its own.
_FOLDER = "v1"
_ENTRY = struct.Struct("<QQQI")  # block, offset and length of a row in it, checksum
_BLOCK_ID = struct.Struct(">Q")  # big-endian, so that blocks are in the order they were written
_COUNT = struct.Struct("<I")
_KEY = 48
# Rows of a block. An LMDB value takes whole pages, in a row: large enough that little is wasted, small enough that room
# is found among pages that were freed.
_BLOCK = 1 << 20
_INDEX_BYTES = 160  # of a row, about, pages half full
_AT_ONCE = 4096


class Store:
    """The rows kept in a folder; made anew for each call, nothing is open in it.

    Parameters
    ----------
    location : str or os.PathLike
    max_bytes : int or None, default=None
        Bound of the pages in use.
    """

    def __init__(self, location, max_bytes=None):
        self.location = Path(location)
        self.max_bytes = max_bytes
        self._environment = environment(self.location / _FOLDER)
        self._evict_from = 0

    def read(self, keys, receive):
        """Hand over the rows that are there.

        Parameters
        ----------
        keys : dict of bytes to int
            Keys, and the position that each row is for.
        receive : callable
            Called as ``receive(position, data)``; `data` is valid during the call only. A :class:`RowError` or
            ValueError of its means that the row is not usable.

        Returns
        -------
        missing, damaged : list of bytes
            Keys without a row, and keys whose row fails its checksum or was not usable.
        """
        missing: list = []
        damaged: list = []
        items = list(keys.items())
        for start in range(0, len(items), _AT_ONCE):
            part = items[start : start + _AT_ONCE]
            self._environment.read(lambda txn, dbs, part=part: _read(txn, dbs, part, receive, missing, damaged))
        return missing, damaged

    def write(self, rows, *, protected=frozenset(), replaced=frozenset(), note=None, paths=()):
        """Keep rows, all in one commit, evicting the oldest blocks when the bound is reached.

        Parameters
        ----------
        rows : dict of bytes to bytes
            Encoded rows by key. A key that is there already stays as it is.
        protected : set of bytes
            Keys whose blocks are not evicted.
        replaced : set of bytes
            Keys that are written even if they are there.
        note : tuple of (bytes, str) or None
            Fingerprint and description of the transformer.
        paths : iterable of (bytes, bytes)
            Places of files, and what is remembered of each.

        Returns
        -------
        kept : bool
            False if the bound left no room for some rows.
        """
        return self._environment.write(lambda txn, dbs: self._write(txn, dbs, rows, protected, replaced, note, paths))

    def remembered(self, places):
        """Return what is remembered of files, by place; those that are unknown are left out."""

        def read(txn, dbs):
            found = ((place, txn.get(place, db=dbs["paths"])) for place in places)
            return {place: bytes(record) for place, record in found if record is not None}

        return self._environment.read(read)

    def info(self):
        """Return what is in the store.

        Returns
        -------
        record : dict
            Ready for JSON: bytes of the file and in use, number of rows and of remembered files, transformers.
        """

        def read(txn, dbs):
            kinds = {
                bytes(key): {**json.loads(bytes(value)), "rows": 0, "bytes": 0}
                for key, value in txn.cursor(dbs["notes"])
            }
            for key, entry in txn.cursor(dbs["rows"]):
                kind = kinds.setdefault(bytes(key[: _KEY - 32]), {"transformer": "?", "rows": 0, "bytes": 0})
                kind["rows"] += 1
                kind["bytes"] += _entry(entry)[2]
            return {
                "location": str(self.location),
                "file_bytes": self._environment.size(),
                "bytes_in_use": _in_use(txn, dbs),
                "rows": txn.stat(dbs["rows"])["entries"],
                "remembered_files": txn.stat(dbs["paths"])["entries"],
                "transformers": [{"fingerprint": key.hex(), **kind} for key, kind in kinds.items() if kind["rows"]],
            }

        return self._environment.read(read)

    def verify(self, *, repair=False):
        """Check every row against its checksum.

        Parameters
        ----------
        repair : bool, default=False
            Drop the rows that fail, so that they are computed again.

        Returns
        -------
        n_rows : int
            Rows that were checked.
        damaged : list of str
            Keys of those that failed, in hexadecimal.
        """
        keys = self._environment.read(
            lambda txn, dbs: [bytes(key) for key in txn.cursor(dbs["rows"]).iternext(values=False)]
        )
        _, damaged = self.read(dict.fromkeys(keys, 0), lambda position, data: None)
        if repair and damaged:
            self._environment.write(lambda txn, dbs: [txn.delete(key, db=dbs["rows"]) for key in damaged])
        return len(keys), [key.hex() for key in damaged]

    def _write(self, txn, dbs, rows, protected, replaced, note, paths):
        if note is not None and txn.get(note[0], db=dbs["notes"]) is None:
            record = {"transformer": note[1], "since": time.strftime("%Y-%m-%d")}
            txn.put(note[0], json.dumps(record).encode(), db=dbs["notes"])
        if self.max_bytes is not None and _pages(txn, dbs["paths"]) > self.max_bytes // 4:
            txn.drop(dbs["paths"], delete=False)  # a help to memory, no loss
        for place, record in paths:
            txn.put(place, record, db=dbs["paths"])
        fresh = {key: row for key, row in rows.items() if key in replaced or txn.get(key, db=dbs["rows"]) is None}
        for block in _blocks(fresh):
            if not self._make_room(txn, dbs, block, protected):
                return False
            _put_block(txn, dbs, block)
        return True

    def _make_room(self, txn, dbs, block, protected):
        """Evict the oldest blocks until another fits under the bound, but none that holds a protected row."""
        if self.max_bytes is None:
            return True
        needed = sum(len(row) + _KEY + _INDEX_BYTES for _, row in block) + 2 * txn.stat(dbs["rows"])["psize"]
        if needed > self.max_bytes:
            return False
        cursor = txn.cursor(dbs["blocks"])
        found = cursor.set_range(_BLOCK_ID.pack(self._evict_from))
        while found and _in_use(txn, dbs) + needed > self.max_bytes:
            identifier, keys = bytes(cursor.key()), _keys_of(cursor.value())
            if protected.isdisjoint(keys):
                for key in keys:
                    entry = txn.get(key, db=dbs["rows"])
                    if entry is not None and _entry(entry)[0] == _BLOCK_ID.unpack(identifier)[0]:
                        txn.delete(key, db=dbs["rows"])
                found = cursor.delete() and bool(cursor.key())
            else:
                self._evict_from = _BLOCK_ID.unpack(identifier)[0] + 1  # it stays so for the rest of the call
                found = cursor.next()
        return _in_use(txn, dbs) + needed <= self.max_bytes


def clear(location):
    """Remove the store of a folder; processes that use it lose what they kept, and nothing else.

    Parameters
    ----------
    location : str or os.PathLike

    Returns
    -------
    n_bytes : int
        Bytes of its files.

    Raises
    ------
    FileNotFoundError
        If there is no store.
    """
    folder = require(location)
    n_bytes = sum(file.stat().st_size for file in folder.iterdir())
    close(folder)
    # Renamed first: both files go at once, and whoever opens the folder meanwhile begins a new store.
    with guarded(folder.parent):
        grave = tempfile.mkdtemp(prefix=".cleared-", dir=folder.parent)
        folder.rename(Path(grave, _FOLDER))
        shutil.rmtree(grave)
        with contextlib.suppress(OSError):  # other files may be there
            folder.parent.rmdir()
    return n_bytes


def require(location):
    """Return the folder that holds the store of a location.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    folder = Path(location) / _FOLDER
    if not (folder / "data.mdb").is_file():
        raise FileNotFoundError(f"There is no cache in '{os.fspath(location)}'. Name the folder given as `location`.")
    return folder


def _read(txn, dbs, items, receive, missing, damaged):
    current, block = None, None
    for key, position in items:
        entry = txn.get(key, db=dbs["rows"])
        if entry is None:
            missing.append(key)
            continue
        wanted, offset, length, checksum = _entry(entry)
        if wanted != current:
            current, block = wanted, txn.get(_BLOCK_ID.pack(wanted), db=dbs["blocks"])
        data = None if block is None else block[offset : offset + length]
        if data is None or len(data) != length or zlib.crc32(data, zlib.crc32(key)) != checksum:
            damaged.append(key)
            continue
        try:
            receive(position, data)
        except (RowError, ValueError):
            damaged.append(key)


def _put_block(txn, dbs, block):
    cursor = txn.cursor(dbs["blocks"])
    identifier = _BLOCK_ID.unpack(cursor.key())[0] + 1 if cursor.last() else 0
    parts = [_COUNT.pack(len(block)), *(key for key, _ in block), *(row for _, row in block)]
    txn.put(_BLOCK_ID.pack(identifier), b"".join(parts), db=dbs["blocks"], append=True)
    offset = _COUNT.size + _KEY * len(block)
    for key, row in block:
        checksum = zlib.crc32(row, zlib.crc32(key))
        txn.put(key, _ENTRY.pack(identifier, offset, len(row), checksum), db=dbs["rows"])
        offset += len(row)


def _blocks(rows):
    block: list = []
    size = 0
    for key, row in rows.items():
        if block and size + len(row) > _BLOCK:
            yield block
            block, size = [], 0
        block.append((key, row))
        size += len(row)
    if block:
        yield block


def _entry(data):
    """What is noted of a row; of a damaged entry, what no block can have."""
    return _ENTRY.unpack(data) if len(data) == _ENTRY.size else (2**64 - 1, 0, 0, 0)


def _keys_of(block):
    if len(block) < _COUNT.size:  # damaged
        return []
    count = min(_COUNT.unpack_from(block)[0], (len(block) - _COUNT.size) // _KEY)
    start = _COUNT.size
    return [bytes(block[at : at + _KEY]) for at in range(start, start + _KEY * count, _KEY)]


def _in_use(txn, dbs):
    return sum(_pages(txn, db) for db in dbs.values())


def _pages(txn, db):
    stat = txn.stat(db)
    return stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
