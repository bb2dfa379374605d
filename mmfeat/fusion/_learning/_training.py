"""The training loop of the learned fusions: torch inside, numpy in and out."""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

from mmfeat.fusion._heads import copy_of, embed, new_head, start_from
from mmfeat.fusion._losses import hardest_triplet, infonce
from mmfeat.utils._progress import progress

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How to train; the meanings are those of the parameters of ``LearnedProjection``."""

    n_components: int
    hidden: tuple
    dropout: float
    loss: str
    margin: float
    temperature: float
    batch_size: int
    learning_rate: float
    weight_decay: float
    max_epochs: int
    patience: int
    device: str
    seed: int
    verbose: bool


@dataclass
class Outcome:
    """What training leaves behind, all of it numpy."""

    x_layers: list
    y_layers: list
    loss_curve: list = field(default_factory=list)
    validation_curve: list = field(default_factory=list)
    best_epoch: int = 0


def train_heads(X, y, groups, held_out, start, settings):
    """Train one head per view.

    Parameters
    ----------
    X, y : ndarray or sparse matrix of shape (n_pairs, n_features) and (n_pairs, n_targets)
        Standardised views.
    groups : ndarray of shape (n_pairs,)
        Image of each pair.
    held_out : ndarray of shape (n_pairs,), dtype bool
        Pairs kept from training to choose the best epoch; none of them: the last epoch is kept.
    start : pair of (ndarray of shape (n_in, n_out), ndarray of shape (n_out,)) or None
        Weights and bias that the linear heads start from, with at most `n_components` columns.
    settings : Settings

    Returns
    -------
    outcome : Outcome

    Raises
    ------
    FloatingPointError
        If the loss is no longer a number.
    """
    import torch

    # A generator of its own: the caller's is left as it was, and trainings in several threads do not mix.
    generator = torch.Generator(settings.device).manual_seed(settings.seed)
    widths = (*settings.hidden, settings.n_components)
    heads = [new_head(view.shape[1], widths, generator) for view in (X, y)]
    for head, layer in zip(heads, start or (), strict=False):
        start_from(head, *layer)
    log_temperature = torch.tensor(np.log(settings.temperature), dtype=torch.float32, device=settings.device)
    log_temperature.requires_grad_()
    optimizer = _build_optimizer(heads, log_temperature, settings)
    steps = -(-int((~held_out).sum()) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_up_and_cosine(steps * settings.max_epochs))
    trainer = _Trainer(X, y, groups, heads, log_temperature, optimizer, schedule, generator, settings)
    return _run_epochs(trainer, held_out)


@dataclass(frozen=True)
class _Trainer:
    """What the steps of a training share."""

    X: Any
    y: Any
    groups: np.ndarray
    heads: list
    log_temperature: Any
    optimizer: Any
    schedule: Any
    generator: Any
    settings: Settings


def _build_optimizer(heads, log_temperature, settings):
    import torch

    weights = [part for head in heads for layer in head for part in layer]
    return torch.optim.AdamW(
        [
            {"params": weights, "weight_decay": settings.weight_decay},
            {"params": [log_temperature], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
    )


def _warm_up_and_cosine(n_steps):
    """Factor of the learning rate at each step: up in a tenth of the steps, then down to zero along a cosine."""
    n_warm = max(1, n_steps // 10)

    def factor(step):
        if step < n_warm:
            return (step + 1) / n_warm
        return (1 + np.cos(np.pi * (step - n_warm) / max(1, n_steps - n_warm))) / 2

    return factor


def _run_epochs(trainer, held_out):
    settings, outcome = trainer.settings, Outcome([], [])
    rng, best = np.random.default_rng(settings.seed), -np.inf
    training_rows, held_out_rows = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    for epoch in progress(range(settings.max_epochs), desc="epochs", unit="epoch", verbose=settings.verbose):
        outcome.loss_curve.append(_run_epoch(trainer, rng.permutation(training_rows)))
        if not np.isfinite(outcome.loss_curve[-1]):
            raise FloatingPointError(
                f"The loss became {outcome.loss_curve[-1]} in epoch {epoch + 1}. Reduce `learning_rate` "
                f"(now {settings.learning_rate}) or scale the features."
            )
        if len(held_out_rows):
            outcome.validation_curve.append(_score(trainer, held_out_rows))
        score = outcome.validation_curve[-1] if len(held_out_rows) else epoch
        _logger.info("epoch %d: loss %.4f, score %.4f", epoch + 1, outcome.loss_curve[-1], score)
        if score > best:
            best, outcome.best_epoch = score, epoch
            outcome.x_layers, outcome.y_layers = (copy_of(head) for head in trainer.heads)
        elif epoch - outcome.best_epoch >= settings.patience:
            break
    return outcome


def _run_epoch(trainer, order):
    """One pass over the training pairs; returns the mean loss."""
    import torch

    settings, losses = trainer.settings, []
    for start in range(0, len(order), settings.batch_size):
        rows = order[start : start + settings.batch_size]
        owner = torch.from_numpy(trainer.groups[rows]).to(settings.device)
        embedded_x, embedded_y = (
            embed(head, _tensor(view[rows], settings.device), settings.dropout, trainer.generator)
            for head, view in zip(trainer.heads, (trainer.X, trainer.y), strict=True)
        )
        loss = _loss(embedded_x @ embedded_y.T, owner[:, None] == owner[None, :], trainer.log_temperature, settings)
        trainer.optimizer.zero_grad()
        loss.backward()
        trainer.optimizer.step()
        trainer.schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def _loss(scores, same, log_temperature, settings):
    if settings.loss == "triplet":
        return hardest_triplet(scores, same, settings.margin)
    # CLIP's bound: a temperature below 0.01 makes training unstable.
    return infonce(scores, same, log_temperature.exp().clamp(min=0.01))


def _score(trainer, rows):
    """Mean reciprocal rank of held-out pairs."""
    import torch

    _, first, owner = np.unique(trainer.groups[rows], return_index=True, return_inverse=True)
    device = trainer.settings.device
    with torch.inference_mode():
        images = embed(trainer.heads[0], _tensor(trainer.X[rows[first]], device), 0, trainer.generator)
        texts = embed(trainer.heads[1], _tensor(trainer.y[rows], device), 0, trainer.generator)
        return mean_reciprocal_rank(images @ texts.T, torch.from_numpy(owner).to(device))


def mean_reciprocal_rank(scores, owner):
    """Mean reciprocal rank over both directions; ties count against.

    Parameters
    ----------
    scores : torch.Tensor of shape (n_images, n_texts)
    owner : torch.Tensor of shape (n_texts,), dtype int64
        Image of each text; every image has one.

    Returns
    -------
    score : float
    """
    import torch

    own = owner[None, :] == torch.arange(len(scores), device=owner.device)[:, None]
    best_own = scores.masked_fill(~own, -torch.inf).amax(dim=1, keepdim=True)
    rank_of_image = 1 + ((scores >= best_own) & ~own).sum(dim=1)
    right = scores[owner, torch.arange(len(owner), device=owner.device)]
    rank_of_text = 1 + ((scores >= right) & ~own).sum(dim=0)
    return float(((1 / rank_of_image).mean() + (1 / rank_of_text).mean()) / 2)


def _tensor(batch, device):
    import torch

    batch = batch.toarray() if sparse.issparse(batch) else batch
    return torch.from_numpy(np.ascontiguousarray(batch, dtype=np.float32)).to(device)
