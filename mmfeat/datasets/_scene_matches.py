"""Whether what a caption says is true of a scene: the oracle behind the rendered data."""

from itertools import permutations

from mmfeat.datasets._scene_world import INVERSE


def scene_matches(scene, mention):
    """Tell whether everything a caption states holds in a scene.

    A system that read every attribute off the pictures without error could tell two pictures apart by a caption only
    where this function does, so the shares of scenes that match give the recall no retrieval method can pass, other
    than by luck.

    Parameters
    ----------
    scene : dict
        A value of ``make_scenes(...).attrs["scenes"]``: ``groups`` (one or two dicts of ``kind``, ``colour``,
        ``texture``, ``size`` and ``count``), ``relation`` (what the first group is to the second: "left", "right",
        "above", "below", "inside" or None), ``background`` and ``occluded``.
    mention : dict
        An item of a value of ``make_scenes(...).attrs["mentions"]``: the same keys, less those left unsaid. The count
        may be "several" (two or more), and the relation also "around", the inverse of "inside".

    Returns
    -------
    matches : bool
        True if the groups mentioned can be told off to different groups of the scene so that all that is stated agrees.

    Examples
    --------
    >>> from mmfeat.datasets import make_scenes, scene_matches
    >>> scenes = make_scenes(1, random_state=0)
    >>> scene, mentions = scenes.attrs["scenes"]["0"], scenes.attrs["mentions"]["0"]
    >>> all(scene_matches(scene, mention) for mention in mentions)
    True
    >>> scene_matches(scene, {"groups": [{"kind": "elephant"}]})
    False
    """
    for name in ("background", "occluded"):
        if name in mention and mention[name] != scene[name]:
            return False
    said = mention["groups"]
    return any(
        all(_group_matches(scene["groups"][i], group) for i, group in zip(order, said, strict=True))
        and _relation_matches(scene["relation"], mention.get("relation"), order)
        for order in permutations(range(len(scene["groups"])), len(said))
    )


def _group_matches(group, said):
    return all(group["count"] > 1 if value == "several" else group[name] == value for name, value in said.items())


def _relation_matches(relation, said, order):
    if said is None:
        return True
    return relation is not None and said == (relation if order == (0, 1) else INVERSE[relation])
