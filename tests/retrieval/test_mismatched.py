"""Mismatched pairs: margins against loops, folds that have not seen what they judge, planted swaps that are found."""

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

from mmfeat.datasets import make_scenes
from mmfeat.fusion import CCA
from mmfeat.image import ColorHistogram
from mmfeat.retrieval import HubnessCorrection, Retriever, ScoreFusion, find_mismatched_pairs
from mmfeat.text import tfidf_lsa


class Given(BaseEstimator):
    """A retriever whose embeddings stand in the items; images that it was fitted on it embeds as zeros."""

    def __init__(self, image="image", text="text"):
        self.image = image
        self.text = text

    def fit(self, pairs, y=None):
        self.seen_ = {image.tobytes() for image in pairs[self.image]}
        return self

    def encode_image(self, images):
        assert not self.seen_ & {image.tobytes() for image in images}
        return np.array(images)

    def encode_text(self, texts):
        return np.array([[float(x) for x in text.split()] for text in texts])


def table(n, captions=(1, 2, 3), width=5, noise=0.7, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(n, width))
    texts = [
        [
            " ".join(f"{x:.4f}" for x in image + noise * rng.normal(size=width))
            for _ in range(captions[row % len(captions)])
        ]
        for row, image in enumerate(images)
    ]
    return pd.DataFrame({"image": list(images), "text": texts})


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def by_loop(pairs, folds, k):
    """Margin and agreement of each (row, caption), one after the other."""
    out = {}
    vectors = {
        (row, place): unit(np.array([text.split()], dtype=float))[0]
        for row, texts in enumerate(pairs["text"])
        for place, text in enumerate(texts)
    }
    images = unit(np.array(pairs["image"].to_list()))
    for _, test in folds:
        for (row, place), vector in vectors.items():
            if row not in test:
                continue
            own = vector @ images[row]
            other_images = sorted((vector @ images[other] for other in test if other != row), reverse=True)[:k]
            other_texts = [images[row] @ v for (other, _), v in vectors.items() if other in test and other != row]
            other_texts = sorted(other_texts, reverse=True)[:k]
            siblings = [v for (other, p), v in vectors.items() if other == row and p != place]
            agreement = max((vector @ sibling for sibling in siblings), default=np.nan)
            out[row, place] = own - (np.mean(other_images) + np.mean(other_texts)) / 2, agreement
    return out


@pytest.mark.parametrize("k", [1, 4])
def test_margins_and_agreements_are_those_of_a_loop(k, monkeypatch):
    pairs, cv = table(24), KFold(3)
    expected = by_loop(pairs, list(cv.split(pairs)), k)
    monkeypatch.setattr("mmfeat.retrieval._scores.BLOCK_SCORES", 40)
    found = find_mismatched_pairs(Given(), pairs, cv=cv, n_neighbors=k)
    assert len(found) == len(expected) == 48
    for row in found.itertuples():
        assert_allclose((row.margin, row.siblings), expected[row.row, row.caption], atol=5e-6)
        assert row.text == pairs["text"][row.row][row.caption]
    assert_array_equal(found["rank"], np.arange(1, 49))
    assert (np.diff(found["suspicion"]) <= 0).all()


@pytest.mark.parametrize("weight", [0, 2.5])
def test_suspicion_is_standardised_within_the_fold(weight):
    pairs, cv = table(30), KFold(3)
    found = find_mismatched_pairs(Given(), pairs, cv=cv, sibling_weight=weight)

    def standard(values):
        low, middle, high = np.percentile(values, [16, 50, 84])
        return (values - middle) / ((high - low) / 2)

    for _, test in cv.split(pairs):
        part = found[found["row"].isin(test)]
        both = part["siblings"].notna()
        expected = -standard(part["margin"])
        siblings = np.array([len(pairs["text"][row]) - 1 for row in part["row"][both]])
        expected[both] -= weight * (1 - 1 / siblings) * standard(part["siblings"][both])
        assert_allclose(part["suspicion"], expected)


def test_more_neighbors_than_there_are_others_are_all_others():
    assert np.isfinite(find_mismatched_pairs(Given(), table(6), cv=KFold(3))["margin"]).all()
    one_caption = table(6, captions=(1,))
    expected = by_loop(one_caption, list(KFold(3).split(one_caption)), 10)
    margins = find_mismatched_pairs(Given(), one_caption, cv=KFold(3), n_neighbors=10)
    assert_allclose(
        margins["margin"], [expected[key][0] for key in zip(margins["row"], margins["caption"], strict=True)], atol=5e-6
    )
    assert margins["siblings"].isna().all()


def planted(pairs, seed):
    """The table with a twentieth of its captions moved to other images, and which they are."""
    rng = np.random.default_rng(seed)
    given = pairs["text"].to_list()
    places = [(row, caption) for row, texts in enumerate(given) for caption in range(len(texts))]
    chosen = [places[place] for place in rng.choice(len(places), len(places) // 20, replace=False)]
    texts = [list(cell) for cell in given]
    for (row, caption), (other, second) in zip(chosen, np.roll(chosen, 1, axis=0), strict=True):
        texts[row][caption] = given[other][second]
    return pairs.assign(text=texts), set(chosen)


def precision_of(found, chosen, column="suspicion", sign=1):
    wrong = [place in chosen for place in zip(found["row"], found["caption"], strict=True)]
    return average_precision_score(wrong, sign * found[column])


def test_planted_swaps_come_first():
    pairs, chosen = planted(table(200, captions=(3, 4, 5), width=20, noise=1.2), seed=0)
    found = find_mismatched_pairs(Given(), pairs, random_state=0)
    # Chance is 0.05.
    assert precision_of(found, chosen, "margin", -1) > 0.9
    assert precision_of(found, chosen) > 0.9
    assert_array_equal(found["suspicion"].rank(ascending=False), found["rank"])


def test_planted_swaps_in_scenes_are_found_by_any_retriever():
    pairs, chosen = planted(make_scenes(120, image_size=32, captions_per_image=3, random_state=0), seed=0)
    retriever = Retriever(ColorHistogram(grid=2), tfidf_lsa(20, random_state=0), CCA(8, reg=0.3))
    for correction in (None, HubnessCorrection("mutual_proximity"), HubnessCorrection(bank="queries")):
        found = find_mismatched_pairs(retriever.set_params(hubness=correction), pairs, random_state=0, cv=2)
        # Many scenes look alike; chance is 0.05.
        assert precision_of(found, chosen) > 0.1


def test_folds_may_be_judged_at_the_same_time():
    alone = find_mismatched_pairs(Given(), table(30), random_state=0)
    with joblib.parallel_config(backend="threading"):
        pd.testing.assert_frame_equal(find_mismatched_pairs(Given(), table(30), random_state=0, n_jobs=2), alone)


def test_whole_rows_that_are_swapped_need_the_margin_alone():
    pairs = make_scenes(120, image_size=32, captions_per_image=3, random_state=1)
    texts = list(pairs["text"])
    texts[:6] = texts[1:6] + texts[:1]
    pairs = pairs.assign(text=texts)
    retriever = Retriever(ColorHistogram(grid=2), tfidf_lsa(20, random_state=0), CCA(8, reg=0.3))
    precision = []
    for weight in (0, 1):
        found = find_mismatched_pairs(retriever, pairs, sibling_weight=weight, random_state=0)
        precision.append(average_precision_score(found["row"] < 6, -found["rank"]))
    assert precision[0] > precision[1]


def test_tables_of_every_kind_and_names_of_columns():
    pairs = table(12)
    expected = find_mismatched_pairs(Given(), pairs, cv=KFold(2))
    renamed = pairs.rename(columns={"image": "picture", "text": "words"})
    pd.testing.assert_frame_equal(find_mismatched_pairs(Given("picture", "words"), renamed, cv=KFold(2)), expected)
    by_group = find_mismatched_pairs(Given(), pairs, cv=list(GroupKFold(2).split(pairs, groups=np.arange(12) // 3)))
    assert len(by_group) == len(expected)


def test_what_is_frozen_judges_without_being_fitted():
    pairs = table(12)
    frozen = FrozenEstimator(Given().fit(table(3, seed=1)))
    expected = find_mismatched_pairs(Given(), pairs, cv=KFold(2))
    for retriever in (frozen, ScoreFusion([("one", frozen)], weights=None)):
        pd.testing.assert_frame_equal(
            find_mismatched_pairs(retriever, pairs, cv=KFold(2))[["row", "caption", "rank"]],
            expected[["row", "caption", "rank"]],
        )
    assert len(frozen.estimator.seen_) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"cv": [(np.arange(6), np.arange(6, 12))]},
            r"Row 0 is in 0. Use KFold, or the list that GroupKFold\(\).split",
        ),
        ({"cv": 7}, "7 folds needs at least 14 images. Got 12"),
        ({"cv": ShuffleSplit(2, test_size=0.3, random_state=0)}, "Each row must be in one test fold"),
        ({"cv": KFold(12)}, "two images or more.*Got 1"),
        ({"n_neighbors": 0}, "'n_neighbors' parameter"),
        ({"retriever": CCA(2)}, "'retriever' parameter"),
        ({"sibling_weight": -1}, "'sibling_weight' parameter"),
    ],
)
def test_what_cannot_be_judged_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        find_mismatched_pairs(**{"retriever": Given(), "pairs": table(12), **options})
