"""The sentences of a training: words as numbers, a table of their vectors, and a tower that reads them."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import clone

from mmfeat.fusion._learning._batches import Bags
from mmfeat.fusion._learning._members import embed_view
from mmfeat.fusion._learning._towers import TowerHead
from mmfeat.text import WordVectors
from mmfeat.text._corpus import cut_texts

# Sentences whose word vectors are held at a time in use.
_BLOCK = 4096


@dataclass(frozen=True)
class Sentences:
    """Texts as numbers of known words, from 1; 0 is any other word.

    Parameters
    ----------
    numbers : ndarray of shape (n_words_of_all_texts,), dtype int64
        Of all texts one after the other.
    starts : ndarray of shape (n_texts + 1,)
        Where each text begins, and where the last one ends.
    """

    numbers: np.ndarray
    starts: np.ndarray

    def __len__(self):
        return len(self.starts) - 1

    def take(self, rows, longest):
        """Numbers of some texts, at most `longest` of each, one array a text."""
        ends = self.starts[1:] if longest is None else np.minimum(self.starts[1:], self.starts[:-1] + longest)
        return [self.numbers[self.starts[row] : ends[row]] for row in rows]


def learn_words(texts, tokenizer, min_count):
    """Find the words that are frequent enough, the most frequent first.

    Parameters
    ----------
    texts : list of str
    tokenizer : {"en", "zh"} or callable
    min_count : int

    Returns
    -------
    words : list of str

    Raises
    ------
    ValueError
        If there are none.
    """
    corpus = cut_texts(texts, tokenizer)
    counts = corpus.counts()
    order = np.argsort(-counts, kind="stable")
    words = [corpus.words[number] for number in order if counts[number] >= min_count]
    if not words:
        raise ValueError(
            f"None of the {len(corpus.words)} words of the captions occurs `min_count`={min_count} times, so all would be "
            "unknown. Reduce `min_count`, pass more captions, or look at what `tokenizer` gives."
        )
    return words


def number_words(texts, tokenizer, words):
    """Turn texts into numbers of words.

    Parameters
    ----------
    texts : list of str
    tokenizer : {"en", "zh"} or callable
    words : list of str

    Returns
    -------
    sentences : Sentences
    """
    corpus = cut_texts(texts, tokenizer)
    known = {word: number for number, word in enumerate(words, start=1)}
    numbers = np.array([known.get(word, 0) for word in corpus.words], dtype=np.int64)
    return Sentences(numbers[corpus.numbers], corpus.starts)


def first_table(words, vectors, width, texts, tokenizer, seed):
    """Vectors that the words start from.

    Parameters
    ----------
    words : list of str
    vectors : None, path, KeyedVectors or WordVectors
        What they are taken from; None draws them at random.
    width : int
        Of random ones.
    texts : list of str
        Captions that :class:`WordVectors` without a file are trained on.
    tokenizer : {"en", "zh"} or callable
    seed : int

    Returns
    -------
    table : ndarray of shape (1 + n_words, width), dtype float32
        Entries of a mean square of one; the first row is that of unknown words. Words without a vector are drawn at random.
    """
    rng = np.random.default_rng(seed)
    if vectors is None:
        return rng.normal(size=(1 + len(words), width)).astype(np.float32)
    source = clone(vectors) if isinstance(vectors, WordVectors) else WordVectors(vectors)
    source.set_params(pooling=None, tokenizer=tokenizer).fit(texts)
    found = source.set_params(tokenizer=_as_one_word).transform(words)
    table = rng.normal(size=(1 + len(words), source.n_features_out_))
    has = np.array([False, *(len(bag) == 1 for bag in found)])
    taken = np.concatenate(found).astype(np.float64)
    table[has] = taken / max(np.sqrt(np.mean(taken**2)), np.finfo(np.float32).tiny)
    return table.astype(np.float32)


class SentenceTower:
    """A table of word vectors, and a head over those of a sentence.

    Parameters
    ----------
    table : ndarray of shape (1 + n_words, width), dtype float32
    tower : str
    tower_width : int
    n_components : int
    generator : torch.Generator
        Of the head.
    device : str
    """

    def __init__(self, table, tower, tower_width, n_components, generator, device):
        import torch

        self.table = torch.from_numpy(table.copy()).to(device).requires_grad_()
        self.head = TowerHead(table.shape[1], tower, tower_width, (n_components,), "relu", generator, device)
        self.n_components, self.device = n_components, device

    def parameters(self):
        """Tensors that are trained, in a fixed order."""
        return [self.table, *self.head.parameters()]

    def __call__(self, sentences, dropout, noise):
        """Rows of the common space of sentences, each an array of numbers of words."""
        import torch
        from torch.nn.functional import embedding

        lengths = np.array([len(numbers) for numbers in sentences], dtype=np.int64)
        padded = np.zeros((len(sentences), max(1, int(lengths.max(initial=0)))), dtype=np.int64)
        inside = np.arange(padded.shape[1]) < lengths[:, None]
        padded[inside] = np.concatenate(sentences)
        numbers, mask = (torch.from_numpy(array).to(self.device) for array in (padded, inside))
        values = embedding(numbers, self.table) * mask[:, :, None]
        return self.head(Bags(values, torch.from_numpy(lengths).to(self.device)), dropout, noise)

    def export(self, tokenizer, longest):
        """Everything as plain values and numpy arrays: what :func:`embed_sentences` takes."""
        table = self.table.detach().cpu().numpy().copy()
        return {"tokenizer": tokenizer, "longest": longest, "table": table, "head": self.head.export()}


def embed_sentences(tower, sentences):
    """Rows of sentences by a trained tower, without torch.

    Parameters
    ----------
    tower : dict
        From :meth:`SentenceTower.export`.
    sentences : Sentences

    Returns
    -------
    rows : ndarray of shape (n_sentences, n_components), dtype float32
        Of unit length.
    """
    table, longest = tower["table"], tower["longest"]
    side = {"head": tower["head"], "mean": np.zeros(table.shape[1]), "scale": 1.0, "longest": longest}
    blocks = []
    for start in range(0, len(sentences), _BLOCK):
        rows = range(start, min(start + _BLOCK, len(sentences)))
        bags = [table[numbers] for numbers in sentences.take(rows, longest)]
        blocks.append(embed_view([{"y": side}], "y", bags, unit=True))
    return np.concatenate(blocks)


def _as_one_word(text):
    return [text]
