"""Which items are right answers to which queries, as a sparse matrix."""

import numpy as np
from scipy import sparse

from mmfeat.utils._groups import group_codes


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
    columns = {"query_groups": query_groups, "gallery_groups": gallery_groups}
    for name, column in columns.items():
        group_codes(column, name)
    codes = group_codes(np.array([*query_groups, *gallery_groups], dtype=object), "query_groups and gallery_groups")
    one_hot = _one_hot(codes, int(codes.max(initial=-1)) + 1)
    n_queries = len(query_groups)
    return sparse.csr_array(one_hot[:n_queries] @ one_hot[n_queries:].T)


def _one_hot(codes, width):
    rows = np.arange(len(codes))
    return sparse.csr_array((np.ones(len(codes)), (rows, codes)), shape=(len(codes), width))


def check_relevance(relevance, shape):
    """Relevance in any of its forms as a sparse matrix of positive grades.

    Parameters
    ----------
    relevance : None, array-like or sparse matrix
    shape : tuple of int
        (n_queries, n_gallery).

    Returns
    -------
    relevance : scipy.sparse.csr_array of shape (n_queries, n_gallery), dtype float64
        Each row has at least one entry.

    Raises
    ------
    ValueError
        If it does not fit the shape, or a query has no right answer.
    """
    n_queries, n_gallery = shape
    if relevance is None:
        if n_queries != n_gallery:
            raise ValueError(
                f"relevance=None pairs query i with item i, but there are {n_queries} queries and {n_gallery} items. "
                "Pass the relevance, for example `match_groups(query_groups, gallery_groups)`."
            )
        relevance = np.arange(n_queries)
    if not sparse.issparse(relevance):
        relevance = np.asarray(relevance)
    if relevance.ndim == 1:
        relevance = _relevance_of_indices(relevance, shape)
    relevance = sparse.csr_array(relevance, dtype=np.float64, copy=True)
    if relevance.shape != shape:
        raise ValueError(f"relevance has shape {relevance.shape}. Expected (n_queries, n_gallery) = {shape}.")
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


def _relevance_of_indices(indices, shape):
    n_queries, n_gallery = shape
    if len(indices) != n_queries or not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(
            f"1-D relevance must hold one integer index a query, that is {n_queries}. "
            f"Got {len(indices)} values of dtype {indices.dtype} instead."
        )
    outside = np.flatnonzero((indices < 0) | (indices >= n_gallery))
    if len(outside):
        raise ValueError(f"relevance[{outside[0]}] is {indices[outside[0]]}, outside the gallery of {n_gallery} items.")
    return _one_hot(indices, n_gallery)
