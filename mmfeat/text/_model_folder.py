"""Folders of language models: where they are, what they hold, and their digest. Nothing in them is ever executed."""

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path

from mmfeat.utils._optional import import_optional

# Files that decide what a model makes of a text.
_KINDS = ("*.safetensors", "*.json", "*.txt", "*.model")
_PURPOSE = "PretrainedTextFeatures"
# Modules of sentence-transformers that need nothing beyond this package; the result is not normalised either way.
_KNOWN_MODULES = {"Transformer", "Pooling", "Normalize", "StaticEmbedding"}


def find_folder(model, revision):
    """Return the folder of a model: itself, or where the hub's files are kept, downloaded if need be.

    Parameters
    ----------
    model : str or os.PathLike
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
    if isinstance(model, os.PathLike) or path.is_absolute() or str(model).startswith(".") or str(model).count("/") > 1:
        raise FileNotFoundError(f"`model` names the folder {str(model)!r}, which is not there. Correct the path.")
    hub = import_optional("huggingface_hub", extra="pretrained", purpose=_PURPOSE)
    patterns = [pattern for kind in _KINDS for pattern in (kind, f"*/{kind}")]
    try:
        return Path(hub.snapshot_download(model, revision=revision, allow_patterns=patterns, ignore_patterns="onnx/*"))
    except (OSError, ValueError) as error:
        raise OSError(
            f"Could not get the model {model!r} from the Hugging Face hub ({type(error).__name__}: {error}). Pass the "
            "path of a folder, or go online once."
        ) from error


def digest(folder):
    """SHA-256 over the files of a model that decide its result; each is read once as long as it does not change.

    Parameters
    ----------
    folder : pathlib.Path

    Returns
    -------
    digest : str
    """
    total = hashlib.sha256()
    for file in sorted({file for kind in _KINDS for file in folder.rglob(kind)}):
        status = file.stat()
        part = _digest_file(str(file.resolve()), status.st_size, status.st_mtime_ns)
        total.update(f"{file.relative_to(folder).as_posix()}\0{part}\n".encode())
    return total.hexdigest()


@lru_cache(maxsize=1024)
def _digest_file(path, size, modified):
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _in_blocks(file)


def _in_blocks(file):
    # Python 3.10 has no file_digest.
    total = hashlib.sha256()
    while block := file.read(1 << 20):
        total.update(block)
    return total.hexdigest()


def read_json(path, default=None):
    """Content of a JSON file, or `default` if it is not there.

    Parameters
    ----------
    path : pathlib.Path
    default : object

    Returns
    -------
    content : object

    Raises
    ------
    ValueError
        If the file is no JSON.
    """
    if not path.is_file():
        return default
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}). Fetch the model anew.") from error


def modules(folder):
    """Kinds and folders of the modules of a model of sentence-transformers; none for other models.

    Parameters
    ----------
    folder : pathlib.Path

    Returns
    -------
    found : dict of str to pathlib.Path

    Raises
    ------
    ValueError
        If one of them is of a kind that this package does not compute.
    """
    rows = read_json(folder / "modules.json", [])
    if not all(isinstance(row, dict) and {"type", "path"} <= set(row) for row in rows):
        raise ValueError(
            f"{folder / 'modules.json'} does not say the type and the path of each module. Fetch the model anew."
        )
    found = {row["type"].rpartition(".")[2]: folder / row["path"] for row in rows}
    strangers = sorted(set(found) - _KNOWN_MODULES)
    if strangers:
        raise ValueError(
            f"The model in {folder} has a module {strangers[0]}, which PretrainedTextFeatures does not compute. Use a "
            f"model that has only {', '.join(sorted(_KNOWN_MODULES))}."
        )
    return found


def own_pooling(parts):
    """The pooling that a model of sentence-transformers asks for; "mean" where it does not say.

    Parameters
    ----------
    parts : dict of str to pathlib.Path

    Returns
    -------
    pooling : {"mean", "cls"}

    Raises
    ------
    ValueError
        If it is another.
    """
    config = read_json(parts["Pooling"] / "config.json", {}) if "Pooling" in parts else {}
    # Flags until version 5 of sentence-transformers, a name since.
    flags = {name.removeprefix("pooling_mode_") for name, value in config.items() if value is True}
    named = config.get("pooling_mode")
    if named:
        asked = {named} if isinstance(named, str) else set(named)
    else:
        asked = flags - {"include_prompt"}
    if not asked or asked <= {"mean_tokens", "mean"}:
        return "mean"
    if asked <= {"cls_token", "cls"}:
        return "cls"
    raise ValueError(f"The model asks for the pooling {sorted(asked)}. Choose pooling='mean' or 'cls' yourself.")


def weight_files(folder):
    """The safetensors files in a folder, or say why weights of another kind are not read.

    Parameters
    ----------
    folder : pathlib.Path

    Returns
    -------
    files : list of pathlib.Path

    Raises
    ------
    ValueError
        If there is none, or one is damaged.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = sorted(file.name for kind in ("*.bin", "*.pt", "*.pth") for file in folder.glob(kind))
        also = f" {pickled[0]} is a pickle, which can run code, and is not read." if pickled else ""
        raise ValueError(f"{folder} holds no weights in *.safetensors.{also} Convert them with save_pretrained.")
    for file in files:
        _check_header(file)
    return files


def _check_header(file):
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):
            pass
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged ({error}). Fetch the model anew.") from error
