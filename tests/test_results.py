"""The committed figures: tables come from their records, and the README shows the tables as they are."""

import json
from pathlib import Path

import pytest

from mmfeat.cli._bench import _describe

ROOT = Path(__file__).parents[1]
RECORDS = sorted((ROOT / "benchmarks" / "results").glob("flickr8k_*.json"))


def test_there_are_records_in_both_languages():
    assert {json.loads(path.read_text("utf-8"))["language"] for path in RECORDS} == {"en", "zh"}


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_tables_come_from_records_and_stand_in_the_readme(path):
    record = json.loads(path.read_text("utf-8"))
    table = path.with_suffix(".md").read_text("utf-8")
    assert table == _describe(record) + "\n"
    assert table in (ROOT / "README.md").read_text("utf-8")
    assert {"packages", "cpu", "torch_threads"} <= set(record["provenance"])
    assert record["chosen_on"] == "val"


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_sums_are_sums_of_the_recalls_beside_them(path):
    for row in json.loads(path.read_text("utf-8"))["results"]:
        assert row["rsum"] == pytest.approx(sum(value for name, value in row.items() if " R@" in name))
