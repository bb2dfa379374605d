"""Duplicates of images and texts against comparisons of everything with everything."""

import io
import itertools
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from PIL import Image

from mmfeat.image import ImageDecodeError
from mmfeat.retrieval import find_duplicates
from mmfeat.retrieval._duplicate_images import near_hashes, signatures
from mmfeat.retrieval._duplicate_texts import near_texts, plain


def picture(seed, size=(90, 120)):
    """A soft picture with structure of all sizes."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    return np.asarray(small.resize(size[::-1], Image.Resampling.BICUBIC))


def encoded(pixels, form, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


def table(images, texts=None):
    column = np.empty(len(images), dtype=object)
    column[:] = images
    return pd.DataFrame({"image": column, "text": texts or [f"number {row}" for row in range(len(images))]})


def listed(found, *columns):
    return [tuple(row) for row in found[list(columns)].itertuples(index=False)]


# Images


def test_the_same_pixels_are_found_in_any_file_and_changed_ones_are_near(tmp_path):
    base = picture(0)
    (tmp_path / "a.png").write_bytes(encoded(base, "PNG"))
    brighter = np.clip(base.astype(int) + 12, 0, 255).astype(np.uint8)
    half = np.asarray(Image.fromarray(base).resize((60, 45), Image.Resampling.BILINEAR))
    images = [
        tmp_path / "a.png",
        picture(1),
        encoded(base, "BMP"),
        encoded(base, "JPEG", quality=60),
        brighter,
        half,
        base[:, ::-1].copy(),
        Image.fromarray(picture(1)),
    ]
    found = find_duplicates(table(images), views=["image"])
    kinds = {(row, other): kind for kind, row, other in listed(found, "kind", "row", "other_row")}
    assert kinds[0, 2] == kinds[1, 7] == "exact"
    # Each of the changed ones is near to the first, or to one that is.
    near = {frozenset(pair) for pair, kind in kinds.items() if kind == "near"}
    reached = {0}
    for _ in range(4):
        reached |= {item for pair in near if pair & reached for item in pair}
    assert reached == {0, 3, 4, 5}
    assert set(found["caption"]) == set(found["other_caption"]) == {-1}
    assert (found["similarity"] >= 1 - 10 / 128).all()


def test_no_radius_finds_equal_pixels_only():
    images = [picture(0), encoded(picture(0), "JPEG"), encoded(picture(0), "PNG")]
    found = find_duplicates(table(images), views=["image"], max_bits=None)
    assert listed(found, "kind", "row", "other_row") == [("exact", 0, 2)]


def test_pictures_of_one_tone_are_near_to_nothing():
    tones = [np.full((20, 30), level, dtype=np.uint8) for level in (0, 7, 255, 7)]
    found = find_duplicates(table(tones), views=["image"])
    assert listed(found, "kind", "row", "other_row") == [("exact", 1, 3)]


def test_pictures_that_are_flat_without_exception_are_near_to_nothing():
    images = []
    for width in range(6):
        pixels = np.full((27, 27), 100, dtype=np.uint8)
        pixels[:, -3 * (width + 1) :] += 3
        images.append(pixels)
    assert len(np.unique(signatures([images], None)[1], axis=0)) > 1
    assert find_duplicates(table(images), views=["image"]).empty
    assert find_duplicates(table(images[:3]), table(images[3:]), views=["image"]).empty


def test_a_near_pair_is_held_once_whatever_the_number_of_bands_it_shares():
    rng = np.random.default_rng(0)
    bits = np.zeros((120, 128), dtype=np.uint8)
    bits[np.arange(120)[:, None], rng.integers(0, 128, (120, 4))] = 1
    hashes = np.unique(np.packbits(bits, axis=1), axis=0)
    tracemalloc.start()
    first, _, _ = near_hashes(hashes, 40, lambda a, b: np.ones(len(a), dtype=bool))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(first) == len(hashes) * (len(hashes) - 1) / 2
    # Of 41 bands most pairs share more than 30.
    assert peak < 15 * 24 * len(first)


def test_hashes_are_those_of_the_definition():
    gray = np.arange(81).reshape(9, 9) % 7 * 30
    _, hashes, textured = signatures([[gray.astype(np.uint8)]], None)
    right = [gray[i, j + 1] > gray[i, j] for i in range(8) for j in range(8)]
    below = [gray[i + 1, j] > gray[i, j] for i in range(8) for j in range(8)]
    assert np.unpackbits(hashes[0]).tolist() == [*map(int, right), *map(int, below)]
    assert textured[0]


@pytest.mark.parametrize("radius", [0, 3, 10, 40])
def test_near_hashes_are_those_of_all_pairs(radius):
    rng = np.random.default_rng(radius)
    centres = rng.integers(0, 2, (6, 128))
    flips = rng.random((60, 128)) < rng.random((60, 1)) * 0.15
    hashes = np.unique(np.packbits(centres[rng.integers(0, 6, 60)] ^ flips, axis=1), axis=0)
    bits = np.unpackbits(hashes, axis=1).astype(int)
    expected = {
        (i, j): np.abs(bits[i] - bits[j]).sum()
        for i, j in itertools.combinations(range(len(hashes)), 2)
        if np.abs(bits[i] - bits[j]).sum() <= radius
    }
    first, second, similarities = near_hashes(hashes, radius, lambda a, b: np.ones(len(a), dtype=bool))
    found = {(i, j): round(128 * (1 - s)) for i, j, s in zip(first, second, similarities, strict=True)}
    assert found == expected
    assert radius == 0 or len(expected) >= 10


def test_an_unreadable_image_is_named():
    with pytest.raises(ImageDecodeError, match="could not decode image 1"):
        find_duplicates(table([picture(0), b"no image"]), views=["image"])
    with pytest.raises(ImageDecodeError, match="could not decode image 2"):
        find_duplicates(table([picture(0)]), table([picture(1), picture(2), b""]), views=["image"], n_jobs=2)
    tables = [table([picture(0), b"none"]), table([picture(1), picture(2)])]
    for name, (one, two) in (("pairs", tables), ("other", tables[::-1])):
        with pytest.raises(ImageDecodeError, match=rf"could not decode image 1 of `{name}`"):
            find_duplicates(one, two)


# Texts


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("A dog runs.", "a dog  runs"),
        ("Ｃａｆé", "café"),
        ("T-shirt", "t shirt"),
        ("红色 的车。", "红色 的车"),
        ("STRASSE", "straße"),
        ("snake_case", "snake case"),
        ("co\u00adoperate \ufeff", "cooperate"),
        ("می\u200cخواهم", "میخواهم"),
        ("I \u2764\ufe0f dogs", "i \u2764 dogs"),
        ("J\u030c", "\u01f0"),
        ("किताब।", "किताब"),
    ],
)
def test_case_punctuation_spaces_and_width_are_of_no_matter(one, two):
    assert plain(one) == plain(two) != ""


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("मैं किताब", "मैं कताब"),
        ("กิน", "กัน"),
        ("great 😀", "great 😢"),
        ("great 😀", "great"),
        ("மலை", "மல"),
        ("x²", "x"),
        ("a b", "ab"),
    ],
)
def test_vowel_signs_and_emoji_are_of_matter(one, two):
    assert plain(one) != plain(two)
    assert find_duplicates(table([picture(0), picture(1)], [one, two]), views=["text"], min_jaccard=None).empty


def test_captions_of_one_template_are_listed_pair_by_pair():
    texts = [
        f"the number {row:02d} stands in this rather long sentence about nothing in particular" for row in range(20)
    ]
    assert len(find_duplicates(table([text.encode() for text in texts], texts), views=["text"])) == 190


WORDS = ["ab", "ac", "dog", "dogs", "running", "runs", "on", "the", "grass", "grassy", "红色", "的车"]
words = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(words, max_size=12, unique=True), st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_near_texts_are_those_of_all_pairs(texts, threshold):
    runs = [{text[i : i + 4] for i in range(len(text) - 3)} for text in texts]
    expected = {
        (i, j): len(runs[i] & runs[j]) / len(runs[i] | runs[j])
        for i, j in itertools.combinations(range(len(texts)), 2)
        if runs[i] and runs[j] and len(runs[i] & runs[j]) / len(runs[i] | runs[j]) >= threshold - 1e-9
    }
    first, second, similarities = near_texts(texts, threshold, lambda a, b: np.ones(len(a), dtype=bool))
    found = dict(zip(zip(first.astype(int), second.astype(int), strict=True), similarities, strict=True))
    assert found.keys() == expected.keys()
    assert_allclose([found[key] for key in expected], list(expected.values()), rtol=1e-6)


def test_blocks_of_texts_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    vocabulary = ["dog", "runs", "grass", "woman", "street", "water", "ball", "red", "jumping"]
    texts = sorted({" ".join(rng.choice(vocabulary, 7)) for _ in range(300)})
    everything = lambda a, b: np.ones(len(a), dtype=bool)  # noqa: E731
    expected = near_texts(texts, 0.6, everything)
    monkeypatch.setattr("mmfeat.retrieval._duplicate_texts._BLOCK", 500)
    found = near_texts(texts, 0.6, everything)
    order, again = np.lexsort(expected[1::-1]), np.lexsort(found[1::-1])
    assert expected.shape[1] > 50
    assert_allclose(found[:, again], expected[:, order])


def test_texts_of_one_table_stand_beside_the_first_and_captions_of_a_row_are_left_alone():
    texts = [
        ["A dog runs over the grass.", "a dog runs over the grass"],
        "a cat",
        ["", "A dog runs over the grass"],
        "a dog runs over the grass !",
        "a dog runs over the grey grass",
        ["", "..."],
    ]
    found = find_duplicates(table([picture(i) for i in range(6)], texts), views=("text",), min_jaccard=0.7)
    assert listed(found, "kind", "row", "caption", "other_row", "other_caption") == [
        ("exact", 0, 0, 2, 1),
        ("exact", 0, 0, 3, 0),
        ("near", 0, 0, 4, 0),
    ]
    runs = [{text[i : i + 4] for i in range(len(text) - 3)} for text in map(plain, (texts[3], texts[4]))]
    assert found["similarity"].iloc[2] == pytest.approx(len(runs[0] & runs[1]) / len(runs[0] | runs[1]))


# Two tables


def test_between_tables_every_row_with_a_duplicate_is_listed():
    soft = encoded(picture(0), "JPEG", quality=70)
    train = table([picture(0), picture(1), encoded(picture(0), "PNG"), picture(5)])
    test = table([picture(3), picture(1), soft, picture(0), picture(7)])
    found = find_duplicates(train, test, views=["image"])
    assert {(0, 3), (2, 3), (1, 1)} <= set(listed(found[found["kind"] == "exact"], "row", "other_row"))
    near = listed(found[found["kind"] == "near"], "row", "other_row")
    assert {row for row, _ in near} == {0, 2} and {other for _, other in near} == {2}
    assert set(found["row"]) == {0, 1, 2} and set(found["other_row"]) == {1, 2, 3}


def test_splits_of_texts_are_compared_with_each_other_only():
    train = table([picture(i) for i in range(3)], ["a dog runs on grass", "a dog runs on grass", "a red car parks"])
    test = table([picture(i) for i in range(3, 6)], ["a red car parks!", "a red car parks.", "a dog runs on grass 2"])
    found = find_duplicates(train, test, views=["text"])
    assert listed(found, "kind", "row", "other_row") == [
        ("near", 0, 2),
        ("near", 1, 2),
        ("exact", 2, 0),
        ("exact", 2, 1),
    ]
    assert find_duplicates(train, test.iloc[2:], views=["text"], min_jaccard=None).empty


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_groups_of_equal_and_near_items_are_complete(seed, two):
    # What is listed joins the same items as all pairs do; between tables, every row with a counterpart is listed.
    rng = np.random.default_rng(seed)
    vocabulary = ["dog", "runs", "grass", "woman", "street"]
    texts = [" ".join(rng.choice(vocabulary, 4)) + rng.choice(["", "!", "."]) for _ in range(40)]
    frame = table([np.full((2, 2), 0, dtype=np.uint8) for _ in texts], texts)
    runs = [{text[i : i + 4] for i in range(len(text) - 3)} for text in map(plain, texts)]
    near = {
        (i, j)
        for i, j in itertools.combinations(range(40), 2)
        if len(runs[i] & runs[j]) >= 0.6 * len(runs[i] | runs[j])
    }
    if two:
        found = find_duplicates(frame[:25], frame[25:], views=["text"], min_jaccard=0.6)
        across = {(i, j - 25) for i, j in near if i < 25 <= j}
        links = set(listed(found, "row", "other_row"))
        assert links <= across
        assert {row for row, _ in links} == {row for row, _ in across}
        assert {other for _, other in links} == {other for _, other in across}
        return
    links = set(listed(find_duplicates(frame, views=["text"], min_jaccard=0.6), "row", "other_row"))
    assert links <= near
    assert components(links, 40) == components(near, 40)


def components(links, n):
    label = list(range(n))
    for _ in range(n):
        for i, j in links:
            label[i] = label[j] = min(label[i], label[j])
    return label


def test_nothing_found_is_an_empty_table_and_wrong_views_are_refused():
    frame = table([picture(0), picture(1)])
    found = find_duplicates(frame, min_jaccard=1.0)
    assert found.empty and list(found.columns)[:2] == ["view", "kind"]
    with pytest.raises(ValueError, match=r"`views` must hold 'image' and 'text' or one of them. Got \['picture'\]"):
        find_duplicates(frame, views=["picture"])
    with pytest.raises(ValueError, match="'views' parameter"):
        find_duplicates(frame, views="image")
    with pytest.raises(ValueError, match="'max_bits' parameter"):
        find_duplicates(frame, max_bits=65)
