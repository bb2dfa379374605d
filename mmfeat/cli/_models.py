"""Model files: skops, never a pickle, with a leaf that says which mmfeat wrote them."""

import importlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
from sklearn.utils.validation import check_is_fitted

import mmfeat
from mmfeat.cli._files import whole_file
from mmfeat.image import CNNFeatures

_LEAF = "mmfeat.json"
# Raised when a file written today could not be read by yesterday's code.
FORMAT = 1


class ModelFileError(ValueError):
    """The file is not a model of mmfeat, is damaged, or comes from a newer version."""


def save_model(retriever, path, force):
    """Write a fitted retriever, its steps made silent: whoever loads it decides what is shown.

    Parameters
    ----------
    retriever : Retriever
    path : path-like
    force : bool
        Replace a file that is there.
    """
    import skops.io

    set_verbose(retriever, False)
    with whole_file(path, force, "w+b") as file:
        skops.io.dump(retriever, file, compression=zipfile.ZIP_DEFLATED)
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(_LEAF, json.dumps({"format": FORMAT, "mmfeat": mmfeat.__version__}))


def load_model(path, weights=None):
    """Read a retriever, building nothing but types of mmfeat and those of scikit-learn that skops trusts.

    Parameters
    ----------
    path : path-like
    weights : path-like or None, default=None
        Where the weights of its network are now; None looks where they were when the model was fitted.

    Returns
    -------
    retriever : Retriever
        Has encoded a picture and a sentence, so that nothing it needs is missing.

    Raises
    ------
    ModelFileError
        If the file is not ours, is damaged, holds other types, or was written by a newer version.
    FileNotFoundError, IsADirectoryError
        If there is no such file, or the weights of its network are gone.
    ValueError
        If `weights` are given and the model has no network.
    """
    from mmfeat.retrieval import Retriever

    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Name a model file that `mmfeat fit` wrote.")
    if not path.exists():
        raise FileNotFoundError(f"There is no model file {path}. Name one that `mmfeat fit` wrote.")
    # Read once: what was checked is what is built.
    data = path.read_bytes()
    _check_leaf(path, data)
    model = _build(path, data)
    if not isinstance(model, Retriever):
        raise ModelFileError(f"{path} holds a {type(model).__name__}. Expected a Retriever, as `mmfeat fit` writes.")
    _check_fitted(path, model)
    _find_weights(path, model, weights)
    _try_out(path, model.encode_text, "a")
    _try_out(path, model.encode_image, np.zeros((64, 64, 3), dtype=np.uint8))
    return model


def load_towers(name):
    """Make a retriever of both towers of a model that others have trained; nothing is learned.

    Parameters
    ----------
    name : str
        Folder, or name on the hub.

    Returns
    -------
    retriever : Retriever
        Has encoded a picture and a sentence.

    Raises
    ------
    ValueError
        If the folder holds no two-tower model that can be read.
    OSError
        If there is no such folder, or the model cannot be downloaded.
    """
    from mmfeat.pretrained import TwoTower
    from mmfeat.retrieval import Retriever

    pair = np.empty((1, 2), dtype=object)
    pair[0] = np.zeros((64, 64, 3), dtype=np.uint8), "a"
    return Retriever(TwoTower(name, "image"), TwoTower(name, "text"), "passthrough").fit(pair)


def set_verbose(retriever, verbose):
    """Let every step that has the parameter `verbose` show progress, or none."""
    for step in _steps(retriever):
        if "verbose" in step.get_params(deep=False):
            step.set_params(verbose=verbose)


def _steps(retriever):
    """All estimators inside a retriever, those it was made of and those it has fitted."""
    roots = [retriever, *(getattr(retriever, name, None) for name in ("image_encoder_", "text_encoder_", "fusion_"))]
    for root in roots:
        if hasattr(root, "get_params"):
            yield root
            yield from (value for value in root.get_params().values() if hasattr(value, "get_params"))


def _check_leaf(path, data):
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            leaf = json.loads(archive.read(_LEAF))
        written_in, written_by = leaf["format"], leaf["mmfeat"]
    # Somebody's bytes: zip, compression and JSON each fail in ways of their own, and all mean the same here.
    except Exception as error:
        raise ModelFileError(
            f"{path} is not a model file of mmfeat, or is damaged. Name one that `mmfeat fit` wrote."
        ) from error
    if not isinstance(written_in, int) or written_in > FORMAT:
        raise ModelFileError(
            f"{path} has format {written_in}, written by mmfeat {written_by}; this is mmfeat {mmfeat.__version__}, which reads "
            f"up to format {FORMAT}. Upgrade with: pip install --upgrade mmfeat"
        )


def _build(path, data):
    import skops.io

    try:
        foreign = skops.io.get_untrusted_types(data=data)
        strangers = [name for name in foreign if not _is_ours(name)]
        model = None if strangers else skops.io.loads(data, trusted=foreign)
    # A damaged file can break any step of rebuilding it; whatever that raises is reported with the file and the cure.
    except Exception as error:
        raise _damaged(path, error) from error
    if strangers:
        raise ModelFileError(
            f"{path} holds the type {strangers[0]}, which is neither of mmfeat nor of scikit-learn, and was not loaded. "
            "Write the model anew with `mmfeat fit`."
        )
    return model


def _check_fitted(path, model):
    try:
        check_is_fitted(model, ["image_encoder_", "text_encoder_", "fusion_"])
        for step in (model.image_encoder_, model.text_encoder_, model.fusion_):
            # The fusion may be the word "passthrough".
            if not isinstance(step, str):
                check_is_fitted(step)
    except (AttributeError, TypeError) as error:
        raise _damaged(path, error) from error


def _find_weights(path, model, weights):
    """Point the networks of a model to their weights, and say which are gone."""
    networks = [step for step in _steps(model) if isinstance(step, CNNFeatures) and step.weights is not None]
    if weights is not None:
        if not networks:
            raise ValueError(f"{path} describes pictures without a network of stored weights. Leave out --weights.")
        for network in networks:
            network.set_params(weights=str(Path(weights).absolute()))
    for network in networks:
        file = Path(network.weights)
        # Names of published weights, such as "DEFAULT", are neither.
        if (file.is_absolute() or file.suffix) and not file.is_file():
            raise FileNotFoundError(
                f"{path} needs the network weights {file}, which are not there. Name their new place with --weights FILE."
            )


def _try_out(path, encode, item):
    """Encode one item: check_is_fitted is content with one attribute of many."""
    try:
        encode([item])
    except (AttributeError, LookupError, TypeError) as error:
        raise _damaged(path, error) from error
    except ValueError:
        # An encoder may refuse this item, or a network its weights; the real items will tell, in plainer words.
        return


def _damaged(path, error):
    return ModelFileError(
        f"{path} is damaged or was written by other versions ({type(error).__name__}: {error}). "
        "Write the model anew with `mmfeat fit`."
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
