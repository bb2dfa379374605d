"""Columns of pictures and sentences: the kinds that are read, and the message for those that are not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmfeat.utils._optional import import_optional
from mmfeat.utils._validation import check_bags, check_images, check_texts


def test_every_kind_of_picture_is_let_through():
    kinds = ["a.png", Path("b.png"), b"bytes", np.zeros((2, 2)), Image.new("RGB", (2, 2))]
    assert check_images(kinds) == kinds
    assert len(check_images(np.zeros((4, 5, 6, 3)))) == 4


@pytest.mark.parametrize("one", ["a.png", b"bytes", Path("a.png"), None, Image.new("L", (2, 2))])
def test_a_single_picture_is_refused(one):
    with pytest.raises(ValueError, match="Wrap a single image in a list"):
        check_images(one)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((5, 6, 3)), r"shape \(5, 6, 3\)"),
        (np.zeros((5, 6)), r"shape \(5, 6\)"),
        ({"a", "b"}, "Got set"),
        (iter(["a"]), "Got list_iterator"),
        (3, "Got int"),
        (pd.DataFrame({"a": ["x"]}), r"DataFrame of shape \(1, 1\)"),
        ([], "Got an empty list"),
        (["a", float("nan")], "Image 1 is nan"),
        (["a", 7], "Image 1 is 7"),
        ([print], "Image 0 is <built-in function print>"),
    ],
)
def test_other_values_are_refused_as_pictures(value, message):
    with pytest.raises(ValueError, match=message):
        check_images(value)


@pytest.mark.parametrize("bad", [None, float("nan"), 3, b"bytes", ["nested"]])
def test_other_values_are_refused_as_texts(bad):
    with pytest.raises(ValueError, match="Text 1 is"):
        check_texts(["fine", bad])


def test_texts_may_be_empty_and_of_any_sequence():
    assert check_texts(pd.Series(["a", ""])) == check_texts(("a", "")) == check_texts(np.array(["a", ""])) == ["a", ""]


def test_a_missing_package_names_its_extra():
    with pytest.raises(ImportError, match=r"pip install 'mmfeat\[towers\]'"):
        import_optional("no_such_package_here.sub", extra="towers", purpose="TwoTower")


def test_bags_come_through_as_they_are():
    bags = [np.zeros((3, 2), np.float32), np.empty((0, 2)), np.ones((1, 2), np.int8)]
    assert all(one is other for one, other in zip(check_bags(tuple(bags)), bags, strict=True))
    assert len(check_bags(np.zeros((4, 3, 2)), n_features=2)) == 4


@pytest.mark.parametrize(
    ("bags", "message"),
    [
        (np.zeros((3, 2)), "1-D sequence of bags"),
        (None, "sequence of bags"),
        ([], "at least one bag"),
        ([np.zeros((3, 2)), None], "Bag 1 is None"),
        ([np.zeros((3, 2)), np.zeros((0,))], r"Bag 1 has shape \(0,\).*\(0, d\)"),
        ([np.zeros((3, 0))], r"Bag 0 has shape \(3, 0\)"),
        ([np.zeros((3, 2)), np.zeros((3, 4))], "Bag 1 has 4 columns. Expected 2"),
        ([np.zeros((3, 2)), np.zeros((3, 2), complex)], "Bag 1 holds complex128"),
        ([np.array([[0, 1], [np.inf, 0]])], "Bag 0 holds inf in row 1, column 0"),
    ],
)
def test_bags_that_are_none_are_refused(bags, message):
    with pytest.raises(ValueError, match=message):
        check_bags(bags)
