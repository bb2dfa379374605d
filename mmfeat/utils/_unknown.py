"""The one warning about texts that an encoder knows nothing of."""

import warnings

_N_NAMED = 5


class UnknownTextWarning(UserWarning):
    """Warns of texts without a known word: their vector is zero, and similar to nothing.

    Attributes
    ----------
    rows : tuple of int
        Positions of these texts.

    Examples
    --------
    >>> from mmfeat.text import UnknownTextWarning
    >>> issubclass(UnknownTextWarning, UserWarning)
    True
    """

    rows: tuple = ()


def warn_unknown(rows, what, *, stacklevel=3):
    """Warn once of all texts that have no known word; do nothing if there are none.

    Parameters
    ----------
    rows : sequence of int
        Positions of the texts.
    what : str
        What becomes of them, as a sentence without its full stop.
    stacklevel : int, default=3
        As of :func:`warnings.warn`; 3 is the caller of the method that warns.
    """
    if len(rows) == 0:
        return
    warning = UnknownTextWarning(f"No known word in {name_rows(rows)}: {what}. Check their spelling and language.")
    warning.rows = tuple(map(int, rows))
    warnings.warn(warning, stacklevel=stacklevel)


def name_rows(rows):
    """Name the first of some rows and their number: ``"text 7"``, ``"texts 1, 3, 4, 6, 9, ... (12 in all)"``."""
    named = ", ".join(str(int(row)) for row in rows[:_N_NAMED])
    if len(rows) == 1:
        return f"text {named}"
    return f"texts {named}" + (f", ... ({len(rows)} in all)" if len(rows) > _N_NAMED else "")
