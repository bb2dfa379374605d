"""What is right is named: labels are never read as positions, and what cannot be told apart is refused."""

import warnings

import numpy as np
import pandas as pd
import pytest

from mmfeat.metrics import (
    make_retrieval_scorer,
    match_groups,
    mean_average_precision,
    mean_average_precision_at_r,
    mean_rank,
    mean_reciprocal_rank,
    median_rank,
    ndcg,
    precision_at_k,
    rank_embeddings,
    rank_relevant,
    rank_scored,
    recall_at_k,
    retrieval_scorer,
    rsum,
)

METRICS = [
    mean_average_precision,
    mean_average_precision_at_r,
    mean_rank,
    mean_reciprocal_rank,
    median_rank,
    ndcg,
    precision_at_k,
    recall_at_k,
]
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 40)
SCORES = RNG.normal(size=(40, 40))
situation = pytest.mark.situation


def average_precision(row, right):
    order = sorted(range(len(row)), key=lambda j: (-row[j], bool(right[j])))
    places = [place for place, item in enumerate(order, start=1) if right[item]]
    return np.mean([number / place for number, place in enumerate(places, start=1)])


@situation("class labels as the second argument of a metric", "refused, with the names to choose from")
@pytest.mark.parametrize("metric", [*METRICS, rank_relevant])
def test_labels_by_position_are_refused(metric):
    with pytest.raises(TypeError, match=r"takes only `scores` by position.*`query_labels=`") as caught:
        metric(SCORES, LABELS)
    assert len(str(caught.value)) < 700


@situation("class labels of queries and items", "all items of the query's class are right")
@pytest.mark.parametrize("names", [None, np.array(["art", "sport", "war", "music"])])
def test_labels_by_name_are_classes(names):
    labels = LABELS if names is None else names[LABELS]
    right = LABELS[:, None] == LABELS
    expected = np.mean([average_precision(*pair) for pair in zip(SCORES, right, strict=True)])
    assert mean_average_precision(SCORES, query_labels=labels, gallery_labels=labels) == pytest.approx(expected)
    for metric in METRICS:
        by_labels = metric(SCORES, query_labels=list(labels), gallery_labels=pd.Series(labels))
        assert by_labels == metric(SCORES, relevance=match_groups(labels, labels)) == metric(SCORES, relevance=right)


@situation("recall_at_k(scores, 5)", "refused: say k=5")
@pytest.mark.parametrize("metric", [recall_at_k, precision_at_k, ndcg])
def test_k_by_position_is_refused(metric):
    with pytest.raises(TypeError, match=r"Got 5 as well. Say what it is, as one of `k=`"):
        metric(SCORES, 5)


@situation("positions of the right items, or the image of each caption", "each query has that one right item")
def test_positions_are_the_one_right_item():
    scores, owners = RNG.normal(size=(50, 10)), np.repeat(np.arange(10), 5)
    expected = np.mean([(row >= row[own]).sum() <= 3 for row, own in zip(scores, owners, strict=True)])
    assert recall_at_k(scores, k=3, positions=owners) == pytest.approx(expected)
    assert recall_at_k(scores, k=3, query_labels=owners, gallery_labels=np.arange(10)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("right", "message"),
    [
        pytest.param(
            {"positions": [0, 1], "query_labels": [0, 1], "gallery_labels": [0, 1, 2]},
            "given twice, as positions and labels",
            marks=situation("positions and labels at once", "refused: which of them?"),
        ),
        pytest.param(
            {"relevance": np.eye(2, 3), "positions": [0, 1]},
            "given twice, as relevance and positions",
            marks=situation("a relevance matrix and positions at once", "refused: which of them?"),
        ),
        pytest.param(
            {"query_labels": [0, 1]},
            "give `gallery_labels` as well",
            marks=situation("labels of the queries alone", "refused: the labels of the items are asked for"),
        ),
        pytest.param(
            {"gallery_labels": [0, 1, 1]},
            "give `query_labels` as well",
            marks=situation("labels of the items alone", "refused: the labels of the queries are asked for"),
        ),
        pytest.param(
            {"query_labels": [0, 1, 2], "gallery_labels": [0, 1]},
            "scores look transposed",
            marks=situation("a transposed score matrix with labels", "refused: the scores look transposed"),
        ),
        pytest.param(
            {"positions": [0, 1, 1]},
            "scores look transposed",
            marks=situation("a transposed score matrix with positions", "refused: the scores look transposed"),
        ),
        pytest.param(
            {"relevance": np.eye(3, 2)},
            "scores look transposed",
            marks=situation("a transposed relevance matrix", "refused: the scores look transposed"),
        ),
        pytest.param(
            {"positions": [0, -1]},
            r"positions\[1\] is -1.*Drop queries without a right item",
            marks=situation("-1 as the position of a query without an answer", "refused, naming the query"),
        ),
        pytest.param(
            {"positions": [0, 3]},
            r"positions\[1\] is 3, outside the gallery of 3 items, which are counted from 0",
            marks=situation("positions counted from 1", "refused, naming the query"),
        ),
        pytest.param(
            {"positions": ["a", "b"]},
            "use `query_labels` and `gallery_labels`",
            marks=situation("names as positions", "refused: labels have parameters of their own"),
        ),
        pytest.param(
            {"positions": [True, False]},
            "one integer a query",
            marks=situation("a mask as positions", "refused"),
        ),
        pytest.param(
            {"relevance": [0, 1]},
            "must be a matrix of grades.*For one value a query use `positions`",
            marks=situation("a column of numbers as relevance", "refused: positions or labels?"),
        ),
        pytest.param(
            {"query_labels": ["a", "b"], "gallery_labels": ["a", "c", "c"]},
            "1 queries have no relevant item in the gallery, the first is query 1",
            marks=situation("a label that no item has", "refused, naming the query"),
        ),
        pytest.param(
            {"query_labels": [1, 2], "gallery_labels": ["1", "2", "2"]},
            "all numbers or all strings",
            marks=situation("numbers as labels on one side, strings on the other", "refused"),
        ),
        pytest.param(
            {"query_labels": [1, None], "gallery_labels": [1, 2, 2]},
            r"query_labels\[1\] is missing",
            marks=situation("a missing label", "refused, naming the row"),
        ),
        pytest.param(
            {},
            "2 queries and 3 items. Give `positions`",
            marks=situation("scores that are not square, without a word on what is right", "refused"),
        ),
    ],
)
def test_what_is_ambiguous_is_refused(right, message):
    with pytest.raises(ValueError, match=message):
        mean_average_precision(SCORES[:2, :3], **right)
    with pytest.raises(ValueError, match=message):
        rank_embeddings(np.eye(2, 4), np.eye(3, 4), **right)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        pytest.param(
            [0.1, 0.9], r"Got shape \(2,\)", marks=situation("scores of one query, 1-D", "refused, with the cure")
        ),
        pytest.param(np.ones((2, 2, 2)), r"Got shape \(2, 2, 2\)", marks=situation("scores of three axes", "refused")),
        pytest.param(
            [[0.1, 0.2], [np.nan, 0.3]],
            r"scores\[1, 0\] is nan",
            marks=situation("NaN among scores", "refused, naming its place"),
        ),
        pytest.param(
            [[0.1, -np.inf], [0.2, 0.3]],
            r"scores\[0, 1\] is -inf.*give it a score below all others",
            marks=situation("items masked by -inf", "refused, with the cure"),
        ),
    ],
)
def test_scores_that_are_no_scores_are_refused(scores, message):
    with pytest.raises(ValueError, match=message):
        recall_at_k(scores, k=1)


@situation("scores of integers or of True and False", "ordinary scores, ties count against")
def test_integers_and_booleans_are_scores():
    scores = RNG.integers(0, 3, (12, 12))
    assert mean_rank(scores) == mean_rank(scores.astype(float))
    assert mean_rank(scores > 0) == mean_rank((scores > 0).astype(float))
    assert recall_at_k(np.ones((6, 6), dtype=bool), k=5) == 0


@situation("k beyond the gallery, or k=True", "refused, with the size of the gallery")
@pytest.mark.parametrize("k", [True, 41, 0, 5.0])
def test_k_that_is_no_length_is_refused(k):
    with pytest.raises(ValueError, match="between 1 and the size of the gallery, 40"):
        recall_at_k(SCORES, k=k)


@situation("distances in the place of scores", "a warning: pass the negative of distances")
def test_distances_are_noticed():
    points = RNG.normal(size=(30, 4))
    distances = np.linalg.norm(points[:, None] - points - 0.01, axis=2)
    with pytest.warns(UserWarning, match="pass the negative of distances"):
        recall_at_k(distances, k=1)
    with pytest.warns(UserWarning, match="pass the negative of distances"):
        rank_scored(lambda rows: distances[rows], np.arange(30), relevance=np.eye(30), block_size=11)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert recall_at_k(-distances, k=1) == 1
        # Neither chance, nor a collapsed model, nor all items being right is taken for distances.
        recall_at_k(RNG.normal(size=(30, 30)), k=1)
        recall_at_k(np.ones((30, 30)), k=1)
        recall_at_k(distances, k=1, relevance=np.ones((30, 30)))


@situation("a caption that is given for two images", "both images are right")
def test_a_caption_of_two_images_finds_either():
    captions = np.array(["a dog", "a cat", "a dog"])
    ranks = rank_relevant(np.eye(3), query_labels=captions, gallery_labels=captions)
    assert np.diff(ranks.indptr).tolist() == [2, 1, 2]
    assert recall_at_k(ranks, k=1) == 1


class Noisy:
    """Encodes image and text of a number alike, but for some noise."""

    noise = np.random.default_rng(1).normal(size=(2, 30, 5))

    def encode_image(self, images):
        return np.array([self.noise[0, int(image[0, 0])] for image in images])

    def encode_text(self, texts):
        return np.array([self.noise[0, int(text)] + self.noise[1, int(text)] for text in texts])


@situation("rsum as a score for cross-validation", "make_retrieval_scorer('rsum'), and a key of retrieval_scorer")
def test_rsum_is_a_scorer():
    pairs = pd.DataFrame({"image": [np.full((1, 1), i) for i in range(30)], "text": [str(i) for i in range(30)]})
    images, texts = Noisy.noise[0], Noisy.noise.sum(axis=0)
    scores = images @ texts.T / np.linalg.norm(images, axis=1)[:, None] / np.linalg.norm(texts, axis=1)
    recalls = {
        way: [np.mean((part >= np.diag(part)[:, None]).sum(axis=1) <= k) for k in (1, 5, 10)]
        for way, part in (("i2t", scores), ("t2i", scores.T))
    }
    for way, values in recalls.items():
        assert make_retrieval_scorer("rsum", direction=way)(Noisy(), pairs) == pytest.approx(100 * sum(values))
    expected = 100 * sum(map(sum, recalls.values()))
    assert make_retrieval_scorer("rsum")(Noisy(), pairs) == pytest.approx(expected)
    assert retrieval_scorer(Noisy(), pairs)["rsum"] == pytest.approx(expected)


@situation("the function rsum itself as `scoring`", "refused, with the name of the scorer")
def test_rsum_over_an_estimator_is_refused():
    with pytest.raises(TypeError, match=r"takes only `rankings` by position"):
        rsum(Noisy(), "pairs")
    with pytest.raises(ValueError, match=r"pass make_retrieval_scorer\('rsum'\)"):
        rsum(Noisy())
