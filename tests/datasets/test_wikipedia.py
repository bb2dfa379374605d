"""The Wikipedia features, from a small copy of the layout and from the real files."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from mmfeat.datasets import load_wikipedia

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "wikipedia"


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    savemat(
        tmp_path / "raw_features.mat",
        {
            f"{view}_{part}": rng.random((n, d))
            for view, d in (("I", 6), ("T", 3))
            for part, n in (("tr", 3), ("te", 2))
        },
    )
    (tmp_path / "train.list").write_text("t1\ti1\t2\nt2\ti2\t1\nt3\ti3\t2\n", encoding="utf-8")
    (tmp_path / "test.list").write_text("t4\ti4\t1\nt5\ti5\t2\n", encoding="utf-8")
    (tmp_path / "categories.txt").write_text("art\nbiology\n", encoding="utf-8")
    return tmp_path


def test_rows_of_lists_and_matrices_go_together(root):
    train, test = load_wikipedia(root), load_wikipedia(str(root), split="test")
    raw = loadmat(root / "raw_features.mat")
    np.testing.assert_array_equal(train.images, raw["I_tr"].astype(np.float32))
    np.testing.assert_array_equal(test.texts, raw["T_te"].astype(np.float32))
    assert train.images.dtype == train.texts.dtype == np.float32
    assert train.labels.tolist() == [2, 1, 2]
    assert train.target_names == ["art", "biology"]
    assert (test.text_ids, test.image_ids) == (["t4", "t5"], ["i4", "i5"])


def test_published_names_of_files_are_known(root):
    (root / "train.list").rename(root / "trainset_txt_img_cat.list")
    (root / "categories.txt").rename(root / "categories.list")
    assert load_wikipedia(root).labels.tolist() == [2, 1, 2]


@pytest.mark.parametrize("name", ["raw_features.mat", "train.list", "categories.txt"])
def test_missing_files_are_named(root, name):
    (root / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load_wikipedia(root)


@pytest.mark.parametrize("line", ["t2 i2 1", "t2\ti2\t3", "t2\ti2\t0", "t2\ti2\tx", "t2\ti2"])
def test_malformed_lines_are_numbered(root, line):
    (root / "train.list").write_text(f"t1\ti1\t2\n{line}\nt3\ti3\t2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"Line 2 of .*1 to 2"):
        load_wikipedia(root)


def test_damaged_features_are_refused(root):
    (root / "train.list").write_text("t1\ti1\t2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"I_tr .* has shape \(3, 6\)\. Expected 1 finite rows"):
        load_wikipedia(root)
    (root / "train.list").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="is empty"):
        load_wikipedia(root)
    savemat(root / "raw_features.mat", {"I_te": np.zeros((2, 6))})
    with pytest.raises(ValueError, match=r"no matrix T_te\. Found: I_te"):
        load_wikipedia(root, split="test")
    (root / "raw_features.mat").write_bytes(b"not matlab at all" * 20)
    with pytest.raises(ValueError, match="no readable MATLAB file"):
        load_wikipedia(root, split="test")


def test_unknown_split_is_refused(root):
    with pytest.raises(ValueError, match="'split' parameter"):
        load_wikipedia(root, split="val")


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason="the Wikipedia features are not beside the checkout")
def test_the_real_collection():
    for split, n in (("train", 2173), ("test", 693)):
        data = load_wikipedia(SHARED, split)
        assert data.images.shape == (n, 128)
        assert data.texts.shape == (n, 10)
        assert len(data.image_ids) == len(data.text_ids) == n
        assert sorted(set(data.labels)) == list(range(1, 11))
        np.testing.assert_allclose(data.texts.sum(axis=1), 1, atol=1e-3)
    assert data.target_names[0] == "art"
    assert data.target_names[-1] == "warfare"
