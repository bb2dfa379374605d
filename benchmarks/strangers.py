"""What users bring, what happens now, and the test that holds it: one table, made by running the tests.

A test is listed when it carries ``@pytest.mark.situation(what, now)``. The record holds how often each test passed, failed
or was skipped, so a row that does not hold shows as such::

    python benchmarks/strangers.py --out benchmarks/results
"""

import argparse
import json
import sys
from pathlib import Path

import pytest

from mmfeat.cli._provenance import provenance
from mmfeat.utils._markdown import markdown_table

ROOT = Path(__file__).resolve().parents[1]


class Recorder:
    """A pytest plugin that runs the tests that carry a situation and counts how they ended."""

    def __init__(self):
        self.rows = {}

    def pytest_collection_modifyitems(self, config, items):
        """Leave out the tests that carry no situation."""
        others = [item for item in items if not any(item.iter_markers("situation"))]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if any(item.iter_markers("situation"))]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item):
        """Count a test once: at its call, or where it ended before."""
        report = yield
        if report.when == "call" or (report.when == "setup" and not report.passed):
            for mark in item.iter_markers("situation"):
                what, now = mark.args
                test = item.nodeid.partition("[")[0]
                new = {"situation": what, "now": now, "test": test, "passed": 0, "failed": 0, "skipped": 0}
                self.rows.setdefault((what, now, test), new)[report.outcome] += 1
        return report


def table(rows):
    """The rows as Markdown, by package of the test."""
    cells = [
        {
            "what users bring": row["situation"],
            "what happens now": row["now"],
            "holds": "no" if row["failed"] else "yes" if row["passed"] else "not run here",
            "test": row["test"],
        }
        for row in rows
    ]
    return markdown_table(cells)


def main():
    """Run the tests and write the table; the exit status is pytest's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of strangers.json and strangers.md")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, such as a folder of tests")
    options = parser.parse_args()
    recorder = Recorder()
    status = pytest.main(["-q", "-p", "no:randomly", "--rootdir", str(ROOT), *options.pytest], plugins=[recorder])
    rows = sorted(recorder.rows.values(), key=lambda row: (row["test"], row["situation"]))
    failed = sum(row["failed"] > 0 for row in rows)
    options.out.mkdir(parents=True, exist_ok=True)
    record = {"provenance": provenance(), "situations": len(rows), "not_held": failed, "rows": rows}
    (options.out / "strangers.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    head = f"{len(rows)} situations; {len(rows) - failed} hold, {failed} do not. Made by `benchmarks/strangers.py`.\n\n"
    (options.out / "strangers.md").write_text(f"# What users bring\n\n{head}{table(rows)}\n", "utf-8")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
