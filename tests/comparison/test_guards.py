"""What a second reading found: marks that were lost, old runs taken for new ones, late errors."""

import os
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from mmfeat.comparison import Reranked, System, Together, compare
from mmfeat.comparison import _checks as checks
from mmfeat.comparison._rows import chance_map, pairwise_tests
from mmfeat.comparison._sides import Side, alone, load_features, save_features
from mmfeat.fusion import CCA, PLS, LearnedProjection, SemanticMatching
from mmfeat.image import ColorHistogram
from mmfeat.metrics import match_groups, mean_average_precision, paired_test, rank_relevant, rsum
from mmfeat.retrieval import HubnessCorrection
from mmfeat.text import tfidf_lsa


@pytest.fixture
def run(task, tmp_path):
    splits, images, texts, labels = task
    common = {"splits": splits, "images": images, "texts": texts, "work": tmp_path / "work", "isolate": False}

    def compared(systems, **more):
        return compare(systems, **{**common, "n_seeds": 1, **more})

    return partial(compared, labels=labels)


def rows_of(found):
    return {row["system"]: row for row in found.rows}


class Judge:
    """Says nothing of any pair."""

    def fit(self, X, y, groups=None):
        return self

    def get_params(self, deep=True):
        return {}

    def set_params(self, **parameters):
        return self

    def rerank(self, X, y, candidates, query):
        return np.zeros(candidates.shape)


def test_what_is_built_on_a_marked_system_is_marked(run):
    classifier = LogisticRegression()
    systems = [
        System("CCA", CCA(2)),
        System("SM", SemanticMatching(classifier, classifier), supervised=True),
        Together("sum", ("CCA", "SM")),
        System("asked", CCA(4), text="rich", hubness=HubnessCorrection(bank="queries")),
        Reranked("second", "asked", Judge(), "given", "rich", shares=(0.0,)),
    ]
    found = run(systems)
    rows = rows_of(found)
    remarks = {name: row["remarks"] for name, row in rows.items()}
    assert remarks["sum"] == "supervised"
    assert remarks["asked"] == remarks["second"] == "transductive"
    assert found.best == "CCA"
    assert "Best on val, of the systems that are neither transductive nor supervised, is **CCA**" in found.verdict()
    # No query is asked alone there.
    assert rows["asked"]["query ms"] is None
    assert rows["CCA"]["query ms"] > 0


def test_all_marked_is_said(run):
    found = run([System("asked", CCA(4), hubness=HubnessCorrection(bank="queries"))])
    assert "stands alone" in found.verdict()
    both = run([System(f"asked {k}", CCA(k), hubness=HubnessCorrection(bank="queries")) for k in (2, 4)])
    assert "All systems are transductive or supervised" in both.verdict()


def test_another_first_seed_chooses_for_itself(run, tmp_path):
    grid = {"dropout": [0.0, 0.7], "learning_rate": [1e-3, 3e-2]}
    system = System("learned", LearnedProjection(8, max_epochs=2, batch_size=40), grid)
    run([system], seed=0, n_seeds=2)
    after = run([system], seed=1)
    fresh = run([system], seed=1, work=tmp_path / "fresh")
    assert rows_of(after)["learned"]["rsum"] == rows_of(fresh)["learned"]["rsum"]
    assert rows_of(after)["learned"]["settings"] == rows_of(fresh)["learned"]["settings"]


def test_chance_by_label_is_what_random_orders_score():
    rng = np.random.default_rng(0)
    relevance = match_groups(rng.integers(0, 6, 40), rng.integers(0, 6, 50))
    drawn = [mean_average_precision(rank_relevant(rng.random((40, 50)), relevance=relevance)) for _ in range(300)]
    assert chance_map(relevance) == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 300**0.5)


def test_tests_of_all_pairs_are_those_of_each(run):
    found = run([System(f"CCA {k}", CCA(k)) for k in (1, 3, 6)])
    for test in found.tests:
        first, second = (
            next(scored.rankings[0] for scored in found._scored if scored.system.name == test[place])
            for place in ("first", "second")
        )
        one = paired_test(first, second, rsum, n_resamples=10000, random_state=0)
        assert test["difference"] == pytest.approx(one.difference)
        assert test["p"] == pytest.approx(one.p_value, abs=0.02)
        assert [test["low"], test["high"]] == pytest.approx([one.low, one.high], abs=0.1 * (one.high - one.low))


def test_many_systems_can_still_be_told_apart(run):
    found = run([System("worst", PLS(1)), System("best", CCA(5), text="rich")])
    scored = [found._scored[0]] * 33 + [found._scored[1]]
    # 561 pairs.
    assert min(test["p corrected"] for test in pairwise_tests(scored, 0)) < 0.05


def test_a_table_cut_elsewhere_is_encoded_anew(tmp_path):
    pairs = pd.DataFrame(
        {"image": [np.full((4, 4, 3), i, np.uint8) for i in range(60)], "text": [f"word{i % 7} {i}" for i in range(60)]}
    )
    arguments = {"images": {"c": ColorHistogram()}, "texts": {"t": tfidf_lsa(4, min_df=1)}, "isolate": False}
    for cut in ((30, 45), (40, 50)):
        splits = dict(
            zip(("train", "val", "test"), (pairs[: cut[0]], pairs[cut[0] : cut[1]], pairs[cut[1] :]), strict=True)
        )
        found = compare([System("CCA", CCA(2))], splits, work=tmp_path, **arguments)
        assert found.gallery()["images"] == 60 - cut[1]


def test_a_sentence_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = {"train": ["", "a.txt", "nul\0", "\ud800"], "val": ["."], "test": ["b"]}
    before = Side(tmp_path, "t", tfidf_lsa(2), values, False).digest
    (tmp_path / "a.txt").write_text("new")
    assert Side(tmp_path, "t", tfidf_lsa(2), values, False).digest == before


def test_pictures_of_other_palettes_are_others(tmp_path):
    one = Image.new("P", (2, 2))
    two = one.copy()
    two.putpalette([255, 0, 0])
    digests = [
        Side(tmp_path, "i", ColorHistogram(), {"train": [picture], "val": [], "test": []}, True).digest
        for picture in (one, two)
    ]
    assert digests[0] != digests[1]


def test_grids_of_long_arrays_are_told_apart(task):
    from mmfeat.caching._fingerprint import fingerprint

    long = np.arange(5000.0)
    grids = [{"reg": [long]}, {"reg": [np.where(long == 2500, -1, long)]}]
    assert str(grids[0]) == str(grids[1])
    assert fingerprint(grids[0], state=False) != fingerprint(grids[1], state=False)


def test_features_may_be_written_to_and_stay_as_they_are(tmp_path):
    # The chi2 kernel of scikit-learn refuses arrays that are read-only.
    save_features(tmp_path / "a", np.ones((3, 2)))
    loaded = load_features(tmp_path / "a")
    loaded[0] = 7
    assert load_features(tmp_path / "a")[0].tolist() == [1, 1]


def test_renamed_members_have_their_new_names(run):
    run([System("a", CCA(2)), System("b", CCA(4)), Together("sum", ("a", "b"), (1.0, 2.0))])
    renamed = run([System("c", CCA(2)), System("d", CCA(4)), Together("sum", ("c", "d"), (1.0, 2.0))])
    assert rows_of(renamed)["sum"]["settings"] == "c=1, d=2"


def test_pictures_in_two_splits_are_refused(task, run):
    splits = dict(task[0])
    splits["test"] = pd.concat([splits["test"][:-1], splits["train"][5:6]])
    with pytest.raises(ValueError, match="row 5 of train is also in row 39 of test"):
        run([System("CCA", CCA(2))], splits=splits)


def test_seeds_inside_of_estimators_are_set(run, tmp_path):
    forest = SemanticMatching(RandomForestClassifier(5), RandomForestClassifier(5))
    system = System("forest", forest, supervised=True)
    assert system.is_seeded
    found = [rows_of(run([system], work=tmp_path / name))["forest"]["rsum"] for name in ("a", "b")]
    assert found[0] == found[1]


def test_a_sum_may_take_the_first_seed_alone(run):
    learned = System("learned", LearnedProjection(8, max_epochs=1, batch_size=40))
    systems = [
        learned,
        System("CCA", CCA(2)),
        Together("all", ("learned", "CCA")),
        Together("one", ("learned", "CCA"), seeded=False),
    ]
    rows = rows_of(run(systems, n_seeds=2))
    assert [rows[name]["seeds"] for name in ("learned", "CCA", "all", "one")] == [2, 1, 2, 1]


def test_peak_memory_of_a_shared_process_is_not_reported(run):
    assert rows_of(run([System("CCA", CCA(2))]))["CCA"]["peak MB"] is None


def test_pandas_features_are_taken(task, run):
    images = task[1]
    frames = {"given": {split: pd.DataFrame(rows) for split, rows in images["given"].items()}}
    plain = rows_of(run([System("CCA", CCA(2))], n_seeds=1))["CCA"]["rsum"]
    assert rows_of(run([System("CCA", CCA(2))], images=frames))["CCA"]["rsum"] == plain


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": {}}, "`images` is empty"),
        ({"labels": {"train": [0] * 120}}, "Missing: 'val'"),
        ({"systems": [System("chance", CCA(2))]}, "'chance'"),
        ({"systems": [System("a", CCA(2)), Together("b", ())]}, "must have members"),
        ({"systems": [System("a", CCA(2)), Together("b", ("a", "a"))]}, "each once"),
        ({"systems": [System("a", CCA(2), {"rge": [1.0]})]}, "grid of 'a' does not fit its fusion"),
        (
            {"systems": [System("a", CCA(2)), Reranked("b", "a", Judge(), "given", "rich", shares=(2.0,))]},
            r"in \[0, 1\]",
        ),
        (
            {"systems": [System("a", CCA(2)), Reranked("b", "a", Judge(), "given", "rich", n_candidates=0)]},
            "at least 1",
        ),
        (
            {
                "systems": [
                    System("a", CCA(2)),
                    Reranked("b", "a", Judge(), "given", "rich"),
                    Reranked("c", "b", Judge(), "given", "rich"),
                ]
            },
            "a second stage itself",
        ),
    ],
)
def test_errors_come_before_the_work(run, tmp_path, change, message):
    arguments = {"systems": [System("a", CCA(2))], **change}
    with pytest.raises(ValueError, match=message):
        run(**arguments)
    assert not (tmp_path / "work").exists()


def test_nan_in_features_is_named_by_side_and_split(task, run):
    _, images, _, _ = task
    broken = {"given": {split: rows.copy() for split, rows in images["given"].items()}}
    broken["given"]["val"][3, 2] = np.nan
    with pytest.raises(ValueError, match=r"given for val \('given'\) hold NaN"):
        run([System("a", CCA(2))], images=broken)


def test_a_gallery_too_large_for_a_second_stage_is_refused(run, monkeypatch):
    monkeypatch.setattr(checks, "MOST_SCORES", 100)
    with pytest.raises(ValueError, match="gallery of 3,200 scores; a second stage takes at most 100"):
        run([System("a", CCA(2)), Reranked("b", "a", Judge(), "given", "rich")])


def test_what_a_process_of_its_own_cannot_import_is_refused(monkeypatch):
    monkeypatch.setattr(Judge, "__module__", "__main__")
    with pytest.raises(ValueError, match="uses Judge, which the script itself defines"):
        checks.check_importable(Reranked("b", "a", Judge(), "x", "y"))


def test_a_torch_fusion_is_timed_after_torch_is_there():
    script = (
        "import sys; from mmfeat.comparison._run import _warm_up; from mmfeat.comparison import System; "
        "from mmfeat.fusion import CCA, LearnedProjection; _warm_up(System('a', CCA(2))); assert 'torch' not in sys.modules; "
        "_warm_up(System('b', LearnedProjection(2))); assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.skipif(os.name != "posix", reason="no locks of files elsewhere")
def test_two_processes_never_work_in_one_folder(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from mmfeat.comparison._sides import alone\n"
        "with alone(Path(sys.argv[1])):\n print('in', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "run")], stdout=subprocess.PIPE)
    assert other.stdout.readline().strip() == b"in"
    # Killed, it leaves no lock behind; until then nobody else comes in.
    killer = subprocess.Popen([sys.executable, "-c", f"import os, time; time.sleep(1); os.kill({other.pid}, 9)"])
    start = time.monotonic()
    with alone(tmp_path / "run"):
        assert time.monotonic() - start > 0.5
    killer.wait()
    other.wait()
    other.stdout.close()


def test_cells_do_not_break_the_table(run):
    found = run([System("a | <b>\nc", CCA(2))])
    line = next(line for line in found.markdown().splitlines() if "a \\|" in line)
    assert "&lt;b> c" in line
    header = next(line for line in found.markdown().splitlines() if line.startswith("| system"))
    assert line.replace("\\|", "").count("|") == header.count("|")
