"""The one warning about texts that an encoder knows nothing of."""

import warnings

import pytest

from mmfeat.text import UnknownTextWarning
from mmfeat.utils._unknown import warn_unknown


def test_names_first_rows_and_count():
    with pytest.warns(UnknownTextWarning, match=r"texts 2, 3, 4, 5, 6, \.\.\. \(7 in all\): they are zeros\.") as told:
        warn_unknown(range(2, 9), "they are zeros")
    assert len(told) == 1
    assert told[0].message.rows == tuple(range(2, 9))


def test_names_a_single_row():
    with pytest.warns(UnknownTextWarning, match=r"in text 2: it is zero\."):
        warn_unknown([2], "it is zero")


def test_says_nothing_of_no_rows():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_unknown([], "they are zeros")
