"""Rows of the result tables: recalls both ways, median ranks, the gallery and what chance would score."""

from dataclasses import dataclass

import numpy as np

from mmfeat.comparison._rows import KS, chance_recalls
from mmfeat.metrics import match_groups, median_rank, rank_embeddings, recall_at_k
from mmfeat.utils._pairs import split_pairs


@dataclass(frozen=True)
class Encoded:
    """A pairs table after both encoders.

    Parameters
    ----------
    images : ndarray of shape (n_images, n_features)
    texts : ndarray or sparse matrix of shape (n_texts, n_targets)
    groups : ndarray of shape (n_texts,)
        Row of `images` that each text belongs to.
    """

    images: np.ndarray
    texts: np.ndarray
    groups: np.ndarray

    def fit(self, fusion):
        """Fit a fusion on all pairs of an image and one of its texts."""
        return fusion.fit(self.images[self.groups], self.texts, groups=self.groups)

    def embed(self, fusion):
        """The same pairs in the common space of a fitted fusion."""
        return Encoded(fusion.transform(self.images), fusion.transform_y(self.texts), self.groups)


def encode_pairs(image_encoder, text_encoder, pairs, *, fit=False):
    """Run both encoders over a pairs table, fitting them first if asked to."""
    parts = split_pairs(pairs)
    if fit:
        return Encoded(image_encoder.fit_transform(parts.images), text_encoder.fit_transform(parts.texts), parts.groups)
    return Encoded(image_encoder.transform(parts.images), text_encoder.transform(parts.texts), parts.groups)


def scores_of(embedded):
    """Recalls in percent and median ranks of embedded pairs.

    Parameters
    ----------
    embedded : Encoded

    Returns
    -------
    row : dict of str to float
    """
    relevance = match_groups(np.arange(len(embedded.images)), embedded.groups)
    ranks = {
        "I→T": rank_embeddings(embedded.images, embedded.texts, relevance=relevance),
        "T→I": rank_embeddings(embedded.texts, embedded.images, relevance=relevance.T.tocsr()),
    }
    recalls = {f"{way} R@{k}": 100 * recall_at_k(rank, k=k) for way, rank in ranks.items() for k in KS}
    medians = {f"{way} median": median_rank(rank) for way, rank in ranks.items()}
    return {**recalls, "rsum": sum(recalls.values()), **medians}


def chance(embedded):
    """The same row for a random order, in expectation."""
    n_images, n_texts = len(embedded.images), embedded.texts.shape[0]
    captions = np.bincount(embedded.groups, minlength=n_images)
    recalls = chance_recalls(embedded.groups, n_images)
    # The best of c random places among n has its median near n (1 - 2^(-1/c)).
    best_of = np.median(n_texts * (1 - 0.5 ** (1 / captions)))
    return {**recalls, "rsum": sum(recalls.values()), "I→T median": float(best_of), "T→I median": (n_images + 1) / 2}
