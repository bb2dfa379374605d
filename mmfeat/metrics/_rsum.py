"""The sum of recalls that image-text papers compare systems by."""

import numpy as np

from mmfeat.metrics._metrics import recall_at_k
from mmfeat.metrics._ranks import RelevantRanks
from mmfeat.metrics._relevance import named


@named
def rsum(rankings, *, ks=(1, 5, 10), average=True):
    """Sum of the recalls at 1, 5 and 10 over both directions, in percent.

    Parameters
    ----------
    rankings : dict of str to RelevantRanks, or RelevantRanks
        Both directions, as :func:`rank_pairs` gives them, or one.
    ks : tuple of int, default=(1, 5, 10)
        Each at most the size of the smaller gallery.
    average : bool, default=True
        False gives the sum of recalls of each query, for each direction; their means add up to the metric.

    Returns
    -------
    rsum : float, or dict of str to ndarray
        In [0, 600] for two directions and three values of k.

    Raises
    ------
    ValueError
        If a k is larger than a gallery, or `rankings` are no ranks.

    References
    ----------
    Klein, B., Lev, G., Sadeh, G. and Wolf, L. (2015). Associating neural word embeddings with deep image representations
    using Fisher vectors. CVPR. The sum is the custom of the papers that followed, for example Lee (2018), section 4.

    Examples
    --------
    >>> from mmfeat.metrics import rank_relevant, rsum
    >>> scores = [[0.9, 0.1, 0.5], [0.2, 0.1, 0.4], [0.3, 0.1, 0.2]]
    >>> rankings = {"i2t": rank_relevant(scores), "t2i": rank_relevant(list(zip(*scores)))}
    >>> round(rsum(rankings, ks=(1, 2)), 1)
    166.7
    """
    parts = {"": rankings} if isinstance(rankings, RelevantRanks) else rankings
    if (
        not isinstance(parts, dict)
        or not parts
        or not all(isinstance(ranks, RelevantRanks) for ranks in parts.values())
    ):
        raise ValueError(
            f"`rankings` must be ranks, or a dict of them as `rank_pairs` gives it. Got {type(rankings).__name__} instead. "
            "Rank first, with `rank_relevant` or `rank_embeddings`; as `scoring`, pass make_retrieval_scorer('rsum')."
        )
    values = {
        direction: 100 * np.sum([recall_at_k(ranks, k=k, average=False) for k in ks], axis=0)
        for direction, ranks in parts.items()
    }
    if average:
        return float(sum(value.mean() for value in values.values()))
    return values[""] if isinstance(rankings, RelevantRanks) else values
