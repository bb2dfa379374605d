"""Vectors of words, pooled into vectors of texts."""

import os
from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mmfeat.text._corpus import cut_texts
from mmfeat.text._pooling import (
    bags,
    common_components,
    idf_weights,
    maxima,
    remove_components,
    sif_weights,
    weighted_means,
)
from mmfeat.text._subwords import word_table
from mmfeat.text._training import train_vectors
from mmfeat.text._vector_source import VectorSource
from mmfeat.utils._compat import HasMethods, Interval, StrOptions, _fit_context
from mmfeat.utils._unknown import warn_unknown, zero_rows
from mmfeat.utils._validation import check_texts


class WordVectors(VectorSource):
    r"""Word vectors, read from a file or trained on the texts, as features of texts.

    Parameters
    ----------
    vectors : None, path-like or gensim KeyedVectors, default=None
        None trains on the texts of :meth:`fit`. A file may be in word2vec's text or binary format, GloVe's (no header) or
        fastText's (``.vec``, or ``.bin`` with gensim), compressed with gzip or not; what it is is told by its content.
    tokenizer : {"en", "zh"} or callable, default="en"
        How texts are cut, as in :func:`tfidf_lsa`. ``"en"``: runs of letters and digits in lower case. ``"zh"``: words found
        by :class:`JiebaTokenizer`. A callable takes a str and gives a list of str.
    pooling : {"mean", "max", "idf", "sif"} or None, default="mean"
        What the vectors of a text become. "mean": their mean. "max": the largest value of each column. "idf": the mean
        weighted by :math:`\ln \frac{1 + n}{1 + n_w} + 1`, where :math:`n_w` of `n` training texts hold the word. "sif":
        the mean with each vector weighted by :math:`\frac{a}{a + p(w)}`, less its part along the common components; the
        share :math:`p(w)` of the word among all words, and the components, are those of the training texts. None: nothing;
        each text becomes a bag, for :class:`mmfeat.encoding.FisherVector` and its like.
    train : {"word2vec", "fasttext"}, default="word2vec"
        Model to train where `vectors` is None; needs gensim.
    train_params : dict or None, default=None
        Settings of ``gensim.models.Word2Vec`` or ``FastText`` in place of ours: ``vector_size=200, window=5, min_count=2,
        sg=1, epochs=50``, and ``bucket=100_000`` for fastText.
    oov : {"skip", "characters", "subwords"}, default="skip"
        What stands for a word without a vector: nothing; the mean of the vectors of its Chinese characters; or of its
        n-grams of characters, for fastText models only.
    sif_alpha : float, default=1e-3
        The `a` of "sif".
    n_common : int, default=1
        Common components that "sif" removes.
    encoding : str, default="utf-8"
        Of the words of a file: ``"gb18030"``, ``"latin-1"`` or another that holds ASCII as it is.
    cache_dir : path-like or None, default=None
        Folder of converted files. None is beside the file of vectors, or, where nothing can be written there, in
        ``mmfeat/vectors`` below ``$XDG_CACHE_HOME`` or ``~/.cache``.
    n_jobs : int, default=1
        Threads of the training. With one thread and the same `random_state` it gives the same vectors in every process,
        whatever ``PYTHONHASHSEED``; with more it does not.
    random_state : int, default=0
        Seed of the training.

    Attributes
    ----------
    n_features_out_ : int
        Width of the vectors.
    oov_rate_ : float
        Share of the words of the training texts that have no vector of their own, each counted as often as it occurs.
    oov_words_ : list of (str, int)
        The most frequent 50 of them and how often they occur.
    word_weights_ : dict of str to float
        Weights of the words of the training texts; only for "idf" and "sif".
    unseen_weight_ : float
        Weight of any other word; only for "idf" and "sif".
    common_components_ : ndarray of shape (n_common, n_features_out_)
        Directions that are removed; only for "sif".
    words_, vectors_ : list of str and ndarray of shape (n_words, n_features_out_)
        What was trained; only where `vectors` is None.
    ngrams_, ngram_range_ : ndarray of shape (n_buckets, n_features_out_) and tuple of (int, int), or None
        Vectors of the hashed n-grams of a trained fastText model, and their least and greatest length.
    vectors_digest_ : str or None
        SHA-256 of the file, or of the content of the KeyedVectors; None where `vectors` is None. :meth:`transform` refuses
        other vectors.

    See Also
    --------
    mmfeat.text.tfidf_lsa : Counts of words and what they share, without vectors from elsewhere.

    Notes
    -----
    A text without a known word, such as an empty one, becomes a row of zeros, or a bag of no vectors, and an
    :class:`UnknownTextWarning` names such rows.

    A file of vectors is converted when it is first used, to a file that is mapped into memory afterwards: it opens at once,
    costs the memory of the words that are met, and processes share it. It is converted again when its size changes, or
    its times (of change, and of its entry) and its SHA-256 do. A file that was changed less than two seconds before it was
    read is compared by its SHA-256 once more, as its time might not show a further change. The vectors of a file are not
    pickled: it must be there, unchanged, when a pickled estimator is used.

    References
    ----------
    Mikolov, T., Chen, K., Corrado, G. and Dean, J. (2013). Efficient estimation of word representations in vector space.
    ICLR workshops.

    Bojanowski, P., Grave, E., Joulin, A. and Mikolov, T. (2017). Enriching word vectors with subword information. TACL 5.

    Arora, S., Liang, Y. and Ma, T. (2017). A simple but tough-to-beat baseline for sentence embeddings. ICLR, algorithm 1.

    Examples
    --------
    >>> from mmfeat.text import WordVectors
    >>> texts = ["a red ball", "a red cube", "two cubes and a ball", ""]
    >>> encoder = WordVectors(train_params={"vector_size": 8, "min_count": 1}).fit(texts)
    >>> encoder.transform(texts).shape
    (4, 8)
    >>> bags = encoder.set_params(pooling=None).transform(texts)
    >>> [bag.shape for bag in bags]
    [(3, 8), (3, 8), (5, 8), (0, 8)]
    """

    _parameter_constraints = {
        "vectors": [None, str, os.PathLike, HasMethods("get_vector")],
        "tokenizer": [StrOptions({"en", "zh"}), callable],
        "pooling": [StrOptions({"mean", "max", "idf", "sif"}), None],
        "train": [StrOptions({"word2vec", "fasttext"})],
        "train_params": [dict, None],
        "oov": [StrOptions({"skip", "characters", "subwords"})],
        "sif_alpha": [Interval(Real, 0, None, closed="neither")],
        "n_common": [Interval(Integral, 0, None, closed="left")],
        "encoding": [str],
        "cache_dir": [str, os.PathLike, None],
        "n_jobs": [Interval(Integral, 1, None, closed="left")],
        "random_state": [Interval(Integral, 0, 2**32 - 1, closed="both")],
    }

    def __init__(
        self,
        vectors=None,
        *,
        tokenizer="en",
        pooling="mean",
        train="word2vec",
        train_params=None,
        oov="skip",
        sif_alpha=1e-3,
        n_common=1,
        encoding="utf-8",
        cache_dir=None,
        n_jobs=1,
        random_state=0,
    ):
        self.vectors = vectors
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.train = train
        self.train_params = train_params
        self.oov = oov
        self.sif_alpha = sif_alpha
        self.n_common = n_common
        self.encoding = encoding
        self.cache_dir = cache_dir
        self.n_jobs = n_jobs
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train the vectors, or open them, and learn the weights of the words.

        Parameters
        ----------
        X : sequence of str
            A text may be empty, but not all of them.
        y : None
            Ignored.

        Returns
        -------
        self : WordVectors

        Raises
        ------
        ValueError
            If `X` is no sequence of str or is empty, no word of it has a vector or is frequent enough to get one, or the file
            of vectors is wrong (the message names the line).
        FileNotFoundError
            If `vectors` is no file.
        ImportError
            If gensim is needed and not installed.
        """
        self._learn(cut_texts(check_texts(X), self.tokenizer))
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None):
        """Fit, and transform the same texts; they are cut into words once.

        Parameters
        ----------
        X : sequence of str
        y : None
            Ignored.

        Returns
        -------
        features : ndarray of shape (n_texts, n_features_out_), dtype float32, or list
            As of :meth:`transform`.
        """
        corpus = cut_texts(check_texts(X), self.tokenizer)
        self._learn(corpus)
        return self._told(self._pooled(corpus))

    def transform(self, X):
        """Describe texts.

        Parameters
        ----------
        X : sequence of str

        Returns
        -------
        features : ndarray of shape (n_texts, n_features_out_), dtype float32
            Or, where `pooling` is None, a list of ndarray of shape (n_words, n_features_out_), dtype float32.

        Raises
        ------
        ValueError
            If a text is no str, the vectors are not those of :meth:`fit`, or `pooling` has been set to one that needs
            another :meth:`fit`.
        """
        check_is_fitted(self)
        return self._told(self._pooled(cut_texts(check_texts(X), self.tokenizer)))

    def get_feature_names_out(self, input_features=None):
        """Names ``wordvectors0``, ``wordvectors1``, ...; of bags, those of their columns.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects, shape (n_features_out_,)
        """
        check_is_fitted(self)
        return np.array([f"wordvectors{column}" for column in range(self.n_features_out_)], dtype=object)

    def set_output(self, *, transform=None):
        """Say what matrices are given as; bags stay lists.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None

        Returns
        -------
        self : WordVectors
        """
        return super().set_output(transform="default" if self.pooling is None else transform)

    def _learn(self, corpus):
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)  # of an earlier fit with other settings
        self._forget_store()
        if not corpus.words:
            raise ValueError(
                f"None of the {len(corpus.starts) - 1} texts has a word. Check the column and `tokenizer`."
            )
        if self.vectors is None:
            trained = train_vectors(
                corpus, self.train, self.train_params, seed=int(self.random_state), n_jobs=self.n_jobs
            )
            self.words_, self.vectors_, self.ngrams_, self.ngram_range_ = trained
        store = self._store()
        table, known, own = word_table(store, corpus.words, self.oov)
        self.oov_rate_, self.oov_words_ = corpus.misses(own)
        if not known.any():
            raise ValueError(
                f"No word of the {len(corpus.starts) - 1} texts has a vector; the most frequent ones are "
                f"{', '.join(repr(word) for word, _ in self.oov_words_[:5])}. Check that `vectors` and `tokenizer` are of the "
                "language of the texts."
            )
        self.n_features_out_ = int(store.vectors.shape[1])
        self.vectors_digest_ = None if self.vectors is None else store.digest
        self._weighting = self.pooling
        if self.pooling in ("idf", "sif"):
            weights = idf_weights(corpus) if self.pooling == "idf" else sif_weights(corpus, self.sif_alpha)
            self.word_weights_ = dict(zip(corpus.words, weights[:-1].tolist(), strict=True))
            self.unseen_weight_ = float(weights[-1])
        if self.pooling == "sif":
            n_common = min(self.n_common, self.n_features_out_)
            self.common_components_ = common_components(self._weighted(corpus, table, known), n_common)

    def _told(self, features):
        given = "bags of no vectors" if self.pooling is None else "zeros, which are similar to nothing"
        warn_unknown(zero_rows(features), f"WordVectors gives {given}")
        return features

    def _pooled(self, corpus):
        table, known, _ = word_table(self._checked_store(), corpus.words, self.oov)
        if self.pooling is None:
            self.set_output()  # or bags would be wrapped if scikit-learn is set to data frames
            return bags(corpus, table, known)
        if self.pooling == "max":
            return maxima(corpus, table, known)
        features = self._weighted(corpus, table, known)
        if self.pooling == "sif":
            remove_components(features, self.common_components_)
        return features

    def _weighted(self, corpus, table, known):
        """Weighted means, before common components are removed."""
        if self.pooling == "mean":
            return weighted_means(corpus, table, known, known)
        if self._weighting != self.pooling:
            raise ValueError(f"pooling={self.pooling!r} has weights to learn, which fit has not. Fit again.")
        weights = np.array([self.word_weights_.get(word, self.unseen_weight_) for word in corpus.words]) * known
        return weighted_means(corpus, table, weights, weights if self.pooling == "idf" else known)
