"""Stacked cross attention in torch: scores of all pictures with all sentences of a batch, and their gradient.

Shapes: b pictures of r regions, t sentences of l words, all vectors of unit length or, where padded, zero. A product of
each region with each word has shape (b, r, t, l). ``_attention_arrays`` does the same sums in numpy.
"""

import functools
from typing import NamedTuple

from mmfeat.fusion._learning._attention_arrays import LOWEST, TINY

# Products of a region and a word that are held at a time; on the CPU they stay near the processor.
_BLOCK = {"cpu": 1 << 18, "cuda": 1 << 24}
_PICTURES = 64
# Far below all logits, but finite: a bag of nothing attends evenly to its padding rather than to NaN.
_CLOSED = -1e4
# Share of the scores that have a gradient below which they are computed again one by one.
_FEW = 0.25


class Vectors(NamedTuple):
    """Embedded bags."""

    values: object
    """Tensor of shape (n_bags, longest, n_components), zero beyond the lengths."""
    lengths: object
    """Tensor of shape (n_bags,), dtype int64."""


def block_scores(regions, words, form):
    """Scores of each picture with each sentence; differentiable, in memory that does not grow with the batch.

    Parameters
    ----------
    regions, words : Vectors
    form : Form

    Returns
    -------
    scores : torch.Tensor of shape (n_pictures, n_sentences)

    Notes
    -----
    Nothing of the forward pass is kept. Backward computes again what has a gradient; of a loss with hardest negatives that is
    three scores of a row.
    """
    return _function().apply(regions.values, words.values, regions.lengths, words.lengths, form)


@functools.cache
def _function():
    import torch

    class BlockScores(torch.autograd.Function):
        @staticmethod
        def forward(ctx, regions, words, n_regions, n_words, form):
            ctx.save_for_backward(regions, words, n_regions, n_words)
            ctx.form = form
            scores = regions.new_empty(len(regions), len(words))
            for pictures in range(0, len(regions), _PICTURES):
                chosen = slice(pictures, pictures + _PICTURES)
                for rows, longest in _parts_of(n_words, regions[chosen].shape[:2].numel(), regions.device):
                    scores[chosen, rows] = _scores(
                        Vectors(regions[chosen], n_regions[chosen]),
                        Vectors(words[rows, :longest], n_words[rows]),
                        form,
                    )
            return scores

        @staticmethod
        def backward(ctx, gradient):
            regions, words, n_regions, n_words = ctx.saved_tensors
            # Sums over indices have no fixed order on CUDA.
            few = regions.device.type == "cpu" and gradient.count_nonzero() < _FEW * gradient.numel()
            back = _back_through_few if few else _back_through_all
            pair = back(Vectors(regions, n_regions), Vectors(words, n_words), ctx.form, gradient)
            return (*pair, None, None, None)

    return BlockScores


def _parts_of(lengths, n_regions, device):
    """Sentences in the order of their lengths, so that little is padding: row numbers, and the longest of them."""
    order = lengths.argsort(stable=True)
    ordered = lengths[order].tolist()
    block = _BLOCK[device.type]
    start = 0
    while start < len(ordered):
        stop = start + 1
        while stop < len(ordered) and (stop + 1 - start) * n_regions * ordered[stop] <= block:
            stop += 1
        yield order[start:stop], max(1, ordered[stop - 1])
        start = stop


def _back_through_all(regions, words, form, gradient):
    import torch

    to_regions, to_words = (torch.zeros_like(side.values) for side in (regions, words))
    for pictures in range(0, len(regions.values), _PICTURES):
        chosen = slice(pictures, pictures + _PICTURES)
        some = regions.values[chosen]
        for rows, longest in _parts_of(words.lengths, some.shape[:2].numel(), some.device):
            sides = _leaves(some, words.values[rows, :longest])
            with torch.enable_grad():
                scores = _scores(
                    Vectors(sides[0], regions.lengths[chosen]), Vectors(sides[1], words.lengths[rows]), form
                )
            of_regions, of_words = torch.autograd.grad(scores, sides, gradient[chosen, rows])
            to_regions[chosen] += of_regions
            to_words[rows, :longest] += of_words
    return to_regions, to_words


def _back_through_few(regions, words, form, gradient):
    import torch

    to_regions, to_words = (torch.zeros_like(side.values) for side in (regions, words))
    pictures, sentences = gradient.nonzero(as_tuple=True)
    for part, longest in _parts_of(words.lengths[sentences], regions.values.shape[1], gradient.device):
        i, j = pictures[part], sentences[part]
        sides = _leaves(regions.values[i], words.values[j, :longest])
        with torch.enable_grad():
            scores = _scores(
                Vectors(sides[0], regions.lengths[i]), Vectors(sides[1], words.lengths[j]), form, listed=True
            )
        of_regions, of_words = torch.autograd.grad(scores, sides, gradient[i, j][:, None])
        to_regions.index_add_(0, i, of_regions)
        to_words[:, :longest].index_add_(0, j, of_words)
    return to_regions, to_words


def _leaves(*tensors):
    return [tensor.detach().requires_grad_() for tensor in tensors]


def _scores(regions, words, form, listed=False):
    """Scores (b, t); `listed`: of picture i with sentence i alone, (b, 1)."""
    import torch

    v, w = regions.values, words.values
    n_regions, n_words = regions.lengths, words.lengths
    if listed:
        products = (v @ w.mT)[:, :, None, :]
        n_words, grams = n_words[:, None], (w @ w.mT)[:, None] if form.direction != "text" else None
    else:
        products = (v.flatten(0, 1) @ w.flatten(0, 1).T).view(*v.shape[:2], *w.shape[:2])
        n_words, grams = n_words[None, :], (w @ w.mT)[None] if form.direction != "text" else None
    in_r = (torch.arange(v.shape[1], device=v.device) < n_regions[:, None])[:, :, None, None]
    in_w = (torch.arange(w.shape[1], device=w.device) < n_words[:, :, None])[:, None]
    found = []
    if form.direction != "image":
        cosines = _cosines_of_words(products, v @ v.mT, in_r, form.sharpness)
        found.append(_pooled(cosines, in_w[:, 0], n_words, 2, form))
    if form.direction != "text":
        cosines = _cosines_of_regions(products, grams, in_w, form.sharpness)
        found.append(_pooled(cosines, in_r[:, :, :, 0], n_regions[:, None], 1, form))
    mean = found[0] if len(found) == 1 else (found[0] + found[1]) / 2
    return mean.masked_fill((n_regions[:, None] == 0) | (n_words == 0), LOWEST)


def _attention(products, contexts, queries, inside, sharpness):
    """Weights over the axis `contexts`; the positive products are first brought to unit length along `queries`."""
    positive = products.clamp(min=0)
    lengths = positive.square().sum(dim=queries, keepdim=True).clamp(min=TINY)
    logits = positive * (sharpness * lengths.rsqrt())
    logits = logits if bool(inside.all()) else logits.masked_fill(~inside, _CLOSED)
    return logits.softmax(dim=contexts)


def _cosines_of_words(products, grams, in_r, sharpness):
    """Cosine of each word and of what it attends to, (b, t, l); the length of that is had from the products of regions."""
    weights = _attention(products, 1, 3, in_r, sharpness)
    spread = (grams @ weights.flatten(2)).view(weights.shape)
    return (weights * products).sum(dim=1) * (weights * spread).sum(dim=1).clamp(min=TINY).rsqrt()


def _cosines_of_regions(products, grams, in_w, sharpness):
    """Cosine of each region and of what it attends to, (b, r, t); `grams` are the products of words, (b or 1, t, l, l)."""
    weights = _attention(products, 3, 1, in_w, sharpness)
    spread = (weights.transpose(1, 2) @ grams).transpose(1, 2)
    return (weights * products).sum(dim=3) * (weights * spread).sum(dim=3).clamp(min=TINY).rsqrt()


def _pooled(cosines, inside, counts, axis, form):
    if form.pooling == "avg":
        return (cosines * inside).sum(dim=axis) / counts.clamp(min=1)
    logits = (form.pooling_sharpness * cosines).masked_fill(~inside, _CLOSED)
    return logits.logsumexp(dim=axis) / form.pooling_sharpness
