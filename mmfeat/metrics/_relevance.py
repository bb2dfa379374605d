"""Which items are right answers to which queries: positions, labels or grades, each by a name of its own."""

import functools
import inspect

import numpy as np
from scipy import sparse

from mmfeat.utils._groups import group_codes

_WAYS = (
    "`positions` (the one right item of each query), `query_labels` and `gallery_labels` (classes or identifiers), or "
    "`relevance` (a matrix of grades)"
)


def match_groups(query_groups, gallery_groups):
    """Relevance by identity or by label: an item is relevant to a query of the same group.

    Parameters
    ----------
    query_groups : array-like of shape (n_queries,)
        Identifier of the image, or class label, each query belongs to.
    gallery_groups : array-like of shape (n_gallery,)
        The same for the items.

    Returns
    -------
    relevance : scipy.sparse.csr_array of shape (n_queries, n_gallery), dtype float64

    Raises
    ------
    ValueError
        If the groups are not 1-D, a value is missing, or numbers are mixed with strings.

    Examples
    --------
    >>> from mmfeat.metrics import match_groups
    >>> match_groups(["a", "b"], ["b", "a", "b"]).toarray()
    array([[0., 1., 0.],
           [1., 0., 1.]])
    """
    return _matched(query_groups, gallery_groups, "query_groups", "gallery_groups")


def named(function):
    """Refuse by position what has to be named, and say which names there are."""
    parameters = inspect.signature(function).parameters.values()
    by_position = [parameter.name for parameter in parameters if parameter.kind == parameter.POSITIONAL_OR_KEYWORD]
    by_name = [parameter.name for parameter in parameters if parameter.kind == parameter.KEYWORD_ONLY]

    @functools.wraps(function)
    def checked(*args, **kwargs):
        if len(args) > len(by_position):
            extra = " ".join(repr(args[len(by_position)]).split())
            extra = extra if len(extra) <= 60 else extra[:57] + "..."
            ways = f" What is right is given by {_WAYS}." if "positions" in by_name else ""
            raise TypeError(
                f"{function.__name__}() takes only {' and '.join(f'`{name}`' for name in by_position)} by position. Got "
                f"{extra} as well. Say what it is, as one of {', '.join(f'`{name}=`' for name in by_name)}.{ways}"
            )
        return function(*args, **kwargs)

    return checked


def resolve_relevance(shape, *, relevance=None, positions=None, query_labels=None, gallery_labels=None):
    """What is right for each query, in whichever way it is given, as a sparse matrix of positive grades.

    Parameters
    ----------
    shape : tuple of int
        (n_queries, n_gallery).
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery), default=None
    positions : array-like of shape (n_queries,), default=None
    query_labels : array-like of shape (n_queries,), default=None
    gallery_labels : array-like of shape (n_gallery,), default=None

    Returns
    -------
    relevance : scipy.sparse.csr_array of shape (n_queries, n_gallery), dtype float64
        Each row has at least one entry.

    Raises
    ------
    ValueError
        If it is given in two ways, does not fit the shape, or a query has no right answer.
    """
    labels = {"query_labels": query_labels, "gallery_labels": gallery_labels}
    given = [name for name, value in (("relevance", relevance), ("positions", positions)) if value is not None]
    given += ["labels"] if any(column is not None for column in labels.values()) else []
    if len(given) > 1:
        raise ValueError(f"What is right was given twice, as {' and '.join(given)}. Give one of them.")
    if "labels" in given:
        relevance = _relevance_of_labels(labels, shape)
    elif positions is not None:
        relevance = _relevance_of_positions(positions, shape)
    elif relevance is None:
        relevance = _relevance_of_pairs(shape)
    return check_grades(relevance, shape)


def check_grades(relevance, shape):
    """Relevance as a sparse matrix of positive grades.

    Parameters
    ----------
    relevance : array-like or sparse matrix of shape (n_queries, n_gallery)
    shape : tuple of int

    Returns
    -------
    relevance : scipy.sparse.csr_array of shape (n_queries, n_gallery), dtype float64
        Each row has at least one entry.

    Raises
    ------
    ValueError
        If it does not fit the shape, a grade is NaN or infinite, or a query has no right answer.
    """
    if not sparse.issparse(relevance):
        relevance = np.asarray(relevance)
    if relevance.ndim != 2:
        raise ValueError(
            f"`relevance` must be a matrix of grades, shape (n_queries, n_gallery). Got shape {relevance.shape} instead. For "
            "one value a query use `positions`, for one value a query and an item `query_labels` and `gallery_labels`."
        )
    relevance = sparse.csr_array(relevance, dtype=np.float64, copy=True)
    if relevance.shape != shape:
        raise ValueError(
            f"relevance has shape {relevance.shape}. Expected (n_queries, n_gallery) = {shape}."
            f"{_transposed(relevance.shape == shape[::-1])}"
        )
    relevance.sum_duplicates()
    if not np.isfinite(relevance.data).all():
        raise ValueError("relevance holds NaN or infinity. Grades must be finite; 0 is irrelevant.")
    relevance.data[~(relevance.data > 0)] = 0
    relevance.eliminate_zeros()
    empty = np.flatnonzero(np.diff(relevance.indptr) == 0)
    if len(empty):
        raise ValueError(
            f"{len(empty)} queries have no relevant item in the gallery, the first is query {empty[0]}. "
            "Drop them: no rank is defined there."
        )
    return relevance


def _relevance_of_pairs(shape):
    n_queries, n_gallery = shape
    if n_queries != n_gallery:
        raise ValueError(
            f"Without a word on what is right, query i is paired with item i, but there are {n_queries} queries and "
            f"{n_gallery} items. Give {_WAYS}."
        )
    return sparse.eye_array(n_queries, format="csr")


def _relevance_of_labels(labels, shape):
    for name, other in (("query_labels", "gallery_labels"), ("gallery_labels", "query_labels")):
        if labels[name] is None:
            raise ValueError(
                f"`{other}` alone do not say what is right: give `{name}` as well. Where query i and item i are one pair, "
                "pass the same labels twice."
            )
    lengths = tuple(len(labels[name]) for name in ("query_labels", "gallery_labels"))
    if lengths != shape:
        raise ValueError(
            f"There must be one label a query and one an item, {shape[0]} and {shape[1]}. Got {lengths[0]} `query_labels` and "
            f"{lengths[1]} `gallery_labels`.{_transposed(lengths == shape[::-1])}"
        )
    return _matched(labels["query_labels"], labels["gallery_labels"], "query_labels", "gallery_labels")


def _relevance_of_positions(positions, shape):
    n_queries, n_gallery = shape
    positions = np.asarray(positions)
    if positions.shape != (n_queries,) or not np.issubdtype(positions.dtype, np.integer):
        swapped = positions.shape == (n_gallery,)
        raise ValueError(
            f"`positions` must hold one integer a query, the row of its right item in the gallery, that is {n_queries}. Got "
            f"shape {positions.shape} of dtype {positions.dtype} instead. For classes or identifiers use `query_labels` and "
            f"`gallery_labels`.{_transposed(swapped)}"
        )
    outside = np.flatnonzero((positions < 0) | (positions >= n_gallery))
    if len(outside):
        raise ValueError(
            f"positions[{outside[0]}] is {positions[outside[0]]}, outside the gallery of {n_gallery} items, which are counted "
            "from 0. Drop queries without a right item; for classes or identifiers use `query_labels` and `gallery_labels`."
        )
    return _one_hot(positions, n_gallery)


def _matched(query_labels, gallery_labels, query_name, gallery_name):
    for name, column in ((query_name, query_labels), (gallery_name, gallery_labels)):
        group_codes(column, name)
    codes = group_codes(np.array([*query_labels, *gallery_labels], dtype=object), f"{query_name} and {gallery_name}")
    one_hot = _one_hot(codes, int(codes.max(initial=-1)) + 1)
    n_queries = len(query_labels)
    return sparse.csr_array(one_hot[:n_queries] @ one_hot[n_queries:].T)


def _transposed(looks_so):
    return " The scores look transposed: rows are queries, columns are items." if looks_so else ""


def _one_hot(codes, width):
    rows = np.arange(len(codes))
    return sparse.csr_array((np.ones(len(codes)), (rows, codes)), shape=(len(codes), width))
