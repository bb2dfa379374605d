"""Rendered scenes: one seed, one set of scenes; pictures show and captions say what was drawn."""

import copy
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw
from sklearn.model_selection import GroupKFold, train_test_split

from mmfeat.datasets import make_scenes
from mmfeat.datasets._scene_layout import place_groups
from mmfeat.datasets._scene_paint import paint_scene
from mmfeat.datasets._scene_shapes import shape_of
from mmfeat.datasets._scene_world import BACKGROUNDS, COLOURS, KINDS, SIZES, TEXTURES, draw_scene
from mmfeat.datasets._scenes import scene_masks

# Roots of the words for some of the attributes, written here anew.
SAYS = {
    "kind": {
        "house": ("house|cottage|hut", "房|屋"),
        "fish": ("fish", "鱼"),
        "key": ("key", "钥匙"),
        "ring": ("ring|hoop", "圆环|圆圈"),
    },
    "colour": {
        "red": ("red|crimson", "(?<!粉)红|鲜红"),
        "green": ("green|emerald", "绿"),
        "yellow": ("yellow|golden", "黄"),
    },
    "texture": {"striped": ("strip", "条纹"), "checked": ("check|chequer", "格")},
    "size": {"small": ("small|little|tiny", "小"), "large": ("large|big|huge", "大")},
    "count": {2: ("two|a pair of", "两"), 3: ("three", "三"), "several": ("several|some (?!bricks)", "几")},
}


@pytest.fixture(scope="module")
def english():
    return make_scenes(60, captions_per_image=3, image_size=48, random_state=5)


@pytest.fixture(scope="module")
def chinese():
    return make_scenes(60, language="zh", captions_per_image=3, image_size=48, random_state=5)


def assert_same_pictures(one, other):
    for left, right in zip(one["image"], other["image"], strict=True):
        np.testing.assert_array_equal(left, right)


def test_table_has_the_promised_form(english):
    assert list(english.columns) == ["image", "text"]
    assert english.index.name == "image_id"
    assert english.index[:3].tolist() == ["0", "1", "2"]
    for image, texts in zip(english["image"], english["text"], strict=True):
        assert image.shape == (48, 48, 3)
        assert image.dtype == np.uint8
        assert len(texts) == 3
        assert all(isinstance(text, str) and text for text in texts)


def test_an_int_seed_repeats_and_another_differs(english):
    again = make_scenes(60, captions_per_image=3, image_size=48, random_state=5)
    assert_same_pictures(english, again)
    assert english["text"].tolist() == again["text"].tolist()
    other = make_scenes(60, captions_per_image=3, image_size=48, random_state=6)
    assert english["text"].tolist() != other["text"].tolist()
    assert not np.array_equal(english["image"].iloc[0], other["image"].iloc[0])


def test_first_scenes_do_not_depend_on_how_much_is_asked_for(english):
    fewer = make_scenes(7, captions_per_image=1, image_size=48, random_state=5)
    assert_same_pictures(english[:7], fewer)
    assert [texts[:1] for texts in english["text"][:7]] == fewer["text"].tolist()
    larger = make_scenes(7, captions_per_image=1, image_size=64, random_state=5)
    assert dict(larger.attrs["scenes"]) == dict(fewer.attrs["scenes"])


def test_random_state_instances_and_none_are_taken():
    one = make_scenes(2, image_size=32, random_state=np.random.RandomState(3))
    assert_same_pictures(one, make_scenes(2, image_size=32, random_state=np.random.RandomState(3)))
    state = np.random.RandomState(3)
    make_scenes(2, image_size=32, random_state=state)
    assert not np.array_equal(one["image"].iloc[0], make_scenes(2, image_size=32, random_state=state)["image"].iloc[0])
    assert len(make_scenes(1, image_size=32)) == 1


def test_both_languages_describe_the_same_pictures(english, chinese):
    assert_same_pictures(english, chinese)
    assert english.attrs["scenes"] == chinese.attrs["scenes"]
    assert english.attrs["mentions"] == chinese.attrs["mentions"]
    assert all(
        re.search("[一-鿿]", text) and not re.search("[A-Za-z]", text) for texts in chinese["text"] for text in texts
    )
    assert all(text.isascii() for texts in english["text"] for text in texts)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_captions_say_what_is_mentioned_and_nothing_else(english, chinese, language):
    pairs = english if language == "en" else chinese
    checked = 0
    for name, texts in pairs["text"].items():
        for text, mention in zip(texts, pairs.attrs["mentions"][name], strict=True):
            for attribute, words in SAYS.items():
                said = {group.get(attribute) for group in mention["groups"]}
                for value, patterns in words.items():
                    # "小" and "大" in other words, and "ring" in "surrounding", would be found without being said.
                    found = re.search(rf"\b({patterns[0]})" if language == "en" else patterns[1], text, re.IGNORECASE)
                    assert bool(found) == (value in said), (text, mention, attribute, value)
                    checked += value in said
    assert checked > 100


def test_english_agrees_in_number_and_article():
    pairs = make_scenes(300, image_size=32, random_state=1)
    for text in (text for texts in pairs["text"] for text in texts):
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text, re.IGNORECASE), text
        assert not re.search(
            r"\b(?:an?|one) (?!pair\b|picture\b)(?:\w+ ){0,4}?(?:cats|houses|stars|keys|trees)\b", text, re.IGNORECASE
        ), text
        assert not re.search(
            r"\b(?:two|three|several|some) (?:\w+ ){0,3}?(?:cat|house|star|key|tree)\b(?! faces)", text, re.IGNORECASE
        ), text
        assert not re.search(r"\bis (two|three|several|some)\b|\bare (a|an|one)\b", text, re.IGNORECASE), text
        assert text[0].isupper()
        assert text.endswith(".")
        assert "  " not in text


def test_chinese_counts_with_the_measure_word_of_the_noun(chinese):
    text = "".join(
        text for texts in make_scenes(200, language="zh", image_size=32, random_state=1)["text"] for text in texts
    )
    for noun, measures in {"鱼": "条", "钥匙": "把", "房子": "座", "汽车": "辆", "王冠": "顶", "火箭": "枚"}.items():
        counted = re.findall(f"(?:一|两|三|几)(.)[^一两三几，。]{{0,14}}?{noun}", text)
        assert counted, noun
        assert set(counted) == set(measures), noun


def test_every_value_of_every_attribute_occurs():
    scenes = [draw_scene(np.random.default_rng(seed)) for seed in range(1500)]
    groups = [group for scene in scenes for group in scene["groups"]]
    assert len(KINDS) >= 12
    assert len(COLOURS) >= 8
    for attribute, values in {
        "kind": KINDS,
        "colour": COLOURS,
        "texture": TEXTURES,
        "size": SIZES,
        "count": (1, 2, 3),
    }.items():
        assert {group[attribute] for group in groups} == set(values)
    assert {scene["background"] for scene in scenes} == set(BACKGROUNDS)
    assert {scene["relation"] for scene in scenes} == {None, "left", "right", "above", "below", "inside"}
    pairs = {(group["kind"], group["colour"]) for group in groups}
    assert len(pairs) == len(KINDS) * len(COLOURS)


@pytest.mark.parametrize("relation", ["left", "right", "above", "below", "inside"])
def test_pixels_show_the_relation(relation):
    kinds = ("heart", "ring") if relation == "inside" else ("heart", "star")
    groups = [
        {"kind": kind, "colour": colour, "texture": "plain", "size": "large", "count": 1}
        for kind, colour in zip(kinds, ("red", "blue"), strict=True)
    ]
    scene = {"groups": groups, "relation": relation, "background": "night", "occluded": False}
    offsets, spreads = [], []
    for seed in range(9):
        image = paint_scene(scene, 96, np.random.default_rng(seed)).astype(int)
        red = np.argwhere((image[..., 0] > 130) & (image[..., 1:].max(axis=2) < 90))
        blue = np.argwhere((image[..., 2] > 130) & (image[..., 0] < 90))
        offsets.append(np.median(red, axis=0) - np.median(blue, axis=0))
        spreads.append((np.ptp(red, axis=0).max(), np.ptp(blue, axis=0).max()))
    down, right = np.median(offsets, axis=0)
    if relation == "inside":
        assert np.hypot(down, right) < 12
        assert np.median([blue - red for red, blue in spreads]) > 20
    else:
        along, across = (right, down) if relation in ("left", "right") else (down, right)
        assert (along < -30) if relation in ("left", "above") else (along > 30)
        assert abs(across) < 25


def test_as_many_things_as_counted_stand_apart_in_the_picture():
    for seed in range(300):
        scene = draw_scene(np.random.default_rng(seed))
        places = place_groups(scene, np.random.default_rng(seed))
        assert [len(spots) for spots in places] == [group["count"] for group in scene["groups"]]
        for spots in places:
            centres, side = np.array(spots)[:, :2], spots[0][2]
            assert (centres > 0).all()
            assert (centres < 1).all()
            gaps = [np.hypot(*(one - other)) for i, one in enumerate(centres) for other in centres[:i]]
            assert all(gap > 0.75 * side for gap in gaps)


def test_silhouettes_differ():
    masks = {}
    for kind in KINDS:
        mask = Image.new("1", (100, 100))
        for role, points in shape_of(kind):
            assert np.abs(points).max() < 1.15, kind
            ImageDraw.Draw(mask).polygon(((points + 1.2) * 41).ravel().tolist(), fill=role != "hole")
        masks[kind] = np.asarray(mask)
    for kind, mask in masks.items():
        assert mask.mean() > 0.1
        for other in KINDS[: KINDS.index(kind)]:
            assert (mask & masks[other]).sum() / (mask | masks[other]).sum() < 0.85, (kind, other)


def test_textures_change_the_picture_and_occlusion_covers_part():
    group = {"kind": "balloon", "colour": "blue", "size": "large", "count": 1}
    base = {"relation": None, "background": "sand", "occluded": False}

    def render(texture, occluded=False):
        scene = {**base, "groups": [{**group, "texture": texture}], "occluded": occluded}
        return paint_scene(scene, 96, np.random.default_rng(4)).astype(int)

    pictures = [render(texture) for texture in TEXTURES]
    for i, one in enumerate(pictures):
        for other in pictures[:i]:
            assert (np.abs(one - other).max(axis=2) > 60).mean() > 0.05
    changed = (np.abs(render("plain", occluded=True) - pictures[0]).max(axis=2) > 60).mean()
    assert 0.01 < changed < 0.4


def test_metadata_ride_along_at_no_cost(english):
    for part in (english[:5], english.copy(), english.sample(9, random_state=0), copy.deepcopy(english)):
        assert part.attrs["scenes"] is english.attrs["scenes"]
    assert copy.copy(english.attrs["scenes"]) is english.attrs["scenes"]
    joined = pd.concat([english[:5], english[5:]])
    assert joined.attrs["mentions"] is english.attrs["mentions"]
    assert joined.index.tolist() == english.index.tolist()
    sent = pickle.loads(pickle.dumps(english))
    assert sent.attrs["scenes"] == english.attrs["scenes"]
    assert pd.concat([english[:5], sent[5:]]).attrs["scenes"] == english.attrs["scenes"]
    with pytest.raises(TypeError):
        english.attrs["scenes"]["0"] = {}
    assert english.attrs["scenes"] != make_scenes(1, image_size=32, random_state=0).attrs["scenes"]
    assert repr(english.attrs["scenes"]) == "<FrozenMapping of 60 items>"


def test_rows_can_be_split_by_scikit_learn(english):
    train, test = train_test_split(english, test_size=20, random_state=0)
    assert len(train) == 40
    assert test.attrs["scenes"] is english.attrs["scenes"]
    folds = GroupKFold(3).split(english, groups=np.arange(60) // 2)
    assert sorted(row for _, rows in folds for row in english.iloc[rows].index.astype(int)) == list(range(60))


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_samples": 0},
        {"n_samples": 1.5},
        {"language": "fr"},
        {"captions_per_image": 0},
        {"image_size": 8},
        {"random_state": "x"},
    ],
)
def test_bad_parameters_are_named(parameters):
    with pytest.raises(ValueError, match=f"'{next(iter(parameters))}' parameter of make_scenes"):
        make_scenes(**{"n_samples": 1, **parameters})


def test_masks_are_where_another_colour_changes_the_picture():
    pairs = make_scenes(12, image_size=64, captions_per_image=1, random_state=9)
    seed = np.random.RandomState(9).randint(2**31 - 1)
    for row, masks in zip([4, 7, 11], scene_masks(pairs.iloc[[4, 7, 11]], 9), strict=True):
        scene = pairs.attrs["scenes"][str(row)]
        assert masks.shape == (len(scene["groups"]), 64, 64)
        plain = paint_scene(scene, 64, np.random.default_rng((seed, row, 1)))
        np.testing.assert_array_equal(plain, pairs["image"].iloc[row])
        for number, mask in enumerate(masks):
            other = copy.deepcopy(scene)
            other["groups"][number]["colour"] = "red" if scene["groups"][number]["colour"] != "red" else "blue"
            painted = paint_scene(other, 64, np.random.default_rng((seed, row, 1)))
            changed = np.abs(painted.astype(int) - plain).max(axis=2) > 20
            assert changed.sum() > 0.3 * mask.sum()
            assert changed[mask].sum() > 0.95 * changed.sum()
