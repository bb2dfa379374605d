"""Put the comparisons of benchmarks/results into the README, between its markers: python benchmarks/update_readme.py"""

import json
import re
from pathlib import Path

from mmfeat.utils._markdown import markdown_table

ROOT = Path(__file__).resolve().parents[1]
RECORDS = {
    "compare_flickr8k_en.json": "Captions in English",
    "compare_flickr8k_zh.json": "Native captions in Chinese, which are short and generic: low recall is inherent",
}
RECALLS = [f"{way} R@{k}" for way in ("I→T", "T→I") for k in (1, 5, 10)]


def summary(record, title):
    """A comparison in a few columns, with its verdict."""
    rows = [
        {
            "system": row["system"] + (f" ({row['remarks']})" if row["remarks"] else ""),
            **{name: f"{row[name]:.1f}" for name in RECALLS},
            "rsum": f"{row['rsum']:.1f}" + ("" if row["low"] is None else f" [{row['low']:.0f}, {row['high']:.0f}]"),
            "fit s": "" if row["fit s"] is None else f"{row['fit s']:.0f}",
        }
        for row in record["results"]
    ]
    gallery = record["gallery"]
    return (
        f"{title}. Gallery: {gallery['images']:,} pictures, {gallery['texts']:,} sentences.\n\n{record['verdict']}\n\n"
        f"{markdown_table(rows)}\n"
    )


def block():
    """What stands between the markers."""
    parts = [
        summary(json.loads((ROOT / "benchmarks" / "results" / name).read_text("utf-8")), title)
        for name, title in RECORDS.items()
    ]
    return "<!-- results -->\n" + "\n".join(parts) + "<!-- end of results -->"


def main():
    """Rewrite the README in place."""
    readme = ROOT / "README.md"
    text, found = re.subn(
        r"<!-- results -->.*?<!-- end of results -->", lambda _: block(), readme.read_text("utf-8"), flags=re.S
    )
    if found != 1:
        raise SystemExit("README.md must hold the markers '<!-- results -->' and '<!-- end of results -->' once.")
    readme.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
