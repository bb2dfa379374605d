"""The learned projection: losses by hand, what it learns, what it must not learn, what it leaves alone."""

import pickle
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from mmfeat.fusion import CCA, LearnedProjection
from mmfeat.fusion._losses import hardest_triplet, infonce
from mmfeat.fusion._training import _loss, _warm_up_and_cosine, mean_reciprocal_rank
from mmfeat.metrics import match_groups, rank_embeddings, recall_at_k

LOSSES = ["infonce", "triplet"]


def make_views(n=200, d=30, e=20, shared=6, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, shared))
    X = common @ rng.normal(size=(shared, d)) + noise * rng.normal(size=(n, d))
    Y = common @ rng.normal(size=(shared, e)) + noise * rng.normal(size=(n, e))
    return X.astype(np.float32), Y.astype(np.float32)


# Few synthetic pairs want bolder steps than real features do.
_LOUD = {"learning_rate": 1e-2, "dropout": 0.2, "patience": 40, "random_state": 0}


def random_start(n_components, **parameters):
    return LearnedProjection(n_components, init="random", **{**_LOUD, **parameters})


def recall(projection, X, Y, k=1):
    return recall_at_k(rank_embeddings(projection.transform(X), projection.transform_y(Y)), k=k)


def test_infonce_by_hand():
    scores = torch.tensor([[1.0, 0.0], [0.5, 1.0]], dtype=torch.float64)
    loss = infonce(scores, torch.eye(2, dtype=torch.bool), torch.tensor(0.5, dtype=torch.float64))
    rows = np.log(1 + np.exp(-2)), np.log(1 + np.exp(-1))
    columns = np.log(1 + np.exp(-1)), np.log(1 + np.exp(-2))
    assert loss.item() == pytest.approx((np.mean(rows) + np.mean(columns)) / 2)


def test_triplet_by_hand():
    scores = torch.tensor([[0.9, 0.8, 0.1], [0.3, 0.5, 0.2], [0.0, 0.6, 0.7]])
    # Hardest wrong text of each image, then hardest wrong image of each text, above margin 0.2.
    texts = (0.2 + 0.8 - 0.9, 0.2 + 0.3 - 0.5, 0.2 + 0.6 - 0.7)
    images = (0.0, 0.2 + 0.8 - 0.5, 0.0)
    loss = hardest_triplet(scores, torch.eye(3, dtype=torch.bool), 0.2)
    assert loss.item() == pytest.approx(np.mean(texts) + np.mean(images), abs=1e-6)


@pytest.mark.parametrize("loss", [infonce, hardest_triplet])
def test_captions_of_one_image_are_not_negatives(loss):
    setting = torch.tensor(0.2)
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    scores = torch.tensor([[0.9, 0.1, 0.2], [0.3, 0.8, 0.1], [0.2, 0.4, 0.7]])
    sibling_moved = scores.clone()
    sibling_moved[0, 1] = sibling_moved[1, 0] = 5.0
    assert loss(scores, same, setting) == loss(sibling_moved, same, setting)
    stranger_moved = scores.clone()
    stranger_moved[0, 2] = 5.0
    assert loss(stranger_moved, same, setting) > loss(scores, same, setting)


@pytest.mark.parametrize("loss", [infonce, hardest_triplet])
def test_gradients_are_right(loss):
    scores = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    same = torch.eye(5, dtype=torch.bool)
    setting = torch.tensor(0.3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: loss(s, same, setting), (scores,))


@pytest.mark.parametrize("loss", LOSSES)
def test_learns_the_common_space(loss):
    X, Y = make_views(400)
    projection = random_start(16, loss=loss, max_epochs=40, batch_size=64)
    projection.fit(X[:300], Y[:300])
    # Chance is 1 %.
    assert recall(projection, X[300:], Y[300:]) > 0.8
    assert projection.loss_curve_[-1] < projection.loss_curve_[0]


def test_shuffled_pairs_teach_nothing():
    X, Y = make_views(400)
    shuffled = np.random.default_rng(1).permutation(300)
    projection = random_start(16, max_epochs=10).fit(X[:300], Y[:300][shuffled])
    assert recall(projection, X[300:], Y[300:], k=10) < 0.3


def test_a_small_set_is_learned_by_heart():
    X, Y = np.random.default_rng(2).normal(size=(2, 64, 40)).astype(np.float32)
    projection = random_start(32, hidden=(64,), dropout=0, max_epochs=150, early_stopping=False)
    assert recall(projection.fit(X, Y), X, Y) == 1


@pytest.mark.parametrize("init", ["cca", CCA(reg=0.1, power=2)])
def test_a_start_from_cca_ranks_as_that_cca_does(init):
    X, Y = make_views(noise=1)
    projection = LearnedProjection(
        8, init=init, learning_rate=1e-12, max_epochs=1, early_stopping=False, random_state=0
    )
    expected = clone(init) if isinstance(init, CCA) else CCA()
    expected.set_params(n_components=8).fit(X, Y)
    projection.fit(X, Y)
    for ours, theirs in (
        (projection.transform(X), expected.transform(X)),
        (projection.transform_y(Y), expected.transform_y(Y)),
    ):
        assert_allclose(ours, theirs / np.linalg.norm(theirs, axis=1, keepdims=True), atol=1e-4)


def test_training_mends_what_cca_leaves():
    # Rows of an outsize picture mislead covariances; the ranking loss is less impressed.
    rng = np.random.default_rng(3)
    X, Y = make_views(900, noise=0.5)
    X[rng.random(900) < 0.3] *= 20
    start = CCA(16).fit(X[:600], Y[:600])
    projection = LearnedProjection(
        16, learning_rate=1e-3, dropout=0.2, batch_size=128, max_epochs=40, patience=10, random_state=0
    ).fit(X[:600], Y[:600])
    assert recall(projection, X[600:], Y[600:]) > recall(start, X[600:], Y[600:]) + 0.2


def test_components_beyond_those_of_cca_are_learned():
    X, Y = make_views()
    rows = [
        LearnedProjection(64, learning_rate=rate, max_epochs=20, early_stopping=False, random_state=0)
        .fit(X, Y)
        .transform(X)
        for rate in (1e-12, 1e-2)
    ]
    assert rows[0].shape == (200, 64)
    # 20 columns of texts allow 20 canonical components; the other 44 begin near nothing and grow.
    assert 0 < np.abs(rows[0][:, 20:]).mean() < np.abs(rows[1][:, 20:]).mean() / 2


def test_groups_are_held_out_together_and_ranked_as_one_image():
    X, Y = make_views(60)
    groups = np.repeat(np.arange(60), 3)
    projection = random_start(8, max_epochs=40, batch_size=32)
    projection.fit(X[groups], np.repeat(Y, 3, axis=0), groups=groups)
    relevance = match_groups(np.arange(60), groups)
    ranks = rank_embeddings(projection.transform(X), projection.transform_y(np.repeat(Y, 3, axis=0)), relevance)
    assert recall_at_k(ranks, k=5) > 0.8
    held_out = projection._hold_out(groups, np.random.RandomState(0))
    assert 0 < held_out.sum() < 180
    assert all(len(set(held_out[groups == group])) == 1 for group in range(60))


def test_the_best_epoch_is_kept_and_training_stops():
    X, Y = make_views(noise=2)
    projection = random_start(8, max_epochs=200, learning_rate=3e-2, patience=3).fit(X, Y)
    assert projection.best_epoch_ == int(np.argmax(projection.validation_curve_))
    assert len(projection.loss_curve_) == projection.best_epoch_ + 4 < 200


def test_the_weights_kept_are_those_of_the_best_epoch():
    X, Y = make_views(noise=5)
    kept = random_start(8, max_epochs=40, learning_rate=3e-2).fit(X, Y)
    held_out = kept._hold_out(np.arange(200), np.random.RandomState(0))
    curve = np.array(kept.validation_curve_)
    scores = kept.transform(X[held_out]) @ kept.transform_y(Y[held_out]).T
    ours = mean_reciprocal_rank(torch.tensor(scores), torch.arange(len(scores)))
    assert ours == pytest.approx(curve.max(), abs=1e-6)
    assert curve.max() > curve[-1]


def test_held_out_images_shape_nothing_that_they_are_judged_by():
    X, Y = make_views()
    held_out = LearnedProjection(random_state=0)._hold_out(np.arange(200), np.random.RandomState(0))
    moved_x, moved_y = X.copy(), Y.copy()
    moved_x[held_out] += 1000
    moved_y[held_out] = moved_y[held_out][::-1]
    plain, moved = (
        LearnedProjection(8, max_epochs=1, random_state=0).fit(*views) for views in ((X, Y), (moved_x, moved_y))
    )
    assert_array_equal(plain.x_mean_, moved.x_mean_)
    assert_array_equal(plain.transform(X), moved.transform(X))
    assert plain.validation_curve_ != moved.validation_curve_


def test_the_validation_score_counts_ties_against():
    owner = torch.tensor([0, 0, 1, 2])
    assert mean_reciprocal_rank(torch.ones(3, 4), owner) == pytest.approx(((1 / 3 + 1 / 4 + 1 / 4) / 3 + 1 / 3) / 2)
    scores = torch.tensor([[0.9, 0.1, 0.5, 0.0], [0.0, 0.2, 0.4, 0.3], [0.1, 0.1, 0.6, 0.2]])
    # Best own text of each image at 1, 1, 2; image of each text at 1, 3 (tied with the third), 3, 2.
    expected = ((1 + 1 + 1 / 2) / 3 + (1 + 1 / 3 + 1 / 3 + 1 / 2) / 4) / 2
    assert mean_reciprocal_rank(scores, owner) == pytest.approx(expected)


def test_the_schedule_warms_up_and_ends_at_zero():
    factor = _warm_up_and_cosine(100)
    rates = [factor(step) for step in range(101)]
    assert_allclose(rates[:10], np.arange(1, 11) / 10)
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0, abs=1e-12)
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_weight_decay_shrinks_weights():
    X, Y = make_views()
    sizes = [
        np.abs(random_start(8, max_epochs=5, weight_decay=decay).fit(X, Y).x_layers_[0][0]).mean() for decay in (0, 30)
    ]
    assert sizes[1] < 0.7 * sizes[0]


def test_the_temperature_is_bounded_from_below():
    settings = SimpleNamespace(loss="infonce", margin=0.2)
    scores, same = torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.eye(2, dtype=torch.bool)
    cold, bound = (_loss(scores, same, torch.tensor(np.log(value)), settings) for value in (1e-6, 0.01))
    assert cold == bound


def test_threads_do_not_mix_their_seeds():
    X, Y = make_views()
    expected = random_start(8, max_epochs=5).fit(X, Y).transform(X)
    with ThreadPoolExecutor(4) as pool:
        for projection in pool.map(lambda _: random_start(8, max_epochs=5).fit(X, Y), range(4)):
            assert_array_equal(projection.transform(X), expected)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_generators_alone():
    X, Y = make_views()
    torch.manual_seed(7)
    np.random.seed(7)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(7)
    np.random.seed(7)
    first = random_start(8, max_epochs=3).fit(X, Y)
    assert (torch.rand(1), np.random.rand()) == expected
    again = random_start(8, max_epochs=3).fit(X, Y)
    other = random_start(8, max_epochs=3, random_state=1).fit(X, Y)
    assert_array_equal(first.transform(X), again.transform(X))
    assert np.abs(first.transform(X) - other.transform(X)).max() > 0.01


def test_sparse_texts_are_learned_from_without_making_them_dense():
    X, Y = make_views()
    sparse_texts = sparse.csr_array(np.maximum(Y, 0))
    projection = random_start(8, max_epochs=20).fit(X, sparse_texts)
    assert recall(projection, X, sparse_texts, k=10) > 0.5
    assert_allclose(projection.transform_y(sparse_texts), projection.transform_y(sparse_texts.toarray()), atol=1e-5)


def test_transform_is_the_head_that_was_trained():
    X, Y = make_views()
    projection = random_start(8, hidden=(16, 12), max_epochs=2).fit(X, Y)
    layers = []
    for weight, bias in projection.x_layers_:
        layer = torch.nn.Linear(*weight.shape)
        layer.weight.data, layer.bias.data = torch.tensor(weight.T), torch.tensor(bias)
        layers += [layer, torch.nn.ReLU()]
    inputs = torch.tensor((X - projection.x_mean_) / projection.x_scale_, dtype=torch.float32)
    expected = torch.nn.functional.normalize(torch.nn.Sequential(*layers[:-1])(inputs)).detach().numpy()
    assert_allclose(projection.transform(X), expected, atol=1e-5)


def test_the_pickle_holds_no_torch_and_transforms_without_it(tmp_path):
    X, Y = make_views()
    projection = LearnedProjection(8, max_epochs=2, random_state=0).fit(X, Y)
    data = pickle.dumps(projection)
    assert b"torch" not in data
    (tmp_path / "projection.pkl").write_bytes(data)
    np.save(tmp_path / "X.npy", X)
    script = f"""
        import pickle, sys
        class NoTorch:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] == "torch":
                    raise ImportError("torch is hidden")
        sys.meta_path.insert(0, NoTorch())
        import numpy as np
        projection = pickle.load(open({str(tmp_path / "projection.pkl")!r}, "rb"))
        np.save({str(tmp_path / "out.npy")!r}, projection.transform(np.load({str(tmp_path / "X.npy")!r})))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)
    assert_allclose(np.load(tmp_path / "out.npy"), projection.transform(X), atol=1e-6)


def test_a_diverging_loss_is_told():
    X, Y = make_views()
    with pytest.raises(FloatingPointError, match="Reduce `learning_rate`"):
        random_start(8, hidden=(8,), learning_rate=1e30, max_epochs=5).fit(X, Y)


@pytest.mark.parametrize(
    ("parameters", "groups", "message"),
    [
        ({"loss": "infonc"}, None, "loss"),
        ({"batch_size": 1}, None, "batch_size"),
        ({"hidden": (8,)}, None, "A start from CCA needs linear heads"),
        ({"hidden": (0,), "init": "random"}, None, r"`hidden` must hold integers of at least 1. Got \(0,\)"),
        ({"device": "gpu"}, None, "`device` must be 'auto'"),
        ({"device": "cuda:99"}, None, "`device` is 'cuda:99', but torch sees"),
        ({}, np.zeros(200, int), "All rows belong to one image"),
        ({}, np.zeros(3, int), r"`groups` must have one value a row, shape \(200,\)"),
    ],
)
def test_bad_settings_are_refused(parameters, groups, message):
    X, Y = make_views()
    with pytest.raises(ValueError, match=message):
        LearnedProjection(8, max_epochs=1, **parameters).fit(X, Y, groups=groups)


@pytest.mark.gpu
def test_cuda_learns_as_the_cpu_does():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA")
    X, Y = make_views(400)
    projection = random_start(16, device="cuda", max_epochs=40, batch_size=64).fit(X[:300], Y[:300])
    assert recall(projection, X[300:], Y[300:]) > 0.8
