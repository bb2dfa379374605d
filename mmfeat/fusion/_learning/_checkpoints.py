"""A training as plain arrays: kept in a file or in an estimator, and gone on from."""

import hashlib
import json
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from scipy import sparse

from mmfeat.fusion._learning._training import parameters_of

_VERSION = 1


def snapshot(training):
    """Everything that the next epoch depends on.

    Parameters
    ----------
    training : Training

    Returns
    -------
    arrays : dict of str to ndarray
    record : dict
        Ready for JSON.
    """
    arrays = {f"parameter {i}": _array(part) for i, part in enumerate(_all_parameters(training))}
    moments = training.optimizer.state_dict()["state"]
    for i, state in moments.items():
        arrays.update({f"{name} {i}": _array(value) for name, value in state.items()})
    arrays.update({f"best {i}": part for i, part in enumerate(training.state.best)})
    noise = training.noise.state()
    if noise["generator"] is not None:
        arrays["generator"] = noise["generator"]
    state = training.state
    record = {
        "curves": [state.loss_curve, state.validation_curve],
        "epoch": state.epoch,
        "best": [state.best_epoch, state.best_score],
        "stopped": state.stopped,
        "step": training.step,
        "order": training.order.bit_generator.state,
        "noise": noise["words"],
    }
    return arrays, record


def restore(training, arrays, record):
    """Set a new training to where a snapshot was taken.

    Parameters
    ----------
    training : Training
        Of the same parameters and shapes.
    arrays : mapping of str to ndarray
    record : dict
    """
    import torch

    with torch.no_grad():
        for i, part in enumerate(_all_parameters(training)):
            part.copy_(torch.from_numpy(arrays[f"parameter {i}"]))
    moments = training.optimizer.state_dict()
    names = {name.rpartition(" ")[0] for name in arrays} - {"parameter", "best", ""}
    for i, part in enumerate(part for group in training.optimizer.param_groups for part in group["params"]):
        found = {name: arrays[f"{name} {i}"] for name in names if f"{name} {i}" in arrays}
        if found:
            moments["state"][i] = {name: _laid_out(value, part) for name, value in found.items()}
    training.optimizer.load_state_dict(moments)
    state = training.state
    state.loss_curve, state.validation_curve = map(list, record["curves"])
    state.epoch, state.stopped = record["epoch"], record["stopped"]
    state.best_epoch, state.best_score = record["best"]
    state.best = [np.array(arrays[f"best {i}"]) for i in range(sum(name.startswith("best ") for name in arrays))]
    training.step = record["step"]
    training.order.bit_generator.state = record["order"]
    training.noise.restore({"words": record["noise"], "generator": arrays.get("generator")})


def load_parameters(heads, values):
    """Give heads the weights of an epoch."""
    import torch

    with torch.no_grad():
        for part, value in zip(parameters_of(heads), values, strict=True):
            part.copy_(torch.from_numpy(value))


class Checkpoint:
    """A file that holds a training, written anew after each epoch and removed when all is done.

    Parameters
    ----------
    path : str or os.PathLike
    identity : str
        Of the settings and the data; a file of another training is refused.
    """

    def __init__(self, path, identity):
        self.path, self.identity = Path(path), identity

    def save(self, training, number, finished, outcomes):
        """Write the training in place of what was there, or not at all.

        Parameters
        ----------
        training : Training
        number : int
            Which member of the ensemble it is.
        finished : list of list of ndarray
            Weights of the members before it.
        outcomes : list
            Their curves and best epochs.
        """
        arrays, record = snapshot(training)
        record |= {"version": _VERSION, "identity": self.identity, "member": number, "outcomes": outcomes}
        for place, weights in enumerate(finished):
            arrays.update({f"finished {place} {i}": value for i, value in enumerate(weights)})
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name}-", dir=self.path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                np.savez(stream, record=np.frombuffer(json.dumps(record).encode(), dtype=np.uint8), **arrays)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(self.path)
        finally:
            Path(name).unlink(missing_ok=True)

    def load(self):
        """Return the arrays and the record, or None if there is no file.

        Raises
        ------
        ValueError
            If the file is no checkpoint or is that of another training.
        """
        if not self.path.exists():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            record = json.loads(bytes(arrays.pop("record")))
            version, identity = record["version"], record["identity"]
        except (KeyError, OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"'{self.path}' is no checkpoint of a training ({error}). Remove it, or name another."
            ) from error
        if (version, identity) != (_VERSION, self.identity):
            raise ValueError(
                f"'{self.path}' is the checkpoint of a training with other parameters or data. Remove it to begin anew, or "
                "name another file."
            )
        return arrays, record

    def remove(self):
        """Remove the file, the training being done."""
        self.path.unlink(missing_ok=True)


def identity_of(name, parameters, *arrays):
    """Digest of what a training depends on.

    Parameters
    ----------
    name : str
        Of the class.
    parameters : dict
        Its parameters, with a ``repr`` that tells them apart.
    *arrays : ndarray, sparse matrix, list of ndarray, or None

    Returns
    -------
    identity : str
    """
    sha = hashlib.sha256()
    # The address of a function is another one in each process.
    plain = {key: getattr(value, "__qualname__", None) or repr(value) for key, value in parameters.items()}
    sha.update(repr((name, sorted(plain.items()))).encode())
    for array in arrays:
        for part in _parts(array):
            sha.update(f"{part.dtype.str}{part.shape}".encode())
            if part.size:  # of nothing there is no buffer
                sha.update(np.ascontiguousarray(part).data)
    return sha.hexdigest()


def _parts(array):
    if array is None:
        return []
    if isinstance(array, list):
        return [np.asarray(bag) for bag in array]
    if sparse.issparse(array):
        return [array.data, array.indices, array.indptr]
    return [np.asarray(array)]


def _all_parameters(training):
    return [*parameters_of([*training.heads, *training.decoders]), *training.learned.values()]


def _laid_out(value, part):
    """A tensor with the strides of its parameter: the fused optimizer walks through memory without a look at them."""
    import torch

    value = torch.from_numpy(np.array(value))
    return torch.empty_like(part).copy_(value) if value.ndim and value.shape == part.shape else value


def _array(value):
    return value.detach().cpu().numpy().copy()
