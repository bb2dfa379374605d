"""Silhouettes of the things in rendered scenes: polygons in the box [-1, 1] x [-1, 1], y downwards.

A shape is a tuple of ``(role, points)``. The role says what to fill the polygon with: "body" the colour and texture of
the thing, "hole" nothing, "shade" a darker and "tint" a lighter colour of the thing, "dark" and "light" nearly black
and white. All colours but the last two follow the thing, so that a silhouette has no colour of its own. Bodies come
first, then holes, then the rest.
"""

import numpy as np


def _ellipse(cx, cy, rx, ry=None, start=0, stop=360):
    angle = np.radians(np.linspace(start, stop, 33))
    return np.column_stack([cx + rx * np.cos(angle), cy + (rx if ry is None else ry) * np.sin(angle)])


def _arc(cx, cy, radius, start, stop, width):
    outer = _ellipse(cx, cy, radius + width / 2, start=start, stop=stop)
    return np.concatenate([outer, _ellipse(cx, cy, radius - width / 2, start=start, stop=stop)[::-1]])


def _box(x0, y0, x1, y1):
    return _polygon(x0, y0, x1, y0, x1, y1, x0, y1)


def _polygon(*numbers):
    return np.array(numbers, dtype=float).reshape(-1, 2)


def _bar(x0, y0, x1, y1, width):
    across = np.array([y0 - y1, x1 - x0]) * width / 2 / np.hypot(x1 - x0, y1 - y0)
    ends = _polygon(x0, y0, x1, y1)
    return np.concatenate([ends + across, (ends - across)[::-1]])


def _balloon():
    return (
        ("body", _ellipse(0, -0.27, 0.7, 0.72)),
        ("shade", _polygon(0, 0.42, 0.14, 0.6, -0.14, 0.6)),
        ("dark", _bar(0, 0.6, 0.09, 0.8, 0.06)),
        ("dark", _bar(0.09, 0.78, -0.03, 1.0, 0.06)),
    )


def _boat():
    return (
        ("body", _polygon(-1, 0.38, 1, 0.38, 0.66, 0.9, -0.66, 0.9)),
        ("body", _polygon(-0.07, -0.9, -0.07, 0.22, -0.8, 0.22)),
        ("tint", _polygon(0.12, -0.68, 0.12, 0.22, 0.68, 0.22)),
        ("dark", _bar(0.03, -1, 0.03, 0.38, 0.1)),
    )


def _butterfly():
    wings = [_ellipse(side * 0.52, -0.38, 0.47, 0.5) for side in (-1, 1)] + [
        _ellipse(side * 0.4, 0.46, 0.37, 0.42) for side in (-1, 1)
    ]
    feelers = [_bar(0, -0.5, side * 0.3, -0.98, 0.07) for side in (-1, 1)]
    return (
        *(("body", wing) for wing in wings),
        ("dark", _ellipse(0, 0.05, 0.11, 0.68)),
        *(("dark", bar) for bar in feelers),
    )


def _car():
    outline = (
        -1,
        0.12,
        -0.9,
        -0.1,
        -0.55,
        -0.16,
        -0.32,
        -0.58,
        0.34,
        -0.58,
        0.62,
        -0.14,
        0.96,
        -0.04,
        1,
        0.46,
        -1,
        0.46,
    )
    return (
        ("body", _polygon(*outline)),
        ("light", _polygon(-0.4, -0.14, -0.24, -0.44, -0.03, -0.44, -0.03, -0.14)),
        ("light", _polygon(0.1, -0.14, 0.1, -0.44, 0.28, -0.44, 0.46, -0.14)),
        *(("dark", _ellipse(x, 0.46, 0.25)) for x in (-0.52, 0.52)),
        *(("light", _ellipse(x, 0.46, 0.1)) for x in (-0.52, 0.52)),
    )


def _cat():
    ears = [_polygon(side * 0.8, -0.98, side * 0.2, -0.5, side * 0.78, -0.05) for side in (-1, 1)]
    whiskers = [_bar(side * 0.25, 0.4, side * 0.98, y, 0.05) for side in (-1, 1) for y in (0.25, 0.55)]
    return (
        ("body", _ellipse(0, 0.15, 0.82, 0.75)),
        *(("body", ear) for ear in ears),
        *(("light", _ellipse(x, -0.02, 0.17, 0.2)) for x in (-0.34, 0.34)),
        *(("dark", _ellipse(x, 0, 0.08, 0.17)) for x in (-0.34, 0.34)),
        ("dark", _polygon(-0.13, 0.28, 0.13, 0.28, 0, 0.44)),
        *(("dark", bar) for bar in whiskers),
    )


def _crown():
    tips = ((-0.92, -0.5), (0, -0.78), (0.92, -0.5))
    return (
        ("body", _polygon(-0.85, 0.75, -0.95, -0.45, -0.42, 0.1, 0, -0.75, 0.42, 0.1, 0.95, -0.45, 0.85, 0.75)),
        *(("body", _ellipse(x, y, 0.14)) for x, y in tips),
        ("shade", _box(-0.87, 0.5, 0.87, 0.78)),
        *(("light", _ellipse(x, 0.64, 0.09)) for x in (-0.5, 0, 0.5)),
    )


def _cup():
    return (
        ("body", _polygon(-0.85, -0.55, 0.45, -0.55, 0.32, 0.75, -0.7, 0.75)),
        ("body", _arc(0.45, 0.0, 0.37, -100, 110, 0.2)),
        ("dark", _ellipse(-0.2, -0.55, 0.65, 0.17)),
        ("tint", _ellipse(-0.2, -0.5, 0.5, 0.09)),
    )


def _fish():
    return (
        ("body", _ellipse(-0.2, 0, 0.76, 0.5)),
        ("body", _polygon(0.35, 0, 1, -0.55, 0.84, 0, 1, 0.55)),
        ("shade", _polygon(-0.35, -0.46, 0.1, -0.82, 0.22, -0.38)),
        ("shade", _polygon(-0.2, 0.08, 0.2, 0.0, 0.16, 0.32)),
        ("light", _ellipse(-0.6, -0.12, 0.15)),
        ("dark", _ellipse(-0.62, -0.12, 0.07)),
    )


def _flower():
    turns = np.radians(np.arange(0, 360, 60) + 30)
    petals = [_ellipse(0.43 * np.cos(turn), -0.35 + 0.43 * np.sin(turn), 0.27) for turn in turns]
    return (
        *(("body", petal) for petal in petals),
        ("shade", _bar(0, 0.3, 0, 1, 0.13)),
        ("shade", _ellipse(0.28, 0.72, 0.27, 0.12)),
        ("shade", _ellipse(-0.28, 0.6, 0.27, 0.12)),
        ("light", _ellipse(0, -0.35, 0.24)),
    )


def _frame():
    return (("body", _box(-0.95, -0.95, 0.95, 0.95)), ("hole", _box(-0.66, -0.66, 0.66, 0.66)))


def _heart():
    turn = np.linspace(0, 2 * np.pi, 48)
    y = -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)) / 16
    return (("body", np.column_stack([np.sin(turn) ** 3, y - 0.1])),)


def _house():
    return (
        ("body", _box(-0.75, -0.2, 0.75, 0.92)),
        ("shade", _box(0.4, -0.9, 0.64, -0.3)),
        ("shade", _polygon(-1, -0.12, 0, -0.95, 1, -0.12)),
        ("dark", _box(-0.18, 0.36, 0.18, 0.92)),
        *(("light", _box(x, 0.12, x + 0.3, 0.42)) for x in (-0.6, 0.3)),
    )


def _key():
    return (
        ("body", _ellipse(-0.52, 0, 0.46)),
        ("body", _bar(-0.2, 0, 1, 0, 0.24)),
        ("body", _box(0.48, 0, 0.66, 0.42)),
        ("body", _box(0.8, 0, 1, 0.5)),
        ("hole", _ellipse(-0.56, 0, 0.2)),
    )


def _kite():
    return (
        ("body", _polygon(0, -1, 0.7, -0.3, 0, 0.5, -0.7, -0.3)),
        ("dark", _bar(0, -1, 0, 0.5, 0.06)),
        ("dark", _bar(-0.7, -0.3, 0.7, -0.3, 0.06)),
        ("dark", _bar(0, 0.5, 0.22, 0.75, 0.06)),
        ("dark", _bar(0.22, 0.73, -0.02, 1, 0.06)),
        ("shade", _polygon(0.12, 0.62, 0.42, 0.62, 0.12, 0.88, 0.42, 0.88)),
        ("shade", _polygon(-0.22, 0.88, 0.1, 0.82, -0.16, 1.0, 0.12, 1.0)),
    )


def _mushroom():
    return (
        ("body", _ellipse(0, 0.05, 0.97, 0.95, 180, 360)),
        ("tint", _polygon(-0.27, 0.05, 0.27, 0.05, 0.38, 0.9, -0.38, 0.9)),
        ("shade", _ellipse(0, 0.05, 0.97, 0.14)),
    )


def _ring():
    return (("body", _ellipse(0, 0, 0.98)), ("hole", _ellipse(0, 0, 0.68)))


def _rocket():
    hull = (0, -1, 0.2, -0.75, 0.34, -0.4, 0.36, 0.1, 0.28, 0.55, -0.28, 0.55, -0.36, 0.1, -0.34, -0.4, -0.2, -0.75)
    return (
        ("body", _polygon(*hull)),
        *(("shade", _polygon(side * 0.34, 0.05, side * 0.8, 0.72, side * 0.28, 0.52)) for side in (-1, 1)),
        ("tint", _polygon(-0.22, 0.55, 0.22, 0.55, 0, 1)),
        ("dark", _ellipse(0, -0.32, 0.19)),
        ("light", _ellipse(0, -0.32, 0.12)),
    )


def _star():
    turns = np.radians(np.arange(10) * 36 - 90)
    radii = np.where(np.arange(10) % 2, 0.42, 1.0)
    return (("body", np.column_stack([radii * np.cos(turns), 0.06 + radii * np.sin(turns)])),)


def _tree():
    crown = ((0, -0.5, 0.48), (-0.42, -0.1, 0.42), (0.42, -0.1, 0.42), (0, 0.05, 0.4))
    return (
        *(("body", _ellipse(*leaf)) for leaf in crown),
        ("shade", _polygon(-0.1, 0.2, 0.1, 0.2, 0.18, 0.98, -0.18, 0.98)),
    )


def _umbrella():
    scallops = [_ellipse(x, 0.02, 1 / 3, 0.16, 180, 360) for x in (-2 / 3, 0, 2 / 3)]
    return (
        ("body", _ellipse(0, 0.02, 1, 0.88, 180, 360)),
        *(("hole", scallop) for scallop in scallops),
        ("dark", _bar(0, -0.14, 0, 0.8, 0.1)),
        ("dark", _arc(0.16, 0.78, 0.16, 0, 180, 0.1)),
        ("dark", _bar(0, -1, 0, -0.84, 0.1)),
    )


_SHAPES = {
    **{"balloon": _balloon(), "boat": _boat(), "butterfly": _butterfly(), "car": _car(), "cat": _cat()},
    **{"crown": _crown(), "cup": _cup(), "fish": _fish(), "flower": _flower(), "frame": _frame()},
    **{"heart": _heart(), "house": _house(), "key": _key(), "kite": _kite(), "mushroom": _mushroom()},
    **{"ring": _ring(), "rocket": _rocket(), "star": _star(), "tree": _tree(), "umbrella": _umbrella()},
}


def shape_of(kind):
    """Polygons of a thing, each with its role."""
    return _SHAPES[kind]
