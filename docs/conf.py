"""Sphinx configuration. Nothing is fetched: the pages build without a network."""

import inspect
import re

import mmfeat

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


def setup(app):
    app.connect("autodoc-skip-member", skip_inherited)
    # Before numpydoc, which listens with the usual priority of 500, and after it, for the properties that it looks up.
    app.connect("autodoc-process-docstring", escape_shapes, priority=400)
    app.connect("autodoc-process-docstring", escape_shapes, priority=600)
