"""Loaded models, one for both towers and all estimators of a process; the last two stay in memory."""

import threading
from collections import OrderedDict
from typing import Any

from mmfeat.pretrained._folder import OPEN_CLIP

_MOST = 2
_loaded: OrderedDict[tuple, Any] = OrderedDict()
_LOCK = threading.Lock()


def shared_model(folder, kind, digest, device, half):
    """Return a model, loaded now or by whoever asked for it before.

    Parameters
    ----------
    folder : pathlib.Path
    kind : str
        What the folder holds, from :func:`~mmfeat.pretrained._folder.kind_of`.
    digest : str
        Of the files in it; another one makes another model.
    device : {"cpu", "cuda", "cuda:N"}
    half : bool
        Arithmetic in bfloat16.

    Returns
    -------
    towers : TransformersTowers or OpenClipTowers

    Raises
    ------
    ValueError
        If the files do not fit each other.
    ImportError
        If its library is not installed.
    """
    key = digest, device, half
    with _LOCK:
        if key not in _loaded:
            while len(_loaded) >= _MOST:
                _loaded.popitem(last=False)
            _loaded[key] = _load(folder, kind, device, half)
        _loaded.move_to_end(key)
        return _loaded[key]


def _load(folder, kind, device, half):
    if kind == OPEN_CLIP:
        from mmfeat.pretrained._open_clip import OpenClipTowers

        return OpenClipTowers(folder, device, half)
    from mmfeat.pretrained._transformers import TransformersTowers

    return TransformersTowers(folder, kind, device, half)
