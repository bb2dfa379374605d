"""Losses of the learned fusions, one function each, on a batch of pairs.

Those of ``SCORE_LOSSES`` take ``scores`` of shape (n, n), where row ``i`` is the image and column ``j`` the text of a pair;
those of ``ROW_LOSSES`` the embedded rows ``x`` and ``y`` of shape (n, k). All take ``same`` of shape (n, n), a boolean matrix
that is True where the two belong to one image, so always on the diagonal: such entries are never negatives of each other.
"""

import math
from collections.abc import Callable

from mmfeat.fusion._learning._row_losses import CCA_RIDGE, barlow, cca, contrastive, count_wrong, euclidean, vicreg


def infonce(scores, same, temperature):
    """Symmetric cross-entropy of telling the right text among all of the batch, and the right image.

    Parameters
    ----------
    scores : torch.Tensor of shape (n, n)
    same : torch.Tensor of shape (n, n), dtype bool
    temperature : torch.Tensor of shape ()

    Returns
    -------
    loss : torch.Tensor of shape ()

    References
    ----------
    van den Oord, A., Li, Y. and Vinyals, O. (2018). Representation learning with contrastive predictive coding, equation 4;
    in both directions as in Radford, A. et al. (2021). Learning transferable visual models from natural language
    supervision, figure 3.
    """
    import torch
    from torch.nn.functional import cross_entropy

    own = torch.arange(len(scores), device=scores.device)
    logits = scores / temperature
    if same.sum() > len(scores):
        siblings = same.clone()
        siblings[own, own] = False
        logits = logits.masked_fill(siblings, float("-inf"))
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def siglip(scores, same, temperature, bias):
    """Cross-entropy of saying of each pair of the batch alone whether it is right; summed over the pairs of a row.

    Parameters
    ----------
    scores : torch.Tensor of shape (n, n)
    same : torch.Tensor of shape (n, n), dtype bool
    temperature, bias : torch.Tensor of shape ()
        What the scores are divided by, and what is added then.

    Returns
    -------
    loss : torch.Tensor of shape ()

    References
    ----------
    Zhai, X., Mustafa, B., Kolesnikov, A. and Beyer, L. (2023). Sigmoid loss for language image pre-training. ICCV,
    equation 1.
    """
    from torch.nn.functional import logsigmoid

    logits = scores / temperature + bias
    right = logsigmoid(logits.diagonal())
    wrong = logsigmoid(-logits).masked_fill(same, 0)
    return -(right.sum() + wrong.sum()) / len(scores)


def triplet(scores, same, margin):
    """Hinge on the hardest negative of each image and of each text.

    Parameters
    ----------
    scores : torch.Tensor of shape (n, n)
    same : torch.Tensor of shape (n, n), dtype bool
    margin : float
        By how much a right pair should score above the best wrong one.

    Returns
    -------
    loss : torch.Tensor of shape ()

    References
    ----------
    Faghri, F., Fleet, D., Kiros, J. and Fidler, S. (2018). VSE++: improving visual-semantic embeddings with hard negatives,
    equation 6.
    """
    negatives = scores.masked_fill(same, float("-inf"))
    right = scores.diagonal()
    wrong_text = (margin + negatives.amax(dim=1) - right).clamp(min=0)
    wrong_image = (margin + negatives.amax(dim=0) - right).clamp(min=0)
    return wrong_text.mean() + wrong_image.mean()


def triplet_sum(scores, same, margin):
    """Hinge on every negative of each image and of each text, summed.

    Parameters
    ----------
    scores : torch.Tensor of shape (n, n)
    same : torch.Tensor of shape (n, n), dtype bool
    margin : float
        By how much a right pair should score above each wrong one.

    Returns
    -------
    loss : torch.Tensor of shape ()

    References
    ----------
    Kiros, R., Salakhutdinov, R. and Zemel, R. (2014). Unifying visual-semantic embeddings with multimodal neural language
    models, section 2.2; equation 5 of Faghri et al. (2018).
    """
    right = scores.diagonal()
    wrong_text = (margin + scores - right[:, None]).clamp(min=0).masked_fill(same, 0)
    wrong_image = (margin + scores - right[None, :]).clamp(min=0).masked_fill(same, 0)
    return (wrong_text.sum() + wrong_image.sum()) / len(scores)


def ranking(scores, same, margin):
    """Hinge on the hardest negative of those that score below the right pair; where none does, on the easiest of all.

    Parameters
    ----------
    scores : torch.Tensor of shape (n, n)
    same : torch.Tensor of shape (n, n), dtype bool
    margin : float
        By how much a right pair should score above that negative.

    Returns
    -------
    loss : torch.Tensor of shape ()

    References
    ----------
    Schroff, F., Kalenichenko, D. and Philbin, J. (2015). FaceNet: a unified embedding for face recognition and clustering.
    CVPR, section 3.2: semi-hard negatives. They keep the training of random heads from collapsing into one point.
    """
    return _semi_hard(scores, same, margin) + _semi_hard(scores.T, same.T, margin)


def _semi_hard(scores, same, margin):
    right = scores.diagonal()
    below = scores.masked_fill(same | (scores >= right[:, None]), float("-inf")).amax(dim=1)
    easiest = scores.masked_fill(same, float("inf")).amin(dim=1)
    chosen = below.where(below > float("-inf"), easiest)
    # A row whose batch mates are all siblings has no negative at all.
    return (margin + chosen - right).clamp(min=0).masked_fill(same.all(dim=1), 0).mean()


def cosine(scores, same, margin):
    """Cosine distance of right pairs, and what wrong ones have above a margin of cosine; mean of each kind.

    Parameters
    ----------
    scores : torch.Tensor of shape (n, n)
    same : torch.Tensor of shape (n, n), dtype bool
    margin : float
        Cosine that wrong pairs may have.

    Returns
    -------
    loss : torch.Tensor of shape ()

    References
    ----------
    As ``torch.nn.CosineEmbeddingLoss``, over all wrong pairs of the batch.
    """
    wrong = (scores - margin).clamp(min=0).masked_fill(same, 0).sum() / count_wrong(same)
    return (1 - scores.diagonal()).mean() + wrong


def loss_parameters(settings):
    """What the loss learns: the logarithm of a temperature, a bias, as tensors of no axis."""
    import torch

    learned = {}
    if settings.loss in ("infonce", "siglip"):
        learned["log_temperature"] = torch.tensor(math.log(settings.temperature), dtype=torch.float32)
    if settings.loss == "siglip":
        learned["bias"] = torch.tensor(_SIGLIP_BIAS)
    return learned


SCORE_LOSSES: dict[str, Callable] = {
    "cosine": cosine,
    "infonce": infonce,
    "ranking": ranking,
    "siglip": siglip,
    "triplet": triplet,
    "triplet_sum": triplet_sum,
}
ROW_LOSSES: dict[str, Callable] = {
    "barlow": barlow,
    "cca": cca,
    "contrastive": contrastive,
    "euclidean": euclidean,
    "vicreg": vicreg,
}

# Margins that the papers or their code use, for rows of unit length.
MARGINS = {
    "cosine": 0.0,
    "contrastive": 1.0,
    "euclidean": math.sqrt(2),
    "ranking": 0.2,
    "triplet": 0.2,
    "triplet_sum": 0.2,
}
_SIGLIP_BIAS = -10.0
# Losses that need rows as the heads give them: unit length would fight their own normalisation.
FREE_ROWS = frozenset({"barlow", "cca", "vicreg"})

__all__ = ["CCA_RIDGE", "FREE_ROWS", "MARGINS", "ROW_LOSSES", "SCORE_LOSSES", "loss_parameters"]
