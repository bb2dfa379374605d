"""Scorers over a stand-in for a retriever whose recalls are known by hand."""

import pickle

import numpy as np
import pandas as pd
import pytest

from mmfeat.metrics import make_retrieval_scorer, rank_pairs, retrieval_scorer


class ByNumber:
    """Encodes image ``np.full((1, 1), i)`` and text ``"i"`` as the same direction, but confuses 0 and 1."""

    image, text = "picture", "words"
    calls = 0

    def encode_image(self, images):
        type(self).calls += 1
        return np.eye(12)[[int(image[0, 0]) for image in images]]

    def encode_text(self, texts):
        type(self).calls += 1
        return np.eye(12)[[{"0": 1, "1": 0}.get(text, int(text)) for text in texts]]


@pytest.fixture
def pairs():
    images = [np.full((1, 1), i) for i in range(12)]
    return pd.DataFrame({"picture": images, "words": [[str(i), str(i)] for i in range(12)]})


def test_all_recalls_in_one_encoding(pairs):
    ByNumber.calls = 0
    scores = retrieval_scorer(ByNumber(), pairs)
    assert ByNumber.calls == 2
    assert scores["t2i_recall_at_1"] == scores["i2t_recall_at_1"] == pytest.approx(10 / 12)
    # The two confused images tie with ten others at cosine 0, and ties count against.
    assert scores["t2i_recall_at_10"] == pytest.approx(10 / 12)
    assert scores["mean_recall"] == pytest.approx(10 / 12)
    assert scores["t2i_neg_median_rank"] == -1


def test_single_scorers_pick_from_the_same_ranks(pairs):
    encoder = ByNumber()
    assert make_retrieval_scorer("recall", 1, "t2i")(encoder, pairs) == pytest.approx(10 / 12)
    assert make_retrieval_scorer("neg_median_rank", direction="i2t")(encoder, pairs) == -1
    assert make_retrieval_scorer("mean_recall")(encoder, pairs) == pytest.approx(10 / 12)
    # Two right texts at places 1 and 2 for ten images; at 23 and 24 of 24 for two.
    precision = (10 + 2 * (1 / 23 + 2 / 24) / 2) / 12
    assert make_retrieval_scorer("mean_average_precision", direction="i2t")(encoder, pairs) == pytest.approx(precision)
    assert make_retrieval_scorer("ndcg", 1, "i2t")(encoder, pairs) == pytest.approx(10 / 12)


def test_a_fitted_search_is_unwrapped(pairs):
    class Search:
        best_estimator_ = ByNumber()

    assert rank_pairs(Search(), pairs)["i2t"].first.tolist() == rank_pairs(ByNumber(), pairs)["i2t"].first.tolist()


def test_scorers_survive_pickle(pairs):
    scorer = pickle.loads(pickle.dumps(make_retrieval_scorer("recall", 5, "mean")))
    assert scorer(ByNumber(), pairs) == make_retrieval_scorer("recall", 5, "mean")(ByNumber(), pairs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("rcall",), "metric"), (("recall", 0), "`k`"), (("recall", 5, "both"), "direction")],
)
def test_bad_scorers_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_retrieval_scorer(*arguments)


def test_unknown_directions_are_refused(pairs):
    for directions in (("i2i",), ()):
        with pytest.raises(ValueError, match="`directions` must be of"):
            rank_pairs(ByNumber(), pairs, directions=directions)


class Corrected(ByNumber):
    """Scores of its own, that depend on all queries at once."""

    transductive_ = True

    def scores_against(self, gallery, *, query):
        assert query in ("image", "text")
        return lambda queries: (queries @ gallery.T) * (2.0 if len(queries) in (12, 24) else np.nan)


def test_scores_of_an_estimator_are_used_and_transductive_ones_are_marked(pairs):
    scores = retrieval_scorer(Corrected(), pairs)
    assert all(name.startswith("transductive_") for name in scores)
    assert scores["transductive_t2i_recall_at_1"] == retrieval_scorer(ByNumber(), pairs)["t2i_recall_at_1"]
    assert rank_pairs(Corrected(), pairs)["t2i"].groups.tolist() == np.repeat(np.arange(12), 2).tolist()


def test_a_gallery_smaller_than_k_is_refused(pairs):
    with pytest.raises(ValueError, match=r"at least 10 images\. Got 8\. Use fewer folds"):
        retrieval_scorer(ByNumber(), pairs[2:10])
