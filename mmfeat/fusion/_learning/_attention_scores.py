"""What a trained cross-attention scorer is used for, in numpy."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from mmfeat.fusion._learning._attention_arrays import Form, Sentences, attention_of_words, score_lists
from mmfeat.fusion._learning._vector_heads import embed_vectors
from mmfeat.utils._validation import check_bags

_BLOCK = 1 << 18


class AttentionScores(BaseEstimator):
    """Base of the scorer: its methods beside ``fit``."""

    # What a subclass finds in fit.
    regions_: dict
    words_: dict
    n_features_in_: int
    n_targets_in_: int

    def score_pairs(self, X, y, *, block=_BLOCK):
        """Score each picture with the sentence beside it.

        Parameters
        ----------
        X : sequence of ndarray of shape (n_i, n_features)
            A picture that is the same array in several rows is embedded once.
        y : sequence of ndarray of shape (m_i, n_targets)
        block : int, default=2**18
            As for :meth:`score_matrix`.

        Returns
        -------
        scores : ndarray of shape (n_pairs,), dtype float32
            -1 where one side has no vectors.

        Raises
        ------
        ValueError
            If there are other numbers of pictures and sentences, or the vectors have other widths than in ``fit``.
        """
        check_is_fitted(self)
        X, y = self._check_pairs(X, y, self.n_features_in_, self.n_targets_in_)
        pictures = numbers_of(X)
        distinct = list({id(bag): bag for bag in X}.values())
        return self._score_listed(distinct, y, pictures, np.arange(len(y)), block)

    def score_matrix(self, X, y, *, block=_BLOCK):
        """Score all pictures with all sentences.

        Parameters
        ----------
        X : sequence of ndarray of shape (n_i, n_features)
        y : sequence of ndarray of shape (m_i, n_targets)
        block : int, default=2**18
            Products of a region and a word that are held at a time, a few times over. Beyond these, memory is needed for the
            scores and for the sentences' words in the common space.

        Returns
        -------
        scores : ndarray of shape (n_pictures, n_sentences), dtype float32
            -1 where one side has no vectors.

        Raises
        ------
        ValueError
            If the vectors have other widths than in ``fit``.
        """
        check_is_fitted(self)
        X, y = check_bags(X, n_features=self.n_features_in_), check_bags(y, n_features=self.n_targets_in_)
        scores = np.empty((len(X), len(y)), dtype=np.float32)
        sentences = Sentences(embed_vectors(self.words_, y))
        rows = score_lists(X, self.regions_, sentences, [None] * len(X), self._form(), block)
        for place, row in enumerate(rows):
            scores[place] = row
        return scores

    def rerank(self, X, y, candidates, *, query="text", block=_BLOCK):
        """Score what a search found for each query; :func:`mmfeat.retrieval.rerank` then puts it in order.

        Parameters
        ----------
        X : sequence of ndarray of shape (n_i, n_features)
            All pictures.
        y : sequence of ndarray of shape (m_i, n_targets)
            All sentences.
        candidates : array-like of shape (n_queries, k), dtype int
            Positions in the gallery, as :meth:`mmfeat.retrieval.EmbeddingIndex.search` gives them without `ids`.
        query : {"text", "image"}, default="text"
            "text": `candidates` holds k pictures for each sentence. "image": k sentences for each picture.
        block : int, default=2**18
            As for :meth:`score_matrix`.

        Returns
        -------
        scores : ndarray of shape (n_queries, k), dtype float32

        Raises
        ------
        ValueError
            If the vectors have other widths than in ``fit``, or a candidate is no position in the gallery.
        """
        check_is_fitted(self)
        X, y = check_bags(X, n_features=self.n_features_in_), check_bags(y, n_features=self.n_targets_in_)
        if query not in ("text", "image"):
            raise ValueError(f"`query` must be 'text' or 'image'. Got {query!r} instead.")
        queries, gallery = (y, X) if query == "text" else (X, y)
        candidates = _check_candidates(candidates, len(queries), len(gallery))
        of_queries = np.repeat(np.arange(len(queries)), candidates.shape[1])
        found = candidates.ravel()
        pictures, sentences = (found, of_queries) if query == "text" else (of_queries, found)
        return self._score_listed(X, y, pictures, sentences, block).reshape(candidates.shape)

    def attention(self, X_bag, y_bag):
        """Where the words of one sentence look in one picture.

        Parameters
        ----------
        X_bag : ndarray of shape (n_regions, n_features)
        y_bag : ndarray of shape (n_words, n_targets)

        Returns
        -------
        weights : ndarray of shape (n_words, n_regions), dtype float32
            Rows sum to 1. Of `max_regions` and `max_length` at most. Whatever the `direction`, words look at regions.

        Raises
        ------
        ValueError
            If the vectors have other widths than in ``fit``.
        """
        check_is_fitted(self)
        (regions,) = embed_vectors(self.regions_, check_bags([X_bag], n_features=self.n_features_in_))
        (words,) = embed_vectors(self.words_, check_bags([y_bag], n_features=self.n_targets_in_))
        return attention_of_words(regions, words, self.sharpness)

    def _score_listed(self, X, y, pictures, sentences, block):
        """Scores of pairs given by the numbers of both sides; each picture that is asked for is embedded once."""
        if not len(pictures):
            return np.empty(0, dtype=np.float32)
        asked, order, counts = _sorted_runs(pictures)
        lists = np.split(sentences[order], np.cumsum(counts)[:-1])
        embedded = Sentences(embed_vectors(self.words_, y))
        rows = score_lists([X[place] for place in asked], self.regions_, embedded, lists, self._form(), block)
        scores = np.empty(len(pictures), dtype=np.float32)
        scores[order] = np.concatenate(list(rows))
        return scores

    def _check_pairs(self, X, y, n_features=None, n_targets=None):
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        X, y = check_bags(X, n_features=n_features), check_bags(y, n_features=n_targets)
        check_consistent_length(X, y)
        return X, y

    def _form(self):
        return Form(self.direction, self.pooling, self.sharpness, self.pooling_sharpness)


def numbers_of(bags):
    """Number of each bag, equal where it is the same array: shape (n_bags,)."""
    known: dict[int, int] = {}
    return np.array([known.setdefault(id(bag), len(known)) for bag in bags])


def _sorted_runs(numbers):
    order = np.argsort(numbers, kind="stable")
    values, counts = np.unique(numbers, return_counts=True)
    return values, order, counts


def _check_candidates(candidates, n_queries, n_items):
    candidates = np.asarray(candidates)
    if candidates.ndim != 2 or len(candidates) != n_queries or candidates.dtype.kind not in "iu":
        raise ValueError(
            f"`candidates` must be integers of shape (n_queries, k), with {n_queries} queries. Got {candidates.dtype} of "
            f"shape {candidates.shape} instead. Search an index without `ids`."
        )
    if candidates.size and not (candidates.min() >= 0 and candidates.max() < n_items):
        row, column = np.argwhere((candidates < 0) | (candidates >= n_items))[0]
        raise ValueError(
            f"`candidates` holds {candidates[row, column]} in row {row}, but the gallery has {n_items} items. Pass positions."
        )
    return candidates
