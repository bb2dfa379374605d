"""What all three image estimators have in common."""

import pickle

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from mmfeat.image import CNNFeatures, ColorHistogram, ColorMoments, HOGFeatures, ImageDecodeError, TextureFeatures
from mmfeat.utils._progress import progress

pytestmark = pytest.mark.filterwarnings("ignore:weights=None")

ESTIMATORS = [
    ColorHistogram(bins=4, grid=2),
    ColorMoments(grid=2),
    HOGFeatures(size=(48, 48)),
    TextureFeatures(grid=2, size=(48, 40)),
    CNNFeatures("squeezenet1_1", weights=None, batch_size=2),
]


@pytest.fixture(params=ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def estimator(request):
    return clone(request.param)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((40, 60, 3), (50, 30), (64, 64, 3))]


@pytest.fixture(scope="module")
def paths(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for row, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{row}.png")
    return [str(folder / f"{row}.png") for row in range(len(images))]


def test_row_alone_equals_row_in_batch(estimator, images):
    together = estimator.fit(images).transform(images)
    assert together.dtype == np.float32
    assert together.shape == (3, estimator.n_features_out_)
    for row, image in enumerate(images):
        np.testing.assert_allclose(estimator.transform([image])[0], together[row], rtol=1e-4, atol=1e-5)


def test_every_kind_of_sequence_gives_the_same(estimator, images, paths):
    expected = estimator.fit(images).transform(images)
    objects = np.empty(3, dtype=object)
    objects[:] = images
    columns = [tuple(images), objects, pd.Series(images, index=[5, 3, 9]), paths, np.array(paths), pd.Series(paths)]
    for column in columns:
        np.testing.assert_array_equal(estimator.transform(column), expected)


def test_pickle_and_clone_give_the_same_rows(estimator, images):
    expected = estimator.fit(images).transform(images)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(estimator)).transform(images), expected)
    np.testing.assert_array_equal(clone(estimator).fit_transform(images), expected)


def test_verbose_counts_the_images_and_changes_no_row(estimator, images, monkeypatch):
    bars, hidden = [], []

    def shown(*arguments, **options):
        bars.append(progress(*arguments, **options))
        hidden.append(bars[-1].disable)
        return bars[-1]

    expected = estimator.fit(images).transform(images)
    for module in ("_map", "_cnn"):
        monkeypatch.setattr(f"mmfeat.image.{module}.progress", shown)
    np.testing.assert_array_equal(estimator.set_params(verbose=True).transform(images), expected)
    estimator.set_params(verbose=False).transform(images)
    assert hidden == [False, True]
    assert (bars[0].n, bars[0].total, bars[0].delay) == (3, 3, 2)
    assert bars[0].desc.startswith(type(estimator).__name__)


def test_names_are_as_many_as_columns_and_differ(estimator, images):
    frame = estimator.set_output(transform="pandas").fit_transform(pd.Series(images, index=[4, 5, 6]))
    assert list(frame.columns) == list(estimator.get_feature_names_out())
    assert frame.columns.is_unique
    assert list(frame.index) == [4, 5, 6]


def test_fit_leaves_the_parameters_and_returns_self(estimator, images):
    before = estimator.get_params()
    assert estimator.fit(images) is estimator
    assert estimator.get_params() == before


def test_transform_needs_fit(estimator, images):
    with pytest.raises(NotFittedError):
        estimator.transform(images)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda images: [], "at least one image"),
        (lambda images: "a.jpg", "Expected a sequence of images"),
        (lambda images: [images[0], None], "Image 1 is None"),
        (lambda images: [images[0], float("nan")], "Image 1 is nan"),
        (lambda images: [images[0], 3], "Image 1 is 3"),
    ],
)
def test_what_is_no_sequence_of_images_is_refused(estimator, images, make, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit(make(images))
    with pytest.raises(ValueError, match=message):
        estimator.fit(images).transform(make(images))


def test_a_bad_image_is_named(estimator, images, paths):
    with pytest.raises(ImageDecodeError, match=r"could not decode image 2 \('missing.jpg'\): no such file"):
        estimator.fit(images).transform([images[0], paths[1], "missing.jpg"])


def test_images_of_one_pixel_and_of_extreme_shape(images):
    tiny = [np.full((1, 1), 7, np.uint8), np.zeros((2, 700, 3), np.uint8)]
    for model in (ColorHistogram(), ColorMoments(), HOGFeatures(size=(24, 24)), clone(ESTIMATORS[-1])):
        assert np.isfinite(model.fit(tiny).transform(tiny)).all()
