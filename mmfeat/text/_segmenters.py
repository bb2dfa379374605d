"""The segmenters behind JiebaTokenizer, each with a dictionary of its own."""

import functools
import os
import re
import warnings
from collections.abc import Mapping
from numbers import Integral
from typing import NamedTuple

from mmfeat.text._stop_words import numbered_lines
from mmfeat.utils._optional import import_optional

# What jieba itself takes for a line: the word, which may hold spaces, then a frequency, then a tag.
_ENTRY = re.compile(r"(?P<word>.+?)(?: (?P<freq>[0-9]+))?(?: (?P<tag>[a-z]+))?")
_SURROGATE = re.compile("([\ud800-\udfff])")


class Entry(NamedTuple):
    """A word of a user's dictionary; no frequency means one that gets the word cut out, 0 that it is never cut out."""

    word: str
    freq: int | None = None
    tag: str | None = None


def read_user_dict(user_dict):
    """Return the entries that a parameter `user_dict` stands for.

    Parameters
    ----------
    user_dict : None, path-like, dict, or collection
        A file as jieba reads it (UTF-8; a line holds a word, perhaps a frequency, perhaps a tag, parted by spaces), a
        mapping of words to frequencies or None, or a collection of words and of tuples (word, frequency[, tag]).

    Returns
    -------
    entries : tuple of Entry
        In their order: jieba derives missing frequencies from the words before.

    Raises
    ------
    ValueError
        If an entry is none of these, or a line is not UTF-8; the message names it.
    FileNotFoundError
        If there is no such file.
    """
    if user_dict is None:
        return ()
    if isinstance(user_dict, (str, os.PathLike)):
        hint = "Pass the path of a dictionary, or a collection of words."
        lines = numbered_lines(user_dict, "user_dict", hint)
        return tuple(_checked(_parse(line), f"Line {number} of {user_dict}") for number, line in lines)
    rows = user_dict.items() if isinstance(user_dict, Mapping) else user_dict
    return tuple(_checked(row, f"Entry {number} of `user_dict`") for number, row in enumerate(rows))


def _parse(line):
    # Matches any line that is not empty.
    match = _ENTRY.fullmatch(line)
    word, freq, tag = match.group("word", "freq", "tag") if match else (line, None, None)
    return word, None if freq is None else int(freq), tag


def _checked(row, place):
    parts = (row,) if isinstance(row, str) else tuple(row) if isinstance(row, (tuple, list)) else ()
    word, freq, tag = (*parts, None, None, None)[:3]
    fits = len(parts) <= 3 and isinstance(word, str) and word.strip() and not _SURROGATE.search(word)
    fits = (
        fits
        and (freq is None or (isinstance(freq, Integral) and int(freq) >= 0))
        and (tag is None or isinstance(tag, str))
    )
    if not fits:
        raise ValueError(f"{place} is {row!r}. Expected a word, or (word, frequency >= 0 or None[, tag]). Correct it.")
    return Entry(word, None if freq is None else int(freq), tag)


def make_cutter(backend, entries, hmm, tagged):
    """Make the function that cuts a text with nothing lost: white space and punctuation come out as well.

    Parameters
    ----------
    backend : {"jieba", "rjieba"}
    entries : tuple of Entry
    hmm : bool
    tagged : bool
        Whether words come with their part of speech, which only jieba gives.

    Returns
    -------
    cut : callable
        From a str to a list of str or, tagged, of (str, str).
    """
    cut = _rjieba_cut(entries, hmm) if backend == "rjieba" else _jieba_cut(entries, hmm, tagged)
    removed = {entry.word for entry in entries} - {entry.word for entry in entries if entry.freq != 0}
    if not removed:
        return cut
    # jieba forbids words in a set that belongs to the module, hence to all dictionaries of the process.
    if tagged:
        return lambda text: [(part, tag) for word, tag in cut(text) for part in (word if word in removed else (word,))]
    return lambda text: [part for word in cut(text) for part in (word if word in removed else (word,))]


def _rjieba_cut(entries, hmm):
    segmenter = _rjieba(entries)

    def cut(text):
        try:
            return segmenter.cut(text, hmm)
        except UnicodeEncodeError:
            # Rust has no lone surrogates; jieba makes each a token of its own.
            parts = enumerate(_SURROGATE.split(text))
            return [token for odd, part in parts for token in ([part] if odd % 2 else segmenter.cut(part, hmm))]

    return cut


def _jieba_cut(entries, hmm, tagged):
    if tagged:
        tagger = _tagger(entries)
        return lambda text: [(pair.word, pair.flag) for pair in tagger.cut(text, HMM=hmm)]
    segmenter = _jieba(entries)
    return lambda text: segmenter.lcut(text, HMM=hmm)


# The caches hold segmenters by the content of their dictionary, and nothing changes one after it was made: equal
# dictionaries share, different ones cannot see each other, and a worker process reads a dictionary once.


@functools.lru_cache(maxsize=8)
def _rjieba(entries):
    segmenter = import_optional("rjieba", extra="rjieba", purpose="JiebaTokenizer(backend='rjieba')").Jieba()
    for entry in entries:
        segmenter.add_word(*entry)
    return segmenter


@functools.lru_cache(maxsize=8)
def _jieba(entries):
    segmenter = import_jieba().Tokenizer()
    frequencies, total = default_frequencies()
    segmenter.FREQ, segmenter.total = dict(frequencies) if entries else frequencies, total
    segmenter.initialized = True
    for entry in entries:
        if entry.freq == 0:
            segmenter.FREQ[entry.word] = 0
        else:
            segmenter.add_word(*entry)
    return segmenter


@functools.lru_cache(maxsize=4)
def _tagger(entries):
    import_jieba()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from jieba import posseg
    return posseg.POSTokenizer(_jieba(entries))


@functools.lru_cache(maxsize=1)
def default_frequencies():
    """Word frequencies of jieba's own dictionary and their sum, read once a process.

    Read here rather than by ``Tokenizer.initialize``: that one logs four lines to stderr, and keeps a marshalled copy
    in the folder for temporary files, where anyone on the machine may put another; it saves a fifth of a second.
    """
    tokenizer = import_jieba().Tokenizer()
    return tokenizer.gen_pfdict(tokenizer.get_dict_file())


def import_jieba():
    """Import jieba in silence: 0.42 imports pkg_resources and has unescaped regular expressions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jieba
    return jieba
