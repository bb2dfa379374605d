"""Model files: skops, never a pickle, with a leaf that says which mmfeat wrote them."""

import importlib
import json
import zipfile

import mmfeat
from mmfeat.cli._files import whole_file

_LEAF = "mmfeat.json"
# Raised when a file written today could not be read by yesterday's code.
FORMAT = 1


class ModelFileError(ValueError):
    """The file is not a model of mmfeat, is damaged, or comes from a newer version."""


def save_model(retriever, path, force):
    """Write a fitted retriever.

    Parameters
    ----------
    retriever : Retriever
    path : path-like
    force : bool
        Replace a file that is there.
    """
    import skops.io

    with whole_file(path, force, "w+b") as file:
        skops.io.dump(retriever, file, compression=zipfile.ZIP_DEFLATED)
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(_LEAF, json.dumps({"format": FORMAT, "mmfeat": mmfeat.__version__}))


def load_model(path):
    """Read a retriever, building nothing but types of mmfeat and those of scikit-learn that skops trusts.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    retriever : Retriever

    Raises
    ------
    ModelFileError
        If the file is not ours, is damaged, holds other types, or was written by a newer version.
    FileNotFoundError
        If there is no such file.
    """
    import skops.io

    from mmfeat.retrieval import Retriever

    _check_leaf(path)
    try:
        foreign = skops.io.get_untrusted_types(file=path)
        strangers = [name for name in foreign if not _is_ours(name)]
        if strangers:
            raise ModelFileError(
                f"{path} holds the type {strangers[0]}, which is neither of mmfeat nor of scikit-learn, and was not loaded. "
                "Write the model anew with `mmfeat fit`."
            )
        model = skops.io.load(path, trusted=foreign)
    except (KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise ModelFileError(f"{path} is damaged ({error}). Write the model anew with `mmfeat fit`.") from error
    if not isinstance(model, Retriever):
        raise ModelFileError(f"{path} holds a {type(model).__name__}. Expected a Retriever, as `mmfeat fit` writes.")
    return model


def _check_leaf(path):
    try:
        with zipfile.ZipFile(path) as archive:
            leaf = json.loads(archive.read(_LEAF))
        written_in, written_by = leaf["format"], leaf["mmfeat"]
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} is not a model file of mmfeat. Name one that `mmfeat fit` wrote.") from error
    if not isinstance(written_in, int) or written_in > FORMAT:
        raise ModelFileError(
            f"{path} has format {written_in}, written by mmfeat {written_by}; this is mmfeat {mmfeat.__version__}, which reads "
            f"up to format {FORMAT}. Upgrade with: pip install --upgrade mmfeat"
        )


def _is_ours(name):
    """Whether a dotted name is a class that mmfeat itself defines: no function of ours may be called by a file."""
    module, _, attribute = name.rpartition(".")
    if module.split(".")[0] != "mmfeat":
        return False
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return False
    return isinstance(found, type) and found.__module__.split(".")[0] == "mmfeat"
