"""The pairs table: one row per image, its caption or captions beside it."""

import os
from dataclasses import dataclass

import numpy as np

from mmfeat.utils._validation import check_images, check_texts

_GROUP = "Use mmfeat.datasets.group_captions to put all captions of an image into one row."


@dataclass(frozen=True)
class Pairs:
    """A pairs table taken apart.

    Parameters
    ----------
    images : list
        One item per row of the table.
    texts : list of str
        All captions of all rows, in order.
    groups : ndarray of shape (len(texts),), dtype int64
        Row of the table, and so position in `images`, that each caption belongs to.
    """

    images: list
    texts: list
    groups: np.ndarray


def split_pairs(pairs, image="image", text="text"):
    """Take a pairs table apart, refusing what would leak or be misread.

    Parameters
    ----------
    pairs : DataFrame of pandas or polars, or object ndarray of shape (n_images, 2)
        An array holds the image in its first column and the text in its second.
    image, text : str
        Names of the columns of a DataFrame.

    Returns
    -------
    parts : Pairs

    Raises
    ------
    ValueError
        If it is no such table (or a lazy one), a column is missing or stands there twice, it is empty, a cell is
        neither image nor text, or an image stands in two rows, be its path spelled in two ways.
    """
    images, cells = pair_columns(pairs, image, text)
    images = check_images(images)
    _refuse_duplicates(images)
    captions = [_captions(cell, row) for row, cell in enumerate(cells)]
    groups = np.repeat(np.arange(len(captions)), [len(group) for group in captions])
    return Pairs(images, [caption for group in captions for caption in group], groups)


def pair_columns(pairs, image="image", text="text"):
    """Return the two columns of a pairs table as they are, whatever the cells hold.

    Parameters
    ----------
    pairs : DataFrame of pandas or polars, or object ndarray of shape (n_rows, 2)
    image, text : str
        Names of the columns of a DataFrame.

    Returns
    -------
    images, texts : list

    Raises
    ------
    ValueError
        If it is no such table (or a lazy one), a column is missing or stands there twice, or it is empty.
    """
    if type(pairs).__name__ == "LazyFrame":
        raise ValueError("Expected pairs in memory. Got a polars LazyFrame instead. Call its .collect() first.")
    if isinstance(pairs, np.ndarray):
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(f"An array of pairs must have shape (n_images, 2). Got {pairs.shape} instead.")
        columns = [list(pairs[:, 0]), list(pairs[:, 1])]
    elif hasattr(pairs, "columns") and hasattr(pairs, "__getitem__"):
        missing = [name for name in (image, text) if name not in list(pairs.columns)]
        if missing:
            raise ValueError(
                f"The pairs have no column {missing[0]!r}. Found {list(pairs.columns)}. "
                "Rename the column, or name it in the `image` and `text` parameters."
            )
        for name in (image, text):
            count = list(pairs.columns).count(name)
            if count > 1:
                raise ValueError(
                    f"The pairs have {count} columns named {name!r}. Found {list(pairs.columns)}. Rename all but one."
                )
        columns = [pairs[name].to_list() for name in (image, text)]
    else:
        raise ValueError(
            f"Expected pairs as a DataFrame of pandas or polars, or an object array of shape (n_images, 2). "
            f"Got {type(pairs).__name__} instead. Two separate views in a list would be split between training and "
            "test by cross-validation: put them side by side in one table."
        )
    if not columns[0]:
        raise ValueError("Expected at least one pair. Got an empty table.")
    return columns


def _captions(cell, row):
    if isinstance(cell, str):
        return [cell]
    if not isinstance(cell, (list, tuple, np.ndarray)):
        raise ValueError(
            f"The text of pair {row} is {cell!r} ({type(cell).__name__}). Expected a str or a list of str. "
            "Drop the row or replace it by ''."
        )
    try:
        return check_texts(cell)
    except ValueError as error:
        raise ValueError(f"The captions of pair {row} cannot be used: {error}") from error


def _refuse_duplicates(images):
    seen: dict = {}
    for row, item in enumerate(images):
        key = identity(item)
        if key in seen:
            spellings = dict.fromkeys(os.fspath(images[i]) for i in (seen[key], row)) if isinstance(key, str) else ()
            name = f" ({' and '.join(map(repr, spellings))})" if spellings else ""
            raise ValueError(
                f"Pairs {seen[key]} and {row} hold the same image{name}: one row per image is expected, "
                f"or sibling captions leak between folds. {_GROUP}"
            )
        seen[key] = row


def identity(item):
    """Say what makes an item the same: the place of a file, bytes, or the object; equal pixels are not looked for.

    Parameters
    ----------
    item : str, os.PathLike, bytes, PIL.Image.Image or ndarray

    Returns
    -------
    key : str, bytes or int
    """
    if isinstance(item, (str, os.PathLike)):
        return os.path.abspath(item)
    return item if isinstance(item, bytes) else id(item)
