"""The training of a network that fuses two sides: the loop of the learned fusion, with the loss of a classifier."""

from typing import NamedTuple

import numpy as np

from mmfeat.fusion._learning._batches import new_view
from mmfeat.fusion._learning._checkpoints import load_parameters
from mmfeat.fusion._learning._heads import LayersHead
from mmfeat.fusion._learning._training import Data, Settings, Training, train
from mmfeat.multimodal._middle_networks import MiddleNetwork
from mmfeat.utils._device import resolve_device

# Rows whose loss is taken at a time without a gradient.
_BLOCK = 512


class Task(NamedTuple):
    """What is learned beside the features."""

    codes: np.ndarray
    """Class of each row, shape (n,), or indicators of its labels, shape (n, n_labels)."""
    n_outputs: int
    """Classes, or labels."""
    weights: np.ndarray
    """Of the rows, shape (n,)."""
    present: np.ndarray
    """Whether a row has either side, shape (n, 2)."""
    auxiliary_weights: tuple
    """Of the losses of a head on the picture alone and of one on the words alone."""
    side_dropout: float
    """Share of the rows of which a step leaves out one side."""


class ClassTraining(Training):
    """One training of a network, and of a head on each side where that has a weight.

    Parameters
    ----------
    data : Data
    network : MiddleNetwork
    settings : Settings
    auxiliary : list of LayersHead
        None or two; not kept.
    task : Task
    """

    def __init__(self, data, network, settings, auxiliary, task):
        super().__init__(data, [network], settings, decoders=auxiliary)
        self.task = task
        # So that the learning rate means the same whatever the unit of the weights.
        self.weights = (task.weights / task.weights[~data.held_out].mean()).astype(np.float32)

    def loss_of(self, rows):
        """Loss of some rows, with its graph."""
        import torch

        settings, task = self.settings, self.task
        present = left_out(task.present[rows], task.side_dropout, self.order)
        fused = self._forward(rows, present, settings.dropout)
        weights = torch.from_numpy(self.weights[rows]).to(settings.device)
        loss = (weights * self._losses(fused.scores, rows)).mean()
        there = torch.from_numpy(present.astype(np.float32)).to(settings.device)
        for head, side, of_head, seen in zip(self.decoders, fused.sides, task.auxiliary_weights, there.T, strict=False):
            losses = self._losses(head(side, settings.dropout, self.noise), rows)
            loss = loss + of_head * (weights * seen * losses).mean()
        return loss

    def validate(self, rows):
        """Minus the mean log loss of held-out rows."""
        import torch

        total = 0.0
        with torch.inference_mode():
            for at in range(0, len(rows), _BLOCK):
                some = rows[at : at + _BLOCK]
                losses = self._losses(self._forward(some, self.task.present[some], 0).scores, some).cpu().numpy()
                total += float(self.weights[some].astype(np.float64) @ losses)
        return -total / float(self.weights[rows].sum(dtype=np.float64))

    def _forward(self, rows, present, dropout):
        import torch

        device = self.settings.device
        batch = [view.take(rows, device) for view in (self.data.x, self.data.y)]
        return self.heads[0](batch, torch.from_numpy(present).to(device), dropout, self.noise)

    def _losses(self, scores, rows):
        """Loss of each row; of several labels the mean of theirs."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

        wanted = torch.from_numpy(self.task.codes[rows]).to(self.settings.device)
        if wanted.ndim == 1:
            return cross_entropy(scores, wanted, reduction="none")
        return binary_cross_entropy_with_logits(scores, wanted.float(), reduction="none").mean(dim=1)


def left_out(present, share, rng):
    """Leave out one side of a share of the rows that have both, either with the same probability."""
    if not share:
        return present
    chosen = rng.random(len(present)) < share
    side = rng.integers(2, size=len(present))
    present = present.copy()
    rows = np.flatnonzero(chosen & present.all(axis=1))
    present[rows, side[rows]] = False
    return present


def hold_out_classes(codes, groups, weights, share, rng):
    """Mark a share of the groups to be held out, about that share of each class, and no class as a whole.

    Parameters
    ----------
    codes : ndarray of shape (n,) or (n, n_labels)
    groups : ndarray of shape (n,)
        Rows of one group stay together.
    weights : ndarray of shape (n,)
        Rows without weight are not held out.
    share : float
    rng : RandomState

    Returns
    -------
    held_out : ndarray of shape (n,), dtype bool
        None of them where that is fewer than two groups.
    """
    nothing = np.zeros(len(groups), dtype=bool)
    _, first, place = np.unique(groups, return_index=True, return_inverse=True)
    possible = np.bincount(place, weights > 0) == np.bincount(place)
    drawn = rng.permutation(np.flatnonzero(possible))
    if codes.ndim == 1:
        drawn = drawn[np.argsort(codes[first[drawn]], kind="stable")]
    # Every tenth of the list, say, from a random start.
    steps = np.floor(np.arange(len(drawn) + 1) * share + rng.uniform())
    chosen = drawn[np.diff(steps) > 0]
    if len(chosen) < 2 or len(chosen) == len(first):
        return nothing
    held_out = np.isin(place, chosen)
    learned = ~held_out & (weights > 0)
    if not learned.any():
        return nothing
    if codes.ndim == 1:
        held_out &= ~np.isin(place, place[~np.isin(codes, codes[learned])])
    return held_out


def train_network(classifier, form, views, groups, task, rng):
    """Train a network.

    Parameters
    ----------
    classifier : AttentionFusionClassifier
        For its parameters.
    form : Form
    views : pair of ndarray, csr matrix, or list of ndarray
    groups : ndarray of shape (n,)
        Picture of each row: those of one are held out together.
    task : Task
    rng : RandomState

    Returns
    -------
    network : dict
        What ``_middle_arrays.predict_scores`` takes.
    state : State
        With the curves.
    """
    share = classifier.validation_fraction if classifier.early_stopping else 0
    held_out = hold_out_classes(task.codes, groups, task.weights, share, rng) if share else np.zeros(len(groups), bool)
    training = new_training(classifier, form, views, groups, task, held_out, rng.randint(np.iinfo(np.int32).max))
    train(training)
    load_parameters(training.heads, training.state.best)
    known = [
        {"mean": view.mean, "scale": view.scale, "longest": view.longest} for view in (training.data.x, training.data.y)
    ]
    return {**training.heads[0].export(), "views": known}, training.state


def new_training(classifier, form, views, groups, task, held_out, seed):
    """A training at its beginning; the parameters are those of :func:`train_network`."""
    import torch

    x, y = (
        new_view(view, _to_learn_from(present, held_out), classifier.max_length)
        for view, present in zip(views, task.present.T, strict=True)
    )
    settings = _settings(classifier, seed)
    generator = torch.Generator().manual_seed(seed)
    network = MiddleNetwork(form, (x, y), task.n_outputs, generator, settings.device)
    auxiliary = []
    if any(task.auxiliary_weights):
        widths = (task.n_outputs,)
        auxiliary = [LayersHead(form.n_components, widths, "relu", generator, settings.device) for _ in range(2)]
    return ClassTraining(Data(x, y, groups, None, held_out), network, settings, auxiliary, task)


def _to_learn_from(present, held_out):
    rows = np.flatnonzero(present & ~held_out)
    return rows if len(rows) else np.flatnonzero(present)


def _settings(classifier, seed):
    names = ("dropout", "batch_size", "learning_rate", "weight_decay", "max_epochs", "patience", "verbose")
    return Settings(
        **{name: getattr(classifier, name) for name in names},
        loss="classes",
        similarity="dot",
        margin=None,
        temperature=1.0,
        label_weight=0.0,
        reconstruction=0.0,
        texts_per_epoch=None,
        constant_rate=False,
        half=False,
        device=resolve_device(classifier.device),
        seed=seed,
    )
