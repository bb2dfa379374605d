"""Heat maps of classes: those of the same score given by hand."""

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from torch import nn

from mmfeat.datasets import make_scenes
from mmfeat.image import CNNFeatures, ColorMoments, grad_cam
from mmfeat.multimodal import LateFusionClassifier, PairFeatures, class_heat_maps
from mmfeat.multimodal._decision import decision_gradient, linear_decision
from mmfeat.text import tfidf_lsa


def make_network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 6, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2)
        )
    network.pretrained_cfg = {"input_size": (3, 32, 32), "crop_pct": 1.0, "mean": (0.5,) * 3, "std": (0.2,) * 3}
    return network


CNN = CNNFeatures(make_network, layer="1", device="cpu")
TEXT = tfidf_lsa(6, random_state=0)


@pytest.fixture(scope="module")
def posts():
    return make_scenes(60, image_size=40, captions_per_image=1, task="sentiment", random_state=0)


@pytest.fixture(scope="module")
def thirds():
    return np.arange(60) % 3


def assert_same(found, expected, tolerance=1e-5):
    for one, other in zip(found, expected, strict=True):
        assert one.shape == (40, 40)
        np.testing.assert_allclose(one, other, atol=tolerance * np.abs(other).max())
    assert any(np.abs(one).max() > 0 for one in expected)


def test_a_linear_classifier_of_pictures(posts, thirds):
    model = make_pipeline(CNN, StandardScaler(), LogisticRegression()).fit(posts["image"], thirds)
    images = posts["image"][:3].to_list()
    directions = model[-1].coef_ / model[1].scale_
    for target in range(3):
        found = class_heat_maps(model, images, target, signed=True)
        assert_same(found, grad_cam(model[0], images, directions[target], signed=True))
    assert_same(class_heat_maps(model, images), grad_cam(model[0], images, directions[model.predict(images)]))
    searched = GridSearchCV(model, {"logisticregression__C": [0.5, 1]}, cv=2).fit(posts["image"], thirds)
    assert class_heat_maps(searched, images, 1)[0].shape == (40, 40)


def test_the_two_classes_are_each_others_opposite(posts):
    model = make_pipeline(CNN, LinearSVC()).fit(posts["image"], posts["label"])
    images = posts["image"][:2].to_list()
    positive, negative = (class_heat_maps(model, images, target, signed=True) for target in ("positive", "negative"))
    assert_same(positive, grad_cam(model[0], images, model[-1].coef_[0], signed=True))
    assert_same(positive, [-one for one in negative])


def test_a_kernel_machine_is_differentiated(posts):
    model = make_pipeline(CNN, StandardScaler(), SVC(gamma=0.1)).fit(posts["image"], posts["label"])
    scaler, machine = model[1:]
    vectors, weights = torch.tensor(machine.support_vectors_), torch.tensor(machine.dual_coef_[0])

    def decision(features):
        row = (features.double() - torch.tensor(scaler.mean_)) / torch.tensor(scaler.scale_)
        return torch.exp(-0.1 * ((vectors - row) ** 2).sum(1)) @ weights

    images = posts["image"][:2].to_list()
    expected = grad_cam(model[0], images, decision, signed=True)
    assert_same(class_heat_maps(model, images, "positive", signed=True), expected, 1e-4)


def test_probabilities_where_there_is_no_decision_function(posts):
    calibrated = CalibratedClassifierCV(LogisticRegression(), cv=2, ensemble=False)
    model = make_pipeline(CNN, calibrated).fit(posts["image"], posts["label"])
    images = posts["image"][:2].to_list()
    one, other = (class_heat_maps(model, images, target, signed=True) for target in model.classes_)
    assert_same(one, [-part for part in other], 1e-4)
    # A probability is a rising or falling function of the decision: the same map but for a factor.
    inner = calibrated.fit(model[0].transform(posts["image"]), posts["label"]).calibrated_classifiers_[0].estimator
    heat = grad_cam(model[0], images, inner.coef_[0], signed=True)[0].ravel()
    cosine = other[0].ravel() @ heat / np.linalg.norm(other[0]) / np.linalg.norm(heat)
    np.testing.assert_allclose(abs(cosine), 1, atol=1e-4)


@pytest.mark.parametrize("normalize", ["l2", "standard", "block", None])
def test_pairs(normalize, posts):
    features = PairFeatures(CNN, TEXT, normalize=normalize, weights=(2, 0.5), missing="impute")
    model = make_pipeline(features, PCA(5), LogisticRegression()).fit(posts, posts["label"])
    rows = posts[:2]
    found = class_heat_maps(model, rows, "positive", signed=True)
    block, projected = model[0]._blocks[0], torch.tensor(model[1].components_.T.astype(float) @ model[2].coef_[0])[:6]

    def decision(picture):
        picture = picture.double()
        if normalize == "l2":
            picture = picture / picture.norm()
        elif normalize == "standard":
            picture = (picture - torch.tensor(block.scaler.mean_)) / torch.tensor(block.scaler.scale_)
        elif normalize == "block":
            # Rows have a mean squared length of 1.
            known = model[0].image_encoder_.transform(posts["image"])
            picture = picture / np.sqrt((known.astype(float) ** 2).sum(1).mean())
        return 2 * picture @ projected

    assert_same(found, grad_cam(model[0].image_encoder_, rows["image"].to_list(), decision, signed=True), 1e-4)


def test_pictures_side_of_a_late_fusion(posts):
    images = make_pipeline(CNN, StandardScaler(), LogisticRegression())
    model = LateFusionClassifier(images, make_pipeline(TEXT, LogisticRegression())).fit(posts, posts["label"])
    found = class_heat_maps(model, posts[:2], "negative", layer="0")
    expected = class_heat_maps(model.image_classifier_, posts["image"][:2], "negative", "0")
    assert_same(found, expected)


def test_labels_one_against_the_rest(posts):
    y = np.stack([np.arange(60) % 2, np.arange(60) % 3 == 0], axis=1).astype(int)
    model = make_pipeline(CNN, OneVsRestClassifier(LogisticRegression())).fit(posts["image"], y)
    images = posts["image"][:2].to_list()
    expected = grad_cam(model[0], images, model[-1].estimators_[1].coef_[0], signed=True)
    assert_same(class_heat_maps(model, images, 1, signed=True), expected, 1e-4)
    with pytest.raises(ValueError, match="several labels"):
        class_heat_maps(model, images)
    many = make_pipeline(CNN, MultiOutputClassifier(LogisticRegression())).fit(posts["image"], y)
    with pytest.raises(ValueError, match="no single list of classes"):
        class_heat_maps(many, images, 1)


@pytest.mark.parametrize("n_classes", [3, 4])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_decisions_between_pairs_of_classes_are_refused(n_classes, kernel):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(n_classes), 20)
    X = rng.normal(size=(len(y), 5))
    X[np.arange(len(y)), y] += 3
    for place in range(n_classes):
        row = X[20 * place]
        by_class = SVC(kernel=kernel).fit(X, y)
        gradient = decision_gradient(by_class, row, place)
        assert kernel == "rbf" or np.argmax(gradient) == place
        by_pair = SVC(kernel=kernel, decision_function_shape="ovo").fit(X, y)
        assert linear_decision(by_pair, row, place)[0] is None
        with pytest.raises(
            ValueError, match=r'SVC decides between pairs of classes.*Use decision_function_shape="ovr"'
        ):
            decision_gradient(by_pair, row, place)


def test_a_number_of_decisions_that_is_not_that_of_the_classes_is_refused():
    class Pairs(BaseEstimator):
        classes_ = np.arange(4)

        def decision_function(self, rows):
            return np.tile(rows[:, :1], 6)

    with pytest.raises(ValueError, match="Pairs has 6 decisions for 4 classes"):
        decision_gradient(Pairs(), np.ones(3), 1)


def test_what_cannot_be_explained_is_refused(posts):
    def fitted(features, classifier):
        of_pairs = isinstance(features, PairFeatures)
        return make_pipeline(features, classifier).fit(posts if of_pairs else posts["image"], posts["label"])

    images = posts["image"][:2].to_list()
    with pytest.raises(ValueError, match="KNeighborsClassifier has no gradient"):
        class_heat_maps(fitted(CNN, KNeighborsClassifier(3)), images)
    with pytest.raises(ValueError, match="Got ColorMoments"):
        class_heat_maps(fitted(ColorMoments(), LinearSVC()), images)
    with pytest.raises(ValueError, match="'so so' is no class"):
        class_heat_maps(fitted(CNN, LinearSVC()), images, "so so")
    with pytest.raises(ValueError, match="does not see the image"):
        class_heat_maps(fitted(PairFeatures("drop", TEXT), LinearSVC()), posts[:2])
    model = fitted(PairFeatures(CNN, TEXT, missing="other"), LinearSVC())
    holed = posts[:2].copy()
    holed["image"] = [images[0], None]
    with pytest.raises(ValueError, match="Pair 1 has no image"):
        class_heat_maps(model, holed)
    with pytest.raises(ValueError, match="neither decision_function nor predict_proba"):
        class_heat_maps(fitted(CNN, LinearSVC()).set_params(linearsvc=Silent()), images)


class Silent(BaseEstimator):
    """Says the class and nothing else."""

    classes_ = np.array(["negative", "positive"])

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        return self.classes_[:1].repeat(len(X))
