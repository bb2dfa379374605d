"""What is right for each query, how rankings are measured, and rankings on disk."""

from dataclasses import dataclass

import numpy as np

from mmfeat.metrics import (
    RelevantRanks,
    match_groups,
    mean_average_precision,
    rank_embeddings,
    rank_scored,
    rsum,
)
from mmfeat.retrieval._scores import RowScores

DIRECTIONS = ("i2t", "t2i")


@dataclass(frozen=True)
class Task:
    """Pairs of the splits without their pictures and sentences.

    Parameters
    ----------
    groups : dict of str to ndarray
        Picture that each sentence of a split belongs to, as a row.
    n_images : dict of str to int
    labels : dict of str to ndarray or None
        Class of each picture. With classes, what is of the query's class is right, and the measure is mean average precision.
    """

    groups: dict
    n_images: dict
    labels: dict | None = None
    by_label: bool = False

    @property
    def measure_name(self):
        """What systems are compared by."""
        return "mAP" if self.by_label else "rsum"

    def measure(self, rankings, *, average=True):
        """Sum of recalls, or mean average precision of both directions in percent."""
        if not self.by_label:
            return rsum(rankings, average=average)
        # Halves, so that the means of both directions add up to their mean.
        values = {name: 50 * mean_average_precision(part, average=False) for name, part in rankings.items()}
        return float(sum(part.mean() for part in values.values())) if average else values

    def gallery_size(self, split, way):
        """Items that each query of a direction is compared with."""
        return len(self.groups[split]) if way == "i2t" else self.n_images[split]

    def rank(self, split, images, texts, *, hubness=None, banks=None):
        """Rankings both ways of embeddings, corrected or not."""
        ways = {"i2t": (images, texts), "t2i": (texts, images)}
        if hubness is None:
            return {
                way: rank_embeddings(*ways[way], relevance=relevance, groups=groups)
                for way, relevance, groups in self.relevances(split)
            }
        functions = self.score_functions(images, texts, hubness=hubness, banks=banks)
        whole = hubness.bank == "queries"
        return {
            way: rank_scored(
                functions[way][1],
                functions[way][0],
                relevance=relevance,
                groups=groups,
                block_size=len(functions[way][0]) if whole else None,
            )
            for way, relevance, groups in self.relevances(split)
        }

    def score_functions(self, images, texts, *, hubness=None, banks=None):
        """Queries, and the function that scores them against the gallery, by direction."""
        ways = {"i2t": (images, texts), "t2i": (texts, images)}
        return {
            way: (queries, RowScores(gallery, hubness, None if banks is None else banks[way]))
            for way, (queries, gallery) in ways.items()
        }

    def rank_scores(self, split, scores):
        """Rankings both ways of matrices of scores, by direction."""
        return {
            way: rank_scored(lambda block: block, scores[way], relevance=relevance, groups=groups)
            for way, relevance, groups in self.relevances(split)
        }

    def relevances(self, split):
        """Direction, what is right, and the picture of each query."""
        rows, groups = np.arange(self.n_images[split]), self.groups[split]
        if self.by_label and self.labels is not None:
            labels = self.labels[split]
            relevance = match_groups(labels, labels[groups])
        else:
            relevance = match_groups(rows, groups)
        return ("i2t", relevance, rows), ("t2i", relevance.T.tocsr(), groups)


def pack(rankings):
    """Rankings as arrays for a file."""
    return {
        f"{way}_{name}": np.asarray(getattr(part, name))
        for way, part in rankings.items()
        for name in ("indptr", "ranks", "gains", "n_gallery", "groups")
    }


def unpack(arrays):
    """The rankings that :func:`pack` made arrays of."""
    return {
        way: RelevantRanks(
            indptr=arrays[f"{way}_indptr"],
            ranks=arrays[f"{way}_ranks"],
            gains=arrays[f"{way}_gains"],
            n_gallery=int(arrays[f"{way}_n_gallery"]),
            groups=arrays[f"{way}_groups"],
        )
        for way in DIRECTIONS
    }
