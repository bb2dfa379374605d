"""The retrievers of a fusion and their weights, checked, and what makes one function of their scores."""

import numpy as np
from sklearn.utils import check_array

from mmfeat.retrieval._fusion_rules import fuse
from mmfeat.retrieval._scores import RowScores
from mmfeat.utils._rows import unit_rows

_METHODS = ("fit", "encode_image", "encode_text")


def check_members(retrievers):
    """Names and estimators, without those that were dropped."""
    if not all(isinstance(entry, tuple) and len(entry) == 2 for entry in retrievers):
        raise ValueError(f"`retrievers` must be a list of (name, estimator). Got {retrievers!r} instead.")
    kept = [(name, member) for name, member in retrievers if not isinstance(member, str) or member != "drop"]
    if not kept:
        raise ValueError("`retrievers` must have at least one that is not 'drop'. Got none. Add a retriever.")
    for name, member in kept:
        if isinstance(member, type) or not all(hasattr(member, method) for method in _METHODS):
            raise ValueError(
                f"Retriever {name!r} is {member!r}. Expected an estimator with {', '.join(_METHODS)}, or 'drop'."
            )
    return zip(*kept, strict=True)


def check_weights(weights, n_retrievers):
    """Weights of a sum of 1; equal ones if none are given."""
    if weights is None or isinstance(weights, str):
        return np.full(n_retrievers, 1 / n_retrievers)
    found = np.asarray(weights, dtype=np.float64)
    if found.shape != (n_retrievers,) or not np.isfinite(found).all() or found.min() < 0 or not found.any():
        raise ValueError(
            f"`weights` must be {n_retrievers} numbers of at least 0, not all 0, one a retriever. Got {weights!r} instead."
        )
    return found / found.sum()


def score_function(member, gallery, query):
    """What scores queries for a retriever: its own function, or the cosine."""
    if hasattr(member, "scores_against"):
        return member.scores_against(gallery, query=query)
    return RowScores(gallery)


def fused_function(members, widths, gallery, query, options):
    """Function of the fused scores of fitted retrievers, whose encodings stand side by side in the gallery."""
    gallery = check_array(gallery, dtype=np.float32, input_name="gallery")
    edges = np.cumsum([0, *widths])
    if gallery.shape[1] != edges[-1]:
        raise ValueError(f"gallery has {gallery.shape[1]} columns. Encodings of this fusion have {edges[-1]}.")
    # What weighs nothing is not scored: its part of the encodings may be zeros.
    weights = np.ones(len(members)) if options["weights"] is None else options["weights"]
    used = np.flatnonzero(weights)
    columns = [slice(edges[place], edges[place + 1]) for place in used]
    functions = [
        (part, score_function(members[place], unit_rows(gallery[:, part]), query))
        for place, part in zip(used, columns, strict=True)
    ]
    options = {**options, "weights": weights[used], "scales": options["scales"][used]}
    return FusedScores(functions, edges[-1], options)


class FusedScores:
    """Function from a block of encoded queries to their fused scores with the whole gallery.

    Parameters
    ----------
    functions : list of (slice, callable)
        Columns of the encodings that belong to a retriever, and its own function.
    width : int
        Columns of the encodings in all.
    options : dict
        Handed to :func:`fuse`.
    """

    def __init__(self, functions, width, options):
        self._functions, self._width, self._options = functions, width, options
        self.transductive = any(getattr(score, "transductive", False) for _, score in functions)

    def __call__(self, queries):
        queries = check_array(queries, dtype=np.float32, input_name="queries")
        if queries.shape[1] != self._width:
            raise ValueError(f"queries have {queries.shape[1]} columns. Encodings of this fusion have {self._width}.")
        scores = [
            np.asarray(score(unit_rows(queries[:, columns])), dtype=np.float64) for columns, score in self._functions
        ]
        return fuse(scores, **self._options)
