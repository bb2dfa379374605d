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
from mmfeat.fusion._learning._batches import hold_out
from mmfeat.fusion._learning._training import pair_loss, warm_up_and_cosine
from mmfeat.metrics import match_groups, rank_embeddings, recall_at_k
from mmfeat.utils._ranks import mean_reciprocal_rank_both_ways

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
    projection = random_start(8, max_epochs=40, batch_size=32, early_stopping=False)
    projection.fit(X[groups], np.repeat(Y, 3, axis=0), groups=groups)
    relevance = match_groups(np.arange(60), groups)
    ranks = rank_embeddings(
        projection.transform(X), projection.transform_y(np.repeat(Y, 3, axis=0)), relevance=relevance
    )
    assert recall_at_k(ranks, k=5) > 0.8
    held_out = hold_out(groups, np.random.RandomState(0), 0.1)
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
    held_out = hold_out(np.arange(200), np.random.RandomState(0), 0.1)
    curve = np.array(kept.validation_curve_)
    scores = kept.transform(X[held_out]) @ kept.transform_y(Y[held_out]).T
    ours = mean_reciprocal_rank_both_ways(scores, np.arange(len(scores)))
    assert ours == pytest.approx(curve.max(), abs=1e-6)
    assert curve.max() > curve[-1]


def test_held_out_images_shape_nothing_that_they_are_judged_by():
    X, Y = make_views()
    held_out = hold_out(np.arange(200), np.random.RandomState(0), 0.1)
    moved_x, moved_y = X.copy(), Y.copy()
    moved_x[held_out] += 1000
    moved_y[held_out] = moved_y[held_out][::-1]
    plain, moved = (
        LearnedProjection(8, max_epochs=1, random_state=0).fit(*views) for views in ((X, Y), (moved_x, moved_y))
    )
    assert_array_equal(plain.x_mean_, moved.x_mean_)
    assert_array_equal(plain.transform(X), moved.transform(X))
    assert plain.validation_curve_ != moved.validation_curve_


def test_the_schedule_warms_up_and_ends_at_zero():
    factor = warm_up_and_cosine(100)
    rates = [factor(step) for step in range(101)]
    assert_allclose(rates[:10], np.arange(1, 11) / 10)
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0, abs=1e-12)
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_weight_decay_shrinks_weights():
    X, Y = make_views()
    sizes = []
    for decay in (0, 30):
        (member,) = random_start(8, max_epochs=5, weight_decay=decay).fit(X, Y).members_
        sizes.append(np.abs(member["x"]["head"]["parameters"][0]).mean())
    assert sizes[1] < 0.7 * sizes[0]


def test_the_temperature_is_bounded_from_below():
    settings = SimpleNamespace(loss="infonce", margin=None, similarity="cosine", half=False, device="cpu")
    x, y, same = torch.eye(2), torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.eye(2, dtype=torch.bool)
    cold, bound = (
        pair_loss(x, y, same, {"log_temperature": torch.tensor(np.log(value))}, settings) for value in (1e-6, 0.01)
    )
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
    parameters = projection.members_[0]["x"]["head"]["parameters"]
    for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
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
        ({"loss": "infonc"}, None, "`loss` is 'infonc', which is unknown. Did you mean 'infonce'"),
        ({"loss": "xyz"}, None, "Known are 'barlow', 'cca'"),
        ({"batch_size": 201}, None, "`batch_size` is 201, but there are 180 pairs to train on"),
        ({"checkpoint": "c.npz"}, None, "A checkpoint needs an int as `random_state`"),
        ({"batch_size": 1}, None, "batch_size"),
        ({"hidden": (8,)}, None, "A start from CCA needs two matrices and linear heads"),
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


@pytest.mark.parametrize(
    ("X", "Y", "labels", "message"),
    [
        (np.ones((5, 3)), np.eye(5), None, None),
        (np.eye(5), np.ones((5, 3)), None, "All texts are the same"),
        (np.eye(5), sparse.csr_array(np.ones((5, 3))), None, "All texts are the same"),
        (np.eye(5), [np.ones((2, 3))] * 5, None, "All texts are the same"),
        (np.eye(5), np.eye(4), None, "inconsistent numbers of samples"),
        (np.eye(1), np.eye(1), None, "minimum of 2 is required"),
        (np.eye(5), np.eye(5), ["a"] * 5, "`labels` holds one class only, 'a'"),
        (np.eye(5), np.eye(5), ["a", "b"], r"`labels` must have one row a pair, 5. Got 2"),
        (np.eye(5), [np.ones((2, 3))] * 4 + [np.ones((2, 4))], None, "Bag 4 has 4 columns. Expected 3"),
    ],
)
def test_bad_views_are_refused(X, Y, labels, message):
    projection = LearnedProjection(2, max_epochs=1, init="random", random_state=0)
    if message is None:
        projection.fit(X, Y, labels=labels)
        return
    with pytest.raises(ValueError, match=message):
        projection.fit(X, Y, labels=labels)


@pytest.mark.parametrize(
    "loss", ["siglip", "triplet_sum", "ranking", "cosine", "contrastive", "euclidean", "cca", "vicreg", "barlow"]
)
def test_every_loss_learns_the_common_space(loss):
    X, Y = make_views(400)
    projection = random_start(8, loss=loss, max_epochs=30, batch_size=100).fit(X[:300], Y[:300])
    # Chance is 10 %.
    assert recall(projection, X[300:], Y[300:], k=10) > 0.6


def test_a_loss_of_ones_own_is_asked():
    X, Y = make_views(400)
    seen = []

    def loss(x, y, same):
        seen.append((tuple(x.shape), tuple(y.shape), tuple(same.shape), bool(same.diagonal().all())))
        return ((x - y) ** 2).sum(dim=1).mean() - 0.5 * torch.pdist(x).mean()

    projection = random_start(8, loss=loss, max_epochs=20, batch_size=100, early_stopping=False)
    projection.fit(X[:300], Y[:300])
    assert seen[0] == ((100, 8), (100, 8), (100, 100), True)
    assert recall(projection, X[300:], Y[300:], k=10) > 0.6


def test_dot_products_keep_the_lengths_of_rows():
    X, Y = make_views()
    parameters = {"loss": "siglip", "max_epochs": 2}
    lengths = np.linalg.norm(random_start(8, similarity="dot", **parameters).fit(X, Y).transform(X), axis=1)
    assert lengths.std() > 0.01
    assert_allclose(np.linalg.norm(random_start(8, **parameters).fit(X, Y).transform(X), axis=1), 1, atol=1e-5)


def test_an_ensemble_is_the_mean_of_its_members_cosines():
    X, Y = make_views()
    projection = random_start(8, ensemble=3, max_epochs=3).fit(X, Y)
    assert projection.n_components_ == projection.transform(X).shape[1] == 24
    expected = 0
    for member in projection.members_:
        single = clone(projection).set_params(ensemble=1).fit(X, Y)
        single.members_ = [member]
        expected = expected + single.transform(X) @ single.transform_y(Y).T / 3
    assert_allclose(projection.transform(X) @ projection.transform_y(Y).T, expected, atol=1e-5)
    weights = [member["x"]["head"]["parameters"][0] for member in projection.members_]
    assert np.abs(weights[0] - weights[1]).max() > 0.01


def test_labels_are_learned_along():
    rng = np.random.default_rng(0)
    classes = np.array(["cat", "dog", "owl"])[rng.integers(3, size=300)]
    # The class stands in both views, far below the noise that the pair shares.
    X, Y = make_views(300)
    X[:, :3] += (classes[:, None] == np.unique(classes)) * 2.0
    Y[:, :3] += (classes[:, None] == np.unique(classes)) * 2.0

    def gap(**parameters):
        projection = random_start(8, max_epochs=40, batch_size=50, early_stopping=False, **parameters)
        rows = projection.fit(X, Y, labels=classes).transform(X)
        scores, same = rows @ rows.T, classes[:, None] == classes
        return scores[same].mean() - scores[~same].mean()

    assert gap(label_weight=2.0) > 2 * gap(label_weight=0.0)
    indicators = (classes[:, None] == np.unique(classes)).astype(float)
    projection = random_start(8, max_epochs=2).fit(X, Y, labels=indicators)
    assert np.isfinite(projection.loss_curve_).all()


def test_partial_fit_goes_on_with_new_pairs():
    X, Y = make_views(600)
    projection = random_start(8, batch_size=50)
    for _ in range(15):
        for start in range(0, 400, 100):
            projection.partial_fit(X[start : start + 100], Y[start : start + 100])
    assert recall(projection, X[400:], Y[400:], k=10) > 0.7
    assert len(projection.loss_curve_) == 60
    # All of it travels in a pickle, the moments of the optimizer too.
    data = pickle.dumps(projection)
    assert b"torch" not in data
    copy = pickle.loads(data)
    for one in (projection, copy):
        one.partial_fit(X[:100], Y[:100])
    assert_array_equal(projection.transform(X), copy.transform(X))
    with pytest.raises(ValueError, match="features"):
        projection.partial_fit(X[:100, :5], Y[:100])


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        (None, ["a", "b"] * 30, "`labels` are classes, but were missing in the first call"),
        (["a", "b"] * 30, None, "`labels` are missing, but were classes in the first call"),
        (["a", "b"] * 30, np.eye(2)[[0, 1] * 30], "`labels` are indicators, but were classes"),
        (["a", "b"] * 30, ["a", "c"] * 30, "`labels` holds 'c', which the first call did not"),
        (np.eye(2)[[0, 1] * 30], np.eye(3)[[0, 1, 2] * 20], "`labels` has 3 columns, but had 2 in the first call"),
    ],
)
def test_a_stream_refuses_other_labels_and_goes_on_with_the_right_ones(first, then, message):
    X, Y = make_views(60)
    projection = random_start(4).partial_fit(X, Y, labels=first)
    with pytest.raises(ValueError, match=message):
        projection.partial_fit(X, Y, labels=then)
    assert len(projection.partial_fit(X, Y, labels=first).loss_curve_) == 2


def test_heads_of_other_shapes_are_not_taken_up():
    X, Y = make_views(60)
    projection = random_start(4, max_epochs=1, warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="other shapes"):
        projection.set_params(n_components=5).fit(X, Y)
    with pytest.raises(ValueError, match="`ensemble` is 2, but 1 members were fitted before"):
        projection.set_params(n_components=4, ensemble=2).partial_fit(X, Y)


def test_a_warm_start_begins_where_the_last_fit_ended():
    X, Y = make_views()
    projection = random_start(8, warm_start=True, max_epochs=10, early_stopping=False).fit(X, Y)
    first = projection.transform(X)
    projection.set_params(learning_rate=1e-12, max_epochs=1).fit(X, Y)
    assert_allclose(projection.transform(X), first, atol=1e-4)
    projection.set_params(warm_start=False).fit(X, Y)
    assert np.abs(projection.transform(X) - first).max() > 0.1


def test_a_callback_sees_each_epoch_and_can_stop():
    X, Y = make_views()
    records = []
    projection = random_start(
        8, max_epochs=10, callback=lambda record: records.append(record) or record["epoch"] == 2
    ).fit(X, Y)
    assert [record["epoch"] for record in records] == [0, 1, 2]
    assert [record["loss"] for record in records] == projection.loss_curve_
    assert [record["validation"] for record in records] == projection.validation_curve_


def test_an_epoch_draws_some_captions_of_each_image():
    X, Y = make_views(50)
    groups = np.repeat(np.arange(50), 4)
    owners = []

    def loss(x, y, same):
        owners.append(same.sum(dim=1))
        return (x - y).square().sum()

    random_start(4, loss=loss, texts_per_epoch=2, max_epochs=2, early_stopping=False, batch_size=200).fit(
        X[groups], np.repeat(Y, 4, axis=0), groups=groups
    )
    assert [tuple(seen.shape) for seen in owners] == [(100,), (100,)]
    assert all((seen == 2).all() for seen in owners)


@pytest.mark.gpu
def test_cuda_learns_as_the_cpu_does():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA")
    X, Y = make_views(400)
    projection = random_start(16, device="cuda", max_epochs=40, batch_size=64).fit(X[:300], Y[:300])
    assert recall(projection, X[300:], Y[300:]) > 0.8
