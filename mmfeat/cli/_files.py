"""Output that is written whole or not at all, and never over something that is there."""

import contextlib
import os
import tempfile
from pathlib import Path


def refuse_existing(path, force):
    """Raise FileExistsError if `path` is there and may not be replaced; called before the work, not after it."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Name a file.")
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists. Pass --force to replace it, or name another file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {path.parent} does not exist. Create it, or name another file.")


@contextlib.contextmanager
def whole_file(path, force, mode="w"):
    """Open a temporary file beside `path` that takes its name when the block ends without an error.

    Parameters
    ----------
    path : path-like
    force : bool
        Replace a file that is there.
    mode : {"w", "w+b"}

    Yields
    ------
    file : file object
        Text is written as UTF-8 with line feeds.
    """
    path = Path(path)
    refuse_existing(path, force)
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _take_name(temporary, path, force)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _take_name(temporary, path, force):
    # mkstemp gives 0600; the file should be as readable as any other that the user makes.
    mask = os.umask(0)
    os.umask(mask)
    Path(temporary).chmod(0o666 & ~mask)
    if force:
        Path(temporary).replace(path)
        return
    try:
        # Unlike a rename, a link fails when another process has made the file meanwhile.
        os.link(temporary, path)
    except FileExistsError as error:
        raise FileExistsError(f"{path} was made by another program meanwhile. Pass --force to replace it.") from error
    except OSError:
        Path(temporary).replace(path)
