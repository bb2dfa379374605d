"""Is one system better than another on the same queries, or is it chance?"""

from dataclasses import dataclass

import numpy as np

from mmfeat.metrics._clusters import Clusters, bca_interval, check_resampling, clusters_of, generator
from mmfeat.metrics._ranks import RelevantRanks
from mmfeat.metrics._rsum import rsum

# Signs drawn at a time.
_BLOCK_SIGNS = 1 << 24


@dataclass(frozen=True)
class PairedTest:
    """What a paired test found.

    Parameters
    ----------
    difference : float
        Metric of the first system less that of the second.
    low, high : float
        Bounds of the bootstrap interval of the difference.
    p_value : float
        Chance of a difference at least as large, either way, if the systems were equally good. In (0, 1].
    confidence_level : float
        Of the interval.
    n_groups : int
        Images compared.

    Examples
    --------
    >>> from mmfeat.metrics import PairedTest
    >>> print(PairedTest(11.2, 3.9, 18.7, 0.0031, 0.95, 1000))
    11.2 [3.9, 18.7], p = 0.0031
    """

    difference: float
    low: float
    high: float
    p_value: float
    confidence_level: float
    n_groups: int

    def __str__(self):
        return f"{self.difference:.4g} [{self.low:.4g}, {self.high:.4g}], p = {self.p_value:.2g}"


def paired_test(
    first,
    second,
    metric=rsum,
    *,
    method="permutation",
    confidence_level=0.95,
    n_resamples=10000,
    random_state=None,
):
    """Compare two systems on the same queries, image by image.

    Parameters
    ----------
    first, second : RelevantRanks or dict of str to RelevantRanks
        Rankings of the same queries over the same gallery, in the same order.
    metric : callable, default=rsum
        As in :func:`bootstrap_interval`.
    method : {"permutation", "bootstrap"}, default="permutation"
        "permutation" exchanges the two systems' answers to all queries of an image, at random, as would be allowed if the
        systems were equally good. "bootstrap" draws images with replacement and centres the differences at zero.
    confidence_level : float, default=0.95
        Of the interval of the difference, which is drawn by bootstrap for either method.
    n_resamples : int, default=10000
        The smallest p-value is one over one more than this.
    random_state : int, numpy.random.RandomState or None, default=None

    Returns
    -------
    result : PairedTest
        Of several comparisons some come out small by chance: correct for their number.

    Raises
    ------
    ValueError
        If the two did not answer the same queries, the metric is no mean over queries, or a parameter is out of range.

    References
    ----------
    Smucker, M., Allan, J. and Carterette, B. (2007). A comparison of statistical significance tests for information retrieval
    evaluation. CIKM. Phipson, B. and Smyth, G. (2010). Permutation p-values should never be zero. SAGMB 9(1).

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.metrics import mean_reciprocal_rank, paired_test, rank_relevant
    >>> rng = np.random.default_rng(0)
    >>> scores = rng.normal(size=(200, 200))
    >>> better, worse = rank_relevant(scores + 2 * np.eye(200)), rank_relevant(scores + np.eye(200))
    >>> paired_test(better, worse, mean_reciprocal_rank, random_state=0).p_value < 0.01
    True
    """
    check_resampling(confidence_level, n_resamples)
    if method not in ("permutation", "bootstrap"):
        raise ValueError(f"`method` must be 'permutation' or 'bootstrap'. Got {method!r} instead.")
    _check_same_queries(first, second)
    one, two = clusters_of(first, metric), clusters_of(second, metric)
    rng = generator(random_state)
    gap = Clusters(one.sums - two.sums, one.counts)
    drawn = gap.resampled(n_resamples, rng)
    low, high = bca_interval(drawn, gap, confidence_level)
    # Of sums in another order; a difference that is equal on paper must not count as smaller.
    reached = abs(gap.estimate) * (1 - 1e-9) - 1e-12
    under_null = drawn - gap.estimate if method == "bootstrap" else _exchanged(gap, n_resamples, rng)
    p_value = (1 + np.count_nonzero(np.abs(under_null) >= reached)) / (1 + n_resamples)
    return PairedTest(gap.estimate, float(low), float(high), float(p_value), confidence_level, len(gap))


def _exchanged(gap, n_resamples, rng):
    """The difference after the systems were exchanged on a random half of the images."""
    shares = (gap.sums / gap.counts.sum(axis=0)).sum(axis=1)
    shares = shares[shares != 0]
    step = max(1, _BLOCK_SIGNS // max(1, len(shares)))
    found = []
    for start in range(0, n_resamples, step):
        size = min(step, n_resamples - start), len(shares)
        found.append((2.0 * rng.integers(2, size=size, dtype=np.int8) - 1) @ shares)
    return np.concatenate(found)


def _check_same_queries(first, second):
    parts = [{"": part} if isinstance(part, RelevantRanks) else part for part in (first, second)]
    if not all(isinstance(part, dict) for part in parts) or parts[0].keys() != parts[1].keys():
        raise ValueError("Both systems must be ranked in the same directions. Rank both with the same function.")
    for name, one in parts[0].items():
        two = parts[1][name]
        where = f" of {name}" if name else ""
        if one.n_gallery != two.n_gallery:
            raise ValueError(
                f"The galleries{where} hold {one.n_gallery} and {two.n_gallery} items. Compare over one gallery."
            )
        if not np.array_equal(one.indptr, two.indptr) or not np.array_equal(_groups(one), _groups(two)):
            raise ValueError(
                f"The two systems did not answer the same queries{where} ({one.n_queries} and {two.n_queries}, or other images). "
                "Rank both over one table of pairs, in one order."
            )


def _groups(ranks):
    return np.arange(ranks.n_queries) if ranks.groups is None else np.asarray(ranks.groups)
