"""Runs and judgements in the files that trec_eval, ir-measures and ranx read."""

from pathlib import Path

import numpy as np

from mmfeat.metrics._relevance import check_grades


def write_trec_run(path, scores, item_ids, query_ids=None, *, tag="mmfeat"):
    """Write what was found for each query as a TREC run file.

    Parameters
    ----------
    path : path-like
        File to write, in UTF-8; what was there is replaced.
    scores : array-like of shape (n_queries, k)
        Best first, as :meth:`EmbeddingIndex.search` gives them.
    item_ids : array-like of shape (n_queries, k)
        What was found, as the same method gives it.
    query_ids : array-like of shape (n_queries,) or None, default=None
        None numbers the queries from 0.
    tag : str, default="mmfeat"
        Name of the system.

    Raises
    ------
    ValueError
        If the shapes differ, a score is NaN or infinite, scores are not in descending order, an item stands twice in an
        answer, or an id or the tag is empty or holds white space, which the format cannot hold.

    Notes
    -----
    A line holds ``query Q0 item rank score tag``. Readers of the format sort by the score and take ties in an order of their
    own, and not in that of the file; scores are written with nine digits, which tell any two numbers in float32 apart.

    References
    ----------
    The format of NIST's trec_eval, see its README: "rel_info_file" and "results_file".

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from mmfeat.metrics import write_trec_run
    >>> path = pathlib.Path(tempfile.mkdtemp(), "run.txt")
    >>> write_trec_run(path, [[0.9, 0.5]], [["a.jpg", "b.jpg"]], ["q1"])
    >>> print(path.read_text())
    q1 Q0 a.jpg 1 0.9 mmfeat
    q1 Q0 b.jpg 2 0.5 mmfeat
    <BLANKLINE>
    """
    scores, item_ids = np.asarray(scores, dtype=np.float64), np.asarray(item_ids)
    if scores.ndim != 2 or scores.shape != item_ids.shape:
        raise ValueError(
            f"`scores` and `item_ids` must have one shape (n_queries, k). Got {scores.shape} and {item_ids.shape} instead."
        )
    strange = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(strange):
        raise ValueError(f"scores hold NaN or infinity, first for query {strange[0]}.")
    unsorted = np.flatnonzero((np.diff(scores, axis=1) > 0).any(axis=1))
    if len(unsorted):
        raise ValueError(f"scores of query {unsorted[0]} are not in descending order. Sort them, best first.")
    names = _names(query_ids, len(scores), "query_ids")
    (tag,) = _words([tag], "tag")
    items = [_words(row, "item_ids") for row in item_ids.tolist()]
    for query, found in zip(names, items, strict=True):
        if len(set(found)) < len(found):
            raise ValueError(f"An item stands twice in the answer to query {query!r}. The format takes each once.")
    lines = (
        f"{query} Q0 {item} {rank} {score:.9g} {tag}\n"
        for query, found, row in zip(names, items, scores.tolist(), strict=True)
        for rank, (item, score) in enumerate(zip(found, row, strict=True), start=1)
    )
    _write(path, lines)


def write_trec_qrels(path, relevance, item_ids=None, query_ids=None):
    """Write what is right for each query as a TREC file of judgements.

    Parameters
    ----------
    path : path-like
        File to write, in UTF-8; what was there is replaced.
    relevance : array or sparse matrix of shape (n_queries, n_gallery)
        Grades, as :func:`match_groups` gives them; whole numbers, which are all that the format knows.
    item_ids : array-like of shape (n_gallery,) or None, default=None
        None numbers the items from 0.
    query_ids : array-like of shape (n_queries,) or None, default=None
        None numbers the queries from 0.

    Raises
    ------
    ValueError
        If a query has no relevant item, a grade is no whole number, or an id is empty or holds white space.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from mmfeat.metrics import match_groups, write_trec_qrels
    >>> path = pathlib.Path(tempfile.mkdtemp(), "qrels.txt")
    >>> write_trec_qrels(path, match_groups(["cat"], ["dog", "cat"]), ["a.jpg", "b.jpg"], ["q1"])
    >>> print(path.read_text())
    q1 0 b.jpg 1
    <BLANKLINE>
    """
    relevance = check_grades(relevance, getattr(relevance, "shape", np.shape(relevance)))
    grades = relevance.data.astype(np.int64)
    if (grades != relevance.data).any():
        raise ValueError(f"Grades must be whole numbers. Got {relevance.data[grades != relevance.data][0]} instead.")
    queries = _names(query_ids, relevance.shape[0], "query_ids")
    items = _names(item_ids, relevance.shape[1], "item_ids")
    rows = np.repeat(np.arange(len(queries)), np.diff(relevance.indptr)).tolist()
    lines = (
        f"{queries[row]} 0 {items[column]} {grade}\n"
        for row, column, grade in zip(rows, relevance.indices.tolist(), grades.tolist(), strict=True)
    )
    _write(path, lines)


def _names(ids, n, name):
    if ids is None:
        return list(map(str, range(n)))
    ids = list(ids)
    if len(ids) != n:
        raise ValueError(f"`{name}` must have {n} values. Got {len(ids)} instead.")
    words = _words(ids, name)
    if len(set(words)) != n:
        raise ValueError(f"`{name}` must be unique as text.")
    return words


def _words(values, name):
    words = list(map(str, values))
    for word in words:
        if len(word.split()) != 1 or word != word.strip():
            raise ValueError(
                f"{name} holds {word!r}. The format separates its columns by white space: replace it, for example by '_'."
            )
    return words


def _write(path, lines):
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)
