"""Stacked cross attention in numpy: scores of one picture with sentences of one length at a time, so without padding."""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from mmfeat.fusion._learning._vector_heads import embed_vectors

# Pictures whose regions are embedded at a time.
_PICTURES = 64
# Score of a pair of which one side has no vectors: none is lower.
LOWEST = -1.0
# Least squared length that is divided by.
TINY = 1e-12


class Form(NamedTuple):
    """How the scores are made; the meanings are those of the parameters of ``CrossAttentionScorer``."""

    direction: str
    pooling: str
    sharpness: float
    pooling_sharpness: float


class Sentences:
    """Embedded sentences, by their lengths.

    Parameters
    ----------
    bags : list of ndarray of shape (n_i, n_components)
    """

    def __init__(self, bags):
        self.lengths = np.array([len(bag) for bag in bags])
        self._place = np.empty(len(bags), dtype=np.int64)
        self._stacks = {}
        for length in np.unique(self.lengths):
            rows = np.flatnonzero(self.lengths == length)
            self._place[rows] = np.arange(len(rows))
            self._stacks[int(length)] = np.stack([bags[row] for row in rows])

    def __len__(self):
        return len(self.lengths)

    def of_one_length(self, rows, most):
        """Runs of some sentences: their places among `rows`, and words of shape (n, length, n_components); none if empty.

        Parameters
        ----------
        rows : ndarray of int or None
            None: all, without a copy.
        most : int
            Words of a run, if it is more than one sentence.
        """
        if rows is None:
            yield from self._all(most)
            return
        lengths = self.lengths[rows]
        for length in np.unique(lengths[lengths > 0]).tolist():
            places = np.flatnonzero(lengths == length)
            size = max(1, most // length)
            for start in range(0, len(places), size):
                some = places[start : start + size]
                yield some, self._stacks[length][self._place[rows[some]]]

    def _all(self, most):
        for length, stack in self._stacks.items():
            places = np.flatnonzero(self.lengths == length)
            size = max(1, most // max(1, length))
            for start in range(0, len(places) if length else 0, size):
                yield places[start : start + size], stack[start : start + size]


def score_lists(pictures, side, sentences, lists, form, block):
    """Scores of each picture with the sentences listed for it.

    Parameters
    ----------
    pictures : list of ndarray of shape (n_i, n_features)
    side : dict
        The head of the regions, as ``embed_vectors`` takes it.
    sentences : Sentences
    lists : sequence of ndarray of int or None
        Sentences of each picture; None: all.
    form : Form
    block : int
        Products of a region and a word that are held at a time.

    Yields
    ------
    scores : ndarray of shape (length of the list,), dtype float32
    """
    for start in range(0, len(pictures), _PICTURES):
        chosen = slice(start, start + _PICTURES)
        for regions, rows in zip(embed_vectors(side, pictures[chosen]), lists[chosen], strict=True):
            yield _scores_of_picture(regions, sentences, rows, form, block)


def _scores_of_picture(regions, sentences, rows, form, block):
    scores = np.full(len(sentences) if rows is None else len(rows), LOWEST, dtype=np.float32)
    if not len(regions):
        return scores
    gram = regions @ regions.T
    for places, words in sentences.of_one_length(rows, block // len(regions)):
        n_sentences, length, width = words.shape
        products = (regions @ words.reshape(-1, width).T).reshape(len(regions), n_sentences, length)
        found = []
        if form.direction != "image":
            cosines = _cosines_of_words(products, gram, form.sharpness)
            found.append(_pooled(cosines, 1, form))
        if form.direction != "text":
            found.append(_pooled(_cosines_of_regions(products, words, form.sharpness), 0, form))
        scores[places] = sum(found) / len(found)
    return scores


def attention_of_words(regions, words, sharpness):
    """Weights of the regions for each word.

    Parameters
    ----------
    regions : ndarray of shape (n_regions, n_components)
    words : ndarray of shape (n_words, n_components)
    sharpness : float

    Returns
    -------
    weights : ndarray of shape (n_words, n_regions)
    """
    products = regions @ words.T
    return _attention(products[:, None, :], 0, 2, sharpness)[:, 0].T if products.size else products.T


def _attention(products, contexts, queries, sharpness):
    weights = np.maximum(products, 0)
    # Several times as fast as a sum over the last axis, which is short.
    squares = np.einsum("rnl,rnl->rn" if queries == 2 else "rnl,rnl->nl", weights, weights)
    weights *= np.expand_dims(np.float32(sharpness) / np.sqrt(np.maximum(squares, TINY)), queries)
    weights -= weights.max(axis=contexts, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(axis=contexts, keepdims=True)
    return weights


def _cosines_of_words(products, gram, sharpness):
    """Shape (n_sentences, length)."""
    weights = _attention(products, 0, 2, sharpness)
    spread = (gram @ weights.reshape(len(gram), -1)).reshape(weights.shape)
    spread *= weights
    weights *= products
    return weights.sum(axis=0) / np.sqrt(np.maximum(spread.sum(axis=0), TINY))


def _cosines_of_regions(products, words, sharpness):
    """Shape (n_regions, n_sentences)."""
    weights = _attention(products, 2, 0, sharpness)
    grams = words @ words.transpose(0, 2, 1)
    spread = (weights.transpose(1, 0, 2) @ grams).transpose(1, 0, 2) * weights
    weights *= products
    return weights.sum(axis=2) / np.sqrt(np.maximum(spread.sum(axis=2), TINY))


def _pooled(cosines, axis, form):
    if form.pooling == "avg":
        return cosines.mean(axis=axis)
    return logsumexp(form.pooling_sharpness * cosines, axis=axis) / form.pooling_sharpness
