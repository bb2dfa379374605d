"""Rules that make one decision of two: of probabilities of shape (rows, labels, classes), NaN where a side is missing.

Of a single label there is one along the second axis; of several, each has the two classes absent and present.
"""

import numpy as np
from scipy.optimize import minimize_scalar

_LEAST = np.finfo(np.float64).eps
_WEIGHTS = tuple(float(weight) for weight in np.linspace(0, 1, 21).round(2))
_CAUTION = (1.0, 0.98, 0.95, 0.9, 0.8, 0.6, 0.4)
_POWERS = (0.01, 20)


def combine(rule, image, text, *, prior, weights, fall_back):
    """Fuse the probabilities of two classifiers.

    Parameters
    ----------
    rule : {"mean", "weighted", "product", "max"}
    image, text : ndarray of shape (n, n_labels, n_classes)
    prior : ndarray of shape (n_labels, n_classes)
        Shares of the classes; they stand in for a missing side.
    weights : (float, float)
        Of the rules "mean" and "weighted"; they sum to 1.
    fall_back : bool
        Take what is there as it is where one side is missing.

    Returns
    -------
    fused : ndarray of shape (n, n_labels, n_classes)
        Rows sum to 1.
    """
    one, other = (np.where(np.isnan(side), prior, side) for side in (image, text))
    if rule == "product":
        logs = np.log(np.maximum(one, _LEAST)) + np.log(np.maximum(other, _LEAST)) - np.log(np.maximum(prior, _LEAST))
        fused = np.exp(logs - logs.max(axis=2, keepdims=True))
    elif rule == "max":
        fused = np.maximum(one, other)
    else:
        fused = weights[0] * one + weights[1] * other
    fused = fused / fused.sum(axis=2, keepdims=True)
    return leave_to_other(fused, image, text, prior) if fall_back else fused


def leave_to_other(fused, image, text, prior):
    """Put the rows of the one side where the other is missing, and the prior where both are."""
    fused = np.where(np.isnan(image), text, fused)
    fused = np.where(np.isnan(text), image, fused)
    return np.where(np.isnan(fused), prior, fused)


def votes_of(probabilities):
    """Give each row's largest probability one vote, NaN to missing rows."""
    winners = probabilities.argmax(axis=2)[..., None] == np.arange(probabilities.shape[2])
    return np.where(np.isnan(probabilities), np.nan, winners)


def class_shares(codes, n_classes, sample_weight=None):
    """Share of each class in each label.

    Parameters
    ----------
    codes : ndarray of shape (n, n_labels), dtype int
    n_classes : int
    sample_weight : ndarray of shape (n,) or None

    Returns
    -------
    shares : ndarray of shape (n_labels, n_classes)
    """
    return np.stack(
        [
            np.bincount(label, sample_weight, minlength=n_classes) / np.sum(_ones(sample_weight, label))
            for label in codes.T
        ]
    )


def sharpened(probabilities, power):
    """Raise probabilities to a power and bring each label back to a sum of 1.

    Parameters
    ----------
    probabilities : ndarray of shape (n, n_labels, n_classes)
    power : float
        Above 1 for more confidence, below 1 for less.

    Returns
    -------
    probabilities : ndarray of the same shape
    """
    logs = power * np.log(np.maximum(probabilities, _LEAST))
    result = np.exp(logs - logs.max(axis=2, keepdims=True))
    return result / result.sum(axis=2, keepdims=True)


def choose_weight(image, text, codes, sample_weight=None):
    """Find the weight of the picture in a mean of two probabilities, by log loss, never without need.

    Parameters
    ----------
    image, text : ndarray of shape (n, n_labels, n_classes)
        Out-of-fold probabilities; rows in which a side is missing are left out.
    codes : ndarray of shape (n, n_labels), dtype int
        The true classes.
    sample_weight : ndarray of shape (n,) or None

    Returns
    -------
    weight : float
        In [0, 1]. 0 or 1, the better side alone, if to mix in the other gains less than a standard error of the
        difference in log loss over mixing in the shares of the classes, if the other alone gains no more over the shares
        alone, or if the mean is right in fewer rows.
    power : float
        What the mean is to be raised to.
    """
    kept = ~np.isnan(image[:, 0, 0]) & ~np.isnan(text[:, 0, 0])
    if not kept.any():
        return 0.5, 1.0
    image, text, codes = image[kept], text[kept], codes[kept]
    shares = _ones(sample_weight, kept)[kept]
    shares = shares / shares.sum()

    def mixed(weight, one=image, other=text):
        mean = weight * one + (1 - weight) * other
        return weight, *_best_power(mean, codes, shares), shares @ (mean.argmax(axis=2) == codes).mean(axis=1)

    def mean_loss(candidate):
        return shares @ candidate[2]

    # What a side is worth alone, with the other or with the shares of the classes mixed in: a zero where the truth is
    # costs so much that any other forecast would help, noise too.
    prior = class_shares(codes, image.shape[2], shares)
    found = min(map(mixed, _WEIGHTS), key=mean_loss)
    cautious = [min((mixed(weight, side, prior) for weight in _CAUTION), key=mean_loss) for side in (text, image)]
    better = int(mean_loss(cautious[1]) < mean_loss(cautious[0]))
    alone, ignorant = (
        mixed(float(better)),
        -np.log(np.take_along_axis(prior[None], codes[..., None], 2)).sum(axis=(1, 2)),
    )
    helps = _is_gain(cautious[better][2] - found[2], shares) and _is_gain(ignorant - cautious[1 - better][2], shares)
    weight, power, *_ = found if helps and found[3] >= alone[3] else alone
    return weight, power


def _is_gain(gains, shares):
    """Tell a mean of more than its standard error, that of a weighted mean of independent rows."""
    gain = shares @ gains
    return gain > np.sqrt(shares**2 @ (gains - gain) ** 2)


def _best_power(probabilities, codes, shares):
    """Find the power of least log loss, a convex function of it; also return the loss of each row."""
    logs = np.log(np.maximum(probabilities, _LEAST))
    logs = logs - logs.max(axis=2, keepdims=True)
    of_true = np.take_along_axis(logs, codes[..., None], axis=2)[..., 0]

    def losses(power):
        return (np.log(np.exp(power * logs).sum(axis=2)) - power * of_true).sum(axis=1)

    power = float(minimize_scalar(lambda power: shares @ losses(power), bounds=_POWERS, method="bounded").x)
    return power, losses(power)


def _ones(sample_weight, like):
    return np.ones(len(like)) if sample_weight is None else sample_weight
