"""What a run leaves in its folder: a record, rankings, embeddings or scores, and what was found first."""

import json

import numpy as np
from sklearn.utils import gen_batches

from mmfeat.comparison._task import pack, unpack
from mmfeat.utils._rows import unit_rows

# Items of each query that are kept for the page.
N_SHOWN = 5


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
    return tuple(np.load(file, mmap_mode="r") for file in files) if files[0].exists() else None


def read_scores(folder, split):
    """All scores of a finished run, by direction: for a second stage over a gallery that is not too large."""
    if (folder / f"{split}_scores.npz").exists():
        with np.load(folder / f"{split}_scores.npz") as kept:
            return {way: kept[way] for way in kept.files}
    images, texts = (unit_rows(np.asarray(part)) for part in read_embeddings(folder, split))
    cosines = images @ texts.T
    return {"i2t": cosines, "t2i": cosines.T}


def write_rankings(job, split, rankings):
    part = job.folder / f"{split}_ranks.part"
    with part.open("wb") as file:
        np.savez(file, **pack(rankings))
    part.replace(job.folder / f"{split}_ranks.npz")
    return {f"{split}_score": job.task.measure(rankings)}


def write_top(job, functions):
    """What is found first for each query of test."""
    found: dict = {}
    for way, (queries, score) in functions.items():
        whole = len(queries) if job.system.transductive else 1024
        blocks = [score(queries[rows]) for rows in gen_batches(len(queries), whole)]
        found[way] = np.concatenate([np.argsort(-block, axis=1, kind="stable")[:, :N_SHOWN] for block in blocks])
    part = job.folder / "test_top.part"
    with part.open("wb") as file:
        np.savez(file, **found)
    part.replace(job.folder / "test_top.npz")


def write_scores(job, split, functions):
    """All scores of a system that has no embeddings of its own, for a second stage."""
    part = job.folder / f"{split}_scores.part"
    scores: dict = {way: np.asarray(score(queries), "f4") for way, (queries, score) in functions.items()}
    with part.open("wb") as file:
        np.savez(file, **scores)
    part.replace(job.folder / f"{split}_scores.npz")


def write_array(path, array):
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, np.asarray(array, dtype=np.float32))
    part.replace(path)
