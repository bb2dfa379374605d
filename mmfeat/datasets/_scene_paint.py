"""From the description of a scene to its picture."""

import colorsys

import numpy as np

from mmfeat.datasets._scene_background import paint_background
from mmfeat.datasets._scene_layout import place_groups
from mmfeat.datasets._scene_shapes import shape_of
from mmfeat.datasets._scene_world import COLOURS

_HSV = {
    **{"black": (0.0, 0.0, 0.12), "blue": (0.61, 0.8, 0.85), "brown": (0.07, 0.68, 0.45), "green": (0.36, 0.75, 0.6)},
    **{
        "orange": (0.085, 0.9, 0.97),
        "pink": (0.93, 0.42, 0.98),
        "purple": (0.77, 0.65, 0.68),
        "red": (0.99, 0.86, 0.85),
    },
    **{"white": (0.1, 0.02, 0.97), "yellow": (0.15, 0.8, 0.98)},
}
_SCALE = 2  # drawn twice as large, then averaged down
_LEANING = {"key": 180.0}  # degrees either way; other things stand nearly upright
_UPRIGHT = 9.0
_OUTLINES = 96  # that many beside each other would be as wide as the picture
_ANY_LIGHT = [0] * 8 + [255] * 248


def paint_scene(scene, size, rng):
    """Render a scene.

    Parameters
    ----------
    scene : dict
    size : int
        Side of the picture in pixels.
    rng : numpy.random.Generator
        Everything the description leaves open: hues, places, noise.

    Returns
    -------
    picture : ndarray of shape (size, size, 3), dtype uint8
    """
    from PIL import Image

    canvas, places = _begin(scene, size, rng)
    _scatter_distractors(canvas, rng)
    for group, spots in reversed(list(zip(scene["groups"], places, strict=True))):
        _paint_group(canvas, group, spots, rng)
    if scene["occluded"]:
        _cover(canvas, places[int(rng.integers(len(places)))], rng)
    return _expose(canvas.resize((size, size), Image.Resampling.BOX), rng)


def mask_groups(scene, size, rng):
    """Say where the things of a scene stand in its picture.

    Parameters
    ----------
    scene : dict
    size : int
        Side of the picture in pixels.
    rng : numpy.random.Generator
        In the state in which :func:`paint_scene` takes it.

    Returns
    -------
    masks : ndarray of shape (n_groups, size, size), dtype bool
        For each group the squares in which its things and their outlines stand.
    """
    _, places = _begin(scene, size, rng)
    centres = (np.arange(size) + 0.5) / size
    masks = np.zeros((len(places), size, size), dtype=bool)
    for mask, spots in zip(masks, places, strict=True):
        for x, y, side in spots:
            reach = side / 2 + 1 / _OUTLINES
            mask |= (np.abs(centres[:, None] - y) < reach) & (np.abs(centres - x) < reach)
    return masks


def _begin(scene, size, rng):
    from PIL import Image

    background = paint_background(scene["background"], size, rng).astype(np.uint8)
    canvas = Image.fromarray(background).resize((size * _SCALE, size * _SCALE), Image.Resampling.BILINEAR)
    return canvas, place_groups(scene, rng)


def _colour(name, rng):
    hue, saturation, value = _HSV[name]
    hue, saturation = hue + rng.uniform(-0.012, 0.012), saturation * rng.uniform(0.92, 1.08)
    return np.array(colorsys.hsv_to_rgb(hue % 1, min(saturation, 1), min(value * rng.uniform(0.94, 1.06), 1))) * 255


def _as_fill(colour):
    return tuple(int(channel) for channel in colour)


def _any_fill(rng):
    return _as_fill(_colour(COLOURS[int(rng.integers(len(COLOURS)))], rng))


def _paint_group(canvas, group, spots, rng):
    colour = _colour(group["colour"], rng)
    dark = colour.mean() < 70
    partner = colour + (255 - colour) * 0.62 if colour.mean() < 165 else colour * 0.6
    fills = {
        **{"shade": colour * 0.62 if not dark else colour + 50, "tint": colour + (255 - colour) * 0.55},
        **{
            "dark": np.array([35, 32, 38]) if not dark else np.array([150, 148, 155]),
            "light": np.array([250, 248, 240]),
        },
    }
    fills = {role: _as_fill(fill) for role, fill in fills.items()}
    outline = (225, 225, 230) if dark else _as_fill(colour * 0.33)
    direction = int(rng.integers(3))
    lean = _LEANING.get(group["kind"], _UPRIGHT)
    flipped = rng.random() < 0.5
    pixels = spots[0][2] * canvas.width
    cloth = _weave(group["texture"], direction, int(pixels * 1.2) + 10, pixels / 5, colour, partner)
    for x, y, _ in spots:
        turn = np.radians(rng.uniform(-lean, lean))
        where = (x * canvas.width, y * canvas.width, pixels / 2)
        _stamp(canvas, group["kind"], where, (turn, flipped), cloth.copy(), fills, outline)


def _weave(texture, direction, side, period, colour, partner):
    from PIL import Image

    cloth = Image.new("RGB", (side, side), _as_fill(colour))
    if texture == "plain":
        return cloth
    x = np.arange(side, dtype=np.float32)[None, :] / np.float32(period)
    y = x.T
    if texture == "striped":
        other = np.broadcast_to((x, y, (x + y) * 0.75)[direction] % 1 < 0.5, (side, side))
    elif texture == "checked":
        other = (2 * x % 2 < 1) != (2 * y % 2 < 1)
    else:
        other = ((x + np.floor(y) % 2 / 2) % 1 - 0.5) ** 2 + (y % 1 - 0.5) ** 2 < 0.09
    cloth.paste(_as_fill(partner), (0, 0, side, side), Image.fromarray(other.astype(np.uint8) * 255))
    return cloth


def _stamp(canvas, kind, where, pose, cloth, fills, outline):
    from PIL import Image, ImageDraw, ImageFilter

    (x, y, radius), (turn, flipped) = where, pose
    middle = cloth.width / 2
    rotation = radius * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    if flipped:
        rotation = np.array([[-1, 1], [-1, 1]]).T * rotation
    mask = Image.new("L", cloth.size)
    on_mask, on_cloth = ImageDraw.Draw(mask), ImageDraw.Draw(cloth)
    for role, points in shape_of(kind):
        corners = (points @ rotation + middle).ravel().tolist()
        on_mask.polygon(corners, fill=0 if role == "hole" else 255)
        if role in fills:
            on_cloth.polygon(corners, fill=fills[role])
    corner = (round(x - middle), round(y - middle))
    rim = mask.filter(ImageFilter.BoxBlur(canvas.width / _OUTLINES)).point(_ANY_LIGHT)
    canvas.paste(outline, (*corner, corner[0] + cloth.width, corner[1] + cloth.height), rim)
    canvas.paste(cloth, corner, mask)


def _scatter_distractors(canvas, rng):
    """Half of the pictures get blobs of palette colours, so that a colour seen need not be the colour of a thing."""
    from PIL import ImageDraw

    if rng.random() < 0.5:
        return
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(2, 6))):
        x, y = rng.uniform(0, canvas.width, 2)
        wide, high = rng.uniform(0.04, 0.12, 2) * canvas.width
        draw.ellipse((x - wide, y - high, x + wide, y + high), fill=_any_fill(rng))


def _cover(canvas, spots, rng):
    """Hide part of one thing behind a bar that crosses the picture or behind a blob."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(canvas)
    fill = _any_fill(rng)
    x, y, side = spots[int(rng.integers(len(spots)))]
    x, y = (np.array([x, y]) + rng.uniform(-0.3, 0.3, 2) * side) * canvas.width
    if rng.random() < 0.5:
        angle = rng.uniform(0, np.pi)
        along = 2 * canvas.width * np.array([np.cos(angle), np.sin(angle)])
        draw.line(
            (x - along[0], y - along[1], x + along[0], y + along[1]),
            fill=fill,
            width=int(canvas.width * rng.uniform(0.05, 0.1)),
        )
        return
    radius = canvas.width * side * rng.uniform(0.2, 0.3)
    draw.ellipse((x - radius, y - 0.8 * radius, x + radius, y + 0.8 * radius), fill=fill)


def _expose(picture, rng):
    """Slight blur now and then, brightness, and the noise of a sensor."""
    from PIL import ImageFilter

    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8) * picture.width / 96))
    pixels = np.asarray(picture, dtype=np.float32) * np.float32(rng.uniform(0.85, 1.1))
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(rng.uniform(2, 6))
    return np.clip(pixels + noise + 0.5, 0, 255).astype(np.uint8)
