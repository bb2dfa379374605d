"""Run files against trec_eval itself."""

import numpy as np
import pytest

from mmfeat.metrics import (
    mean_average_precision,
    mean_reciprocal_rank,
    ndcg,
    precision_at_k,
    rank_relevant,
    recall_at_k,
    write_trec_qrels,
    write_trec_run,
)


@pytest.fixture
def ranking():
    rng = np.random.default_rng(0)
    # No ties: trec_eval breaks them by name.
    scores = rng.permutation(12 * 40).reshape(12, 40) / 7 - 30
    grades = rng.integers(0, 4, (12, 40)) * (rng.random((12, 40)) < 0.2)
    grades[:, 5] = 2
    return scores, grades


def test_trec_eval_reads_the_files_and_scores_the_same(tmp_path, ranking):
    trec = pytest.importorskip("pytrec_eval")
    scores, grades = ranking
    items = np.array([f"picture_{i:02d}.jpg" for i in range(40)])
    queries = [f"句子{i}" for i in range(12)]
    order = np.argsort(-scores, axis=1)
    write_trec_run(tmp_path / "run", np.take_along_axis(scores, order, axis=1), items[order], queries)
    write_trec_qrels(tmp_path / "qrels", grades, items, queries)
    with (tmp_path / "run").open(encoding="utf-8") as run, (tmp_path / "qrels").open(encoding="utf-8") as qrels:
        judged, ran = trec.parse_qrel(qrels), trec.parse_run(run)
    found = trec.RelevanceEvaluator(judged, {"map", "recip_rank", "P_5,10", "success_1,5,10", "ndcg", "ndcg_cut_10"})
    rows = found.evaluate(ran)
    theirs = {name: np.array([rows[query][name] for query in queries]) for name in rows[queries[0]]}
    ranks = rank_relevant(scores, relevance=grades)
    ours = {
        "map": mean_average_precision(ranks, average=False),
        "recip_rank": mean_reciprocal_rank(ranks, average=False),
        "P_5": precision_at_k(ranks, k=5, average=False),
        "P_10": precision_at_k(ranks, k=10, average=False),
        "success_1": recall_at_k(ranks, k=1, average=False),
        "success_5": recall_at_k(ranks, k=5, average=False),
        "success_10": recall_at_k(ranks, k=10, average=False),
        "ndcg": ndcg(ranks, average=False),
        "ndcg_cut_10": ndcg(ranks, k=10, average=False),
    }
    assert set(ours) <= set(theirs)
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], atol=1e-9, err_msg=name)


def test_scores_survive_the_file(tmp_path):
    rng = np.random.default_rng(0)
    scores = -np.sort(-rng.normal(size=(3, 50)).astype(np.float32), axis=1)
    write_trec_run(tmp_path / "run", scores, np.tile(np.arange(50), (3, 1)))
    lines = (tmp_path / "run").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 150
    assert np.array_equal(np.array([line.split()[4] for line in lines], dtype=np.float32).reshape(3, 50), scores)
    assert lines[51].split()[:4] == ["1", "Q0", "1", "2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": [[0.5, 0.9]]}, "query 0 are not in descending order"),
        ({"scores": [[0.9, np.nan]]}, "NaN or infinity, first for query 0"),
        ({"scores": [[np.inf, 0.5]]}, "NaN or infinity, first for query 0"),
        ({"item_ids": [["a", "a"]]}, "An item stands twice in the answer to query '0'"),
        ({"scores": [0.9, 0.5]}, "one shape"),
        ({"item_ids": [["my cat.jpg", "b"]]}, "holds 'my cat.jpg'"),
        ({"item_ids": [["", "b"]]}, "holds ''"),
        ({"query_ids": ["a", "b"]}, "must have 1 values. Got 2"),
        ({"tag": "two words"}, "tag holds 'two words'"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(tmp_path, change, message):
    arguments = {"scores": [[0.9, 0.5]], "item_ids": [["a", "b"]], **change}
    with pytest.raises(ValueError, match=message):
        write_trec_run(tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relevance": [[0.5, 1.0]]}, "whole numbers. Got 0.5"),
        ({"relevance": [[0, 0]]}, "no relevant item"),
        ({"relevance": [1, 0]}, "must be a matrix of grades"),
        ({"item_ids": ["a", "a"]}, "unique"),
    ],
)
def test_judgements_that_the_format_cannot_hold_are_refused(tmp_path, change, message):
    arguments = {"relevance": [[1, 0]], **change}
    with pytest.raises(ValueError, match=message):
        write_trec_qrels(tmp_path / "qrels", **arguments)
    assert not (tmp_path / "qrels").exists()
