"""Where the things of a scene stand: centres and sides as shares of the picture's side."""

import numpy as np

_SIDES_ALONE = {"large": (0.68, 0.47, 0.36), "small": (0.32, 0.28, 0.26)}
_SIDES_OF_TWO = {"large": (0.47, 0.41, 0.33), "small": (0.27, 0.24, 0.21)}
_SIDES_INSIDE = {"large": 0.36, "small": 0.22}
_SIDES_AROUND = {"large": 0.92, "small": 0.62}


def place_groups(scene, rng):
    """Places of every thing: for each group a list of ``(centre x, centre y, side)``."""
    groups, relation = scene["groups"], scene["relation"]
    if relation is None:
        return [_place_alone(groups[0], rng)]
    if relation == "inside":
        return _place_inside(groups, rng)
    axis = 0 if relation in ("left", "right") else 1
    first = 0.255 if relation in ("left", "above") else 0.745
    return [_place_beside(group, axis, middle, rng) for group, middle in zip(groups, (first, 1 - first), strict=True)]


def _place_alone(group, rng):
    side = _SIDES_ALONE[group["size"]][group["count"] - 1]
    offsets = _line_up(group["count"], side, rng)
    if group["count"] == 3 and rng.random() < 0.4:
        offsets = side * np.array([(0, -0.5), (-0.52, 0.5), (0.52, 0.5)])
    reach = np.maximum(0.5 - np.abs(offsets).max(axis=0) - side / 2, 0.0)
    return _jitter(0.5 + rng.uniform(-1, 1, 2) * reach + offsets, side, rng)


def _place_beside(group, axis, middle, rng):
    side = _SIDES_OF_TWO[group["size"]][group["count"] - 1]
    offsets = np.zeros((group["count"], 2))
    spread = min(side * rng.uniform(1.0, 1.25), 0.33 if group["count"] == 3 else 0.5)
    offsets[:, 1 - axis] = (np.arange(group["count"]) - (group["count"] - 1) / 2) * spread
    centre = np.full(2, 0.5)
    reach = max(0.5 - np.abs(offsets).max() - side / 2, 0.0)
    centre[1 - axis] += rng.uniform(-0.8, 0.8) * reach
    centre[axis] = middle + rng.uniform(-1, 1) * max(0.245 - side / 2, 0.0)
    return _jitter(centre + offsets, side, rng)


def _place_inside(groups, rng):
    inner, outer = groups
    around, within = _SIDES_AROUND[outer["size"]], _SIDES_INSIDE[inner["size"]]
    centre = 0.5 + rng.uniform(-1, 1, 2) * (1 - around) / 2
    # The hollow of a balloon sits above its knot.
    inward = centre - np.array([0, 0.13 * around if outer["kind"] == "balloon" else 0.0])
    return [_jitter(inward[None], within, rng), [(*centre, around)]]


def _line_up(count, side, rng):
    offsets = np.zeros((count, 2))
    axis = int(rng.integers(2))
    offsets[:, axis] = (np.arange(count) - (count - 1) / 2) * min(side * 1.05, 0.34 if count == 3 else 0.5)
    return offsets


def _jitter(centres, side, rng):
    return [(*centre, side) for centre in centres + rng.uniform(-0.015, 0.015, centres.shape)]
