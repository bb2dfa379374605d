"""Losses of the learned fusions, on the cosine similarities of a batch of pairs.

Each takes ``scores`` of shape (n, n), where row ``i`` is the image and column ``j`` the text of a pair, and ``same``, a boolean
matrix of that shape that is True where the two belong to one image, so always on the diagonal: such entries are never
negatives of each other.
"""


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
    siblings = same.clone()
    siblings[own, own] = False
    logits = (scores / temperature).masked_fill(siblings, float("-inf"))
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def hardest_triplet(scores, same, margin):
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
