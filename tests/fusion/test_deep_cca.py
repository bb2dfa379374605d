"""Deep CCA: linear heads find what CCA finds, deep ones find more where there is more; small batches are refused."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmfeat.fusion import CCA, DeepCCA, LearnedProjection, plot_learning_curve


def make_views(n=1500, bend=lambda rows: rows, seed=0):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 3))
    X = common @ rng.normal(size=(3, 10)) + 0.8 * rng.normal(size=(n, 10))
    Y = bend(common) @ rng.normal(size=(3, 8)) + 0.8 * rng.normal(size=(n, 8))
    return X.astype(np.float32), Y.astype(np.float32)


def test_linear_heads_reach_the_correlations_of_cca():
    X, Y = make_views()
    deep = DeepCCA(
        3, hidden=(), dropout=0.0, learning_rate=1e-2, max_epochs=300, early_stopping=False, random_state=0
    ).fit(X, Y)
    expected = CCA(3, reg=0).fit(X, Y).canonical_correlations_
    assert_allclose(deep.canonical_correlations_, expected, rtol=0.01)
    # They are those of the rows that transform gives, up to their lengths.
    x, y = deep.transform(X), deep.transform_y(Y)
    assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    assert CCA(3, reg=0).fit(x, y).canonical_correlations_[0] > 0.8 * expected[0]


def test_deep_heads_find_what_no_linear_map_can():
    X, Y = make_views(3000, bend=np.abs)
    deep = DeepCCA(
        3, hidden=(64,), batch_size=500, learning_rate=1e-2, max_epochs=40, early_stopping=False, random_state=0
    ).fit(X[:2000], Y[:2000])
    linear = CCA(3).fit(X[:2000], Y[:2000])

    def correlation(model):
        x, y = model.transform(X[2000:]), model.transform_y(Y[2000:])
        return CCA(3, reg=0.1).fit(x, y).canonical_correlations_.sum()

    assert correlation(deep) > correlation(linear) + 0.5


def test_the_autoencoder_form_keeps_what_the_other_view_lacks():
    X, Y = make_views()
    # Most of what varies in the first view is its own.
    rng = np.random.default_rng(1)
    X += rng.normal(size=(len(X), 1)) * rng.normal(size=10) * 3

    def restored(weight):
        """Share of the variance of the first view that a linear map finds again in the common space."""
        deep = DeepCCA(
            4,
            hidden=(),
            reconstruction=weight,
            dropout=0.0,
            learning_rate=1e-2,
            max_epochs=100,
            early_stopping=False,
            random_state=0,
        )
        rows = deep.fit(X, Y).transform(X)
        rows = np.c_[rows, np.ones(len(rows))]
        error = X - rows @ np.linalg.lstsq(rows, X, rcond=None)[0]
        return 1 - error.var() / X.var()

    assert restored(100.0) > restored(0.0) + 0.03


def test_it_pickles_without_torch_and_draws_its_curve():
    X, Y = make_views(200)
    deep = DeepCCA(2, hidden=(8,), max_epochs=3, random_state=0).fit(X, Y)
    data = pickle.dumps(deep)
    assert b"torch" not in data
    assert_allclose(pickle.loads(data).transform(X), deep.transform(X))
    ax = plot_learning_curve(deep)
    (line,) = ax.get_lines()
    assert_allclose(line.get_ydata(), deep.loss_curve_)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "training loss",
        "held-out reciprocal rank",
        "weights kept",
    ]
    own = ax.figure.add_subplot()
    alone = LearnedProjection(2, max_epochs=2, early_stopping=False, random_state=0).fit(X, Y)
    assert plot_learning_curve(alone, ax=own) is own


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_components": 64}, "Batches of 60 pairs say nothing of 64 correlations"),
        ({"n_components": 8, "batch_size": 8}, "say nothing of 8 correlations"),
        ({"hidden": (0,)}, "`hidden` must hold integers"),
    ],
)
def test_bad_settings_are_refused(parameters, message):
    X, Y = make_views(60)
    with pytest.raises(ValueError, match=message):
        DeepCCA(**{"early_stopping": False, **parameters}).fit(X, Y)


def test_bags_cannot_be_restored():
    X, _ = make_views(60)
    bags = [row[:6].reshape(2, 3) for row in X]
    with pytest.raises(ValueError, match="bags cannot be restored"):
        DeepCCA(2, reconstruction=1.0).fit(X, bags)
    assert DeepCCA(2, tower="mean", max_epochs=1).fit(X, bags).transform_y(bags[:3]).shape == (3, 2)
