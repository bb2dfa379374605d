"""Networks cut at the layers asked for; the last two stay in memory for clones and refits."""

import hashlib
import threading
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmfeat.image._architecture import check_model, construct, is_timm, model_name, preset_of
from mmfeat.image._crops import factors
from mmfeat.image._cut import extract_layers, head_name, probe
from mmfeat.image._fuse import fuse_convolutions
from mmfeat.image._weights import digest, find_weights, load_weights, published, read_weights, stamp

_LOCK = threading.Lock()


@dataclass(frozen=True)
class Network:
    """A network that maps a batch of pictures to the outputs of its layers.

    Attributes
    ----------
    module : callable
        Takes (n, 3, height, width), returns a dict of layer name to tensor.
    layers : tuple of str
        Names of the outputs, in order.
    shapes : tuple of tuple of int
        Shape of each output for one picture: (channels, height, width), (tokens, channels) or (channels,).
    device : str
        Where the module is.
    dtype : torch.dtype
        What the module takes.
    cast : bool
        Whether single operations run in bfloat16 by torch's choice, because the network as a whole cannot.
    path : pathlib.Path or None
        File of its weights; None if there is none.
    state_digest : str or None
        SHA-256 of weights that came from no file; None if there is a file or they are random by `random_state`.
    preset : mmfeat.image._architecture.Preset
        Preprocessing of the weights.
    factors : tuple of torch.Tensor
        The preprocessing's scale and shift, on the device.
    fitting : dict of int to int
        By the size of batches asked for, how many pictures fit into the memory of the device, once it was found too small.
    """

    module: Any
    layers: tuple
    shapes: tuple
    device: str
    dtype: Any
    cast: bool
    path: Any
    state_digest: Any
    preset: Any
    factors: tuple
    fitting: dict = field(default_factory=dict)

    def digest(self):
        """SHA-256 of the weights, read again if their file has changed; None for a random network."""
        return self.state_digest if self.path is None else digest(self.path)


def network_key(model, weights, layer, device, seed, *, half=False, compiled=False, verbose=False):
    """Return what distinguishes the network of these parameters from others, for :func:`build_network`.

    Parameters
    ----------
    model : str or callable
        Name of a network of torchvision, or of timm after ``"timm/"``, or a function that returns a network.
    weights : str, os.PathLike or None
        Name of torchvision weights, a file, or None for random weights.
    layer : str, sequence of str or None
        Names of nodes or modules; None is the input of the last linear (or convolution) layer.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    seed : int
        Of random weights.
    half : bool, default=False
        Arithmetic in bfloat16.
    compiled : bool, default=False
        Pass the network through ``torch.compile``.
    verbose : bool, default=False
        Show the progress of a download.

    Returns
    -------
    key : tuple
        Hashable; another one when the file of the weights has changed.

    Raises
    ------
    ValueError
        If the model or the weights are unknown.
    OSError
        If weights cannot be downloaded.
    """
    check_model(model)
    if layer is not None and not len(layer):
        raise ValueError("`layer` is an empty list. Name at least one layer, or use None.")
    path = find_weights(model, weights, verbose=verbose)
    layers = layer if layer is None or isinstance(layer, str) else tuple(layer)
    name = weights if weights is None else str(weights)
    run = (device, half, compiled)
    if path is None:
        return model, name, None, layers, run, seed
    return model, name, stamp(path), layers, run, None


def build_network(key):
    """Return the network of a key of :func:`network_key`, built, or remembered from one of the last two calls.

    That of a function is always built: it may have been trained since, which nothing but calling it would show.

    Parameters
    ----------
    key : tuple

    Returns
    -------
    network : Network

    Raises
    ------
    ValueError
        If a layer is unknown or gives no features, or the weights do not fit.
    """
    with _LOCK:
        return _build.__wrapped__(*key) if callable(key[0]) else _build(*key)


def build_plain_network(key):
    """Return the network of a key before it is made quick: one that can be differentiated.

    Parameters
    ----------
    key : tuple
        Of :func:`network_key`.

    Returns
    -------
    network : Network
        Its own, not shared with another call.

    Raises
    ------
    ValueError
        As :func:`build_network`.
    """
    with _LOCK:
        return _build_plain(*key)


@lru_cache(maxsize=2)
def _build(model, weights, file_stamp, layers, run, seed):
    return _made_quick(_build_plain(model, weights, file_stamp, layers, run, seed), run[2])


def _build_plain(model, weights, file_stamp, layers, run, seed):
    path = None if file_stamp is None else Path(file_stamp[0])
    module = _without_file(model, weights, seed) if path is None else _from_file(model, path)
    module.requires_grad_(False).eval()  # networks of timm and of users come in training mode
    fixed = path is None and (callable(model) or weights is not None)
    state_digest = _digest_state(module) if fixed else None
    preset = preset_of(module, published(model, weights, fallback=True))
    extractor, names = extract_layers(module, model_name(model), layers)
    device, half, _ = run
    extractor, shapes, dtype, cast = _place(extractor, names, preset.crop_size[0], device, half)
    pair = factors(preset, device)
    return Network(extractor, names, shapes, device, dtype, cast, path, state_digest, preset, pair)


def _place(extractor, names, side, device, half):
    """Put an extractor where it runs, in the type it runs in, and look at its outputs."""
    import torch

    extractor = extractor.to(device=device, memory_format=torch.channels_last)
    inputs = _blank(side, device)
    shapes = probe(extractor, names, inputs)
    dtype, cast = torch.float32, False
    if half:
        extractor = extractor.to(torch.bfloat16)
        try:
            probe(extractor, names, inputs.bfloat16())
            dtype = torch.bfloat16
        except RuntimeError:  # numbers written into the network's code stay float32, and do not mix
            extractor, cast = extractor.to(torch.float32), True
    return extractor, shapes, dtype, cast


def _made_quick(network, compiled):
    """Compile a network or fuse its convolutions; neither can be differentiated after that."""
    from torch import fx

    inputs = _blank(network.preset.crop_size[0], network.device).to(network.dtype)
    module = network.module
    if compiled:
        module = _compiled(module, network.layers, inputs)
    elif network.device == "cpu" and not network.cast and isinstance(module, fx.GraphModule):
        module = fuse_convolutions(module, inputs)
    return replace(network, module=module)


def _blank(side, device):
    import torch

    return torch.zeros(1, 3, side, side, device=device).to(memory_format=torch.channels_last)


def _compiled(extractor, names, inputs):
    import torch

    compiled = torch.compile(extractor)
    try:
        probe(compiled, names, inputs)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise RuntimeError(
            f"`compile`=True, but torch.compile failed: {reason}. It needs a C++ compiler on processors and Triton on "
            f"CUDA. Install them, or use compile=False."
        ) from error
    return compiled


def _without_file(model, weights, seed):
    import torch

    if is_timm(model) and weights is not None:
        with torch.random.fork_rng(devices=[]):
            return construct(model, pretrained=True)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reseed CUDA, which is not restored
        return construct(model)


def _from_file(model, path):
    import torch

    state = read_weights(path)
    with torch.random.fork_rng(devices=[]):  # layers are filled at random even where weights follow
        module = construct(model, init_weights=False)
        head = f"{head_name(module)}.weight"
        stored = state.get(head, state.get("module." + head))
        other = stored is not None and stored.ndim > 0 and len(stored) != len(module.get_parameter(head))
        if other and not callable(model):
            module = construct(model, init_weights=False, num_classes=len(stored))  # tuned for other classes
    load_weights(module, state, path, model_name(model))
    return module


def _digest_state(module):
    import torch

    sha = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        sha.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
