"""The training of a network and a reader of sentences on pairs: what :func:`train` of the learned fusions runs."""

from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmfeat.fusion._learning._losses import loss_parameters
from mmfeat.fusion._learning._noise import Noise
from mmfeat.fusion._learning._ranking import unit
from mmfeat.fusion._learning._training import (
    State,
    epoch_rows,
    pair_loss,
    warm_up_and_cosine,
)
from mmfeat.retrieval._end_to_end._pictures import Augmentation, read_batches
from mmfeat.retrieval._end_to_end._random import exact, reseed, seeded
from mmfeat.utils._ranks import mean_reciprocal_rank_both_ways


@dataclass(frozen=True)
class Settings:
    """How to train; the meanings are those of the parameters of ``BiEncoder``."""

    loss: Any
    margin: float | None
    temperature: float
    dropout: float
    augmentation: Augmentation
    max_length: int | None
    batch_size: int
    accumulate: int
    texts_per_epoch: int | None
    learning_rate: float
    network_learning_rate: float
    weight_decay: float
    max_epochs: int
    patience: int
    half: bool
    device: str
    seed: int
    verbose: bool
    similarity: str = field(default="cosine", init=False)


@dataclass(frozen=True)
class Data:
    """What is trained on.

    Parameters
    ----------
    images : list
    sentences : Sentences
    groups : ndarray of shape (n_sentences,)
        Position in `images` of the picture of each.
    held_out : ndarray of shape (n_sentences,), dtype bool
        Pairs kept from training to choose the best epoch.
    """

    images: list
    sentences: Any
    groups: np.ndarray
    held_out: np.ndarray


class PairTraining:
    """One training: towers, optimizer, generators and curves, as :func:`train` and ``Checkpoint`` want them.

    Parameters
    ----------
    data : Data
    heads : (ImageTower, SentenceTower)
    settings : Settings
    """

    decoders = ()

    def __init__(self, data, heads, settings):
        self.data, self.heads, self.settings = data, heads, settings
        self.noise = Noise(settings.seed, settings.device)
        self.order = np.random.Generator(np.random.PCG64(settings.seed))
        self.learned = {
            name: value.to(settings.device).requires_grad_() for name, value in loss_parameters(settings).items()
        }
        self.optimizer = _new_optimizer(heads, self.learned, settings)
        self.state = State()
        n_steps = -(-len(epoch_rows(self, np.random.default_rng(0))) // settings.batch_size)
        self.rate_of_step = warm_up_and_cosine(n_steps * settings.max_epochs)
        self.step = 0

    def run_epoch(self):
        """One pass over the training pairs; returns the mean loss.

        Raises
        ------
        FloatingPointError
            If the loss is no longer a number.
        ImageDecodeError
            If a picture cannot be read.
        """
        settings, data = self.settings, self.data
        rows = epoch_rows(self, self.order)
        # Of equal sizes, within one: a small rest would have few negatives.
        batches = np.array_split(rows, -(-len(rows) // settings.batch_size))
        wanted = ([(data.groups[row], row) for row in batch] for batch in batches)
        self.heads[0].train()
        total: Any = 0.0
        with seeded(settings.seed, settings.device), exact(settings.device):
            pictures = read_batches(data.images, wanted, self.heads[0].preset, settings.device, self._change)
            with closing(pictures):
                for batch, crops in zip(batches, pictures, strict=True):
                    for part in self.optimizer.param_groups:
                        part["lr"] = part["rate"] * self.rate_of_step(self.step)
                    self.optimizer.zero_grad()
                    total = total + backward(self, batch, crops)
                    self.optimizer.step()
                    self.step += 1
        mean = float(total) / len(batches)
        if not np.isfinite(mean):
            raise FloatingPointError(
                f"The loss became {mean} in epoch {self.state.epoch + 1}. Reduce `learning_rate` "
                f"(now {settings.learning_rate}) and `network_learning_rate` (now {settings.network_learning_rate})."
            )
        return mean

    def validate(self, rows):
        """Mean reciprocal rank of held-out pairs."""
        import torch

        settings, data = self.settings, self.data
        images, owner = np.unique(data.groups[rows], return_inverse=True)
        with torch.inference_mode(), precision(settings):
            pictures = embed_pictures(self.heads[0], data.images, images, settings.batch_size)
            parts = np.array_split(rows, -(-len(rows) // settings.batch_size))
            texts = [
                self.heads[1](data.sentences.take(part, settings.max_length), 0, self.noise).float() for part in parts
            ]
        scores = unit(pictures) @ unit(torch.cat(texts)).T
        return mean_reciprocal_rank_both_ways(scores.cpu().numpy(), owner)

    def _change(self, pixels, preset, row):
        # Generators of their own: the threads may come in any order.
        rng = np.random.default_rng((self.settings.seed, self.state.epoch, row))
        return self.settings.augmentation(pixels, preset, rng)


def backward(training, rows, crops):
    """Add the gradients of a batch, which passes the towers in parts where there is too little memory for all of it.

    Every pair of the batch is a negative of every other, whatever the parts: the parts are embedded without a graph, the
    loss of all gives the gradient at each row, and the parts are embedded again to take it further.

    Parameters
    ----------
    training : PairTraining
    rows : ndarray of int
        Pairs.
    crops : torch.Tensor of shape (n_pairs, side, side, 3), dtype uint8

    Returns
    -------
    loss : torch.Tensor of shape ()
        Without a graph.

    References
    ----------
    Gao, L., Zhang, Y., Han, J. and Callan, J. (2021). Scaling deep contrastive learning batch size under memory limited
    setup. RepL4NLP, section 3.
    """
    import torch

    settings, image_tower = training.settings, training.heads[0]
    parts = np.array_split(np.arange(len(rows)), settings.accumulate)
    if len(parts) == 1:
        loss = _loss(training, rows, *_embed(training, rows, crops, 0))
        loss.backward()
        return loss.detach()
    statistics = [part.clone() for part in image_tower.statistics()]
    noise, embedded = [], []
    with torch.no_grad():
        for number, part in enumerate(parts):
            noise.append(training.noise.state())
            embedded.append(_embed(training, rows[part], crops[part], number))
        for part, value in zip(image_tower.statistics(), statistics, strict=True):
            part.copy_(value)  # batch norms are to count each part once
    sides: list[Any] = [torch.cat(side).requires_grad_() for side in zip(*embedded, strict=True)]
    loss = _loss(training, rows, *sides)
    loss.backward()
    for number, (part, state) in enumerate(zip(parts, noise, strict=True)):
        training.noise.restore(state)
        again = _embed(training, rows[part], crops[part], number)
        torch.autograd.backward(again, [side.grad[part] for side in sides])
    return loss.detach()


def embed_pictures(tower, images, rows, batch_size):
    """What a tower in use gives for some pictures.

    Parameters
    ----------
    tower : ImageTower
    images : sequence of images
    rows : sequence of int
        Positions in `images`.
    batch_size : int

    Returns
    -------
    embedded : torch.Tensor of shape (len(rows), n_components)
        float32, on the device of the tower.
    """
    import torch

    tower.evaluate()
    noise = Noise(0, tower.device)
    batches = [[(row, None) for row in rows[at : at + batch_size]] for at in range(0, len(rows), batch_size)]
    pictures = read_batches(images, batches, tower.preset, tower.device)
    with torch.inference_mode(), exact(tower.device), closing(pictures):
        return torch.cat([tower(crops.to(tower.device), 0, noise).float() for crops in pictures])


def precision(settings):
    """The arithmetic of a training."""
    import torch

    return torch.autocast(torch.device(settings.device).type, dtype=torch.bfloat16, enabled=settings.half)


def _embed(training, rows, crops, number):
    """Both sides of some pairs; `number` is that of the part of the batch."""
    settings, data = training.settings, training.data
    reseed((settings.seed, training.step, number), settings.device)
    sentences = data.sentences.take(rows, settings.max_length)
    with precision(settings):
        x = training.heads[0](crops.to(settings.device, non_blocking=True), settings.dropout, training.noise)
        y = training.heads[1](sentences, settings.dropout, training.noise)
    return x.float(), y.float()


def _loss(training, rows, x, y):
    import torch

    owner = torch.from_numpy(training.data.groups[rows]).to(x.device)
    return pair_loss(x, y, owner[:, None] == owner[None, :], training.learned, training.settings)


def _new_optimizer(heads, learned, settings):
    """AdamW with a rate for the network and one for the rest; vectors and numbers, such as biases, do not decay."""
    import torch

    weights = heads[0].weights()
    others = [*heads[0].head.parameters(), *heads[1].parameters(), *learned.values()]
    groups = [
        {
            "params": [part for part in parts if (part.ndim > 1) == decays],
            "rate": rate,
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for parts, rate in ((weights, settings.network_learning_rate), (others, settings.learning_rate))
        for decays in (True, False)
    ]
    fused = settings.device == "cpu" or None
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=settings.learning_rate, fused=fused)
