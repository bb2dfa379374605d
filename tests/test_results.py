"""The committed figures: sums are sums, tables say what records say, and the README shows them."""

import csv
import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
COMPARED = sorted(RESULTS.glob("compare_*.json"))


def read(path):
    return json.loads(path.read_text("utf-8"))


def test_every_task_is_compared():
    names = {path.stem for path in COMPARED}
    assert {"compare_flickr8k_en", "compare_flickr8k_zh", "compare_wikipedia", "compare_scenes_en"} <= names


@pytest.mark.parametrize("path", COMPARED, ids=lambda path: path.stem)
def test_tables_hold_the_figures_of_the_records(path):
    record = read(path)
    measure = record["measure"]
    text = path.with_suffix(".md").read_text("utf-8")
    table = list(csv.DictReader(path.with_suffix(".csv").read_text("utf-8").splitlines()))
    assert record["verdict"] in text
    for row, cells in zip(record["results"], table, strict=True):
        assert cells["system"] == row["system"]
        assert float(cells[measure]) == pytest.approx(row[measure], abs=1e-3)
        assert f"{row[measure]:.1f}" in text
        if measure == "rsum":
            assert row["rsum"] == pytest.approx(sum(value for name, value in row.items() if " R@" in name))
        if row["low"] is not None:
            assert row["low"] < row[measure] < row["high"]


@pytest.mark.parametrize("path", COMPARED, ids=lambda path: path.stem)
def test_the_best_is_the_best_on_val_of_those_that_are_neither_transductive_nor_supervised(path):
    record = read(path)
    fair = [row for row in record["results"] if not row["remarks"] and row["system"] != "chance"]
    assert record["best"] == max(fair, key=lambda row: row[f"val {record['measure']}"])["system"]
    assert {"packages", "cpu", "torch_threads"} <= set(record["provenance"])
    assert record["chosen_on"] == "val"


def test_the_readme_shows_the_comparisons_as_they_are():
    spec = importlib.util.spec_from_file_location("update_readme", ROOT / "benchmarks" / "update_readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.block() in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.html")), ids=lambda path: path.stem)
def test_no_photograph_is_published(path):
    if "flickr8k" in path.stem:
        assert "data:image" not in path.read_text("utf-8")
