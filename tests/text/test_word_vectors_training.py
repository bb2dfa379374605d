"""Vectors trained on the texts: those of gensim, the same in every process, and what stands in for gensim when it is away."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from mmfeat.text import WordVectors
from mmfeat.text._subwords import ngram_buckets

TEXTS = ["a red ball and a cube", "the dog with a red ball", "naïve 狗 dogs", "", "a dog and the cube"] * 4
SMALL = {"vector_size": 5, "epochs": 2, "min_count": 1}


@pytest.fixture
def models():
    return pytest.importorskip("gensim.models")


def test_word2vec_is_that_of_gensim(models):
    encoder = WordVectors(train_params={**SMALL, "window": 3, "sg": 0}, random_state=7).fit(TEXTS)
    sentences = [text.split() for text in TEXTS]
    expected = models.Word2Vec(sentences, vector_size=5, epochs=2, min_count=1, window=3, sg=0, seed=7, workers=1).wv
    assert encoder.words_ == expected.index_to_key
    np.testing.assert_array_equal(encoder.vectors_, expected.vectors)
    rows = [np.mean([expected[word] for word in text], axis=0) if text else np.zeros(5) for text in sentences]
    np.testing.assert_allclose(encoder.transform(TEXTS), rows, atol=1e-6)


def test_fasttext_is_that_of_gensim_and_knows_words_by_their_parts(models):
    params = {**SMALL, "bucket": 200, "min_n": 2, "max_n": 4}
    encoder = WordVectors(train="fasttext", train_params=params, oov="subwords", pooling=None).fit(TEXTS)
    sentences = [text.split() for text in TEXTS]
    expected = models.FastText(
        sentences, vector_size=5, epochs=2, min_count=1, bucket=200, min_n=2, max_n=4, window=5, sg=1, seed=0, workers=1
    ).wv
    np.testing.assert_array_equal(encoder.vectors_, expected.vectors)
    unseen = ["balls", "狗狗", "naïvety", "x"]
    np.testing.assert_allclose(encoder.transform([" ".join(unseen)])[0], [expected[word] for word in unseen], atol=1e-6)
    keyed = WordVectors(expected, oov="subwords", pooling=None).fit(TEXTS)
    np.testing.assert_allclose(keyed.transform(["balls dog"])[0], expected[["balls", "dog"]], atol=1e-6)


@pytest.mark.parametrize("lengths", [(0, 2), (1, 2), (2, 2), (3, 6), (5, 9)])
def test_ngrams_are_hashed_as_in_fasttext(lengths, models):
    from gensim.models.fasttext import ft_ngram_hashes

    for word in ("dog", "a", "狗", "naïve", "T恤衫", "\U0001f600x", ""):
        assert ngram_buckets(word, *lengths, 1000) == list(ft_ngram_hashes(word, *lengths, 1000))


CODE = """
import sys, hashlib
from mmfeat.text import WordVectors
encoder = WordVectors(train=sys.argv[1], train_params={"vector_size": 8, "epochs": 3, "min_count": 1}, pooling="sif")
texts = ["w%d w%d w%d" % (i % 7, i % 11, i % 13) for i in range(300)]
features = encoder.fit_transform(texts)
print(hashlib.sha256(encoder.vectors_.tobytes() + " ".join(encoder.words_).encode() + features.tobytes()).hexdigest())
"""


@pytest.mark.parametrize("model", ["word2vec", "fasttext"])
def test_training_is_the_same_in_every_process(model, models):
    digests = set()
    for seed in ("0", "1", "random"):
        result = subprocess.run(
            [sys.executable, "-c", CODE, model],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        )
        digests.add(result.stdout)
    assert len(digests) == 1


def test_seeds_differ(models):
    one, other = (WordVectors(train_params=SMALL, random_state=seed).fit(TEXTS).vectors_ for seed in (0, 1))
    assert not np.allclose(one, other)


def test_trained_vectors_are_pickled_as_arrays_and_need_no_gensim(models):
    encoder = WordVectors(train="fasttext", train_params={**SMALL, "bucket": 100}, oov="subwords").fit(TEXTS)
    assert type(encoder.vectors_) is type(encoder.ngrams_) is np.ndarray
    expected = encoder.transform([*TEXTS, "balls"])
    code = f"""
import pickle, sys
sys.modules["gensim"] = None
encoder = pickle.loads({pickle.dumps(encoder)!r})
sys.stdout.buffer.write(pickle.dumps(encoder.transform({[*TEXTS, "balls"]!r})))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    np.testing.assert_array_equal(pickle.loads(result.stdout), expected)


def test_nothing_frequent_enough_is_told_with_the_cure(models):
    with pytest.raises(ValueError, match=r"No word occurs 2 times in the 2 texts.*min_count.: 1"):
        WordVectors().fit(["one two", "three"])
    with pytest.raises(ValueError, match="None of the 2 texts has a word"):
        WordVectors().fit(["", "."])


def test_rare_words_are_misses(models):
    encoder = WordVectors(train_params={**SMALL, "min_count": 2}).fit(["dog ball", "dog ball", "rare dog"])
    assert encoder.oov_words_ == [("rare", 1)]
    assert encoder.oov_rate_ == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"seed": 3}, "'seed', which is set by `random_state`"),
        ({"width": 3}, "`train_params` does not suit .*Word2Vec.*width"),
    ],
)
def test_settings_that_gensim_does_not_know_are_refused(params, message, models):
    with pytest.raises(ValueError, match=message):
        WordVectors(train_params={**SMALL, **params}).fit(TEXTS)


def test_parameters_are_not_written_to(models):
    params = dict(SMALL)
    WordVectors(train="fasttext", train_params=params).fit(TEXTS)
    assert params == SMALL


def test_without_gensim_files_are_read_and_training_names_the_cure(tmp_path):
    (tmp_path / "v").write_text("dog 1 2\nball 3 4\n", encoding="utf-8")
    (tmp_path / "model.bin").write_bytes(b"\xba\x16\x4f\x2f" + bytes(100))
    code = """
import sys
sys.modules["gensim"] = None
from mmfeat.text import WordVectors
print(WordVectors("v").fit_transform(["dog ball"]).tolist())
for encoder in (WordVectors(), WordVectors("model.bin")):
    try:
        encoder.fit(["dog ball dog"])
    except ImportError as error:
        print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    features, training, reading = result.stdout.splitlines()
    assert features == "[[2.0, 3.0]]"
    assert training.startswith("Training word vectors needs gensim") and "pip install gensim" in training
    assert reading.startswith("Reading a binary model of fastText needs gensim")
