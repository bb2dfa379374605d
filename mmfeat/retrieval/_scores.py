"""Full rows of scores of a block of queries against a gallery: cosines, corrected for hubs where that is asked for."""

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_array, gen_batches

from mmfeat.metrics import retrieval_scorer
from mmfeat.retrieval._search._grid import CHUNK, make_queries, to_scores

# Scores held at a time: queries times items of one block.
BLOCK_SCORES = 1 << 23


class RowScores:
    """Function from a block of encoded queries to their scores with the whole gallery.

    Parameters
    ----------
    gallery : array-like of shape (n_gallery, n_components)
    hubness : HubnessCorrection or None, default=None
        Cloned.
    bank : array-like of shape (n_bank, n_components) or None, default=None
        What an inductive correction is fitted on.
    """

    def __init__(self, gallery, hubness=None, bank=None):
        self.gallery = checked_unit_rows(gallery, "gallery")
        self.transductive = hubness is not None and hubness.bank == "queries"
        self._correction = hubness
        self._was_asked = False
        if hubness is not None:
            self._correction = (
                clone(hubness) if self.transductive else clone(hubness).fit_embeddings(bank, self.gallery)
            )

    def __call__(self, queries):
        if self.transductive and self._was_asked:
            raise ValueError(
                "A correction with bank='queries' needs all queries in one call, but was asked twice. Pass them together, "
                "and call `scores_against` anew for other queries."
            )
        scores = cosine_scores(checked_unit_rows(queries, "queries"), self.gallery)
        if self._correction is None:
            return scores
        if not self.transductive:
            return self._correction.transform(scores)
        scores = self._correction.fit_transform(scores)
        # Last, so that queries that were refused may be mended.
        self._was_asked = True
        return scores


def mean_recall(estimator, pairs):
    """Mean of recall@1, @5 and @10 over both directions, be they of transductive scores."""
    scores = retrieval_scorer(estimator, pairs)
    return scores["transductive_mean_recall" if estimator.transductive_ else "mean_recall"]


def checked_unit_rows(matrix, name):
    """Rows of unit length in float32, on the grid on which their products are exact; a row of zeros stays."""
    return make_queries(check_array(matrix, dtype=np.float32, input_name=name), "cosine", name).rows


def check_query(query):
    """Refuse what is no kind of query."""
    if query not in ("image", "text"):
        raise ValueError(f"`query` must be 'image' or 'text', what the queries are. Got {query!r} instead.")
    return query


def cosine_scores(queries, gallery):
    """Cosines of rows from :func:`checked_unit_rows`, float32, as those of an :class:`EmbeddingIndex`.

    Products in float64 are exact and rounded once: the cosine of a pair is one number, whatever else is in the block, and
    equal rows have equal ones.
    """
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"queries have {queries.shape[1]} components and the gallery {gallery.shape[1]}. Encode both with one model."
        )
    scores = np.empty((len(queries), len(gallery)), dtype=np.float32)
    queries = queries.astype(np.float64)
    for items in gen_batches(len(gallery), CHUNK):
        scores[:, items] = to_scores(queries @ gallery[items].astype(np.float64).T, None, "cosine")
    return scores


def top_k(scores, k):
    """Best `k` columns of each row, best first, the lower column first among equals."""
    n_items = scores.shape[1]
    # The k-th score bounds the answer; all columns tied with it must stay in the race.
    kept = scores >= np.partition(scores, n_items - k, axis=1)[:, n_items - k, None]
    rows, columns = np.nonzero(kept)
    order = np.lexsort((columns, -scores[rows, columns], rows))
    first = np.searchsorted(rows, np.arange(len(scores)))
    columns = columns[order][first[:, None] + np.arange(k)]
    return np.take_along_axis(scores, columns, axis=1), columns


def row_blocks(n_rows, n_gallery):
    """Slices of rows, each as many as keep a block of scores within bounds."""
    return gen_batches(n_rows, max(1, BLOCK_SCORES // n_gallery))
