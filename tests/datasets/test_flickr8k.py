"""Flickr8k in both layouts, and what is said of a damaged copy."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfeat.datasets import load_flickr8k
from mmfeat.datasets._flickr8k import _read_captions

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "flickr8k"
IDS = {"train": ["30_c", "1_a"], "val": ["2_b"], "test": ["4_d"]}


@pytest.fixture(params=["short", "published"])
def root(request, tmp_path):
    short = request.param == "short"
    images = tmp_path / ("images" if short else "Flicker8k_Dataset")
    images.mkdir()
    texts = tmp_path / ("" if short else "Flickr8k_text")
    texts.mkdir(exist_ok=True)
    named = {"train": "Flickr_8k.trainImages.txt", "val": "Flickr_8k.devImages.txt", "test": "Flickr_8k.testImages.txt"}
    lines = []
    for split, ids in IDS.items():
        name, ending = (f"{split}.txt", "") if short else (named[split], ".jpg")
        (texts / name).write_text("".join(f"{name}{ending}\n" for name in ids), encoding="utf-8")
    for name in ["1_a", "2_b", "30_c", "4_d", "9_z"]:
        (images / f"{name}.jpg").touch()
        lines += [
            f"{name}.jpg#enc#{n} Caption {n} of {name} ." if short else f"{name}.jpg#{n}\tCaption {n} of {name} ."
            for n in (1, 0)
        ]
    lines.append("7_q.jpg.1#enc#0 Never published ." if short else "7_q.jpg.1#0\tNever published .")
    captions(tmp_path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def captions(root):
    return root / ("captions.en.txt" if (root / "images").is_dir() else "Flickr8k_text/Flickr8k.token.txt")


def split_file(root):
    return root / ("train.txt" if (root / "images").is_dir() else "Flickr8k_text/Flickr_8k.trainImages.txt")


def test_rows_follow_the_split_file_and_captions_their_numbers(root):
    pairs = load_flickr8k(root)
    assert list(pairs.columns) == ["image", "text"]
    assert pairs.index.name == "image_id"
    assert pairs.index.tolist() == ["30_c", "1_a"]
    assert pairs["text"].tolist() == [[f"Caption {n} of {name} ." for n in (0, 1)] for name in ("30_c", "1_a")]
    assert all(Path(path).is_file() for path in pairs["image"])
    assert load_flickr8k(str(root), "test").index.tolist() == ["4_d"]


def test_all_adds_what_is_in_no_split(root):
    assert load_flickr8k(root, "all").index.tolist() == ["30_c", "1_a", "2_b", "4_d", "9_z"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("no caption here", "Line 2 of .*no caption here.*Expected"),
        ("1_a.jpg#0", "Line 2 "),
        ("1_a.jpg#0\t  ", "Line 2 "),
        ("1_a.jpg#x\ta cat", "Line 2 "),
        ("9_z.jpg#1\ttwice", "Line 2 .*repeats caption 1 of '9_z.jpg'"),
    ],
)
def test_malformed_lines_are_numbered(root, bad, message):
    captions(root).write_text(f"9_z.jpg#1\tfine\n{bad}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_flickr8k(root)


def test_missing_things_are_named(root, tmp_path):
    for image in root.glob("*/30_c.jpg"):
        image.unlink()
    with pytest.raises(FileNotFoundError, match=r"have no \.jpg file in .*'30_c'"):
        load_flickr8k(root)
    split_file(root).write_text("1_a\n77_x\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"have no captions in .*'77_x'"):
        load_flickr8k(root)
    split_file(root).write_text("\n", encoding="utf-8")
    with pytest.raises(ValueError, match="is empty"):
        load_flickr8k(root)
    split_file(root).unlink()
    with pytest.raises(FileNotFoundError, match=r"train\.txt, Flickr_8k\.trainImages\.txt"):
        load_flickr8k(root)
    with pytest.raises(FileNotFoundError, match=r"captions\.zh\.txt"):
        load_flickr8k(root, language="zh")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="None of the folders"):
        load_flickr8k(tmp_path / "empty")


def test_captioned_image_without_a_file_is_refused_in_all(root):
    next(root.glob("*/9_z.jpg")).unlink()
    assert len(load_flickr8k(root, "train")) == 2
    with pytest.raises(FileNotFoundError, match="'9_z'"):
        load_flickr8k(root, "all")


def test_undecodable_captions_name_the_byte(root):
    captions(root).write_bytes(b"1_a.jpg#0\tcaf\xe9\n")
    with pytest.raises(ValueError, match="byte 13"):
        load_flickr8k(root)


@pytest.mark.parametrize("split", ["train", "val", "all"])
def test_human_translations_are_of_the_test_split(root, split):
    with pytest.raises(ValueError, match="test' only"):
        load_flickr8k(root, split, "zh_human")


@pytest.mark.parametrize(("argument", "value"), [("split", "dev"), ("language", "fr")])
def test_unknown_options_are_refused(root, argument, value):
    with pytest.raises(ValueError, match=argument):
        load_flickr8k(root, **{argument: value})


CAPTION = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(str.strip).filter(bool)


@given(
    st.dictionaries(
        st.from_regex(r"[0-9]{1,9}_[0-9a-f]{1,9}", fullmatch=True),
        st.lists(CAPTION, min_size=1, max_size=4),
        min_size=1,
    ),
    st.sampled_from(
        ["{name}.jpg#{number}\t{caption}", "{name}.jpg#zhc#{number} {caption}", "{name}.jpg#enc#{number}\t{caption}"]
    ),
    st.sampled_from(["\n", "\r\n"]),
)
def test_lines_written_are_lines_read(tmp_path_factory, collection, form, newline):
    path = tmp_path_factory.mktemp("lines") / "captions.txt"
    lines = [
        form.format(name=name, number=number, caption=caption)
        for name, texts in collection.items()
        for number, caption in enumerate(texts)
    ]
    path.write_bytes(newline.join(lines).encode("utf-8"))
    assert _read_captions(path) == {name: dict(enumerate(texts)) for name, texts in collection.items()}


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason="Flickr8k is not beside the checkout")
def test_the_real_collection():
    sizes = {split: len(load_flickr8k(SHARED, split, "zh")) for split in ("train", "val", "test", "all")}
    assert sizes == {"train": 6000, "val": 1000, "test": 1000, "all": 8091}
    for language in ("en", "zh_machine", "zh_human"):
        pairs = load_flickr8k(SHARED, "test", language)
        assert pairs.index.tolist() == (SHARED / "test.txt").read_text().split()
        assert pairs["text"].map(len).eq(5).all()
        assert all(Path(path).stem == name for name, path in pairs["image"].items())
        assert all(text.isascii() == (language == "en") for texts in pairs["text"] for text in texts)
