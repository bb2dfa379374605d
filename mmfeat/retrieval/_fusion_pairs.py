"""What a fusion of scores needs of a pairs table: rows held out, and the scores of every retriever on them."""

import numpy as np

from mmfeat.retrieval._fusion_members import score_function
from mmfeat.retrieval._fusion_rules import normalized
from mmfeat.retrieval._fusion_weights import choose_weights
from mmfeat.retrieval._scores import checked_unit_rows
from mmfeat.utils._compat import _safe_indexing
from mmfeat.utils._pairs import split_pairs

# Images that scales and weights are learned from: a recall at 10 is known well enough, and memory stays small.
_MAX_IMAGES = 1000
_MIN_IMAGES = 10


def rows_of(values, rows):
    """Rows of a table or column, None of None."""
    return None if values is None else _safe_indexing(values, rows)


def split_rows(n_images, fraction, rng):
    """Positions of the images to fit on and of those held out, both ascending."""
    order = rng.permutation(n_images)
    n_held = round(fraction * n_images)
    if n_held < _MIN_IMAGES or n_held == n_images:
        raise ValueError(
            f"Weights are learned from at least {_MIN_IMAGES} held-out images. `validation_fraction`={fraction} of {n_images} "
            f"images leaves {n_held}. Enlarge it, pass more pairs, or give `weights`."
        )
    return np.sort(order[n_held:]), np.sort(order[:n_held])


def some_rows(rows, rng):
    """The rows, or a draw of so many as are looked at."""
    return rows if len(rows) <= _MAX_IMAGES else np.sort(rng.choice(rows, _MAX_IMAGES, replace=False))


def scores_of_all(members, pairs, image, text):
    """Scores of all pictures and sentences of a table by each retriever, and their standard deviations.

    Parameters
    ----------
    members : list of estimator
    pairs : DataFrame or object ndarray of shape (n_images, 2)
    image, text : str

    Returns
    -------
    i2t, t2i : list of ndarray, dtype float32
        Of shapes (n_images, n_texts) and (n_texts, n_images).
    scales : ndarray of shape (n_retrievers,)
    groups : ndarray of shape (n_texts,)
    """
    parts = split_pairs(pairs, image, text)
    i2t, t2i, scales = [], [], []
    for member in members:
        images, texts = (
            checked_unit_rows(encoded, "encodings")
            for encoded in (member.encode_image(parts.images), member.encode_text(parts.texts))
        )
        i2t.append(np.asarray(score_function(member, texts, "image")(images), dtype=np.float32))
        t2i.append(np.asarray(score_function(member, images, "text")(texts), dtype=np.float32))
        scale = (i2t[-1].std(dtype=np.float64) + t2i[-1].std(dtype=np.float64)) / 2
        scales.append(scale if scale > 0 else 1.0)
    return i2t, t2i, np.array(scales), parts.groups


def learn_weights(members, pairs, image, text, how):
    """Attributes of a fusion that are learned from pairs that the retrievers have not seen; `how` to normalise."""
    i2t, t2i, scales, groups = scores_of_all(members, pairs, image, text)
    if len(i2t[0]) < _MIN_IMAGES:
        raise ValueError(f"Weights are learned from at least {_MIN_IMAGES} images. Got {len(i2t[0])}. Pass more pairs.")
    if how != "global":
        scales = np.ones(len(members))
    i2t, t2i = (
        [normalized(scores, how, np.float32(scale)) for scores, scale in zip(part, scales, strict=True)]
        for part in (i2t, t2i)
    )
    weights, recall = choose_weights(i2t, t2i, groups)
    return {"weights_": weights, "validation_score_": recall, "scales_": scales}
