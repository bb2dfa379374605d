"""Texts as numbers of words."""

import re
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np

from mmfeat.text._jieba import JiebaTokenizer
from mmfeat.text._numbering import Numbering

_BLOCK = 512
_LONG_BLOCK = 50_000
_N_MISSES = 50
_WORD = re.compile(r"(?u)\b\w+\b")
_SEPARATOR = "\0"
# Of ASCII letters, what the expression above makes of lower-cased text: all that is no word becomes a blank. The separator
# stays, to cut at.
_ASCII_WORDS = {
    code: chr(code).lower() if re.match(r"\w", chr(code)) else " " for code in range(128) if chr(code) != _SEPARATOR
}


@dataclass(frozen=True)
class Corpus:
    """Texts cut into words.

    Parameters
    ----------
    words : list of str
        The distinct words.
    numbers : ndarray of shape (n_tokens,), dtype int32
        Of all texts one after the other, positions in `words`.
    starts : ndarray of shape (n_texts + 1,), dtype int64
        Where each text begins in `numbers`, and where the last one ends.
    """

    words: list
    numbers: np.ndarray
    starts: np.ndarray

    def counts(self):
        """How often each word occurs, ndarray of shape (n_words,)."""
        return np.bincount(self.numbers, minlength=len(self.words))

    def text_counts(self):
        """In how many texts each word occurs, ndarray of shape (n_words,)."""
        texts = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        met = np.unique(texts * len(self.words) + self.numbers)
        return np.bincount(met % max(len(self.words), 1), minlength=len(self.words))

    def misses(self, own):
        """Share of the words that are not in a vocabulary, and the most frequent of them.

        Parameters
        ----------
        own : ndarray of shape (n_words,), dtype bool
            Whether each word is in it.

        Returns
        -------
        rate : float
        words : list of (str, int)
        """
        counts = np.where(own, 0, self.counts())
        most = np.argsort(-counts, kind="stable")[:_N_MISSES]
        rate = counts.sum() / max(len(self.numbers), 1)
        return float(rate), [(self.words[number], int(counts[number])) for number in most if counts[number]]

    def __iter__(self):
        """Texts as lists of words."""
        words = np.array(self.words, dtype=object)
        for start, end in pairwise(self.starts):
            yield words[self.numbers[start:end]].tolist()


def cut_texts(texts, tokenizer):
    """Cut texts into words.

    Parameters
    ----------
    texts : list of str
    tokenizer : {"en", "zh"} or callable

    Returns
    -------
    corpus : Corpus

    Raises
    ------
    ValueError
        If a callable gives something else than words for a text; the message names the row.
    """
    numbering = Numbering()
    numbers: list[np.ndarray] = []
    lengths: list[int] = []
    cut, size = _cutter(tokenizer)
    for start in range(0, len(texts), size):
        tokens = cut(texts[start : start + size], start)
        lengths += map(len, tokens)
        flat = chain.from_iterable(tokens)
        try:
            numbers.append(np.fromiter(map(numbering.__getitem__, flat), dtype=np.int32))
        except TypeError:
            # A list, say, which cannot be hashed.
            _refuse_other_tokens(chain.from_iterable(tokens))
            raise
    _refuse_other_tokens(numbering)
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return Corpus(list(numbering), np.concatenate(numbers), starts)


def _cutter(tokenizer):
    """Function from a block of texts, and the row it begins at, to lists of words; and how long a block should be."""
    if tokenizer == "en":
        return _cut_english, _BLOCK
    if tokenizer == "zh":
        tokenizer = JiebaTokenizer()
    if isinstance(tokenizer, JiebaTokenizer):
        return (lambda texts, start: tokenizer.transform(texts)), _LONG_BLOCK  # for its processes
    return (lambda texts, start: _listed(list(map(tokenizer, texts)), start)), _BLOCK


def _cut_english(texts, start):
    """Runs of letters and digits in lower case; a block of plain ASCII is cut at once, some ten times as fast."""
    joined = _SEPARATOR.join(texts)
    if joined.isascii() and joined.count(_SEPARATOR) == len(texts) - 1:
        return [text.split() for text in joined.translate(_ASCII_WORDS).split(_SEPARATOR)]
    return [_WORD.findall(text.lower()) for text in texts]


def _listed(cut, start):
    """What a callable gave for texts from row `start` on, as lists."""
    if all(type(tokens) is list for tokens in cut):
        return cut
    for row, tokens in enumerate(cut, start=start):
        if isinstance(tokens, (str, bytes)) or not hasattr(tokens, "__iter__"):
            raise ValueError(
                f"`tokenizer` gave {tokens!r} ({type(tokens).__name__}) for text {row}. Expected a list of str."
            )
    return [list(tokens) for tokens in cut]


def _refuse_other_tokens(words):
    strangers = [word for word in words if not isinstance(word, str)]
    if strangers:
        raise ValueError(f"`tokenizer` gave the word {strangers[0]!r} ({type(strangers[0]).__name__}). Expected str.")
