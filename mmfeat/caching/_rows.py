"""Rows as bytes and back: of a matrix, of a sparse matrix, or bags of vectors."""

from typing import Any

import numpy as np
from scipy import sparse


class RowError(ValueError):
    """A row that is not as the others are."""


class Gathered:
    """Rows of one result, put in place as they are found or computed.

    Parameters
    ----------
    n : int
        Rows in all.
    """

    def __init__(self, n):
        self._n = n
        self._header = b""
        self._dense: Any = None
        self._others: list = []
        self._kind = None

    def receive(self, position, data):
        """Put a stored row in place.

        Parameters
        ----------
        position : int
        data : memoryview or bytes
            From :func:`encode`; copied.

        Raises
        ------
        RowError
            If the row is of another kind, type or width than those before.
        """
        if self._dense is not None and data[: len(self._header)] == self._header:
            flat = np.frombuffer(data, self._dense.dtype, offset=len(self._header))
            self._dense[position] = flat.reshape(self._dense.shape[1:])
            return
        kind, row = decode(data)
        self._begin(kind, row)
        self._place(position, kind, row)

    def add(self, positions, output):
        """Put computed rows in place.

        Parameters
        ----------
        positions : sequence of int
        output : ndarray, sparse matrix, DataFrame or list of ndarray
            What a transformer gave for these rows.

        Returns
        -------
        rows : list of bytes or None
            The rows encoded; None where one holds NaN.

        Raises
        ------
        RowError
            If the output does not have a row a position, or is of another kind than the rows before.
        TypeError
            If it is nothing that has rows of numbers.
        """
        kind, rows = _split(output)
        if len(rows) != len(positions):
            raise RowError(
                f"transform gave {len(rows)} rows for {len(positions)} items. Only row-wise transformers can be cached."
            )
        for position, row in zip(positions, rows, strict=True):
            self._begin(kind, row)
            self._place(position, kind, row)
        return [encode(kind, row) for row in rows]

    def copy(self, source, positions):
        """Repeat a row at other positions."""
        for position in positions:
            if self._dense is not None:
                self._dense[position] = self._dense[source]
            else:
                self._others[position] = self._others[source]

    def result(self):
        """Return all rows: a matrix, a sparse matrix, or a list of bags."""
        if self._dense is not None:
            return self._dense
        if self._kind == b"B":
            return self._others
        indptr = np.concatenate([[0], np.cumsum([len(indices) for _, indices, _ in self._others])])
        indices, data = (np.concatenate([row[part] for row in self._others]) for part in (1, 2))
        index_type = np.int32 if max(indptr[-1], self._others[0][0]) < 2**31 else np.int64
        container = sparse.csr_array if self._kind == b"A" else sparse.csr_matrix
        shape = self._n, self._others[0][0]
        return container((data, indices.astype(index_type), indptr.astype(index_type)), shape=shape)

    def _begin(self, kind, row):
        if self._kind is not None:
            return
        self._kind = kind
        if kind == b"D":
            self._dense = np.empty((self._n, *row.shape), row.dtype)
            self._header = _header(kind, row.dtype, row.shape)
        else:
            self._others = [None] * self._n

    def _place(self, position, kind, row):
        if kind != self._kind:
            raise RowError("rows of two kinds, such as dense and sparse, in one result")
        if kind == b"D":
            if row.shape != self._dense.shape[1:] or row.dtype != self._dense.dtype:
                raise RowError(
                    f"a row of {row.shape} {row.dtype} among rows of {self._dense.shape[1:]} {self._dense.dtype}"
                )
            self._dense[position] = row
            return
        if kind != b"B":
            first = next((other for other in self._others if other is not None), row)
            if row[0] != first[0] or row[2].dtype != first[2].dtype:
                raise RowError(f"a sparse row of {row[0]} {row[2].dtype} among rows of {first[0]} {first[2].dtype}")
        self._others[position] = row


def encode(kind, row):
    """Return a row as bytes, or None if it holds NaN, which stands for a failure and is not kept."""
    if kind in (b"D", b"B"):
        if row.dtype.kind in "fc" and np.isnan(row).any():
            return None
        return _header(kind, row.dtype, row.shape) + row.tobytes()
    width, indices, data = row
    if data.dtype.kind in "fc" and np.isnan(data).any():
        return None
    return _header(kind, data.dtype, (width, len(data))) + indices.astype(np.int64).tobytes() + data.tobytes()


def decode(data):
    """Return the kind of an encoded row, and the row: an array, or width, indices and values of a sparse one."""
    header, _, _ = bytes(data[:200]).partition(b"\n")
    kind, (dtype, _, shape) = header[:1], header[1:].decode("ascii").partition(":")
    dimensions = tuple(int(size) for size in shape.split(",") if size)
    start = len(header) + 1
    if kind in (b"D", b"B"):
        return kind, np.frombuffer(data, dtype, offset=start).reshape(dimensions).copy()
    width, count = dimensions
    indices = np.frombuffer(data, np.int64, count, start).copy()
    return kind, (width, indices, np.frombuffer(data, dtype, count, start + indices.nbytes).copy())


def _header(kind, dtype, shape):
    return kind + f"{dtype.str}:{','.join(map(str, shape))}\n".encode("ascii")


def _split(output):
    """Kind and rows of what a transformer gave."""
    if sparse.issparse(output):
        output = output.tocsr()
        if not output.has_canonical_format:
            output = output.copy()  # it may be the user's own
            output.sum_duplicates()
        parts = zip(output.indptr[:-1], output.indptr[1:], strict=True)
        kind = b"S" if isinstance(output, sparse.spmatrix) else b"A"
        return kind, [(output.shape[1], output.indices[a:b].astype(np.int64), output.data[a:b]) for a, b in parts]
    if isinstance(output, (list, tuple)) or (
        isinstance(output, np.ndarray) and output.dtype == object and output.ndim == 1
    ):
        bags = [np.asarray(bag) for bag in output]
        if all(bag.ndim and bag.dtype.kind in "biufc" for bag in bags):
            return b"B", bags
    elif hasattr(output, "to_numpy") or isinstance(output, np.ndarray):
        matrix = np.asarray(output)
        if matrix.ndim > 1 and matrix.dtype.kind in "biufc":
            return b"D", list(matrix)
    shape = f" of {output.dtype}" if hasattr(output, "dtype") else ""
    raise TypeError(
        f"transform gave a {type(output).__name__}{shape}, whose rows cannot be kept. Expected a matrix of numbers, dense or "
        "sparse, or a list of arrays."
    )
