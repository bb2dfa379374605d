"""The training of a cross-attention scorer from its parameters to arrays."""

import functools

import numpy as np

from mmfeat.fusion._learning._attention_arrays import Form
from mmfeat.fusion._learning._attention_training import AttentionTraining, mean_and_scale_of_bags
from mmfeat.fusion._learning._batches import BagView
from mmfeat.fusion._learning._checkpoints import Checkpoint, identity_of, load_parameters, restore
from mmfeat.fusion._learning._training import Data, Settings, train
from mmfeat.fusion._learning._vector_heads import GruVectors, LinearVectors
from mmfeat.utils._device import resolve_device, uses_bfloat16

LOSSES = ("infonce", "ranking", "siglip", "triplet", "triplet_sum")
# Parameters that a training may differ in and still be the same one.
_NOT_OF_THE_RUN = ("checkpoint", "device", "verbose")


def train_attention(scorer, X, y, pictures, groups, held_out, seed):
    """Train the heads of a scorer.

    Parameters
    ----------
    scorer : CrossAttentionScorer
        For its parameters.
    X, y : list of ndarray
    pictures, groups : ndarray of shape (n_pairs,)
        Number of each pair's array of regions, and of its image.
    held_out : ndarray of shape (n_pairs,), dtype bool
    seed : int

    Returns
    -------
    sides : list of dict
        Head, mean, scale and length of the regions and of the words.
    state : State
        With the curves.
    """
    checkpoint, resumed = _open_checkpoint(scorer, X, y, pictures, groups)
    training = _new_training(scorer, X, y, pictures, groups, held_out, seed)
    if resumed is not None:
        restore(training, *resumed)
    after = None if checkpoint is None else functools.partial(checkpoint.save, number=0, finished=[], outcomes=[])
    train(training, after_epoch=after)
    load_parameters(training.heads, training.state.best)
    if checkpoint is not None:
        checkpoint.remove()
    sides = [
        {"mean": view.mean, "scale": view.scale, "longest": view.longest, "head": head.export()}
        for view, head in zip((training.data.x, training.data.y), training.heads, strict=True)
    ]
    return sides, training.state


def _new_training(scorer, X, y, pictures, groups, held_out, seed):
    import torch

    rows = np.flatnonzero(~held_out)
    x, y = (
        BagView(bags, mean, scale, longest)
        for bags, longest in ((X, scorer.max_regions), (y, scorer.max_length))
        for mean, scale in [mean_and_scale_of_bags([bags[row] for row in rows])]
    )
    settings = _settings(scorer, seed)
    generator = torch.Generator().manual_seed(seed)
    kinds = (LinearVectors, GruVectors if scorer.tower == "gru" else LinearVectors)
    heads = [
        kind(view.width, scorer.n_components, generator, settings.device)
        for kind, view in zip(kinds, (x, y), strict=True)
    ]
    form = Form(scorer.direction, scorer.pooling, scorer.sharpness, scorer.pooling_sharpness)
    return AttentionTraining(Data(x, y, groups, None, held_out), heads, settings, form, pictures)


def _settings(scorer, seed):
    names = (
        "loss",
        "margin",
        "temperature",
        "dropout",
        "batch_size",
        "learning_rate",
        "weight_decay",
        "max_epochs",
        "patience",
        "verbose",
    )
    device = resolve_device(scorer.device)
    return Settings(
        **{name: getattr(scorer, name) for name in names},
        similarity="cosine",
        label_weight=0.0,
        reconstruction=0.0,
        texts_per_epoch=None,
        constant_rate=False,
        half=uses_bfloat16(scorer.precision, device.partition(":")[0]),
        device=device,
        seed=seed,
    )


def _open_checkpoint(scorer, X, y, pictures, groups):
    if scorer.checkpoint is None:
        return None, None
    if not isinstance(scorer.random_state, (int, np.integer)):
        raise ValueError(f"A checkpoint needs an int as `random_state`. Got {scorer.random_state!r} instead.")
    parameters = {key: value for key, value in scorer.get_params().items() if key not in _NOT_OF_THE_RUN}
    distinct = list({id(bag): bag for bag in X}.values())
    identity = identity_of(type(scorer).__name__, parameters, distinct, y, pictures, groups)
    checkpoint = Checkpoint(scorer.checkpoint, identity)
    return checkpoint, checkpoint.load()
