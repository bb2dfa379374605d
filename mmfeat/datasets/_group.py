"""One row per caption becomes one row per image."""

import os
from collections.abc import Hashable

import numpy as np


def group_captions(table, image="image", text="text"):
    """Gather the captions of each image into one row.

    One row per caption leaks captions of the same image across the folds of a cross-validation and puts copies of each
    image into the gallery; everything in mmfeat that takes pairs wants one row per image.

    Parameters
    ----------
    table : pandas.DataFrame or polars.DataFrame
        One row per caption, or already lists of captions for some images.
    image : str, default="image"
        Column of images: paths are the same image if they lead to the same place (``a.jpg`` and ``./a.jpg``), other
        hashable values if they are equal, arrays if their pixels are.
    text : str, default="text"
        Column of captions: str or list of str.

    Returns
    -------
    pairs : DataFrame of the same kind as `table`
        One row per image in the order they first occur; `text` holds lists of str in the order of the rows. Other
        columns, and the index of a pandas table, keep the value of the first row of the image.

    Raises
    ------
    TypeError
        If `table` is neither a pandas nor a polars DataFrame.
    ValueError
        If a column is missing or stands there twice (the message lists those found), a caption is no str (NaN, None, a
        number), an image is missing or of a type that cannot be compared; the message names the row.

    Examples
    --------
    >>> import pandas as pd
    >>> from mmfeat.datasets import group_captions
    >>> table = pd.DataFrame({"image": ["a.jpg", "b.jpg", "a.jpg"], "text": ["a cat", "a dog", "some cat"]})
    >>> group_captions(table)["text"].tolist()
    [['a cat', 'some cat'], ['a dog']]
    """
    if type(table).__name__ == "LazyFrame":
        raise TypeError("`table` must be in memory. Got a polars LazyFrame instead. Call its .collect() first.")
    if not hasattr(table, "columns") or not (hasattr(table, "iloc") or hasattr(table, "with_columns")):
        raise TypeError(f"`table` must be a pandas or polars DataFrame. Got {type(table).__name__} instead.")
    for name in (image, text):
        if list(table.columns).count(name) > 1:
            raise ValueError(
                f"The table has several columns {name!r}. Found: {', '.join(map(repr, table.columns))}. "
                "Rename all but one."
            )
        if name not in list(table.columns):
            raise ValueError(
                f"The table has no column {name!r}. Found: {', '.join(map(repr, table.columns))}. Name the right one."
            )
    first: dict[Hashable, int] = {}
    gathered: dict[Hashable, list[str]] = {}
    for row, (picture, captions) in enumerate(zip(_cells(table[image]), _cells(table[text]), strict=True)):
        key = _identity(picture, row)
        first.setdefault(key, row)
        gathered.setdefault(key, []).extend(_captions(captions, row))
    return _take(table, list(first.values()), text, list(gathered.values()))


def _cells(column):
    return column.to_list() if hasattr(column, "to_list") else list(column)


def _identity(picture, row):
    if picture is None or type(picture).__name__ == "NAType" or (isinstance(picture, float) and np.isnan(picture)):
        raise ValueError(f"Row {row} has no image ({picture!r}). Drop the row.")
    if isinstance(picture, np.ndarray):
        return picture.shape, picture.dtype.str, picture.tobytes()
    if isinstance(picture, (str, os.PathLike)):
        return os.path.abspath(picture)
    try:
        hash(picture)
    except TypeError as error:
        raise ValueError(
            f"The image of row {row} is a {type(picture).__name__}, which cannot be told from others. "
            "Use paths or arrays."
        ) from error
    return picture


def _captions(cell, row):
    captions = list(cell) if isinstance(cell, (list, tuple, np.ndarray)) else [cell]
    for caption in captions:
        if not isinstance(caption, str):
            raise ValueError(
                f"The caption of row {row} is {caption!r} ({type(caption).__name__}). Expected a str. Drop the row."
            )
    return captions


def _take(table, rows, text, gathered):
    if not hasattr(table, "iloc"):
        series = type(table.get_column(text))
        return table[rows].with_columns(series(text, gathered))
    lists = np.empty(len(gathered), dtype=object)
    lists[:] = gathered
    return table.iloc[rows].assign(**{text: lists})
