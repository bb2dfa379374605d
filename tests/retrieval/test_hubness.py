"""Corrections for hubs against written-out loops, in blocks, alone and inside the Retriever."""

import math
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logit
from scipy.stats import norm
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from mmfeat.datasets import make_scenes
from mmfeat.fusion import CCA
from mmfeat.image import ColorHistogram
from mmfeat.metrics import rank_scored, recall_at_k
from mmfeat.retrieval import EmbeddingIndex, HubnessCorrection, Retriever, hubness_report
from mmfeat.retrieval._scores import RowScores, top_k
from mmfeat.text import tfidf_lsa

METHODS = ["csls", "inverted_softmax", "qb_norm", "mutual_proximity"]


def by_loop(method, bank, scores, k=3, t=0.1):
    """Every formula of the papers, one score after the other; shares as logarithms, probabilities as logits."""
    n_bank, n_gallery = len(bank), len(bank[0])
    out = []
    for row in scores:
        best = max(range(n_gallery), key=lambda g: row[g])
        known = {max(range(n_gallery), key=lambda g: query[g]) for query in bank}
        line = []
        for g in range(n_gallery):
            column = [bank[b][g] for b in range(n_bank)]
            near_q, near_g = sorted(row)[-k:], sorted(column)[-k:]
            share = math.exp(row[g] / t) / sum(math.exp(value / t) for value in column)
            inverted = t * math.log(share * n_bank)
            line.append(
                {
                    "csls": 2 * row[g] - sum(near_q) / len(near_q) - sum(near_g) / len(near_g),
                    "inverted_softmax": inverted,
                    "qb_norm": inverted if best in known else row[g],
                    "mutual_proximity": logit(
                        norm.cdf(row[g], np.mean(row), np.std(row)) * norm.cdf(row[g], np.mean(column), np.std(column))
                    ),
                }[method]
            )
        out.append(line)
    return np.array(out)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cosines(queries, gallery):
    return unit(queries) @ unit(gallery).T


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    hubs = rng.normal(size=12)
    return rng.normal(size=(20, 12)) / 4 + hubs / 4, rng.normal(size=(30, 12)) / 4


@pytest.mark.parametrize("method", METHODS)
def test_corrections_are_the_formulas_of_the_papers(method, scores):
    bank, asked = scores
    correction = HubnessCorrection(method, n_neighbors=3, temperature=0.1).fit(bank)
    expected = by_loop(method, bank.tolist(), asked.tolist())
    assert_allclose(correction.transform(asked), expected, atol=1e-12)
    assert not np.array_equal(np.argmax(expected, axis=1), np.argmax(asked, axis=1))


def test_qb_norm_leaves_queries_alone_whose_best_item_the_bank_never_found(scores):
    bank, asked = scores
    correction = HubnessCorrection("qb_norm").fit(bank)
    changed = (correction.transform(asked) != asked).any(axis=1)
    assert 0 < changed.sum() < len(asked)
    assert_array_equal(changed, np.isin(np.argmax(asked, axis=1), np.argmax(bank, axis=1)))


@pytest.mark.parametrize("method", METHODS)
def test_the_bank_may_come_in_blocks_in_any_order(method, scores):
    bank, asked = scores
    whole = HubnessCorrection(method, n_neighbors=4).fit(bank)
    parts = HubnessCorrection(method, n_neighbors=4)
    for rows in (slice(13, 20), slice(0, 1), slice(1, 3), slice(3, 13)):
        parts.partial_fit(bank[rows])
    assert_allclose(parts.transform(asked), whole.transform(asked), atol=1e-12)
    assert_allclose(parts.hubness_, whole.hubness_)
    assert parts.n_bank_ == 20
    assert parts.fit(bank[:5]).n_bank_ == 5


@pytest.mark.parametrize("method", METHODS)
def test_a_row_alone_is_the_row_in_a_batch_and_blocks_change_nothing(method, scores, monkeypatch):
    bank, asked = scores
    correction = HubnessCorrection(method).fit(bank)
    together = correction.transform(asked)
    for row in range(len(asked)):
        assert_array_equal(correction.transform(asked[[row]])[0], together[row])
    monkeypatch.setattr("mmfeat.retrieval._scores.BLOCK_SCORES", 40)
    assert_array_equal(correction.transform(asked), together)
    assert_allclose(clone(correction).fit(bank).transform(asked), together, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("temperature", [1e-4, 0.05])
def test_equal_and_extreme_scores_stay_finite(method, temperature):
    correction = HubnessCorrection(method, temperature=temperature)
    for bank in (np.zeros((4, 3)), np.full((1, 3), 0.1), np.array([[1e3, -1e3, 0.0], [1e3, -1e3, 0.0]])):
        corrected = correction.fit(bank).transform([[1e3, -1e3, 0.0], [0.1, 0.1, 0.1]])
        assert np.isfinite(corrected).all()
        assert len(set(correction.fit(np.zeros((4, 3))).transform([[0.1, 0.1, 0.1]])[0])) == 1


@pytest.mark.parametrize("method", METHODS)
def test_embeddings_in_blocks_are_their_scores_at_once(method, monkeypatch):
    rng = np.random.default_rng(1)
    bank, gallery, queries = (rng.normal(size=(n, 6)).astype("f4") for n in (50, 30, 20))
    expected = HubnessCorrection(method).fit(cosines(bank, gallery)).transform(cosines(queries, gallery))
    monkeypatch.setattr("mmfeat.retrieval._scores.BLOCK_SCORES", 100)
    scores, found = HubnessCorrection(method).fit_embeddings(bank, gallery).search(queries, k=5)
    assert_allclose(scores, -np.sort(-expected, axis=1)[:, :5], atol=1e-4)
    assert np.mean(found == np.argsort(-expected, axis=1)[:, :5]) > 0.97


@pytest.mark.parametrize("k", [1, 3, 9])
def test_the_best_are_those_of_a_stable_sort(k):
    scores = np.random.default_rng(k).integers(0, 4, (50, 9)) - 2.0
    best, columns = top_k(scores, k)
    assert_array_equal(columns, np.argsort(-scores, axis=1, kind="stable")[:, :k])
    assert_array_equal(best, np.take_along_axis(scores, columns, axis=1))


def test_a_search_needs_a_gallery_and_a_k_within_it():
    correction = HubnessCorrection().fit(np.eye(3))
    with pytest.raises(ValueError, match=r"knows no gallery. Use `fit_embeddings`"):
        correction.search(np.eye(3))
    correction.fit_embeddings(np.eye(3), np.eye(3))
    with pytest.raises(ValueError, match=r"size of the gallery, 3. Got 4"):
        correction.search(np.eye(3), k=4)
    with pytest.raises(ValueError, match="queries have 2 components and the gallery 3"):
        correction.search([[1.0, 2.0]], k=1)
    assert not hasattr(correction.fit(np.eye(3)), "gallery_")


@pytest.mark.parametrize("method", METHODS)
def test_hubs_are_fewer_and_recall_is_higher_after_the_correction(method):
    # The gallery is off the middle of the queries, which is what makes hubs (Radovanovic 2010, section 4).
    rng = np.random.default_rng(2)
    gallery = rng.normal(size=(300, 40))
    bank, asked = (rng.normal(size=(n, 40)) for n in (600, 300))
    asked = gallery + 1.2 * asked + 0.8
    bank = rng.normal(size=(600, 40)) * 1.5 + 0.8
    correction = HubnessCorrection(method).fit_embeddings(bank, gallery)
    plain = unit(asked) @ unit(gallery).T
    corrected = correction.transform(plain)
    assert hubness_report(corrected)["skewness"] < 0.8 * hubness_report(plain)["skewness"]
    right = np.arange(300)
    assert np.mean(corrected.argmax(axis=1) == right) > 1.05 * np.mean(plain.argmax(axis=1) == right)


# What is refused leaves no trace


@pytest.mark.parametrize("bad", [[[np.nan, 1, 2]], np.empty((0, 3)), [1, 2, 3]])
def test_a_refused_fit_leaves_the_earlier_one(bad):
    rng = np.random.default_rng(0)
    asked = rng.normal(size=(4, 5))
    correction = HubnessCorrection().fit_embeddings(rng.normal(size=(9, 3)), rng.normal(size=(5, 3)))
    expected, found = correction.transform(asked), correction.search(np.eye(3), 2)
    for refused in (correction.fit, lambda bank: correction.fit_embeddings(bank, np.eye(3))):
        with pytest.raises(ValueError):
            refused(bad)
        assert_array_equal(correction.transform(asked), expected)
        assert_array_equal(correction.search(np.eye(3), 2)[0], found[0])
    assert not hasattr(correction.fit(asked), "gallery_") and correction.n_bank_ == 4


def test_a_refused_first_fit_is_no_fit():
    correction = HubnessCorrection()
    with pytest.raises(ValueError, match="NaN"):
        correction.fit([[np.nan]])
    with pytest.raises(NotFittedError):
        correction.transform([[1.0]])


@pytest.mark.parametrize("changed", [{"method": "qb_norm"}, {"n_neighbors": 3}, {"temperature": 0.5}])
def test_a_bank_is_not_taken_in_by_two_rules(changed):
    correction = HubnessCorrection().fit(np.eye(3)).partial_fit(np.eye(3)).set_params(**changed)
    before = correction.transform(np.eye(3))
    with pytest.raises(ValueError, match=r"taken in with .* and now the parameters are .* Use `fit`"):
        correction.partial_fit(np.eye(3))
    assert_array_equal(correction.transform(np.eye(3)), before)
    assert correction.fit(np.eye(3)).partial_fit(np.eye(3)).n_bank_ == 6


def test_cosines_are_those_of_an_index_alone_and_together():
    rng = np.random.default_rng(0)
    # Of such widths and numbers of rows, products in float32 differ in their last digits by where a block ends.
    base = rng.normal(size=(701, 300)).astype("f4")
    gallery, queries = np.vstack([base, 2 * base, base[:37]]), rng.normal(size=(66, 300)).astype("f4")
    score = RowScores(gallery)
    together = score(queries)
    for rows in (slice(0, 1), slice(3, 10), slice(60, 66)):
        assert_array_equal(score(queries[rows]), together[rows])
    assert_array_equal(together[:, :701], together[:, 701:1402])
    scores, places = EmbeddingIndex(gallery).search(queries, len(gallery))
    assert_array_equal(np.take_along_axis(together, places, axis=1), scores)
    assert_allclose(together, cosines(queries.astype(float), gallery.astype(float)), atol=1e-7)
    assert RowScores(-base[:3])(base[:3]).min() == -1


@pytest.mark.parametrize("method", METHODS)
def test_a_query_finds_alone_what_it_finds_with_others(method):
    rng = np.random.default_rng(0)
    base = rng.normal(size=(300, 96))
    gallery = np.vstack([rng.normal(size=(301, 96)), base, base])
    correction = HubnessCorrection(method).fit_embeddings(rng.normal(size=(200, 96)), gallery)
    queries = base[:40] + 0.5 * rng.normal(size=(40, 96))
    scores, found = correction.search(queries, 5)
    for row in range(40):
        alone = correction.search(queries[[row]], 5)
        assert_array_equal(alone[0][0], scores[row])
        assert_array_equal(alone[1][0], found[row])
    # Of two equal items the first comes first.
    assert_array_equal(found[:, 0] + 300, found[:, 1])


# Inside the Retriever


@pytest.fixture(scope="module")
def pairs():
    return make_scenes(70, image_size=32, captions_per_image=2, random_state=0)


def retriever(hubness=None):
    return Retriever(ColorHistogram(grid=2), tfidf_lsa(12, random_state=0), CCA(6, reg=0.3), hubness=hubness)


@pytest.mark.parametrize("query", ["image", "text"])
def test_scores_without_correction_are_cosines(pairs, query):
    fitted = retriever().fit(pairs[:50])
    images, texts = fitted.encode_image(pairs["image"][50:]), fitted.encode_text(pairs["text"][50:].explode())
    queries, gallery = (images, texts) if query == "image" else (texts, images)
    score = fitted.scores_against(gallery, query=query)
    assert_allclose(score(queries), unit(queries) @ unit(gallery).T, atol=1e-6)
    assert_array_equal(score(queries[3:5]), score(queries)[3:5])
    assert not score.transductive and not fitted.transductive_
    assert not hasattr(fitted, "bank_image_")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("query", ["image", "text"])
def test_the_bank_of_a_retriever_is_its_training_pairs_of_the_kind_of_the_query(pairs, query, method):
    train = pairs[:50]
    fitted = pickle.loads(pickle.dumps(retriever(HubnessCorrection(method, n_neighbors=5)).fit(train)))
    images, texts = fitted.encode_image(pairs["image"][50:]), fitted.encode_text(pairs["text"][50:].explode())
    queries, gallery = (images, texts) if query == "image" else (texts, images)
    bank = fitted.encode_image(train["image"]) if query == "image" else fitted.encode_text(train["text"].explode())
    kept = fitted.bank_image_ if query == "image" else fitted.bank_text_
    assert_allclose(kept, unit(bank), atol=1e-5)
    expected = HubnessCorrection(method, n_neighbors=5).fit(unit(bank) @ unit(gallery).T)
    score = fitted.scores_against(gallery, query=query)
    assert_allclose(score(queries), expected.transform(unit(queries) @ unit(gallery).T), atol=2e-4)
    assert_array_equal(score(queries[[7]])[0], score(queries)[7])


def test_the_queries_as_bank_are_transductive_and_come_at_once(pairs):
    fitted = retriever(HubnessCorrection(bank="queries")).fit(pairs[:50])
    assert fitted.transductive_ and not hasattr(fitted, "bank_text_")
    images, texts = fitted.encode_image(pairs["image"][50:]), fitted.encode_text(pairs["text"][50:].explode())
    score = fitted.scores_against(images, query="text")
    assert score.transductive
    plain = unit(texts) @ unit(images).T
    assert_allclose(score(texts), HubnessCorrection().fit_transform(plain), atol=1e-5)
    with pytest.raises(ValueError, match="needs all queries in one call"):
        score(texts[:2])
    again = fitted.scores_against(images, query="text")
    for bad, message in ((texts[:, :-1], "components"), (np.full_like(texts, np.nan), "NaN")):
        with pytest.raises(ValueError, match=message):
            again(bad)
    assert_array_equal(again(texts), fitted.scores_against(images, query="text")(texts))


def test_a_transductive_retriever_has_a_score(pairs):
    fitted = retriever(HubnessCorrection(bank="queries")).fit(pairs[:50])
    test = pairs[50:]
    images, texts = unit(fitted.encode_image(test["image"])), unit(fitted.encode_text(test["text"].explode()))
    owner = np.repeat(np.arange(20), 2)
    t2i, i2t = (HubnessCorrection().fit_transform(scores) for scores in (texts @ images.T, images @ texts.T))
    recalls = [recall_at_k(t2i, k=k, positions=owner) for k in (1, 5, 10)]
    recalls += [recall_at_k(i2t, k=k, query_labels=np.arange(20), gallery_labels=owner) for k in (1, 5, 10)]
    assert fitted.score(test) == pytest.approx(np.mean(recalls))


def test_a_grid_reaches_the_correction_and_the_kind_of_query_is_checked(pairs):
    search = GridSearchCV(retriever(HubnessCorrection()), {"hubness__n_neighbors": [1, 5]}, cv=2, error_score="raise")
    best = search.fit(pairs).best_estimator_
    assert best.hubness_.n_neighbors == search.best_params_["hubness__n_neighbors"]
    with pytest.raises(ValueError, match=r"`query` must be 'image' or 'text'.*Got 'images'"):
        best.scores_against(np.eye(6), query="images")
    with pytest.raises(ValueError, match="queries have 5 components and the gallery 6"):
        best.scores_against(np.eye(6), query="text")(np.eye(5))


def test_equal_items_tie_in_every_block():
    rng = np.random.default_rng(3)
    fitted = retriever().fit(make_scenes(30, image_size=32, random_state=0))
    item = rng.normal(size=(1, 300)).astype("f4")
    score = fitted.scores_against(np.repeat(item, 77, axis=0), query="text")
    queries = rng.normal(size=(91, 300)).astype("f4")
    assert (np.ptp(score(queries), axis=1) == 0).all()
    assert (rank_scored(score, queries, relevance=np.zeros(91, dtype=int)[:, None] == np.arange(77)).first == 77).all()
