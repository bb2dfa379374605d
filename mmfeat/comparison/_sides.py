"""The features that systems work on, encoded once and kept in the work folder."""

import hashlib
import json
import time
from pathlib import Path

import joblib
import numpy as np
from scipy import sparse

from mmfeat.caching._fingerprint import fingerprint

SPLITS = ("train", "val", "test")


class Side:
    """Features of one kind for the three splits.

    Parameters
    ----------
    folder : Path
        Where they are kept.
    encoder : transformer or dict
        Fitted on train; or the features themselves, by split.
    values : dict of str to list
        Pictures or sentences of each split.
    """

    def __init__(self, folder, encoder, values):
        self._encoder, self._values = encoder, values
        self.digest = _digest_of(encoder, values)
        self.folder = Path(folder) / self.digest[:20]

    def prepare(self):
        """Encode, unless that was done; returns what it cost."""
        done = self.folder / "done.json"
        if not done.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            cost = self._from_arrays() if isinstance(self._encoder, dict) else self._encode()
            write_whole(done, json.dumps(cost))
        return json.loads(done.read_text("utf-8"))

    def load(self, split):
        """Features of a split, mapped into memory where they are a matrix."""
        return load_features(self.folder / split)

    def encoder(self):
        """The fitted encoder, or None where the features were given."""
        file = self.folder / "encoder.joblib"
        return joblib.load(file) if file.exists() else None

    def _from_arrays(self):
        for split in SPLITS:
            save_features(self.folder / split, self._encoder[split])
        return {"fit_seconds": None, "milliseconds_each": None}

    def _encode(self):
        start = time.perf_counter()
        first = self._encoder.fit_transform(self._values["train"])
        fitting = time.perf_counter() - start
        save_features(self.folder / "train", first)
        start = time.perf_counter()
        for split in SPLITS[1:]:
            save_features(self.folder / split, self._encoder.transform(self._values[split]))
        taken = time.perf_counter() - start
        joblib.dump(self._encoder, self.folder / "encoder.part")
        (self.folder / "encoder.part").replace(self.folder / "encoder.joblib")
        each = 1000 * taken / sum(len(self._values[split]) for split in SPLITS[1:])
        return {"fit_seconds": fitting, "milliseconds_each": each}


def save_features(path, features):
    """Keep a matrix, a sparse matrix or a list of bags; whole or not at all."""
    part = path.with_suffix(".part")
    if sparse.issparse(features):
        with part.open("wb") as file:
            sparse.save_npz(file, sparse.csr_matrix(features))
        part.replace(path.with_suffix(".npz"))
    elif isinstance(features, np.ndarray) and features.dtype != object:
        with part.open("wb") as file:
            np.save(file, np.ascontiguousarray(features))
        part.replace(path.with_suffix(".npy"))
    else:
        lengths = np.array([len(bag) for bag in features])
        with part.open("wb") as file:
            np.savez(file, rows=np.concatenate(list(features)), lengths=lengths)
        part.replace(path.with_suffix(".bags"))


def load_features(path):
    """What :func:`save_features` kept."""
    if path.with_suffix(".npy").exists():
        return np.load(path.with_suffix(".npy"), mmap_mode="r")
    if path.with_suffix(".npz").exists():
        return sparse.load_npz(path.with_suffix(".npz"))
    with np.load(path.with_suffix(".bags")) as kept:
        return np.split(kept["rows"], np.cumsum(kept["lengths"])[:-1])


def take(features, rows):
    """Rows of a matrix or of a list of bags."""
    return [features[row] for row in rows] if isinstance(features, list) else features[rows]


def write_whole(path, text):
    """Write a small file whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def digest(*parts):
    """A name for what a file depends on."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


def _digest_of(encoder, values):
    if not isinstance(encoder, dict):
        return digest(
            fingerprint(encoder, state=False).hex(), *(_identity(value) for split in SPLITS for value in values[split])
        )
    missing = [split for split in SPLITS if split not in encoder]
    if missing:
        raise ValueError(f"Features that are given need the splits {list(SPLITS)}. Missing: {missing}.")
    for split in SPLITS:
        rows = encoder[split].shape[0] if hasattr(encoder[split], "shape") else len(encoder[split])
        if rows != len(values[split]):
            raise ValueError(f"The features given for {split} have {rows} rows for {len(values[split])} items.")
    return digest(*(joblib.hash(encoder[split]) for split in SPLITS))


def _identity(value):
    # Files by name, size and time; pictures in memory by content.
    if isinstance(value, str) or hasattr(value, "__fspath__"):
        path = Path(value) if len(str(value)) < 4096 else None
        try:
            status = path.stat() if path is not None else None
        except OSError:
            status = None
        return f"{value} {status.st_size} {status.st_mtime_ns}" if status is not None else str(value)
    return joblib.hash(np.asarray(value))
