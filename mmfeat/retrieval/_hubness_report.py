"""How strong the hubs of a gallery are: how often each item is among the nearest of the queries."""

import numpy as np
from sklearn.utils import check_array

from mmfeat.retrieval._scores import checked_unit_rows, cosine_scores, row_blocks


def k_occurrence(queries, gallery=None, *, k=10):
    """Count for each item of the gallery the queries that have it among their `k` nearest.

    Parameters
    ----------
    queries : array-like of shape (n_queries, n_components) or (n_queries, n_gallery)
        Embeddings, or without a `gallery` the scores themselves, higher is nearer.
    gallery : array-like of shape (n_gallery, n_components), callable or None, default=None
        Embeddings, compared by cosine; or a function from a block of queries to full rows of scores, as
        ``Retriever.scores_against`` gives it, so that corrected scores can be looked at. Taken in blocks, but a function
        of a transductive correction in one.
    k : int, default=10
        At most the size of the gallery.

    Returns
    -------
    counts : ndarray of shape (n_gallery,), dtype float64
        Their sum is `k` times the number of queries. Items that tie for the last places share them in equal parts.

    Raises
    ------
    ValueError
        If a value is NaN or infinite, widths differ, or `k` is larger than the gallery.

    Examples
    --------
    >>> from mmfeat.retrieval import k_occurrence
    >>> k_occurrence([[0.9, 0.1, 0.3], [0.8, 0.2, 0.7], [0.1, 0.3, 0.3]], k=1)
    array([2. , 0.5, 0.5])
    """
    counts = 0.0
    for scores in _rows_of_scores(queries, gallery):
        if not isinstance(k, (int, np.integer)) or not 1 <= k <= scores.shape[1]:
            raise ValueError(
                f"`k` must be an integer between 1 and the size of the gallery, {scores.shape[1]}. Got {k!r} instead."
            )
        last = np.partition(scores, -k, axis=1)[:, -k, None]
        above, tied = scores > last, scores == last
        left = k - np.count_nonzero(above, axis=1)
        share = left / np.count_nonzero(tied, axis=1)
        counts = counts + above.sum(axis=0) + share @ tied
    return counts


def hubness_report(queries, gallery=None, *, k=10):
    """Describe the hubs of a gallery by the skewness of its k-occurrences.

    Parameters
    ----------
    queries : array-like of shape (n_queries, n_components) or (n_queries, n_gallery)
        As in :func:`k_occurrence`.
    gallery : array-like of shape (n_gallery, n_components), callable or None, default=None
        As in :func:`k_occurrence`.
    k : int, default=10
        At most the size of the gallery.

    Returns
    -------
    report : dict
        ``"k"``, ``"n_queries"``, ``"n_gallery"``; ``"skewness"`` of the k-occurrences, the third standardised moment, 0
        where all are equal and above 1 where there are hubs; ``"never_found"``, the share of items that no query has
        among its `k` nearest; ``"mean"`` and ``"largest"``, the mean and the largest k-occurrence.

    Raises
    ------
    ValueError
        If a value is NaN or infinite, widths differ, or `k` is larger than the gallery.

    References
    ----------
    Radovanovic, M., Nanopoulos, A. and Ivanovic, M. (2010). Hubs in space: popular nearest neighbors in
    high-dimensional data. Journal of Machine Learning Research 11, equation 1.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.retrieval import hubness_report
    >>> rng = np.random.default_rng(0)
    >>> queries, gallery = rng.normal(size=(200, 40)) + 1, rng.normal(size=(100, 40))
    >>> report = hubness_report(queries, gallery)
    >>> report["mean"], report["skewness"] > 1
    (20.0, True)
    """
    counts = k_occurrence(queries, gallery, k=k)
    deviation = counts.std()
    skewness = np.mean((counts - counts.mean()) ** 3) / deviation**3 if deviation > 1e-12 * counts.mean() else 0.0
    return {
        "k": int(k),
        "n_queries": len(queries),
        "n_gallery": len(counts),
        "skewness": float(skewness),
        "never_found": float(np.mean(counts == 0)),
        "mean": float(counts.mean()),
        "largest": float(counts.max()),
    }


def _rows_of_scores(queries, gallery):
    if callable(gallery):
        queries = np.asarray(queries)
        if getattr(gallery, "transductive", False):
            yield _checked(gallery(queries))
            return
        # One query says how large the gallery is.
        scores = _checked(gallery(queries[:1]))
        for rows in row_blocks(len(queries), scores.shape[1]):
            yield _checked(gallery(queries[rows]))
        return
    if gallery is None:
        scores = check_array(queries, dtype=[np.float64, np.float32], input_name="queries")
        for rows in row_blocks(*scores.shape):
            yield scores[rows]
        return
    queries, gallery = checked_unit_rows(queries, "queries"), checked_unit_rows(gallery, "gallery")
    for rows in row_blocks(len(queries), len(gallery)):
        yield cosine_scores(queries[rows], gallery)


def _checked(scores):
    return check_array(scores, dtype=[np.float64, np.float32], input_name="scores")
