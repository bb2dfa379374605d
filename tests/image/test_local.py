"""Local descriptors against OpenCV, and the bags that come of all kinds of images."""

import pickle

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mmfeat.encoding import BagOfWords, FisherVector
from mmfeat.encoding._sample import sample_rows
from mmfeat.image import ImageDecodeError, LocalDescriptors

WIDTHS = {"sift": 128, "surf": 64, "orb": 256}
WAYS = [("sift", "keypoints"), ("sift", "dense"), ("surf", "keypoints"), ("surf", "dense"), ("orb", "keypoints")]
over_ways = pytest.mark.parametrize(("kind", "sampling"), WAYS)


def texture(height, width, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 1.5), None, 0, 255, cv2.NORM_MINMAX)


@pytest.fixture(scope="module")
def images():
    return [texture(100, 140), np.repeat(texture(90, 80, 1)[..., None], 3, axis=2), texture(160, 120, 2)]


def in_order_of_response(detector, gray):
    keypoints, descriptors = detector.detectAndCompute(gray, None)
    order = sorted(range(len(keypoints)), key=lambda i: (-(p := keypoints[i]).response, *p.pt, p.size, p.angle))
    return [keypoints[place] for place in order], descriptors[order]


# What the descriptors are


def test_sift_is_opencvs_strongest_first(images):
    keypoints, expected = in_order_of_response(cv2.SIFT_create(), images[0])
    bag = LocalDescriptors(root=False, coordinates=True).fit_transform(images)[0]
    assert bag.shape == (len(keypoints), 131) and len(keypoints) > 50
    np.testing.assert_allclose(bag[:, :128], expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
    places = [((p.pt[0] + 0.5) / 140, (p.pt[1] + 0.5) / 100, min(1, 6 * p.size / 140)) for p in keypoints]
    np.testing.assert_allclose(bag[:, 128:], places, atol=1e-6)


def test_orb_is_opencvs_bits(images):
    _, expected = in_order_of_response(cv2.ORB_create(2**20), images[0])
    bag = LocalDescriptors("orb").fit_transform(images)[0]
    assert set(np.unique(bag)) == {0, 1}
    np.testing.assert_array_equal(np.packbits(bag.astype(np.uint8), axis=1), expected)
    squared = ((bag[0] - bag[1]) ** 2).sum()
    assert squared == cv2.norm(expected[0], expected[1], cv2.NORM_HAMMING)


@pytest.mark.parametrize("sampling", ["keypoints", "dense"])
def test_root_is_the_square_root_of_shares(images, sampling):
    plain, root = (LocalDescriptors(sampling=sampling, root=root).fit_transform(images)[0] for root in (False, True))
    np.testing.assert_allclose(root**2, plain / plain.sum(axis=1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(root, axis=1), 1, atol=1e-5)


def test_root_leaves_surf_and_orb_alone(images):
    for kind in ("surf", "orb"):
        one, other = (LocalDescriptors(kind, root=root).fit_transform(images)[2] for root in (False, True))
        np.testing.assert_array_equal(one, other)


def test_dense_places_are_the_grid_and_the_strongest_come_first(images):
    bag = LocalDescriptors(sampling="dense", step=10, scales=(4, 8), coordinates=True).fit_transform(images[:1])[0]
    centres = {(round(x * 140 - 0.5), round(y * 100 - 0.5), round(s * 140)) for x, y, s in bag[:, 128:]}
    # 140 - 16 = 124 and 100 - 16 = 84 leave 4 and 4 pixels; 140 - 32 = 108 and 100 - 32 = 68 leave 8 and 8.
    small = {(x, y, 16) for x in range(10, 131, 10) for y in range(10, 91, 10)}
    large = {(x, y, 32) for x in range(20, 121, 10) for y in range(20, 81, 10)}
    assert centres == small | large
    assert len(bag) == len(small) + len(large)
    picture = images[0].copy()
    picture[:, 70:] = picture[:, 70:] // 8 + 100
    bag = LocalDescriptors(sampling="dense", scales=(4,), coordinates=True).fit_transform([picture])[0]
    assert (bag[: len(bag) // 3, 128] < 0.55).all()


@over_ways
def test_max_keypoints_keeps_the_strongest(images, kind, sampling):
    everything = LocalDescriptors(kind, sampling=sampling, coordinates=True).fit_transform(images)
    few = LocalDescriptors(kind, sampling=sampling, coordinates=True, max_keypoints=9).fit_transform(images)
    for bag, all_of_it in zip(few, everything, strict=True):
        assert len(bag) == 9
        np.testing.assert_array_equal(bag, all_of_it[:9])


def test_max_size_shrinks_the_longer_side_first():
    gray = texture(300, 200)
    small = np.asarray(Image.fromarray(gray).resize((100, 150), Image.Resampling.BILINEAR))
    for options in ({}, {"sampling": "dense", "coordinates": True}, {"kind": "surf"}):
        got, expected = (
            LocalDescriptors(max_size=size, **options).fit_transform([image])[0]
            for size, image in ((150, gray), (None, small))
        )
        assert len(got)
        np.testing.assert_array_equal(got, expected)


# What comes of all kinds of images


@over_ways
def test_bags_of_all_shapes_are_finite_float32(kind, sampling):
    shapes = [
        (1, 1),
        (1, 5),
        (5, 5),
        (5, 1),
        (7, 9),
        (8, 8),
        (2, 3000),
        (9, 300),
        (12, 12),
        (16, 16),
        (3, 64),
        (97, 31),
    ]
    shapes += [(64, 64, 4), (64, 80, 3), (64, 64, 1)]
    grays = [texture(*shape[:2]) for shape in shapes]
    pictures = [
        gray if len(s) == 2 else np.repeat(gray[..., None], s[2], 2) for gray, s in zip(grays, shapes, strict=True)
    ]
    pictures += [np.zeros((70, 70), np.uint8), texture(64, 64) / 255.0, texture(64, 64).astype(np.uint16) * 257]
    bags = LocalDescriptors(kind, sampling=sampling, coordinates=True).fit_transform(pictures)
    assert type(bags) is list
    for bag in bags:
        assert bag.dtype == np.float32 and bag.ndim == 2 and bag.shape[1] == WIDTHS[kind] + 3
        assert np.isfinite(bag).all()
        assert (bag[:, -3:] >= 0).all() and (bag[:, -3:] <= 1).all()
    assert bags[0].shape == (0, WIDTHS[kind] + 3)
    np.testing.assert_array_equal(bags[-1], bags[-2])


@over_ways
def test_every_kind_of_sequence_and_of_threads_gives_the_same(images, tmp_path, kind, sampling):
    model = LocalDescriptors(kind, sampling=sampling, n_jobs=1).fit(images)
    expected = model.transform(images)
    objects = np.empty(3, dtype=object)
    objects[:] = images
    for row, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{row}.png")
    paths = [str(tmp_path / f"{row}.png") for row in range(3)]
    for column in (tuple(images), objects, pd.Series(images, index=[5, 3, 9]), paths, np.array(paths)):
        for n_jobs in (None, 3, -1):
            bags = clone(model).set_params(n_jobs=n_jobs).fit(column).transform(column)
            for bag, other in zip(bags, expected, strict=True):
                np.testing.assert_array_equal(bag, other)
    alone = [pickle.loads(pickle.dumps(model)).transform([image])[0] for image in images]
    for bag, other in zip(alone, expected, strict=True):
        np.testing.assert_array_equal(bag, other)


def test_names_are_as_many_as_columns_and_differ(images):
    for kind, sampling in WAYS:
        for coordinates in (False, True):
            model = LocalDescriptors(kind, sampling=sampling, coordinates=coordinates).fit(images)
            names = model.get_feature_names_out()
            assert len(set(names)) == len(names) == model.n_features_out_ == model.transform(images)[0].shape[1]
    names = list(LocalDescriptors(coordinates=True).fit(images).get_feature_names_out())
    assert names[0] == "sift_0_0_0" and names[127] == "sift_3_3_7" and names[128:] == ["x", "y", "scale"]


def test_a_pipeline_gives_data_frames_though_bags_are_none(images):
    def lengths(bags):
        return np.array([[len(bag)] for bag in bags])

    def named(transformer, names):
        return np.array(["n"], dtype=object)

    pipeline = make_pipeline(LocalDescriptors(), FunctionTransformer(lengths, feature_names_out=named))
    frame = pipeline.set_output(transform="pandas").fit_transform(images)
    assert isinstance(frame, pd.DataFrame) and list(frame.columns) == ["n"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kind": "akaze"}, "kind"),
        ({"kind": "orb", "sampling": "dense"}, "ORB has no grid"),
        ({"step": 0}, "step"),
        ({"scales": ()}, "`scales` must be numbers of at least 1"),
        ({"scales": (4, 0.5)}, "`scales` must be numbers of at least 1"),
        ({"scales": ("4",)}, "`scales` must be numbers of at least 1"),
        ({"max_keypoints": 0}, "max_keypoints"),
        ({"max_size": 0}, "max_size"),
        ({"n_jobs": -2}, "n_jobs"),
        ({"sampling": "dense", "device": "tpu"}, "`device` must be"),
    ],
)
def test_bad_parameters_are_refused(images, parameters, message):
    with pytest.raises(ValueError, match=message):
        LocalDescriptors(**parameters).fit(images)


def test_bad_input_is_refused_and_the_item_named(images):
    model = LocalDescriptors()
    with pytest.raises(NotFittedError):
        model.transform(images)
    model.fit(images)
    for values, message in (
        ([], "at least one image"),
        ("a.jpg", "sequence of images"),
        ([images[0], None], "Image 1"),
    ):
        with pytest.raises(ValueError, match=message):
            model.transform(values)
    with pytest.raises(ImageDecodeError, match=r"image 2 \('missing.jpg'\): no such file"):
        model.transform([*images[:2], "missing.jpg"])


# Bags that are not kept


@pytest.fixture
def many():
    return [texture(60, 60 + 4 * seed, seed) for seed in range(9)]


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("kept", [0, 3, 8])
def test_deferred_bags_read_like_the_list(many, n_jobs, kept):
    expected = LocalDescriptors(sampling="dense").fit_transform(many)
    limit = sum(bag.nbytes for bag in expected[:kept])
    model = LocalDescriptors(sampling="dense", n_jobs=n_jobs, max_bytes=limit).fit(many)
    bags = model.transform(many)
    model.set_params(kind="surf")  # what is computed later follows the parameters of then
    assert len(bags) == 9 and not isinstance(bags, list)
    views = [bags, bags[:], pickle.loads(pickle.dumps(bags)), bags[np.arange(9)], [bags[row] for row in range(-9, 0)]]
    views += [[bag for part in bags.in_parts() for bag in part], bags[np.ones(9, dtype=bool)]]
    for view in views:
        assert len(view) == 9
        for bag, other in zip(view, expected, strict=True):
            np.testing.assert_array_equal(bag, other)
    np.testing.assert_array_equal(bags[[7, 2]][1], expected[2])
    np.testing.assert_array_equal(bags[3:][-1:][0], expected[8])
    assert len(bags[[]]) == 0
    assert len(bags.sample(np.random.RandomState(0))) == 9
    with pytest.raises(IndexError):
        bags[9]


def test_deferred_parts_are_bounded(many, monkeypatch):
    monkeypatch.setattr("mmfeat.image._local_bags._PART_BYTES", 60_000)
    bags = LocalDescriptors(sampling="dense", max_bytes=0).fit_transform(many)
    parts = list(bags.in_parts())
    assert len(parts) > 2
    assert all(sum(bag.nbytes for bag in part[:-1]) < 60_000 for part in parts)
    assert sum(map(len, parts)) == 9
    assert sum(bag.nbytes for bag in bags.sample(np.random.RandomState(0))[:-1]) < 60_000
    sample = bags.sample(np.random.RandomState(0), 200)
    assert 200 <= sum(map(len, sample)) < sum(map(len, bags))
    assert len(bags.sample(np.random.RandomState(0), 10**6)) == 9


def test_encoders_learn_from_as_many_deferred_descriptors_as_they_ask_for(many, monkeypatch):
    monkeypatch.setattr("mmfeat.image._local_bags._PART_BYTES", 10_000)
    seen = []
    monkeypatch.setattr("mmfeat.encoding._base.sample_rows", lambda *a: seen.append(sample_rows(*a)) or seen[-1])
    BagOfWords(3, max_samples=150, random_state=0).fit(
        LocalDescriptors(sampling="dense", max_bytes=0).fit_transform(many)
    )
    assert len(seen[0]) == 150


def test_a_deferred_bag_of_an_image_that_is_gone_names_its_row(many, tmp_path):
    for row, gray in enumerate(many):
        Image.fromarray(gray).save(tmp_path / f"{row}.png")
    bags = LocalDescriptors(max_bytes=0).fit_transform([str(tmp_path / f"{row}.png") for row in range(9)])
    (tmp_path / "6.png").unlink()
    assert len(bags[5]) > 0
    with pytest.raises(ImageDecodeError, match="image 6 "):
        bags[4:][2]
    with pytest.raises(ImageDecodeError, match="image 6 "):
        list(bags)


@pytest.mark.parametrize("encoder", [BagOfWords(3, random_state=0), FisherVector(2, random_state=0)])
def test_encoders_take_deferred_bags_a_part_at_a_time(many, encoder, monkeypatch):
    monkeypatch.setattr("mmfeat.image._local_bags._PART_BYTES", 60_000)
    kept, deferred = (LocalDescriptors(sampling="dense", max_bytes=limit).fit(many) for limit in (None, 0))
    fitted = clone(encoder).fit(deferred.transform(many))
    expected = fitted.transform(kept.transform(many))
    np.testing.assert_allclose(fitted.transform(deferred.transform(many)), expected, atol=1e-4)
    pipeline = make_pipeline(deferred, clone(encoder)).set_output(transform="pandas")
    np.testing.assert_allclose(pipeline.fit_transform(many).to_numpy(), expected, atol=1e-4)


def test_an_empty_slice_of_deferred_bags_is_refused_like_an_empty_list(many):
    bags = LocalDescriptors(sampling="dense", max_bytes=0).fit_transform(many)
    encoder = BagOfWords(3, random_state=0).fit(bags)
    for method in (encoder.fit, encoder.transform, encoder.partial_fit):
        with pytest.raises(ValueError, match="at least one bag"):
            method(bags[:0])
