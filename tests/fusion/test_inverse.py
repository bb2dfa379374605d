"""From the common space back to the columns, against least squares on the rows themselves."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmfeat.fusion import CCA, PLS


def make_views(n=200, d=12, e=9, seed=0):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 3))
    X = common @ rng.normal(size=(3, d)) + rng.normal(size=(n, d)) + 5
    Y = common @ rng.normal(size=(3, e)) + rng.normal(size=(n, e)) - 2
    return X, Y


def least_squares(scores, columns):
    design = np.c_[np.ones(len(scores)), scores]
    return design @ np.linalg.lstsq(design, columns, rcond=None)[0]


@pytest.mark.parametrize("shape", [(200, 12, 9), (15, 40, 30)])
@pytest.mark.parametrize(
    "fusion", [CCA(4), CCA(4, power=0), CCA(4, reg=0.01, power=2), PLS(4), PLS(4, deflation="canonical")]
)
def test_it_is_the_least_squares_of_each_view(fusion, shape):
    X, Y = make_views(*shape)
    fusion.fit(X, Y)
    of_x, of_y = fusion.transform(X), fusion.transform_y(Y)
    assert_allclose(fusion.inverse_transform(of_x), least_squares(of_x, X), atol=1e-7)
    assert_allclose(fusion.inverse_transform(of_y, source="y"), least_squares(of_y, X), atol=1e-7)
    assert_allclose(fusion.inverse_transform_y(of_y), least_squares(of_y, Y), atol=1e-7)
    assert_allclose(fusion.inverse_transform_y(of_x, source="x"), least_squares(of_x, Y), atol=1e-7)


def test_all_components_give_the_rows_back():
    X, Y = make_views()
    cca = CCA(reg=0).fit(X, Y)
    assert_allclose(cca.inverse_transform_y(cca.transform_y(Y)), Y, atol=1e-8)


def test_a_missing_view_is_guessed_better_than_by_its_mean():
    X, Y = make_views(600)
    cca = CCA(3).fit(X[:400], Y[:400])
    guessed = cca.inverse_transform(cca.transform_y(Y[400:]), source="y")
    errors = [((X[400:] - guess) ** 2).sum() for guess in (guessed, cca.inverse_transform(cca.transform_y(Y[400:])))]
    assert errors[0] < 0.8 * ((X[400:] - X[:400].mean(axis=0)) ** 2).sum()
    assert errors[0] < errors[1]


def test_streamed_rows_have_the_same_inverse():
    X, Y = make_views()
    whole, parts = CCA(3).fit(X, Y), CCA(3).partial_fit(X[:80], Y[:80]).partial_fit(X[80:], Y[80:])
    embedded = whole.transform(X)
    assert_allclose(parts.inverse_transform_y(embedded, source="x"), whole.inverse_transform_y(embedded, source="x"))


def test_components_without_strength_say_nothing():
    X, _ = make_views()
    cca = CCA(4).fit(X, np.c_[X[:, 0], np.ones((len(X), 4))])
    assert np.isfinite(cca.inverse_transform(cca.transform(X))).all()
    constant = CCA(2).fit(X, np.ones((len(X), 4)))
    assert_allclose(constant.inverse_transform_y(constant.transform(X), source="x"), 1)


def test_float32_stays():
    X, Y = (view.astype(np.float32) for view in make_views())
    cca = CCA(3).fit(X, Y)
    assert cca.inverse_transform(cca.transform(X)).dtype == np.float32


@pytest.mark.parametrize(
    ("Z", "source", "message"),
    [
        (np.ones((2, 4)), "x", "Z has 4 columns, but there are 3"),
        (np.ones((2, 3)), "text", "Got 'text'"),
        (np.full((2, 3), np.nan), "x", "NaN"),
    ],
)
def test_bad_input_is_refused(Z, source, message):
    cca = CCA(3).fit(*make_views())
    with pytest.raises(ValueError, match=message):
        cca.inverse_transform(Z, source)


def test_without_centring_products_are_taken_about_zero():
    X, Y = make_views()
    cca = CCA(4, reg=0, center=False, power=0).fit(X, Y)
    assert not cca.x_mean_.any() and not cca.y_mean_.any()
    # The same as the centred analysis of the rows beside their negatives.
    mirrored = CCA(4, reg=0, power=0).fit(np.r_[X, -X], np.r_[Y, -Y])
    assert_allclose(cca.canonical_correlations_, mirrored.canonical_correlations_, atol=1e-9)
    streamed = CCA(4, reg=0, center=False, power=0).partial_fit(X[:90], Y[:90]).partial_fit(X[90:], Y[90:])
    assert_allclose(streamed.transform(X), cca.transform(X), atol=1e-8)
    auto = CCA(4, reg="auto", center=False).fit(X, Y)
    assert not auto.x_mean_.any()


@pytest.mark.parametrize("reg", [0.3, "ledoit-wolf"])
def test_without_centring_few_rows_have_the_same_answer(reg):
    X, Y = make_views(8)
    few = CCA(4, reg=reg, center=False).fit(X, Y)
    many = CCA(4, reg=few.reg_, center=False).partial_fit(X, Y)
    assert few.moments_ is None
    assert_allclose(few.transform(X), many.transform(X), atol=1e-8)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("power", [1, 10, 20])
def test_weights_next_to_nothing_do_not_overflow(dtype, power):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 10)).astype(dtype)
    Y = ((X[:, :1] + rng.normal(size=(300, 1))) @ rng.normal(size=(1, 5))).astype(dtype)
    cca = CCA(4, power=power).fit(X, Y)
    # One component is real, and the rest are noise of correlation 1e-16 or less.
    only = CCA(1).fit(X, Y)
    ours = cca.inverse_transform_y(cca.transform_y(Y))
    assert ours.dtype == dtype
    assert_allclose(ours, only.inverse_transform_y(only.transform_y(Y)), atol=1e-3)
    assert np.isfinite(cca.inverse_transform(cca.transform(X))).all()
