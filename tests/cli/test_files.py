"""Files that are written whole or not at all."""

import pytest

from mmfeat.cli._files import refuse_existing, whole_file


def test_the_name_appears_only_when_the_file_is_whole(tmp_path):
    path = tmp_path / "table.csv"
    with whole_file(path, force=False) as file:
        file.write("a,b\n")
        assert not path.exists()
    assert path.read_bytes() == b"a,b\n"


def test_an_error_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), whole_file(path, force=True) as file:
        file.write("new")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def test_a_file_made_meanwhile_is_kept(tmp_path):
    path = tmp_path / "table.csv"
    with pytest.raises(FileExistsError, match="made by another program"), whole_file(path, force=False) as file:
        path.write_text("theirs")
        file.write("ours")
    assert path.read_text() == "theirs"


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    with whole_file(tmp_path / "whole", force=False) as file:
        file.write("")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_folders_and_missing_folders_are_told(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        refuse_existing(tmp_path, force=True)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        refuse_existing(tmp_path / "no" / "table.csv", force=False)
