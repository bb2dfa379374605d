"""LateFusionClassifier: rules written out, scikit-learn's own ensembles, weights, and what is missing."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp, softmax
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, StratifiedGroupKFold, cross_val_score, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import get_tags

from mmfeat.multimodal import LateFusionClassifier
from mmfeat.multimodal._rules import choose_weight

PROBABILITIES = ("mean", "weighted", "product", "max", "stack")


def pixels(X):
    """Nine numbers of a picture, of an array of one row."""
    return np.stack([np.asarray(image, float).ravel() for image in X])


def numbers(X):
    """The numbers that a text is made of."""
    return np.array([[float(word) for word in text.split()] for text in X])


def picture_classifier(classifier=None):
    return make_pipeline(FunctionTransformer(pixels), classifier or LogisticRegression())


def word_classifier(classifier=None):
    return make_pipeline(FunctionTransformer(numbers), classifier or LogisticRegression())


def make_pairs(images, texts):
    """Numbers as pictures and as words, so that scikit-learn's ensembles can be fitted to the same."""
    return pd.DataFrame({"image": list(images), "text": [" ".join(map(repr, map(float, row))) for row in texts]})


def columns(first, last):
    return FunctionTransformer(lambda X: X[:, first:last])


@pytest.fixture(scope="module")
def data():
    """Pairs, the same as one matrix, and classes; both sides tell something."""
    rng = np.random.default_rng(0)
    classes = np.array(["a", "b", "c"])
    codes = rng.integers(3, size=150)
    matrix = rng.normal(size=(150, 8))
    matrix[:, :3] += 1.2 * np.eye(3)[codes]
    matrix[:, 4:7] += 0.9 * np.eye(3)[codes]
    return make_pairs(matrix[:, :4], matrix[:, 4:]), matrix, classes[codes]


def sides(matrix):
    return [
        ("image", make_pipeline(columns(0, 4), LogisticRegression())),
        ("text", make_pipeline(columns(4, 8), LogisticRegression())),
    ]


def probabilities_apart(data, train, test):
    _, matrix, y = data
    return [
        LogisticRegression().fit(matrix[train, part], y[train]).predict_proba(matrix[test, part])
        for part in (slice(0, 4), slice(4, 8))
    ]


def remove(pairs, column, rows):
    """The same pairs with None in some cells."""
    cells = np.empty(len(pairs), dtype=object)
    cells[:] = [None if row in set(rows) else cell for row, cell in enumerate(pairs[column])]
    return pairs.assign(**{column: cells})


TRAIN, TEST = slice(0, 100), slice(100, 150)


# The rules


@pytest.mark.parametrize("rule", ["mean", "product", "max"])
def test_rules_are_those_written_out(data, rule):
    pairs, _, y = data
    model = LateFusionClassifier(picture_classifier(), word_classifier(), rule).fit(pairs[TRAIN], y[TRAIN])
    prior = {name: np.mean(y[TRAIN] == name) for name in "abc"}
    expected = []
    for one, other in zip(*probabilities_apart(data, TRAIN, TEST), strict=True):
        row = []
        for k, name in enumerate("abc"):
            both = {"mean": one[k] + other[k], "product": one[k] * other[k] / prior[name], "max": max(one[k], other[k])}
            row.append(both[rule])
        expected.append([value / sum(row) for value in row])
    assert_allclose(model.predict_proba(pairs[TEST]), expected, rtol=1e-6)
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert_array_equal(model.predict(pairs[TEST]), model.classes_[np.argmax(expected, axis=1)])
    assert_allclose(model.class_prior_, list(prior.values()))
    assert_array_equal(model.image_classifier_.classes_, model.classes_)


@pytest.mark.parametrize("weights", [None, (1, 3), (0.8, 0.2)])
def test_means_are_those_of_a_soft_voting_classifier(data, weights):
    pairs, matrix, y = data
    expected = VotingClassifier(sides(matrix), voting="soft", weights=weights).fit(matrix[TRAIN], y[TRAIN])
    rule = "mean" if weights is None else "weighted"
    model = LateFusionClassifier(picture_classifier(), word_classifier(), rule, weights=weights)
    model.fit(pairs[TRAIN], y[TRAIN])
    assert_allclose(model.predict_proba(pairs[TEST]), expected.predict_proba(matrix[TEST]), rtol=1e-6)
    assert_array_equal(model.predict(pairs[TEST]), expected.predict(matrix[TEST]))


@pytest.mark.parametrize("weights", [None, (1, 3)])
def test_votes_are_those_of_a_hard_voting_classifier(data, weights):
    pairs, matrix, y = data
    hard = [(name, pipe[:1].__class__([*pipe.steps[:1], ("ridge", RidgeClassifier())])) for name, pipe in sides(matrix)]
    expected = VotingClassifier(hard, voting="hard", weights=weights).fit(matrix[TRAIN], y[TRAIN])
    images, texts = picture_classifier(RidgeClassifier()), word_classifier(RidgeClassifier())
    model = LateFusionClassifier(images, texts, "vote", weights=weights).fit(pairs[TRAIN], y[TRAIN])
    assert_array_equal(model.predict(pairs[TEST]), expected.predict(matrix[TEST]))
    assert not hasattr(model, "predict_proba")


def test_ties_of_votes_go_to_the_larger_mean(data):
    pairs, _, y = data
    model = LateFusionClassifier(picture_classifier(), word_classifier(), "vote").fit(pairs[TRAIN], y[TRAIN])
    one, other = probabilities_apart(data, TRAIN, TEST)
    expected, ties = [], 0
    for left, right in zip(one, other, strict=True):
        voted = sorted({left.argmax(), right.argmax()}, key=lambda k: -(left[k] + right[k]))
        ties += len(voted) == 2
        expected.append("abc"[voted[0]])
    assert ties > 5
    assert model.predict(pairs[TEST]).tolist() == expected


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("final", [None, GaussianNB()])
def test_stacking_is_that_of_scikit_learn(data, final, binary):
    pairs, matrix, y = data
    y = np.where(y == "c", "a", y) if binary else y
    expected = StackingClassifier(sides(matrix), final, cv=4, stack_method="predict_proba").fit(matrix[TRAIN], y[TRAIN])
    model = LateFusionClassifier(picture_classifier(), word_classifier(), "stack", final_estimator=final, cv=4)
    model.fit(pairs[TRAIN], y[TRAIN])
    assert_allclose(model.predict_proba(pairs[TEST]), expected.predict_proba(matrix[TEST]), rtol=1e-5)
    assert_array_equal(model.predict(pairs[TEST]), expected.predict(matrix[TEST]))


# Weights that cross-validation finds


def recalibrated_loss(weight, image, text, codes, sample_weight=None):
    """Least log loss of the mean over powers, by trying many."""
    powers = np.geomspace(0.05, 15, 300)
    scores = powers[:, None, None] * np.log(weight * image + (1 - weight) * text)
    of_rows = logsumexp(scores, axis=2) - scores[:, np.arange(len(codes)), codes]
    losses = np.average(of_rows, axis=1, weights=sample_weight)
    return losses.min(), powers[losses.argmin()]


@pytest.mark.parametrize("weighted", [False, True])
def test_weight_has_the_least_recalibrated_log_loss(weighted):
    rng = np.random.default_rng(1)
    codes = rng.integers(3, size=400)
    image, text = (softmax(rng.normal(size=(400, 3)) + scale * np.eye(3)[codes], axis=1) for scale in (1.0, 1.6))
    sample_weight = rng.uniform(0, 3, 400) if weighted else None
    weight, power = choose_weight(image[:, None], text[:, None], codes[:, None], sample_weight)
    losses = {w: recalibrated_loss(w, image, text, codes, sample_weight) for w in np.linspace(0, 1, 21)}
    best = min(losses, key=lambda w: losses[w][0])
    assert 0 < best < 1
    assert weight == pytest.approx(best)
    assert power == pytest.approx(losses[best][1], rel=0.03)


def test_a_learned_weight_is_used(data):
    pairs, _, y = data
    model = LateFusionClassifier(picture_classifier(), word_classifier(), "weighted").fit(pairs[TRAIN], y[TRAIN])
    assert 0 < model.weights_[0] < 1 and model.weights_.sum() == pytest.approx(1)
    one, other = probabilities_apart(data, TRAIN, TEST)
    expected = (model.weights_[0] * one + model.weights_[1] * other) ** model.power_
    assert_allclose(model.predict_proba(pairs[TEST]), expected / expected.sum(axis=1, keepdims=True), rtol=1e-6)
    model.set_params(combine="product").fit(pairs[TRAIN], y[TRAIN])
    assert not hasattr(model, "weights_") and not hasattr(model, "power_")


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("bad", [LogisticRegression(C=100), KNeighborsClassifier(1)], ids=["sure", "certain"])
@pytest.mark.parametrize("good", [LogisticRegression(), LogisticRegression(C=1e-3), KNeighborsClassifier(5)])
def test_noise_on_one_side_costs_at_most_a_point(good, bad, swapped):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        codes = rng.integers(4, size=1700)
        signal, noise = rng.normal(size=(1700, 4)) + 2 * np.eye(4)[codes], rng.normal(size=(1700, 12))
        pairs = make_pairs(noise, signal) if swapped else make_pairs(signal, noise)
        images, texts = (bad, good) if swapped else (good, bad)
        model = LateFusionClassifier(picture_classifier(images), word_classifier(texts), "weighted")
        score = model.fit(pairs[:200], codes[:200]).score(pairs[200:], codes[200:])
        alone = clone(good).fit(signal[:200], codes[:200]).score(signal[200:], codes[200:])
        assert score >= alone - 0.01


def test_rows_of_one_picture_stay_in_one_fold(data):
    pairs, matrix, y = data
    picture = np.arange(150) // 3
    cells = np.empty(150, dtype=object)
    cells[:] = [pairs["image"][3 * number] for number in picture]
    pairs, matrix = pairs.assign(image=cells), np.hstack([matrix[3 * picture, :4], matrix[:, 4:]])
    model = LateFusionClassifier(picture_classifier(KNeighborsClassifier(3)), word_classifier(), "stack", cv=4).fit(
        pairs, y
    )
    splits = list(StratifiedGroupKFold(4).split(matrix, y, picture))
    image = Pipeline([("columns", columns(0, 4)), ("knn", KNeighborsClassifier(3))])
    expected = StackingClassifier([("image", image), sides(matrix)[1]], cv=splits, stack_method="predict_proba")
    assert_allclose(model.predict_proba(pairs), expected.fit(matrix, y).predict_proba(matrix), rtol=1e-5)


# Weights of samples and classes


@pytest.mark.parametrize("rule", PROBABILITIES)
def test_weights_of_samples_are_repetitions(data, rule):
    pairs, _, y = data
    counts = np.random.default_rng(0).integers(1, 4, size=150)
    rows = np.repeat(np.arange(150), counts)
    fold = np.arange(150) % 3
    model = LateFusionClassifier(picture_classifier(), word_classifier(), rule)
    folds = [[(np.flatnonzero(of != k), np.flatnonzero(of == k)) for k in range(3)] for of in (fold, fold[rows])]
    weighted = clone(model).set_params(cv=folds[0]).fit(pairs, y, sample_weight=counts)
    repeated = clone(model).set_params(cv=folds[1]).fit(pairs.iloc[rows], y[rows])
    assert_allclose(weighted.predict_proba(pairs), repeated.predict_proba(pairs), rtol=2e-3, atol=2e-4)
    assert not np.allclose(weighted.predict_proba(pairs), clone(model).fit(pairs, y).predict_proba(pairs), atol=1e-3)


@pytest.mark.parametrize("class_weight", ["balanced", {"a": 1, "b": 2, "c": 5}])
def test_weights_of_classes_reach_both_classifiers(data, class_weight):
    pairs, _, y = data
    model = LateFusionClassifier(picture_classifier(), word_classifier(), class_weight=class_weight).fit(pairs, y)
    inside = LogisticRegression(class_weight=class_weight)
    expected = LateFusionClassifier(picture_classifier(inside), word_classifier(inside)).fit(pairs, y)
    assert_allclose(model.predict_proba(pairs), expected.predict_proba(pairs), rtol=1e-4)
    unseen = clone(expected).set_params(combine="weighted").fit(pairs, y)  # by name also in the folds
    assert unseen.predict_proba(pairs).shape == (150, 3)


def test_weights_pass_through_searches_and_routing(data):
    pairs, _, y = data
    weights = np.where(y == "c", 5.0, 1.0)
    search = GridSearchCV(word_classifier(), {"logisticregression__C": [1.0]}, cv=2)
    model = LateFusionClassifier(picture_classifier(), search)
    expected = LateFusionClassifier(picture_classifier(), word_classifier()).fit(pairs, y, sample_weight=weights)
    assert_allclose(
        model.fit(pairs, y, sample_weight=weights).predict_proba(pairs), expected.predict_proba(pairs), rtol=1e-6
    )
    outer = GridSearchCV(expected, {"combine": ["mean"]}, cv=2).fit(pairs, y, sample_weight=weights)
    assert_allclose(outer.predict_proba(pairs), expected.predict_proba(pairs), rtol=1e-6)
    with config_context(enable_metadata_routing=True):
        asking = clone(expected).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        outer = GridSearchCV(asking, {"combine": ["mean"]}, cv=2).fit(pairs, y, sample_weight=weights)
    assert_allclose(outer.predict_proba(pairs), expected.predict_proba(pairs), rtol=1e-6)


def test_a_classifier_that_takes_no_weights_is_named(data):
    pairs, _, y = data
    model = LateFusionClassifier(picture_classifier(), word_classifier(KNeighborsClassifier()), class_weight="balanced")
    with pytest.raises(ValueError, match="the text classifier does not take `sample_weight`"):
        model.fit(pairs, y)
    with pytest.raises(ValueError, match=r"(?i)negative"):
        LateFusionClassifier(picture_classifier(), word_classifier()).fit(pairs, y, sample_weight=np.full(150, -1.0))


# Several labels


@pytest.fixture(scope="module")
def tags():
    rng = np.random.default_rng(3)
    y = (rng.random((140, 3)) < [0.5, 0.4, 0.3]).astype(int)
    images, texts = (rng.normal(size=(140, 3)) + 1.5 * y for _ in range(2))
    return make_pairs(images, texts), images, texts, y


@pytest.mark.parametrize("rule", [*PROBABILITIES, "vote"])
def test_several_labels_are_several_classifications(tags, rule):
    pairs, images, texts, y = tags
    several = MultiOutputClassifier(LogisticRegression())
    folds = KFold(4)
    weights = (0.3, 0.7) if rule == "weighted" else None
    model = LateFusionClassifier(picture_classifier(several), word_classifier(several), rule, cv=folds, weights=weights)
    model.fit(pairs[:100], y[:100])
    predicted = model.predict(pairs[100:])
    assert predicted.shape == (40, 3) and set(np.unique(predicted)) == {0, 1}
    assert [known.tolist() for known in model.classes_] == [[0, 1]] * 3
    if rule == "stack":
        # The final classifiers of a label see the probabilities of all labels, as in scikit-learn.
        matrix = np.hstack([images, texts])
        apart = [("i", make_pipeline(columns(0, 3), several)), ("t", make_pipeline(columns(3, 6), several))]
        stack = StackingClassifier(apart, several, cv=folds).fit(matrix[:100], y[:100])
        assert_allclose(
            model.predict_proba(pairs[100:]),
            np.stack([p[:, 1] for p in stack.final_estimator_.predict_proba(stack.transform(matrix[100:]))], 1),
        )
        return
    for label in range(3):
        single = LateFusionClassifier(picture_classifier(), word_classifier(), rule, weights=weights)
        single.fit(pairs[:100], y[:100, label])
        assert_array_equal(predicted[:, label], single.predict(pairs[100:]))
        if rule != "vote":
            assert_allclose(
                model.predict_proba(pairs[100:])[:, label], single.predict_proba(pairs[100:])[:, 1], rtol=1e-6
            )


def test_forms_in_which_classifiers_give_several_labels(tags):
    pairs, _, _, y = tags
    scores = {}
    for name, several in (
        ("list", MultiOutputClassifier(LogisticRegression())),
        ("matrix", OneVsRestClassifier(LogisticRegression())),
        ("neighbours", KNeighborsClassifier(9)),
    ):
        model = LateFusionClassifier(picture_classifier(several), word_classifier(several), "weighted").fit(pairs, y)
        scores[name] = model.predict_proba(pairs)
        assert roc_auc_score(y, scores[name]) > 0.85
        assert model.power_ > 0
    assert_allclose(scores["list"], scores["matrix"], rtol=1e-6)
    two = LateFusionClassifier(picture_classifier(several), word_classifier(several), "product")
    scored = cross_validate(two, pairs, y[:, :2], scoring=["roc_auc", "average_precision"], cv=2, error_score="raise")
    assert scored["test_roc_auc"].min() > 0.7


# What is missing


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("missing", ["impute", "other"])
@pytest.mark.parametrize("rule", ["mean", "product", "max"])
def test_missing_sides_follow_the_policy(data, rule, missing, share):
    pairs, matrix, y = data
    rng = np.random.default_rng(0)
    gone = [rng.permutation(150)[: int(150 * share)] for _ in range(2)]
    gappy = remove(remove(pairs, "image", gone[0]), "text", gone[1])
    model = LateFusionClassifier(picture_classifier(), word_classifier(), rule, missing=missing).fit(gappy, y)
    prior = np.array([np.mean(y == name) for name in "abc"])
    seen = []
    for part, without in ((slice(0, 4), gone[0]), (slice(4, 8), gone[1])):
        kept = np.delete(np.arange(150), without)
        table = np.full((150, 3), np.nan)
        table[kept] = LogisticRegression().fit(matrix[kept, part], y[kept]).predict_proba(matrix[kept, part])
        seen.append(table)
    expected = []
    for one, other in zip(*seen, strict=True):
        lacks = np.isnan(one[0]), np.isnan(other[0])
        if missing == "other" and sum(lacks) == 1:
            expected.append(other if lacks[0] else one)
            continue
        one, other = (prior if no else row for no, row in zip(lacks, (one, other), strict=True))
        row = {"mean": one + other, "product": one * other / prior, "max": np.maximum(one, other)}[rule]
        expected.append(row / row.sum())
    assert_allclose(model.predict_proba(gappy), expected, rtol=1e-6)


@pytest.mark.parametrize("missing", ["impute", "other"])
@pytest.mark.parametrize("rule", [*PROBABILITIES, "vote"])
@pytest.mark.parametrize("share", [0, 0.25, 0.5])
def test_all_rules_work_with_gaps(data, rule, missing, share):
    pairs, _, y = data
    rng = np.random.default_rng(1)
    gone = [rng.permutation(150)[: int(150 * share)] for _ in range(2)]
    gappy = remove(remove(pairs, "image", gone[0]), "text", gone[1])
    model = LateFusionClassifier(picture_classifier(), word_classifier(), rule, missing=missing, cv=3)
    model.fit(gappy[TRAIN], y[TRAIN])
    assert model.score(gappy[TEST], y[TEST]) > (0.55, 0.5, 0.4)[int(4 * share)]
    if rule != "vote":
        result = model.predict_proba(gappy)
        assert np.isfinite(result).all()
        assert_allclose(result.sum(axis=1), 1)
    if missing == "other":
        one_side = gappy[TEST].assign(image=None)
        rows = [row for row, text in enumerate(one_side["text"]) if isinstance(text, str)]
        alone = model.text_classifier_.predict(one_side["text"].iloc[rows])
        assert_array_equal(model.predict(one_side)[rows], alone)


def test_what_is_missing_is_named(data):
    pairs, _, y = data
    model = LateFusionClassifier(picture_classifier(), word_classifier())
    with pytest.raises(ValueError, match=r"Pair 4 has no image: it is None\. 2 of 150"):
        model.fit(remove(pairs, "image", [4, 9]), y)
    with pytest.raises(ValueError, match="Pair 4 has no text"):
        model.fit(pairs, y).predict(remove(pairs, "text", [4]))
    with pytest.raises(ValueError, match=r"No row has a text\. Fit a classifier of the other side alone"):
        model.set_params(missing="other").fit(pairs.assign(text=None), y)


class Reader(TransformerMixin, BaseEstimator):
    """Numbers of a picture, NaN for bytes."""

    def __init__(self, on_error="warn"):
        self.on_error = on_error

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.array([np.full(4, np.nan) if isinstance(image, bytes) else image for image in X])


@pytest.mark.parametrize("rule", PROBABILITIES)
def test_pictures_that_cannot_be_read_are_missing(data, rule):
    pairs, _, y = data
    cells = np.empty(150, dtype=object)
    cells[:] = [f"broken {row}".encode() if row % 5 == 0 else image for row, image in enumerate(pairs["image"])]
    broken = pairs.assign(image=cells)
    images = make_pipeline(Reader(), StandardScaler(), LogisticRegression())
    model = LateFusionClassifier(images, word_classifier(), rule, missing="other").fit(broken, y)
    none = remove(pairs, "image", range(0, 150, 5))
    expected = clone(model).fit(none, y)
    assert_allclose(model.predict_proba(broken), expected.predict_proba(none), rtol=1e-5, atol=1e-9)
    with pytest.raises(ValueError, match="The image of pair 0 could not be read"):
        clone(model).set_params(missing="error").fit(broken, y)


# As an estimator


def test_searches_nested_cross_validation_and_pickles(data):
    pairs, _, y = data
    model = LateFusionClassifier(picture_classifier(), word_classifier())
    grid = {"combine": ["mean", "stack", "weighted"], "image_classifier__logisticregression__C": [0.1, 1]}
    inner = GridSearchCV(model.set_params(cv=2), grid, cv=2, scoring="neg_log_loss", error_score="raise")
    assert cross_val_score(inner, pairs, y, cv=2, error_score="raise").min() > -0.8
    fitted = model.set_params(combine="stack").fit(pairs, y)
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(pairs), fitted.predict_proba(pairs))
    tags = get_tags(fitted)
    assert tags.input_tags.string and tags.classifier_tags.multi_label and tags.target_tags.required


def test_several_captions_are_one_text(data):
    pairs, _, y = data
    split = pairs.assign(text=[text.split(" ", 1) for text in pairs["text"]])
    model = LateFusionClassifier(picture_classifier(), word_classifier())
    assert_array_equal(model.fit(split, y).predict_proba(split), model.fit(pairs, y).predict_proba(pairs))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a"] * 150, "at least two classes. Got 'a' alone"),
        (["a", "b"], "Got 2 rows for 150 pairs"),
        (np.array(["a", "b", None] * 50, dtype=object), "class of pair 2 is missing"),
        (np.linspace(0, 1, 150), "continuous"),
        (np.arange(300).reshape(150, 2), "indicator matrix|multioutput"),
    ],
)
def test_what_are_no_classes(data, y, message):
    with pytest.raises(ValueError, match=message):
        LateFusionClassifier(picture_classifier(), word_classifier()).fit(data[0], y)


def test_classifiers_without_probabilities_are_named(data):
    pairs, _, y = data
    model = LateFusionClassifier(picture_classifier(LinearSVC()), word_classifier())
    with pytest.raises(
        ValueError, match=r'(?s)image classifier has no predict_proba.*CalibratedClassifierCV.*combine="vote"'
    ):
        model.fit(pairs, y)
    assert model.set_params(combine="vote").fit(pairs, y).score(pairs, y) > 0.5
    with pytest.raises(ValueError, match="`weights` must be two numbers"):
        model.set_params(weights=(0, 0)).fit(pairs, y)
    with pytest.raises(ValueError, match="'combine' parameter of LateFusionClassifier"):
        model.set_params(combine="min").fit(pairs, y)
