"""The adapter of cca-zoo: on a stand-in always, on the package itself where it is installed."""

import doctest
import importlib.util
import pickle
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from mmfeat.fusion import CCA, CCAZoo, _ccazoo
from mmfeat.retrieval import Retriever

needs_cca_zoo = pytest.mark.skipif(importlib.util.find_spec("cca_zoo") is None, reason="cca-zoo is not installed")


class StandIn(BaseEstimator):
    """Takes and gives a list of views of the same rows, as cca-zoo does: the first columns, centred and scaled."""

    def __init__(self, n_components=1, factor=1.0):
        self.n_components = n_components
        self.factor = factor

    def fit(self, views, y=None):
        assert len({len(view) for view in views}) == 1
        self.means_ = [view.mean(axis=0) for view in views]
        return self

    def transform(self, views):
        assert len({len(view) for view in views}) == 1
        centred = [view - mean for view, mean in zip(views, self.means_, strict=True)]
        return [self.factor * view[:, : self.n_components] for view in centred]


def make_views(n=200, d=8, e=6, shared=3, seed=0):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, shared))
    X = common @ rng.normal(size=(shared, d)) + rng.normal(size=(n, d))
    return X, common @ rng.normal(size=(shared, e)) + rng.normal(size=(n, e))


@parametrize_with_checks([CCAZoo(StandIn())], expected_failed_checks=lambda estimator: {})
def test_contract_of_scikit_learn(estimator, check):
    check(estimator)


def test_each_view_is_embedded_alone():
    X, Y = make_views()
    model = StandIn(n_components=5)
    fusion = CCAZoo(model, n_components=2).fit(X, Y)
    assert_allclose(fusion.transform(X[:3]), (X - X.mean(axis=0))[:3, :2])
    assert_allclose(fusion.transform_y(Y[:50]), (Y - Y.mean(axis=0))[:50, :2])
    assert fusion.n_components_ == 2
    assert list(fusion.get_feature_names_out()) == ["ccazoo0", "ccazoo1"]
    assert model.n_components == 5 and not hasattr(model, "means_")
    assert CCAZoo(model).fit(X, Y).n_components_ == 5
    assert_allclose(pickle.loads(pickle.dumps(fusion)).transform(X), fusion.transform(X))


def test_parameters_of_the_model_are_reached_by_their_names():
    X, Y = make_views()
    fusion = clone(CCAZoo(StandIn())).set_params(estimator__factor=3.0).fit(X, Y)
    assert_allclose(fusion.transform(X), 3 * (X - X.mean(axis=0))[:, :1])


def test_sparse_views_are_refused_with_the_cure():
    X, Y = make_views()
    with pytest.raises(TypeError, match=r"X is sparse\. Reduce it first"):
        CCAZoo(StandIn()).fit(sparse.csr_array(X), Y)
    with pytest.raises(TypeError, match="y is sparse"):
        CCAZoo(StandIn()).fit(X, sparse.csr_array(Y))
    with pytest.raises(TypeError, match="y is sparse"):
        CCAZoo(StandIn()).fit(X, Y).transform_y(sparse.csr_array(Y))


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    X, Y = make_views()
    for name in [name for name in sys.modules if name.partition(".")[0] == "cca_zoo"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cca_zoo", None)
    with pytest.raises(ImportError, match=r"pip install 'mmfeat\[ccazoo\]'"):
        CCAZoo("linear.MCCA").fit(X, Y)


@needs_cca_zoo
def test_cca_of_cca_zoo_agrees_with_ours():
    import cca_zoo.linear

    X, Y = make_views()
    ours = CCA(3, reg=0, power=0).fit(X, Y)
    for fusion in (CCAZoo(cca_zoo.linear.CCA(), n_components=3), CCAZoo("linear.CCA", n_components=3)):
        fusion.fit(X, Y)
        scores_x, scores_y = fusion.transform(X), fusion.transform_y(Y)
        correlations = [np.corrcoef(scores_x[:, k], scores_y[:, k])[0, 1] for k in range(3)]
        assert_allclose(correlations, ours.canonical_correlations_, atol=1e-6)
        angles = [abs(np.corrcoef(scores_x[:, k], ours.transform(X)[:, k])[0, 1]) for k in range(3)]
        assert_allclose(angles, 1, atol=1e-6)


@needs_cca_zoo
@pytest.mark.parametrize("name", ["nonparametric.KCCA", "sparse.PMDCCA", "linear.RidgeCCA"])
def test_other_models_embed_one_view_as_they_do_both(name):
    X, Y = make_views()
    fusion = CCAZoo(name, n_components=2).fit(X, Y)
    both = fusion.estimator_.transform([X, Y])
    assert_allclose(fusion.transform(X), both[0], atol=1e-8)
    assert_allclose(fusion.transform_y(Y[:9]), both[1][:9], atol=1e-8)


@needs_cca_zoo
def test_it_sits_in_a_retriever_and_its_search():
    from sklearn.pipeline import make_pipeline

    from mmfeat.datasets import make_scenes
    from mmfeat.image import ColorHistogram
    from mmfeat.text import tfidf_lsa

    pairs = make_scenes(60, random_state=0)
    fusion = CCAZoo("linear.RidgeCCA", n_components=5)
    retriever = Retriever(make_pipeline(ColorHistogram(bins=2)), tfidf_lsa(10, random_state=0), fusion)
    search = GridSearchCV(retriever, {"fusion__n_components": [2, 5]}, cv=3, error_score="raise").fit(pairs)
    assert search.best_estimator_.encode_text(["a red car"]).shape == (1, search.best_params_["fusion__n_components"])


@needs_cca_zoo
def test_a_name_that_is_no_model_is_refused():
    X, Y = make_views()
    with pytest.raises(ValueError, match=r"no model 'linear\.Nothing'"):
        CCAZoo("linear.Nothing").fit(X, Y)


@needs_cca_zoo
def test_the_example_of_the_docstring_runs():
    """It is skipped among the doctests, which must pass without the extra."""
    example = doctest.DocTestFinder().find(CCAZoo, module=_ccazoo)[0]
    for statement in example.examples:
        statement.options.clear()
    assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example).failed == 0
