"""Words of a decision: they add up to it, and to what each word does by itself."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, Normalizer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from mmfeat.datasets import make_scenes
from mmfeat.image import ColorMoments
from mmfeat.multimodal import LateFusionClassifier, PairFeatures, word_contributions
from mmfeat.text import tfidf_lsa


@pytest.fixture(scope="module")
def posts():
    return make_scenes(90, image_size=32, captions_per_image=1, task="sentiment", random_state=0)


@pytest.fixture(scope="module")
def texts(posts):
    return [captions[0] for captions in posts["text"]]


@pytest.fixture(scope="module")
def thirds(posts):
    """Three classes that the words tell: the last word but one of the mood, as far as there is one."""
    return np.array([len(captions[0]) % 3 for captions in posts["text"]])


def whole(decision):
    return decision.intercept + decision.picture + decision.words.contributions.sum() + decision.words.rest


MIDDLE = {
    "none": [],
    "svd": [TruncatedSVD(12, random_state=0)],
    "svd, scaler": [TruncatedSVD(12, random_state=0), StandardScaler()],
    "svd, unit length": [TruncatedSVD(12, random_state=0), Normalizer(), StandardScaler(), Normalizer("l1")],
    "scaler": [StandardScaler(with_mean=False)],
    "selection": [SelectKBest(k=20), MaxAbsScaler()],
    "svd, pca": [TruncatedSVD(12, random_state=0), PCA(5, whiten=True)],
}
CLASSIFIERS = [LinearSVC(), LogisticRegression(), RidgeClassifier(), SVC(kernel="linear")]


@pytest.mark.parametrize("middle", MIDDLE)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_words_add_up_to_the_decision_function(middle, n_classes, texts, posts, thirds):
    y = posts["label"].to_numpy() if n_classes == 2 else thirds
    for classifier in CLASSIFIERS[: 4 if n_classes == 2 else 3]:
        model = make_pipeline(TfidfVectorizer(), *MIDDLE[middle], classifier).fit(texts[:60], y[:60])
        for text in texts[60:64]:
            given = model.decision_function([text])[0]
            for place, target in enumerate(model.classes_):
                decision = word_contributions(model, text, target=target, top=4)
                expected = given[place] if n_classes == 3 else given if place else -given
                assert_allclose(decision.value, expected, rtol=0, atol=1e-9)
                assert_allclose(whole(decision), expected, rtol=0, atol=1e-9)
                if middle in ("none", "svd", "scaler", "selection"):
                    intercept = np.ravel(model[-1].intercept_)[place if n_classes == 3 else 0]
                    expected = intercept if n_classes == 3 or place else -intercept
                    assert_allclose(decision.intercept, expected, rtol=0, atol=1e-12)
                assert len(decision.words.names) == 4 and decision.picture == 0
            assert word_contributions(model, text).target == model.predict([text])[0]


def test_each_word_adds_what_its_column_does(texts, posts):
    """Of TF-IDF without unit length each word alone is a text whose decision is the intercept and its share."""
    steps = [TfidfVectorizer(norm=None), TruncatedSVD(10, random_state=0), StandardScaler()]
    model = make_pipeline(*steps, LogisticRegression()).fit(texts, posts["label"])
    decision = word_contributions(model, texts[3], target="positive", top=None)
    terms = model[0].transform([texts[3]])
    columns = {name: column for column, name in enumerate(model[0].get_feature_names_out())}
    empty = model[1:].decision_function(np.zeros((1, terms.shape[1])))[0]
    assert_allclose(decision.intercept, empty, atol=1e-12)
    assert set(decision.words.names) == set(model[0].inverse_transform(terms)[0])
    strengths = np.abs(decision.words.contributions)
    assert (np.diff(strengths) <= 0).all() and strengths[0] > 0
    for name, value, share in zip(
        decision.words.names, decision.words.values, decision.words.contributions, strict=True
    ):
        alone = np.zeros((1, terms.shape[1]))
        alone[0, columns[name]] = terms[0, columns[name]]
        assert value == alone[0, columns[name]]
        assert_allclose(share, model[1:].decision_function(alone)[0] - empty, atol=1e-10)


def test_words_that_tell_the_mood_come_first():
    texts = [f"{mood} {thing}" for mood in ("fine", "sad") for thing in ("boat", "car", "cat", "house")] * 3
    model = make_pipeline(TfidfVectorizer(), LinearSVC()).fit(texts, [text.split()[0] == "fine" for text in texts])
    decision = word_contributions(model, "a sad old cat", target=True)
    assert decision.words.names.tolist() == ["sad", "cat"]
    assert decision.words.contributions[0] < -5 * abs(decision.words.contributions[1])


def test_chains_and_unions_of_vectorizers(texts, posts):
    for first in (
        [CountVectorizer(), TfidfTransformer()],
        [make_union(TfidfVectorizer(), TfidfVectorizer(analyzer="char", ngram_range=(2, 3)))],
        [FunctionTransformer(lambda texts: [text.lower() for text in texts]), TfidfVectorizer()],
    ):
        model = make_pipeline(*first, TruncatedSVD(8, random_state=0), LogisticRegression()).fit(texts, posts["label"])
        decision = word_contributions(model, texts[0], target="positive")
        assert_allclose(whole(decision), model.decision_function(texts[:1])[0], atol=1e-9)
    model = make_pipeline(make_union(TfidfVectorizer(), TfidfVectorizer(analyzer="char")), LinearSVC())
    names = word_contributions(model.fit(texts, posts["label"]), texts[0], top=None).words.names
    assert {name.partition("__")[0] for name in names} == {"tfidfvectorizer-1", "tfidfvectorizer-2"}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_latent_semantics_in_float32(language):
    posts = make_scenes(60, image_size=32, language=language, captions_per_image=2, task="sentiment", random_state=0)
    texts = ["\n".join(captions) for captions in posts["text"]]
    encoder = tfidf_lsa(10, language=language, random_state=0)
    model = make_pipeline(encoder, StandardScaler(), LogisticRegression()).fit(texts, posts["label"])
    decision = word_contributions(model, posts["text"].iloc[0], target="positive", top=3)
    assert_allclose(whole(decision), decision.value, atol=1e-12)
    assert_allclose(decision.value, model.decision_function(texts[:1])[0], atol=2e-5)


@pytest.mark.parametrize("normalize", ["l2", "standard", "block", None])
@pytest.mark.parametrize(
    "encoder", [TfidfVectorizer(), make_pipeline(TfidfVectorizer(), TruncatedSVD(9, random_state=0))]
)
def test_pairs(normalize, encoder, posts):
    features = PairFeatures(ColorMoments(), encoder, normalize=normalize, weights=(0.5, 2), missing="other")
    scaler = StandardScaler(with_mean=isinstance(encoder, type(make_pipeline(encoder))))
    model = make_pipeline(features, scaler, LogisticRegression(max_iter=2000)).fit(posts, posts["label"])
    for row in (0, 5):
        pair = posts["image"].iloc[row], posts["text"].iloc[row]
        decision = word_contributions(model, pair[1], pair[0], target="positive", top=2)
        assert_allclose(whole(decision), decision.value, atol=1e-12)
        assert_allclose(decision.value, model.decision_function(posts[row : row + 1])[0], atol=2e-5)
        assert decision.picture != 0
    # The columns of the picture alone, put to nothing.
    array = features.fit_transform(posts, posts["label"])[:1]
    array = np.asarray(array.todense() if hasattr(array, "todense") else array, dtype=np.float64)
    first = word_contributions(model, posts["text"].iloc[0], posts["image"].iloc[0], target="positive")
    width = model[0]._blocks[0].width
    without = array.copy()
    without[:, :width] = without[:, -2:] = 0
    scale, coefficients = model[1].scale_, model[2].coef_[0]
    assert_allclose(first.picture, ((array - without) / scale)[0] @ coefficients, atol=1e-5)


def test_late_fusion_and_searches(posts, texts):
    side = GridSearchCV(
        make_pipeline(TfidfVectorizer(), LogisticRegression()), {"logisticregression__C": [1, 10]}, cv=2
    )
    images = make_pipeline(ColorMoments(), StandardScaler(), LogisticRegression())
    model = LateFusionClassifier(images, side).fit(posts, posts["label"])
    decision = word_contributions(model, texts[1], target="negative")
    expected = -model.text_classifier_.decision_function(texts[1:2])[0]
    assert_allclose(whole(decision), expected, atol=1e-9)


def test_it_reads_as_a_table(posts, texts):
    features = PairFeatures(ColorMoments(), TfidfVectorizer())
    model = make_pipeline(features, LogisticRegression(max_iter=2000)).fit(posts, posts["label"])
    decision = word_contributions(model, texts[0], posts["image"].iloc[0], target="positive", top=2)
    lines = str(decision).splitlines()
    assert lines[0] == f"decision for positive {decision.value:+.4f}"
    assert lines[1:4] == [f"intercept {decision.intercept:+.4f}", f"picture {decision.picture:+.4f}", ""]
    assert lines[5].split() == [
        decision.words.names[0],
        f"{decision.words.values[0]:.4f}",
        f"{decision.words.contributions[0]:+.4f}",
    ]
    assert lines[-1].split()[:2] == [str(decision.words.n_rest), "others"]


def test_a_text_without_known_words_is_decided_by_the_intercept(texts, posts):
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, posts["label"])
    for text in ("zzz", ""):
        decision = word_contributions(model, text)
        assert len(decision.words.names) == 0 and decision.value == decision.intercept


def test_what_is_no_sum_is_refused(texts, posts):
    y = posts["label"]

    def refused(message, *steps, text=texts[0], **options):
        model = make_pipeline(*steps).fit(posts if isinstance(steps[0], PairFeatures) else texts, y)
        with pytest.raises(ValueError, match=message):
            word_contributions(model, text, **options)

    refused("RandomForestClassifier has no linear", TfidfVectorizer(), RandomForestClassifier(3))
    refused("MultinomialNB has no linear", TfidfVectorizer(), MultinomialNB())
    refused("SVC has no linear", TfidfVectorizer(), SVC())
    refused("no linear", TfidfVectorizer(), CalibratedClassifierCV(LinearSVC(), cv=2))
    refused("FunctionTransformer is not known", TfidfVectorizer(), TruncatedSVD(3), FunctionTransformer(), LinearSVC())
    refused("'so so' is no class", TfidfVectorizer(), LinearSVC(), target="so so")
    refused("Expected a str", TfidfVectorizer(), LinearSVC(), text=[None])
    refused("Pair 0 has no image", PairFeatures(ColorMoments(), TfidfVectorizer()), LinearSVC())
    refused("does not see the text", PairFeatures(ColorMoments(), "drop"), LinearSVC(), image=posts["image"].iloc[0])
    mean = PairFeatures("drop", TfidfVectorizer(), captions="mean", missing="impute")
    refused("one caption at a time", mean, LinearSVC(), text=["a red car", "two blue boats at night"])
    refused("one that is there", mean, LinearSVC(), text=" ")
    with pytest.raises(ValueError, match="Expected a pipeline"):
        word_contributions(LogisticRegression().fit([[0], [1]], [0, 1]), "a")


@pytest.mark.parametrize("n_classes", [3, 4])
def test_a_decision_between_pairs_of_classes_is_no_decision_for_one(n_classes):
    y = np.repeat(["bird", "cat", "dog", "eel"][:n_classes], 5)
    texts = [f"{word} here" for word in y]
    for search in (lambda svc: svc, lambda svc: GridSearchCV(svc, {"C": [1.0]}, cv=2)):
        svc = search(SVC(kernel="linear", decision_function_shape="ovo"))
        model = make_pipeline(TfidfVectorizer(), svc).fit(texts, y)
        with pytest.raises(ValueError, match="no linear decision"):
            word_contributions(model, "dog here", target="dog")
    two = make_pipeline(TfidfVectorizer(), SVC(kernel="linear", decision_function_shape="ovo")).fit(texts[:10], y[:10])
    assert_allclose(word_contributions(two, "cat here").value, two.decision_function(["cat here"])[0])
