"""Sphinx configuration. Nothing is fetched: the pages build without a network."""

import inspect
import json
import re
from pathlib import Path

import mmfeat

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "benchmarks" / "results"

project = "mmfeat"
author = copyright = "The mmfeat developers"
release = version = mmfeat.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["templates"]
exclude_patterns = ["_build", "templates", "examples"]
default_role = "literal"

autosummary_generate = True
autodoc_member_order = "bysource"
# The members come from the template of autosummary, which leaves out what scikit-learn adds to every estimator.
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "download_all_examples": False,
    "show_memory": False,
    "abort_on_example_error": True,
}

html_theme = "pydata_sphinx_theme"
html_title = f"mmfeat {release}"
html_show_sourcelink = False
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}


def skip_inherited(app, what, name, obj, skip, options):
    """Leave out members that scikit-learn defines: their docstrings refer to pages that are not here."""
    module = getattr(inspect.unwrap(obj), "__module__", None) if callable(obj) else None
    if (name.startswith("set_") and name.endswith("_request")) or (module or "mmfeat").split(".")[0] != "mmfeat":
        return True
    return None


def escape_shapes(app, what, name, obj, options, lines):
    """Keep docutils from taking `n_components_` in "ndarray of shape (n, n_components_)" for a link."""
    for number, line in enumerate(lines):
        lines[number] = re.sub(
            r"(?<=shape )\([^()`]*\)", lambda shape: re.sub(r"(?<!\\)_(?=[,)])", r"\\_", shape[0]), line
        )


def write_comparisons(app):
    """Tables of the committed comparisons, made anew at each build so that they cannot grow old."""
    (HERE / "generated").mkdir(exist_ok=True)
    for path in sorted(RESULTS.glob("compare_*.json")):
        text = comparison_rst(path.stem, json.loads(path.read_text("utf-8")))
        (HERE / "generated" / f"{path.stem}.inc").write_text(text, "utf-8")


def comparison_rst(name, record):
    """Verdict, table and charts of a comparison."""
    measure = record["measure"]
    figures = [
        column for column in record["results"][0] if column.endswith((" R@1", " R@5", " R@10", "T mAP", "I mAP"))
    ]
    header = ["system", *figures, measure, "fit s", "query ms", "model MB"]
    lines = [record["verdict"], "", ".. list-table::", "   :header-rows: 1", ""]
    for cells in [header, *(_cells(row, figures, measure) for row in record["results"])]:
        # "R@10" would be taken for an address of mail.
        cells = [cell.replace("@", r"\@") for cell in cells]
        lines += [f"   {'* -' if place == 0 else '  -'} {cell}" for place, cell in enumerate(cells)]
    for chart in ("cost", "recall_t2i", "hubs"):
        if (RESULTS / f"{name}_{chart}.svg").exists():
            lines += ["", f".. image:: ../../benchmarks/results/{name}_{chart}.svg", f"   :alt: {chart} of the systems"]
    return "\n".join(lines) + "\n"


def _cells(row, figures, measure):
    remark = f" ({row['remarks']})" if row["remarks"] else ""
    interval = "" if row["low"] is None else f" [{row['low']:.0f}, {row['high']:.0f}]"
    costs = ["" if row[name] is None else f"{row[name]:.3g}" for name in ("fit s", "query ms", "model MB")]
    return [row["system"] + remark, *(f"{row[name]:.1f}" for name in figures), f"{row[measure]:.1f}{interval}", *costs]


def setup(app):
    app.connect("builder-inited", write_comparisons)
    app.connect("autodoc-skip-member", skip_inherited)
    # Before numpydoc, which listens with the usual priority of 500, and after it, for the properties that it looks up.
    app.connect("autodoc-process-docstring", escape_shapes, priority=400)
    app.connect("autodoc-process-docstring", escape_shapes, priority=600)
