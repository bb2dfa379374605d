"""What cannot be compared, told before the work."""

import numpy as np

from mmfeat.comparison._run import MOST_SCORES
from mmfeat.comparison._sides import SPLITS
from mmfeat.comparison._systems import Reranked
from mmfeat.comparison._task import Task
from mmfeat.utils._groups import group_codes
from mmfeat.utils._pairs import identity, split_pairs

# Pictures of val and test, below which rsum is not defined.
_MIN_GALLERY = 10


def check_importable(system):
    """Refuse what a process of its own cannot import."""
    for estimator in (getattr(system, "fusion", None), getattr(system, "scorer", None)):
        parts = [estimator, *estimator.get_params().values()] if estimator is not None else []
        for part in parts:
            if type(part).__module__ == "__main__" or getattr(part, "__module__", None) == "__main__":
                name = getattr(part, "__name__", type(part).__name__)
                raise ValueError(
                    f"{system.name!r} uses {name}, which the script itself defines, and a process of its own cannot import "
                    "that. Put it into a module, or pass isolate=False."
                )


def check_second_stages(systems, task):
    """A second stage holds all scores of the first."""
    size = max(task.n_images[split] * len(task.groups[split]) for split in SPLITS[1:])
    for system in systems:
        if isinstance(system, Reranked) and size > MOST_SCORES:
            raise ValueError(
                f"{system.name!r} looks at a gallery of {size:,} scores; a second stage takes at most {MOST_SCORES:,}. Use a "
                "smaller val and test, or `mmfeat.retrieval.rerank` on what a search found."
            )


def make_task(splits, labels, relevance):
    """What is right for each query, and the pictures and sentences of the splits, if all of it can be compared."""
    if relevance not in ("pair", "label"):
        raise ValueError(f"`relevance` must be 'pair' or 'label'. Got {relevance!r} instead.")
    missing = [split for split in SPLITS if split not in splits]
    if missing:
        raise ValueError(f"`splits` must hold pairs tables for {list(SPLITS)}. Missing: {missing}.")
    if relevance == "label" and labels is None:
        raise ValueError("relevance='label' needs `labels`, the classes of the pictures of each split.")
    parts = {split: split_pairs(splits[split]) for split in SPLITS}
    _refuse_shared(parts)
    for split in SPLITS[1:]:
        n_images = len(parts[split].images)
        if relevance == "pair" and n_images < _MIN_GALLERY:
            raise ValueError(
                f"recall@{_MIN_GALLERY} needs at least {_MIN_GALLERY} pictures in {split}. Got {n_images}. Use more pairs."
            )
    if labels is not None:
        labels = {split: _check_labels(labels, split, len(part.images)) for split, part in parts.items()}
    task = Task(
        {split: part.groups for split, part in parts.items()},
        {split: len(part.images) for split, part in parts.items()},
        labels,
        relevance == "label",
    )
    values = {
        "image": {split: list(part.images) for split, part in parts.items()},
        "text": {split: list(part.texts) for split, part in parts.items()},
    }
    return task, values


def _refuse_shared(parts):
    """A picture in two splits makes every figure too good."""
    seen: dict = {}
    for split, part in parts.items():
        for row, image in enumerate(part.images):
            other = seen.setdefault(identity(image), (split, row))
            if other[0] != split:
                raise ValueError(
                    f"The picture in row {other[1]} of {other[0]} is also in row {row} of {split}. Leave it out of one; "
                    "`mmfeat.retrieval.find_duplicates` lists all of these."
                )


def _check_labels(labels, split, n_images):
    if split not in labels:
        raise ValueError(f"`labels` must hold classes for {list(SPLITS)}. Missing: {split!r}.")
    values = np.asarray(labels[split])
    if values.shape != (n_images,):
        raise ValueError(f"labels[{split!r}] has {len(values)} values for {n_images} pictures (shape {values.shape}).")
    group_codes(values, f"labels[{split!r}]")
    return values
