"""How sure a figure is: the interval that other pictures would have given."""

from dataclasses import dataclass

from mmfeat.metrics._clusters import bca_interval, check_resampling, clusters_of, generator
from mmfeat.metrics._rsum import rsum


@dataclass(frozen=True)
class BootstrapInterval:
    """A figure with its interval.

    Parameters
    ----------
    estimate : float
        The metric itself.
    low, high : float
        Bounds of the interval.
    confidence_level : float
        Share of such intervals that hold the value of the whole population.
    n_groups : int
        Images that were drawn from.

    Examples
    --------
    >>> from mmfeat.metrics import BootstrapInterval
    >>> print(BootstrapInterval(282.5, 271.0, 293.6, 0.95, 1000))
    282.5 [271, 293.6]
    """

    estimate: float
    low: float
    high: float
    confidence_level: float
    n_groups: int

    def __str__(self):
        return f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}]"


def bootstrap_interval(rankings, metric=rsum, *, confidence_level=0.95, n_resamples=2000, random_state=None):
    """Interval of a metric by drawing images with replacement, each with all of its captions.

    Captions of one image are found or missed together. Drawn one by one they would pretend to be more evidence than there is,
    and the interval would be too narrow; so the images are drawn, for both directions at once.

    Parameters
    ----------
    rankings : RelevantRanks or dict of str to RelevantRanks
        Of one direction, or of both as :func:`rank_pairs` gives them. Their `groups` say which image a query belongs to; without
        them each query is drawn on its own.
    metric : callable, default=rsum
        A metric that is a mean over queries, called as ``metric(rankings, average=False)``. Bind its arguments with
        :func:`functools.partial`.
    confidence_level : float, default=0.95
        In (0, 1).
    n_resamples : int, default=2000
    random_state : int, numpy.random.RandomState or None, default=None

    Returns
    -------
    interval : BootstrapInterval
        It tells how the figure would vary with other test images. It knows nothing of other seeds of training.

    Raises
    ------
    ValueError
        If the metric is no mean over queries, there are fewer than two images, or a parameter is out of range.

    References
    ----------
    Efron, B. (1987). Better bootstrap confidence intervals. JASA 82 (bias-corrected and accelerated). Field, C. and Welsh, A.
    (2007). Bootstrapping clustered data. JRSS B 69 (drawing whole clusters).

    Examples
    --------
    >>> from functools import partial
    >>> import numpy as np
    >>> from mmfeat.metrics import bootstrap_interval, rank_embeddings, recall_at_k
    >>> rng = np.random.default_rng(0)
    >>> images, captions_of = rng.normal(size=(50, 8)), np.repeat(np.arange(50), 5)
    >>> texts = images[captions_of] + rng.normal(size=(250, 8))
    >>> ranks = rank_embeddings(texts, images, positions=captions_of, groups=captions_of)
    >>> interval = bootstrap_interval(ranks, partial(recall_at_k, k=1), random_state=0)
    >>> interval.low < interval.estimate < interval.high
    True
    """
    check_resampling(confidence_level, n_resamples)
    clusters = clusters_of(rankings, metric)
    return interval_of_clusters(clusters, confidence_level, n_resamples, generator(random_state))


def interval_of_clusters(clusters, confidence_level, n_resamples, rng):
    """The interval from the values by image."""
    low, high = bca_interval(clusters.resampled(n_resamples, rng), clusters, confidence_level)
    return BootstrapInterval(clusters.estimate, float(low), float(high), confidence_level, len(clusters))
