"""Fusion of scores against loops over queries and items, weights on held-out images, any mix of retrievers."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score

from mmfeat.datasets import make_scenes
from mmfeat.fusion import CCA
from mmfeat.image import ColorHistogram, ColorMoments
from mmfeat.metrics import match_groups, rank_relevant, recall_at_k
from mmfeat.retrieval import HubnessCorrection, Retriever, ScoreFusion
from mmfeat.retrieval._fusion_members import score_function
from mmfeat.retrieval._fusion_weights import choose_weights
from mmfeat.text import tfidf_lsa
from mmfeat.utils._pairs import split_pairs


class Given(BaseEstimator):
    """A retriever whose embeddings stand in the items: part `column` of an array, and of the numbers in a text."""

    def __init__(self, column, width=3):
        self.column = column
        self.width = width

    def fit(self, pairs, y=None):
        self.fitted_on_ = [int(image[0]) for image in pairs["image"]]
        self.y_ = y
        return self

    def encode_image(self, images):
        return np.array([self._part(image[1:]) for image in images])

    def encode_text(self, texts):
        return np.array([self._part(np.array(text.split(), dtype=float)) for text in texts])

    def _part(self, values):
        return values[self.column * self.width : (self.column + 1) * self.width]


def table(n, captions=2, noise=(0.4, 2.0, 2.0), seed=0):
    """Pairs with three parts of a view, each near its own truth up to so much noise."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, len(noise), 3))
    sigma = np.array(noise)[:, None]
    images = [np.r_[row, (part + sigma * rng.normal(size=part.shape)).ravel()] for row, part in enumerate(truth)]
    texts = [
        [" ".join(f"{x:.6f}" for x in (part + sigma * rng.normal(size=part.shape)).ravel()) for _ in range(captions)]
        for part in truth
    ]
    return pd.DataFrame({"image": images, "text": texts})


MEMBERS = [("a", Given(0)), ("b", Given(1)), ("c", Given(2))]


def parts_of(pairs, query="text"):
    parts = split_pairs(pairs)
    out = []
    for _, member in MEMBERS:
        images, texts = (
            rows / np.linalg.norm(rows, axis=1, keepdims=True)
            for rows in (member.encode_image(parts.images), member.encode_text(parts.texts))
        )
        scores = np.round((texts @ images.T).astype("f4"), 6).astype(float)
        out.append(scores if query == "text" else scores.T)
    return out


def scores_of(fusion, pairs, query="text"):
    parts = split_pairs(pairs)
    images, texts = fusion.encode_image(parts.images), fusion.encode_text(parts.texts)
    queries, gallery = (texts, images) if query == "text" else (images, texts)
    return fusion.scores_against(gallery, query=query)(queries)


def by_loop(method, parts, depth, constant):
    """Every fusion, one item of one query after the other."""
    n_queries, n_gallery = parts[0].shape
    out = np.zeros((n_queries, n_gallery))
    for q in range(n_queries):
        rows = [part[q] for part in parts]
        for g in range(n_gallery):
            minmax = [(row[g] - min(row)) / (max(row) - min(row)) for row in rows]
            ranks = [sum(other >= row[g] for other in row) for row in rows]
            found = sum(rank <= depth for rank in ranks)
            out[q, g] = {
                "sum": sum(minmax),
                "mnz": sum(minmax) * found,
                "rrf": sum(1 / (constant + rank) for rank in ranks),
                "vote": (found + 1 - np.mean(ranks) / (n_gallery + 1)) / len(rows),
            }[method]
    return out


@pytest.mark.parametrize("method", ["sum", "mnz", "rrf", "vote"])
@pytest.mark.parametrize("query", ["image", "text"])
def test_methods_are_those_of_a_loop(method, query):
    pairs = table(25)
    fusion = ScoreFusion(MEMBERS, method=method, depth=4, rank_constant=7).fit(pairs)
    found = scores_of(fusion, pairs, query)
    assert_allclose(found, by_loop(method, parts_of(pairs, query), 4, 7), atol=2e-5)
    assert not hasattr(fusion, "weights_")


def test_votes_come_before_ranks():
    pairs = table(25)
    found = scores_of(ScoreFusion(MEMBERS, method="vote", depth=4).fit(pairs), pairs)
    votes = sum((part[:, :, None] <= part[:, None, :]).sum(axis=2) <= 4 for part in parts_of(pairs))
    assert_array_equal(np.floor(found * 3 + 1e-9), votes)
    assert len(np.unique(votes)) == 4


@pytest.mark.parametrize("normalize", ["global", "zscore", "minmax", None])
@pytest.mark.parametrize("query", ["image", "text"])
def test_a_weighted_sum_is_that_of_normalised_scores(normalize, query):
    pairs = table(30)
    fusion = ScoreFusion(MEMBERS, weights=[2, 0, 6], normalize=normalize).fit(pairs)
    assert_allclose(fusion.weights_, [0.25, 0, 0.75])
    expected = 0
    for weight, part in zip((0.25, 0, 0.75), parts_of(pairs, query), strict=True):
        if normalize == "global":
            part = part / part.std()
        elif normalize == "zscore":
            part = (part - part.mean(axis=1, keepdims=True)) / part.std(axis=1, keepdims=True)
        elif normalize == "minmax":
            part = (part - part.min(axis=1, keepdims=True)) / np.ptp(part, axis=1, keepdims=True)
        expected = expected + weight * part
    assert_allclose(scores_of(fusion, pairs, query), expected, atol=1e-5)


@pytest.mark.parametrize("normalize", ["auto", None])
def test_inner_products_of_encodings_are_the_weighted_sum(normalize):
    pairs = table(40)
    fusion = ScoreFusion(MEMBERS, weights=[3, 1, 0], normalize=normalize).fit(pairs)
    parts = split_pairs(pairs)
    images, texts = fusion.encode_image(parts.images), fusion.encode_text(parts.texts)
    assert images.shape == (40, 9) and images.dtype == texts.dtype == np.float32
    fused = scores_of(fusion, pairs)
    assert_allclose(texts @ images.T, fused, atol=2e-6)
    # All encodings have one length, so that an index by cosine gives the same order.
    lengths = np.linalg.norm(np.vstack([images, texts]), axis=1)
    assert_allclose(lengths, lengths[0], rtol=1e-5)
    assert np.mean(np.argsort(-(texts @ images.T), axis=1) == np.argsort(-fused, axis=1)) > 0.999


@pytest.mark.parametrize("method", ["weighted", "sum", "mnz", "rrf", "vote"])
def test_a_row_alone_is_the_row_in_a_batch(method):
    pairs = table(30)
    fusion = pickle.loads(pickle.dumps(ScoreFusion(MEMBERS, method=method, weights=None).fit(pairs)))
    parts = split_pairs(pairs)
    score = fusion.scores_against(fusion.encode_image(parts.images), query="text")
    texts = fusion.encode_text(parts.texts)
    together = score(texts)
    assert np.isfinite(together).all() and not score.transductive
    for row in (0, 17, 59):
        assert_allclose(score(texts[[row]])[0], together[row], atol=1e-5)


ALL_METHODS = ["sum", "mnz", "rrf", "vote", "weighted"]


@pytest.mark.parametrize(
    ("method", "normalize"),
    [*((method, "minmax") for method in ALL_METHODS), ("sum", "zscore"), ("weighted", "zscore")],
)
def test_a_retriever_that_tells_nothing_changes_no_order_and_alone_finds_nothing(method, normalize):
    class Same(Given):
        def encode_image(self, images):
            return np.ones((len(images), 2))

        def encode_text(self, texts):
            return np.ones((len(texts), 2))

    pairs = table(30)
    options = {"method": method, "weights": None, "normalize": normalize, "depth": 5}
    alone = scores_of(ScoreFusion([("same", Same(0))], **options).fit(pairs), pairs)
    assert (np.ptp(alone, axis=1) == 0).all()
    one = scores_of(ScoreFusion(MEMBERS[:1], **options).fit(pairs), pairs)
    both = scores_of(ScoreFusion([*MEMBERS[:1], ("same", Same(0))], **options).fit(pairs), pairs)
    assert_array_equal(np.argsort(-one, axis=1, kind="stable"), np.argsort(-both, axis=1, kind="stable"))


# Weights


def mean_recall(parts, weights, groups):
    fused = sum(weight * part for weight, part in zip(weights, parts, strict=True))
    relevance = match_groups(groups, np.arange(groups.max() + 1))
    ranks = (
        rank_relevant(fused, relevance=relevance),
        rank_relevant(fused.T.copy(), relevance=relevance.T.tocsr()),
    )
    return np.mean([recall_at_k(rank, k=k) for rank in ranks for k in (1, 5, 10)])


def test_two_weights_are_the_best_of_the_whole_grid():
    pairs = table(60, noise=(1.0, 0.7, 2.0))
    parts, groups = parts_of(pairs)[:2], split_pairs(pairs).groups
    weights, recall = choose_weights([part.T for part in parts], parts, groups)
    assert recall == pytest.approx(mean_recall(parts, weights, groups))
    assert recall == max(mean_recall(parts, (1 - share, share), groups) for share in np.linspace(0, 1, 21))


def test_weights_of_three_are_better_than_equal_ones_and_leave_noise_out():
    pairs = table(80, noise=(0.6, 1.0, 50.0))
    parts, groups = parts_of(pairs), split_pairs(pairs).groups
    weights, recall = choose_weights([part.T for part in parts], parts, groups)
    assert weights.sum() == pytest.approx(1) and weights.min() >= 0
    assert recall > mean_recall(parts, [1, 1, 1], groups) + 0.02
    assert weights[2] < 0.2 < weights[0]


class Spy(Given):
    """Remembers every fit."""

    fits: list = []

    def fit(self, pairs, y=None):
        super().fit(pairs, y)
        self.fits.append(self)
        return self


def test_weights_come_from_images_that_were_left_out_and_all_are_fitted_again():
    Spy.fits.clear()
    pairs = table(100)
    y = np.arange(100) * 2
    fusion = ScoreFusion([("a", Spy(0)), ("b", Spy(1))], validation_fraction=0.3, random_state=1).fit(pairs, y)
    seen = [len(fit.fitted_on_) for fit in Spy.fits]
    assert seen == [70, 70, 100, 100]
    assert Spy.fits[0].fitted_on_ == Spy.fits[1].fitted_on_
    assert_array_equal(Spy.fits[0].y_, 2 * np.array(Spy.fits[0].fitted_on_))
    held = sorted(set(range(100)) - set(Spy.fits[0].fitted_on_))
    other = ScoreFusion(MEMBERS[:2], weights=None).fit(pairs).fit_weights(pairs.iloc[held])
    assert_array_equal(fusion.weights_, other.weights_)
    assert_allclose(fusion.scales_, other.scales_)
    assert fusion.validation_score_ == other.validation_score_
    again = clone(fusion).fit(pairs, y)
    assert_array_equal(again.weights_, fusion.weights_)


def test_frozen_retrievers_are_not_fitted_again_and_weights_come_from_all_pairs():
    train, held = table(50), table(40, seed=1)
    members = [(name, FrozenEstimator(clone(member).fit(train))) for name, member in MEMBERS]
    fusion = ScoreFusion(members).fit(held)
    assert fusion.named_retrievers_.a.estimator is members[0][1].estimator
    assert len(members[0][1].estimator.fitted_on_) == 50
    expected = ScoreFusion(MEMBERS, weights=None).fit(train).fit_weights(held)
    assert_array_equal(fusion.weights_, expected.weights_)


# With real retrievers


@pytest.fixture(scope="module")
def scenes():
    return make_scenes(100, image_size=32, captions_per_image=2, random_state=0)


def retriever(encoder, **options):
    return Retriever(encoder, tfidf_lsa(12, random_state=0), CCA(6, reg=0.3), **options)


def test_any_mix_is_fused_and_better_than_its_worst(scenes):
    hubs = retriever(ColorMoments(), hubness=HubnessCorrection("mutual_proximity"))
    inner = ScoreFusion([("a", retriever(ColorHistogram())), ("b", hubs)], method="rrf")
    fusion = ScoreFusion([("inner", inner), ("moments", retriever(ColorMoments()))], random_state=0)
    fusion.fit(scenes[:70])
    test = scenes[70:]
    parts = split_pairs(test)
    for query, encode, gallery, items in (
        ("image", "encode_image", "encode_text", (parts.images, parts.texts)),
        ("text", "encode_text", "encode_image", (parts.texts, parts.images)),
    ):
        expected = 0
        for weight, scale, member in zip(fusion.weights_, fusion.scales_, fusion.retrievers_, strict=True):
            if weight:
                score = score_function(member, getattr(member, gallery)(items[1]), query)
                expected = expected + weight / scale * score(getattr(member, encode)(items[0]))
        assert_allclose(scores_of(fusion, test, query), expected, atol=1e-4)
    assert fusion.score(test) > 0.2
    assert not fusion.transductive_


def test_parameters_of_retrievers_are_a_grid_and_one_may_be_dropped(scenes):
    fusion = ScoreFusion([("a", retriever(ColorHistogram())), ("b", retriever(ColorMoments()))], weights=None)
    search = GridSearchCV(fusion, {"a__fusion__reg": [0.1, 1.0], "b": ["drop", retriever(ColorMoments())]}, cv=2)
    search.set_params(error_score="raise").fit(scenes[:60])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert fusion.set_params(a__fusion__reg=0.7, b="drop").get_params()["a"].fusion.reg == 0.7
    assert list(fusion.fit(scenes[:60]).named_retrievers_) == ["a"]
    assert_array_equal(fusion.weights_, [1])
    assert np.isfinite(cross_val_score(fusion, scenes[:60], cv=2, error_score="raise")).all()


def test_one_transductive_retriever_makes_the_fusion_so(scenes):
    members = [
        ("a", retriever(ColorHistogram())),
        ("b", retriever(ColorMoments(), hubness=HubnessCorrection(bank="queries"))),
    ]
    fusion = ScoreFusion(members, weights=None).fit(scenes[:60])
    assert fusion.transductive_
    score = fusion.scores_against(fusion.encode_image(scenes["image"][60:]), query="text")
    assert score.transductive
    assert 0.1 < fusion.score(scenes[60:]) <= 1


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retrievers": []}, "at least one that is not 'drop'"),
        ({"retrievers": [("a", "drop")]}, "at least one that is not 'drop'"),
        ({"retrievers": [Given(0)]}, r"list of \(name, estimator\)"),
        ({"retrievers": [("a", CCA(2))]}, "Retriever 'a' is CCA.*encode_image"),
        ({"retrievers": [("a", Given)]}, "Retriever 'a' is <class"),
        ({"retrievers": [("a", Given(0)), ("a", Given(1))]}, "not unique"),
        ({"retrievers": [("depth", Given(0))]}, "conflict"),
        ({"weights": [1, 2]}, r"3 numbers of at least 0.*Got \[1, 2\]"),
        ({"weights": [1, -1, 1]}, "at least 0"),
        ({"weights": [0, 0, 0]}, "not all 0"),
        ({"method": "mean"}, "'method' parameter"),
        ({"method": "mnz", "normalize": "zscore"}, "sums below 0 .* Use normalize='minmax'"),
        ({"validation_fraction": 0.1}, "10 held-out images.*0.1 of 30 images leaves 3"),
        ({"validation_fraction": 0.999}, "leaves 30"),
    ],
)
def test_what_cannot_be_fused_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ScoreFusion(**{"retrievers": MEMBERS, **options}).fit(table(30))


def test_scores_need_encodings_of_the_fusion_and_weights_a_method():
    fusion = ScoreFusion(MEMBERS, weights=None).fit(table(30))
    with pytest.raises(ValueError, match=r"gallery has 4 columns. Encodings of this fusion have 9"):
        fusion.scores_against(np.ones((2, 4)), query="text")
    with pytest.raises(ValueError, match=r"queries have 4 columns. Encodings of this fusion have 9"):
        fusion.scores_against(np.ones((2, 9)), query="text")(np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"`query` must be"):
        fusion.scores_against(np.ones((2, 9)), query="texts")
    with pytest.raises(ValueError, match=r"at least 10 images. Got 9"):
        fusion.fit_weights(table(9))
    with pytest.raises(ValueError, match=r"Only method='weighted' has weights. Got 'rrf'"):
        fusion.set_params(method="rrf").fit(table(30)).fit_weights(table(30))


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({"method": "rrf"}, {"method": "weighted"}),
        ({"weights": [1, 2, 3]}, {"method": "rrf", "rank_constant": 1}),
        ({"weights": [1, 2, 3], "normalize": "zscore"}, {"normalize": "global"}),
        ({"weights": [1, 2, 3]}, {"normalize": "zscore"}),
        ({"method": "mnz", "depth": 3}, {"depth": 20, "normalize": None}),
        ({"method": "rrf"}, {"rank_constant": 2}),
    ],
)
def test_parameters_set_later_do_nothing_before_the_next_fit(options, changed):
    pairs = table(60)
    fusion = ScoreFusion(MEMBERS, random_state=0, **options).fit(pairs)
    expected, encoded = scores_of(fusion, pairs), fusion.encode_image(pairs["image"])
    fusion.set_params(**changed)
    assert_array_equal(scores_of(fusion, pairs), expected)
    assert_array_equal(fusion.encode_image(pairs["image"]), encoded)
    fusion.fit(pairs)
    assert_array_equal(scores_of(fusion, pairs), scores_of(clone(fusion).fit(pairs), pairs))
    assert not np.array_equal(scores_of(fusion, pairs), expected)


def test_weights_are_learned_by_the_rule_of_the_fit():
    pairs, held = table(30), table(40, seed=1)
    fusion = ScoreFusion(MEMBERS, weights=None, normalize="zscore").fit(pairs)
    changed = clone(fusion).fit(pairs).set_params(normalize="global", method="rrf").fit_weights(held)
    assert_array_equal(changed.weights_, fusion.fit_weights(held).weights_)
    assert_array_equal(changed.scales_, np.ones(3))


class Narrow(Given):
    """Fits, and fails as soon as it is to encode."""

    def encode_text(self, texts):
        raise RuntimeError("no text today")


@pytest.mark.parametrize(
    ("members", "pairs", "error"),
    [
        ([("a", FrozenEstimator(Given(0).fit(table(5))))], table(9), ValueError),
        ([("b", Narrow(1)), ("c", Given(2))], table(60), RuntimeError),
    ],
)
@pytest.mark.parametrize("options", [{}, {"weights": [1, 2, 3]}, {"method": "rrf"}])
def test_a_failed_fit_leaves_the_earlier_one(members, pairs, error, options):
    before = table(60)
    fusion = ScoreFusion(MEMBERS, random_state=0, **options).fit(before)
    expected, state = scores_of(fusion, before), {name for name in vars(fusion) if name.endswith("_")}
    fusion.set_params(retrievers=members, method="weighted", weights="auto")
    with pytest.raises(error):
        fusion.fit(pairs)
    assert_array_equal(scores_of(fusion, before), expected)
    assert {name for name in vars(fusion) if name.endswith("_")} == state
