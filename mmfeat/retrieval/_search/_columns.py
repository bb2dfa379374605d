"""A table of arrays that grows and shrinks by rows, in memory or mapped from a file."""

import numpy as np


class Columns:
    """Named arrays of one length.

    Rows are appended to a buffer with room to spare, so that many small additions cost as one, and removed by moving
    the others up in place. Arrays that cannot be written, as those mapped from a file, are copied first.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Of one length; not copied.
    """

    def __init__(self, arrays):
        self._buffers = dict(arrays)
        self.n = len(next(iter(arrays.values())))

    def __len__(self):
        return self.n

    def __contains__(self, name):
        return name in self._buffers

    def __getitem__(self, name):
        return self._buffers[name][: self.n]

    def items(self):
        """Names and arrays."""
        return {name: self[name] for name in self._buffers}.items()

    def append(self, arrays):
        """Put rows at the end."""
        added = len(next(iter(arrays.values())))
        self._make_room(self.n + added)
        for name, values in arrays.items():
            self._buffers[name][self.n : self.n + added] = values
        self.n += added

    def keep(self, kept, chunk=1 << 14):
        """Keep the rows at ascending positions."""
        self._make_room(self.n)
        for buffer in self._buffers.values():
            for start in range(0, len(kept), chunk):
                # No row moves down, so that none is overwritten before it is read.
                part = kept[start : start + chunk]
                buffer[start : start + len(part)] = buffer[part]
        self.n = len(kept)

    def _make_room(self, n):
        for name, buffer in self._buffers.items():
            if n <= len(buffer) and buffer.flags.writeable:
                continue
            room = max(n, self.n + self.n // 2) if n > len(buffer) else n
            larger = np.empty((room, *buffer.shape[1:]), dtype=buffer.dtype)
            larger[: self.n] = buffer[: self.n]
            self._buffers[name] = larger
