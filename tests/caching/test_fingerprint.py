"""Digests of transformers: equal where rows are, in every process, and different where they may differ."""

import importlib
import re
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mmfeat.caching import CachedTransformer, _fingerprint
from mmfeat.caching._fingerprint import fingerprint
from mmfeat.image import CNNFeatures, ColorHistogram, HOGFeatures, _cnn
from mmfeat.text import tfidf_lsa


class Taking(TransformerMixin, BaseEstimator):
    """Takes one parameter of any kind."""

    def __init__(self, value=None, verbose=0):
        self.value = value
        self.verbose = verbose

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X


def of(value, *, state=False):
    return fingerprint(Taking(value), state=state)


SCALE = 2.0


def scaled(X):
    return SCALE * X


# Each differs from all others.
VALUES = [
    None,
    0,
    0.0,
    False,
    "0",
    b"0",
    "",
    (),
    [],
    [0],
    (0,),
    {},
    set(),
    [[0], 1],
    [0, [1]],
    {"a": 1},
    {"a": 2},
    {"b": 1},
    {"a", "b"},
    np.zeros(3),
    np.zeros(3, dtype=np.float32),
    np.zeros((3, 1)),
    np.zeros((0, 3)),
    np.zeros((3, 0)),
    np.array([1 + 2j]),
    np.array([1 - 2j]),
    np.array(["a"]),
    np.array(["b"]),
    np.array(["2020-01-01"], dtype="datetime64[D]"),
    np.array(["a", None], dtype=object),
    sparse.csr_array(np.eye(2)),
    sparse.csr_array(np.eye(3)),
    np.float32,
    ColorHistogram,
    HOGFeatures(),
    HOGFeatures(orientations=4),
    scaled,
    partial(scaled, 1),
    partial(scaled, 2),
    np.log,
    re.compile("a"),
    re.compile("b"),
    np.random.RandomState(0),
    np.random.RandomState(1),
    make_pipeline(StandardScaler()),
    make_pipeline(StandardScaler(with_mean=False)),
    make_union(StandardScaler()),
]


def test_different_values_differ_and_equal_ones_do_not():
    digests = [of(value) for value in VALUES]
    assert len(set(digests)) == len(VALUES)
    assert [of(clone(value, safe=False)) for value in VALUES] == digests


def test_order_of_keys_does_not_count():
    assert of({"a": 1, "b": 2}) == of({"b": 2, "a": 1})
    assert of({"x", "y", "z"}) == of({"z", "y", "x"})
    matrix = sparse.coo_array(([1.0, 2.0], ([0, 1], [1, 0])))
    assert of(matrix.tocsr()) == of(matrix.tocsc().tocsr())


def test_a_value_that_holds_itself_ends():
    loop = [1]
    loop.append(loop)
    assert of(loop) != of([1, []])


def test_what_does_not_change_rows_is_left_out():
    assert fingerprint(Taking(1, verbose=5), state=False) == of(1)
    assert fingerprint(TfidfVectorizer(), state=False) != fingerprint(TfidfVectorizer(min_df=2), state=False)
    inner = CachedTransformer(Taking(1), "a", max_bytes=5)
    assert of(inner) == of(CachedTransformer(Taking(1), "b"))
    assert of(inner) != of(CachedTransformer(Taking(2), "a"))


def test_learned_state_counts_where_it_is_asked_for():
    X = np.random.default_rng(0).normal(size=(9, 2))
    for make, a, b in [
        (StandardScaler, X, X + 1),
        (lambda: make_pipeline(StandardScaler()), X, X + 1),
        (lambda: tfidf_lsa(2, min_df=1, random_state=0), ["a b", "b c", "c d"], ["a b", "b c", "b d"]),
    ]:
        first, again, other = make().fit(a), make().fit(a), make().fit(b)
        assert fingerprint(first, state=True) == fingerprint(again, state=True)
        assert fingerprint(first, state=True) != fingerprint(other, state=True)
        assert fingerprint(first, state=False) == fingerprint(other, state=False)


def test_content_of_files_counts(tmp_path):
    first, second = tmp_path / "a.bin", tmp_path / "b.bin"
    first.write_bytes(b"1")
    second.write_bytes(b"1")
    before = of(str(first))
    assert before == of(str(second)) == of(first)
    first.write_bytes(b"2")
    assert of(str(first)) != before == of(second)
    assert of(tmp_path) != before
    before = of(tmp_path)
    (tmp_path / "c.bin").write_bytes(b"3")
    assert of(tmp_path) != before
    assert of(str(tmp_path)) == of(tmp_path)  # a folder of weights
    assert of(tmp_path / "gone.bin") != of(tmp_path / "other.bin")


def test_a_word_that_happens_to_be_a_file_keeps_its_meaning(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("features.1", "features.2"):
        Path(name).write_bytes(b"the same")
    assert of("features.1") != of("features.2")


def test_versions_of_libraries_count(monkeypatch):
    before = fingerprint(ColorHistogram(), state=False), fingerprint(StandardScaler(), state=False)
    real = _fingerprint._version.__wrapped__
    for name in ("pillow", "timm"):
        monkeypatch.setattr(_fingerprint, "_version", lambda asked, name=name: "0" if asked == name else real(asked))
        assert fingerprint(ColorHistogram(), state=False) != before[0]
    assert fingerprint(StandardScaler(), state=False) == before[1]
    monkeypatch.setattr("sklearn.__version__", "0")
    assert fingerprint(StandardScaler(), state=False) != before[1]


def defined(code):
    """What a user's script defines, as if it were run as one."""
    names = {
        "__name__": "__main__",
        "TransformerMixin": TransformerMixin,
        "BaseEstimator": BaseEstimator,
        "Taking": Taking,
    }
    exec(textwrap.dedent(code), names)
    return names


CLASS = """
class Mine(TransformerMixin, BaseEstimator):
    FACTOR = 1
    def fit(self, X, y=None):
        return self
    def transform(self, X):
        return [x + 1 for x in X if x in {"a", "b"}]
"""
FUNCTION = """
LIMIT = 5
def helper(x):
    return x + 1
def function(X):
    return helper(X) if X > LIMIT else X
"""
INNER = """
import functools
import re
WORDS = ["a", {"b": {1.5}}]
PATTERN = re.compile("x+")
def helper(x, *, by=1):
    return x + by
@functools.lru_cache
def remembered(x):
    return x * 2
class Mine(Taking):
    WORDS = ["c"]
def function(X):
    return list(helper(x) for x in X) + [remembered(x) for x in X if PATTERN.match(x) and x in WORDS]
"""


@pytest.mark.parametrize(
    ("code", "name", "old", "new"),
    [
        (CLASS, "Mine", "x + 1", "x + 2"),
        (CLASS, "Mine", "FACTOR = 1", "FACTOR = 2"),
        (CLASS, "Mine", '"b"}', '"c"}'),
        (FUNCTION, "function", "> LIMIT", "< LIMIT"),
        (FUNCTION, "function", "LIMIT = 5", "LIMIT = 6"),
        (FUNCTION, "function", "x + 1", "x + 2"),
        (INNER, "function", "x + by", "x - by"),
        (INNER, "function", "by=1", "by=2"),
        (INNER, "function", "x * 2", "x * 3"),
        (INNER, "function", "{1.5}", "{2.5}"),
        (INNER, "function", "x+", "y+"),
        (INNER, "remembered", "x * 2", "x * 3"),
        (INNER, "Mine", '["c"]', '["d"]'),
    ],
)
def test_code_of_the_user_counts(code, name, old, new):
    def digest(code):
        found = defined(code)[name]
        return fingerprint(found() if name == "Mine" else FunctionTransformer(found), state=False)

    assert digest(code) == digest(code)
    assert digest(code) != digest(code.replace(old, new))


READER = """
class Reader:
    def __call__(self, x):
        return x - 3
READ = Reader()
"""


def test_code_of_an_object_that_is_called_counts(monkeypatch):
    """Such as a tokenizer of the user's own."""
    digests = []
    for code in (READER, READER.replace("x - 3", "x - 4")):
        found = defined(code)
        monkeypatch.setattr(sys.modules["__main__"], "Reader", found["Reader"], raising=False)
        digests.append(of(found["READ"]))
    assert digests[0] != digests[1]


def test_many_functions_that_name_each_other_end():
    names = [f"f{i}" for i in range(40)]
    code = "".join(f"def {name}(x):\n    return {' + '.join(['x', *(f'{n}(x)' for n in names)])}\n" for name in names)
    first, second = (
        fingerprint(FunctionTransformer(defined(text)["f39"]), state=False)
        for text in (code, code.replace("def f3(x):\n    return x", "def f3(x):\n    return -x"))
    )
    assert first != second


def test_a_module_of_the_user_is_not_taken_for_one_of_python(tmp_path, monkeypatch):
    digests = []
    for number in (1, 2):
        (tmp_path / "antigravity.py").write_text(f"def function(x):\n    return x + {number}\n")  # Python has one too
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "antigravity", raising=False)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        module = importlib.import_module("antigravity")
        digests.append(fingerprint(FunctionTransformer(module.function), state=False))
    monkeypatch.delitem(sys.modules, "antigravity")
    assert digests[0] != digests[1]


def test_precision_counts_as_what_it_comes_to_on_the_machine(monkeypatch):
    def digest(precision, half):
        monkeypatch.setattr(_cnn, "uses_bfloat16", lambda asked, kind: half)
        return fingerprint(CNNFeatures(precision=precision), state=False)

    assert digest("auto", True) == digest("bfloat16", True) != digest("auto", False) == digest("float32", False)


def test_networks_and_tensors_count_by_their_values():
    torch = pytest.importorskip("torch")
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert of(first) != of(second)
    second.load_state_dict(first.state_dict())
    assert of(first) == of(second)
    assert of(torch.zeros(2)) != of(torch.ones(2))
    assert of(torch.tensor(2**24)) != of(torch.tensor(2**24 + 1))
    assert of(torch.zeros(2)) != of(torch.zeros(2, dtype=torch.bfloat16))


SCRIPT = """
import numpy as np
from sklearn.pipeline import make_pipeline
from mmfeat.caching._fingerprint import fingerprint
from mmfeat.image import ColorHistogram
from mmfeat.text import tfidf_lsa
def function(X):
    return [x for x in X if x in {"apple", "pear", "plum"}]
from sklearn.preprocessing import FunctionTransformer
texts = ["a b", "b c", "c d"]
for item in (tfidf_lsa(2, min_df=1, random_state=0).fit(texts), make_pipeline(ColorHistogram()), FunctionTransformer(function)):
    print(fingerprint(item, state=True).hex())
"""


def test_equal_in_every_process():
    runs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert len(set(runs[0].split())) == 3
