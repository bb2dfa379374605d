"""Rows rounded to a grid so fine that nobody sees it, and so coarse that products of rows are exact in float64.

A row of length at most 2**e is rounded to multiples of 2**(e - 26). The product of two such rows is then a multiple of
2**(e + f - 52) that no partial sum takes past 2**(e + f): a float64 holds it and all partial sums without rounding.
The score of a pair is therefore one number, whatever the block it was computed in, the library, the number of threads
or the machine, and equal rows have equal scores. A product in float32 misses it by a bound that is known.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_array, gen_batches

METRICS = ("cosine", "euclidean", "inner_product")
# Rows are made ready so many at a time; float64 copies of them are all that stands beside the result.
CHUNK = 4096
_BITS = 26
# Products of two rows this long are far from the end of float32.
_LONGEST = 1e15
_SMALLEST_EXPONENT = -60


@dataclass(frozen=True)
class Queries:
    """Rows ready to be searched for.

    Parameters
    ----------
    rows : ndarray of shape (n, d), dtype float32
        On the grid.
    squares : ndarray of shape (n,), dtype float64
        Of the lengths.
    """

    rows: np.ndarray
    squares: np.ndarray

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, rows):
        return Queries(self.rows[rows], self.squares[rows])

    @property
    def lengths(self):
        """Lengths of the rows, rounded up, ndarray of shape (n,)."""
        return np.sqrt(self.squares) * (1 + 1e-12)


def check_matrix(matrix, name, n_components=None):
    """Array of shape (n, d) of real numbers, not yet read for NaN; torch tensors are taken."""
    matrix = check_array(to_host(matrix), dtype="numeric", ensure_all_finite=False, input_name=name)
    if n_components not in (None, matrix.shape[1]):
        raise ValueError(
            f"{name} have {matrix.shape[1]} components, the gallery has {n_components}. Encode both with one model."
        )
    return matrix


def to_host(values):
    """A tensor of torch as an array; anything else as it is."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else values


def make_queries(matrix, metric, name="queries"):
    """Rows on the grid, and the squares of their lengths."""
    rows = np.empty(matrix.shape, dtype=np.float32)
    squares = np.empty(len(matrix))
    for chunk in gen_batches(len(matrix), CHUNK):
        rows[chunk], squares[chunk] = on_grid(matrix[chunk], metric, name, chunk.start)
    return Queries(rows, squares)


def on_grid(matrix, metric, name="embeddings", first=0):
    """Rows as they are compared, float32: of unit length for the cosine, rounded to the grid; and their exact squares.

    `first` is the number of the first row, for the errors. What becomes of a row does not depend on the others.
    """
    rows = np.ascontiguousarray(matrix, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        kind = "NaN" if np.isnan(rows[bad[0]]).any() else "infinity"
        raise ValueError(f"{name} contain {kind}, first in row {first + bad[0]}. Drop such rows, or mend them.")
    rows = _unit(rows) if metric == "cosine" else rows
    lengths = np.linalg.norm(rows, axis=1)
    if metric == "cosine":
        exponents = np.zeros(len(rows), dtype=np.int64)
    else:
        _check_lengths(lengths, name, first)
        exponents = np.maximum(np.frexp(lengths)[1], _SMALLEST_EXPONENT)
    steps = np.ldexp(1.0, exponents - _BITS)[:, None]
    rows = (np.rint(rows / steps) * steps).astype(np.float32)
    return rows, exact_squares(rows)


def exact_squares(rows):
    """Squares of the lengths of rows on the grid, without any rounding."""
    rows = rows.astype(np.float64)
    return np.einsum("ij,ij->i", rows, rows)


def _unit(rows):
    # Squares of very small or large numbers leave the range of floats; of numbers up to one they do not.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = rows / np.where(largest > 0, largest, 1)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def _check_lengths(lengths, name, first):
    longest = int(np.argmax(lengths))
    if lengths[longest] > _LONGEST:
        raise ValueError(
            f"Row {first + longest} of the {name} has length {lengths[longest]:.3g}. The longest that is taken is "
            f"{_LONGEST:.0e}. Divide all rows by one number."
        )


def to_scores(halves, squares, metric):
    """Scores in float32, higher is better, of products less half the square of the item, in float64.

    For the Euclidean distance, |q - g|^2 = |q|^2 - 2 (qg - |g|^2 / 2), and the score is the negative distance.
    """
    if metric == "euclidean":
        return (0.0 - np.sqrt(np.maximum(squares - 2 * halves, 0))).astype(np.float32)
    scores = halves.astype(np.float32)
    return np.clip(scores, -1, 1) if metric == "cosine" else scores
