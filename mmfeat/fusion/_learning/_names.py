"""Checks of parameters that the trained fusions share."""

import difflib

import numpy as np


def check_name(parameter, value, known):
    """Refuse a name that is none of the known ones, with those that it is near.

    Raises
    ------
    ValueError
        If it is unknown.
    """
    if value in known:
        return
    near = difflib.get_close_matches(value, known, n=3, cutoff=0.5)
    hint = (
        f"Did you mean {' or '.join(map(repr, near))}?" if near else f"Known are {', '.join(map(repr, sorted(known)))}."
    )
    raise ValueError(f"`{parameter}` is {value!r}, which is unknown. {hint}")


def check_hidden(hidden):
    """Refuse widths of layers that are no counts.

    Raises
    ------
    ValueError
        If one is no integer of at least 1.
    """
    if not all(isinstance(width, (int, np.integer)) and width >= 1 for width in hidden):
        raise ValueError(f"`hidden` must hold integers of at least 1. Got {hidden!r} instead.")
