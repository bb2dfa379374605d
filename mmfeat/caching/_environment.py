"""One LMDB environment a process and folder: opened when needed, forgotten after a fork, grown when full."""

import contextlib
import errno
import os
import shutil
import threading
from pathlib import Path

_FIRST_MAP_SIZE = 1 << 28
_MAX_READERS = 510
_LOCK_FILE_SIZE = 1 << 16  # more than LMDB takes for that many readers
_FULL = 1 << 20  # bytes free
_NAMES = ("rows", "blocks", "paths", "notes")

_environments: dict = {}
_registry_lock = threading.Lock()


class DamagedError(OSError):
    """The files of a cache are damaged, or are none of ours."""


def environment(folder):
    """Return this process's environment of a folder; the folder is made if it is missing.

    Parameters
    ----------
    folder : str or os.PathLike

    Returns
    -------
    environment : Environment
    """
    place = os.path.realpath(folder)
    with _registry_lock:
        if place not in _environments:
            _environments[place] = Environment(Path(place))
        return _environments[place]


def close(folder):
    """Close this process's environment of a folder, if it has one; it is opened again when next used."""
    found = _environments.get(os.path.realpath(folder))
    if found is not None:
        with found.lock:
            found.close()


@contextlib.contextmanager
def guarded(folder):
    """Keep other processes from opening or removing a store below a folder; the folder is made if it is missing."""
    try:
        import fcntl
    except ImportError:  # Windows, where files that are open are not removed
        folder.mkdir(parents=True, exist_ok=True)
        yield
        return
    descriptor = _locked(folder)
    try:
        yield
    finally:
        # A child forked meanwhile has the descriptor too, and would keep the lock.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _locked(folder):
    """Lock a folder that may be removed and made again meanwhile; return its descriptor."""
    import fcntl

    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            status = os.fstat(descriptor)
            if _identity(folder) == (status.st_dev, status.st_ino):
                return descriptor
            os.close(descriptor)


class Environment:
    """An LMDB environment that this process may use from any thread, one transaction at a time.

    LMDB takes no second environment of one folder in a process, and no change of its size while a transaction is open;
    both are seen to here.
    """

    def __init__(self, folder):
        self.folder = folder
        self.lock = threading.RLock()
        self.databases = {}
        self._handle = None
        self._identity = None

    def read(self, function):
        """Return ``function(transaction, databases)``, a snapshot; memory it is handed is valid only inside."""
        return self._run(function, write=False)

    def write(self, function):
        """Return ``function(transaction, databases)``, committed whole or, if it raises, not at all.

        It is called again when the store had to grow first.
        """
        return self._run(function, write=True)

    def close(self):
        """Close the files, without harm to other processes."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    def size(self):
        """Return bytes of the file."""
        return self._data_file().stat().st_size

    def _run(self, function, write):
        import lmdb

        with self.lock:
            while True:
                handle = self._open()
                try:
                    with handle.begin(write=write, buffers=True) as transaction:
                        return function(transaction, self.databases)
                except lmdb.MapFullError:
                    handle.set_mapsize(2 * handle.info()["map_size"])
                except lmdb.MapResizedError:  # another process has made it larger
                    handle.set_mapsize(0)
                except (lmdb.CorruptedError, lmdb.PageNotFoundError) as error:
                    self.close()
                    raise self._damaged(error) from error
                except lmdb.Error as error:
                    # After a failed write the handle may be unusable; a new one finds the last state that was whole.
                    self.close()
                    doing = "write to" if write else "read"
                    # LMDB calls a write that was cut short by a full disk an input/output error.
                    is_full = write and shutil.disk_usage(self.folder).free < _FULL
                    reason = os.strerror(errno.ENOSPC) if is_full else _reason(error)
                    raise OSError(f"Could not {doing} the cache in '{self.folder.parent}': {reason}.") from error

    def _open(self):
        """Return the handle, opened anew when the folder was removed or cleared meanwhile."""
        if self._handle is not None and _identity(self._data_file()) == self._identity:
            return self._handle
        import lmdb

        self.close()
        try:
            with guarded(self.folder.parent):
                self._handle = self._opened()
        except (lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.CorruptedError, lmdb.PageNotFoundError) as error:
            self.close()
            raise self._damaged(error) from error
        except (OSError, lmdb.Error) as error:
            self.close()
            raise OSError(f"Could not open a cache in '{self.folder.parent}': {_reason(error)}.") from error
        self._identity = _identity(self._data_file())
        return self._handle

    def _opened(self):
        import lmdb

        self.folder.mkdir(exist_ok=True)
        _reserve(self.folder / "lock.mdb")
        size = max(_FIRST_MAP_SIZE, 2 * _size(self._data_file()))
        # metasync=False: a loss of power may take the last commit with it, and leaves the one before whole.
        handle = lmdb.open(
            str(self.folder), map_size=size, max_dbs=len(_NAMES), max_readers=_MAX_READERS, metasync=False
        )
        try:
            self._mend_length(handle)
            self.databases = {name: handle.open_db(name.encode()) for name in _NAMES}
            handle.reader_check()
        except BaseException:
            handle.close()
            raise
        return handle

    def _mend_length(self, handle):
        """Give a file that was cut off its length again: reading the missing pages would end the process."""
        if _size(self._data_file()) >= _needed(handle):
            return
        with handle.begin(write=True):  # no other process writes meanwhile
            if _size(self._data_file()) < _needed(handle):
                os.truncate(self._data_file(), _needed(handle))

    def _data_file(self):
        return self.folder / "data.mdb"

    def _damaged(self, error):
        place = self.folder.parent
        return DamagedError(
            f"The cache in '{place}' is damaged, or the folder holds something else ({_reason(error)}). Remove it with "
            f"`mmfeat cache clear --location {place}`, or name another folder."
        )


def _needed(handle):
    return (handle.info()["last_pgno"] + 1) * handle.stat()["psize"]


def _size(path):
    return path.stat().st_size if path.exists() else 0


def _identity(path):
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None


def _reserve(path):
    """Allocate LMDB's file of locks: it is mapped, and a page without a place on a full disk would end the process.

    Called only while this process has not opened the environment: closing a file drops the locks that the process
    holds on it.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    if path.exists() and 512 * path.stat().st_blocks >= path.stat().st_size >= _LOCK_FILE_SIZE:
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    try:
        os.posix_fallocate(descriptor, 0, _LOCK_FILE_SIZE)
    finally:
        os.close(descriptor)


def _reason(error):
    # lmdb writes "path or function: reason"; the folder is named anyway.
    return getattr(error, "strerror", None) or str(error).rpartition(": ")[2]


def _before_fork():
    """Wait until no transaction is open: one that a child inherits would be ended in the parent too."""
    _registry_lock.acquire()
    for item in _environments.values():
        item.lock.acquire()


def _after_fork():
    for item in _environments.values():
        item.lock.release()
    _registry_lock.release()


def _after_fork_in_child():
    """Close what was inherited, which leaves the parent's alone; a child that needs it opens its own."""
    for item in _environments.values():
        item.close()
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
