"""Weights of networks: found by torchvision's name or as a file, read safely, known by their digest."""

import difflib
import hashlib
import os
import pickle
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlparse

_READ_ERRORS = (
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)

# Heads that only training uses; files with and without them are about.
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")

# densenet weights published before 2018 write "norm.1" for "norm1".
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")


def near_matches(name, known):
    """Return a question such as ``. Did you mean 'a' or 'b'?`` without its mark's end, or an empty string."""
    matches = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return ". Did you mean " + " or ".join(map(repr, matches)) + "?" if matches else ""


def find_weights(model, weights, *, verbose=False):
    """Return the file that holds the weights, downloading it if torchvision publishes it and it is not here yet.

    Parameters
    ----------
    model : str or callable
        Network of torchvision, of timm (``"timm/NAME"``) or of the user.
    weights : str, os.PathLike or None
        A name such as ``"DEFAULT"`` or ``"IMAGENET1K_V1"``, a file, or None for a random network.
    verbose : bool, default=False
        Show the progress of a download.

    Returns
    -------
    path : pathlib.Path or None
        None for a random network, and for weights that the model itself brings along.

    Raises
    ------
    ValueError
        If it is neither the name of weights nor a file.
    OSError
        If the download fails.
    """
    if weights is None:
        return None
    if weights == "DEFAULT" and not _of_torchvision(model):
        return None
    named = published(model, weights)
    if named is not None:
        return _download(named, verbose)
    path = Path(weights)
    if not path.is_file():
        raise ValueError(f"`weights`={os.fspath(weights)!r} is no existing file, and {_choices(model, weights)}")
    return path


def published(model, weights, *, fallback=False):
    """Return the entry of torchvision for weights by name, or None.

    Parameters
    ----------
    model : str or callable
    weights : str, os.PathLike or None
    fallback : bool, default=False
        For weights that have no name, such as a file, take the default ones of the model.

    Returns
    -------
    entry : torchvision.models.WeightsEnum or None
    """
    from torchvision import models

    if not _of_torchvision(model):
        return None
    if isinstance(weights, str) and weights in _names(model):
        return models.get_model_weights(model)[weights]
    return models.get_model_weights(model).DEFAULT if fallback else None


def digest(path):
    """Return the SHA-256 of a file in hexadecimal, or None for None; remembered until the file changes."""
    if path is None:
        return None
    return _digest(stamp(path))


def stamp(path):
    """Return what changes when a file does: its absolute path, times of change (ns), size (bytes) and inode.

    Links are kept, their names too: caches of downloads link ``model.safetensors`` to a file that has no suffix.
    """
    status = path.stat()
    return str(path.absolute()), status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def read_weights(path):
    """Read a state dict, running no code from the file.

    Parameters
    ----------
    path : pathlib.Path
        ``.safetensors`` by name or content, or anything else as a file of ``torch.save``.

    Returns
    -------
    state : dict of str to torch.Tensor

    Raises
    ------
    ValueError
        If the file is damaged, no file of weights, or holds something else than a state dict.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if _is_safetensors(path):
            state: Mapping = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (*_READ_ERRORS, SafetensorError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"The file '{path}' could not be read as weights: {reason}. Expected a state dict saved by "
            f"torch.save(model.state_dict(), ...) or a .safetensors file."
        ) from error
    for key in ("state_dict", "model"):  # training scripts wrap it
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ValueError(
            f"The file '{path}' holds {type(state).__name__} that is no state dict (names and tensors). "
            f"Save it with torch.save(model.state_dict(), ...)."
        )
    return state


def load_weights(network, state, path, model):
    """Put a state dict into a network.

    Raises
    ------
    ValueError
        If names or shapes differ from those of the network.
    """
    metadata = getattr(state, "_metadata", None) or network.state_dict()._metadata
    renamed = type(network.state_dict())((_rename(key), value) for key, value in state.items())
    renamed._metadata = metadata  # says which version of a layer wrote the file
    try:
        result = network.load_state_dict(renamed, strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:4]]
        raise ValueError(f"The weights in '{path}' do not fit {model}: {' '.join(lines)}") from error
    missing = [k for k in result.missing_keys if not k.startswith(_AUXILIARY) and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in result.unexpected_keys if not k.startswith(_AUXILIARY)]
    if missing or unexpected:
        raise ValueError(
            f"The weights in '{path}' do not fit {model}: {_count(missing)} missing, {_count(unexpected)} unknown. "
            f"Set `model` to the network they were saved from."
        )


def _rename(key):
    return _OLD_DENSENET.sub(r"\1\2", key.removeprefix("module."))


def _count(names):
    return f"{len(names)} names" + (f" ({', '.join(names[:3])}, ...)" if names else "")


def _names(model):
    from torchvision import models

    return ["DEFAULT", *(member.name for member in models.get_model_weights(model))]


def _of_torchvision(model):
    return isinstance(model, str) and not model.startswith("timm/")


def _choices(model, weights):
    if not _of_torchvision(model):
        return (
            "no other names are known for this model. Pass a file, or 'DEFAULT' for the weights that it brings along."
        )
    names = _names(model)
    return f"no name of weights of {model} ({', '.join(names)}){near_matches(str(weights), names) or '.'}"


def _is_safetensors(path):
    """Whether a file is one by its name, or begins as one: 8 bytes of length, then JSON."""
    if path.suffix == ".safetensors":
        return True
    with path.open("rb") as stream:
        start = stream.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size


def _download(published, verbose):
    import torch

    path = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(published.url).path).name)
    if not path.is_file():
        try:
            published.get_state_dict(progress=bool(verbose), check_hash=True)
        except (OSError, RuntimeError) as error:
            raise OSError(
                f"Could not download the weights {published} from {published.url}: {error}. "
                f"Download that file on another machine and pass its path as `weights`."
            ) from error
    return path


@lru_cache(maxsize=16)
def _digest(file_stamp):
    sha = hashlib.sha256()
    with Path(file_stamp[0]).open("rb") as stream:
        while block := stream.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()
