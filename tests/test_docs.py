"""Everything public is documented, in numpydoc and in the API pages, and files stay short."""

import ast
import doctest
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import mmfeat
from mmfeat.utils._discovery import public_objects

ROOT = Path(mmfeat.__file__).parent
PROJECT = ROOT.parent
PUBLIC = public_objects()
LONGEST_FILE = 330

# Of numpydoc.validate: there is a docstring, its sections are known and in order, the summary is one sentence on one
# line, and the parameters, their order and types are those of the signature.
ALWAYS = {"GL01", "GL03", "GL05", "GL06", "GL07", "GL08", "SS01", "SS02", "SS03", "SS04", "SS06"}
ALWAYS |= {"PR01", "PR02", "PR03", "PR05", "PR10"}
OF_OBJECTS = ALWAYS | {"PR04", "EX01"}
# scikit-learn fixes what these take; one line says what they give.
ONE_LINE = {"get_feature_names_out", "get_metadata_routing", "get_params", "set_params", "set_output"}


def complaints(name, codes):
    validate = pytest.importorskip("numpydoc.validate").validate
    return [f"{code}: {text}" for code, text in validate(name)["errors"] if code in codes]


def public_methods():
    """Dotted names of the methods written in this package that a user of a public class may call."""
    for path, item in PUBLIC.items():
        for name, member in inspect.getmembers(item, inspect.isfunction) if inspect.isclass(item) else []:
            ours = inspect.unwrap(member).__module__.startswith("mmfeat.")
            if ours and name not in ONE_LINE and (name == "__call__" or not name.startswith("_")):
                yield f"{path}.{name}"


def is_written_by_hand(page):
    generated = {"_build", "auto_examples", "generated"} & set(page.parts)
    return not generated and ">>> " in page.read_text("utf-8")


def find(path):
    """Object with a dotted name: public itself, or a method of something public."""
    owner, _, name = path.rpartition(".")
    return PUBLIC[path] if path in PUBLIC else getattr(PUBLIC[owner], name)


@pytest.mark.parametrize("path", PUBLIC)
def test_public_object_has_a_numpydoc_docstring_with_an_example(path):
    assert complaints(path, OF_OBJECTS) == []


@pytest.mark.parametrize("path", [*public_methods()])
def test_public_method_has_a_numpydoc_docstring(path):
    assert complaints(path, ALWAYS) == []


@pytest.mark.parametrize(
    "path", [path for path, item in PUBLIC.items() if not inspect.isclass(item)] + [*public_methods()]
)
def test_what_is_returned_and_raised_is_documented(path):
    function = inspect.unwrap(find(path))
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    statements = [node for node in ast.walk(tree) if isinstance(node, (ast.Return, ast.Raise))]
    docstring = inspect.getdoc(function)
    if any(isinstance(node, ast.Return) and node.value is not None for node in statements):
        assert re.search(r"^(Returns|Yields)\n-+$", docstring, re.M), "returns a value, but has no Returns section"
    if any(isinstance(node, ast.Raise) for node in statements):
        assert re.search(r"^Raises\n-+$", docstring, re.M), "raises, but has no Raises section"


@pytest.mark.parametrize("path", PUBLIC)
def test_public_object_is_in_the_api_pages(path):
    package, _, name = path.rpartition(".")
    pages = {page: page.read_text("utf-8") for page in (PROJECT / "docs" / "api").glob("*.rst")}
    listing = [page for page, text in pages.items() if f"currentmodule:: {package}\n" in text]
    assert len(listing) == 1, f"{package} has {len(listing)} pages in docs/api"
    assert re.search(rf"^\s+{re.escape(name)}$", pages[listing[0]], re.M)


def test_api_pages_list_nothing_that_is_gone():
    for page in (PROJECT / "docs" / "api").glob("*.rst"):
        text = page.read_text("utf-8")
        for package, block in re.findall(r"currentmodule:: (\S+)\n(.*?)(?=\.\. currentmodule|\Z)", text, re.S):
            listed = re.findall(r"^   (\w+)$", block, re.M)
            assert {f"{package}.{name}" for name in listed} <= set(PUBLIC), page.name


@pytest.mark.parametrize("file", sorted(ROOT.glob("**/*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_file_is_short(file):
    assert len(file.read_text("utf-8").splitlines()) <= LONGEST_FILE


def test_readme_names_the_two_commands():
    readme = (PROJECT / "README.md").read_text("utf-8")
    assert "make demo" in readme
    assert "make test" in readme


PAGES_WITH_EXAMPLES = [page for page in sorted((PROJECT / "docs").glob("**/*.rst")) if is_written_by_hand(page)]


@pytest.mark.parametrize("page", PAGES_WITH_EXAMPLES, ids=lambda page: page.stem)
def test_examples_of_the_pages_run(page):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testfile(str(page), module_relative=False, optionflags=flags, encoding="utf-8").failed == 0
