"""Cosines of several systems brought to one scale and added, which is one cosine of embeddings side by side."""

import numpy as np

from mmfeat.utils._rows import unit_rows

_STEPS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)


def choose_weights(task, members, weights):
    """Scale of each system's cosines on val, and weights that give the best rankings there.

    Parameters
    ----------
    task : Task
    members : list of (ndarray, ndarray)
        Embeddings of the pictures and sentences of val, one pair a system.
    weights : sequence of float or None

    Returns
    -------
    scales, weights : ndarray of shape (n_members,)
    """
    scales = np.array([_spread(*pair) for pair in members])
    if weights is not None:
        return scales, check_weights(weights, len(members))

    def score(trial):
        return task.measure(task.rank("val", *join(members, trial / scales)))

    best = np.ones(len(members))
    tried = {tuple(best): score(best)}
    for _ in range(2):
        before = best
        for place in range(len(members)):
            for step in _STEPS:
                trial = best.copy()
                trial[place] = step
                if trial.any() and tuple(trial) not in tried:
                    tried[tuple(trial)] = score(trial)
            # Among equals the first, which are the equal weights.
            best = np.array(max(tried, key=lambda weights: tried[weights]))
        if np.array_equal(before, best):
            break
    return scales, best


def check_weights(weights, n_members):
    """Weights as an array, if there is one a member and they weigh anything."""
    given = np.asarray(weights, dtype=float)
    if given.shape != (n_members,) or not np.isfinite(given).all() or (given < 0).any() or not given.any():
        raise ValueError(
            f"`weights` must be {n_members} numbers of at least 0, one a member and not all 0. Got {weights!r} instead."
        )
    return given


def join(members, weights):
    """Embeddings side by side whose cosine is the weighted mean of the members' cosines; weights of 0 are left out.

    A row that a member knows nothing of is all zero there. The length that it lacks goes into a last column that is zero on the
    other side, so that all rows have one length.
    """
    used = [(pair, weight) for pair, weight in zip(members, weights, strict=True) if weight > 0]
    sides = []
    for kind in (0, 1):
        parts = [np.float32(np.sqrt(weight)) * unit_rows(np.asarray(pair[kind])) for pair, weight in used]
        lacking = sum(weight * ~part.any(axis=1) for part, (_, weight) in zip(parts, used, strict=True))
        missing = np.zeros((len(parts[0]), 2), dtype=np.float32)
        missing[:, kind] = np.sqrt(lacking)
        sides.append(np.hstack([*parts, missing]))
    return tuple(sides)


def _spread(images, texts, n_sampled=500):
    """Standard deviation of the cosines, from evenly spaced rows."""
    images, texts = (
        unit_rows(np.asarray(part[np.linspace(0, len(part) - 1, min(n_sampled, len(part))).astype(int)]))
        for part in (images, texts)
    )
    return max(float((images @ texts.T).std()), 1e-12)
