"""From the parameters of a ``BiEncoder`` and a pairs table to its training, and to the file that holds it."""

import os
from pathlib import Path

import numpy as np

from mmfeat.fusion._learning._batches import hold_out
from mmfeat.fusion._learning._checkpoints import Checkpoint, identity_of
from mmfeat.retrieval._end_to_end._network import ImageTower, open_network
from mmfeat.retrieval._end_to_end._pictures import Augmentation
from mmfeat.retrieval._end_to_end._sentences import SentenceTower, first_table, learn_words, number_words
from mmfeat.retrieval._end_to_end._training import Data, PairTraining, Settings
from mmfeat.utils._device import resolve_device, uses_bfloat16

_LARGEST_SEED = np.iinfo(np.int32).max
_AUTO_BATCH = 64
# Parameters that a training may differ in and still be the same one; that of vectors is known by what they are.
_NOT_OF_THE_RUN = ("callback", "checkpoint", "device", "verbose", "vectors", "weights", "image", "text")


def new_training(estimator, parts, rng):
    """Set up a training.

    Parameters
    ----------
    estimator : BiEncoder
    parts : Pairs
    rng : RandomState

    Returns
    -------
    training : PairTraining
    words : list of str
    checkpoint : Checkpoint or None

    Raises
    ------
    ValueError
        As ``BiEncoder.fit``.
    """
    import torch

    check_enough(parts)
    held_out = hold_out(parts.groups, rng, estimator.validation_fraction if estimator.early_stopping else 0)
    seed = rng.randint(_LARGEST_SEED)
    settings = _settings(estimator, parts.groups, held_out, seed)
    trained_on = [text for text, out in zip(parts.texts, held_out, strict=True) if not out]
    words = learn_words(trained_on, estimator.tokenizer, estimator.min_count)
    table = first_table(words, estimator.vectors, estimator.word_width, trained_on, estimator.tokenizer, seed)
    network, preset, weights_digest = open_network(
        estimator.model, estimator.weights, estimator.image_size, seed, verbose=estimator.verbose
    )
    generator = torch.Generator().manual_seed(seed)
    size, device = estimator.n_components, settings.device
    heads = (
        ImageTower(network, preset, estimator.trainable, _keeps_statistics(estimator), size, generator, device),
        SentenceTower(table, estimator.tower, estimator.tower_width, size, generator, device),
    )
    data = Data(parts.images, number_words(parts.texts, estimator.tokenizer, words), parts.groups, held_out)
    checkpoint = None
    if estimator.checkpoint is not None:
        checkpoint = Checkpoint(estimator.checkpoint, _identity(estimator, parts, table, weights_digest))
    return PairTraining(data, heads, settings), words, checkpoint


def check_enough(parts):
    """Refuse pairs that nothing can be learned from.

    Raises
    ------
    ValueError
        If there are fewer than two, or all captions are the same.
    """
    if len(parts.images) < 2:
        raise ValueError("Found 1 pair, but at least 2 are required. Pass more pairs.")
    if len(set(parts.texts)) == 1:
        raise ValueError(
            f"All captions are the same, {parts.texts[0]!r}, so none can be told from another. Pass captions that differ."
        )


def _keeps_statistics(estimator):
    if estimator.batch_norm != "auto":
        return estimator.batch_norm == "fixed"
    # What a function returns is known to have learned weights only where a file of them is named.
    return estimator.weights is not None and (isinstance(estimator.model, str) or estimator.weights != "DEFAULT")


def _settings(estimator, groups, held_out, seed):
    device = resolve_device(estimator.device)
    kind = device.partition(":")[0]
    # On a processor bfloat16 takes its own wish: what it saves depends on the network.
    half = uses_bfloat16(estimator.precision, kind) if kind != "cpu" else estimator.precision == "bfloat16"
    return Settings(
        loss=estimator.loss,
        margin=estimator.margin,
        temperature=estimator.temperature,
        dropout=estimator.dropout,
        augmentation=Augmentation(estimator.crop, estimator.flip, estimator.color),
        max_length=estimator.max_length,
        batch_size=_batch_size(estimator, groups, held_out),
        accumulate=estimator.accumulate,
        texts_per_epoch=estimator.texts_per_epoch,
        learning_rate=estimator.learning_rate,
        network_learning_rate=estimator.network_learning_rate,
        weight_decay=estimator.weight_decay,
        max_epochs=estimator.max_epochs,
        patience=estimator.patience,
        half=half,
        device=device,
        seed=seed,
        verbose=estimator.verbose,
    )


def _batch_size(estimator, groups, held_out):
    counts = np.bincount(groups[~held_out])
    counts = counts[counts > 0]
    most = estimator.texts_per_epoch
    n_pairs = int((counts if most is None else np.minimum(counts, most)).sum())
    size = min(_AUTO_BATCH, n_pairs) if estimator.batch_size == "auto" else estimator.batch_size
    if size > n_pairs:
        raise ValueError(
            f"`batch_size` is {size}, but an epoch has {n_pairs} pairs to train on. Reduce it, or pass 'auto'."
        )
    smallest = n_pairs // -(-n_pairs // size) // estimator.accumulate
    if smallest < 2:
        raise ValueError(
            f"`accumulate` is {estimator.accumulate}, which leaves parts of {smallest} of the batches' pairs. Reduce it, or "
            "raise `batch_size`, so that a part has two or more."
        )
    return size


def _identity(estimator, parts, table, weights_digest):
    parameters = {key: value for key, value in estimator.get_params(deep=False).items() if key not in _NOT_OF_THE_RUN}
    parameters["weights"] = weights_digest or estimator.weights
    texts = np.frombuffer("\0".join(parts.texts).encode(), dtype=np.uint8)
    images = [_content(image) for image in parts.images]
    return identity_of(type(estimator).__name__, parameters, images, texts, parts.groups, table)


def _content(image):
    """What a picture is known by: a file by its place and size, anything else by what it holds."""
    if isinstance(image, np.ndarray):
        return image
    if isinstance(image, (str, os.PathLike)):
        path = Path(os.path.abspath(image))
        # One that is not there is reported, with its row, when it is read.
        size = path.stat().st_size if path.is_file() else 0
        return np.frombuffer(f"{path}\0{size}".encode("utf-8", "surrogateescape"), dtype=np.uint8)
    return np.frombuffer(image if isinstance(image, bytes) else image.tobytes(), dtype=np.uint8)
