"""One file of named arrays, mapped into memory when it is opened.

The file begins with 8 bytes that tell what it is, the length and the checksum of a header, and the header, which is
JSON: settings, and where each array lies. Arrays follow, each from a multiple of 64 bytes on. Nothing in it is code.
"""

import json
import math
import os
import struct
import uuid
import zlib
from pathlib import Path

import numpy as np

_MAGIC = b"mmfindex"
_VERSION = 1
_START = struct.Struct("<8sIII")
_ALIGN = 64
_CHUNK = 1 << 24


def write_arrays(path, settings, arrays):
    """Write settings and arrays; the file is there as a whole or, if something goes wrong, as it was before.

    What is never in memory as a whole has a shape, a dtype, and a method `parts` that gives it part by part. Of a symbolic
    link the file that it leads to is written.
    """
    path = Path(os.path.realpath(path))
    entries, end = {}, 0
    for name, array in arrays.items():
        begin = -(-end // _ALIGN) * _ALIGN
        entries[name] = {"dtype": array.dtype.str, "shape": list(array.shape), "offset": begin}
        end = begin + array.dtype.itemsize * int(np.prod(array.shape))
    header = json.dumps({"settings": settings, "arrays": entries, "bytes": end}, ensure_ascii=False).encode("utf-8")
    first = _first_byte(len(header))
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with temporary.open("xb") as file:
            file.write(_START.pack(_MAGIC, _VERSION, len(header), zlib.crc32(header)) + header)
            for name, array in arrays.items():
                file.seek(first + entries[name]["offset"])
                for part in parts_of(array):
                    file.write(np.ascontiguousarray(part).reshape(-1).view(np.uint8))
            file.truncate(first + end)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_arrays(path):
    """Settings, and arrays mapped from the file, which cannot be written to."""
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(_START.size)
        if len(start) < _START.size or start[:8] != _MAGIC:
            raise ValueError(f"{path} is not a saved EmbeddingIndex. Give the file that `save` has written.")
        _, version, length, checksum = _START.unpack(start)
        if version != _VERSION:
            raise ValueError(f"{path} has version {version} of the format, and this mmfeat reads {_VERSION}.")
        header = file.read(length)
        size = os.fstat(file.fileno()).st_size
        if len(header) < length or zlib.crc32(header) != checksum:
            raise ValueError(f"{path} is damaged: its header is cut off or changed. Save the index again.")
        first = _first_byte(length)
        try:
            settings, n_bytes, places = _read_header(header)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged or no index: its header is wrong ({error}).") from error
        if size != first + n_bytes:
            raise ValueError(
                f"{path} is damaged: it has {size} bytes, and {first + n_bytes} are expected. "
                "Was it copied as a whole? Save the index again."
            )
        arrays = {name: _mapped(file, first, *place) for name, place in places.items()}
    return settings, arrays


def _read_header(header):
    """Settings, number of bytes, and dtype, shape and place of each array, which must lie within these bytes."""
    record = json.loads(header)
    n_bytes, places = record["bytes"], {}
    for name, entry in record["arrays"].items():
        dtype, shape, offset = np.dtype(entry["dtype"]), tuple(entry["shape"]), entry["offset"]
        # Bytes of a file taken for addresses of objects would bring the process down, or worse.
        if dtype.hasobject or dtype.kind not in "biufUSMm":
            raise ValueError(f"array {name!r} is of {dtype}")
        if not all(type(number) is int and number >= 0 for number in (n_bytes, offset, *shape)):
            raise ValueError(f"array {name!r} has a shape of {shape} at {offset!r}")
        if offset + dtype.itemsize * math.prod(shape) > n_bytes:
            raise ValueError(f"array {name!r} ends behind the last byte")
        places[name] = dtype, shape, offset
    return dict(record["settings"]), n_bytes, places


def _mapped(file, first, dtype, shape, offset):
    if 0 in shape or dtype.itemsize == 0:
        return np.empty(shape, dtype=dtype)
    return np.memmap(file, dtype=dtype, mode="r", offset=first + offset, shape=shape)


def parts_of(array):
    """Parts of some megabytes, so that no copy of a large array is made."""
    if hasattr(array, "parts"):
        yield from array.parts()
        return
    rows = max(1, _CHUNK // max(1, array.dtype.itemsize * int(np.prod(array.shape[1:]))))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]


def _first_byte(header_length):
    return -(-(_START.size + header_length) // _ALIGN) * _ALIGN
