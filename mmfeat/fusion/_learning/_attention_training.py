"""A training whose scores are those of stacked cross attention."""

import numpy as np

from mmfeat.fusion._learning._attention import Vectors, block_scores
from mmfeat.fusion._learning._losses import SCORE_LOSSES
from mmfeat.fusion._learning._training import Training, autocast, loss_options
from mmfeat.utils._ranks import mean_reciprocal_rank_both_ways

# Held-out images that are ranked after each epoch: its cost grows with their square.
_RANKED = 500
_BLOCK = 1024


class AttentionTraining(Training):
    """One training of a head of regions and a head of words.

    Parameters
    ----------
    data : Data
        Two views of bags.
    heads : pair of LinearVectors or GruVectors
    settings : Settings
    form : Form
    pictures : ndarray of shape (n_pairs,)
        Number of the picture of each pair: equal where it is the same array.
    """

    def __init__(self, data, heads, settings, form, pictures):
        super().__init__(data, heads, settings)
        self.form, self.pictures = form, pictures

    def loss_of(self, rows):
        """Loss of some pairs, with its graph; a picture that stands there twice is embedded once."""
        import torch

        settings = self.settings
        owner = torch.from_numpy(self.data.groups[rows]).to(settings.device)
        _, first, place = np.unique(self.pictures[rows], return_index=True, return_inverse=True)
        with autocast(settings):
            regions = self._embed(0, rows[first], settings.dropout)
            words = self._embed(1, rows, settings.dropout)
        scores = block_scores(regions, words, self.form)[torch.from_numpy(place).to(settings.device)]
        same = owner[:, None] == owner[None, :]
        return SCORE_LOSSES[settings.loss](scores, same, **loss_options(self.learned, settings))

    def validate(self, rows):
        """Mean reciprocal rank of the pairs of held-out images, of five hundred where there are more."""
        import torch

        groups = self.data.groups[rows]
        rows = rows[np.isin(groups, np.unique(groups)[:_RANKED])]
        _, first, owner = np.unique(self.data.groups[rows], return_index=True, return_inverse=True)
        with torch.inference_mode():
            parts = [self._embed(1, rows[at : at + _BLOCK], 0) for at in range(0, len(rows), _BLOCK)]
            scores = torch.cat([self._scores_of(rows[first[at : at + 64]], parts) for at in range(0, len(first), 64)])
            return mean_reciprocal_rank_both_ways(scores.cpu().numpy(), owner)

    def _scores_of(self, rows, sentences):
        import torch

        regions = self._embed(0, rows, 0)
        return torch.cat([block_scores(regions, words, self.form) for words in sentences], dim=1)

    def _embed(self, side, rows, dropout):
        bags = (self.data.x, self.data.y)[side].take(rows, self.settings.device)
        return Vectors(self.heads[side](bags, dropout, self.noise), bags.lengths)


def mean_and_scale_of_bags(bags):
    """Means of the columns of the vectors of all bags, and root mean square of what is left; nothing is copied.

    Parameters
    ----------
    bags : list of ndarray of shape (n_i, width)
        One that stands there twice counts once.

    Returns
    -------
    mean : ndarray of shape (width,)
    scale : float
    """
    width = bags[0].shape[1]
    total, squares, count = np.zeros(width), np.zeros(width), 0
    for bag in {id(bag): bag for bag in bags}.values():
        total += bag.sum(axis=0, dtype=np.float64)
        squares += np.einsum("ij,ij->j", bag, bag, dtype=np.float64)
        count += len(bag)
    if not count:
        return total, 1.0
    mean = total / count
    scale = float(np.sqrt(np.maximum(squares / count - mean**2, 0).mean()))
    # Rounding leaves a speck of constant vectors; dividing by it would blow up noise.
    return mean, scale if scale > 1e-6 * max(1.0, float(np.abs(mean).max())) else 1.0
