"""What a file holds, known without reading it again while it is the same file."""

import hashlib
import os
import stat
import struct
import time
from pathlib import Path

# Clocks of file systems are coarse, up to 2 s on FAT: a file changed within that time of its digest may be changed
# once more without a new time, so that its digest is not remembered. Git calls such entries racy.
_SETTLED_NS = 2_000_000_000
_STAMP = struct.Struct("<QqqQQ")
_CHUNK = 1 << 20

# Digests of files that are parameters, such as weights; those of pictures are remembered in the store.
_remembered: dict = {}


def stamp_of(path):
    """Return what changes when a file does (size, times of change, inode, device), packed, or None if it is no file.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    stamp : bytes or None
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - pathlib takes as long again, of every row that is looked up
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None
    return _pack(status) if stat.S_ISREG(status.st_mode) else None


def is_settled(stamp, now_ns):
    """Say whether a file with this stamp, read from `now_ns` on, gets another stamp if it is changed after that."""
    _, changed, status_changed, _, _ = _STAMP.unpack(stamp)
    return max(changed, status_changed) + _SETTLED_NS < now_ns


def read_digest(path):
    """Read a file and digest it.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    digest : bytes or None
        SHA-256; None if it cannot be read, or changed meanwhile.
    stamp : bytes or None
        Its stamp, as it was before and after it was read.
    settled : bool
        Whether the digest may be remembered under that stamp.
    """
    now = time.time_ns()
    sha = hashlib.sha256()
    try:
        # The calls of the system alone: a file object takes half as long again for a small picture.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None, None, False
            while block := os.read(descriptor, _CHUNK):
                sha.update(block)
            same = _pack(os.fstat(descriptor)) == _pack(status)
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        return None, None, False
    if not same:
        return None, None, False
    stamp = _pack(status)
    return sha.digest(), stamp, is_settled(stamp, now)


def file_digest(path):
    """Return the SHA-256 of a file, remembered in this process until the file changes; None if it is no file."""
    stamp = stamp_of(path)
    if stamp is None:
        return None
    place = Path(path).absolute()
    known = _remembered.get(place)
    if known is not None and known[0] == stamp:
        return known[1]
    digest, stamp, settled = read_digest(path)
    if settled:
        _remembered[place] = stamp, digest
    return digest


def _pack(status):
    return _STAMP.pack(
        status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino & (2**64 - 1), status.st_dev & (2**64 - 1)
    )
