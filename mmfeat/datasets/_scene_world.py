"""What a rendered scene is made of, and how one is drawn by lot: words only, no pixels."""

from typing import Any

KINDS = (
    *("balloon", "boat", "butterfly", "car", "cat", "crown", "cup", "fish", "flower", "frame"),
    *("heart", "house", "key", "kite", "mushroom", "ring", "rocket", "star", "tree", "umbrella"),
)
COLOURS = ("black", "blue", "brown", "green", "orange", "pink", "purple", "red", "white", "yellow")
TEXTURES = ("plain", "striped", "dotted", "checked")
SIZES = ("small", "large")
BACKGROUNDS = ("sky", "meadow", "sand", "night", "bricks", "confetti", "waves")
CONTAINERS = ("balloon", "frame", "ring")
INVERSE = {"left": "right", "right": "left", "above": "below", "below": "above", "inside": "around", "around": "inside"}

_RELATIONS = ("left", "right", "above", "below", "inside")


def draw_scene(rng):
    """Draw a scene: one or two groups of equal things, their relation, and what is behind and before them."""
    groups: list[dict[str, Any]] = [_draw_group(rng)]
    relation = None
    if rng.random() < 0.75:
        groups.append(_draw_group(rng, without=groups[0]["kind"]))
        relation = _choose(rng, _RELATIONS)
        if relation == "inside":
            _put_inside(rng, *groups)
    return {
        "groups": groups,
        "relation": relation,
        "background": _choose(rng, BACKGROUNDS),
        "occluded": bool(rng.random() < 0.3),
    }


def draw_mention(scene, rng):
    """Draw what one caption says of a scene; everything it says is true, much is left unsaid."""
    order = [0] if len(scene["groups"]) == 1 else list(rng.permutation(2))
    if len(order) == 2 and rng.random() < 0.12:
        order = order[:1]
    mention: dict[str, Any] = {
        "groups": [_mention_group(scene["groups"][i], rng, first=place == 0) for place, i in enumerate(order)]
    }
    if len(order) == 2 and rng.random() < 0.85:
        mention["relation"] = scene["relation"] if order[0] == 0 else INVERSE[scene["relation"]]
    if rng.random() < 0.5:
        mention["background"] = scene["background"]
    if rng.random() < 0.4 and scene["occluded"]:
        mention["occluded"] = True
    return mention


def _draw_group(rng, without=None):
    return {
        "kind": _choose(rng, [kind for kind in KINDS if kind != without]),
        "colour": _choose(rng, COLOURS),
        "texture": _choose(rng, TEXTURES),
        "size": _choose(rng, SIZES),
        "count": int(rng.choice(3, p=(0.5, 0.3, 0.2))) + 1,
    }


def _put_inside(rng, inner, outer):
    inner["count"] = outer["count"] = 1
    outer["kind"] = _choose(rng, [kind for kind in CONTAINERS if kind != inner["kind"]])
    outer["colour"] = _choose(rng, [colour for colour in COLOURS if colour != inner["colour"]])
    if outer["size"] == "small":
        inner["size"] = "small"


def _mention_group(group, rng, *, first):
    said = {"count": group["count"]}
    if group["count"] > 1 and rng.random() < 0.2:
        said["count"] = "several"
    for name, share in (("kind", 1.0 if first else 0.94), ("colour", 0.8), ("texture", 0.45), ("size", 0.35)):
        if rng.random() < share:
            said[name] = group[name]
    return said


def _choose(rng, options):
    return options[int(rng.integers(len(options)))]
