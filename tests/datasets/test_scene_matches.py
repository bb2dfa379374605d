"""What can be won on rendered scenes: by reading every attribute, by colours alone, and by statistics of pixels."""

import numpy as np
import pytest
from skimage.feature import hog
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import cosine_similarity

from mmfeat.datasets import make_scenes, scene_matches

N_TRAIN, N_TEST = 700, 150
SCENE = {
    "groups": [
        {"kind": "star", "colour": "red", "texture": "plain", "size": "small", "count": 2},
        {"kind": "house", "colour": "blue", "texture": "dotted", "size": "large", "count": 1},
    ],
    "relation": "left",
    "background": "sky",
    "occluded": False,
}
STAR, HOUSE = {"kind": "star"}, {"kind": "house"}


@pytest.fixture(scope="module")
def pairs():
    return make_scenes(N_TRAIN + N_TEST, captions_per_image=3, image_size=64, random_state=0)


def ceiling(pairs, keep=lambda mention: mention):
    """Share of test captions whose k best pictures hold the right one, k = 1, 5; ties count against."""
    ids = pairs.index[N_TRAIN:]
    scenes = [pairs.attrs["scenes"][name] for name in ids]
    fitting = [
        sum(scene_matches(scene, keep(mention)) for scene in scenes)
        for name in ids
        for mention in pairs.attrs["mentions"][name]
    ]
    return np.array([np.mean(np.array(fitting) <= k) for k in (1, 5)])


def reached(pairs, features):
    """The same share for linear regression with a ridge from features of pictures to TF-IDF of captions."""
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2)
    targets = words.fit_transform(pairs["text"][:N_TRAIN].map(" ".join)).toarray()
    features = (features - features[:N_TRAIN].mean(axis=0)) / np.sqrt(features[:N_TRAIN].var(axis=0).sum())
    model = KernelRidge(alpha=0.3).fit(features[:N_TRAIN], targets - targets.mean(axis=0))
    captions = [text for texts in pairs["text"][N_TRAIN:] for text in texts]
    scores = cosine_similarity(words.transform(captions), model.predict(features[N_TRAIN:]))
    own = scores[np.arange(len(scores)), np.arange(len(scores)) // 3]
    ranks = (scores >= own[:, None]).sum(axis=1)
    return np.array([np.mean(ranks <= k) for k in (1, 5)])


def colour_histograms(images, cells):
    """Histograms of 64 colours in a grid of cells."""
    rows = []
    for image in images:
        codes = (image // 64).astype(int) @ [16, 4, 1]
        blocks = codes.reshape(cells, 64 // cells, cells, 64 // cells).swapaxes(1, 2).reshape(cells**2, -1)
        rows.append(np.sqrt(np.concatenate([np.bincount(block, minlength=64) for block in blocks])))
    return np.array(rows)


def test_every_mention_is_true_of_its_scene(pairs):
    for name, mentions in pairs.attrs["mentions"].items():
        assert all(scene_matches(pairs.attrs["scenes"][name], mention) for mention in mentions)


def test_reading_everything_beats_reading_colours_and_pixel_statistics(pairs):
    full = ceiling(pairs)
    colours = ceiling(
        pairs,
        lambda mention: {
            "groups": [
                {name: value for name, value in group.items() if name == "colour"} for group in mention["groups"]
            ]
        },
    )
    histogram = reached(pairs, colour_histograms(pairs["image"], 1))
    assert full[0] > 0.85
    assert full[1] > 0.95
    assert (colours < 0.5 * full).all()
    assert (histogram < 0.5 * full).all()


def test_shape_and_place_are_learnable_far_above_chance(pairs):
    chance = np.array([1, 5]) / N_TEST
    gray = [image.mean(axis=2) for image in pairs["image"]]
    gradients = np.array([hog(image, 9, (8, 8), (2, 2)) for image in gray])
    grid = colour_histograms(pairs["image"], 4)
    assert (reached(pairs, gradients) > 3 * chance).all()
    assert (reached(pairs, np.hstack([gradients / gradients.std(), grid / grid.std()])) > 8 * chance).all()


@pytest.mark.parametrize(
    ("mention", "expected"),
    [
        ({"groups": [STAR]}, True),
        ({"groups": [{}]}, True),
        ({"groups": [{"kind": "star", "colour": "blue"}]}, False),
        ({"groups": [STAR, HOUSE], "relation": "left"}, True),
        ({"groups": [HOUSE, STAR], "relation": "right"}, True),
        ({"groups": [HOUSE, STAR], "relation": "left"}, False),
        ({"groups": [STAR, HOUSE], "relation": "above"}, False),
        ({"groups": [{}, HOUSE], "relation": "left"}, True),
        ({"groups": [{}, {}], "relation": "right"}, True),
        ({"groups": [STAR, STAR]}, False),
        ({"groups": [STAR, HOUSE, {}]}, False),
        ({"groups": [{"count": "several"}]}, True),
        ({"groups": [{"kind": "house", "count": "several"}]}, False),
        ({"groups": [STAR], "background": "sky"}, True),
        ({"groups": [STAR], "background": "night"}, False),
        ({"groups": [STAR], "occluded": True}, False),
    ],
)
def test_matching_by_hand(mention, expected):
    assert scene_matches(SCENE, mention) is expected


def test_inside_is_the_inverse_of_around():
    scene = {**SCENE, "relation": "inside"}
    assert scene_matches(scene, {"groups": [HOUSE, STAR], "relation": "around"})
    assert not scene_matches(scene, {"groups": [STAR, HOUSE], "relation": "around"})
    alone = {**SCENE, "groups": SCENE["groups"][:1], "relation": None}
    assert not scene_matches(alone, {"groups": [STAR, {}], "relation": "left"})
