"""Ridge, power and number of components of a CCA, chosen by retrieval on held-out images from one pass over the rows."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mmfeat.fusion._moments import Moments
from mmfeat.utils._rows import unit_rows

_N_FOLDS = 5
# Ridges tried for both views at once, then how far the ridge of one view is moved from the best of them.
_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_STEPS = (1 / 3, 3.0)
_POWERS = (0.5, 0.75, 1.0, 1.5, 2.0)
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
    recall : float
        Mean of the recalls at 1, 5 and 10 over both directions on the held-out images.
    """

    reg: tuple
    power: float
    n_components: int
    recall: float


@dataclass(frozen=True)
class _Fold:
    """Statistics of the rows outside a fold, and a sample of the rows inside, one caption an image."""

    moments: Moments
    X: np.ndarray
    y: np.ndarray


def accumulate_folds(X, y, groups, sample_weight):
    """Statistics of all rows, and the folds to choose on, in one pass over the rows.

    Parameters
    ----------
    X, y : ndarray or csr_array
    groups : ndarray of shape (n_rows,), dtype int
        Image of each row, from 0; all rows of an image fall into one fold.
    sample_weight : ndarray or None

    Returns
    -------
    total : Moments
    folds : list of _Fold
    """
    rng = np.random.default_rng(0)
    n_groups = groups.max() + 1
    fold_of_group = rng.permutation(n_groups) % min(_N_FOLDS, n_groups)
    parts, samples = [], []
    for fold in range(min(_N_FOLDS, n_groups)):
        rows = np.flatnonzero(fold_of_group[groups] == fold)
        weights = None if sample_weight is None else sample_weight[rows]
        parts.append(Moments.of(X[rows], y[rows], weights))
        _, first = np.unique(groups[rows], return_index=True)
        chosen = rows[rng.permutation(first)[:_MOST_IMAGES]]
        samples.append((_dense(X[chosen]), _dense(y[chosen])))
    total = sum(parts[1:], parts[0])
    # Where a decomposition costs more than a look at the data, one fold has to do.
    n_used = len(parts) if max(X.shape[1], y.shape[1]) <= _CHEAP_WIDTH else 1
    return total, [_Fold(total - part, *sample) for part, sample in zip(parts[:n_used], samples[:n_used], strict=True)]


def choose(folds, solve, widest):
    """Settings of the highest recall on the folds.

    Parameters
    ----------
    folds : list of _Fold
    solve : callable
        ``solve(moments, reg, n_components)`` returns strengths and rotations of both views.
    widest : int
        Most components.

    Returns
    -------
    choice : Choice

    Notes
    -----
    A search by coordinates: one ridge for both views, then the ridge of each view alone, then the power and the number of
    components, for which one decomposition serves all values.
    """
    tried: dict = {}

    def recall_of(reg):
        if reg not in tried:
            scored = [_score(fold, solve(fold.moments, reg, widest)) for fold in folds]
            tried[reg] = {setting: np.mean([row[setting] for row in scored]) for setting in scored[0]}
        return max(tried[reg].values())

    best = max(((reg, reg) for reg in _RIDGES), key=recall_of)
    best = max([best] + [(best[0] * step, best[1]) for step in _STEPS], key=recall_of)
    best = max([best] + [(best[0], best[1] * step) for step in _STEPS], key=recall_of)
    (power, n_components), recall = max(tried[best].items(), key=lambda item: item[1])
    return Choice(best, power, n_components, float(recall))


def _score(fold, solution):
    """Recall of each power and number of components, from one decomposition."""
    strengths, x_rotations, y_rotations = solution
    embedded_x = (fold.X - fold.moments.mean_x) @ x_rotations
    embedded_y = (fold.y - fold.moments.mean_y) @ y_rotations
    widths = sorted({max(1, round(share * len(strengths))) for share in _SHARES}, reverse=True)
    scores = {}
    for power in _POWERS:
        weights = strengths**power
        for width in widths if power == 1.0 else widths[:: max(1, len(widths) // 3)]:
            left, right = (
                unit_rows((view * weights)[:, :width].astype(np.float32)) for view in (embedded_x, embedded_y)
            )
            scores[power, width] = _recall(left @ right.T)
    return scores


def _recall(scores):
    """Mean of the recalls at 1, 5 and 10 over both directions; the right item of row ``i`` is column ``i``."""
    right = scores.diagonal()
    ranks = [(scores >= right[:, None]).sum(axis=1), (scores >= right[None, :]).sum(axis=0)]
    return np.mean([rank <= k for rank in ranks for k in _KS])


def _dense(rows):
    return rows.toarray() if sparse.issparse(rows) else rows
