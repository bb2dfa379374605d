"""Rendered pictures with captions in English or Chinese: data for tests and demonstrations, made on the spot."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from mmfeat.datasets._frozen import FrozenMapping
from mmfeat.datasets._scene_chinese import say_in_chinese
from mmfeat.datasets._scene_english import say_in_english
from mmfeat.datasets._scene_moods import draw_moods, label_ceilings, light_scene, remark
from mmfeat.datasets._scene_paint import mask_groups, paint_scene
from mmfeat.datasets._scene_world import draw_mention, draw_scene
from mmfeat.utils._compat import Interval, StrOptions, validate_params

_SAY = {"en": say_in_english, "zh": say_in_chinese}
# One stream of random numbers for each step of each scene: what a step draws changes nothing elsewhere.
_DESCRIBE, _PAINT, _MENTION, _SAY_IT, _FEEL, _LIGHT, _REMARK = range(7)


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "language": [StrOptions({"en", "zh"})],
        "captions_per_image": [Interval(Integral, 1, None, closed="left")],
        "image_size": [Interval(Integral, 32, 1024, closed="both")],
        "task": [None, StrOptions({"sentiment", "irony"})],
        "label_noise": [Interval(Real, 0, 0.5, closed="both")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_scenes(
    n_samples,
    *,
    language="en",
    captions_per_image=5,
    image_size=96,
    task=None,
    label_noise=0.1,
    random_state=None,
):
    """Render scenes of everyday things and describe them in sentences.

    A picture shows one or two groups of one to three equal things: 20 silhouettes (house, tree, car, fish, umbrella,
    key, ...) in ten colours, four textures and two sizes, one group left of, right of, above, below or inside the
    other, before seven kinds of background, with distractor blobs, something in front that hides a part, sensor noise
    and slight changes of brightness and sharpness. A caption says some of this in words drawn from synonyms, leaves the
    rest unsaid, and may turn a relation round ("A left of B", "B right of A"). Colours are drawn apart from things and
    backgrounds, so colours alone do not tell the pictures apart.

    Parameters
    ----------
    n_samples : int
        Number of pictures.
    language : {"en", "zh"}, default="en"
        Language of the captions. The same seed gives the same pictures in both, and caption j of a picture says the
        same in both.
    captions_per_image : int, default=5
        Number of captions of each picture.
    image_size : int, default=96
        Side of the pictures in pixels, 32 to 1024. The scenes do not depend on it.
    task : {"sentiment", "irony"} or None, default=None
        Labels for classification by picture and words, in a third column ``label``. The light of each picture then
        tells a mood (1 golden, 0 gray, -1 dark and blue), and a remark after each caption another ("It seems dreary,
        even sad."). "sentiment": the label is "negative" or "positive"; in 45 of 100 rows the picture alone tells it, in 45
        the words alone, in 10 both, and a side that does not tell it has mood 0. "irony": both moods are -1 or 1 by
        lot, and the label is "sincere" where they agree, else "ironic"; no sum of what each side tells by itself can
        say which. The scenes, and what captions say of them, have nothing to do with the label.
    label_noise : float in [0, 0.5], default=0.1
        Probability that a label is the other one.
    random_state : int, RandomState instance or None, default=None
        An int makes the result reproducible: scene i depends on the int and on i alone, so that the first n scenes of a
        longer table are those of a shorter one.

    Returns
    -------
    pairs : pandas.DataFrame
        Columns ``image`` (ndarray of shape (image_size, image_size, 3), dtype uint8) and ``text`` (list of str); index
        ``image_id`` ("0", "1", ...). Two read-only mappings in ``pairs.attrs`` hold what was drawn, for every image_id
        of the whole table: ``scenes`` the description of the scene, and ``mentions`` a list with what each caption
        states, in the form that :func:`scene_matches` takes. With a `task` there are two more: ``moods``, for every
        image_id the moods told by ``image`` and ``text`` and the ``label``, and ``ceilings``, see the notes.

    Raises
    ------
    InvalidParameterError
        If a parameter is of the wrong type or out of range. A subclass of ValueError.

    See Also
    --------
    scene_matches : Whether what a caption states is true of a scene.

    Notes
    -----
    ``pairs.attrs["ceilings"]`` holds the accuracy that no classifier passes on average who sees the ``image`` alone, the
    ``text`` alone, or ``both``: the probability of the most likely label given the mood or moods seen, in the mean. With
    a `label_noise` of e it is 0.775 - 0.55 e for one side of "sentiment", 1/2 for one side of "irony", 1 - e for both.

    Examples
    --------
    >>> from mmfeat.datasets import make_scenes
    >>> pairs = make_scenes(2, captions_per_image=2, random_state=0)
    >>> pairs.shape, pairs["image"].iloc[0].shape
    ((2, 2), (96, 96, 3))
    >>> for caption in pairs["text"].iloc[0]:
    ...     caption
    'Two small stripy violet crowns to the left of two solid green things.'
    'There is a pair of small stripy crowns left of two small emerald fish by some bricks.'
    >>> make_scenes(1, language="zh", captions_per_image=1, random_state=0)["text"].iloc[0]
    ['两顶很小的紫色条纹的王冠位于两个绿色单色的东西左边。']
    >>> posts = make_scenes(4, captions_per_image=1, task="sentiment", random_state=0)
    >>> posts["label"].tolist()
    ['negative', 'negative', 'positive', 'positive']
    >>> {seen: round(accuracy, 3) for seen, accuracy in posts.attrs["ceilings"].items()}
    {'image': 0.72, 'text': 0.72, 'both': 0.9}
    """
    import pandas as pd

    seed = _seed(random_state)
    ids = [str(number) for number in range(n_samples)]
    images, texts = np.empty(n_samples, dtype=object), np.empty(n_samples, dtype=object)
    scenes, mentions = {}, {}
    for number, name in enumerate(ids):
        scene = draw_scene(np.random.default_rng((seed, number, _DESCRIBE)))
        images[number] = paint_scene(scene, image_size, np.random.default_rng((seed, number, _PAINT)))
        said = [
            draw_mention(scene, np.random.default_rng((seed, number, _MENTION, j))) for j in range(captions_per_image)
        ]
        texts[number] = [
            _SAY[language](mention, np.random.default_rng((seed, number, _SAY_IT, j))) for j, mention in enumerate(said)
        ]
        scenes[name], mentions[name] = scene, said
    pairs = pd.DataFrame({"image": images, "text": texts}, index=pd.Index(ids, name="image_id"))
    pairs.attrs.update(scenes=FrozenMapping(scenes), mentions=FrozenMapping(mentions))
    if task is not None:
        _add_moods(pairs, task, label_noise, language, seed)
    return pairs


def scene_masks(pairs, random_state):
    """Say where the things of rendered scenes stand in their pictures.

    Parameters
    ----------
    pairs : pandas.DataFrame
        Of :func:`make_scenes`, or rows of one.
    random_state : int
        What it was made with.

    Returns
    -------
    masks : list of ndarray of shape (n_groups, image_size, image_size), dtype bool
        For each row, see :func:`mmfeat.datasets._scene_paint.mask_groups`.
    """
    seed = _seed(random_state)
    return [
        mask_groups(pairs.attrs["scenes"][name], len(picture), np.random.default_rng((seed, int(name), _PAINT)))
        for name, picture in zip(pairs.index, pairs["image"], strict=True)
    ]


def _seed(random_state):
    return int(check_random_state(random_state).randint(2**31 - 1))


def _add_moods(pairs, task, label_noise, language, seed):
    """Light the pictures, add a remark to each caption, and label the rows, all in place."""
    moods = {}
    for number, (name, picture, captions) in enumerate(
        zip(pairs.index, pairs["image"].to_list(), pairs["text"].to_list(), strict=True)
    ):
        moods[name] = mood = draw_moods(task, label_noise, np.random.default_rng((seed, number, _FEEL)))
        picture[:] = light_scene(picture, mood["image"], np.random.default_rng((seed, number, _LIGHT)))
        captions[:] = [
            caption + remark(mood["text"], language, np.random.default_rng((seed, number, _REMARK, j)))
            for j, caption in enumerate(captions)
        ]
    pairs["label"] = [mood["label"] for mood in moods.values()]
    pairs.attrs.update(moods=FrozenMapping(moods), ceilings=label_ceilings(task, label_noise))
