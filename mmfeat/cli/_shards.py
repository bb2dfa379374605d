"""A matrix written in shards, each whole or not there, so that a run that was stopped can be taken up."""

import contextlib
import csv
import json
import os
import shutil

import numpy as np

from mmfeat.cli._files import whole_file
from mmfeat.utils._optional import import_optional

_MANIFEST = "manifest.json"


class Shards:
    """The parts of one matrix in a folder of their own.

    Parameters
    ----------
    folder : pathlib.Path
    plan : dict
        Ready for JSON: "rows", "columns" and "shard_rows", and whatever else must be the same when work is taken up.
    names : list of str
        Names of the columns, written by Parquet.
    ids : list of str
        Names of the rows.
    suffix : {".npy", ".parquet"}
    """

    def __init__(self, folder, plan, names, ids, suffix):
        self.folder = folder
        self._plan = plan
        self._names = names
        self._ids = ids
        self._suffix = suffix

    def begin(self, force):
        """Begin in an empty folder, or take up what is in it; called while no other process may.

        Parameters
        ----------
        force : bool
            Whether parts of another plan are thrown away.

        Raises
        ------
        ValueError
            If there are parts of another plan.
        """
        manifest = self.folder / _MANIFEST
        for unfinished in self.folder.glob(".*"):  # of a process that was killed while it wrote
            unfinished.unlink()
        if manifest.exists():
            if json.loads(manifest.read_text("utf-8")) == self._plan:
                return
            if not force:
                raise ValueError(
                    f"{self.folder} holds parts of a run with other settings or pictures, or of other versions. Repeat that run "
                    "to finish it, or pass --force to throw its parts away."
                )
            for part in self.folder.glob("*.*"):
                if part != manifest:
                    part.unlink()
        with whole_file(manifest, True) as file:
            json.dump(self._plan, file, ensure_ascii=False, indent=1)

    def ranges(self):
        """Rows of each shard, as ``(number, first, end)``."""
        rows, size = self._plan["rows"], self._plan["shard_rows"]
        return [(number, first, min(first + size, rows)) for number, first in enumerate(range(0, rows, size))]

    def path(self, number):
        """File of a shard."""
        return self.folder / f"part-{number:05d}{self._suffix}"

    def write(self, number, first, block):
        """Write one shard."""
        with whole_file(self.path(number), True, "w+b") as file:
            if self._suffix == ".npy":
                np.save(file, block)
            else:
                polars = _polars()
                columns = {name: block[:, place] for place, name in enumerate(self._names)}
                ids = self._ids[first : first + len(block)]
                polars.DataFrame({"image_id": ids, **columns}).write_parquet(file)

    def join(self, out):
        """Write all shards as one file, a part in memory at a time.

        Parameters
        ----------
        out : pathlib.Path
            Replaced if it is there.
        """
        paths = [self.path(number) for number, _, _ in self.ranges()]
        whole = self.folder / f"whole{self._suffix}"
        with whole_file(whole, True, "w+b") as file:
            if self._suffix == ".npy":
                shape = (self._plan["rows"], self._plan["columns"])
                np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
                for path in paths:
                    with path.open("rb") as part:
                        np.lib.format.read_magic(part)
                        np.lib.format.read_array_header_1_0(part)
                        shutil.copyfileobj(part, file, 1 << 20)
            else:
                _polars().scan_parquet(paths).sink_parquet(file)
        whole.replace(out)

    def write_ids(self, path):
        """Write the names of the rows, in their order, as a CSV file."""
        with whole_file(path, True) as file:
            csv.writer(file, lineterminator="\n").writerows([["image_id"], *([name] for name in self._ids)])

    def unread(self):
        """Rows of NaN, which stand for pictures that could not be read."""
        return [int(row) for number, first, _ in self.ranges() for row in first + np.flatnonzero(self._is_nan(number))]

    def _is_nan(self, number):
        if self._suffix == ".npy":
            return np.isnan(np.load(self.path(number), mmap_mode="r")[:, 0])
        return np.isnan(_polars().read_parquet(self.path(number), columns=[self._names[0]]).to_numpy()[:, 0])


@contextlib.contextmanager
def alone(folder):
    """Make a folder if it is missing, and refuse a second process on it."""
    folder.mkdir(exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_gone = not folder.exists() or not os.path.samestat(os.fstat(descriptor), folder.stat())
        except BlockingIOError:
            is_gone = True
        if is_gone:  # or finished by the other process, and removed, between the two calls above
            raise OSError(f"Another process is at work on {folder}. Wait for it, or name another output.")
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child forked meanwhile would keep it
        os.close(descriptor)


def _polars():
    return import_optional("polars", extra="polars", purpose="Parquet")
