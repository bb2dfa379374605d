"""Pairs whose image and text do not seem to belong together, by models that have not seen them."""

from numbers import Integral, Real

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import KFold, check_cv

from mmfeat.retrieval._fusion_members import score_function
from mmfeat.retrieval._scores import checked_unit_rows, row_blocks
from mmfeat.utils._compat import HasMethods, Interval, _safe_indexing, validate_params
from mmfeat.utils._pairs import split_pairs


@validate_params(
    {
        "retriever": [HasMethods(["fit", "encode_image", "encode_text"])],
        "cv": [Interval(Integral, 2, None, closed="left"), HasMethods(["split", "get_n_splits"]), "array-like"],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "sibling_weight": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    },
    prefer_skip_nested_validation=False,
)
def find_mismatched_pairs(
    retriever, pairs, *, cv=5, n_neighbors=10, sibling_weight=1.0, random_state=None, n_jobs=None
):
    """Order the captions of a pairs table by how badly they fit their images, the most suspicious first.

    Each fold of images is judged by a retriever that was fitted on the others. The margin of a pair is its score less what
    the hardest others reach: the mean of the caption's best scores with other images of the fold, and that of the image's
    best scores with captions of other images. Where an image has several captions, they also judge each other.

    Parameters
    ----------
    retriever : Retriever, ScoreFusion or another estimator of pairs
        Cloned for each fold, not fitted itself. What is wrapped in :class:`sklearn.frozen.FrozenEstimator`, as a whole or
        as a member of a fusion, is not fitted anew: it judges pairs that it may have seen, and of those it knows by heart
        every mismatch looks right. Freeze only what was trained on other pairs.
    pairs : DataFrame of pandas or polars, or object ndarray of shape (n_images, 2)
        One row per image; its text is a str or a list of str.
    cv : int, cross-validation generator or iterable, default=5
        Folds over the rows; each row must be in one test fold. An int gives shuffled folds. Generators are not given
        `groups`: pass the list that ``GroupKFold().split(pairs, groups=groups)`` gives.
    n_neighbors : int, default=10
        How many of the hardest others count; in a small fold as many as every image has.
    sibling_weight : float, default=1.0
        What the agreement with the other captions of the row weighs beside the margin; 0 leaves the margin alone, for
        tables in which whole rows may be wrong: captions that belong to another image agree among themselves.
    random_state : int, RandomState instance or None, default=None
        Shuffles the folds of an int `cv`.
    n_jobs : int or None, default=None
        Processes for the folds.

    Returns
    -------
    found : pandas.DataFrame
        A row a caption: ``rank`` from 1, the position ``row`` in `pairs`, number ``caption`` in that row, ``text``, ``margin``,
        ``siblings`` (cosine with the nearest other caption of the row in the common space; NaN where there is none) and
        ``suspicion``. Nothing says where the mismatches end: look at the first ones.

    Raises
    ------
    ValueError
        If `pairs` is no pairs table, a fold has but one image, or a row is in no test fold or in several.

    See Also
    --------
    mmfeat.retrieval.find_duplicates : To be asked first; an image that is there twice is its own hardest other.

    Notes
    -----
    The suspicion is the sum of margin and weighted agreement, each less its median and divided by its spread (from the 16th to
    the 84th percentile) within the fold, with its sign changed. With n siblings the agreement weighs 1 - 1/n of
    `sibling_weight`: of two captions that disagree, nothing says which one is wrong.

    The margin is half the score of cross-domain similarity local scaling (Conneau et al., section 2.3) of the pair itself:
    what is held against it is the nearness of its hardest others, so that captions that fit everything, and images that
    everything fits, do not look good. Scores are taken in blocks.

    References
    ----------
    Conneau, A., Lample, G., Ranzato, M., Denoyer, L. and Jegou, H. (2018). Word translation without parallel data.
    ICLR.

    Examples
    --------
    >>> from mmfeat.datasets import make_scenes
    >>> from mmfeat.fusion import CCA
    >>> from mmfeat.image import ColorHistogram
    >>> from mmfeat.retrieval import Retriever, find_mismatched_pairs
    >>> from mmfeat.text import tfidf_lsa
    >>> pairs = make_scenes(60, image_size=32, random_state=0)
    >>> retriever = Retriever(ColorHistogram(), tfidf_lsa(16, random_state=0), CCA(8, reg=0.5))
    >>> found = find_mismatched_pairs(retriever, pairs, cv=3, random_state=0)
    >>> list(found.columns)
    ['rank', 'row', 'caption', 'text', 'margin', 'siblings', 'suspicion']
    """
    import pandas as pd

    parts = split_pairs(pairs, getattr(retriever, "image", "image"), getattr(retriever, "text", "text"))
    folds = _folds(cv, len(parts.images), random_state)
    judged = Parallel(n_jobs=n_jobs)(
        delayed(_judge)(retriever, pairs, parts, train, test, n_neighbors) for train, test in folds
    )
    margin, siblings, suspicion = (np.empty(len(parts.texts)) for _ in range(3))
    for rows, own_margin, agreement in judged:
        margin[rows], siblings[rows] = own_margin, agreement
        known, others = ~np.isnan(agreement), np.bincount(parts.groups)[parts.groups[rows]] - 1
        suspicion[rows] = -_standard(own_margin)
        # One sibling alone agrees as little with the right caption as with the wrong one.
        share = 1 - 1 / others[known]
        suspicion[rows[known]] -= sibling_weight * share * _standard(agreement[known])
    caption = np.arange(len(parts.groups)) - np.searchsorted(parts.groups, parts.groups)
    order = np.argsort(-suspicion, kind="stable")
    columns = {
        "row": parts.groups,
        "caption": caption,
        "text": np.array(parts.texts, dtype=object),
        "margin": margin,
        "siblings": siblings,
        "suspicion": suspicion,
    }
    ordered = {name: column[order] for name, column in columns.items()}
    return pd.DataFrame({"rank": np.arange(1, len(order) + 1), **ordered})


def _folds(cv, n_images, random_state):
    if isinstance(cv, Integral):
        if cv > n_images // 2:
            raise ValueError(f"`cv` of {cv} folds needs at least {2 * cv} images. Got {n_images}. Use fewer folds.")
        cv = KFold(cv, shuffle=True, random_state=random_state)
    folds = list(check_cv(cv).split(np.arange(n_images)))
    times = np.bincount(np.concatenate([test for _, test in folds]), minlength=n_images)
    wrong = np.flatnonzero(times != 1)
    if len(wrong):
        raise ValueError(
            f"Each row must be in one test fold of `cv`. Row {wrong[0]} is in {times[wrong[0]]}. Use KFold, or the "
            "list that GroupKFold().split gives with `groups`."
        )
    return folds


def _judge(retriever, pairs, parts, train, test, n_neighbors):
    """Captions of a fold, their margins and their agreement with their siblings, by a retriever fitted on the rest."""
    if len(test) < 2:
        raise ValueError(f"Every fold needs two images or more, to compare them. Got {len(test)}. Use fewer folds.")
    # One that is frozen takes no default of `y`.
    fitted = clone(retriever).fit(_safe_indexing(pairs, train), None)
    rows = np.flatnonzero(np.isin(parts.groups, test))
    images = np.sort(test)
    groups = np.searchsorted(images, parts.groups[rows])
    encoded_images = fitted.encode_image([parts.images[image] for image in images])
    encoded_texts = fitted.encode_text([parts.texts[row] for row in rows])
    of_texts = _above_hardest(
        score_function(fitted, encoded_images, "text"), encoded_texts, groups, np.arange(len(images)), n_neighbors
    )
    of_images = _above_hardest(
        score_function(fitted, encoded_texts, "image"), encoded_images, np.arange(len(images)), groups, n_neighbors
    )
    # Both hold an entry a pair, in the order of the captions.
    return rows, (of_texts + of_images) / 2, _agreement(checked_unit_rows(encoded_texts, "texts"), groups)


def _above_hardest(score, queries, query_groups, item_groups, n_neighbors):
    """Score of each pair of one group less the mean of the query's best scores with items of other groups."""
    n_queries, n_items = len(queries), len(item_groups)
    blocks = [slice(0, n_queries)] if getattr(score, "transductive", False) else row_blocks(n_queries, n_items)
    # One number for all, so that blocks are of no matter; two images, so that everything has an other.
    k = min(n_neighbors, n_items - int(np.bincount(item_groups)[query_groups].max()))
    margins = []
    for rows in blocks:
        scores = np.array(score(queries[rows]))
        own = query_groups[rows][:, None] == item_groups
        values = scores[own]
        scores[own] = -np.inf
        best = np.partition(scores, n_items - k, axis=1)[:, n_items - k :].mean(axis=1)
        margins.append(values - np.repeat(best, own.sum(axis=1)))
    return np.concatenate(margins).astype(np.float64)


def _agreement(texts, groups):
    """Cosine of each row with the nearest other row of its group; NaN for a row without others."""
    nearest = np.full(len(texts), np.nan)
    for rows in np.split(np.arange(len(groups)), np.flatnonzero(np.diff(groups)) + 1):
        if len(rows) > 1:
            cosines = texts[rows] @ texts[rows].T
            np.fill_diagonal(cosines, -np.inf)
            nearest[rows] = cosines.max(axis=1)
    return nearest


def _standard(values):
    if len(values) == 0:
        return values
    low, middle, high = np.percentile(values, [16, 50, 84])
    spread = (high - low) / 2
    return (values - middle) / (spread if spread > 1e-12 else 1)
