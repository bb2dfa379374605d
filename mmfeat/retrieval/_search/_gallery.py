"""The rows of an index: in which numbers they are kept, and how blocks of them come back in float32."""

from dataclasses import dataclass

import numpy as np

from mmfeat.retrieval._search._columns import Columns
from mmfeat.retrieval._search._grid import CHUNK, exact_squares, on_grid

DTYPES = ("float16", "float32", "int8")
# Unit round-off of float32.
_ROUND_OFF = 2.0**-24


@dataclass(frozen=True)
class Limits:
    """What belongs to the products of some rows of the gallery, and by how much they may be wrong.

    Parameters
    ----------
    width : int
        Number of components.
    halves : ndarray of shape (m,) or None
        Half the squares of the lengths, for the Euclidean distance.
    longest : float
        Length of the longest row.
    error : float
        Largest distance of a row here to the row that scores are defined by.
    """

    width: int
    halves: np.ndarray | None
    longest: float
    error: float

    def margins(self, lengths, input_rounding=0.0):
        """Bound of the error of each query's products in float32, where factors may be rounded before.

        Higham (2002), Accuracy and Stability of Numerical Algorithms, section 3.1, for sums in any order, and the
        inequality of Cauchy and Schwarz.
        """
        rounding = (self.width + 8) * _ROUND_OFF + 2 * input_rounding
        reach, error = self.longest, self.error
        margins = lengths * (rounding * reach + error) + 1e-37 * (lengths > 0)
        return margins if self.halves is None else margins + rounding * reach**2 + error * (reach + error)


class Gallery:
    """Rows of an index.

    Parameters
    ----------
    columns : Columns
        "rows"; "scales" where the numbers are not the rows themselves; "squares" of the lengths where they are not 1;
        "errors" and "sources", the places of the originals, where scores are those of the originals.
    metric : {"cosine", "euclidean", "inner_product"}
    originals : list of ndarray
        What was given, if scores are to be exact for that.
    """

    def __init__(self, columns, metric, originals=()):
        self.columns, self.metric, self.originals = columns, metric, list(originals)

    @classmethod
    def make(cls, matrix, metric, dtype, rescore):
        """Gallery of an array of embeddings."""
        gallery = cls(Columns(_encode(matrix, metric, dtype, rescore)), metric, [matrix] if rescore else [])
        if rescore:
            gallery.columns["sources"][:] = np.arange(len(matrix))
        return gallery

    def __len__(self):
        return len(self.columns)

    @property
    def n_components(self):
        """Width of the rows."""
        return self.columns["rows"].shape[1]

    @property
    def dtype(self):
        """Name of the numbers in which rows are kept."""
        return self.columns["rows"].dtype.name

    def append(self, matrix):
        """Put embeddings at the end."""
        rescore = bool(self.originals)
        added = _encode(matrix, self.metric, self.dtype, rescore)
        if rescore:
            added["sources"] = sum(map(len, self.originals)) + np.arange(len(matrix))
        self.columns.append(added)
        if rescore:
            self.originals.append(matrix)

    def block(self, which):
        """Rows in a slice, or at positions, ready to be multiplied, float32."""
        columns = self.columns
        return decode(columns["rows"][which], columns["scales"][which] if "scales" in columns else None)

    def limits(self, which):
        """What belongs to the products with the same rows."""
        columns = self.columns
        squares = columns["squares"][which] if "squares" in columns else None
        longest = 1.0 if squares is None else float(np.sqrt(squares.max()))
        halves = (
            np.asarray(squares / 2, dtype=np.float32) if squares is not None and self.metric == "euclidean" else None
        )
        error = float(columns["errors"][which].max()) if "errors" in columns else 0.0
        return Limits(self.n_components, halves, longest * (1 + 1e-6), error)

    def exact(self, which):
        """Rows that scores are defined by, float32, and half the squares of their lengths (None but for Euclid)."""
        if self.originals:
            rows = self.exact_rows(which)
            squares = exact_squares(rows) if self.metric == "euclidean" else None
        else:
            rows = self.block(which)
            squares = self.columns["squares"][which] if self.metric == "euclidean" else None
        return rows, None if squares is None else squares / 2

    def exact_rows(self, which):
        """Rows that scores are defined by: the originals where these are kept, else what is stored."""
        if not self.originals:
            return self.block(which)
        return on_grid(self.raw_rows(which), self.metric)[0]

    def raw_rows(self, which):
        """Rows of the originals as they were given."""
        sources = self.columns["sources"][which]
        rows = np.empty((len(sources), self.n_components), dtype=np.result_type(*self.originals))
        first = 0
        for part in self.originals:
            here = np.flatnonzero((sources >= first) & (sources < first + len(part)))
            if len(here):
                rows[here] = part[sources[here] - first]
            first += len(part)
        return rows

    def arrays(self):
        """All that is to be written, the originals in the order of the items."""
        arrays = {name: array for name, array in self.columns.items() if name != "sources"}
        return arrays | {"originals": Originals(self)} if self.originals else arrays

    @classmethod
    def of_arrays(cls, arrays, metric):
        """Inverse of :meth:`arrays`."""
        columns = {name: arrays[name] for name in ("rows", "scales", "squares", "errors") if name in arrays}
        if "originals" not in arrays:
            return cls(Columns(columns), metric)
        columns["sources"] = np.arange(len(columns["rows"]))
        return cls(Columns(columns), metric, [arrays["originals"]])


class Originals:
    """The originals of a gallery, read in parts when they are written elsewhere.

    Parameters
    ----------
    gallery : Gallery
    """

    def __init__(self, gallery):
        self._gallery = gallery
        self.shape = len(gallery), gallery.n_components
        self.dtype = np.result_type(*gallery.originals)

    def parts(self):
        """Rows of the originals in the order of the items."""
        for start in range(0, self.shape[0], CHUNK):
            yield self._gallery.raw_rows(slice(start, start + CHUNK))


def decode(rows, scales):
    """Stored rows in float32."""
    if rows.dtype == np.float32:
        return np.asarray(rows)
    rows = rows.astype(np.float32)
    if scales is not None:
        rows *= scales[:, None]
    return rows


def _encode(matrix, metric, dtype, rescore):
    """Columns of a gallery, made chunk by chunk."""
    n, d = matrix.shape
    columns = {"rows": np.empty((n, d), dtype=dtype)}
    if dtype == "int8" or (dtype == "float16" and metric != "cosine"):
        columns["scales"] = np.empty(n, dtype=np.float32)
    if metric != "cosine" or dtype != "float32":
        columns["squares"] = np.empty(n)
    if rescore:
        columns |= {"errors": np.empty(n, dtype=np.float32), "sources": np.empty(n, dtype=np.int64)}
    for start in range(0, n, CHUNK):
        chunk = slice(start, min(n, start + CHUNK))
        rows, squares = on_grid(matrix[chunk], metric, first=start)
        stored, scales = _stored(rows, dtype, "scales" in columns)
        kept = decode(stored, scales)
        columns["rows"][chunk] = stored
        if scales is not None:
            columns["scales"][chunk] = scales
        if "squares" in columns:
            columns["squares"][chunk] = squares if dtype == "float32" else exact_squares(kept)
        if rescore:
            distances = np.linalg.norm(rows.astype(np.float64) - kept, axis=1)
            columns["errors"][chunk] = np.nextafter(distances.astype(np.float32), np.float32(np.inf))
    return columns


def _stored(rows, dtype, scaled):
    """Numbers to keep, and what to multiply them with; products of both are on the grid of the row."""
    if dtype == "float32":
        return rows, None
    if dtype == "float16":
        if not scaled:
            return rows.astype(np.float16), None
        scales = np.ldexp(np.float32(1), np.frexp(np.linalg.norm(rows, axis=1))[1]).astype(np.float32)
        return (rows / scales[:, None]).astype(np.float16), scales
    largest = np.abs(rows).max(axis=1).astype(np.float64)
    of_row = np.frexp(np.linalg.norm(rows, axis=1))[1]
    # Of so few digits that a product with 127 has no more than a float32 holds.
    steps = np.ldexp(1.0, np.maximum(np.frexp(largest)[1] - 24, of_row - 26))
    scales = np.where(largest > 0, np.ceil(largest / 127 / steps) * steps, 1).astype(np.float32)
    return np.rint(rows / scales[:, None]).astype(np.int8), scales
