"""Rows of a pairs table as samples to classify: one picture and one text each, of which either may be missing."""

import os
from collections import Counter
from dataclasses import dataclass

import numpy as np

from mmfeat.utils._pairs import identity, pair_columns
from mmfeat.utils._validation import check_images, check_texts

SEPARATOR = "\n"
_CURE = 'Drop the row, or pass missing="impute" or missing="other".'


@dataclass(frozen=True)
class Column:
    """One side of a table.

    Parameters
    ----------
    cells : list
        Pictures, or lists of the captions of each text. What stands in for a missing one has no meaning.
    present : ndarray of shape (n_rows,), dtype bool
        Whether there is anything in the cell.
    """

    cells: list
    present: np.ndarray

    def some(self, rows):
        """Return the cells of a mask of rows."""
        return [cell for cell, wanted in zip(self.cells, rows, strict=True) if wanted]


def image_column(pairs, image, text, missing):
    """Return the pictures of a pairs table.

    Parameters
    ----------
    pairs : DataFrame of pandas or polars, or object ndarray of shape (n_rows, 2)
        A picture may stand in several rows.
    image, text : str
        Names of the columns of a DataFrame.
    missing : {"error", "impute", "other"}
        With "error" a missing cell is refused; else an empty path or empty bytes are missing too.

    Returns
    -------
    column : Column

    Raises
    ------
    ValueError
        If it is no pairs table, or a cell is no picture; the message names the row.
    """
    cells = pair_columns(pairs, image, text)[0]
    present = np.array([not _is_nothing(cell) for cell in cells])
    if missing == "error":
        _refuse(~present, "image", cells)
    else:
        present = np.array([not _is_empty(cell) for cell in cells])
    return Column(check_images([cell if there else b"" for cell, there in zip(cells, present, strict=True)]), present)


def text_column(pairs, image, text, missing):
    """Return the captions of a pairs table, as a list for each row.

    Parameters
    ----------
    pairs : DataFrame of pandas or polars, or object ndarray of shape (n_rows, 2)
    image, text : str
        Names of the columns of a DataFrame.
    missing : {"error", "impute", "other"}
        With "error" a missing cell or caption is refused and a blank text is a text; else missing captions are left out, and
        a text without any, or of blanks alone, is missing.

    Returns
    -------
    column : Column

    Raises
    ------
    ValueError
        If it is no pairs table, or a cell is no text; the message names the row.
    """
    cells = pair_columns(pairs, image, text)[1]
    captions = [_captions(cell, row) for row, cell in enumerate(cells)]
    if missing == "error":
        gone = np.array([not group or any(_is_nothing(caption) for caption in group) for group in captions])
        _refuse(gone, "text", cells)
        return Column(captions, ~gone)
    captions = [[caption for caption in group if not _is_nothing(caption)] for group in captions]
    return Column(captions, np.array([any(caption.strip() for caption in group) for group in captions]))


def joined(captions):
    """Return one document for each row: its captions, one a line."""
    return [SEPARATOR.join(group) for group in captions]


def shared_pictures(pairs, image, text):
    """Number the pictures of a table, so that rows of the same one have one number.

    Parameters
    ----------
    pairs : DataFrame of pandas or polars, or object ndarray of shape (n_rows, 2)
    image, text : str
        Names of the columns of a DataFrame.

    Returns
    -------
    numbers : ndarray of shape (n_rows,) or None
        None if no picture stands in two rows. Missing pictures are all different.
    """
    cells = pair_columns(pairs, image, text)[0]
    keys = [("row", row) if _is_empty(cell) else identity(cell) for row, cell in enumerate(cells)]
    if Counter(keys).most_common(1)[0][1] == 1:
        return None
    numbers: dict = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])


def _captions(cell, row):
    """Return the captions of a cell, those that are missing as they are."""
    if _is_nothing(cell):
        return []
    group = list(cell) if isinstance(cell, (list, tuple, np.ndarray)) else [cell]
    try:
        check_texts(["", *(caption for caption in group if not _is_nothing(caption))])
    except ValueError:
        raise ValueError(
            f"The text of pair {row} is {cell!r} ({type(cell).__name__}). Expected a str or a list of str. "
            "Drop the row or correct it."
        ) from None
    return group


def _refuse(gone, what, cells):
    if gone.any():
        row = int(np.flatnonzero(gone)[0])
        also = f" {gone.sum()} of {len(gone)} rows are without." if gone.sum() > 1 else ""
        raise ValueError(f"Pair {row} has no {what}: it is {cells[row]!r}.{also} {_CURE}")


def _is_empty(cell):
    return _is_nothing(cell) or (isinstance(cell, (str, bytes)) and len(cell) == 0)


def _is_nothing(cell):
    """Tell None, NaN and what pandas has for them; told by name, so that it is not loaded."""
    if isinstance(cell, (str, bytes, os.PathLike, np.ndarray, list, tuple)):
        return False
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, (float, np.floating)) and bool(np.isnan(cell))
