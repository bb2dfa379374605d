"""Pairs tables: three kinds are read alike, and what would leak is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from mmfeat.utils._pairs import split_pairs


@pytest.fixture
def rows():
    return {"image": ["a.png", "b.png", "c.png"], "text": [["one", "two"], ["three"], ["four", "five", "six"]]}


def test_pandas_polars_and_arrays_are_read_alike(rows):
    array = np.empty((3, 2), dtype=object)
    array[:, 0], array[:, 1] = rows["image"], rows["text"]
    for pairs in (pd.DataFrame(rows), pl.DataFrame(rows), array):
        parts = split_pairs(pairs)
        assert parts.images == ["a.png", "b.png", "c.png"]
        assert parts.texts == ["one", "two", "three", "four", "five", "six"]
        assert parts.groups.tolist() == [0, 0, 1, 2, 2, 2]


def test_a_cell_may_hold_one_string_and_columns_any_name():
    parts = split_pairs(pd.DataFrame({"photo": [Path("a"), Path("b")], "title": ["x", ""]}), "photo", "title")
    assert parts.texts == ["x", ""]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([np.ones((3, 2)), np.ones((3, 2))], "put them side by side in one table"),
        ((["a"], ["b"]), "put them side by side"),
        ({"image": ["a"], "text": ["b"]}, "Got dict"),
        (np.empty((3, 3), dtype=object), r"\(n_images, 2\)"),
        (pd.DataFrame({"image": ["a"], "caption": ["b"]}), r"no column 'text'. Found \['image', 'caption'\]"),
        (pd.DataFrame({"image": [], "text": []}), "empty table"),
        (pd.DataFrame({"image": ["a", None], "text": ["b", "c"]}, dtype=object), "Image 1 is None"),
        (pd.DataFrame({"image": ["a", "b"], "text": ["b", np.nan]}, dtype=object), "text of pair 1 is nan"),
        (
            pd.DataFrame({"image": ["a", "b"], "text": [["b"], ["c", 3]]}),
            "captions of pair 1 cannot be used: Text 1 is 3",
        ),
        (pd.DataFrame({"image": ["a", "b"], "text": [["b"], []]}), "captions of pair 1 .* at least one"),
        (pd.DataFrame({"image": ["a", "b", "a"], "text": ["b", "c", "d"]}), "Pairs 0 and 2 .*'a'.*group_captions"),
    ],
)
def test_what_is_no_pairs_table_is_refused(pairs, message):
    with pytest.raises(ValueError, match=message):
        split_pairs(pairs)


@pytest.mark.parametrize("other", ["./imgs/0.png", "imgs//0.png", Path("imgs/0.png"), Path("imgs/0.png").absolute()])
def test_one_file_under_two_spellings_is_refused(other):
    with pytest.raises(ValueError, match=r"Pairs 0 and 2 hold the same image \('imgs/0.png'.*group_captions"):
        split_pairs(pd.DataFrame({"image": ["imgs/0.png", "imgs/1.png", other], "text": ["a", "b", "c"]}))


def test_columns_of_one_name_and_lazy_tables_are_refused_with_the_cure(rows):
    doubled = pd.DataFrame([["a", "b", "c"]], columns=["image", "image", "text"])
    with pytest.raises(ValueError, match=r"2 columns named 'image'.*Rename all but one"):
        split_pairs(doubled)
    with pytest.raises(ValueError, match=r"LazyFrame.*\.collect\(\)"):
        split_pairs(pl.LazyFrame(rows))


def test_the_same_array_twice_is_refused_but_equal_arrays_are_not():
    picture = np.zeros((2, 2), np.uint8)
    assert len(split_pairs(pd.DataFrame({"image": [picture, picture.copy()], "text": ["a", "b"]})).images) == 2
    with pytest.raises(ValueError, match="Pairs 0 and 1 hold the same image"):
        split_pairs(pd.DataFrame({"image": [picture, picture], "text": ["a", "b"]}))
