"""What a run leaves in its folder: a record, rankings, embeddings or scores, and what was found first."""

import json

import numpy as np
from sklearn.utils import gen_batches

from mmfeat.comparison._sides import whole
from mmfeat.comparison._task import pack, unpack
from mmfeat.utils._rows import unit_rows

# Items of each query that are kept for the page.
N_SHOWN = 5
# Scores held at a time.
_BLOCK_SCORES = 1 << 23


def is_done(folder):
    """Whether a run was finished."""
    return (folder / "record.json").exists()


def read_record(folder):
    """Settings, score and cost of a finished run."""
    return json.loads((folder / "record.json").read_text("utf-8"))


def read_rankings(folder, split):
    """Rankings of a finished run."""
    with np.load(folder / f"{split}_ranks.npz") as kept:
        return unpack(kept)


def read_embeddings(folder, split):
    """Embeddings of a finished run, pictures and sentences, or None if it only has scores."""
    files = [folder / f"{split}_{kind}.npy" for kind in ("images", "texts")]
    return tuple(np.load(file, mmap_mode="c") for file in files) if files[0].exists() else None


def read_scores(folder, split):
    """All scores of a finished run, by direction: for a second stage over a gallery that is not too large."""
    if (folder / f"{split}_scores.npz").exists():
        with np.load(folder / f"{split}_scores.npz") as kept:
            return {way: kept[way] for way in kept.files}
    images, texts = (unit_rows(np.asarray(part)) for part in read_embeddings(folder, split))
    cosines = images @ texts.T
    return {"i2t": cosines, "t2i": cosines.T}


def write_rankings(job, split, rankings):
    """Rankings of a split; returns its score for the record."""
    _write_arrays(job.folder / f"{split}_ranks.npz", pack(rankings))
    return {f"{split}_score": job.task.measure(rankings)}


def write_top(job, functions):
    """What is found first for each query of test."""
    found = {}
    for way, (queries, score) in functions.items():
        n_gallery = job.task.gallery_size("test", way)
        rows = len(queries) if job.system.transductive else max(1, _BLOCK_SCORES // n_gallery)
        found[way] = np.concatenate([_first(score(queries[block])) for block in gen_batches(len(queries), rows)])
    _write_arrays(job.folder / "test_top.npz", found)


def write_scores(job, split, functions):
    """All scores of a system that has no embeddings of its own, for a second stage."""
    scores = {way: np.asarray(score(queries), "f4") for way, (queries, score) in functions.items()}
    _write_arrays(job.folder / f"{split}_scores.npz", scores)


def write_array(path, array):
    """A matrix in single precision."""
    with whole(path) as part, part.open("wb") as file:
        np.save(file, np.asarray(array, dtype=np.float32))


def _write_arrays(path, arrays):
    with whole(path) as part, part.open("wb") as file:
        np.savez(file, **arrays)


def _first(scores):
    """Best columns of each row, best first."""
    n_shown = min(N_SHOWN, scores.shape[1])
    best = np.sort(np.argpartition(-scores, n_shown - 1, axis=1)[:, :n_shown], axis=1)
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)
