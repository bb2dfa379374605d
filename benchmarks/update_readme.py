"""Put the tables of benchmarks/results into the README, between its markers: python benchmarks/update_readme.py"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLES = ("flickr8k_en_mobilenet_v2.md", "flickr8k_zh_mobilenet_v2.md")


def main():
    """Rewrite the README in place."""
    readme = ROOT / "README.md"
    tables = "\n".join((ROOT / "benchmarks" / "results" / name).read_text("utf-8") for name in TABLES)
    block = f"<!-- results -->\n{tables}<!-- end of results -->"
    text, found = re.subn(
        r"<!-- results -->.*?<!-- end of results -->", lambda _: block, readme.read_text("utf-8"), flags=re.S
    )
    if found != 1:
        raise SystemExit("README.md must hold the markers '<!-- results -->' and '<!-- end of results -->' once.")
    readme.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
