"""k-occurrences against a count in a loop, ties shared, their skewness against scipy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import skew

from mmfeat.retrieval import HubnessCorrection, hubness_report, k_occurrence
from mmfeat.retrieval._scores import RowScores


def count_by_loop(scores, k):
    """Each query gives k points; items that tie for the last places share what is left."""
    counts = np.zeros(scores.shape[1])
    for row in scores:
        last = sorted(row)[-k]
        above, tied = np.flatnonzero(row > last), np.flatnonzero(row == last)
        for item in above:
            counts[item] += 1
        for item in tied:
            counts[item] += (k - len(above)) / len(tied)
    return counts


@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("levels", [3, 10_000])
def test_counts_are_those_of_a_loop_with_ties(k, levels, monkeypatch):
    scores = np.random.default_rng(k).integers(0, levels, (40, 7)) - 5.0
    expected = count_by_loop(scores, k)
    assert_allclose(k_occurrence(scores, k=k), expected)
    monkeypatch.setattr("mmfeat.retrieval._scores.BLOCK_SCORES", 20)
    assert_allclose(k_occurrence(scores, k=k), expected)
    assert expected.sum() == pytest.approx(40 * k)


def test_embeddings_and_functions_give_the_counts_of_their_scores(monkeypatch):
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(50, 8)).astype("f4"), rng.normal(size=(30, 8)).astype("f4")
    monkeypatch.setattr("mmfeat.retrieval._scores.BLOCK_SCORES", 100)
    plain = RowScores(gallery)
    assert_allclose(k_occurrence(queries, gallery, k=4), count_by_loop(plain(queries), 4))
    assert_allclose(k_occurrence(queries, plain, k=4), count_by_loop(plain(queries), 4))
    at_once = RowScores(gallery, HubnessCorrection(bank="queries"))
    expected = HubnessCorrection().fit_transform(plain(queries))
    assert_allclose(k_occurrence(queries, at_once, k=4), count_by_loop(expected, 4))


def test_the_report_is_the_skewness_of_the_counts():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(200, 60)) + rng.normal(size=60)
    counts, report = k_occurrence(scores, k=5), hubness_report(scores, k=5)
    assert report["skewness"] == pytest.approx(skew(counts))
    assert report["skewness"] > 1
    assert report["never_found"] == np.mean(counts == 0)
    assert (report["mean"], report["largest"]) == (pytest.approx(200 * 5 / 60), counts.max())
    assert (report["k"], report["n_queries"], report["n_gallery"]) == (5, 200, 60)


def test_equal_scores_have_no_hubs():
    assert hubness_report(np.zeros((30, 7)), k=3) == {
        "k": 3,
        "n_queries": 30,
        "n_gallery": 7,
        "skewness": 0.0,
        "never_found": 0.0,
        "mean": pytest.approx(90 / 7),
        "largest": pytest.approx(90 / 7),
    }


@pytest.mark.parametrize(
    ("queries", "gallery", "k", "message"),
    [
        (np.eye(3), None, 4, "size of the gallery, 3. Got 4"),
        (np.eye(3), None, 0, "Got 0"),
        (np.eye(3), np.eye(2), 1, "queries have 3 components and the gallery 2"),
        ([[1.0, np.nan]], None, 1, "queries contains NaN"),
        (np.eye(3), lambda block: block * np.inf, 1, "scores contains NaN|scores contains infinity"),
    ],
)
def test_what_cannot_be_counted_is_refused(queries, gallery, k, message):
    with pytest.raises(ValueError, match=message), np.errstate(invalid="ignore"):
        k_occurrence(queries, gallery, k=k)
