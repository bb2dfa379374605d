"""Networks from which a map can be taken on the way, with the gradient of what follows by it."""

import threading
from functools import lru_cache
from typing import Any, NamedTuple

from mmfeat.image._cut import Hooked, SameOutputError, copied
from mmfeat.image._network import Network, build_plain_network
from mmfeat.image._pool import n_places


class Tap:
    """A place in a network at which the gradient begins: below it nothing is remembered; threads do not mix."""

    def __init__(self):
        self._kept = threading.local()

    def __call__(self, value):
        """Keep a value as the start of all gradients, and return a copy to go on with."""
        self._kept.value = value.detach().requires_grad_()
        # A later layer may overwrite it in place, as rectifiers do.
        return self._kept.value.clone()

    def take(self):
        """Value that was kept in this thread, which forgets it; None if the network did not come by."""
        value = getattr(self._kept, "value", None)
        self._kept.value = None
        return value


class Tapped(NamedTuple):
    """A network with a tap at one layer."""

    network: Network
    tap: Tap
    layer: str


def tap_network(key, layers, layer):
    """Build the network of an encoder so that one of its maps can be kept and differentiated by.

    Parameters
    ----------
    key : tuple
        Of :func:`mmfeat.image._network.network_key`.
    layers : sequence of str
        Layers that the encoder reads, resolved.
    layer : str or None
        Whose map is meant; where the network can be traced, by any of its names. None: the last of `layers` that is a
        map; if there is none, the last map before them.

    Returns
    -------
    tapped : Tapped

    Raises
    ------
    ValueError
        If the layer is unknown or gives no map.
    """
    # What a function returns may have been trained since, as in `build_network`.
    build = _tapped.__wrapped__ if callable(key[0]) else _tapped
    return build(key, tuple(layers), layer)


@lru_cache(maxsize=1)
def _tapped(key, layers, layer):
    model, weights, file_stamp, _, (device, half, _), seed = key
    wanted = layers if layer is None or layer in layers else (*layers, layer)
    run = (device, half, False)
    try:
        network = build_plain_network((model, weights, file_stamp, wanted, run, seed))
    except SameOutputError as error:
        # A module and the last one in it are one layer of the encoder under two names.
        layer = error.first
        network = build_plain_network((model, weights, file_stamp, layers, run, seed))
    shapes = dict(zip(network.layers, network.shapes, strict=True))
    if layer is None:
        layer = next((name for name in reversed(layers) if is_map(shapes[name])), None)
    elif not is_map(shapes[layer]):
        raise ValueError(
            f"`layer`={layer!r} gives {shapes[layer]} for one picture, no map with rows and columns. Name a layer that "
            "does, such as the last convolution."
        )
    tap = Tap()
    if isinstance(network.module, Hooked):
        _tap_module(network.module, layer, tap)
    else:
        layer = _tap_graph(network, layer, tap)
    return Tapped(network, tap, layer)


def is_map(shape):
    """Whether the output of a layer for one picture has more than one place, in rows and columns."""
    return len(shape) == 3 and n_places(shape) > 1


def _tap_module(hooked, layer, tap):
    if layer is None:
        raise ValueError(
            "The encoder reads no map, and its network cannot be traced to find one. Pass `layer`, the name of a module "
            "that gives (channels, height, width) for one picture."
        )
    # Before the hook that catches outputs: the encoder's features must come from the copy.
    part = hooked.module.get_submodule(layer)
    part.register_forward_hook(lambda _, inputs, output: tap(output), prepend=True)


def _tap_graph(network, layer, tap):
    """Put a tap behind the node of a layer, or behind the last map if `layer` is None; return its name."""
    graph = network.module.graph
    (output,) = (node for node in graph.nodes if node.op == "output")
    node: Any = _last_map(network) if layer is None else output.args[0][layer]
    if node.target is copied:
        node = node.args[0]
    network.module.add_submodule("gradient_tap", _as_module(tap))
    with graph.inserting_after(node):
        tapped = graph.call_module("gradient_tap", (node,))
    node.replace_all_uses_with(tapped, delete_user_cb=lambda user: user is not tapped)
    network.module.recompile()
    return node.name if layer is None else layer


def _as_module(tap):
    from torch import nn

    class TapModule(nn.Module):
        def forward(self, value):
            return tap(value)

    return TapModule()


def _last_map(network):
    import torch
    from torch import fx

    maps = []

    class Recorder(fx.Interpreter):
        def run_node(self, node):
            result = super().run_node(node)
            if isinstance(result, torch.Tensor) and result.ndim == 4 and is_map(tuple(result.shape[1:])):
                maps.append(node)
            return result

    side = network.preset.crop_size[0]
    with torch.inference_mode():
        Recorder(network.module).run(torch.zeros(1, 3, side, side, device=network.device, dtype=network.dtype))
    found = [node for node in maps if node.op != "placeholder"]
    if not found:
        raise ValueError("The network has no map before the layers of the encoder. Its pictures cannot be explained.")
    return found[-1]
