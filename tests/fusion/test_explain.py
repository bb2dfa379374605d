"""Explanations add up to the cosine and agree with what a change of a feature does."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from mmfeat.fusion import CCA, PLS, KernelCCA, MultiLabelCCA, RidgeMapping, explain
from mmfeat.fusion._explain import is_linear


def make_views(n=120, d=20, e=12, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 4))
    X = shared @ rng.normal(size=(4, d)) + rng.normal(size=(n, d)) + 3 * rng.normal(size=d)
    Y = shared @ rng.normal(size=(4, e)) + rng.normal(size=(n, e)) - 2
    return X, Y


def cosine_of(fusion, x, y):
    z_x, z_y = fusion.transform(x[None])[0], fusion.transform_y(y[None])[0]
    return z_x @ z_y / np.linalg.norm(z_x) / np.linalg.norm(z_y)


FUSIONS = [
    CCA(6, reg=0.1),
    CCA(5, reg=(0, 2.0), power=3),
    CCA(6, reg=0.1, power=0),
    PLS(5),
    MultiLabelCCA(5, pair_share=0.5),
]


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("shape", [(120, 20, 12), (30, 80, 50)])
def test_each_sum_is_the_cosine(fusion, shape):
    X, Y = make_views(*shape)
    fusion.fit(X, Y)
    for row in range(5):
        explanation = explain(fusion, X[row], Y[row + 1], top=None)
        expected = cosine_of(fusion, X[row], Y[row + 1])
        assert_allclose(explanation.cosine, expected, atol=1e-10)
        for terms in (
            explanation.components,
            explanation.x_features.contributions,
            explanation.y_features.contributions,
        ):
            assert_allclose(terms.sum(), expected, atol=1e-10)
        assert len(explanation.components) == fusion.n_components_
        assert explanation.x_features.n_rest == 0 and explanation.x_features.rest == 0


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_contribution_is_what_setting_the_feature_to_its_mean_takes_from_the_product(fusion):
    X, Y = make_views()
    fusion.fit(X, Y)
    x, y = X[3], Y[4]
    explanation = explain(fusion, x, y, top=None)
    names, own = explanation.y_features.names, explanation.y_features.contributions
    z_x, z_y = fusion.transform(x[None])[0], fusion.transform_y(y[None])[0]
    for column in range(Y.shape[1]):
        without = y.copy()
        without[column] = Y[:, column].mean()
        change = z_x @ (z_y - fusion.transform_y(without[None])[0]) / np.linalg.norm(z_x) / np.linalg.norm(z_y)
        assert_allclose(own[names == f"y{column}"], change, atol=1e-10)


def test_components_are_the_products_of_the_embeddings():
    X, Y = make_views()
    fusion = CCA(6, reg=0.1).fit(X, Y)
    z_x, z_y = fusion.transform(X[:1])[0], fusion.transform_y(Y[:1])[0]
    expected = z_x * z_y / np.linalg.norm(z_x) / np.linalg.norm(z_y)
    assert_allclose(explain(fusion, X[0], Y[0]).components, expected, atol=1e-12)


def test_the_strongest_features_are_kept_in_order_and_the_rest_is_told():
    X, Y = make_views()
    fusion = CCA(6, reg=0.1).fit(X, Y)
    whole = explain(fusion, X[0], Y[0], top=None).x_features
    cut = explain(fusion, X[0], Y[0], top=4, x_names=[f"bin {j}" for j in range(20)]).x_features
    assert (np.diff(np.abs(whole.contributions)) <= 0).all()
    assert [name.replace("bin ", "x") for name in cut.names] == whole.names[:4].tolist()
    assert_allclose(cut.contributions, whole.contributions[:4])
    assert_allclose(cut.rest, whole.contributions[4:].sum(), atol=1e-12)
    assert cut.n_rest == 16
    for name, value in zip(cut.names, cut.values, strict=True):
        assert value == X[0, int(name.split()[1])]


def test_a_sparse_row_and_one_of_two_dimensions_are_one_row():
    X, Y = make_views()
    fusion = CCA(6, reg=0.1).fit(X, Y)
    expected = explain(fusion, X[0], Y[0])
    for x, y in ((X[:1], Y[:1]), (sparse.csr_array(X[:1]), sparse.csr_array(Y[:1])), (X[0].tolist(), Y[0])):
        assert_allclose(explain(fusion, x, y).components, expected.components, atol=1e-14)


def test_a_fusion_of_float32_views_is_still_taken_apart_exactly():
    X, Y = make_views()
    fusion = CCA(6, reg=0.1).fit(X.astype("f4"), Y.astype("f4"))
    explanation = explain(fusion, X[0].astype("f4"), Y[0].astype("f4"), top=None)
    assert_allclose(explanation.y_features.contributions.sum(), explanation.cosine, atol=1e-10)


def test_large_means_take_no_digits():
    X, Y = make_views()
    fusion = CCA(6, reg=0.1).fit(X + 1e6, Y)
    explanation = explain(fusion, X[0] + 1e6, Y[0], top=None)
    assert_allclose(explanation.cosine, cosine_of(fusion, X[0] + 1e6, Y[0]), atol=1e-8)
    assert_allclose(explanation.x_features.contributions.sum(), explanation.cosine, atol=1e-10)


def test_an_average_row_resembles_nothing():
    X, Y = make_views()
    fusion = CCA(6, reg=0.1).fit(X, Y)
    explanation = explain(fusion, fusion.x_mean_, Y[0], top=None)
    assert explanation.cosine == 0
    assert_allclose(explanation.y_features.contributions, 0)


def test_the_table_adds_up():
    X, Y = make_views()
    fusion = CCA(6, reg=0.1).fit(X, Y)
    explanation = explain(fusion, X[0], Y[0], top=3)
    blocks = str(explanation).split("\n\n")
    assert blocks[0] == f"cosine {explanation.cosine:.4f}"
    assert [block.split()[0] for block in blocks[1:]] == ["component", "x", "y"]
    for block in blocks[1:]:
        lines = block.split("\n")[1:]
        assert len(lines) == 4 and "other" in lines[-1]
        assert_allclose(sum(float(line.split()[-1]) for line in lines), explanation.cosine, atol=3e-4)
    assert repr(explanation) == str(explanation)


def test_what_cannot_be_explained_is_refused():
    X, Y = make_views()
    fusion = CCA(6, reg=0.1).fit(X, Y)
    with pytest.raises(ValueError, match="Got RidgeMapping, which has no `x_rotations_`"):
        explain(RidgeMapping().fit(X, Y), X[0], Y[0])
    with pytest.raises(ValueError, match=r"`x` must be one row. Got shape \(2, 20\)"):
        explain(fusion, X[:2], Y[0])
    with pytest.raises(ValueError, match="NaN"):
        explain(fusion, np.full(20, np.nan), Y[0])
    with pytest.raises(ValueError, match="y has 11 features"):
        explain(fusion, X[0], Y[0, :-1])
    with pytest.raises(ValueError, match="`y_names` must have one name a feature, 12"):
        explain(fusion, X[0], Y[0], y_names=["a"])
    with pytest.raises(ValueError, match="top"):
        explain(fusion, X[0], Y[0], top=0)


@pytest.mark.parametrize("n", [20, 21])
def test_kernels_are_refused_whatever_the_number_of_training_rows(n):
    X, Y = make_views(n)
    fusion = KernelCCA(3, reg=0.5).fit(X, Y)
    assert (len(fusion.x_rotations_) == X.shape[1]) == (n == 20)
    assert not is_linear(fusion) and is_linear(CCA(3, reg=0.5).fit(X, Y))
    with pytest.raises(ValueError, match="Got KernelCCA, which has rotations of something else than its columns"):
        explain(fusion, X[0], Y[0])


def test_an_explanation_of_another_embedding_is_refused():
    class Folded(PLS):
        def _embed_x(self, X):
            return np.abs(super()._embed_x(X))

    X, Y = make_views()
    with pytest.raises(ValueError, match="Folded does not embed by its rotations alone"):
        explain(Folded(4).fit(X, Y), X[0], Y[0])
