"""Heads of the learned fusions: linear layers with rectifiers between, as plain tensors with a generator of their own."""

import numpy as np


def new_head(n_features, widths, generator):
    """Random layers, uniform within one over the root of their inputs, as torch's own linear layers are.

    Parameters
    ----------
    n_features : int
    widths : sequence of int
        Outputs of each layer.
    generator : torch.Generator
        Its device is that of the layers.

    Returns
    -------
    layers : list of (torch.Tensor of shape (n_in, n_out), torch.Tensor of shape (n_out,))
    """
    import torch

    layers = []
    for width in widths:
        bound = n_features**-0.5
        parts = [
            torch.empty(shape, device=generator.device).uniform_(-bound, bound, generator=generator)
            for shape in ((n_features, width), (width,))
        ]
        layers.append(tuple(part.requires_grad_() for part in parts))
        n_features = width
    return layers


def start_from(layers, weight, bias):
    """Set a linear head; components beyond the columns of `weight` start small, so that they can grow."""
    import torch

    ((linear, offset),) = layers
    with torch.no_grad():
        linear.mul_(0.01)
        offset.zero_()
        linear[:, : weight.shape[1]] = torch.from_numpy(np.ascontiguousarray(weight, dtype=np.float32))
        offset[: len(bias)] = torch.from_numpy(bias.astype(np.float32))


def embed(layers, batch, dropout, generator):
    """Rows of unit length; `dropout` of the inputs and of the hidden units are left out, none of them where it is 0."""
    from torch.nn.functional import normalize

    for depth, (weight, bias) in enumerate(layers):
        batch = batch if depth == 0 else batch.relu()
        batch = _dropped(batch, dropout, generator) @ weight + bias
    return normalize(batch, dim=1)


def copy_of(layers):
    """The layers as numpy arrays of their own."""
    return [tuple(part.detach().cpu().numpy().copy() for part in layer) for layer in layers]


def _dropped(batch, dropout, generator):
    import torch

    if dropout == 0:
        return batch
    kept = torch.rand(batch.shape, device=generator.device, generator=generator) >= dropout
    return batch * kept / (1 - dropout)
