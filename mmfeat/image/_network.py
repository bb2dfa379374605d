"""Networks cut at the layers asked for; the last two stay in memory for clones and refits."""

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmfeat.image._fold import fold_batch_norm
from mmfeat.image._weights import check_model, find_weights, load_weights, near_matches, preset, read_weights, stamp

_LOCK = threading.Lock()


@dataclass(frozen=True)
class Network:
    """A network that maps a batch of pictures to the outputs of its layers.

    Attributes
    ----------
    module : torch.nn.Module
        Takes (n, 3, height, width), returns a dict of layer name to tensor.
    layers : tuple of str
        Names of the outputs, in order.
    shapes : tuple of tuple of int
        Shape of each output for one picture: (channels, height, width), (tokens, channels) or (channels,).
    device : str
        Where the module is.
    path : pathlib.Path or None
        File of its weights; None if it is random.
    preset : torchvision.transforms._presets.ImageClassification
        Preprocessing of the weights.
    """

    module: Any
    layers: tuple
    shapes: tuple
    device: str
    path: Any
    preset: Any


def network_key(model, weights, layer, device, seed, *, verbose=False):
    """Return what distinguishes the network of these parameters from others, for :func:`build_network`.

    Parameters
    ----------
    model : str
        Name of a torchvision classification network.
    weights : str, os.PathLike or None
        Name of torchvision weights, a file, or None for random weights.
    layer : str, sequence of str or None
        Names of nodes or modules; None is the input of the last linear (or convolution) layer.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    seed : int
        Of random weights.
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
    if path is None:
        return model, name, None, layers, device, seed
    return model, name, stamp(path), layers, device, None


def build_network(key):
    """Return the network of a key of :func:`network_key`, built, or remembered from one of the last two calls.

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
        return _build(*key)


@lru_cache(maxsize=2)
def _build(model, weights, file_stamp, layers, device, seed):
    import torch

    path = None if file_stamp is None else Path(file_stamp[0])
    module = _random(model, seed) if path is None else _from_file(model, path)
    module.requires_grad_(False).eval()
    nodes = _find_nodes(module, model, layers)
    extractor = _cut(module, nodes).to(device=device, memory_format=torch.channels_last)
    preprocessing = preset(model, weights)
    shapes = tuple(_probe(extractor, name, preprocessing.crop_size[0], device) for name in nodes.values())
    return Network(extractor, tuple(nodes.values()), shapes, device, path, preprocessing)


def _random(model, seed):
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reseed CUDA, which is not restored
        return _construct(model, init_weights=True)


def _from_file(model, path):
    state = read_weights(path)
    module = _construct(model, init_weights=False)
    head = _head_name(module) + ".weight"
    stored = state.get(head, state.get("module." + head))
    if stored is not None and stored.ndim > 0 and len(stored) != len(module.get_parameter(head)):
        module = _construct(model, init_weights=False, num_classes=len(stored))  # tuned for other classes
    load_weights(module, state, path, model)
    return module


def _construct(model, *, init_weights, **arguments):
    from torchvision import models

    if model in ("googlenet", "inception_v3"):  # ported weights: expect inputs scaled their way, as torchvision does
        arguments.update(transform_input=True, init_weights=init_weights)
    return models.get_model(model, weights=None, **arguments)


def _head_name(module):
    from torch import nn

    return [name for name, part in module.named_modules() if isinstance(part, (nn.Linear, nn.Conv2d))][-1]


def _find_nodes(module, model, layers):
    """Map the nodes of the graph that are wanted to the names they were asked for by."""
    from torchvision.models.feature_extraction import get_graph_node_names

    known = get_graph_node_names(module, suppress_diff_warning=True)[1]
    if layers is None:
        node = known[known.index(_head_name(module)) - 1]
        return {node: node}
    asked = (layers,) if isinstance(layers, str) else layers
    nodes: dict = {}
    for name in asked:
        inside = [node for node in known if node == name or node.startswith(f"{name}.")]
        if not inside:
            modules = {node.rsplit(".", depth)[0] for node in known for depth in range(node.count(".") + 1)}
            near = near_matches(str(name), sorted(modules)) or f". Layers near its end: {', '.join(known[-6:])}."
            raise ValueError(f"`layer`={name!r} is no layer of {model}{near}")
        if inside[-1] in nodes:
            raise ValueError(f"`layer` names one output of {model} twice: {nodes[inside[-1]]!r} and {name!r}.")
        nodes[inside[-1]] = name
    return nodes


def _cut(module, nodes):
    from torchvision.models.feature_extraction import create_feature_extractor

    extractor = create_feature_extractor(module, return_nodes=dict(nodes), suppress_diff_warning=True)
    return fold_batch_norm(extractor.eval())


def _probe(extractor, name, size, device):
    import torch

    with torch.inference_mode():
        output = extractor(torch.zeros(1, 3, size, size, device=device))[name]
    if not isinstance(output, torch.Tensor) or output.ndim not in (2, 3, 4) or output.shape[0] != 1:
        got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ValueError(
            f"The layer {name!r} gives {got} for one picture. Choose one that gives (1, channels), "
            f"(1, tokens, channels) or (1, channels, height, width)."
        )
    return tuple(output.shape[1:])
