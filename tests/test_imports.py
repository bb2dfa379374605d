"""Who may import whom, what waits until it is needed, and that what a package offers can be had."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mmfeat
from mmfeat.utils._discovery import public_packages

ROOT = Path(mmfeat.__file__).parent
MIDDLE = ["image", "text", "encoding", "fusion", "metrics", "datasets", "caching"]
# A package imports only from lower ones, and from itself.
LEVEL = {
    "utils": 0,
    **dict.fromkeys(MIDDLE, 1),
    "retrieval": 2,
    "multimodal": 2,
    "pretrained": 2,
    "comparison": 3,
    "cli": 4,
}
LAZY = ["torch", "torchvision", "cv2", "gensim", "jieba", "pandas", "matplotlib"]
AT_POINT_OF_USE = [*LAZY, "PIL", "polars", "skimage", "tqdm", "lmdb"]
OPENS_IMAGES = ("Image.open", "imread", "imdecode", "read_image", "decode_image", "decode_jpeg", "decode_png")


def imported_names(node, parts):
    """Dotted names that an import statement in the module at `parts` asks for, relative ones made absolute."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    here = ["mmfeat", *parts[:-1]]
    start = here[: len(here) - node.level + 1] if node.level else []
    base = ".".join([*start, node.module] if node.module else start)
    return [f"{base}.{alias.name}" for alias in node.names]


def at_import_time(tree):
    """All statements that run when the module is imported: those outside of functions."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)


def for_type_checkers(tree):
    """The nodes below ``if TYPE_CHECKING:``, which never run."""
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    return {node for block in blocks for statement in block.body for node in ast.walk(statement)}


def layer_violations(tree, parts):
    own = parts[0] if len(parts) > 1 else None
    if own is not None and own not in LEVEL:
        yield f"package {own} has no level in this file; design it in"
        return
    # The package itself tells type checkers what it holds, and imports it when it is asked for.
    unseen = for_type_checkers(tree) if parts == ("__init__.py",) else set()
    for node in set(ast.walk(tree)) - unseen:
        for name in imported_names(node, parts):
            top, *rest = name.split(".")
            if top != "mmfeat" or not rest or rest[0] not in LEVEL or rest[0] == own:
                continue
            if own is None or LEVEL[rest[0]] >= LEVEL[own]:
                yield f"line {node.lineno}: {own} imports {name}"


def private_violations(tree, parts):
    if parts == ("utils", "_compat.py"):
        return
    for node in ast.walk(tree):
        for name in imported_names(node, parts):
            if name.startswith("sklearn.") and "._" in name:
                yield f"line {node.lineno}: private {name}, which belongs in utils/_compat.py"


def lazy_violations(tree, parts):
    for node in set(at_import_time(tree)) - for_type_checkers(tree):
        for name in imported_names(node, parts):
            if name.split(".")[0] in AT_POINT_OF_USE:
                yield f"line {node.lineno}: {name} imported at the top"


def opening_violations(tree, parts):
    if parts == ("image", "_io.py"):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(OPENS_IMAGES):
            yield f"line {node.lineno}: {ast.unparse(node.func)} opens an image, which belongs in image/_io.py"


def violations(source, parts):
    """What the source of the module at `parts`, a path inside the package, does against the rules."""
    tree = ast.parse(source)
    rules = [layer_violations, private_violations, lazy_violations, opening_violations]
    return [message for rule in rules for message in rule(tree, parts)]


@pytest.mark.parametrize("file", sorted(ROOT.glob("**/*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_module_keeps_the_rules(file):
    assert violations(file.read_text("utf-8"), file.relative_to(ROOT).parts) == []


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("utils/_new.py", "from mmfeat.image import HOGFeatures"),
        ("text/_new.py", "from mmfeat.image import HOGFeatures"),
        ("text/_new.py", "def f():\n    import mmfeat.image._io"),
        ("text/_new.py", "from ..image import _io"),
        ("text/_new.py", "from mmfeat import image"),
        ("text/deep/_new.py", "from ... import image"),
        ("fusion/_new.py", "from mmfeat.retrieval import Retriever"),
        ("retrieval/_new.py", "from mmfeat.multimodal import Anything"),
        ("retrieval/_new.py", "from ..cli import main"),
        ("__init__.py", "from mmfeat.image import HOGFeatures"),
        ("brand_new/_new.py", "import numpy"),
        ("text/_new.py", "from sklearn.base import _fit_context"),
        ("text/_new.py", "from sklearn.utils._param_validation import Interval"),
        ("text/_new.py", "import sklearn.utils._tags"),
        ("text/_new.py", "import torch"),
        ("text/_new.py", "try:\n    from PIL import Image\nexcept ImportError:\n    pass"),
        ("text/_new.py", "class A:\n    import pandas.api"),
        ("datasets/_new.py", "def f(p):\n    return Image.open(p)"),
        ("image/_new.py", "def f(p):\n    return cv2.imread(str(p))"),
        ("image/_new.py", "def f(p):\n    return torchvision.io.decode_image(p)"),
    ],
)
def test_a_planted_violation_is_caught(place, source):
    assert len(violations(source, tuple(place.split("/")))) == 1


@pytest.mark.parametrize(
    ("place", "source"),
    [
        (
            "text/_new.py",
            "from ..utils import _base\nfrom ._jieba import JiebaTokenizer\nfrom mmfeat import __version__",
        ),
        ("retrieval/_new.py", "from mmfeat.metrics import retrieval_scorer\nimport mmfeat.fusion"),
        ("cli/_new.py", "from ..retrieval import Retriever\nfrom sklearn.base import clone"),
        ("text/_new.py", "def f():\n    import torch\n    from PIL import Image"),
        ("utils/_compat.py", "from sklearn.base import _fit_context"),
        ("__init__.py", "if TYPE_CHECKING:\n    from mmfeat import image"),
        ("text/_new.py", "if TYPE_CHECKING:\n    import torch"),
        ("image/_io.py", "def f(p):\n    from PIL import Image\n    return Image.open(p)"),
    ],
)
def test_what_is_allowed_passes(place, source):
    assert violations(source, tuple(place.split("/"))) == []


def output_of(code):
    """What a program prints in a new process."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def loaded_by(statement):
    """Heavy libraries that a statement loads in a new process.

    scikit-learn 1.9 imports pandas when it finds it, and does without when it does not: so it does not find it.
    """
    code = f"""
import sys
sys.modules["pandas"] = None
import sklearn.utils
del sys.modules["pandas"]
{statement}
print(*sorted(set(sys.modules) & set({LAZY!r})))
"""
    return output_of(code).split()


def test_importing_everything_loads_no_heavy_library():
    assert loaded_by(f"import {', '.join(['mmfeat', *public_packages()])}") == []


def test_a_heavy_library_is_noticed():
    assert loaded_by("import pandas") == ["pandas"]


# Packages by attribute


TOP = sorted({name.split(".")[1] for name in public_packages()})


def test_the_package_offers_what_it_holds():
    assert mmfeat.__all__ == TOP
    assert dir(mmfeat) == sorted([*TOP, "__version__"])


@pytest.mark.situation("mmfeat.fusion.CCA after `import mmfeat` alone", "the package is imported when it is asked for")
def test_packages_are_attributes():
    code = "import mmfeat\nprint(mmfeat.fusion.CCA.__name__, mmfeat.retrieval.Retriever.__module__)"
    assert output_of(code).split() == ["CCA", "mmfeat.retrieval._retriever"]


@pytest.mark.situation("from mmfeat import *", "all packages, by their names, and nothing else")
def test_star_gives_the_packages():
    code = "old = {*globals(), 'old'}\nfrom mmfeat import *\nprint(*sorted(set(globals()) - old))"
    assert output_of(code).split() == TOP


@pytest.mark.situation(
    "several threads use packages of mmfeat for the first time at once", "each gets the same packages"
)
def test_threads_may_ask_for_packages_at_once():
    code = f"""
import mmfeat
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    modules = list(pool.map(lambda name: getattr(mmfeat, name), {TOP * 4!r}))
print(len(set(modules)), all(mmfeat.__dict__[module.__name__.split(".")[1]] is module for module in modules))
"""
    assert output_of(code).split() == [str(len(TOP)), "True"]


@pytest.mark.situation("mmfeat.nonsense", "AttributeError with the packages there are")
def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"'mmfeat' has no attribute 'nonsense'.* fusion, image"):
        mmfeat.nonsense  # noqa: B018
    assert not hasattr(mmfeat, "Retriever")
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        exec("from mmfeat import nonsense")


def test_asking_for_every_package_loads_no_heavy_library():
    assert loaded_by("import mmfeat\nfor name in mmfeat.__all__:\n    getattr(mmfeat, name)\ndir(mmfeat)") == []


def house_order(name):
    """Constants and abbreviations, then classes, then functions: the order that ruff keeps."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("package", public_packages().values(), ids=lambda package: package.__name__)
def test_all_is_sorted_and_there(package):
    assert package.__all__ == sorted(set(package.__all__), key=house_order)
    assert all(hasattr(package, name) for name in package.__all__)
    assert not any(name.startswith("_") for name in package.__all__)
