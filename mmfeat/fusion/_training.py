"""The training loop of the learned fusions: torch inside, numpy in and out."""

import copy
import logging
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

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

    # The seed rules the weights and the dropout here and leaves the caller's generator as it was.
    cuda = [torch.device(settings.device)] if settings.device.startswith("cuda") else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(settings.seed)
        heads = [_build_head(view.shape[1], settings) for view in (X, y)]
        for head, layer in zip(heads, start or (), strict=False):
            _start_from(head, *layer)
        log_temperature = torch.nn.Parameter(torch.tensor(np.log(settings.temperature), device=settings.device))
        optimizer = _build_optimizer(heads, log_temperature, settings)
        steps = -(-int((~held_out).sum()) // settings.batch_size)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_up_and_cosine(steps * settings.max_epochs))
        return _run_epochs(X, y, groups, held_out, heads, log_temperature, optimizer, schedule, settings)


def _build_head(n_features, settings):
    from torch import nn

    layers: list[nn.Module] = [nn.Dropout(settings.dropout)]
    width = n_features
    for n_hidden in settings.hidden:
        layers += [nn.Linear(width, n_hidden), nn.ReLU(), nn.Dropout(settings.dropout)]
        width = n_hidden
    return nn.Sequential(*layers, nn.Linear(width, settings.n_components)).to(settings.device)


def _start_from(head, weight, bias):
    """Set the linear map of a head; components beyond the columns of `weight` start small, so that they can grow."""
    import torch

    linear = head[-1]
    with torch.no_grad():
        linear.weight.mul_(0.01)
        linear.bias.zero_()
        linear.weight[: weight.shape[1]] = torch.from_numpy(np.ascontiguousarray(weight.T, dtype=np.float32))
        linear.bias[: len(bias)] = torch.from_numpy(bias.astype(np.float32))


def _build_optimizer(heads, log_temperature, settings):
    import torch

    weights = [parameter for head in heads for parameter in head.parameters()]
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


def _run_epochs(X, y, groups, held_out, heads, log_temperature, optimizer, schedule, settings):
    rng = np.random.default_rng(settings.seed)
    training_rows = np.flatnonzero(~held_out)
    outcome, best, best_heads = Outcome([], []), -np.inf, heads
    for epoch in progress(range(settings.max_epochs), desc="epochs", unit="epoch", verbose=settings.verbose):
        outcome.loss_curve.append(
            _run_epoch(
                X, y, groups, rng.permutation(training_rows), heads, log_temperature, optimizer, schedule, settings
            )
        )
        if not np.isfinite(outcome.loss_curve[-1]):
            raise FloatingPointError(
                f"The loss became {outcome.loss_curve[-1]} in epoch {epoch + 1}. Reduce `learning_rate` "
                f"(now {settings.learning_rate}) or scale the features."
            )
        if not held_out.any():
            outcome.best_epoch = epoch
            continue
        outcome.validation_curve.append(
            _mean_reciprocal_rank(X[held_out], y[held_out], groups[held_out], heads, settings)
        )
        _logger.info("epoch %d: loss %.4f, mrr %.4f", epoch + 1, outcome.loss_curve[-1], outcome.validation_curve[-1])
        if outcome.validation_curve[-1] > best:
            best, best_heads, outcome.best_epoch = outcome.validation_curve[-1], copy.deepcopy(heads), epoch
        elif epoch - outcome.best_epoch >= settings.patience:
            break
    outcome.x_layers, outcome.y_layers = (_to_numpy(head) for head in best_heads)
    return outcome


def _run_epoch(X, y, groups, order, heads, log_temperature, optimizer, schedule, settings):
    """One pass over the training pairs; returns the mean loss."""
    import torch

    for head in heads:
        head.train()
    losses = []
    for start in range(0, len(order), settings.batch_size):
        rows = order[start : start + settings.batch_size]
        owner = torch.from_numpy(groups[rows]).to(settings.device)
        embedded_x, embedded_y = (
            _embed(head, view, rows, settings.device) for head, view in zip(heads, (X, y), strict=True)
        )
        loss = _loss(embedded_x @ embedded_y.T, owner[:, None] == owner[None, :], log_temperature, settings)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def _loss(scores, same, log_temperature, settings):
    if settings.loss == "triplet":
        return hardest_triplet(scores, same, settings.margin)
    # CLIP's bound: a temperature below 0.01 makes training unstable.
    return infonce(scores, same, log_temperature.exp().clamp(min=0.01))


def _embed(head, view, rows, device):
    import torch
    from torch.nn.functional import normalize

    batch = view[rows]
    batch = batch.toarray() if sparse.issparse(batch) else batch
    return normalize(head(torch.from_numpy(np.ascontiguousarray(batch, dtype=np.float32)).to(device)), dim=1)


def _mean_reciprocal_rank(X, y, groups, heads, settings):
    """Mean reciprocal rank over both directions on held-out pairs; ties count against."""
    import torch

    _, first, groups = np.unique(groups, return_index=True, return_inverse=True)
    with torch.inference_mode():
        for head in heads:
            head.eval()
        images = _embed(heads[0], X, first, settings.device)
        texts = _embed(heads[1], y, np.arange(y.shape[0]), settings.device)
        owner = torch.from_numpy(groups).to(settings.device)
        scores = images @ texts.T
        own = owner[None, :] == torch.arange(len(images), device=owner.device)[:, None]
        best_own = scores.masked_fill(~own, -torch.inf).amax(dim=1, keepdim=True)
        rank_of_image = 1 + ((scores >= best_own) & ~own).sum(dim=1)
        right = scores[owner, torch.arange(len(texts), device=owner.device)]
        rank_of_text = 1 + ((scores >= right) & ~own).sum(dim=0)
        return float(((1 / rank_of_image).mean() + (1 / rank_of_text).mean()) / 2)


def _to_numpy(head):
    """Weights and biases of the linear layers of a head, first to last."""
    from torch import nn

    return [
        (layer.weight.detach().cpu().numpy().T.copy(), layer.bias.detach().cpu().numpy().copy())
        for layer in head
        if isinstance(layer, nn.Linear)
    ]
