"""How well the heads of a training rank held-out pairs."""

import numpy as np

from mmfeat.fusion._learning._canonical import canonical_maps, some_rows
from mmfeat.fusion._learning._losses import CCA_RIDGE
from mmfeat.utils._ranks import mean_reciprocal_rank_both_ways


def validate(training, rows):
    """Mean reciprocal rank of held-out pairs."""
    import torch

    settings, data = training.settings, training.data
    _, first, owner = np.unique(data.groups[rows], return_index=True, return_inverse=True)
    with torch.inference_mode():
        images, texts = embed_all(training, 0, rows[first]), embed_all(training, 1, rows)
        if settings.loss == "cca":
            maps, _ = canonical_maps_of(training, some_rows(np.flatnonzero(~data.held_out), settings.seed))
            images, texts = (
                embedded @ torch.from_numpy(weight).to(embedded) + torch.from_numpy(bias).to(embedded)
                for embedded, (weight, bias) in zip((images, texts), maps, strict=True)
            )
        scores = unit(images) @ unit(texts).T
        return mean_reciprocal_rank_both_ways(scores.cpu().numpy(), owner)


def embed_all(training, side, rows, block=4096):
    """What a head gives for many rows of its view, in blocks."""
    import torch

    head, view = training.heads[side], (training.data.x, training.data.y)[side]
    device = training.settings.device
    with torch.inference_mode():
        parts = [head(view.take(rows[at : at + block], device), 0, training.noise) for at in range(0, len(rows), block)]
    return torch.cat(parts).float()


def canonical_maps_of(training, rows):
    """Affine maps that turn what the heads give into canonical variates, from some rows of both views; the correlations."""
    x, y = (embed_all(training, side, rows).cpu().numpy() for side in (0, 1))
    return canonical_maps(x, y, CCA_RIDGE)


def unit(rows):
    """Rows of unit length; a row of zeros stays one."""
    from torch.nn.functional import normalize

    return normalize(rows, dim=1)
