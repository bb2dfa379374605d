"""What becomes of the places of a map or the tokens of a transformer: one vector a picture, or a bag of them."""

from itertools import pairwise, product
from math import prod

_POWER = 3.0
_SMALLEST = 1e-6
_SCALES = 3


def pool(output, pooling):
    """Reduce the output of a layer to one vector a picture, or to one a place.

    Parameters
    ----------
    output : torch.Tensor of shape (n, channels, height, width), (n, tokens, channels) or (n, channels)
        Also (n, height, width, channels) if height equals width and channels differ.
    pooling : {"avg", "max", "gem", "rmac", "flatten"} or None
        A vector stays as it is.

    Returns
    -------
    vectors : torch.Tensor of shape (n, width), or (n, places, channels) if `pooling` is None; dtype float32
    """
    output = output.float()
    if pooling is None:
        return _regions(output)
    if output.ndim == 2 or pooling == "flatten":
        return output.flatten(1)
    if pooling == "rmac":
        return _rmac(channels_first(output))
    places = _places(output.shape[1:])
    if pooling == "gem":
        return output.clamp(min=_SMALLEST).pow(_POWER).mean(places).pow(1 / _POWER)
    return output.mean(places) if pooling == "avg" else output.amax(places)


def channels_first(maps):
    """Return maps of either layout, see :func:`pool`, as (n, channels, height, width)."""
    return maps.movedim(-1, 1) if _places(maps.shape[1:]) == (1, 2) else maps


def pooled_width(shape, pooling):
    """Return the length of the vectors that :func:`pool` makes of one output of this shape."""
    if len(shape) == 1 or pooling == "flatten":
        return prod(shape)
    return prod(size for axis, size in enumerate(shape, start=1) if axis not in _places(shape))


def check_pooling(layers, shapes, pooling):
    """Raise ValueError if outputs of these shapes cannot be pooled in this way, or not side by side.

    Parameters
    ----------
    layers : sequence of str
    shapes : sequence of tuple of int
    pooling : str or None
    """
    if pooling == "rmac":
        for layer, shape in zip(layers, shapes, strict=True):
            if len(shape) == 2:
                raise ValueError(
                    f"`pooling`='rmac' needs a map with rows and columns; the layer {layer!r} gives {shape[0]} tokens of "
                    f"{shape[1]} channels. Use 'avg', 'max' or 'gem', or another layer."
                )
    if pooling is not None:
        return
    for (first, one), (second, other) in pairwise(zip(layers, shapes, strict=True)):
        if n_places(one) != n_places(other):
            raise ValueError(
                f"`pooling`=None joins the layers place by place, but {first!r} has {n_places(one)} places and {second!r} "
                f"has {n_places(other)}. Name layers of one size, or use one estimator a layer."
            )


def n_places(shape):
    """Return the number of places or tokens in an output of this shape, 1 for a vector."""
    return prod(size for axis, size in enumerate(shape, start=1) if len(shape) > 1 and axis in _places(shape))


def _regions(output):
    if output.ndim == 2:
        return output[:, None]
    if output.ndim == 3:
        return output
    return output.flatten(1, 2) if _places(output.shape[1:]) == (1, 2) else output.flatten(2).transpose(1, 2)


def _places(shape):
    """Axes, the batch's counted, of the places in an output: of tokens, or of the rows and columns of a map."""
    if len(shape) == 2:
        return (1,)
    # Pictures are square, so maps are: two equal sizes in front mean channels last, as in Swin transformers.
    return (1, 2) if shape[0] == shape[1] != shape[2] else (2, 3)


def _rmac(maps):
    """Sum of the maxima of regions at three scales, each of unit length, the sum too (Tolias 2016, section 3.2)."""
    import torch
    from torch.nn.functional import normalize

    side = min(maps.shape[2:])
    total = torch.zeros_like(maps[:, :, 0, 0])
    for scale in range(1, _SCALES + 1):
        width = max(2 * side // (scale + 1), 1)
        starts = [[_start(part, size, width, scale) for part in range(scale)] for size in maps.shape[2:]]
        for top, left in product(*starts):
            total = total + normalize(maps[:, :, top : top + width, left : left + width].amax((2, 3)), dim=1)
    return normalize(total, dim=1)


def _start(part, size, width, count):
    return 0 if count == 1 else part * (size - width) // (count - 1)
