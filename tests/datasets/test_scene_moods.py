"""Labels on rendered pairs: scenes and captions as without, ceilings by counting, and what can be learned from each side."""

import hashlib
import re
from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mmfeat.datasets import make_scenes
from mmfeat.datasets._scene_moods import draw_moods, label_ceilings
from mmfeat.image import ColorMoments
from mmfeat.multimodal import LateFusionClassifier, PairFeatures
from mmfeat.text import tfidf_lsa


@pytest.fixture(scope="module")
def posts():
    return make_scenes(500, image_size=32, captions_per_image=1, task="sentiment", random_state=0)


def test_without_a_task_nothing_has_changed():
    pairs = make_scenes(12, image_size=48, captions_per_image=2, random_state=3)
    chinese = make_scenes(12, image_size=48, captions_per_image=2, random_state=3, language="zh")
    # Digests of what the first version gave; those of pixels would hang on the version of Pillow.
    digests = [hashlib.sha256(repr(table["text"].tolist()).encode()).hexdigest()[:16] for table in (pairs, chinese)]
    assert digests == ["65ac25370c45b1c3", "6113e808f2983116"]
    scenes = [pairs.attrs["scenes"][name] for name in pairs.index]
    assert hashlib.sha256(repr(scenes).encode()).hexdigest()[:16] == "66c21d30855c96f9"
    assert list(pairs.columns) == ["image", "text"]
    assert set(pairs.attrs) == {"scenes", "mentions"}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("task", ["sentiment", "irony"])
def test_scenes_stay_and_captions_go_on(task, language):
    plain = make_scenes(20, image_size=32, captions_per_image=2, language=language, random_state=1)
    posts = make_scenes(20, image_size=32, captions_per_image=2, language=language, random_state=1, task=task)
    for name in ("scenes", "mentions"):
        assert posts.attrs[name] == plain.attrs[name]
    for one, other, before, after in zip(plain["image"], posts["image"], plain["text"], posts["text"], strict=True):
        assert other.shape == one.shape and other.dtype == np.uint8
        # The light covers the same share of each pixel.
        assert all(np.corrcoef(one[..., c].ravel(), other[..., c].ravel())[0, 1] > 0.99 for c in range(3))
        assert all(long.startswith(short) and len(long) > len(short) for short, long in zip(before, after, strict=True))
    assert posts["label"].tolist() == [posts.attrs["moods"][name]["label"] for name in posts.index]
    fewer = make_scenes(5, image_size=32, captions_per_image=2, language=language, random_state=1, task=task)
    assert fewer["label"].tolist() == posts["label"].tolist()[:5]
    assert fewer["text"].tolist() == posts["text"].tolist()[:5]
    assert_array_equal(fewer["image"].iloc[4], posts["image"].iloc[4])


def test_light_and_words_tell_the_moods(posts):
    bright = {mood: [] for mood in (-1, 0, 1)}
    said = {mood: set() for mood in (-1, 0, 1)}
    for name, picture, (text,) in zip(posts.index, posts["image"], posts["text"], strict=True):
        mood = posts.attrs["moods"][name]
        bright[mood["image"]].append(picture[..., 0].mean() - picture[..., 2].mean())
        said[mood["text"]].add(re.search(r"(\w+)\.$", text).group(1))
    assert np.quantile(bright[-1], 0.9) < np.quantile(bright[0], 0.1)
    assert np.quantile(bright[0], 0.9) < np.quantile(bright[1], 0.1)
    assert {len(words) for words in said.values()} == {4}
    assert not said[-1] & said[0] and not said[0] & said[1] and not said[-1] & said[1]


@pytest.mark.parametrize("noise", [0, 0.1, 0.3])
@pytest.mark.parametrize("task", ["sentiment", "irony"])
def test_ceilings_are_what_counting_gives(task, noise):
    drawn = [draw_moods(task, noise, np.random.default_rng((7, number))) for number in range(8000)]
    for seen, key in (
        ("image", lambda mood: mood["image"]),
        ("text", lambda mood: mood["text"]),
        ("both", lambda mood: (mood["image"], mood["text"])),
    ):
        counts = Counter((key(mood), mood["label"]) for mood in drawn)
        states = {state for state, _ in counts}
        best = sum(max(count for (of, _), count in counts.items() if of == state) for state in states) / len(drawn)
        assert label_ceilings(task, noise)[seen] == pytest.approx(best, abs=0.02)
    alone = 0.775 - 0.55 * noise if task == "sentiment" else 0.5
    assert dict(label_ceilings(task, noise)) == pytest.approx({"image": alone, "text": alone, "both": 1 - noise})
    assert {mood["label"] for mood in drawn} == (
        {"negative", "positive"} if task == "sentiment" else {"ironic", "sincere"}
    )


def test_each_side_comes_near_its_ceiling_and_both_pass_it(posts):
    y = posts["label"].to_numpy()
    moods = [posts.attrs["moods"][name] for name in posts.index]
    images = make_pipeline(ColorMoments(), StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    texts = make_pipeline(tfidf_lsa(None, ngram_range=(1, 1)), LogisticRegression(C=3))
    scores = {
        "image": np.mean(cross_val_predict(images, posts["image"], y) == y),
        "text": np.mean(cross_val_predict(texts, posts["text"].str[0], y) == y),
        "both": np.mean(cross_val_predict(LateFusionClassifier(images, texts, "product"), posts, y) == y),
    }
    early = make_pipeline(
        PairFeatures(ColorMoments(), tfidf_lsa(None, ngram_range=(1, 1), max_features=300), normalize="block"),
        LogisticRegression(C=10, max_iter=1000),
    )
    scores["early"] = np.mean(cross_val_predict(early, posts, y) == y)
    for side in ("image", "text"):
        # What one who reads this mood without error, and guesses where it is 0, gets right here.
        sure = [mood[side] != 0 for mood in moods]
        right = [("negative", "positive")[mood[side] > 0] == mood["label"] for mood in moods]
        reached = np.mean(np.where(sure, right, 0.5))
        assert abs(reached - posts.attrs["ceilings"][side]) < 0.05
        assert abs(scores[side] - reached) < 0.045, scores
    assert min(scores["both"], scores["early"]) > max(scores["image"], scores["text"]) + 0.1, scores


def test_irony_needs_features_that_meet():
    posts = make_scenes(400, image_size=32, captions_per_image=1, task="irony", random_state=0)
    y = posts["label"].to_numpy()
    features = PairFeatures(ColorMoments(), tfidf_lsa(20, ngram_range=(1, 1), random_state=0), normalize="standard")
    rows = features.fit_transform(posts)
    linear = np.mean(cross_val_predict(LogisticRegression(max_iter=1000), rows, y) == y)
    kernel = np.mean(cross_val_predict(SVC(C=3), rows, y) == y)
    assert linear < 0.58
    assert kernel > 0.68


def test_bad_tasks_are_named():
    for change in ({"task": "mood"}, {"label_noise": 0.6}, {"label_noise": -0.1}):
        with pytest.raises(ValueError, match=f"'{next(iter(change))}' parameter of make_scenes"):
            make_scenes(1, **change)
