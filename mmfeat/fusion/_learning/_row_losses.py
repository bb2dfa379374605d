"""Losses that need more of the embedded rows than their scores: distances, or what the columns say.

All take the rows ``x`` and ``y`` of shape (n, k), beside each other, and ``same`` as the losses of scores do.
"""

# Of the covariances, as a share of their mean variance.
CCA_RIDGE = 1e-3


def contrastive(x, y, same, margin):
    """Half the squared distance of right pairs, and of what wrong ones lack of a margin; mean of each kind.

    Parameters
    ----------
    x, y : torch.Tensor of shape (n, k)
    same : torch.Tensor of shape (n, n), dtype bool
    margin : float
        Distance beyond which wrong pairs are let alone.

    Returns
    -------
    loss : torch.Tensor of shape ()

    References
    ----------
    Hadsell, R., Chopra, S. and LeCun, Y. (2006). Dimensionality reduction by learning an invariant mapping. CVPR, equation 4.
    """
    distances = _distances(x, y)
    wrong = (margin - distances).clamp(min=0).square().masked_fill(same, 0).sum() / count_wrong(same)
    return (distances.diagonal().square().mean() + wrong) / 2


def euclidean(x, y, same, margin):
    """Squared error of a regression of distances: 0 is wanted of right pairs, the margin of wrong ones; mean of each kind.

    Parameters
    ----------
    x, y : torch.Tensor of shape (n, k)
    same : torch.Tensor of shape (n, n), dtype bool
    margin : float
        Distance that wrong pairs should have.

    Returns
    -------
    loss : torch.Tensor of shape ()

    References
    ----------
    The stress of metric multidimensional scaling (Kruskal, 1964) with distances of two values.
    """
    distances = _distances(x, y)
    wrong = (distances - margin).square().masked_fill(same, 0).sum() / count_wrong(same)
    return distances.diagonal().square().mean() + wrong


def cca(x, y, same, ridge=CCA_RIDGE):
    """Negative sum of the canonical correlations of the batch.

    Parameters
    ----------
    x, y : torch.Tensor of shape (n, k)
        With more rows than columns, or the correlations say nothing.
    same : torch.Tensor of shape (n, n), dtype bool
        Ignored: there are no negatives.
    ridge : float, default=1e-3
        Added to the diagonals of the covariances, as a share of their mean.

    Returns
    -------
    loss : torch.Tensor of shape ()

    References
    ----------
    Andrew, G., Arora, R., Bilmes, J. and Livescu, K. (2013). Deep canonical correlation analysis. ICML, section 3. The trace
    norm is taken of the triangular solves of the covariance rather than with inverse square roots: it is the same
    number, and its gradient does not divide by gaps between eigenvalues of the covariances.
    """
    import torch

    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    factor_x, factor_y = (_cholesky(rows, ridge) for rows in (x, y))
    cross = x.T @ y / (len(x) - 1)
    left = torch.linalg.solve_triangular(factor_x, cross, upper=False)
    whitened = torch.linalg.solve_triangular(factor_y, left.T, upper=False).T
    return -torch.linalg.matrix_norm(whitened, ord="nuc")


def _cholesky(rows, ridge):
    import torch

    covariance = rows.T @ rows / (len(rows) - 1)
    scale = covariance.diagonal().mean().clamp(min=1e-12)
    return torch.linalg.cholesky(covariance + ridge * scale * torch.eye(len(covariance), device=rows.device).to(rows))


def vicreg(x, y, same, weights=(25.0, 25.0, 1.0)):
    """Squared distance of right pairs, with columns kept from shrinking and from saying the same.

    Parameters
    ----------
    x, y : torch.Tensor of shape (n, k)
    same : torch.Tensor of shape (n, n), dtype bool
        Ignored: there are no negatives.
    weights : tuple of float, default=(25.0, 25.0, 1.0)
        Of invariance, variance and covariance.

    Returns
    -------
    loss : torch.Tensor of shape ()

    References
    ----------
    Bardes, A., Ponce, J. and LeCun, Y. (2022). VICReg: variance-invariance-covariance regularization for self-supervised
    learning. ICLR, equations 1-6.
    """
    invariance = (x - y).square().mean()
    terms = [_variance_and_covariance(rows) for rows in (x, y)]
    variance, covariance = (sum(term[part] for term in terms) for part in (0, 1))
    # The authors' code halves the variance term, which is a mean over both branches; so do their weights.
    return weights[0] * invariance + weights[1] * variance / 2 + weights[2] * covariance


def _variance_and_covariance(rows):
    rows = rows - rows.mean(dim=0)
    n_rows, width = rows.shape
    deviations = (rows.square().sum(dim=0) / (n_rows - 1) + 1e-4).sqrt()
    covariance = rows.T @ rows / (n_rows - 1)
    off_diagonal = covariance.square().sum() - covariance.diagonal().square().sum()
    return (1 - deviations).clamp(min=0).mean(), off_diagonal / width


def barlow(x, y, same, weight=5e-3):
    """Distance of the cross-correlations of the columns of both sides from the identity.

    Parameters
    ----------
    x, y : torch.Tensor of shape (n, k)
    same : torch.Tensor of shape (n, n), dtype bool
        Ignored: there are no negatives.
    weight : float, default=5e-3
        Of the correlations between different columns.

    Returns
    -------
    loss : torch.Tensor of shape ()

    References
    ----------
    Zbontar, J., Jing, L., Misra, I., LeCun, Y. and Deny, S. (2021). Barlow twins: self-supervised learning via redundancy
    reduction. ICML, equation 1.
    """
    x, y = (rows - rows.mean(dim=0) for rows in (x, y))
    x, y = (rows / rows.square().mean(dim=0).clamp(min=1e-12).sqrt() for rows in (x, y))
    correlations = x.T @ y / len(x)
    diagonal = correlations.diagonal()
    rest = correlations.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + weight * rest


def _distances(x, y):
    """Euclidean distances of all rows, with a gradient of zero rather than none where two rows are equal."""
    squares = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1)[None, :] - 2 * x @ y.T
    return squares.clamp(min=1e-12).sqrt()


def count_wrong(same):
    """Pairs of the batch that are negatives, 1 where there are none: a divisor."""
    return (~same).sum().clamp(min=1)
