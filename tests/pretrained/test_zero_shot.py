"""ZeroShotClassifier against a loop over the rows of both towers."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from mmfeat.caching import CachedTransformer
from mmfeat.datasets import make_scenes
from mmfeat.image import ColorHistogram
from mmfeat.pretrained import TwoTower, ZeroShotClassifier

NAMES = ["dog", "ball", "cat"]
TEMPLATES = ["a {}", "a photo of a {}"]


@pytest.fixture(scope="module")
def pictures():
    return [np.asarray(image) for image in make_scenes(8, image_size=48, random_state=0)["image"]]


def make(folder, classes=None, **settings):
    towers = TwoTower(folder, "image", device="cpu"), TwoTower(folder, "text", templates=TEMPLATES, device="cpu")
    return ZeroShotClassifier(*towers, classes, **settings)


def test_is_the_softmax_of_scaled_cosines(folder, pictures):
    found = make(folder, NAMES).fit(pictures)
    assert found.classes_.tolist() == sorted(NAMES)
    images = TwoTower(folder, "image", normalize=False, device="cpu").fit_transform(pictures)
    expected = np.empty((8, 3))
    for column, name in enumerate(sorted(NAMES)):
        rows = TwoTower(folder, "text", device="cpu").fit_transform([t.format(name) for t in TEMPLATES])
        mean = rows.mean(0)
        for row, image in enumerate(images):
            expected[row, column] = image @ mean / np.linalg.norm(image) / np.linalg.norm(mean)
    odds = np.exp(np.exp(3.0) * expected)
    np.testing.assert_allclose(found.predict_proba(pictures), odds / odds.sum(1, keepdims=True), atol=1e-4)
    assert found.predict(pictures).tolist() == [sorted(NAMES)[place] for place in expected.argmax(1)]


def test_labels_may_have_names_of_their_own(tiny_clip, pictures):
    plain = make(tiny_clip, NAMES).fit(pictures)
    numbered = make(tiny_clip, {7: "dog", -1: "cat", 3: "ball"}).fit(pictures, [7, 7, -1, 3, 3, 3, 3, 3])
    names = {7: "dog", -1: "cat", 3: "ball"}
    assert numbered.classes_.tolist() == [-1, 3, 7]
    assert [names[label] for label in numbered.predict(pictures)] == plain.predict(pictures).tolist()
    learned = make(tiny_clip).fit(pictures, np.array(NAMES)[[0, 1, 2, 0, 1, 2, 0, 1]])
    np.testing.assert_array_equal(learned.predict_proba(pictures), plain.predict_proba(pictures))


def test_goes_through_cross_validation_clone_and_pickle(tiny_clip, tmp_path, pictures):
    classifier = make(tiny_clip, NAMES)
    classifier.set_params(image_encoder=CachedTransformer(classifier.image_encoder, tmp_path / "cache"))
    labels = clone(classifier).fit(pictures).predict(pictures)
    assert cross_val_score(classifier, pictures, labels, cv=2).tolist() == [1, 1]
    fitted = classifier.fit(pictures)
    assert fitted.scale_ == pytest.approx(np.exp(3))
    assert fitted.image_encoder_.transform(pictures).shape == (8, 12)
    assert fitted.image_encoder_.n_computed_ == 0
    stored = pickle.dumps(fitted)
    assert len(stored) < 5000 and b"torch" not in stored
    np.testing.assert_array_equal(pickle.loads(stored).predict(pictures), labels)


def test_pictures_that_cannot_be_read_have_no_class(tiny_clip, pictures):
    classifier = make(tiny_clip, NAMES, scale=2).set_params(image_encoder__on_error="warn").fit(pictures)
    items = [pictures[0], b"none", pictures[1]]
    with pytest.warns(UserWarning, match="could not be read"):
        rows = classifier.predict_proba(items)
    assert np.isnan(rows).all(1).tolist() == [False, True, False]
    with pytest.warns(UserWarning, match="1 of 3"), pytest.raises(ValueError, match="Image 1 and 1 in all"):
        classifier.predict(items)


@pytest.mark.parametrize(
    ("classes", "y", "message"),
    [
        (None, None, "There are no classes"),
        (None, [0, 1], r"The class 0 has the name 0\. Pass `classes`"),
        (["a", "a"], None, "have one name"),
        ({1: "a", 2: "a"}, None, "have one name"),
        (["a", 3], None, "The class 3 has the name 3"),
        ([], None, "at least one class name"),
        ({1: "a", "b": "b"}, None, "not of one kind"),
        (["a", "b"], ["a", "c"], "the label 'c', which is not in `classes`"),
        (["a", "b"], ["a"], "2 images and y 1 labels"),
        (None, ["a", None], "not of one kind"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(tiny_clip, pictures, classes, y, message):
    with pytest.raises(ValueError, match=message):
        make(tiny_clip, classes).fit(pictures[:2], y)


def test_encoders_that_do_not_belong_together_are_refused(tiny_clip, pictures):
    with pytest.raises(ValueError, match="Use both towers of one model"):
        make(tiny_clip, NAMES).set_params(image_encoder=ColorHistogram()).fit(pictures)
    both = ZeroShotClassifier(ColorHistogram(bins=2, space="rgb"), ColorHistogram(), NAMES)
    with pytest.raises(ValueError):
        both.fit(pictures)
