"""What a trained tower makes of bags, in numpy: the same sums as ``_towers``, without torch."""

import numpy as np
from scipy.special import erf, expit, softmax

from mmfeat.fusion._learning._heads import apply_layers

TRANSFORMER_LAYERS = 2
_HEADS = 4
_LAYER_EPSILON = 1e-5  # as torch's layer_norm


def apply_tower(state, bags):
    """Rows of the common space.

    Parameters
    ----------
    state : dict
        From ``TowerHead.export``.
    bags : Bags of ndarray

    Returns
    -------
    embedded : ndarray of shape (n_bags, n_components), dtype float32
    """
    named = dict(zip(state["names"], state["parameters"], strict=False))
    pooled = _POOL[state["kind"]](named, bags.values, bags.lengths, state["width"])
    return apply_layers({**state, "parameters": state["parameters"][len(named) :]}, pooled)


def positions(longest, width):
    """Sines and cosines of positions (Vaswani et al., 2017, section 3.5).

    Parameters
    ----------
    longest, width : int

    Returns
    -------
    table : ndarray of shape (longest, width), dtype float32
    """
    rates = 1e-4 ** (np.arange(0, width, 2) / width)
    angles = np.arange(longest)[:, None] * rates
    table = np.zeros((longest, width), dtype=np.float32)
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles[:, : width // 2])
    return table


def n_heads_of(width):
    """Attention heads of a transformer of some width."""
    return next(count for count in (_HEADS, 2, 1) if width % count == 0)


def _inside(values, lengths):
    return np.arange(values.shape[1]) < lengths[:, None]


def _mean(_named, values, lengths, _width):
    return (values * _inside(values, lengths)[:, :, None]).sum(axis=1) / np.maximum(lengths, 1)[:, None].astype(
        np.float32
    )


def _attend(named, values, lengths, _width):
    keys = np.tanh(values @ named["key.weight"] + named["key.bias"])
    scores = (keys @ named["query.weight"] + named["query.bias"])[:, :, 0]
    inside = _inside(values, lengths)
    # An empty bag attends to nothing; the zero keeps its softmax a number.
    scores = np.where(inside | ~inside.any(axis=1, keepdims=True), scores, -np.inf)
    shares = softmax(scores, axis=1) * inside
    return np.einsum("nl,nlw->nw", shares, values @ named["value.weight"] + named["value.bias"], optimize=True)


def gru_states(named, values, lengths, width):
    """Means of the states of both directions of a GRU, at each vector.

    Parameters
    ----------
    named : dict of str to ndarray
        Weights, by torch's names.
    values : ndarray of shape (n_bags, longest, n_features)
    lengths : ndarray of shape (n_bags,)
    width : int

    Returns
    -------
    states : ndarray of shape (n_bags, longest, width), dtype float32
        Zero beyond the lengths.
    """
    return _states(_gru_step, named, values, lengths, width)


def _states(step, named, values, lengths, width):
    inside = _inside(values, lengths)
    both = np.zeros((*values.shape[:2], width), dtype=np.float32)
    for suffix, order in (("", range(values.shape[1])), ("_reverse", range(values.shape[1] - 1, -1, -1))):
        weight, bias = named[f"weight_ih_l0{suffix}"], named[f"bias_ih_l0{suffix}"]
        inputs = values @ weight.T + bias
        recurrent = named[f"weight_hh_l0{suffix}"].T, named[f"bias_hh_l0{suffix}"]
        state: tuple = (np.zeros_like(both[:, 0]), np.zeros_like(both[:, 0]))
        for place in order:
            open_ = inside[:, place, None]
            fresh = step(inputs[:, place], state, *recurrent)
            # Padding leaves the state: a reader from the end begins at the last vector of each bag.
            state = tuple(np.where(open_, new, old) for new, old in zip(fresh, state, strict=True))
            both[:, place] += state[0] * open_ / 2
    return both


def _read(step):
    def read(named, values, lengths, width):
        states = _states(step, named, values, lengths, width)
        return states.sum(axis=1) / np.maximum(lengths, 1)[:, None].astype(np.float32)

    return read


def _gru_step(inputs, state, weight, bias):
    hidden = state[0]
    of_hidden = hidden @ weight + bias
    reset_in, update_in, new_in = np.split(inputs, 3, axis=1)
    reset_h, update_h, new_h = np.split(of_hidden, 3, axis=1)
    update = expit(update_in + update_h)
    new = np.tanh(new_in + expit(reset_in + reset_h) * new_h)
    return (1 - update) * new + update * hidden, state[1]


def _lstm_step(inputs, state, weight, bias):
    hidden, cell = state
    enter, forget, candidate, leave = np.split(inputs + hidden @ weight + bias, 4, axis=1)
    cell = expit(forget) * cell + expit(enter) * np.tanh(candidate)
    return expit(leave) * np.tanh(cell), cell


def _transform(named, values, lengths, width):
    n_bags, longest, _ = values.shape
    heads = n_heads_of(width)
    mask = _inside(values, lengths)
    mask[:, 0] = True
    rows = values @ named["input.weight"] + named["input.bias"] + positions(longest, width)
    for depth in range(TRANSFORMER_LAYERS):
        part = {name.partition(".")[2]: array for name, array in named.items() if name.startswith(f"{depth}.")}
        columns = _normed(rows, part, "first") @ part["qkv.weight"] + part["qkv.bias"]
        query, key, value = (
            side.reshape(n_bags, longest, heads, -1).transpose(0, 2, 1, 3) for side in np.split(columns, 3, axis=2)
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(np.float32(query.shape[-1]))
        shares = softmax(np.where(mask[:, None, None, :], scores, -np.inf), axis=3)
        attended = (shares @ value).transpose(0, 2, 1, 3).reshape(n_bags, longest, width)
        rows = rows + attended @ part["out.weight"] + part["out.bias"]
        up = _normed(rows, part, "second") @ part["up.weight"] + part["up.bias"]
        up = up * (0.5 * (1 + erf(up / np.sqrt(np.float32(2)))))
        rows = rows + up @ part["down.weight"] + part["down.bias"]
    return _mean(named, rows, lengths, width)


def _normed(rows, part, name):
    centred = rows - rows.mean(axis=2, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=2, keepdims=True) + _LAYER_EPSILON)
    return centred / deviation * part[f"{name}.weight"] + part[f"{name}.bias"]


_POOL = {
    "mean": _mean,
    "attention": _attend,
    "gru": _read(_gru_step),
    "lstm": _read(_lstm_step),
    "transformer": _transform,
}
