"""The features that systems work on, encoded once and kept in the work folder."""

import contextlib
import hashlib
import json
import os
import time
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np
from scipy import sparse

from mmfeat.caching._fingerprint import fingerprint

SPLITS = ("train", "val", "test")
# To be raised when a change to this library changes figures: runs of before are then not taken for those of now.
REVISION = 1
_LIBRARIES = tuple(version(name) for name in ("numpy", "scipy", "scikit-learn", "torch"))


class Side:
    """Features of one kind for the three splits.

    Parameters
    ----------
    folder : Path
        Where they are kept.
    name : str
        What messages call it.
    encoder : transformer or dict
        Fitted on train; or the features themselves, by split.
    values : dict of str to list
        Pictures or sentences of each split.
    are_pictures : bool
        Whether a str among them is the name of a file.
    """

    def __init__(self, folder, name, encoder, values, are_pictures):
        self._encoder, self._values = encoder, values
        if isinstance(encoder, dict):
            self.digest = _digest_of_features(name, encoder, values)
        else:
            identity = _identity_of_picture if are_pictures else str
            items = [part for split in SPLITS for part in (split, len(values[split]), *map(identity, values[split]))]
            self.digest = digest("encoder", fingerprint(encoder, state=False).hex(), *items)
        self.folder = Path(folder) / self.digest[:20]

    def prepare(self):
        """Encode, unless that was done; returns what it cost."""
        done = self.folder / "done.json"
        with alone(self.folder):
            if not done.exists():
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
        with whole(self.folder / "encoder.joblib") as part:
            joblib.dump(self._encoder, part)
        each = 1000 * taken / sum(len(self._values[split]) for split in SPLITS[1:])
        return {"fit_seconds": fitting, "milliseconds_each": each}


def save_features(path, features):
    """Keep a matrix, a sparse matrix or a list of bags; whole or not at all."""
    if hasattr(features, "to_numpy"):
        features = features.to_numpy()
    if sparse.issparse(features):
        with whole(path.with_suffix(".npz")) as part, part.open("wb") as file:
            sparse.save_npz(file, sparse.csr_matrix(features))
    elif isinstance(features, np.ndarray) and features.dtype != object:
        with whole(path.with_suffix(".npy")) as part, part.open("wb") as file:
            np.save(file, np.ascontiguousarray(features))
    else:
        lengths = np.array([len(bag) for bag in features])
        with whole(path.with_suffix(".bags")) as part, part.open("wb") as file:
            np.savez(file, rows=np.concatenate(list(features)), lengths=lengths)


def load_features(path):
    """What :func:`save_features` kept."""
    if path.with_suffix(".npy").exists():
        # Writable, as some kernels of scikit-learn ask for; what is written never reaches the file.
        return np.load(path.with_suffix(".npy"), mmap_mode="c")
    if path.with_suffix(".npz").exists():
        return sparse.load_npz(path.with_suffix(".npz"))
    with np.load(path.with_suffix(".bags")) as kept:
        return np.split(kept["rows"], np.cumsum(kept["lengths"])[:-1])


def take(features, rows):
    """Rows of a matrix or of a list of bags."""
    return [features[row] for row in rows] if isinstance(features, list) else features[rows]


@contextlib.contextmanager
def whole(path):
    """A name of one's own to write to, that becomes `path` when all is written."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path, text):
    """Write a small file whole or not at all."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def alone(folder):
    """Work in a folder that no other process works in; one that was killed leaves no lock behind."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        # Without locks two processes do the same work twice; files are whole all the same.
        yield
        return
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def digest(*parts):
    """A name for what a file depends on: all parts, each with its length, and the libraries that compute."""
    made = hashlib.sha256()
    for part in (REVISION, *_LIBRARIES, *parts):
        text = str(part).encode("utf-8", "surrogatepass")
        made.update(len(text).to_bytes(8, "little"))
        made.update(text)
    return made.hexdigest()


def _digest_of_features(name, features, values):
    missing = [split for split in SPLITS if split not in features]
    if missing:
        raise ValueError(f"Features that are given ({name!r}) need the splits {list(SPLITS)}. Missing: {missing}.")
    for split in SPLITS:
        rows = features[split].shape[0] if hasattr(features[split], "shape") else len(features[split])
        if rows != len(values[split]):
            raise ValueError(
                f"The features given for {split} ({name!r}) have {rows} rows for {len(values[split])} items."
            )
        matrix = features[split].data if sparse.issparse(features[split]) else features[split]
        if hasattr(matrix, "dtype") and matrix.dtype.kind == "f" and not np.isfinite(matrix).all():
            raise ValueError(
                f"The features given for {split} ({name!r}) hold NaN or infinity. Drop or impute these rows."
            )
    return digest("features", *(joblib.hash(features[split]) for split in SPLITS))


def _identity_of_picture(value):
    # Files by name, size and time; pictures in memory by content.
    if isinstance(value, str) or hasattr(value, "__fspath__"):
        try:
            status = Path(value).stat()
        except (OSError, ValueError):
            return str(value)
        return f"{value} {status.st_size} {status.st_mtime_ns}"
    if hasattr(value, "getpalette"):
        return joblib.hash((value.mode, value.size, value.tobytes(), value.getpalette()))
    return joblib.hash(value if isinstance(value, bytes) else np.asarray(value))
