"""Bags of words against a loop over descriptors."""

import numpy as np
import pytest

from mmfeat.encoding import BagOfWords


def make_bags(lengths=(40, 1, 25, 0, 60), width=6, dtype=np.float32):
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(n, width)) + rng.normal(size=width)).astype(dtype) for n in lengths]


def histogram(bag, encoder):
    """Counts of one bag, descriptor by descriptor, in float64."""
    counts = np.zeros(encoder.n_words)
    for descriptor in bag.astype(np.float64):
        squared = ((encoder.vocabulary_.astype(np.float64) - descriptor) ** 2).sum(axis=1)
        if encoder.assignment == "hard":
            counts[squared.argmin()] += 1
        else:
            nearest = squared.argsort()[: encoder.n_nearest]
            weights = np.exp(-squared[nearest] / (2 * encoder.sigma_**2))
            counts[nearest] += weights / weights.sum()
    return counts


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("norm", [None, "l1", "l2"])
@pytest.mark.parametrize("settings", [{}, {"assignment": "soft"}, {"assignment": "soft", "sigma": 0.7, "n_nearest": 3}])
@pytest.mark.parametrize("idf", [False, True])
def test_equals_a_loop_over_descriptors(dtype, norm, settings, idf):
    bags = make_bags(dtype=dtype)
    encoder = BagOfWords(8, idf=idf, norm=norm, power=0.5, random_state=0, **settings).fit(bags)
    counts = np.array([histogram(bag, encoder) for bag in bags])
    expected = counts / np.maximum([[len(bag)] for bag in bags], 1)
    if idf:
        present = (counts > 0).sum(axis=0)
        expected = expected * (np.log((1 + len(bags)) / (1 + present)) + 1)
    expected = np.sqrt(expected)
    if norm:
        lengths = np.linalg.norm(expected, ord=int(norm[1]), axis=1, keepdims=True)
        expected = expected / np.where(lengths > 0, lengths, 1)
    result = encoder.transform(bags)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-7)
    assert not result[3].any()


def test_words_of_float32_descriptors_are_those_of_float64():
    # Descriptors half way between two words, moved by less than float32 squares can tell.
    words = np.float32([[100.0, 0.0], [100.5, 0.0]])
    rng = np.random.default_rng(0)
    bag = np.stack([np.float32(100.25) + rng.integers(-1, 2, 500) * np.float32(2**-16), rng.normal(size=500)], axis=1)
    encoder = BagOfWords(2, idf=False, norm=None, random_state=0).fit([np.repeat(words, 50, axis=0)])
    encoder.vocabulary_ = words
    expected = histogram(bag.astype(np.float32), encoder) / 500
    assert 0.2 < expected[0] < 0.8
    np.testing.assert_allclose(encoder.transform([bag.astype(np.float32)])[0], expected, rtol=1e-6)


def test_sigma_is_chosen_so_that_the_last_word_weighs_one_over_e():
    bags = make_bags()
    encoder = BagOfWords(8, assignment="soft", n_nearest=4, random_state=0).fit(bags)
    squared = ((np.concatenate(bags)[:, None] - encoder.vocabulary_) ** 2).sum(axis=2)
    squared.sort(axis=1)
    ratios = (squared[:, 0] - squared[:, 3]) / (2 * encoder.sigma_**2)
    assert np.mean(ratios) == pytest.approx(-1, rel=1e-5)


def test_document_frequencies_add_up_over_batches_and_long_bags(monkeypatch):
    bags = make_bags((30, 700, 5, 40))
    encoder = BagOfWords(4, random_state=0).partial_fit(bags[:2])
    first = [histogram(bag, encoder) > 0 for bag in bags[:2]]
    monkeypatch.setattr("mmfeat.encoding._base._CHUNK_BYTES", 4096)
    encoder.partial_fit(bags[2:])
    present = np.sum(first + [histogram(bag, encoder) > 0 for bag in bags[2:]], axis=0)
    np.testing.assert_allclose(encoder.idf_, np.log(5 / (1 + present)) + 1)


def test_partial_fit_moves_the_words_towards_new_descriptors():
    rng = np.random.default_rng(0)
    start = [rng.normal(size=(50, 2)) for _ in range(4)]
    encoder = BagOfWords(3, random_state=0).partial_fit(start)
    before = encoder.vocabulary_.copy()
    for _ in range(20):
        encoder.partial_fit([rng.normal(size=(50, 2)) + [30, 0]])
    assert before[:, 0].max() < 5
    assert encoder.vocabulary_[:, 0].max() > before[:, 0].max() + 5


def test_each_descriptor_of_a_stream_counts_once():
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(300, 2)) + place for place in range(10)]
    encoder = BagOfWords(1, idf=False, random_state=0)
    for batch in batches:
        encoder.partial_fit([batch])
    np.testing.assert_allclose(encoder.vocabulary_[0], np.concatenate(batches).mean(axis=0), atol=0.1)


def test_descriptors_of_a_batch_count_though_only_a_sample_of_them_is_looked_at():
    rng = np.random.default_rng(0)
    encoder = BagOfWords(1, idf=False, max_samples=100, random_state=0)
    encoder.partial_fit([rng.normal(size=(100, 2))]).partial_fit([rng.normal(size=(900, 2)) + 10])
    np.testing.assert_allclose(encoder.vocabulary_[0], 9, atol=0.4)


def test_the_first_batch_of_a_stream_is_learned_as_in_fit():
    bags = make_bags()
    encoder = BagOfWords(5, random_state=0).partial_fit(bags)
    np.testing.assert_array_equal(encoder.vocabulary_, BagOfWords(5, random_state=0).fit(bags).vocabulary_)
