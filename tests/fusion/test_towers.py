"""Towers over bags: numpy does what torch does, padding changes nothing, empty bags are rows too."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from mmfeat.fusion import LearnedProjection
from mmfeat.fusion._learning._batches import Bags, padded
from mmfeat.fusion._learning._noise import Noise
from mmfeat.fusion._learning._tower_arrays import apply_tower
from mmfeat.fusion._learning._towers import TOWERS, TowerHead
from mmfeat.metrics import rank_embeddings, recall_at_k


def make_head(tower, width=12, seed=0, activation="relu"):
    return TowerHead(5, tower, width, (7, 4), activation, torch.Generator().manual_seed(seed), "cpu")


def make_bags(lengths=(3, 1, 6, 0, 4), width=5, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(length, width)).astype(np.float32) for length in lengths]


def run(head, bags, longest=None):
    block = padded(bags, np.zeros(5, np.float32), 1.0, longest)
    with torch.inference_mode():
        tensors = Bags(torch.from_numpy(block.values), torch.from_numpy(block.lengths))
        return head(tensors, 0, Noise(0, "cpu")).numpy(), apply_tower(head.export(), block)


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize("tower", TOWERS)
def test_numpy_does_what_torch_does(tower, activation):
    theirs, ours = run(make_head(tower, activation=activation), make_bags())
    assert ours.dtype == np.float32
    assert_allclose(ours, theirs, atol=2e-6)


@pytest.mark.parametrize("tower", TOWERS)
def test_padding_changes_nothing(tower):
    head, bags = make_head(tower), make_bags()
    together = run(head, bags)
    for place, bag in enumerate(bags):
        alone = run(head, [bag])
        for kind in (0, 1):
            assert_allclose(alone[kind][0], together[kind][place], atol=2e-6)


@pytest.mark.parametrize("tower", ["gru", "lstm", "transformer"])
def test_the_order_of_a_bag_counts(tower):
    head, (bag, *_) = make_head(tower), make_bags((6,))
    assert np.abs(run(head, [bag])[0] - run(head, [bag[::-1].copy()])[0]).max() > 1e-4


@pytest.mark.parametrize("tower", ["mean", "attention"])
def test_the_order_of_a_set_does_not_count(tower):
    head, (bag, *_) = make_head(tower), make_bags((6,))
    assert_allclose(run(head, [bag])[0], run(head, [bag[::-1].copy()])[0], atol=1e-6)


def test_gru_by_hand():
    """One step of one unit, both directions, against the equations of Cho et al. (2014) as torch documents them."""
    head = TowerHead(1, "gru", 1, (1,), "relu", torch.Generator().manual_seed(0), "cpu")
    values = {name: part.detach().numpy().astype(float) for name, part in head._tower_parts()}
    x, states = 0.7, []
    for suffix in ("", "_reverse"):
        into, hidden = values[f"weight_ih_l0{suffix}"][:, 0], values[f"bias_hh_l0{suffix}"]
        inputs = into * x + values[f"bias_ih_l0{suffix}"]
        reset, update = 1 / (1 + np.exp(-(inputs[:2] + hidden[:2])))
        states.append((1 - update) * np.tanh(inputs[2] + reset * hidden[2]))
    weight, bias = (part.detach().numpy() for part in head.layers.layers[0])
    block = padded([np.array([[x]], np.float32)], np.zeros(1, np.float32), 1.0)
    assert_allclose(apply_tower(head.export(), block), [[np.mean(states) * weight[0, 0] + bias[0]]], atol=1e-6)


def test_bags_are_cut_centred_and_scaled():
    bags = [np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.zeros((0, 2))]
    block = padded(bags, np.array([1.0, 2.0], np.float32), 2.0, longest=2)
    assert_array_equal(block.lengths, [2, 0])
    assert_array_equal(block.values, [[[0, 0], [1, 1]], [[0, 0], [0, 0]]])


def make_sentences(n=300, seed=0):
    """Pictures as rows, sentences as bags: the picture is the sum of its words, in which the order counts not."""
    rng = np.random.default_rng(seed)
    words, meaning = rng.normal(size=(30, 8)), rng.normal(size=(30, 10))
    chosen = [rng.integers(30, size=rng.integers(1, 7)) for _ in range(n)]
    X = np.array([meaning[row].sum(axis=0) for row in chosen]) + 0.01 * rng.normal(size=(n, 10))
    return X.astype(np.float32), [words[row].astype(np.float32) for row in chosen]


@pytest.mark.parametrize("tower", TOWERS)
def test_towers_learn_from_sentences(tower):
    X, bags = make_sentences()
    projection = LearnedProjection(
        16,
        tower=tower,
        tower_width=32,
        init="random",
        learning_rate=5e-3,
        dropout=0.0,
        max_epochs=30,
        batch_size=64,
        early_stopping=False,
        random_state=0,
    ).fit(X[:250], bags[:250])
    ranks = rank_embeddings(projection.transform(X[250:]), projection.transform_y(bags[250:]))
    # Chance is 10 %.
    assert recall_at_k(ranks, k=5) > 0.5
    data = pickle.dumps(projection)
    assert b"torch" not in data
    assert_array_equal(pickle.loads(data).transform_y(bags[:9]), projection.transform_y(bags[:9]))
    # A row does not depend on its neighbours.
    assert_allclose(projection.transform_y(bags[250:251])[0], projection.transform_y(bags[250:])[0], atol=2e-6)


def test_both_views_may_be_bags_and_the_kinds_are_remembered():
    _, bags = make_sentences()
    parameters = {"tower": "mean", "init": "random", "max_epochs": 1, "random_state": 0}
    projection = LearnedProjection(4, **parameters).fit(bags, bags[::-1])
    assert projection.transform(bags[:5]).shape == projection.transform_y(bags[:5]).shape == (5, 4)
    assert projection.transform(np.zeros((2, 3, 8))).shape == (2, 4)
    with pytest.raises(ValueError, match="a column of bags before"):
        projection.partial_fit(np.zeros((300, 8)), bags)
    with pytest.raises(ValueError, match="Bag 0 has 3 columns"):
        projection.transform_y([np.zeros((2, 3))])
    projection = LearnedProjection(4, **parameters).fit(bags, np.eye(300))
    with pytest.raises(ValueError, match="y has 3 features, but 300 are expected"):
        projection.partial_fit(bags[:60], np.eye(60, 3))
    assert (projection.n_features_in_, projection.n_targets_in_) == (8, 300)
    assert projection.transform_y(np.eye(300)[:2]).shape == (2, 4)
    with pytest.raises(ValueError, match="needs two matrices and linear heads, but a view holds bags"):
        LearnedProjection(4).fit(bags, np.eye(300))
