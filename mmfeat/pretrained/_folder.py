"""Folders of two-tower models: where they are, and which library they are of. Nothing in them is ever executed."""

import os
from functools import lru_cache
from pathlib import Path

from mmfeat.text._model_folder import read_json, weight_files
from mmfeat.utils._optional import import_optional

PURPOSE = "TwoTower"
OPEN_CLIP = "open_clip"
OPEN_CLIP_WEIGHTS = "open_clip_model.safetensors"
# Kinds of models as their config.json names them.
TRANSFORMERS = ("chinese_clip", "clip", "siglip")
_OPEN_CLIP_PREFIX = "hf-hub:"
_WORDS = ("*.json", "*.txt", "*.model")


def find_folder(model, revision):
    """Return the folder of a model: itself, or where the hub's files are kept, downloaded if need be.

    Parameters
    ----------
    model : str or os.PathLike
        On the hub ``"hf-hub:NAME"`` stands for the files of open_clip, ``"NAME"`` for those of transformers.
    revision : str or None

    Returns
    -------
    folder : pathlib.Path

    Raises
    ------
    FileNotFoundError
        If it is a path, and there is no such folder.
    OSError
        If the hub cannot be reached, or has no such model.
    ImportError
        If it is a name on the hub, and the client of the hub is not installed.
    """
    path = Path(model)
    if path.is_dir():
        return path
    name = str(model)
    bare = name.removeprefix(_OPEN_CLIP_PREFIX)
    # A name on the hub has one slash at most.
    if isinstance(model, os.PathLike) or path.is_absolute() or bare.startswith((".", "~")) or bare.count("/") > 1:
        raise FileNotFoundError(f"`model` names the folder {name!r}, which is not there. Correct the path.")
    folder = _download(bare, revision, bare != name)
    if not folder.is_dir():  # removed since
        _download.cache_clear()
        folder = _download(bare, revision, bare != name)
    return folder


@lru_cache(maxsize=64)
def _download(name, revision, open_clip):
    """Where the files of a model on the hub are; asked once a process, so that each fit of a grid search need not."""
    hub = import_optional("huggingface_hub", extra="pretrained", purpose=PURPOSE)
    both = ["model*.safetensors", "open_clip_*.safetensors"]
    mine, others = reversed(both) if open_clip else both
    patterns = {"allow_patterns": [*_WORDS, mine], "ignore_patterns": [others, "*/*"]}
    try:
        return Path(hub.snapshot_download(name, revision=revision, **patterns))
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise OSError(
            f"Could not get the model {name!r} from the Hugging Face hub ({type(error).__name__}: {reason}). Correct the "
            "name, pass the path of a folder, or go online once."
        ) from error


def kind_of(folder):
    """Say what a folder holds, looking at its configuration and the headers of its weights.

    Parameters
    ----------
    folder : pathlib.Path

    Returns
    -------
    kind : {"chinese_clip", "clip", "siglip", "open_clip"}

    Raises
    ------
    ValueError
        If it is no two-tower model that can be read, or its weights are missing, damaged or not in safetensors.
    """
    config = read_json(folder / "config.json", {})
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind in TRANSFORMERS:
        weight_files(folder)
        if not any((folder / f"model.safetensors{end}").is_file() for end in ("", ".index.json")):
            raise ValueError(f"{folder} holds no model.safetensors. Convert its weights with save_pretrained.")
        return kind
    if (folder / "open_clip_config.json").is_file():
        weight_files(folder)
        if not (folder / OPEN_CLIP_WEIGHTS).is_file():
            raise ValueError(f"{folder} holds no {OPEN_CLIP_WEIGHTS}. Convert its weights with open_clip.")
        return OPEN_CLIP
    found = "no config.json" if not config else f"a model of type {kind!r}"
    raise ValueError(
        f"{folder} holds {found}. Expected a two-tower model: one of {', '.join(TRANSFORMERS)} as transformers saves it, "
        "or of open_clip with its open_clip_config.json. Pass the folder of such a model."
    )
