"""The contract that every estimator of the package keeps, over all classes found by walking it.

A new class is added to one of the tables below, with constructor arguments that make it quick; the discovery test
fails until it is. Estimators of matrices then face all checks of scikit-learn. Those check next to nothing where the
input is one-dimensional, so estimators of pictures or sentences face the tests of this file instead.
"""

import ast
import inspect
import os
import pickle
import tempfile
from collections import namedtuple
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import mmfeat
from mmfeat.fusion import CCA
from mmfeat.image import ColorHistogram
from mmfeat.retrieval import Retriever
from mmfeat.text import tfidf_lsa
from mmfeat.utils._discovery import all_estimators, public_objects

# Class name: constructor arguments.
NUMERIC = {
    "CCA": {"n_components": 1},
    "KernelCCA": {"n_components": 1},
    "DeepCCA": {"n_components": 1, "hidden": (4,), "max_epochs": 1, "random_state": 0},
    "GeneralizedCCA": {"n_components": 1},
    "HubnessCorrection": {},
    "LearnedProjection": {"n_components": 1, "max_epochs": 1, "random_state": 0},
    "MultiLabelCCA": {"n_components": 1},
    "PLS": {"n_components": 1},
    "PowerNormalizer": {},
    "RidgeMapping": {},
}
CACHE = tempfile.TemporaryDirectory()
# Class name: constructor arguments, and a change of them that must change the result.
IMAGE = {
    "CachedTransformer": ({"transformer": ColorHistogram(), "location": CACHE.name}, {"transformer__bins": 4}),
    "CNNFeatures": ({"model": "squeezenet1_1", "weights": None, "layer": "features.3"}, {"layer": "features.4"}),
    "ColorHistogram": ({}, {"bins": 4}),
    "ColorMoments": ({}, {"space": "lab"}),
    "HOGFeatures": ({"size": (32, 32)}, {"orientations": 4}),
    "TextureFeatures": ({"size": (32, 32)}, {"radii": (2,)}),
    "TwoTower": ({"model": os.environ["MMFEAT_TINY_CLIP"]}, {"normalize": False}),
}
TEXT = {
    "PretrainedTextFeatures": ({"model": os.environ["MMFEAT_TINY_BERT"]}, {"pooling": "cls"}),
    "WordVectors": ({"train_params": {"vector_size": 4, "min_count": 1, "epochs": 2}}, {"pooling": "max"}),
}
# Functions that make a pipeline: a name for the report, the function, its arguments, a change.
TEXT_FUNCTIONS = {
    "tfidf_lsa-en": (tfidf_lsa, {"n_components": 3, "min_df": 1, "random_state": 0}, {"tfidf__ngram_range": (1, 1)}),
    "tfidf_lsa-zh": (
        tfidf_lsa,
        {"n_components": 3, "min_df": 1, "random_state": 0, "language": "zh"},
        {"tfidf__tokenizer__lowercase": False},
    ),
}
# Class name: constructor arguments, and a change of them that must change the result.
BAGS = {
    "BagOfWords": ({"n_words": 5, "random_state": 0}, {"n_words": 4}),
    "FisherVector": ({"n_components": 3, "random_state": 0}, {"mixture": "hybrid"}),
    "VLAD": ({"n_words": 3, "random_state": 0}, {"n_pca": 2}),
}
# Neither of matrices nor of sequences: only the checks that need no data. Class name: constructor arguments.
OTHER = {
    "AttentionFusionClassifier": {"image_encoder": ColorHistogram(), "text_encoder": tfidf_lsa(2)},
    "BiEncoder": {},
    "CCAZoo": {"estimator": "linear.CCA"},
    "CrossAttentionScorer": {},
    "JiebaTokenizer": {},
    "LateFusionClassifier": {"image_classifier": LogisticRegression(), "text_classifier": LogisticRegression()},
    "LocalDescriptors": {},
    "PairFeatures": {"image_encoder": ColorHistogram(), "text_encoder": tfidf_lsa(2)},
    "ScoreFusion": {"retrievers": [("a", Retriever(ColorHistogram(), tfidf_lsa(2), CCA(1)))]},
    "SemanticMatching": {},
    "TextNormalizer": {},
    "ZeroShotClassifier": {"image_encoder": ColorHistogram(), "text_encoder": tfidf_lsa(2), "classes": ["a", "b"]},
    "Retriever": {"image_encoder": ColorHistogram(), "text_encoder": tfidf_lsa(2), "fusion": CCA(1)},
}

# In the order of scikit-learn's file; those that the installed version does not have are left out.
DATA_FREE_CHECKS = [
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
]
# Checks that scikit-learn has but parametrize_with_checks does not run.
MORE_NUMERIC_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
]

Case = namedtuple("Case", "make items what change")


class RegularisedCCA(CCA):
    """CCA under a name for which scikit-learn's checks make no exception; they skip some for any class called CCA."""


def here(names):
    return [getattr(estimator_checks, name) for name in names if hasattr(estimator_checks, name)]


def numeric_estimators():
    found = all_estimators()
    found["RegularisedCCA"] = RegularisedCCA
    arguments = {**NUMERIC, "RegularisedCCA": NUMERIC["CCA"]}
    return [found[name](**arguments[name]) for name in arguments if name in found]


def every_estimator():
    found = all_estimators()
    arguments = {**NUMERIC, **{name: row[0] for name, row in {**IMAGE, **TEXT, **BAGS}.items()}, **OTHER}
    return [found[name](**arguments[name]) for name in found if name in arguments]


def pictures():
    """Pictures of four sizes, one of them gray."""
    rng = np.random.default_rng(0)
    sizes = [(40, 56, 3), (64, 48, 3), (37, 37), (50, 80, 3)]
    coarse = [rng.integers(0, 256, (4, 4, *size[2:]), dtype=np.uint8) for size in sizes]
    return [
        np.resize(image.repeat(size[0] // 4, 0).repeat(size[1] // 4, 1), size)
        for image, size in zip(coarse, sizes, strict=True)
    ]


SENTENCES = [
    "A red ball and a cube",
    "two cubes and Dogs",
    "a dog with a red ball",
    "红色的T恤和球",
    "两个方块 and a dog",
]


def bags():
    """Bags of descriptors of four sizes, one of them empty."""
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(n, 4)) + rng.normal(size=4)).astype(np.float32) for n in (30, 1, 0, 20)]


def sequence_cases():
    found = all_estimators()
    cases = {}
    for table, items, what in ((IMAGE, pictures(), "image"), (TEXT, SENTENCES, "text"), (BAGS, bags(), "bag")):
        for name, (arguments, change) in table.items():
            if name in found:
                cases[name] = Case(lambda make=found[name], kw=arguments: make(**kw), items, what, change)
    for name, (function, arguments, change) in TEXT_FUNCTIONS.items():
        cases[name] = Case(lambda make=function, kw=arguments: make(**kw), SENTENCES, "text", change)
    return [pytest.param(case, id=name) for name, case in cases.items()]


@pytest.fixture
def case(request):
    """The case of a test, after the model that it reads was made."""
    model = request.param.make().get_params().get("model")
    for name in ("tiny_bert", "tiny_clip"):
        if model == os.environ[f"MMFEAT_{name.upper()}"]:
            request.getfixturevalue(name)
    return request.param


def over_sequences(function):
    """Run a test over each estimator of pictures, sentences or bags; that a network is random is no news here."""
    function = pytest.mark.parametrize("case", sequence_cases(), indirect=True)(function)
    return pytest.mark.filterwarnings("ignore:.*random:UserWarning")(function)


def listed_twice_or_never(estimators):
    tables = [*NUMERIC, *IMAGE, *TEXT, *BAGS, *OTHER]
    return sorted(name for name in {*estimators, *tables} if tables.count(name) != 1 or name not in estimators)


def object_array(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def plain_params(estimator):
    """Parameters that are values; a pipeline's steps are fitted in place, as scikit-learn has it."""
    params = estimator.get_params(deep=True)
    return {name: value for name, value in params.items() if not hasattr(value, "get_params") and name != "steps"}


# Discovery


def test_every_estimator_stands_in_exactly_one_table():
    assert listed_twice_or_never(all_estimators()) == []


def test_an_estimator_in_no_table_is_reported():
    assert listed_twice_or_never({**all_estimators(), "Newcomer": BaseEstimator}) == ["Newcomer"]


def test_discovery_finds_every_name_of_every_all():
    root = Path(mmfeat.__file__).parent
    written = set()
    for file in root.glob("*/**/__init__.py"):
        package = ".".join(["mmfeat", *file.parent.relative_to(root).parts])
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                written |= {f"{package}.{name}" for name in ast.literal_eval(node.value)}
    assert written
    assert set(public_objects()) == written


def test_no_estimator_is_forgotten_in_its_package():
    root = Path(mmfeat.__file__).parent
    public = set()
    for file in root.glob("[!u]*/**/*.py"):
        for node in ast.parse(file.read_text("utf-8")).body:
            methods = {child.name for child in getattr(node, "body", []) if isinstance(child, ast.FunctionDef)}
            if isinstance(node, ast.ClassDef) and node.bases and "fit" in methods and not node.name.startswith("_"):
                public.add(node.name)
    bases = {base.__name__ for found in all_estimators().values() for base in found.__mro__[1:]}
    assert "ColorHistogram" in public
    assert public - bases - set(all_estimators()) == set()


# Checks of scikit-learn


@pytest.mark.parametrize("check", here(DATA_FREE_CHECKS), ids=lambda check: check.__name__)
@pytest.mark.parametrize("estimator", every_estimator(), ids=lambda estimator: type(estimator).__name__)
def test_data_free_check(estimator, check):
    check(type(estimator).__name__, estimator)


@parametrize_with_checks(numeric_estimators(), expected_failed_checks=lambda estimator: {})
def test_numeric_estimator(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:X .* feature names:UserWarning")
@pytest.mark.parametrize("check", here(MORE_NUMERIC_CHECKS), ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "estimator",
    [estimator for estimator in numeric_estimators() if type(estimator) is not CCA],
    ids=lambda estimator: type(estimator).__name__,
)
def test_numeric_estimator_further(estimator, check):
    check(type(estimator).__name__, estimator)


@pytest.mark.parametrize("estimator", numeric_estimators(), ids=lambda estimator: type(estimator).__name__)
def test_numeric_tags(estimator):
    tags = get_tags(estimator)
    assert tags.input_tags.two_d_array
    assert not tags._skip_test
    assert not tags.no_validation
    assert tags.target_tags.required == hasattr(estimator, "transform_y")


# Our own checks of what takes pictures or sentences


@over_sequences
def test_output_is_a_finite_float32_matrix_with_a_row_an_item(case):
    result = case.make().fit(case.items).transform(case.items)
    assert isinstance(result, np.ndarray)
    assert result.dtype == np.float32
    assert result.ndim == 2
    assert len(result) == len(case.items)
    assert np.isfinite(result).all()


@over_sequences
def test_fit_returns_self_and_again_gives_the_same(case):
    estimator = case.make()
    assert estimator.fit(case.items) is estimator
    first = estimator.transform(case.items)
    np.testing.assert_array_equal(estimator.fit(case.items).transform(case.items), first)
    np.testing.assert_array_equal(estimator.transform(case.items), first)
    np.testing.assert_allclose(clone(estimator).fit_transform(case.items), first, rtol=1e-5, atol=1e-6)


@over_sequences
def test_list_tuple_array_and_series_are_one(case):
    items = case.items
    columns = [tuple(items), object_array(items), pd.Series(object_array(items), index=range(7, 7 + len(items)))]
    if case.what == "text":
        columns += [np.array(items), pd.Series(items, dtype="string"), pl.Series(items)]
    expected = case.make().fit(items).transform(items)
    for column in columns:
        np.testing.assert_array_equal(case.make().fit(column).transform(column), expected)


@over_sequences
def test_row_alone_is_row_in_batch(case):
    estimator = case.make().fit(case.items)
    together = estimator.transform(case.items)
    for row, item in enumerate(case.items):
        np.testing.assert_allclose(estimator.transform([item])[0], together[row], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(estimator.transform(case.items[::-1])[::-1], together, rtol=1e-4, atol=1e-5)


@over_sequences
def test_pickle_and_clone_keep_parameters_and_result(case):
    estimator = case.make().fit(case.items)
    expected = estimator.transform(case.items)
    copy = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(copy.transform(case.items), expected)
    assert joblib.hash(plain_params(copy)) == joblib.hash(plain_params(estimator))
    assert joblib.hash(plain_params(clone(estimator))) == joblib.hash(plain_params(estimator))


@over_sequences
def test_each_column_has_a_name_of_its_own(case):
    estimator = case.make().fit(case.items)
    names = estimator.get_feature_names_out()
    assert all(isinstance(name, str) for name in names)
    assert len(set(names)) == len(names) == estimator.transform(case.items).shape[1]


@over_sequences
def test_set_output_gives_data_frames(case):
    expected = case.make().fit(case.items).transform(case.items)
    for library, kind in (("pandas", pd.DataFrame), ("polars", pl.DataFrame)):
        estimator = case.make().set_output(transform=library).fit(case.items)
        frame = estimator.transform(case.items)
        assert isinstance(frame, kind)
        assert list(frame.columns) == list(estimator.get_feature_names_out())
        np.testing.assert_array_equal(frame.to_numpy(), expected)


@over_sequences
@pytest.mark.parametrize("method", ["fit", "transform"])
@pytest.mark.parametrize("bad", ["bare", "none", "empty", "none item", "nan item", "matrix"])
def test_bad_input_is_refused_and_the_item_named(case, method, bad):
    first, *rest = case.items
    values, message = {
        "bare": ("a/b.jpg", f"sequence of {case.what}s.*Wrap"),
        "none": (None, f"sequence of {case.what}s"),
        "empty": ([], f"at least one {case.what}"),
        "none item": ([first, None, *rest], f"{case.what.title()} 1 .*None"),
        "nan item": ([first, *rest, np.nan], f"{case.what.title()} {len(case.items)} .*nan"),
        "matrix": (np.array([["a", "b"], ["c", "d"]]), f"1-D sequence of {case.what}s"),
    }[bad]
    estimator = case.make()
    if method == "transform":
        estimator.fit(case.items)
    with pytest.raises(ValueError, match=message):
        getattr(estimator, method)(values)


@pytest.mark.parametrize("method", ["fit", "partial_fit", "transform"])
@pytest.mark.parametrize("name", BAGS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda bag: np.where(bag == bag[2, 1], np.nan, bag), "Bag 3 holds nan in row 2, column 1"),
        (lambda bag: np.where(bag == bag[0, 3], -np.inf, bag), "Bag 3 holds -inf in row 0, column 3"),
        (lambda bag: bag[:, :3], "Bag 3 has 3 columns. Expected 4"),
        (lambda bag: bag[0], r"Bag 3 has shape \(4,\)"),
        (lambda bag: bag.astype(str), "Bag 3 holds <U"),
        (lambda bag: bag.tolist(), "Bag 3 is .*list.*convert"),
    ],
)
def test_bad_bag_is_refused_and_named(name, method, change, message):
    estimator, items = all_estimators()[name](**BAGS[name][0]).fit(bags()), bags()
    items[3] = change(items[3])
    with pytest.raises(ValueError, match=message):
        getattr(estimator, method)(items)


@pytest.mark.parametrize("name", BAGS)
def test_a_matrix_is_no_column_of_bags_but_a_stack_is(name):
    estimator, stack = all_estimators()[name](**BAGS[name][0]), np.stack([bags()[3]] * 2)
    with pytest.raises(ValueError, match="1-D sequence of bags"):
        estimator.fit(stack[0])
    expected = estimator.fit(list(stack)).transform(list(stack))
    np.testing.assert_array_equal(estimator.fit(stack).transform(stack), expected)


@over_sequences
def test_fit_leaves_parameters_and_items_alone(case):
    estimator = case.make()
    before = joblib.hash(plain_params(estimator)), joblib.hash(case.items)
    estimator.fit(case.items).transform(case.items)
    assert (joblib.hash(plain_params(estimator)), joblib.hash(case.items)) == before


@over_sequences
def test_set_params_after_fit_changes_the_result(case):
    estimator = case.make().fit(case.items)
    before = estimator.transform(case.items)
    after = estimator.set_params(**case.change).fit(case.items).transform(case.items)
    fresh = case.make().set_params(**case.change).fit_transform(case.items)
    assert after.shape != before.shape or not np.allclose(after, before)
    np.testing.assert_allclose(after, fresh, rtol=1e-5, atol=1e-6)


@over_sequences
def test_transform_before_fit_is_refused_unless_the_tags_say_otherwise(case):
    estimator = case.make()
    if get_tags(estimator).requires_fit:
        with pytest.raises(NotFittedError):
            estimator.transform(case.items)
    else:
        np.testing.assert_array_equal(
            estimator.transform(case.items), case.make().fit(case.items).transform(case.items)
        )


@pytest.mark.parametrize("name", [*IMAGE, *TEXT, *BAGS])
def test_sequence_tags(name):
    found = all_estimators()
    if name not in found:
        pytest.fail(f"{name} is in a table but not in the package")
    tags = get_tags(found[name](**{**IMAGE, **TEXT, **BAGS}[name][0]))
    assert tags.input_tags.one_d_array
    assert not tags.input_tags.two_d_array
    assert not tags.target_tags.required


def test_every_estimator_checks_all_of_its_parameters():
    for name, found in all_estimators().items():
        constraints = getattr(found, "_parameter_constraints", {})
        assert list(constraints) == list(inspect.signature(found).parameters), name
