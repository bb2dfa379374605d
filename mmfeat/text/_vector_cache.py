"""Files of vectors converted once, so that they open at once and are shared between processes ever after."""

import contextlib
import errno
import glob
import hashlib
import os
import tempfile
import time
from pathlib import Path

from mmfeat.text._vector_files import check_encoding, read_vectors
from mmfeat.text._vector_store import header_block, open_store, read_header
from mmfeat.text._vector_streams import HashingStream, file_digest
from mmfeat.text._vector_writer import VectorWriter, is_fasttext, is_packed, unpack

_SUFFIX = ".mmfeat"
# A file that changed so shortly before it was read may change again without another time of change: FAT counts in two
# seconds, other file systems in ticks of some milliseconds.
_GRANULARITY = 2_000_000_000
# No space, no space for this user, too large for the file system.
_FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)}


def open_vectors(path, *, encoding="utf-8", cache_dir=None):
    """Open a file of vectors, converting it if that has not been done since it changed.

    Parameters
    ----------
    path : path-like
        Vectors as word2vec, GloVe or fastText write them.
    encoding : str, default="utf-8"
        Of the words.
    cache_dir : path-like or None, default=None
        Folder of the converted file. None is beside `path`, or, where nothing can be written there, the user's cache folder.

    Returns
    -------
    store : mmfeat.text._vector_store.MappedStore

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is wrong; the message names the line.
    OSError
        If the converted file cannot be written anywhere.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"`vectors`='{path}' is no file. Pass the path of a file of word vectors.")
    check_encoding(encoding)
    places = _places(path.resolve(), encoding, cache_dir)
    for place in places:
        store = open_store(place)
        if store is not None and _is_of(path, place, store.header):
            return store
    full = None
    for place in places:
        file = _temporary(place)
        if file is None:
            continue
        try:
            with file:
                return _convert(path, place, file, encoding)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            full = error
    raise OSError(
        f"The converted vectors of '{path}' cannot be written in {' or '.join(repr(str(place.parent)) for place in places)}"
        f"{f' ({full.strerror})' if full else ''}. Pass a folder that can be written to as `cache_dir`."
    ) from full


def stamp(path):
    """What tells that a file has changed: size, time of change and of change of its entry (ns)."""
    status = os.fstat(path) if isinstance(path, int) else Path(path).stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _places(path, encoding, cache_dir):
    """Where the converted file may be, the preferred place first."""
    suffix = _SUFFIX if encoding == "utf-8" else f".{encoding}{_SUFFIX}"
    # In a folder for all, files of the same name must not meet.
    elsewhere = f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}-{path.name}{suffix}"
    if cache_dir is not None:
        return [Path(cache_dir) / elsewhere]
    beside = path.with_name(path.name + suffix)
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~", ".cache").expanduser())
    except RuntimeError:  # a user without a home, as in a container
        return [beside]
    return [beside, cache / "mmfeat" / "vectors" / elsewhere]


def _is_of(path, place, header):
    """Whether a converted file is of the vectors as they are now.

    A file of the same size and times is the same, unless it was read so soon after a change that the times might not
    show another one. In all other cases of the same size its SHA-256 decides, and the new times are noted.
    """
    now, taken = stamp(path), time.time_ns()
    if now[0] != header["stamp"][0]:
        return False
    if now == header["stamp"] and not _may_hide_a_change(header["stamp"], header["taken"]):
        return True
    if file_digest(path) != header["digest"]:
        return False
    _note(place, header, {**header, "stamp": now, "taken": taken})
    return True


def _note(place, old, new):
    """Put a new header in the place of the old one, if it is still there and may be written."""
    with contextlib.suppress(OSError), place.open("r+b") as file:
        if read_header(file) == old:
            file.seek(0)
            file.write(header_block(new))


def _may_hide_a_change(stamped, taken):
    return taken - max(stamped[1:]) < _GRANULARITY


def _temporary(place):
    """A new file beside `place`, locked while it is written; None where none can be made."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place)
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.", suffix=".part")
    except OSError:
        return None
    _lock(handle)
    return _Temporary(os.fdopen(handle, "wb"), Path(name))


class _Temporary:
    """A file that is removed unless it takes its name."""

    def __init__(self, file, path):
        self.file, self.path = file, path

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        try:
            self.file.close()  # which fails where a disk is full
        finally:
            self.path.unlink(missing_ok=True)

    def take_name(self, place):
        self.file.flush()
        os.fsync(self.file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        self.path.chmod(0o666 & ~mask)  # mkstemp gives 0600
        self.path.replace(place)


def _lock(handle):
    """Lock a file as long as it is open; False if another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows, where a file in use cannot be removed anyway
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sweep(place):
    """Remove what killed conversions left: parts that are a minute old and that no process has locked."""
    for part in place.parent.glob(f".{glob.escape(place.name)}.*.part"):
        with contextlib.suppress(OSError), part.open("rb") as file:
            if time.time() - part.stat().st_mtime > 60 and _lock(file.fileno()):
                part.unlink()


def _write_fasttext(writer, path, place):
    """As gensim tells what is packed by its name, and reads it number by number, it gets a packed model unpacked."""
    if not is_packed(path):
        return writer.write_fasttext(path, path)
    whole = _temporary(place)
    if whole is None:
        raise OSError(f"'{path}' cannot be unpacked in '{place.parent}'. Unpack it, or pass another `cache_dir`.")
    with whole:
        unpack(path, whole.file)
        whole.file.flush()
        return writer.write_fasttext(whole.path, path)


def _convert(path, place, temporary, encoding):
    taken = time.time_ns()
    with HashingStream(path) as raw:
        before = stamp(raw.fileno())
        writer = VectorWriter(temporary.file)
        if is_fasttext(path):
            header = _write_fasttext(writer, path, place)
        else:
            source = read_vectors(raw, path, encoding)
            header = writer.write(source, path)
        digest = raw.digest()
        if stamp(raw.fileno())[:2] != before[:2] or stamp(path)[:2] != before[:2]:
            raise ValueError(f"'{path}' changed while it was read. Try again when it is written.")
    temporary.file.seek(0)
    temporary.file.write(header_block({**header, "digest": digest, "stamp": before, "taken": taken}))
    temporary.take_name(place)
    return open_store(place)
