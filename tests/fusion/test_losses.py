"""Losses of the learned fusions: worked examples, plain loops, siblings that are no negatives, gradients."""

import inspect
import math

import numpy as np
import pytest
import torch

from mmfeat.fusion import CCA
from mmfeat.fusion._learning import _losses as losses
from mmfeat.fusion._learning._row_losses import barlow, cca, contrastive, euclidean, vicreg

SAME = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)


def number(value):
    return torch.tensor(value, dtype=torch.float64)


def settings_of(loss):
    """Values for what a loss takes beside its rows or scores, and `same`."""
    known = {"temperature": number(0.3), "bias": number(-1.0), "margin": 0.4}
    return {name: known[name] for name in inspect.signature(loss).parameters if name in known}


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def test_infonce_by_hand():
    scores = torch.tensor([[1.0, 0.0], [0.5, 1.0]], dtype=torch.float64)
    loss = losses.infonce(scores, torch.eye(2, dtype=torch.bool), number(0.5))
    rows = np.log(1 + np.exp(-2)), np.log(1 + np.exp(-1))
    columns = np.log(1 + np.exp(-1)), np.log(1 + np.exp(-2))
    assert loss.item() == pytest.approx((np.mean(rows) + np.mean(columns)) / 2)


def test_siglip_by_hand():
    scores = torch.tensor([[1.0, 0.0], [0.5, 1.0]], dtype=torch.float64)
    loss = losses.siglip(scores, torch.eye(2, dtype=torch.bool), number(0.5), number(-1.0))
    # Logits are scores / 0.5 - 1: 1 for both right pairs, -1 and 0 for the wrong ones.
    expected = -(2 * math.log(sigmoid(1)) + math.log(sigmoid(1)) + math.log(sigmoid(0))) / 2
    assert loss.item() == pytest.approx(expected)


def test_hardest_triplet_by_hand():
    scores = torch.tensor([[0.9, 0.8, 0.1], [0.3, 0.5, 0.2], [0.0, 0.6, 0.7]])
    # Hardest wrong text of each image, then hardest wrong image of each text, above margin 0.2.
    texts = (0.2 + 0.8 - 0.9, 0.2 + 0.3 - 0.5, 0.2 + 0.6 - 0.7)
    images = (0.0, 0.2 + 0.8 - 0.5, 0.0)
    loss = losses.triplet(scores, torch.eye(3, dtype=torch.bool), 0.2)
    assert loss.item() == pytest.approx(np.mean(texts) + np.mean(images), abs=1e-6)


def test_sum_of_triplets_by_hand():
    scores = torch.tensor([[0.9, 0.8, 0.1], [0.3, 0.5, 0.2], [0.0, 0.6, 0.7]])
    # Wrong texts of each image: 0.1; 0; 0.1. Wrong images of each text: none; 0.5, 0.3; none.
    loss = losses.triplet_sum(scores, torch.eye(3, dtype=torch.bool), 0.2)
    assert loss.item() == pytest.approx((0.1 + 0.1 + 0.5 + 0.3) / 3, abs=1e-6)


def test_ranking_by_hand():
    scores = torch.tensor([[0.5, 0.8, 0.4], [0.3, 0.2, 0.6], [0.1, 0.0, 0.7]])
    # Semi-hard text of each image: 0.4; none is below 0.2, so the easiest, 0.3; 0.1. Image of each text: 0.3; 0.0; 0.6.
    texts = (0.2 + 0.4 - 0.5, 0.2 + 0.3 - 0.2, 0.0)
    images = (0.2 + 0.3 - 0.5, 0.2 + 0.0 - 0.2, 0.2 + 0.6 - 0.7)
    loss = losses.ranking(scores, torch.eye(3, dtype=torch.bool), 0.2)
    assert loss.item() == pytest.approx(np.mean(texts) + np.mean(images), abs=1e-6)


def test_cosine_is_that_of_torch_over_all_pairs():
    x, y = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cosines = torch.nn.functional.normalize(x, dim=1) @ torch.nn.functional.normalize(y, dim=1).T
    rows, columns = map(torch.flatten, torch.meshgrid(torch.arange(5), torch.arange(5), indexing="ij"))
    target = torch.where(rows == columns, 1, -1)
    theirs = torch.nn.functional.cosine_embedding_loss(x[rows], y[columns], target, margin=0.1, reduction="none")
    expected = theirs[target == 1].mean() + theirs[target == -1].mean()
    assert losses.cosine(cosines, torch.eye(5, dtype=torch.bool), 0.1).item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("loss", "right", "wrong"),
    [
        (contrastive, lambda d: d**2 / 2, lambda d: max(0, 1.5 - d) ** 2 / 2),
        (euclidean, lambda d: d**2, lambda d: (d - 1.5) ** 2),
    ],
)
def test_losses_of_distances_are_the_written_out_loop(loss, right, wrong):
    x, y = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    same = torch.eye(4, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    distances = {(i, j): math.dist(x[i], y[j]) for i in range(4) for j in range(4)}
    expected = np.mean([right(distances[i, i]) for i in range(4)]) + np.mean(
        [wrong(distance) for (i, j), distance in distances.items() if not same[i, j]]
    )
    assert loss(x, y, same, 1.5).item() == pytest.approx(expected)


def test_cca_is_the_sum_of_canonical_correlations():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 50, 3))
    y[:, 0] += x[:, 1]
    loss = cca(torch.tensor(x), torch.tensor(y), None, ridge=1e-10)
    assert -loss.item() == pytest.approx(CCA(3, reg=0).fit(x, y).canonical_correlations_.sum(), abs=1e-6)


def test_vicreg_is_its_three_terms():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 20, 3)) * [[0.5, 1.0, 2.0]]

    def variance(rows):
        return np.maximum(0, 1 - np.sqrt(rows.var(axis=0, ddof=1) + 1e-4)).mean()

    def covariance(rows):
        table = np.cov(rows.T)
        return (table[~np.eye(3, dtype=bool)] ** 2).sum() / 3

    expected = 25 * ((x - y) ** 2).mean() + 25 * (variance(x) + variance(y)) / 2 + covariance(x) + covariance(y)
    assert vicreg(torch.tensor(x), torch.tensor(y), None).item() == pytest.approx(expected)


def test_barlow_is_the_distance_of_correlations_from_the_identity():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 20, 3))
    table = np.corrcoef(x.T, y.T)[:3, 3:]
    rest = (table[~np.eye(3, dtype=bool)] ** 2).sum()
    expected = ((1 - np.diag(table)) ** 2).sum() + 5e-3 * rest
    assert barlow(torch.tensor(x), torch.tensor(y), None).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", sorted(losses.SCORE_LOSSES))
def test_captions_of_one_image_are_not_negatives_of_scores(name):
    loss = losses.SCORE_LOSSES[name]
    scores = torch.tensor([[0.9, 0.1, 0.2], [0.3, 0.8, 0.1], [0.2, 0.4, 0.7]], dtype=torch.float64)
    settings = {**settings_of(loss), "margin": 0.6} if "margin" in settings_of(loss) else settings_of(loss)
    sibling_moved, stranger_moved = scores.clone(), scores.clone()
    sibling_moved[0, 1] = sibling_moved[1, 0] = 0.85
    stranger_moved[0, 2] = 0.85
    assert loss(scores, SAME, **settings) == loss(sibling_moved, SAME, **settings)
    assert loss(stranger_moved, SAME, **settings) > loss(scores, SAME, **settings)


@pytest.mark.parametrize("loss", [contrastive, euclidean])
def test_captions_of_one_image_are_not_negatives_of_distances(loss):
    x = torch.eye(3, dtype=torch.float64)
    y = torch.tensor([[1.0, 0.1, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    # Image 0 and text 1 belong together: were they negatives, a larger margin would cost more.
    alone = torch.ones(3, 3, dtype=torch.bool)
    assert loss(x, y, alone, 1.0) == loss(x, y, alone, 9.0)
    assert loss(x, y, SAME, 9.0) > loss(x, y, SAME, 1.0)


@pytest.mark.parametrize("name", sorted(losses.SCORE_LOSSES))
def test_gradients_of_scores_are_right(name):
    loss = losses.SCORE_LOSSES[name]
    scores = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    same = torch.eye(5, dtype=torch.bool)
    settings = settings_of(loss)
    assert torch.autograd.gradcheck(lambda s: loss(s, same, **settings), (scores,))
    for tensor in (value for value in settings.values() if isinstance(value, torch.Tensor)):
        tensor.requires_grad_()
        assert torch.autograd.gradcheck(lambda _: loss(scores.detach(), same, **settings), (tensor,))


@pytest.mark.parametrize("name", sorted(losses.ROW_LOSSES))
def test_gradients_of_rows_are_right(name):
    loss = losses.ROW_LOSSES[name]
    x, y = torch.randn(2, 12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    same = torch.eye(12, dtype=torch.bool)
    settings = settings_of(loss)
    assert torch.autograd.gradcheck(
        lambda x, y: loss(x, y, same, **settings), (x.requires_grad_(), y.clone().requires_grad_())
    )


@pytest.mark.parametrize("name", sorted({**losses.SCORE_LOSSES, **losses.ROW_LOSSES}))
def test_losses_stay_numbers_where_all_rows_are_equal(name):
    x = torch.ones(6, 3, dtype=torch.float64).requires_grad_()
    same = torch.eye(6, dtype=torch.bool)
    if name in losses.ROW_LOSSES:
        loss = losses.ROW_LOSSES[name](x, x, same, **settings_of(losses.ROW_LOSSES[name]))
    else:
        loss = losses.SCORE_LOSSES[name](x @ x.T / 3, same, **settings_of(losses.SCORE_LOSSES[name]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()
