"""Moods of rendered scenes: one that the light of the picture tells, one that the words tell, and the label of the two."""

import numpy as np

from mmfeat.datasets._frozen import FrozenMapping

_LIGHTS = {-1: (58, 74, 128), 0: (150, 150, 150), 1: (255, 196, 92)}  # gloomy, overcast, sunny
_COVER = (0.55, 0.7)  # share of the light in each pixel
# Task: the moods that picture and words may have, how likely the two are together, and the label that they have then.
_TASKS = {
    "sentiment": (
        *((-1, 0, 0.225, "negative"), (0, -1, 0.225, "negative"), (-1, -1, 0.05, "negative")),
        *((1, 0, 0.225, "positive"), (0, 1, 0.225, "positive"), (1, 1, 0.05, "positive")),
    ),
    "irony": ((-1, -1, 0.25, "sincere"), (-1, 1, 0.25, "ironic"), (1, -1, 0.25, "ironic"), (1, 1, 0.25, "sincere")),
}
_OTHER = {"negative": "positive", "positive": "negative", "sincere": "ironic", "ironic": "sincere"}
_WORDS = {
    "en": {
        -1: ("awful", "dreary", "dismal", "sad"),
        0: ("ordinary", "usual", "normal", "familiar"),
        1: ("lovely", "wonderful", "cheerful", "beautiful"),
    },
    "zh": {
        -1: ("糟糕", "阴沉", "难看", "悲伤"),
        0: ("平常", "普通", "一般", "常见"),
        1: ("美丽", "可爱", "愉快", "美好"),
    },
}
_REMARKS = {
    "en": (
        " To me it looks {} and {}.",
        " It seems {}, even {}.",
        " Some would say it is {} and {}.",
        " I found that {}, {}.",
    ),
    "zh": ("看上去{}又{}。", "感觉{}，也{}。", "我觉得{}，还{}。", "让人觉得{}、{}。"),
}


def draw_moods(task, noise, rng):
    """Draw the moods of a picture and of its words, and the label, now and then the other one.

    Parameters
    ----------
    task : {"sentiment", "irony"}
    noise : float
        Probability that the label is the other one.
    rng : numpy.random.Generator

    Returns
    -------
    moods : dict
        ``image`` and ``text``, -1, 0 or 1, and ``label``.
    """
    table = _TASKS[task]
    image, text, _, label = table[int(rng.choice(len(table), p=[share for *_, share, _ in table]))]
    return {"image": image, "text": text, "label": _OTHER[label] if rng.random() < noise else label}


def label_ceilings(task, noise):
    """Accuracies that no classifier can pass on average: of those who see one side alone, and of those who see both.

    Parameters
    ----------
    task : {"sentiment", "irony"}
    noise : float

    Returns
    -------
    ceilings : FrozenMapping
        ``image``, ``text`` and ``both``: the sum over what is seen of the probability of its most likely label.
    """
    joint = np.zeros((3, 3, 2))
    labels = sorted({label for *_, label in _TASKS[task]})
    for image, text, share, label in _TASKS[task]:
        joint[image, text, labels.index(label)] += share * (1 - noise)
        joint[image, text, labels.index(_OTHER[label])] += share * noise
    seen = {"image": joint.sum(axis=1), "text": joint.sum(axis=0), "both": joint}
    return FrozenMapping({side: float(table.max(axis=-1).sum()) for side, table in seen.items()})


def light_scene(picture, mood, rng):
    """Lay the light of a mood over a picture: golden when it is sunny, gray when overcast, dark and blue when gloomy.

    Parameters
    ----------
    picture : ndarray of shape (height, width, 3), dtype uint8
    mood : {-1, 0, 1}
    rng : numpy.random.Generator

    Returns
    -------
    picture : ndarray of shape (height, width, 3), dtype uint8
    """
    cover = rng.uniform(*_COVER)
    light = np.array(_LIGHTS[mood]) + rng.uniform(-12, 12, 3)
    return np.clip(picture * (1 - cover) + light * cover + 0.5, 0, 255).astype(np.uint8)


def remark(mood, language, rng):
    """Say in one sentence, to follow a caption, how the writer feels.

    Parameters
    ----------
    mood : {-1, 0, 1}
    language : {"en", "zh"}
    rng : numpy.random.Generator

    Returns
    -------
    sentence : str
    """
    words, remarks = _WORDS[language][mood], _REMARKS[language]
    one, other = rng.permutation(len(words))[:2]
    return remarks[int(rng.integers(len(remarks)))].format(words[one], words[other])
