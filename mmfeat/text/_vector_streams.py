"""Bytes of a file of vectors: hashed as they pass, unpacked, delivered in blocks up to where they are damaged."""

import gzip
import hashlib
import io
import zlib
from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"
_BUFFER = 1 << 18
_BLOCK = 1 << 22


class DamagedError(ValueError):
    """Compressed data that cannot be unpacked any further."""


class HashingStream(io.RawIOBase):
    """A file open for reading that takes the SHA-256 of its bytes as they pass.

    Parameters
    ----------
    path : path-like
    """

    def __init__(self, path):
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - closed by close()
        self._sha = hashlib.sha256()

    def readable(self):
        return True

    def readinto(self, buffer):
        count = self._file.readinto(buffer)
        self._sha.update(memoryview(buffer)[:count])
        return count

    def fileno(self):
        return self._file.fileno()

    def close(self):
        self._file.close()
        super().close()

    def digest(self):
        """SHA-256 of the whole file in hexadecimal; reads what is left of it."""
        while self.read(1 << 20):
            pass
        return self._sha.hexdigest()


def file_digest(path):
    """SHA-256 of a file in hexadecimal."""
    with HashingStream(path) as stream:
        return stream.digest()


def unpacked(raw):
    """Buffered content of a raw stream, unpacked if it is gzip, whatever its name."""
    stream = io.BufferedReader(raw, _BUFFER)
    if stream.peek(2)[:2] == GZIP_MAGIC:
        stream = io.BufferedReader(_Gzip(stream), _BUFFER)
    return stream


def read_block(stream, least=None):
    """Read some megabytes, and keep what came before damage.

    Parameters
    ----------
    stream : io.BufferedReader
    least : int or None, default=None
        Bytes to read at least, if there are as many; None is 4 MiB.

    Returns
    -------
    block : bytes
        Empty at the end.
    damage : DamagedError or None
        Why there will be no more.
    """
    parts: list[bytes] = []
    size = 0
    least = least or _BLOCK
    while size < least:
        try:
            part = stream.read1(least)
        except DamagedError as error:
            return b"".join(parts), error
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts), None


class _Gzip(io.RawIOBase):
    """The content of a gzip stream; all of it that comes before damage is delivered."""

    def __init__(self, stream):
        self._gzip = gzip.GzipFile(fileobj=stream)
        self._damage = None

    def readable(self):
        return True

    def readinto(self, buffer):
        if self._damage is None:
            try:
                data = self._gzip.read1(len(buffer))
            except EOFError:
                self._damage = "the compressed data end too early"
            except (zlib.error, gzip.BadGzipFile) as error:
                self._damage = f"the compressed data are damaged ({error})"
            else:
                buffer[: len(data)] = data
                return len(data)
        raise DamagedError(self._damage)
