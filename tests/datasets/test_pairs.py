"""Pairs, galleries and queries from a CSV and a folder; every kind of bad row named."""

from pathlib import Path

import pytest
from PIL import Image

from mmfeat.datasets import load_images, load_pairs, load_texts, resolve_images


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    for name in ("007.jpg", "cat.PNG", "sub/dog.webp", "v1.2.jpeg", "two.jpg", "two.png", "plain"):
        (root / name).touch()
    (tmp_path / "secret.jpg").touch()
    return root


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "pairs.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_pairs_meet_their_files(folder, table):
    pairs = load_pairs(table("caption,image_id\na bond,007\n a cat ,cat.PNG\na dog, sub/dog\nv,v1.2\n"), folder)
    assert list(pairs.columns) == ["image", "text"]
    assert pairs.index.name == "image_id"
    assert pairs.index.tolist() == ["007", "cat.PNG", "sub/dog", "v1.2"]
    assert pairs["text"].tolist() == ["a bond", " a cat ", "a dog", "v"]
    assert pairs["image"].tolist() == [
        str((folder / name).resolve()) for name in ("007.jpg", "cat.PNG", "sub/dog.webp", "v1.2.jpeg")
    ]


def test_relative_root_and_other_columns(folder, table, monkeypatch):
    monkeypatch.chdir(folder.parent)
    pairs = load_pairs(table("pic,words\n007,x\n"), "images", image="pic", text="words")
    assert pairs["image"].tolist() == [str((folder / "007.jpg").resolve())]
    assert list(pairs.columns) == ["image", "text"]


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "JPG"])
def test_extension_may_be_left_out(tmp_path, suffix):
    (tmp_path / f"a.{suffix}").touch()
    (tmp_path / "a.txt").touch()
    assert resolve_images(["a", f"a.{suffix}"], tmp_path) == [str((tmp_path / f"a.{suffix}").resolve())] * 2


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "../secret.jpg",
        "sub/../../secret",
        "..",
        ".",
        "/etc/hostname",
        "C:\\x.jpg",
        "\\\\host\\x.jpg",
        "\\x.jpg",
    ],
)
def test_ids_do_not_leave_the_folder(folder, name):
    with pytest.raises(ValueError, match=r"lead out of the image folder .*row 1: "):
        resolve_images(["007", name], folder)


def test_links_do_not_leave_the_folder(folder):
    (folder / "link.jpg").symlink_to(folder.parent / "secret.jpg")
    (folder / "up").symlink_to(folder.parent)
    (folder / "inner.jpg").symlink_to(folder / "007.jpg")
    for name in ("link", "link.jpg", "up/secret"):
        with pytest.raises(ValueError, match="lead out"):
            resolve_images([name], folder)
    assert resolve_images(["inner"], folder) == resolve_images(["007"], folder)
    (folder.parent / "alias").symlink_to(folder)
    assert resolve_images(["007"], folder.parent / "alias") == resolve_images(["007"], folder)


def test_ids_without_a_file_are_counted(folder):
    with pytest.raises(ValueError, match=r"row 1: 'x0', row 2: 'x1', .*row 5: 'x4', \.\.\. \(8 in all\)"):
        resolve_images(["007", *(f"x{i}" for i in range(8))], folder)
    for name in ("", "  ", "sub", "nowhere/007", "7", "a\0b"):
        with pytest.raises(ValueError, match="have no file"):
            resolve_images([name], folder)


def test_ambiguous_ids_ask_for_the_extension(folder):
    with pytest.raises(ValueError, match=r"fit several files .*'two'.*extension"):
        resolve_images(["two"], folder)
    assert resolve_images(["two.png", "plain"], folder) == [
        str((folder / name).resolve()) for name in ("two.png", "plain")
    ]


def test_ids_are_a_sequence_of_text(folder):
    for ids in ("007", [7], []):
        with pytest.raises(ValueError, match=r"[Tt]ext"):
            resolve_images(ids, folder)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(NotADirectoryError, match="nowhere"):
        resolve_images(["a"], tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,caption\n007,a\n", "no column 'image_id'. Found: 'image', 'caption'"),
        ("image_id,words\n007,a\n", "no column 'caption'. Found: 'image_id', 'words'"),
        ("image_id,caption\n", "no rows"),
        ("image_id,caption\n007,a\ncat,\nsub/dog,NaN\n", "blank or NaN cells in column 'caption': row 1, row 2"),
        ("image_id,caption\n007,a\ncat,b\n007.jpg,c\n", "more than once.*rows 0 and 2.*group=True"),
    ],
)
def test_bad_tables_are_refused_with_the_cure(folder, table, text, message):
    with pytest.raises(ValueError, match=message):
        load_pairs(table(text), folder)


def test_group_gathers_the_captions_of_a_file(folder, table):
    pairs = load_pairs(table("image_id,caption\n007,a\ncat,b\n007.jpg,c\n"), folder, group=True)
    assert pairs["text"].tolist() == [["a", "c"], ["b"]]
    assert pairs.index.tolist() == ["007", "cat"]
    assert pairs.index.name == "image_id"


def test_gallery_and_queries(folder, table):
    images = load_images(table("image_id\n007\ncat\n"), folder)
    assert images.index.tolist() == ["007", "cat"]
    assert [Path(path).name for path in images["image"]] == ["007.jpg", "cat.PNG"]
    with pytest.raises(ValueError, match="same image more than once"):
        load_images(table("image_id\n007\n007.jpg\n"), folder)
    with pytest.raises(ValueError, match="no column 'image_id'"):
        load_images(table("picture\n007\n"), folder)
    texts = load_texts(table("text_id,caption\nWord-01,a\n02,b\n"))
    assert texts["text"].to_dict() == {"Word-01": "a", "02": "b"}
    for text, message in (
        ("1,a\n1,b\n", "same text id"),
        (",a\n", "column 'text_id': row 0"),
        ("1,\n", "column 'caption': row 0"),
    ):
        with pytest.raises(ValueError, match=message):
            load_texts(table("text_id,caption\n" + text))


def test_encoding_reaches_the_table(folder, tmp_path):
    path = tmp_path / "big5.csv"
    path.write_bytes("image_id,caption\n007,紅色的貓\n".encode("big5"))
    assert load_pairs(path, folder, encoding="big5")["text"].tolist() == ["紅色的貓"]


def test_the_sample_is_whole():
    root = Path(__file__).resolve().parents[2] / "data" / "sample"
    pictures = root / "ImageData"
    pairs = load_pairs(root / "ImageWordData.csv", pictures)
    gallery, queries = load_images(root / "image_data.csv", pictures), load_images(root / "image_test.csv", pictures)
    words, texts = load_texts(root / "word_test.csv"), load_texts(root / "word_data.csv")
    truth = load_pairs(root / "truth.csv", pictures, text="text_id")
    assert (len(pairs), len(gallery), len(queries), len(words), len(texts), len(truth)) == (550, 100, 50, 50, 100, 100)
    assert {*pairs.index, *gallery.index, *queries.index} == {path.name for path in pictures.iterdir()}
    assert not {*gallery.index, *queries.index} & set(pairs.index)
    answers = dict(zip(truth["text"], truth.index, strict=True))
    assert {answers[name] for name in words.index} <= set(gallery.index)
    assert {image for name, image in answers.items() if name in texts.index} == set(queries.index)
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) < 3_000_000
    assert all("\u4e00" <= text[0] <= "\u9fff" for text in (*pairs["text"], *words["text"], *texts["text"]))
    with Image.open(pairs["image"].iloc[0]) as image:
        assert image.format == "JPEG"
        assert image.size == (80, 80)
