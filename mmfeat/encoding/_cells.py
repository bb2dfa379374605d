"""Cells of a spatial pyramid, and the norms of what is found in them."""

import numpy as np

# Columns that hold coordinates, at the end of a bag: x and y in shares of the width and height, and the scale.
N_COORDINATES = 3


def grids(levels):
    """The grids of a pyramid as pairs (rows, columns).

    Parameters
    ----------
    levels : int or sequence of (int, int)
        A number of levels, of which level i has 2**i by 2**i cells, or the grids themselves.

    Returns
    -------
    grids : list of (int, int)

    Raises
    ------
    ValueError
        If a grid is no pair of positive integers, or there is none.
    """
    if isinstance(levels, (int, np.integer)):
        return [(2**level, 2**level) for level in range(levels)]
    found = [tuple(grid) if isinstance(grid, (tuple, list)) else (grid,) for grid in levels]
    if not found or not all(len(g) == 2 and all(isinstance(n, (int, np.integer)) and n >= 1 for n in g) for g in found):
        raise ValueError(f"`levels` must be an int or pairs of positive ints (rows, columns). Got {levels!r} instead.")
    return found


def cell_numbers(coordinates, grid):
    """Which cell of a grid each descriptor lies in, counted row by row.

    Parameters
    ----------
    coordinates : ndarray of shape (n, 3)
        x, y and scale.
    grid : (int, int)
        Rows and columns.

    Returns
    -------
    cells : ndarray of int, shape (n,)
    """
    rows, columns = grid
    across = np.clip((coordinates[:, 0] * columns).astype(np.int64), 0, columns - 1)
    down = np.clip((coordinates[:, 1] * rows).astype(np.int64), 0, rows - 1)
    return down * columns + across


def signed_power(values, power):
    """Signed power of the values, in place."""
    if power != 1:
        damped = np.abs(values)
        np.sqrt(damped, out=damped) if power == 0.5 else np.power(damped, values.dtype.type(power), out=damped)
        np.copysign(damped, values, out=values)
    return values


def unit_length(values, norm):
    """Divide the last axis by its norm, in place; zeros stay zeros.

    Parameters
    ----------
    values : ndarray, dtype float32 or float64
    norm : {None, "l1", "l2"}

    Returns
    -------
    values : ndarray
    """
    if norm is None:
        return values
    if norm == "l1":
        lengths = np.abs(values).sum(axis=-1, keepdims=True)
    else:
        lengths = np.sqrt(np.einsum("...i,...i->...", values, values))[..., None]
    values /= np.where(lengths > 0, lengths, 1)
    return values
