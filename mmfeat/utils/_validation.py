"""Checks of the values that travel: columns of pictures, of sentences and of bags, matrices in two views."""

import os
from collections.abc import Mapping, Set

import numpy as np

_IMAGE_KINDS = (
    "a path (str or os.PathLike), a PIL image, an array (height, width[, 3 or 4]) or the bytes of an image file"
)


def check_sequence(values, *, what):
    """Return a column as a list, or say why it is not one.

    Parameters
    ----------
    values : sequence
        List, tuple, 1-D array, or a Series of pandas or polars.
    what : str
        Singular name of one item, used in the messages: ``"image"`` or ``"text"``.

    Returns
    -------
    items : list
        Of at least one item.

    Raises
    ------
    ValueError
        If `values` is a single item, not a sequence, has columns, or is empty.
    """
    if values is None or isinstance(values, (str, bytes, os.PathLike)) or _is_pil_image(values):
        raise ValueError(
            f"Expected a sequence of {what}s. Got {_short(values)} instead. Wrap a single {what} in a list."
        )
    if isinstance(values, (Mapping, Set)) or not (hasattr(values, "__iter__") and hasattr(values, "__len__")):
        raise ValueError(
            f"Expected a sequence of {what}s. Got {type(values).__name__} instead. Pass a list, an array or one column."
        )
    if getattr(values, "ndim", 1) != 1 and not (what == "image" and _is_image_stack(values)):
        raise ValueError(
            f"Expected a 1-D sequence of {what}s. Got {type(values).__name__} of shape {tuple(values.shape)} instead. "
            f"Pass one column, or a list of {what}s."
        )
    if len(values) == 0:
        raise ValueError(f"Expected at least one {what}. Got an empty {type(values).__name__}.")
    return list(values)


def check_images(images):
    """Return a column of pictures as a list; nothing is opened.

    Parameters
    ----------
    images : sequence of str, os.PathLike, PIL.Image.Image, ndarray or bytes

    Returns
    -------
    images : list

    Raises
    ------
    ValueError
        If it is not a sequence, is empty, or an item is none of these; the message names the item's position.
    """
    items = check_sequence(images, what="image")
    for row, item in enumerate(items):
        if not (isinstance(item, (str, os.PathLike, bytes, np.ndarray)) or _is_pil_image(item)):
            raise ValueError(f"Image {row} is {_short(item)}. Expected {_IMAGE_KINDS}. Drop the row or correct it.")
    return items


def check_texts(texts):
    """Return a column of sentences as a list of `str`.

    Parameters
    ----------
    texts : sequence of str
        A sentence may be empty.

    Returns
    -------
    texts : list of str

    Raises
    ------
    ValueError
        If it is not a sequence, is empty, or an item is no `str`; the message names the item's position.
    """
    items = check_sequence(texts, what="text")
    for row, item in enumerate(items):
        if not isinstance(item, str):
            raise ValueError(f"Text {row} is {_short(item)}. Expected a str. Drop the row or replace it by ''.")
    return items


def check_bags(bags, *, n_features=None):
    """Return a column of bags of descriptors as a list of arrays; no array is copied.

    Parameters
    ----------
    bags : sequence of ndarray of shape (n_i, d)
        Local descriptors of images or word vectors of texts: real numbers, `n_i` may be 0. An array of three axes is
        a sequence of bags of one size.
    n_features : int or None, default=None
        The width `d` that every bag must have; None takes that of the first bag.

    Returns
    -------
    bags : list of ndarray

    Raises
    ------
    ValueError
        If it is not a sequence, is empty, or an item is no such array, has another width, or holds NaN or infinity;
        the message names the item's position.
    """
    items = list(bags) if isinstance(bags, np.ndarray) and bags.ndim == 3 else bags
    items = check_sequence(items, what="bag")
    for row, bag in enumerate(items):
        if not isinstance(bag, np.ndarray):
            raise ValueError(f"Bag {row} is {_short(bag)}. Expected an array (n_i, d). Drop the row or convert it.")
        if bag.ndim != 2 or bag.shape[1] == 0:
            raise ValueError(
                f"Bag {row} has shape {bag.shape}. Expected (n_i, d), one descriptor a row; (0, d) if there is none."
            )
        if bag.dtype.kind not in "fiub":
            raise ValueError(f"Bag {row} holds {bag.dtype}. Expected real numbers. Convert it with `astype`.")
        n_features = bag.shape[1] if n_features is None else n_features
        if bag.shape[1] != n_features:
            raise ValueError(
                f"Bag {row} has {bag.shape[1]} columns. Expected {n_features}. Describe all items in the same way."
            )
        if bag.dtype.kind == "f" and not np.isfinite(bag).all():
            place = np.argwhere(~np.isfinite(bag))[0]
            raise ValueError(
                f"Bag {row} holds {bag[tuple(place)]} in row {place[0]}, column {place[1]}. Drop that descriptor."
            )
    return items


def _is_pil_image(value):
    # Told by its class names, so that a column of paths or arrays does not load Pillow.
    return any(cls.__module__ == "PIL.Image" and cls.__name__ == "Image" for cls in type(value).__mro__)


def _is_image_stack(values):
    return isinstance(values, np.ndarray) and values.ndim == 4 and values.shape[-1] in (1, 3, 4)


def _short(value, limit=60):
    text = repr(value)
    text = text if len(text) <= limit else text[: limit - 3] + "..."
    return text if value is None else f"{text} ({type(value).__name__})"
