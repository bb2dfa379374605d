"""Heads of the learned fusions for matrices: linear layers with a bend between, in torch to train and in numpy to use."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import erf

ACTIVATIONS = ("relu", "gelu", "tanh")


class LayersHead:
    """Linear layers, as plain tensors with a generator of their own.

    Parameters
    ----------
    n_features : int
    widths : sequence of int
        Outputs of each layer.
    activation : {"relu", "gelu", "tanh"}
        Between the layers.
    generator : torch.Generator
        Of the weights: uniform within one over the root of their inputs, as those of torch's own linear layers.
    device : str
    """

    def __init__(self, n_features, widths, activation, generator, device):
        self.activation = activation
        self.n_components = widths[-1]
        self.layers = []
        for width in widths:
            parts = new_layer(n_features, width, generator)
            self.layers.append(tuple(part.to(device).requires_grad_() for part in parts))
            n_features = width

    def parameters(self):
        """Tensors that are trained, in a fixed order."""
        return [part for layer in self.layers for part in layer]

    def __call__(self, batch, dropout, noise):
        """Rows of the common space; `dropout` of the inputs and of the hidden units are left out."""
        import torch

        for depth, (weight, bias) in enumerate(self.layers):
            batch = batch if depth == 0 else _bend(batch, self.activation)
            batch = torch.addmm(bias, noise.dropped(batch, dropout), weight)
        return batch

    def start_from(self, weight, bias):
        """Set a linear head; components beyond the columns of `weight` start small, so that they can grow."""
        import torch

        ((linear, offset),) = self.layers
        with torch.no_grad():
            linear.mul_(0.01)
            offset.zero_()
            linear[:, : weight.shape[1]] = torch.from_numpy(np.ascontiguousarray(weight, dtype=np.float32))
            offset[: len(bias)] = torch.from_numpy(bias.astype(np.float32))

    def export(self):
        """The layers as numpy arrays of their own: what :func:`apply_layers` takes."""
        return {"kind": "layers", "activation": self.activation, "parameters": arrays_of(self.parameters())}


def apply_layers(state, rows):
    """What a trained head makes of rows, in numpy and in their dtype.

    Parameters
    ----------
    state : dict
        From ``LayersHead.export``.
    rows : ndarray or sparse matrix of shape (n_rows, n_features)

    Returns
    -------
    embedded : ndarray of shape (n_rows, n_components)
    """
    layers = zip(state["parameters"][::2], state["parameters"][1::2], strict=True)
    for depth, (weight, bias) in enumerate(layers):
        rows = rows if depth == 0 else _NUMPY_BENDS[state["activation"]](rows)
        rows = np.asarray(rows @ weight.astype(rows.dtype)) + bias.astype(rows.dtype)
    return rows


def arrays_of(tensors):
    """Copies of tensors as numpy arrays."""
    return [tensor.detach().cpu().numpy().copy() for tensor in tensors]


def new_layer(n_in, n_out, generator):
    """Weight and bias of a linear layer, uniform within one over the root of its inputs."""
    import torch

    bound = n_in**-0.5
    return [torch.empty(shape).uniform_(-bound, bound, generator=generator) for shape in ((n_in, n_out), (n_out,))]


def _bend(batch, activation):
    from torch.nn import functional

    bends: dict[str, Any] = {"relu": functional.relu, "gelu": functional.gelu, "tanh": functional.tanh}
    return bends[activation](batch)


_NUMPY_BENDS: dict[str, Callable] = {
    "relu": lambda rows: np.maximum(rows, 0),
    "gelu": lambda rows: rows * (0.5 * (1 + erf(rows / np.sqrt(2)))).astype(rows.dtype),
    "tanh": np.tanh,
}
