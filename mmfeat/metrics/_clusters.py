"""Values of queries as sums over the images that the queries belong to, which is what resampling draws."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri
from sklearn.utils import check_random_state

from mmfeat.metrics._ranks import RelevantRanks
from mmfeat.utils._groups import group_codes

# Values gathered at a time while resampling.
_BLOCK_VALUES = 1 << 22


@dataclass(frozen=True)
class Clusters:
    """Sums and numbers of the values of each image; one column for each direction.

    Parameters
    ----------
    sums, counts : ndarray of shape (n_groups, n_parts), dtype float64
    """

    sums: np.ndarray
    counts: np.ndarray

    def __len__(self):
        return len(self.sums)

    @property
    def estimate(self):
        """The metric: the mean of each part, added up."""
        return float((self.sums.sum(axis=0) / self.counts.sum(axis=0)).sum())

    def without_each(self):
        """The metric without one image, for each image; ndarray of shape (n_groups,)."""
        rest = self.sums.sum(axis=0) - self.sums, self.counts.sum(axis=0) - self.counts
        return (rest[0] / rest[1]).sum(axis=1)

    def resampled(self, n_resamples, rng):
        """The metric of as many images drawn with replacement, ndarray of shape (n_resamples,)."""
        size, step = len(self), max(1, _BLOCK_VALUES // len(self))
        found = []
        for start in range(0, n_resamples, step):
            drawn = rng.integers(size, size=(min(step, n_resamples - start), size))
            found.append(
                sum(
                    sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
                    for sums, counts in zip(self.sums.T, self.counts.T, strict=True)
                )
            )
        return np.concatenate(found)


def clusters_of(rankings, metric):
    """Values of a metric over rankings, by image.

    Parameters
    ----------
    rankings : RelevantRanks or dict of str to RelevantRanks
    metric : callable
        Called as ``metric(rankings, average=False)``.

    Returns
    -------
    clusters : Clusters

    Raises
    ------
    ValueError
        If the metric gives no value for each query, or there are fewer than two images.
    """
    try:
        values = metric(rankings, average=False)
    except TypeError as error:
        if "average" not in str(error):
            raise
        raise ValueError(
            f"`metric` must give the value of each query for `average=False`; {_name(metric)} does not. Use one that is a mean "
            "over queries, such as `mean_rank`, `recall_at_k` or `rsum`; bind other arguments with `functools.partial`."
        ) from error
    parts = values if isinstance(values, dict) else {"": values}
    ranks = {"": rankings} if isinstance(rankings, RelevantRanks) else rankings
    columns = [_column(np.asarray(parts[name], dtype=np.float64), ranks[name], name) for name in parts]
    names = [set(names) for names, *_ in columns]
    if any(other != names[0] for other in names):
        raise ValueError("The groups of both directions must be the same images. Rank both over one table of pairs.")
    if len(names[0]) < 2:
        raise ValueError(f"Resampling needs at least 2 images. Got {len(names[0])}.")
    # Sorted by name in every column, so that rows are images.
    return Clusters(np.column_stack([sums for _, sums, _ in columns]), np.column_stack([n for *_, n in columns]))


def bca_interval(drawn, clusters, confidence_level):
    """Bounds by bias-corrected and accelerated percentiles; Efron (1987), equations 2.3 and 6.6."""
    estimate = clusters.estimate
    tails = np.array([(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    # Ties, the rule for recalls of few images, count half.
    tied = np.abs(drawn - estimate) <= 1e-9 * max(1, abs(estimate))
    below = np.mean(~tied & (drawn < estimate)) + np.mean(tied) / 2
    if not 0 < below < 1:
        return tuple(np.quantile(drawn, tails))
    left = clusters.without_each()
    deviations = left.mean() - left
    spread = (deviations**2).sum() ** 1.5
    acceleration = (deviations**3).sum() / (6 * spread) if spread > 0 else 0.0
    shifted = ndtri(below) + ndtri(tails)
    return tuple(np.quantile(drawn, ndtr(ndtri(below) + shifted / (1 - acceleration * shifted))))


def generator(random_state):
    """A generator of numpy, several times faster than the RandomState that scikit-learn's convention knows."""
    return np.random.default_rng(check_random_state(random_state).randint(2**31))


def check_resampling(confidence_level, n_resamples):
    """Refuse what cannot be resampled."""
    if not 0 < confidence_level < 1:
        raise ValueError(
            f"`confidence_level` must be between 0 and 1, for example 0.95. Got {confidence_level!r} instead."
        )
    if not isinstance(n_resamples, (int, np.integer)) or n_resamples < 1:
        raise ValueError(f"`n_resamples` must be an integer of at least 1. Got {n_resamples!r} instead.")


def _column(values, ranks, name):
    if values.shape != (ranks.n_queries,):
        raise ValueError(
            f"`metric` must give one value a query, {ranks.n_queries}{f' for {name}' if name else ''}. Got shape "
            f"{values.shape} instead."
        )
    groups = np.arange(len(values)) if ranks.groups is None else ranks.groups
    codes = group_codes(groups, "groups")
    first = np.unique(codes, return_index=True)[1]
    names = np.asarray(groups)[first].tolist()
    return names, np.bincount(codes, values), np.bincount(codes).astype(np.float64)


def _name(metric):
    return getattr(metric, "__name__", None) or repr(metric)
