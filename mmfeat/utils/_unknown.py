"""The one warning about texts that an encoder knows nothing of."""

import sys
import warnings

import numpy as np
from scipy import sparse

_N_NAMED = 5
# What sentencepiece puts before each word; alone it is white space.
BLANK = "\u2581"


class UnknownTextWarning(UserWarning):
    """Warns of texts without a known word: their vector is zero, and similar to nothing.

    Attributes
    ----------
    rows : tuple of int
        Positions of these texts.

    Examples
    --------
    >>> import warnings
    >>> from mmfeat.text import UnknownTextWarning, tfidf_lsa
    >>> encoder = tfidf_lsa(None, min_df=1).fit(["a red ball", "a red cube"])
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always", UnknownTextWarning)
    ...     features = encoder.transform(["red", "zebra"])
    >>> told[0].message.rows
    (1,)
    """

    rows: tuple = ()


def warn_unknown(rows, what):
    """Warn once of all texts that have no known word; do nothing if there are none.

    Parameters
    ----------
    rows : sequence of int
        Positions of the texts.
    what : str
        What becomes of them, as a sentence without its full stop.
    """
    if len(rows) == 0:
        return
    warning = UnknownTextWarning(f"No known word in {name_rows(rows)}: {what}. Check their spelling and language.")
    warning.rows = tuple(map(int, rows))
    warnings.warn(warning, stacklevel=_level_of_caller())


def _level_of_caller():
    """The `stacklevel` of the line outside this package and scikit-learn that led to the function that warns."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("mmfeat", "sklearn"):
        frame, level = frame.f_back, level + 1
    return level


def zero_rows(features):
    """Find the rows of zeros of a matrix, dense or sparse, or the bags of no vectors in a list of bags.

    Parameters
    ----------
    features : ndarray or sparse matrix of shape (n, d), or list of ndarray of shape (n_i, d)

    Returns
    -------
    rows : ndarray of int
    """
    if isinstance(features, list):
        return np.flatnonzero([len(bag) == 0 for bag in features])
    if sparse.issparse(features):
        return np.flatnonzero(np.asarray((features != 0).sum(axis=1)) == 0)
    features = np.asarray(features)
    return np.flatnonzero(~features.reshape(len(features), -1).any(axis=1))


def wordless_tokens(tokenizer):
    """Find the tokens that stand for no word: of start, end and padding, white space, and "unknown".

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase

    Returns
    -------
    numbers : set of int
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    unknown = getattr(getattr(backend, "model", None), "unk_token", None)
    vocabulary = tokenizer.get_vocab()
    return {*tokenizer.all_special_ids, vocabulary.get(unknown), vocabulary.get(BLANK)} - {None}


def name_rows(rows):
    """Name the first of some rows and their number: ``"text 7"``, ``"texts 1, 3, 4, 6, 9, ... (12 in all)"``."""
    named = ", ".join(str(int(row)) for row in rows[:_N_NAMED])
    if len(rows) == 1:
        return f"text {named}"
    return f"texts {named}" + (f", ... ({len(rows)} in all)" if len(rows) > _N_NAMED else "")
