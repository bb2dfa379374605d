"""Backgrounds of rendered scenes: float arrays (size, size, 3) in [0, 255], before anything stands on them."""

import colorsys

import numpy as np


def paint_background(name, size, rng):
    """Paint what is behind a scene; hues vary so widely that a background has no colour of its own."""
    return np.clip(_PAINTERS[name](size, rng) + _cloudiness(size, rng)[..., None], 0, 255).astype(np.float32)


def _hsv(hue, saturation, value):
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value)) * 255


def _hue(rng, centre, spread):
    # One time in three any hue at all: a pink sky, a violet meadow.
    return rng.random() if rng.random() < 1 / 3 else centre + rng.uniform(-spread, spread)


def _gradient(size, top, bottom):
    share = np.linspace(0, 1, size)[:, None, None]
    return np.broadcast_to(top * (1 - share) + bottom * share, (size, size, 3)).copy()


def _coarse(size, cells, rng, across=None):
    """Smooth noise of zero mean and unit deviation: random numbers on a coarse grid, enlarged."""
    from PIL import Image

    grid = rng.standard_normal((cells, across or cells)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC))


def _cloudiness(size, rng):
    return _coarse(size, 5, rng) * rng.uniform(0, 9)


def _sky(size, rng):
    hue = _hue(rng, 0.57, 0.05)
    picture = _gradient(size, _hsv(hue, rng.uniform(0.4, 0.65), 0.85), _hsv(hue + rng.uniform(-0.1, 0.1), 0.2, 0.97))
    veil = np.clip(_coarse(size, 6, rng, across=3) * 0.9 - 0.3, 0, 0.85)[..., None]
    return picture * (1 - veil) + 250 * veil


def _meadow(size, rng):
    horizon = int(size * rng.uniform(0.3, 0.45))
    hue = _hue(rng, 0.28, 0.07)
    picture = _gradient(size, _hsv(hue + 0.3, 0.25, 0.95), _hsv(hue, 0.6, 0.65))
    blades = _coarse(size, max(4, size // 8), rng, across=size // 2)[..., None]
    picture[horizon:] = (_hsv(hue, 0.6, rng.uniform(0.55, 0.75)) + 17 * blades)[horizon:]
    return picture


def _sand(size, rng):
    shore = int(size * rng.uniform(0.12, 0.28))
    hue = _hue(rng, 0.11, 0.03)
    picture = _hsv(hue, rng.uniform(0.25, 0.45), 0.9) + 11 * rng.standard_normal((size, size, 1))
    picture += 9 * _coarse(size, 14, rng, across=4)[..., None]
    picture[:shore] = _hsv(hue + 0.45, 0.5, 0.75) + 12 * _coarse(size, 16, rng, across=3)[:shore, :, None]
    return picture


def _night(size, rng):
    hue = _hue(rng, 0.66, 0.06)
    picture = _gradient(size, _hsv(hue, 0.6, 0.16), _hsv(hue, 0.5, rng.uniform(0.3, 0.42)))
    lights = rng.integers(0, size, (int(rng.integers(25, 50)), 2))
    picture[lights[:, 0], lights[:, 1]] = rng.uniform(150, 255, (len(lights), 1))
    return picture


def _bricks(size, rng):
    height = size / rng.uniform(6, 9)
    row, y = np.divmod(np.arange(size)[:, None], height)
    column, x = np.divmod(np.arange(size)[None, :] + (row % 2) * height, 2 * height)
    mortar = (y < size / 64) | (x < size / 64)
    lightness = rng.standard_normal((16, 16))[row.astype(int) % 16, column.astype(int) % 16]
    picture = _hsv(_hue(rng, 0.04, 0.04), rng.uniform(0.25, 0.55), 0.7) + 9 * lightness[..., None]
    return np.where(mortar[..., None], 205, picture)


def _confetti(size, rng):
    picture = np.full((size, size, 3), rng.uniform(190, 245))
    for _ in range(int(rng.integers(28, 45))):
        radius = size * rng.uniform(0.015, 0.035)
        y, x = rng.uniform(0, size, 2)
        rows = slice(max(int(y - radius), 0), int(y + radius) + 2)
        columns = slice(max(int(x - radius), 0), int(x + radius) + 2)
        down, right = np.ogrid[rows, columns]
        speck = ((down - y) ** 2 + (right - x) ** 2 < radius**2)[: size - rows.start, : size - columns.start]
        picture[rows, columns][speck] = _hsv(rng.random(), rng.uniform(0.4, 0.9), rng.uniform(0.4, 1))
    return picture


def _waves(size, rng):
    y = np.linspace(0, 1, size)[:, None]
    x = y.T
    phase, crests = rng.uniform(0, 6), rng.uniform(5, 8)
    swell = np.sin(2 * np.pi * (crests * y + 0.25 * np.sin(2 * np.pi * rng.uniform(1.5, 2.5) * x + phase)))
    return _hsv(_hue(rng, 0.53, 0.05), rng.uniform(0.4, 0.7), 0.72) + 24 * (swell**3)[..., None]


_PAINTERS = {
    **{"sky": _sky, "meadow": _meadow, "sand": _sand, "night": _night},
    **{"bricks": _bricks, "confetti": _confetti, "waves": _waves},
}
