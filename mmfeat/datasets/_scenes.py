"""Rendered pictures with captions in English or Chinese: data for tests and demonstrations, made on the spot."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state

from mmfeat.datasets._frozen import FrozenMapping
from mmfeat.datasets._scene_chinese import say_in_chinese
from mmfeat.datasets._scene_english import say_in_english
from mmfeat.datasets._scene_paint import paint_scene
from mmfeat.datasets._scene_world import draw_mention, draw_scene
from mmfeat.utils._compat import Interval, StrOptions, validate_params

_SAY = {"en": say_in_english, "zh": say_in_chinese}
# One stream of random numbers for each step of each scene: what a step draws changes nothing elsewhere.
_DESCRIBE, _PAINT, _MENTION, _SAY_IT = range(4)


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "language": [StrOptions({"en", "zh"})],
        "captions_per_image": [Interval(Integral, 1, None, closed="left")],
        "image_size": [Interval(Integral, 32, 1024, closed="both")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_scenes(n_samples, *, language="en", captions_per_image=5, image_size=96, random_state=None):
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
    random_state : int, RandomState instance or None, default=None
        An int makes the result reproducible: scene i depends on the int and on i alone, so that the first n scenes of a
        longer table are those of a shorter one.

    Returns
    -------
    pairs : pandas.DataFrame
        Columns ``image`` (ndarray of shape (image_size, image_size, 3), dtype uint8) and ``text`` (list of str); index
        ``image_id`` ("0", "1", ...). Two read-only mappings in ``pairs.attrs`` hold what was drawn, for every image_id
        of the whole table: ``scenes`` the description of the scene, and ``mentions`` a list with what each caption
        states, in the form that :func:`scene_matches` takes.

    Raises
    ------
    InvalidParameterError
        If a parameter is of the wrong type or out of range. A subclass of ValueError.

    See Also
    --------
    scene_matches : Whether what a caption states is true of a scene.

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
    """
    import pandas as pd

    seed = int(check_random_state(random_state).randint(2**31 - 1))
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
    return pairs
