"""What all encoders of bags share: projection, pyramid, chunks, precision, refusals."""

import numpy as np
import pytest

from mmfeat.encoding import VLAD, BagOfWords, FisherVector
from mmfeat.encoding._project import learn_projection

ENCODERS = {
    "bow": lambda **kw: BagOfWords(4, **{"random_state": 0, **kw}),
    "bow-soft": lambda **kw: BagOfWords(4, assignment="soft", n_nearest=3, **{"random_state": 0, **kw}),
    "vlad": lambda **kw: VLAD(4, **{"random_state": 0, **kw}),
    "vlad-soft": lambda **kw: VLAD(4, assignment="soft", n_nearest=3, **{"random_state": 0, **kw}),
    "fisher": lambda **kw: FisherVector(4, **{"random_state": 0, **kw}),
    "laplacian": lambda **kw: FisherVector(4, mixture="laplacian", **{"random_state": 0, **kw}),
    "hybrid": lambda **kw: FisherVector(4, mixture="hybrid", **{"random_state": 0, **kw}),
}
each = pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS)


def make_bags(lengths=(40, 1, 25, 0, 160), width=6, dtype=np.float32, places=False):
    rng = np.random.default_rng(0)
    bags = [rng.laplace(size=(n, width)) + rng.normal(size=width) for n in lengths]
    if places:
        bags = [np.hstack([bag, rng.random((len(bag), 3))]) for bag in bags]
    return [bag.astype(dtype) for bag in bags]


@each
def test_chunks_and_pieces_of_long_bags_change_nothing(make, monkeypatch):
    bags = make_bags((40, 1, 25, 0, 900, 0, 7, 3), dtype=np.float64, places=True)
    encoder = make(coordinates="layout", levels=2).fit(bags)
    expected = encoder.transform(bags)
    for size in (1, 5000, 40000):
        monkeypatch.setattr("mmfeat.encoding._base._CHUNK_BYTES", size)
        np.testing.assert_allclose(encoder.transform(bags), expected, rtol=1e-9, atol=1e-12)


@each
def test_float32_is_float64_to_five_digits(make):
    bags = make_bags((100, 30, 200, 5))
    encoder = make(power=1).fit(bags)
    exact = encoder.transform([bag.astype(np.float64) for bag in bags])
    found = encoder.transform(bags)
    assert (found.dtype, exact.dtype) == (np.float32, np.float64)
    assert np.abs(found - exact).max() < 1e-5 * np.abs(exact).max()


@each
def test_empty_bags_of_any_dtype_are_zeros_and_leave_the_dtype_alone(make):
    bags = make_bags()
    encoder = make().fit(bags)
    result = encoder.transform([np.empty((0, 6)), bags[0], np.empty((0, 6), dtype=np.float16)])
    assert result.dtype == np.float32
    assert not result[[0, 2]].any()
    np.testing.assert_allclose(result[1], encoder.transform(bags)[0], rtol=1e-5, atol=1e-6)
    assert not encoder.transform([np.empty((0, 6))]).any()


@each
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_constant_descriptors_never_give_nan(make):
    bags = [np.full((n, 6), 0.1, dtype=np.float32) for n in (30, 1, 12)]
    encoder = make().fit(bags)
    for other in (bags, make_bags(), [np.full((4, 6), -1e4, dtype=np.float32)]):
        assert np.isfinite(encoder.transform(other)).all()


@each
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("projection", ["pca", "whiten", "ica"])
@pytest.mark.parametrize("value", [0.1, 1e-5, 123.456])
def test_constants_whose_float64_mean_is_rounded_never_give_nan(make, projection, value):
    bags = [np.full((n, 6), value) for n in (37, 1, 1000)]
    encoder = make(projection=projection).fit(bags)
    for other in (bags, [bag.astype(np.float32) for bag in bags], make_bags(), [np.full((4, 6), -1e4, np.float32)]):
        assert np.isfinite(encoder.transform(other)).all()


@each
def test_order_of_descriptors_is_of_no_consequence(make):
    bags = make_bags(dtype=np.float64)
    encoder = make().fit(bags)
    shuffled = [np.random.default_rng(1).permutation(bag) for bag in bags]
    np.testing.assert_allclose(encoder.transform(shuffled), encoder.transform(bags), rtol=1e-8, atol=1e-10)


@each
def test_integers_are_taken(make):
    bags = [(10 * bag).astype(np.uint8) for bag in make_bags((50, 40))]
    encoder = make().fit(bags)
    np.testing.assert_array_equal(encoder.transform(bags), encoder.transform([bag.astype(np.float32) for bag in bags]))


# Projection


@pytest.mark.parametrize("kind", ["pca", "whiten", "ica"])
def test_projection_has_the_moments_it_promises(kind):
    rng = np.random.default_rng(0)
    sources = rng.laplace(size=(5000, 4))
    rows = sources @ rng.normal(size=(4, 6)) + 100
    projected = learn_projection(rows, 4, kind, np.random.RandomState(0)).apply(rows)
    covariance = np.cov(projected.T)
    np.testing.assert_allclose(projected.mean(axis=0), 0, atol=1e-8)
    if kind == "pca":
        values = np.linalg.eigvalsh(np.cov(rows.T))[::-1][:4]
        np.testing.assert_allclose(covariance, np.diag(values), atol=1e-8 * values[0])
    else:
        np.testing.assert_allclose(covariance, np.eye(4), atol=1e-5)
    if kind == "ica":  # each component is one source, up to sign
        agreement = np.abs(np.corrcoef(projected.T, sources.T)[:4, 4:])
        assert (agreement.max(axis=1) > 0.98).all()
        assert len(set(agreement.argmax(axis=1))) == 4


@pytest.mark.parametrize("kind", ["whiten", "ica"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_directions_without_variance_become_zeros(kind):
    rows = np.random.default_rng(0).normal(size=(50, 3)) @ np.random.default_rng(1).normal(size=(3, 5))
    projected = learn_projection(rows, 5, kind, np.random.RandomState(0)).apply(rows)
    assert np.isfinite(projected).all()
    assert not projected[:, 3:].any()
    assert not learn_projection(np.ones((9, 2)), 2, kind, np.random.RandomState(0)).apply(np.eye(2)).any()


@each
@pytest.mark.parametrize("settings", [{"n_pca": 3}, {"projection": "whiten"}, {"n_pca": 4, "projection": "ica"}])
def test_projection_inside_is_projection_before(make, settings):
    bags = make_bags((80, 60, 50), dtype=np.float64)
    inside = make(**settings).fit(bags)
    projected = [inside._projection.apply(bag) for bag in bags]
    outside = make().fit(bags)
    for name in ("vocabulary_", "mixture_"):
        if hasattr(inside, name):
            setattr(outside, name, getattr(inside, name))
    for name in ("sigma_", "idf_", "n_features_out_"):
        if hasattr(inside, name):
            setattr(outside, name, getattr(inside, name))
    outside.n_features_in_, outside._projection = projected[0].shape[1], None
    np.testing.assert_allclose(inside.transform(bags), outside.transform(projected), rtol=1e-8, atol=1e-10)


# Coordinates


@each
@pytest.mark.parametrize("levels", [2, [(1, 1), (3, 1)], ((2, 3),)])
def test_pyramid_is_the_vector_of_each_cell_side_by_side(make, levels):
    bags = make_bags((90, 1, 60, 0, 40), dtype=np.float64, places=True)
    norm = "l2"
    whole = make(coordinates="layout", levels=levels, norm=norm).fit(bags)
    single = make(norm=norm).fit([bag[:, :6] for bag in bags])
    for name in ("vocabulary_", "mixture_", "sigma_", "idf_"):
        if hasattr(whole, name):
            setattr(single, name, getattr(whole, name))
    expected = []
    for down, across in [(1, 1), (2, 2)] if levels == 2 else levels:
        for row, column in np.ndindex(down, across):
            inside = [
                bag[(np.floor(bag[:, 7] * down) == row) & (np.floor(bag[:, 6] * across) == column), :6] for bag in bags
            ]
            expected.append(single.transform(inside))
    expected = np.concatenate(expected, axis=1)
    expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-12)
    np.testing.assert_allclose(whole.transform(bags), expected, rtol=1e-8, atol=1e-10)
    names = whole.get_feature_names_out()
    assert len(set(names)) == len(names) == expected.shape[1]


def test_the_far_border_belongs_to_the_last_cell():
    bag = np.float32([[1, 1, 1, 0], [2, 0.5, 0, 0], [1.5, 0, 0, 0]])
    result = BagOfWords(1, idf=False, norm=None, coordinates="layout", levels=((2, 2),)).fit_transform([bag])
    np.testing.assert_array_equal(result, [[1, 1, 0, 1]])


def test_extended_descriptors_end_in_coordinates_that_no_projection_mixes_in():
    bags = make_bags((90, 60), dtype=np.float64, places=True)
    encoder = FisherVector(3, n_pca=2, coordinates="extend", random_state=0).fit(bags)
    assert encoder.mixture_.means_.shape == (3, 5)
    np.testing.assert_allclose(encoder.mixture_.weights_ @ encoder.mixture_.means_[:, 2:], 0.5, atol=0.1)
    ignoring = FisherVector(3, n_pca=2, coordinates="layout", random_state=0).fit(bags)
    assert ignoring.mixture_.means_.shape == (3, 2)
    moved = [np.hstack([bag[:, :6], bag[:, 6:] / 2]) for bag in bags]
    np.testing.assert_array_equal(ignoring.transform(moved), ignoring.transform(bags))
    assert np.abs(encoder.transform(moved) - encoder.transform(bags)).max() > 0.01


# Refusals


@each
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_pca": 7}, "`n_pca` upper bound is 6. Got 7"),
        ({"levels": 2}, "needs coordinates"),
        ({"coordinates": "layout", "levels": [(0, 1)]}, "`levels` must be"),
        ({"coordinates": "layout", "levels": []}, "`levels` must be"),
        ({"coordinates": "layout"}, "Bag 0 has coordinates from"),
        ({"max_samples": 3}, "`max_samples` is 3. Expected at least 4"),
    ],
)
def test_settings_that_do_not_fit_the_bags_are_refused(make, settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings).fit(make_bags())


@each
def test_too_few_descriptors_are_refused(make):
    with pytest.raises(ValueError, match="hold 0 descriptors"):
        make().fit([np.empty((0, 6), np.float32)] * 3)
    with pytest.raises(ValueError, match="hold 3 descriptors"):
        make().fit(make_bags((3,)))
    with pytest.raises(ValueError, match="coordinates alone"):
        make(coordinates="layout").fit([np.ones((9, 3), np.float32)])


@each
def test_partial_fit_takes_an_empty_batch_but_no_other_width(make):
    encoder = make().partial_fit(make_bags())
    encoder.partial_fit([np.empty((0, 6), np.float32)])
    with pytest.raises(ValueError, match=r"Bag 0 has 5 columns\. Expected 6"):
        encoder.partial_fit(make_bags(width=5))
