"""One row per caption to one row per image, on pandas and polars alike."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfeat.datasets import group_captions

ROWS = {
    "image": ["b.jpg", "a.jpg", "b.jpg", "c.jpg", "a.jpg"],
    "text": ["1", "2", "3", "4", "5"],
    "tag": [10, 20, 30, 40, 50],
}


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_captions_are_gathered_in_first_seen_order(kind):
    pairs = group_captions(kind(ROWS))
    assert isinstance(pairs, kind)
    assert list(pairs.columns) == ["image", "text", "tag"]
    assert [list(texts) for texts in pairs["text"]] == [["1", "3"], ["2", "5"], ["4"]]
    assert list(pairs["image"]) == ["b.jpg", "a.jpg", "c.jpg"]
    assert list(pairs["tag"]) == [10, 20, 40]


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_lists_are_merged_and_grouping_twice_changes_nothing(kind):
    table = kind({"picture": ["x", "y", "x"], "words": [["a", "b"], ["c"], ["d"]]})
    once = group_captions(table, image="picture", text="words")
    twice = group_captions(once, image="picture", text="words")
    assert (
        [list(texts) for texts in twice["words"]]
        == [list(texts) for texts in once["words"]]
        == [["a", "b", "d"], ["c"]]
    )


def test_index_and_input_are_kept():
    table = pd.DataFrame(ROWS, index=pd.Index(list("vwxyz"), name="row"))
    before = table.copy()
    assert group_captions(table).index.tolist() == ["v", "w", "y"]
    pd.testing.assert_frame_equal(table, before)


def test_equal_pixels_are_the_same_image():
    one, other = np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8)
    images = np.empty(3, dtype=object)
    images[:] = [one, other, one.copy()]
    assert group_captions(pd.DataFrame({"image": images, "text": ["a", "b", "c"]}))["text"].tolist() == [
        ["a", "c"],
        ["b"],
    ]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.text(max_size=5)), min_size=1, max_size=30))
def test_agrees_with_a_written_out_loop(rows):
    in_order = [image for i, (image, _) in enumerate(rows) if image not in {earlier for earlier, _ in rows[:i]}]
    expected = [(image, [text for other, text in rows if other == image]) for image in in_order]
    pairs = group_captions(pd.DataFrame(rows, columns=["image", "text"]))
    assert list(zip(pairs["image"], pairs["text"], strict=True)) == expected


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (pd.DataFrame({"image": ["a", "b"], "text": ["x", np.nan]}), ValueError, "row 1 is nan"),
        (pl.DataFrame({"image": ["a", "b"], "text": ["x", None]}), ValueError, "row 1 is None"),
        (pd.DataFrame({"image": ["a"], "text": [["x", 3]]}), ValueError, r"row 0 is 3 \(int\)"),
        (pd.DataFrame({"image": ["a", None], "text": ["x", "y"]}), ValueError, "Row 1 has no image"),
        (pl.DataFrame({"image": [None, "a"], "text": ["x", "y"]}), ValueError, "Row 0 has no image"),
        (pd.DataFrame({"image": [pd.NA], "text": ["x"]}), ValueError, "Row 0 has no image"),
        (pd.DataFrame({"image": [{}], "text": ["x"]}), ValueError, "image of row 0 is a dict"),
        (pd.DataFrame({"image": ["a"], "words": ["x"]}), ValueError, "no column 'text'. Found: 'image', 'words'"),
        ([["a", "x"]], TypeError, "Got list instead"),
    ],
)
def test_bad_tables_are_refused(table, error, message):
    with pytest.raises(error, match=message):
        group_captions(table)


def test_one_file_under_two_spellings_is_one_image():
    table = pd.DataFrame({"image": ["imgs/0.png", "imgs/1.png", "./imgs/0.png"], "text": ["a", "b", "c"]})
    pairs = group_captions(table)
    assert pairs["image"].tolist() == ["imgs/0.png", "imgs/1.png"]
    assert pairs["text"].tolist() == [["a", "c"], ["b"]]


def test_columns_of_one_name_and_lazy_tables_are_refused_with_the_cure():
    with pytest.raises(ValueError, match=r"several columns 'image'.*Rename all but one"):
        group_captions(pd.DataFrame([["a", "b", "c"]], columns=["image", "image", "text"]))
    with pytest.raises(TypeError, match=r"LazyFrame.*\.collect\(\)"):
        group_captions(pl.LazyFrame(ROWS))
