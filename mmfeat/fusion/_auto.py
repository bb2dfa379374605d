"""Ridge, power and number of components of a CCA, chosen by retrieval on held-out images from one pass over the rows."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse

from mmfeat.fusion._moments import Moments
from mmfeat.fusion._solve import leading_svd
from mmfeat.utils._ranks import average_precisions, first_ranks_both_ways, relevant_ranks, tie_tolerance
from mmfeat.utils._rows import unit_rows

_N_FOLDS = 5
# Ridges are moved by this factor, from this one, between these.
_STEP = 3.0
_FIRST_RIDGE = 1.0
_BOUNDS = (0.003, 300.0)
_POWERS = (1.0, 0.5, 2.0)
_SHARES = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15)
_KS = (1, 5, 10)
# Images ranked per fold: more would cost as much as the fit itself and change the choice little.
_MOST_IMAGES = 1000
# Up to this width of a view a decomposition is cheap enough to be made for every fold.
_CHEAP_WIDTH = 400


@dataclass(frozen=True)
class Choice:
    """Settings of a CCA.

    Parameters
    ----------
    reg : tuple of (float, float)
    power : float
    n_components : int
    score : float
        On the held-out images: mean over both directions of the recalls at 1, 5 and 10, or with labels mean average precision.
    """

    reg: tuple
    power: float
    n_components: int
    score: float


@dataclass(frozen=True)
class Fold:
    """Statistics of the rows outside a fold, and a sample of the images inside with all their captions.

    Parameters
    ----------
    moments : Moments
    X : ndarray of shape (n_images, n_features)
    y : ndarray of shape (n_captions, n_targets)
        The first ``n_images`` are one caption of each image, in the order of `X`.
    owners : ndarray of shape (n_captions,), dtype int
        Row of `X` that each caption belongs to.
    relevance : csr_array of shape (n_captions, n_images), or None
        Captions and images that share a label, where there are labels.
    """

    moments: Moments
    X: np.ndarray
    y: np.ndarray
    owners: np.ndarray
    relevance: sparse.csr_array | None


def accumulate_folds(X, y, groups, sample_weight, labels=None, device="cpu"):
    """Statistics of all rows, and the folds to choose on, in one pass over the rows.

    Parameters
    ----------
    X, y : ndarray or csr_array
    groups : ndarray of shape (n_rows,), dtype int
        Image of each row, from 0; all rows of an image fall into one fold.
    sample_weight : ndarray or None
    labels : csr_array of shape (n_rows, n_labels) or None
    device : str, default="cpu"
        Where the products are taken.

    Returns
    -------
    total : Moments
    folds : list of Fold

    Raises
    ------
    ValueError
        If too little is left when a fold is held out.
    """
    if sample_weight is not None and not sample_weight.all():
        # A row that does not count is not ranked either.
        rows = np.flatnonzero(sample_weight)
        X, y, sample_weight = X[rows], y[rows], sample_weight[rows]
        groups = np.unique(groups[rows], return_inverse=True)[1]
        labels = None if labels is None else labels[rows]
    rng = np.random.default_rng(0)
    n_groups = groups.max() + 1
    fold_of_group = rng.permutation(n_groups) % min(_N_FOLDS, n_groups)
    parts, samples = [], []
    for fold in range(min(_N_FOLDS, n_groups)):
        rows = np.flatnonzero(fold_of_group[groups] == fold)
        weights = None if sample_weight is None else sample_weight[rows]
        parts.append(Moments.of(X[rows], y[rows], weights, device))
        samples.append(_sample(X, y, rows, groups, labels, rng))
    total = sum(parts[1:], parts[0])
    if total.n - max(part.n for part in parts) <= 1:
        raise ValueError(
            f"`reg`='auto' chooses on held-out images, and of {n_groups} too little is left without them. Give a number, or "
            "'oas'."
        )
    # Where a decomposition costs more than a look at the data, one fold has to do.
    n_used = len(parts) if max(X.shape[1], y.shape[1]) <= _CHEAP_WIDTH else 1
    return total, [Fold(total - part, *sample) for part, sample in zip(parts[:n_used], samples[:n_used], strict=True)]


def choose(folds, widths, widest):
    """Settings of the highest score on the folds.

    Parameters
    ----------
    folds : list of Fold
    widths : (int, int)
        Columns of both views outside of a basis of their rows, by which a ridge is scaled.
    widest : int
        Most components.

    Returns
    -------
    choice : Choice

    Notes
    -----
    A climb by coordinates: with the ridges of both views, then that of each view alone, ranking one caption an image; then
    the number of components and the power, ranking all captions. The covariances of a fold are diagonalised once; a
    ridge then costs one decomposition of what is between them.
    """
    folds = [_Diagonal(fold, widths) for fold in folds]
    n_components = sorted({max(1, round(share * widest)) for share in _SHARES}, reverse=True)
    solutions: dict = {}
    scores: dict = {}

    def score_of(reg):
        if reg not in scores:
            solutions[reg] = [fold.solve(reg, widest) for fold in folds]
            embedded = [
                fold.embed(*solution, every=False) for fold, solution in zip(folds, solutions[reg], strict=True)
            ]
            scores[reg] = max(_mean_score(embedded, 1.0, n) for n in n_components[::2])
        return scores[reg]

    best = (_FIRST_RIDGE, _FIRST_RIDGE)
    for moved in ((1, 1), (1, 0), (0, 1)):
        best = _climbed(best, np.power(_STEP, moved), score_of)
    embedded = [fold.embed(*solution, every=True) for fold, solution in zip(folds, solutions[best], strict=True)]
    width = max(n_components, key=lambda n: _mean_score(embedded, 1.0, n))
    by_power = {power: _mean_score(embedded, power, width) for power in _POWERS}
    power = max(by_power, key=lambda power: by_power[power])
    return Choice(best, power, width, float(by_power[power]))


def _climbed(start, factors, score_of):
    """Multiply ridges by the factors, or divide, as long as the score grows."""
    best = start
    for step in (1 / factors, factors):
        while _BOUNDS[0] <= min(moved := tuple(float(ridge) for ridge in best * step)) and max(moved) <= _BOUNDS[1]:
            if score_of(moved) <= score_of(best):
                break
            best = moved
        if best != start:
            break
    return best


class _Diagonal:
    """A fold in the principal axes of both views, where any ridge is a sum."""

    def __init__(self, fold, widths):
        moments, degrees = fold.moments, fold.moments.n - 1
        self._variances, rows, axes = [], [], []
        for products, held_out, mean in (
            (moments.xx, fold.X, moments.mean_x),
            (moments.yy, fold.y, moments.mean_y),
        ):
            values, vectors = linalg.eigh(products, driver="evd", check_finite=False)
            self._variances.append(np.maximum(values, 0) / degrees)
            axes.append(vectors)
            rows.append((held_out - mean) @ vectors)
        self._rows, self._owners, self._relevance = rows, fold.owners, fold.relevance
        self._cross = axes[0].T @ (moments.xy / degrees) @ axes[1]
        self._units = [np.sum(values) / width for values, width in zip(self._variances, widths, strict=True)]

    def solve(self, reg, n_components):
        """Strengths and rotations of both views in their axes, under two ridges."""
        scales = [
            1 / np.sqrt(np.maximum(values + share * unit, np.finfo(np.float64).tiny))
            for values, share, unit in zip(self._variances, reg, self._units, strict=True)
        ]
        # Digits enough to choose by, in half of the time.
        between = (scales[0][:, None] * self._cross * scales[1]).astype(np.float32)
        left, strengths, right = leading_svd(between, n_components)
        return strengths, scales[0][:, None] * left, scales[1][:, None] * right

    def embed(self, strengths, left, right, *, every):
        """The held-out images and captions, all or one an image, in the common space."""
        images, captions = self._rows
        n = len(captions) if every else len(images)
        relevance = None if self._relevance is None else self._relevance[:n]
        embedded = ((images @ left).astype(np.float32), (captions[:n] @ right).astype(np.float32))
        return _Embedded(strengths.astype(np.float32), *embedded, self._owners[:n], relevance)


@dataclass(frozen=True)
class _Embedded:
    """Held-out images and captions in the common space, components not yet weighted."""

    strengths: np.ndarray
    images: np.ndarray
    captions: np.ndarray
    owners: np.ndarray
    relevance: sparse.csr_array | None

    def score(self, power, n_components):
        """Mean over both directions of the recalls at 1, 5 and 10, or of the average precision where there are labels."""
        weights = (self.strengths**power)[:n_components]
        images, captions = (unit_rows(view[:, :n_components] * weights) for view in (self.images, self.captions))
        scores = captions @ images.T
        tolerance = tie_tolerance(scores.dtype)
        if self.relevance is not None:
            ways = (scores, self.relevance), (scores.T, self.relevance.T.tocsr())
            return np.mean([_mean_average_precision(*way, tolerance) for way in ways])
        ranks = first_ranks_both_ways(scores.T, scores, self.owners, tolerance)
        return np.mean([np.mean(rank <= k) for rank in ranks for k in _KS])


def _sample(X, y, rows, groups, labels, rng):
    """Some images of a fold, all their captions, the image of each caption, and which share a label."""
    images, first = np.unique(groups[rows], return_index=True)
    chosen = rng.permutation(len(images))[:_MOST_IMAGES]
    one_each = rows[first[chosen]]
    position = np.full(groups.max() + 1, -1)
    position[images[chosen]] = np.arange(len(chosen))
    others = rows[position[groups[rows]] >= 0]
    captions = np.r_[one_each, np.setdiff1d(others, one_each)]
    relevance = None if labels is None else sparse.csr_array(labels[captions] @ labels[one_each].T)
    return _dense(X[one_each]), _dense(y[captions]), position[groups[captions]], relevance


def _mean_score(embedded, power, n_components):
    return np.mean([fold.score(power, n_components) for fold in embedded])


def _mean_average_precision(scores, relevance, tolerance):
    """Mean over the rows that have something right; 0 where none has."""
    rows = np.flatnonzero(np.diff(relevance.indptr))
    if not len(rows):
        return 0.0
    relevance = relevance[rows]
    ranks, _ = relevant_ranks(scores[rows], relevance, tolerance)
    return average_precisions(ranks, relevance.indptr).mean()


def _dense(rows):
    return rows.toarray() if sparse.issparse(rows) else rows
