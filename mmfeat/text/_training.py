"""Word vectors trained with gensim on the texts at hand."""

import zlib

import numpy as np

from mmfeat.text._vector_writer import import_gensim

DEFAULTS = {"vector_size": 200, "window": 5, "min_count": 2, "sg": 1, "epochs": 50}
_FASTTEXT_DEFAULTS = {"bucket": 100_000}
_OURS = ("sentences", "corpus_file", "corpus_iterable", "seed", "workers", "hashfxn")


def train_vectors(corpus, model, params, *, seed, n_jobs):
    """Train word2vec or fastText.

    Parameters
    ----------
    corpus : mmfeat.text._corpus.Corpus
    model : {"word2vec", "fasttext"}
    params : dict or None
        Settings of gensim that replace ours.
    seed : int
    n_jobs : int
        Threads. With more than one the result differs from run to run.

    Returns
    -------
    words : list of str
        The most frequent first.
    vectors : ndarray of shape (n_words, dim), dtype float32
    ngrams : ndarray of shape (n_buckets, dim), dtype float32, or None
        Of fastText.
    ngram_range : (int, int) or None

    Raises
    ------
    ImportError
        If gensim is not installed.
    ValueError
        If a setting is unknown, or no word is frequent enough.
    """
    models = import_gensim("gensim.models", "Training word vectors")
    settings = {**DEFAULTS, **(_FASTTEXT_DEFAULTS if model == "fasttext" else {}), **(params or {})}
    taken = [name for name in settings if name in _OURS]
    if taken:
        raise ValueError(f"`train_params` holds {taken[0]!r}, which is set by `random_state` and `n_jobs`. Drop it.")
    most = int(corpus.counts().max(initial=0))
    if most < settings["min_count"]:
        raise ValueError(
            f"No word occurs {settings['min_count']} times in the {len(corpus.starts) - 1} texts (the most frequent one {most} "
            "times): there is nothing to train on. Pass train_params={'min_count': 1}, more texts, or `vectors`."
        )
    kind = models.FastText if model == "fasttext" else models.Word2Vec
    try:
        # Python's own hash of strings differs from process to process.
        trained = kind(_Sentences(corpus), seed=seed, workers=n_jobs, hashfxn=_hash, **settings).wv
    except TypeError as error:
        raise ValueError(f"`train_params` does not suit gensim's {kind.__name__}: {error}. Correct it.") from error
    ngrams, ngram_range = None, None
    if model == "fasttext" and trained.bucket:
        ngrams, ngram_range = np.array(trained.vectors_ngrams, dtype=np.float32), (trained.min_n, trained.max_n)
    return list(trained.index_to_key), np.array(trained.vectors, dtype=np.float32), ngrams, ngram_range


class _Sentences:
    """Texts as gensim wants them: to be gone through several times."""

    def __init__(self, corpus):
        self._corpus = corpus

    def __iter__(self):
        return iter(self._corpus)


def _hash(text):
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))
