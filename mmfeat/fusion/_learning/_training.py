"""The training loop of the learned fusions: torch inside, numpy in and out."""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmfeat.fusion._learning._losses import FREE_ROWS, MARGINS, ROW_LOSSES, SCORE_LOSSES, loss_parameters
from mmfeat.fusion._learning._noise import Noise
from mmfeat.fusion._learning._ranking import unit, validate
from mmfeat.utils._progress import progress

_logger = logging.getLogger(__name__)
# CLIP's bound: a lower temperature makes training unstable.
_COLDEST = 0.01
# Cosines to classes, times this, are logits: sharp enough to be learned, as in classifiers of unit rows.
_LABEL_SCALE = 16.0


@dataclass(frozen=True)
class Settings:
    """How to train; the meanings are those of the parameters of ``LearnedProjection``."""

    loss: Any
    similarity: str
    margin: float | None
    temperature: float
    label_weight: float
    reconstruction: float
    dropout: float
    batch_size: int
    texts_per_epoch: int | None
    learning_rate: float
    weight_decay: float
    max_epochs: int
    patience: int
    constant_rate: bool
    half: bool
    device: str
    seed: int
    verbose: bool


@dataclass
class State:
    """What a training is at the end of an epoch; everything that the next epoch depends on."""

    epoch: int = 0
    loss_curve: list = field(default_factory=list)
    validation_curve: list = field(default_factory=list)
    best_epoch: int = -1
    best_score: float = -np.inf
    best: list = field(default_factory=list)
    stopped: bool = False


@dataclass(frozen=True)
class Data:
    """What is trained on.

    Parameters
    ----------
    x, y : MatrixView or BagView
    groups : ndarray of shape (n_pairs,)
        Image of each pair.
    labels : ndarray or csr matrix, or None
        Class of each pair, or indicators of its labels.
    held_out : ndarray of shape (n_pairs,), dtype bool
        Pairs kept from training to choose the best epoch; none of them: the last epoch is kept.
    """

    x: Any
    y: Any
    groups: np.ndarray
    labels: Any
    held_out: np.ndarray


class Training:
    """One training of two heads: parameters, optimizer, generators and curves.

    Parameters
    ----------
    data : Data
    heads : pair of heads
    settings : Settings
    decoders : sequence of heads, default=()
        What restores each view from its rows, where the settings ask for it.
    """

    def __init__(self, data, heads, settings, decoders=()):
        self.data, self.heads, self.settings, self.decoders = data, heads, settings, decoders
        self.noise = Noise(settings.seed, settings.device)
        self.order = np.random.Generator(np.random.PCG64(settings.seed))
        self.learned = _new_learned(data, heads, settings)
        self.optimizer = _new_optimizer([*heads, *decoders], self.learned, settings)
        self.state = State()
        n_steps = -(-len(epoch_rows(self, np.random.default_rng(0))) // settings.batch_size)
        self.rate_of_step = _constant if settings.constant_rate else warm_up_and_cosine(n_steps * settings.max_epochs)
        self.step = 0

    def loss_of(self, rows):
        """Loss of some pairs, with its graph."""
        return batch_loss(self, rows)

    def validate(self, rows):
        """Mean reciprocal rank of held-out pairs."""
        return validate(self, rows)

    def run_epoch(self):
        """One pass over the training pairs; returns the mean loss."""
        return run_epoch(self)


def train(training, *, callback=None, after_epoch=None):
    """Run the epochs that are left.

    Parameters
    ----------
    training : Training
        Its state says how far it is; ``training.state.best`` holds the best weights afterwards.
    callback : callable or None
        Called as ``callback(record)`` with a dict of the epoch's figures; a true result stops the training.
    after_epoch : callable or None
        Called with the training after each epoch, to keep it.

    Raises
    ------
    FloatingPointError
        If the loss is no longer a number.
    """
    settings, state = training.settings, training.state
    held_out = np.flatnonzero(training.data.held_out)
    epochs = range(state.epoch, settings.max_epochs)
    for epoch in progress(epochs, desc="epochs", unit="epoch", verbose=settings.verbose):
        if state.stopped:
            break
        loss = training.run_epoch()
        state.loss_curve.append(loss)
        if len(held_out):
            state.validation_curve.append(training.validate(held_out))
        score = state.validation_curve[-1] if len(held_out) else float(epoch)
        _logger.info("epoch %d: loss %.4f, score %.4f", epoch + 1, loss, score)
        state.epoch = epoch + 1
        if score > state.best_score:
            state.best_score, state.best_epoch = score, epoch
            state.best = [part.detach().cpu().numpy().copy() for part in parameters_of(training.heads)]
        state.stopped = epoch - state.best_epoch >= settings.patience
        record = {"epoch": epoch, "loss": loss, "validation": score if len(held_out) else None}
        if callback is not None and callback(record):
            state.stopped = True
        if after_epoch is not None:
            after_epoch(training)


def run_epoch(training):
    """One pass over the training pairs; returns the mean loss."""
    settings = training.settings
    rows = epoch_rows(training, training.order)
    # Of equal sizes, within one: a small rest would have few negatives, and no correlations worth the name.
    batches = np.array_split(rows, -(-len(rows) // settings.batch_size))
    total = 0.0
    for batch in batches:
        for part in training.optimizer.param_groups:
            part["lr"] = settings.learning_rate * training.rate_of_step(training.step)
        loss = training.loss_of(batch)
        training.optimizer.zero_grad()
        loss.backward()
        training.optimizer.step()
        training.step += 1
        total = total + loss.detach()
    mean = float(total) / len(batches)
    if not np.isfinite(mean):
        raise FloatingPointError(
            f"The loss became {mean} in epoch {training.state.epoch + 1}. Reduce `learning_rate` "
            f"(now {settings.learning_rate}) or scale the features."
        )
    return mean


def batch_loss(training, rows):
    """Loss of some pairs, with its graph."""
    import torch

    settings, data = training.settings, training.data
    owner = torch.from_numpy(data.groups[rows]).to(settings.device)
    same = owner[:, None] == owner[None, :]
    views = [view.take(rows, settings.device) for view in (data.x, data.y)]
    with autocast(settings):
        x, y = (head(view, settings.dropout, training.noise) for head, view in zip(training.heads, views, strict=True))
    x, y = x.float(), y.float()
    loss = pair_loss(x, y, same, training.learned, settings)
    if data.labels is not None:
        loss = loss + settings.label_weight * _label_loss(
            x, y, data.labels[rows], training.learned["classes"], settings
        )
    for decoder, embedded, view in zip(training.decoders, (x, y), views, strict=False):
        loss = loss + settings.reconstruction * (decoder(embedded, 0, training.noise) - view).square().mean()
    return loss


def pair_loss(x, y, same, learned, settings):
    """Loss of embedded rows, by the name of the loss or by the user's own function.

    Parameters
    ----------
    x, y : torch.Tensor of shape (n, k)
        As the heads give them.
    same : torch.Tensor of shape (n, n), dtype bool
    learned : dict of str to torch.Tensor
        Temperature and bias, where the loss has them.
    settings : Settings

    Returns
    -------
    loss : torch.Tensor of shape ()
    """
    loss, options = settings.loss, loss_options(learned, settings)
    if settings.similarity == "cosine" and loss not in FREE_ROWS:
        x, y = unit(x), unit(y)
    if callable(loss):
        return loss(x, y, same)
    if loss in ROW_LOSSES:
        return ROW_LOSSES[loss](x, y, same, **options)
    with autocast(settings):
        scores = x @ y.T
    return SCORE_LOSSES[loss](scores.float(), same, **options)


def loss_options(learned, settings):
    """What the loss takes beside the scores or rows: margin, temperature, bias."""
    loss, options = settings.loss, {}
    if isinstance(loss, str) and loss in MARGINS:
        options["margin"] = MARGINS[loss] if settings.margin is None else settings.margin
    if "log_temperature" in learned:
        options["temperature"] = learned["log_temperature"].exp().clamp(min=_COLDEST)
    if "bias" in learned:
        options["bias"] = learned["bias"]
    return options


def warm_up_and_cosine(n_steps):
    """Factor of the learning rate at each step: up in a tenth of the steps, then down to zero along a cosine."""
    n_warm = max(1, n_steps // 10)

    def factor(step):
        if step < n_warm:
            return (step + 1) / n_warm
        return (1 + np.cos(np.pi * (step - n_warm) / max(1, n_steps - n_warm))) / 2

    return factor


def parameters_of(heads):
    """Tensors of both heads, in a fixed order."""
    return [part for head in heads for part in head.parameters()]


def _constant(_step):
    return 1.0


def epoch_rows(training, rng):
    """Training pairs of an epoch in random order; with `texts_per_epoch`, that many of each image."""
    rows = np.flatnonzero(~training.data.held_out)
    rows = rng.permutation(rows)
    most = training.settings.texts_per_epoch
    if most is None:
        return rows
    owners = training.data.groups[rows]
    order = np.argsort(owners, kind="stable")
    starts = np.r_[0, np.flatnonzero(np.diff(owners[order])) + 1]
    place = np.empty(len(rows), dtype=np.int64)
    place[order] = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    return rows[place < most]


def autocast(settings):
    """Context in which products are taken in bfloat16, where the settings say so."""
    import torch

    return torch.autocast(torch.device(settings.device).type, dtype=torch.bfloat16, enabled=settings.half)


def _new_learned(data, heads, settings):
    """Parameters of the loss itself: temperature, bias, and the directions of the classes."""
    import torch

    learned = loss_parameters(settings)
    if data.labels is not None:
        n_classes = data.labels.shape[1] if data.labels.ndim == 2 else int(data.labels.max()) + 1
        width = heads[0].n_components
        generator = torch.Generator().manual_seed(settings.seed)
        learned["classes"] = torch.empty(width, n_classes).normal_(generator=generator)
    return {name: value.to(settings.device).requires_grad_() for name, value in learned.items()}


def _label_loss(x, y, labels, classes, settings):
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

    labels = labels.toarray() if hasattr(labels, "toarray") else labels
    wanted = torch.from_numpy(np.ascontiguousarray(labels)).to(settings.device)
    logits = [_LABEL_SCALE * unit(rows) @ normalize(classes, dim=0) for rows in (x, y)]
    if wanted.ndim == 1:
        return sum(cross_entropy(side, wanted) for side in logits) / 2
    wanted = (wanted > 0).float()
    return sum(binary_cross_entropy_with_logits(side, wanted) for side in logits) / 2


def _new_optimizer(heads, learned, settings):
    import torch

    return torch.optim.AdamW(
        [
            {"params": parameters_of(heads), "weight_decay": settings.weight_decay},
            {"params": list(learned.values()), "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        fused=settings.device == "cpu" or None,
    )
