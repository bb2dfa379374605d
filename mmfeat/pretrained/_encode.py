"""Rows of pictures and of sentences from a loaded two-tower model."""

import re

import numpy as np

from mmfeat.pretrained._pictures import read_batches
from mmfeat.utils._rows import unit_rows

_SURROGATE = re.compile("[\ud800-\udfff]")
# Batches of sentences that are sorted by length together.
_WINDOW = 64
_PLACE = "{}"


def encode_images(towers, images, *, batch_size, normalize):
    """Yield rows of pictures, their vectors, and what could not be read.

    Parameters
    ----------
    towers : TransformersTowers or OpenClipTowers
    images : list
    batch_size : int
    normalize : bool
        Rows of unit length.

    Yields
    ------
    rows : list of int
    vectors : ndarray of shape (len(rows), width), dtype float32
    failed : list of (int, ImageDecodeError)
    """
    waiting = None
    # One batch is under way on the device while the next is read.
    for rows, prepared, failed in read_batches(images, towers, batch_size):
        started = rows, towers.embed_images(prepared) if rows else None, failed
        if waiting is not None:
            yield _arrived(*waiting, normalize, towers.width)
        waiting = started
    if waiting is not None:
        yield _arrived(*waiting, normalize, towers.width)


def encode_texts(towers, texts, *, templates, max_length, batch_size, normalize):
    """Yield rows of sentences, their vectors, and how many of them were cut off.

    Parameters
    ----------
    towers : TransformersTowers or OpenClipTowers
    texts : list of str
    templates : sequence of str or None
    max_length : int or None
    batch_size : int
    normalize : bool
        Rows of unit length.

    Yields
    ------
    rows : slice
    vectors : ndarray of shape (n_rows, width), dtype float32
    n_cut : int
    """
    limit = _limit(towers, max_length)
    templates = [_PLACE] if templates is None else list(templates)
    size = max(1, _WINDOW * batch_size // len(templates))
    for start in range(0, len(texts), size):
        part = [_SURROGATE.sub("\ufffd", text) for text in texts[start : start + size]]
        prompts = [template.replace(_PLACE, text) for text in part for template in templates]
        ids, too_long = towers.tokenize(prompts, limit)
        vectors = _embed(towers, ids, batch_size)
        vectors = unit_rows(vectors) if normalize else vectors
        if len(templates) > 1:
            vectors = vectors.reshape(len(part), len(templates), -1).mean(1)
            vectors = unit_rows(vectors) if normalize else vectors
        # Marks of start and end, and the words of a template, have a vector as well, which would answer for nothing.
        vectors[~_known(towers, part, limit)] = 0
        yield slice(start, start + len(part)), vectors, int(np.reshape(too_long, (len(part), -1)).any(1).sum())


def _known(towers, texts, limit):
    """Whether each text has a token that stands for something."""
    ids, _ = towers.tokenize(texts, limit)
    pairs = zip(texts, ids, strict=True)
    return np.array([bool(text.strip()) and not towers.wordless.issuperset(row) for text, row in pairs])


def check_templates(templates):
    """Refuse templates that have no place for the text, or more than one.

    Parameters
    ----------
    templates : sequence of str or None

    Raises
    ------
    ValueError
        If there are none, or one is not a str with one ``{}``.
    """
    if templates is None:
        return
    if not len(templates):
        raise ValueError("`templates` is empty. Name at least one, or use None.")
    for place, template in enumerate(templates):
        if not isinstance(template, str) or template.count(_PLACE) != 1:
            raise ValueError(
                f"`templates`[{place}] must be a str with one {_PLACE} for the text. Got {template!r} instead."
            )


def _arrived(rows, vectors, failed, normalize, width):
    values = np.empty((0, width), np.float32) if vectors is None else vectors.cpu().numpy()
    return rows, unit_rows(values) if normalize else values, failed


def _embed(towers, ids, batch_size):
    """Vectors of texts, in batches of similar length so that little is padded."""
    vectors = np.empty((len(ids), towers.width), dtype=np.float32)
    order = np.argsort([len(row) for row in ids], kind="stable")
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        vectors[rows] = towers.embed_texts([ids[row] for row in rows]).cpu().numpy()
    return vectors


def _limit(towers, max_length):
    if max_length is None:
        return towers.longest
    if max_length > towers.longest:
        raise ValueError(
            f"`max_length` upper bound is {towers.longest}. Got {max_length} instead. Reduce `max_length`."
        )
    if max_length <= towers.n_special:
        raise ValueError(
            f"`max_length` lower bound is {towers.n_special + 1}, as the model adds {towers.n_special} tokens of its own. "
            f"Got {max_length} instead. Raise `max_length`."
        )
    return max_length
