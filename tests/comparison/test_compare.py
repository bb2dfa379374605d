"""Comparisons against the same work done by hand, and after every kind of stop."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mmfeat.comparison import Reranked, System, Together, compare
from mmfeat.comparison._rows import holm
from mmfeat.comparison._together import join
from mmfeat.fusion import CCA, PLS, LearnedProjection, SemanticMatching
from mmfeat.metrics import match_groups, mean_average_precision, rank_embeddings, rank_relevant, rsum
from mmfeat.retrieval import HubnessCorrection
from mmfeat.utils._rows import unit_rows

GROUPS = {split: np.repeat(np.arange(size), 2) for split, size in (("train", 120), ("val", 30), ("test", 40))}
COSTS = ("fit s", "query ms", "peak MB", "model MB")


def run(task, systems, work, **more):
    splits, images, texts, _ = task
    return compare(systems, splits, images, texts, work=work, isolate=False, **{"n_seeds": 2, **more})


def embedded(task, fusion, text, split):
    _, images, texts, _ = task
    train = images["given"]["train"][GROUPS["train"]], texts[text]["train"]
    fusion.fit(*train)
    return fusion.transform(images["given"][split]), fusion.transform_y(texts[text][split])


def rsum_of(images, texts, split):
    relevance = match_groups(np.arange(len(images)), GROUPS[split])
    return rsum(
        {
            "i": rank_embeddings(images, texts, relevance=relevance),
            "t": rank_embeddings(texts, images, relevance=relevance.T.tocsr()),
        }
    )


def rows_of(found):
    return {row["system"]: row for row in found.rows}


def figures(found):
    return [{name: value for name, value in row.items() if name not in COSTS} for row in found.rows]


def test_rows_are_those_of_the_same_work_by_hand(task, tmp_path):
    found = run(task, [System("CCA", CCA(4), text="rich"), System("PLS", PLS(3))], tmp_path)
    rows = rows_of(found)
    for name, fusion, text in (("CCA", CCA(4), "rich"), ("PLS", PLS(3), "plain")):
        assert rows[name]["rsum"] == pytest.approx(rsum_of(*embedded(task, fusion, text, "test"), "test"))
        assert rows[name]["val rsum"] == pytest.approx(rsum_of(*embedded(task, fusion, text, "val"), "val"))
        recalls = [value for column, value in rows[name].items() if " R@" in column]
        assert rows[name]["rsum"] == pytest.approx(sum(recalls))
        assert rows[name]["low"] < rows[name]["rsum"] < rows[name]["high"]
        assert rows[name]["fit s"] > 0
        assert rows[name]["model MB"] > 0
    assert found.gallery() == {"images": 40, "texts": 80}
    # One of two right ones among 80 sentences; one of 40 pictures.
    assert rows["chance"]["T→I R@10"] == pytest.approx(25)
    assert rows["chance"]["I→T R@1"] == pytest.approx(100 * 2 / 80)


def test_settings_are_those_that_are_best_on_val_and_never_on_test(task, tmp_path):
    grid = {"n_components": [1, 2, 4, 6], "reg": [0.01, 0.5, 3.0]}
    found = run(task, [System("CCA", CCA(), grid)], tmp_path)
    scores = {
        (width, reg): rsum_of(*embedded(task, CCA(width, reg=reg), "plain", "val"), "val")
        for width in grid["n_components"]
        for reg in grid["reg"]
    }
    row = rows_of(found)["CCA"]
    width, reg = max(scores, key=scores.get)
    assert row["val rsum"] == pytest.approx(scores[width, reg])
    assert row["settings"] == f"n_components={width}, reg={reg}"


def test_seeded_systems_run_with_every_seed_and_others_once(task, tmp_path):
    learned = LearnedProjection(8, max_epochs=3, batch_size=40)
    found = run(task, [System("learned", learned), System("CCA", CCA(4))], tmp_path, n_seeds=3)
    rows = rows_of(found)
    by_hand = []
    for seed in range(3):
        _, images, texts, _ = task
        fusion = LearnedProjection(8, max_epochs=3, batch_size=40, random_state=seed)
        fusion.fit(images["given"]["train"][GROUPS["train"]], texts["plain"]["train"], groups=GROUPS["train"])
        by_hand.append(
            rsum_of(fusion.transform(images["given"]["test"]), fusion.transform_y(texts["plain"]["test"]), "test")
        )
    assert rows["learned"]["seeds"] == 3
    assert rows["learned"]["rsum"] == pytest.approx(np.mean(by_hand), abs=1e-6)
    assert rows["learned"]["std over seeds"] == pytest.approx(np.std(by_hand, ddof=1), abs=1e-6)
    assert (rows["CCA"]["seeds"], rows["CCA"]["std over seeds"]) == (1, None)


def test_together_is_the_sum_of_cosines_of_one_scale(task, tmp_path):
    members = [System("one", CCA(4)), System("two", CCA(4), text="rich")]
    found = run(task, [*members, Together("both", ("one", "two"), weights=(1.0, 2.0))], tmp_path)
    parts = {split: [embedded(task, CCA(4), text, split) for text in ("plain", "rich")] for split in ("val", "test")}
    cosines = {
        split: [unit_rows(images) @ unit_rows(texts).T for images, texts in pairs] for split, pairs in parts.items()
    }
    # The scale is that of val.
    scores = sum(
        weight * test / val.std() for weight, val, test in zip((1, 2), cosines["val"], cosines["test"], strict=True)
    )
    relevance = match_groups(np.arange(40), GROUPS["test"])
    expected = rsum(
        {"i": rank_relevant(scores, relevance=relevance), "t": rank_relevant(scores.T, relevance=relevance.T.tocsr())}
    )
    assert rows_of(found)["both"]["rsum"] == pytest.approx(expected)
    assert rows_of(found)["both"]["settings"] == "one=1, two=2"


def test_a_row_that_a_member_knows_nothing_of_has_a_cosine_of_zero_there():
    rng = np.random.default_rng(0)
    members = [tuple(unit_rows(rng.normal(size=(n, 5))) for n in (6, 9)) for _ in range(2)]
    members[0][0][2] = members[1][1][4] = members[0][1][7] = 0
    images, texts = join(members, [1.0, 2.0])
    expected = (members[0][0] @ members[0][1].T + 2 * members[1][0] @ members[1][1].T) / 3
    np.testing.assert_allclose(unit_rows(images) @ unit_rows(texts).T, expected, atol=1e-6)


@pytest.mark.parametrize("weights", [(1.0,), (0.0, 0.0), (1.0, -1.0), (1.0, np.nan)])
def test_weights_that_weigh_nothing_are_refused(task, tmp_path, weights):
    systems = [System("one", CCA(4)), System("two", CCA(4), text="rich"), Together("both", ("one", "two"), weights)]
    with pytest.raises(ValueError, match="must be 2 numbers of at least 0"):
        run(task, systems, tmp_path)


def test_weights_are_chosen_on_val_where_they_help(task, tmp_path):
    systems = [System("one", CCA(4)), System("two", CCA(4), text="rich"), System("noise", PLS(1))]
    found = run(task, [*systems, Together("all", ("one", "two", "noise"))], tmp_path)
    rows = rows_of(found)
    assert rows["all"]["val rsum"] >= max(rows[name]["val rsum"] for name in ("one", "two", "noise"))


class Oracle:
    """A judge of pairs that knows which belong together; of anything else it says nothing."""

    def fit(self, X, y, groups=None):
        return self

    def get_params(self, deep=True):
        return {}

    def set_params(self, **parameters):
        return self

    def rerank(self, X, y, candidates, query):
        rows = np.arange(len(candidates))[:, None]
        return (candidates // 2 == rows if query == "image" else candidates == rows // 2).astype(float)


def test_a_second_stage_that_knows_puts_every_candidate_right(task, tmp_path):
    systems = [System("first", CCA(4), text="rich")]
    systems.append(Reranked("second", "first", Oracle(), "given", "rich", n_candidates=10, shares=(0.0, 1.0)))
    rows = rows_of(run(task, systems, tmp_path))
    # What the first stage has among ten the second puts first; it can do no more.
    for way in ("I→T", "T→I"):
        assert rows["second"][f"{way} R@1"] == pytest.approx(rows["first"][f"{way} R@10"])
        assert rows["second"][f"{way} R@10"] == pytest.approx(rows["first"][f"{way} R@10"])
    assert rows["second"]["settings"] == "share=1"


def test_a_sum_is_corrected_over_the_bank_of_its_members(task, tmp_path):
    hubness = HubnessCorrection("csls", n_neighbors=5)
    systems = [System("one", CCA(4)), System("two", CCA(4), text="rich")]
    systems.append(Together("sum", ("one", "two"), weights=(1.0, 1.0), hubness=hubness))
    systems.append(Reranked("second", "sum", Oracle(), "given", "rich", n_candidates=10, shares=(1.0,)))
    rows = rows_of(run(task, systems, tmp_path))
    parts = {
        split: [[unit_rows(part) for part in embedded(task, CCA(4), text, split)] for text in ("plain", "rich")]
        for split in ("train", "val", "test")
    }
    weights = [1 / (images @ texts.T).std() for images, texts in parts["val"]]

    def cosines(queries, gallery):
        return sum(w * q @ g.T for w, q, g in zip(weights, queries, gallery, strict=True)) / sum(weights)

    relevance = match_groups(np.arange(40), GROUPS["test"])
    rankings = {}
    for way, kind, right in (("i", 0, relevance), ("t", 1, relevance.T.tocsr())):
        train, test, gallery = (
            [pair[side] for pair in parts[split]]
            for split, side in (("train", kind), ("test", kind), ("test", 1 - kind))
        )
        correction = HubnessCorrection("csls", n_neighbors=5).fit(cosines(train, gallery))
        rankings[way] = rank_relevant(correction.transform(cosines(test, gallery)), relevance=right)
    assert rows["sum"]["rsum"] == pytest.approx(rsum(rankings), abs=1.5)
    assert rows["second"]["T→I R@1"] == pytest.approx(rows["sum"]["T→I R@10"])


@pytest.mark.parametrize("bank", ["train", "queries"])
def test_corrected_scores_are_those_of_the_correction_over_its_bank(task, tmp_path, bank):
    found = run(task, [System("corrected", CCA(4), hubness=HubnessCorrection("csls", bank=bank))], tmp_path)
    _, given, texts, _ = task
    fusion = CCA(4).fit(given["given"]["train"][GROUPS["train"]], texts["plain"]["train"])
    images, sentences = fusion.transform(given["given"]["test"]), fusion.transform_y(texts["plain"]["test"])
    banks = {
        "train": (fusion.transform(given["given"]["train"]), fusion.transform_y(texts["plain"]["train"])),
        "queries": (images, sentences),
    }[bank]
    relevance = match_groups(np.arange(40), GROUPS["test"])
    rankings = {}
    for way, queries, gallery, right, own in (
        ("i", images, sentences, relevance, banks[0]),
        ("t", sentences, images, relevance.T.tocsr(), banks[1]),
    ):
        gallery = unit_rows(gallery)
        correction = HubnessCorrection("csls").fit(unit_rows(own) @ gallery.T)
        rankings[way] = rank_relevant(correction.transform(unit_rows(queries) @ gallery.T), relevance=right)
    row = rows_of(found)["corrected"]
    assert row["rsum"] == pytest.approx(rsum(rankings), abs=1.0)
    assert row["remarks"] == ("transductive" if bank == "queries" else "")


def test_by_label_the_measure_is_mean_average_precision(task, tmp_path):
    labels = task[3]
    classifier = LogisticRegression()
    systems = [System("CCA", CCA(4)), System("SM", SemanticMatching(classifier, classifier), supervised=True)]
    found = run(task, systems, tmp_path, labels=labels, relevance="label")
    images, texts = embedded(task, CCA(4), "plain", "test")
    relevance = match_groups(labels["test"], labels["test"][GROUPS["test"]])
    expected = [
        100 * mean_average_precision(rank_embeddings(images, texts, relevance=relevance)),
        100 * mean_average_precision(rank_embeddings(texts, images, relevance=relevance.T.tocsr())),
    ]
    rows = rows_of(found)
    assert [rows["CCA"]["I→T mAP"], rows["CCA"]["T→I mAP"]] == pytest.approx(expected)
    assert rows["CCA"]["mAP"] == pytest.approx(np.mean(expected))
    assert rows["SM"]["remarks"] == "supervised"
    # A supervised system is never called the best of all.
    assert found.best == "CCA"
    assert rows["SM"]["mAP"] > rows["chance"]["mAP"]


def test_a_comparison_is_continued_and_not_done_again(task, tmp_path, monkeypatch):
    systems = [
        System("PLS", PLS(3)),
        System("learned", LearnedProjection(8, max_epochs=2, batch_size=40), {"dropout": [0.1, 0.3]}),
    ]
    whole = run(task, systems, tmp_path / "whole")
    started = tmp_path / "started"

    def stop(self, *arguments, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LearnedProjection, "transform", stop)
        with pytest.raises(KeyboardInterrupt):
            run(task, systems, started)
    assert len(list(started.glob("runs/*/record.json"))) == 1
    assert figures(run(task, systems, started)) == figures(whole)
    with monkeypatch.context() as patched:
        for fusion in (PLS, LearnedProjection):
            patched.setattr(fusion, "fit", stop)
        assert run(task, systems, started).rows == run(task, systems, started).rows
        with pytest.raises(KeyboardInterrupt):
            run(task, [System("PLS", PLS(4))], started)


SCRIPT = """
import sys
import numpy as np, pandas as pd
from mmfeat.comparison import System, Together, compare
from mmfeat.fusion import CCA, LearnedProjection
rng = np.random.default_rng(0)
splits, images, texts = {}, {}, {}
for split, size in (("train", 200), ("val", 20), ("test", 20)):
    images[split] = rng.normal(size=(size, 20)).astype("f4")
    texts[split] = (images[split] + rng.normal(size=(size, 20))).astype("f4")
    splits[split] = pd.DataFrame({"image": [f"{split}{i}" for i in range(size)], "text": [f"{split}{i}" for i in range(size)]})
systems = [System("CCA", CCA(4), {"reg": [0.1, 1.0]}),
           System("learned", LearnedProjection(8, max_epochs=30, early_stopping=False, batch_size=20)),
           Together("all", ("CCA", "learned"))]
found = compare(systems, splits, {"x": images}, {"y": texts}, work=sys.argv[1], n_seeds=1)
found.save(sys.argv[2], "table", pictures=False)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills a process group")
def test_a_killed_comparison_started_again_ends_in_the_same_table(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")

    def command(work, out):
        return [sys.executable, str(script), str(tmp_path / work), str(tmp_path / out)]

    killed = subprocess.Popen(command("stopped", "never"), start_new_session=True)
    # In the middle: the first system is done, the last is not.
    deadline = time.monotonic() + 120
    while not list((tmp_path / "stopped").glob("runs/*/record.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "never").exists()
    subprocess.run(command("stopped", "out"), check=True)
    subprocess.run(command("undisturbed", "expected"), check=True)
    tables = [json.loads((tmp_path / out / "table.json").read_text("utf-8")) for out in ("out", "expected")]
    rows = [[{k: v for k, v in row.items() if k not in COSTS} for row in table["results"]] for table in tables]
    assert rows[0] == rows[1]
    assert tables[0]["tests"] == tables[1]["tests"]
    # Processes of their own, each with its own memory.
    assert all(row["peak MB"] > 20 for row in tables[0]["results"][:-1])


def test_other_features_or_settings_are_no_old_runs(task, tmp_path):
    splits, images, texts, _ = task
    first = run(task, [System("CCA", CCA(4))], tmp_path)
    other = {"plain": {split: rows[:, ::-1] + 1 for split, rows in texts["rich"].items()}}
    changed = compare([System("CCA", CCA(4))], splits, images, other, work=tmp_path, isolate=False)
    assert changed.rows[0]["rsum"] != first.rows[0]["rsum"]
    assert len(list(Path(tmp_path).glob("runs/*"))) == 2


def test_a_failing_process_says_why(task, tmp_path):
    splits, images, texts, _ = task
    with pytest.raises(RuntimeError, match=r"(?s)'CCA' with seed 0 failed \(exit status 1\).*n_components"):
        compare([System("CCA", CCA(500))], splits, images, texts, work=tmp_path)


def test_tests_are_paired_and_corrected(task, tmp_path):
    found = run(
        task, [System("PLS", PLS(1)), System("CCA", CCA(5), text="rich"), System("same", CCA(5), text="rich")], tmp_path
    )
    tests = {(test["first"], test["second"]): test for test in found.tests}
    assert len(tests) == 3
    assert tests["CCA", "same"]["p"] == 1
    worse = tests["PLS", "CCA"]
    rows = rows_of(found)
    assert worse["difference"] == pytest.approx(rows["PLS"]["rsum"] - rows["CCA"]["rsum"])
    assert worse["low"] < worse["difference"] < worse["high"] < 0
    assert worse["p"] < worse["p corrected"] < 0.05
    verdict = found.verdict()
    assert "Best on val is **CCA**" in verdict
    assert "it is better than PLS by more than chance" in verdict
    assert "Against same the difference may be chance" in verdict


def test_holm_is_the_textbook_example():
    # Holm (1979); the figures of R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm").
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"systems": []}, ValueError, "nothing to compare"),
        ({"systems": [CCA(4)]}, TypeError, "must hold System, Together or Reranked. Got CCA"),
        ({"systems": [System("a", CCA(4)), System("a", PLS(4))]}, ValueError, "Two systems are called 'a'"),
        (
            {"systems": [Together("b", ("a",)), System("a", CCA(4))]},
            ValueError,
            "built on 'a', which does not stand before",
        ),
        ({"systems": [System("a", CCA(4), text="poor")]}, ValueError, "wants the text side 'poor'. Known"),
        ({"systems": [System("a", CCA(4), supervised=True)]}, ValueError, "supervised and needs `labels`"),
        (
            {
                "systems": [
                    System("a", CCA(4)),
                    Together("b", ("a",)),
                    Together("c", ("b",), hubness=HubnessCorrection()),
                ]
            },
            ValueError,
            "needs plain systems as members; 'b' is none",
        ),
        ({"relevance": "label"}, ValueError, "needs `labels`"),
        ({"relevance": "tag"}, ValueError, "'pair' or 'label'. Got 'tag'"),
        ({"splits": {}}, ValueError, "Missing: .*train"),
        ({"n_seeds": 0}, ValueError, "n_seeds"),
    ],
)
def test_what_cannot_be_compared_is_refused(task, tmp_path, change, error, message):
    splits, images, texts, _ = task
    arguments = {"systems": [System("a", CCA(4))], "splits": splits, "images": images, "texts": texts, **change}
    with pytest.raises(error, match=message):
        compare(**arguments, work=tmp_path / "work", isolate=False)
    assert not (tmp_path / "work").exists()


def test_features_that_do_not_fit_the_pairs_are_refused(task, tmp_path):
    splits, images, texts, labels = task
    short = {"given": {**images["given"], "val": images["given"]["val"][:-1]}}
    with pytest.raises(ValueError, match=r"given for val \('given'\) have 29 rows for 30 items"):
        compare([System("a", CCA(4))], splits, short, texts, work=tmp_path)
    with pytest.raises(ValueError, match=r"Missing: \['test'\]"):
        compare([System("a", CCA(4))], splits, {"x": {"train": [], "val": []}}, texts, work=tmp_path)
    with pytest.raises(ValueError, match=r"labels\['test'\] has 39 values for 40"):
        compare(
            [System("a", CCA(4))], splits, images, texts, work=tmp_path, labels={**labels, "test": labels["test"][1:]}
        )
    tiny = {**splits, "test": splits["test"][:9]}
    with pytest.raises(ValueError, match=r"at least 10 pictures in test\. Got 9"):
        compare([System("a", CCA(4))], tiny, images, texts, work=tmp_path)


def test_members_without_embeddings_are_refused(task, tmp_path):
    systems = [System("a", CCA(4), hubness=HubnessCorrection()), System("b", PLS(2)), Together("c", ("a", "b"))]
    with pytest.raises(ValueError, match="'c' adds up embeddings, and 'a' has scores only"):
        run(task, systems, tmp_path)
    # Before any work.
    assert not list(tmp_path.iterdir())
