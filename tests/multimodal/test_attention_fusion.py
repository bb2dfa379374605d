"""AttentionFusionClassifier: networks written out in torch, weights, missing sides, and labels that need both sides."""

import pickle
import pickletools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import softmax
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from mmfeat.datasets import make_scenes
from mmfeat.image import ColorMoments
from mmfeat.multimodal import AttentionFusionClassifier, PairFeatures
from mmfeat.multimodal._middle_training import hold_out_classes, left_out
from mmfeat.text import WordVectors, tfidf_lsa

torch = pytest.importorskip("torch")

FUSIONS = ("gated", "bilinear", "cross_attention")
QUICK = {"n_components": 8, "tower_width": 6, "max_epochs": 6, "random_state": 0, "device": "cpu"}


def pixels(X):
    """The numbers of a picture."""
    return np.stack([np.asarray(image, np.float32).ravel() for image in X])


def numbers(X):
    """The numbers that a text is made of."""
    return np.array([[float(word) for word in text.split()] for text in X])


def sparse_numbers(X):
    """The same as a sparse matrix."""
    return sparse.csr_matrix(np.maximum(numbers(X), 0))


def image_bags(X):
    """Bags of one to four vectors of three numbers."""
    return [np.asarray(image, np.float32).reshape(-1, 3) for image in X]


def text_bags(X):
    """A bag of a vector for each word; none for the word 0."""
    return [
        np.array([[float(word), float(word) ** 2] for word in text.split() if word != "0"]).reshape(-1, 2) for text in X
    ]


def make(image=pixels, text=numbers, **more):
    return AttentionFusionClassifier(FunctionTransformer(image), FunctionTransformer(text), **{**QUICK, **more})


def make_pairs(images, texts):
    cells = np.empty(len(images), dtype=object)
    cells[:] = list(images)
    return pd.DataFrame({"image": cells, "text": [" ".join(map(repr, map(float, row))) for row in texts]})


def remove(pairs, column, rows):
    """The same pairs with None in some cells."""
    cells = np.empty(len(pairs), dtype=object)
    cells[:] = [None if row in set(rows) else cell for row, cell in enumerate(pairs[column])]
    return pairs.assign(**{column: cells})


@pytest.fixture(scope="module")
def data():
    """Pairs and classes; both sides tell something."""
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=150)
    images = rng.normal(size=(150, 6)) + 1.5 * np.eye(3, 6)[codes]
    texts = rng.normal(size=(150, 4)) + 1.5 * np.eye(3, 4)[codes]
    return make_pairs(images, texts), np.array(["a", "b", "c"])[codes]


@pytest.fixture(scope="module")
def bags():
    """Pairs whose pictures have one to four regions and whose texts none to five words."""
    rng = np.random.default_rng(1)
    codes = rng.integers(2, size=90)
    images = [rng.normal(size=3 * n).astype(np.float32) + k for n, k in zip(rng.integers(1, 5, 90), codes, strict=True)]
    texts = [rng.normal(size=n) + k for n, k in zip(rng.integers(1, 6, 90), codes, strict=True)]
    pairs = make_pairs(images, texts)
    pairs.loc[4, "text"] = "0"  # words of which none has a vector
    return pairs, codes


# The networks, written out with torch's own layers


def standardised(matrix):
    return (matrix - matrix.mean(axis=0)) / matrix.std(axis=0)


def layer(named, name):
    """torch's linear layer of a name."""
    weight, bias = named[f"{name}.weight"], named[f"{name}.bias"]
    linear = torch.nn.Linear(*weight.shape).double()
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weight.T))
        linear.bias.copy_(torch.from_numpy(bias))
    return linear


def norm(named, name, rows):
    weight, bias = (torch.from_numpy(named[f"{name}.{part}"]).double() for part in ("weight", "bias"))
    return torch.nn.functional.layer_norm(rows, rows.shape[-1:], weight, bias)


def classes_of(network, fused):
    parts = network["classes"]["parameters"]
    for depth in range(0, len(parts), 2):
        fused = fused if depth == 0 else fused.relu()
        fused = layer({"c.weight": parts[depth], "c.bias": parts[depth + 1]}, "c")(fused)
    return fused


def torch_attention(named, side, own, other):
    """One crossmodal layer on one row, by torch's multi-head attention."""
    width = own.shape[1]
    heads = 4 if width % 4 == 0 else 1
    attention = torch.nn.MultiheadAttention(width, heads, batch_first=True).double()
    with torch.no_grad():
        attention.in_proj_weight.copy_(
            torch.from_numpy(np.vstack([named[f"{side}.{part}.weight"].T for part in ("query", "key", "value")]))
        )
        attention.in_proj_bias.copy_(
            torch.from_numpy(np.concatenate([named[f"{side}.{part}.bias"] for part in ("query", "key", "value")]))
        )
        attention.out_proj.weight.copy_(torch.from_numpy(named[f"{side}.out.weight"].T))
        attention.out_proj.bias.copy_(torch.from_numpy(named[f"{side}.out.bias"]))
    if not len(own):
        return torch.zeros(width, dtype=torch.float64)
    if len(other):
        seen = norm(named, f"{side}.second", other)[None]
        own = own + attention(norm(named, f"{side}.first", own)[None], seen, seen)[0][0]
    else:
        own = own + attention.out_proj.bias
    up = torch.nn.functional.gelu(layer(named, f"{side}.up")(norm(named, f"{side}.third", own)))
    return (own + layer(named, f"{side}.down")(up)).mean(dim=0)


def written_out(network, image, text, there=(True, True)):
    """Scores of one row: `image` and `text` a vector, or bags of shape (n, width), as the network sees them."""
    form, named = network["form"], network["named"]
    views = []
    for side, known in zip((image, text), network["views"], strict=True):
        views.append(torch.from_numpy((np.asarray(side, float) - known["mean"]) / known["scale"]))
    with torch.no_grad():
        if form["fusion"] == "cross_attention":
            vectors = []
            for name, view, seen in zip(("image", "text"), views, there, strict=True):
                made = layer(named, f"{name}.input")(view if view.ndim == 2 else view[None])
                if view.ndim == 2:
                    made = made + torch.from_numpy(places(len(made), made.shape[1]))
                vectors.append(made if seen else made[:0])
            fused = [torch_attention(named, "image", *vectors), torch_attention(named, "text", *vectors[::-1])]
            return classes_of(network, torch.cat(fused)).numpy()
        image, text = (layer(named, name)(view).tanh() for name, view in zip(("image", "text"), views, strict=True))
        if form["fusion"] == "bilinear":
            absent = [
                torch.from_numpy(named[f"{s}.absent"]).double() if form["falls_back"] else None
                for s in ("image", "text")
            ]
            fused = (image if there[0] else absent[0]) * (text if there[1] else absent[1])
        else:
            gate = layer(named, "gate")(torch.cat(views)).sigmoid()
            fused = gate * image + (1 - gate) * text if all(there) else (image if there[0] else text)
        return classes_of(network, fused).numpy()


def places(n, width):
    """Sines and cosines of positions, one at a time."""
    table = np.zeros((n, width))
    for place in range(n):
        for column in range(width):
            angle = place / 10000 ** (2 * (column // 2) / width)
            table[place, column] = np.cos(angle) if column % 2 else np.sin(angle)
    return table


@pytest.mark.parametrize("hidden", [(), (5,)])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_networks_are_those_written_out(data, fusion, hidden):
    pairs, y = data
    model = make(fusion=fusion, hidden=hidden).fit(pairs, y)
    images, texts = standardised(pixels(pairs["image"])), standardised(numbers(pairs["text"]))
    expected = [written_out(model.network_, image, text) for image, text in zip(images, texts, strict=True)]
    assert_allclose(model.predict_proba(pairs), softmax(expected, axis=1), atol=1e-5)
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert_array_equal(model.predict(pairs), model.classes_[np.argmax(expected, axis=1)])
    assert_allclose(model.class_prior_, [np.mean(y == name) for name in "abc"])


@pytest.mark.parametrize(("image", "text"), [(image_bags, text_bags), (image_bags, numbers), (pixels, text_bags)])
def test_cross_attention_over_bags_is_that_written_out(bags, data, image, text):
    pairs = pd.DataFrame({"image": (bags if image is image_bags else data)[0]["image"][:90], "text": bags[0]["text"]})
    if text is numbers:
        pairs["text"] = data[0]["text"][:90]
    model = make(image, text, fusion="cross_attention", max_length=3).fit(pairs, bags[1])
    images = standardised(pixels(pairs["image"])) if image is pixels else [bag[:3] for bag in image(pairs["image"])]
    texts = standardised(numbers(pairs["text"])) if text is numbers else [bag[:3] for bag in text(pairs["text"])]
    expected = [written_out(model.network_, *sides) for sides in zip(images, texts, strict=True)]
    assert_allclose(model.predict_proba(pairs), softmax(expected, axis=1), atol=1e-5)


def tower_of(network, number, bag):
    """The mean tower on one bag: the mean, then a linear layer."""
    known, reader = network["views"][number], network["readers"][number]
    weight, bias = reader["parameters"]
    mean = ((bag - known["mean"]) / known["scale"]).mean(axis=0) if len(bag) else np.zeros(len(known["mean"]))
    return mean @ weight + bias


@pytest.mark.parametrize("fusion", ["gated", "bilinear"])
def test_towers_make_one_vector_of_a_bag(bags, fusion):
    pairs, y = bags
    model = make(image_bags, text_bags, fusion=fusion, tower="mean").fit(pairs, y)
    rows = zip(image_bags(pairs["image"]), text_bags(pairs["text"]), strict=True)
    sides = [(tower_of(model.network_, 0, image), tower_of(model.network_, 1, text)) for image, text in rows]
    plain = {**model.network_, "views": [{"mean": 0, "scale": 1}] * 2}
    expected = softmax([written_out(plain, *pair) for pair in sides], axis=1)
    assert_allclose(model.predict_proba(pairs), expected, atol=1e-5)
    probabilities = {
        tower: clone(model).set_params(tower=tower).fit(pairs, y).predict_proba(pairs) for tower in ("gru", "attention")
    }
    assert not np.allclose(probabilities["gru"], probabilities["attention"], atol=1e-3)


def test_sparse_features_stay_sparse_and_are_scaled_by_one_number(data):
    pairs, y = data
    model = make(text=sparse_numbers).fit(pairs, y)
    images, texts = standardised(pixels(pairs["image"])), sparse_numbers(pairs["text"]).toarray()
    known = model.network_["views"][1]
    assert not known["mean"].any() and np.ndim(known["scale"]) == 0
    expected = [written_out(model.network_, image, text) for image, text in zip(images, texts, strict=True)]
    assert_allclose(model.predict_proba(pairs), softmax(expected, axis=1), atol=1e-5)


# Training


@pytest.mark.parametrize("fusion", FUSIONS)
def test_same_seed_same_weights(bags, fusion):
    pairs, y = bags
    model = make(image_bags, text_bags, fusion=fusion, missing="other", auxiliary_weight=0.3, max_epochs=2)
    state = torch.random.get_rng_state()
    first, second = clone(model).fit(pairs, y), clone(model).fit(pairs, y)
    assert torch.equal(torch.random.get_rng_state(), state)
    other = clone(model).set_params(random_state=1).fit(pairs, y)
    for name, array in first.network_["named"].items():
        assert_array_equal(array, second.network_["named"][name])
    assert first.loss_curve_ == second.loss_curve_
    assert not np.allclose(first.predict_proba(pairs), other.predict_proba(pairs))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_row_alone_is_the_row_in_a_batch(bags, fusion):
    pairs, y = bags
    model = make(image_bags, text_bags, fusion=fusion, missing="other").fit(pairs, y)
    pairs = remove(remove(pairs, "image", [3, 8]), "text", [8, 9])
    together = model.predict_proba(pairs)
    alone = np.concatenate([model.predict_proba(pairs[row : row + 1]) for row in range(len(pairs))])
    assert_allclose(alone, together, atol=1e-6)
    many = pd.concat([pairs] * 15)  # more rows than a block holds
    assert_allclose(model.predict_proba(many), np.tile(together, (15, 1)), atol=1e-6)
    assert_allclose(together[8], model.class_prior_)


def one_step_apart(data, rows, **more):
    """Weights after one step with all of some rows in one batch, without dropout."""
    pairs, y = data
    quick = {"max_epochs": 1, "early_stopping": False, "dropout": 0.0, "batch_size": 1000}
    return make(**{**quick, **more}).fit(pairs.iloc[rows], y[rows])


def test_training_is_that_of_a_plain_loop(data):
    pairs, y = data
    model = one_step_apart(data, np.arange(150), max_epochs=1, learning_rate=1e-2)
    start = one_step_apart(data, np.arange(150), max_epochs=1, learning_rate=1e-12)
    images, texts = (
        torch.from_numpy(standardised(f(pairs[c]))).float() for f, c in ((pixels, "image"), (numbers, "text"))
    )
    parts = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in start.network_["named"].items()}
    last = [torch.from_numpy(array.copy()).requires_grad_() for array in start.network_["classes"]["parameters"]]
    image, text = (
        (rows @ parts[f"{n}.weight"] + parts[f"{n}.bias"]).tanh() for n, rows in (("image", images), ("text", texts))
    )
    gate = (torch.cat([images, texts], 1) @ parts["gate.weight"] + parts["gate.bias"]).sigmoid()
    scores = (gate * image + (1 - gate) * text) @ last[0] + last[1]
    loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(np.searchsorted(["a", "b", "c"], y)))
    assert model.loss_curve_[0] == pytest.approx(loss.item(), rel=1e-5)
    optimizer = torch.optim.AdamW([*parts.values(), *last], lr=1e-2, weight_decay=1e-2)
    loss.backward()
    optimizer.step()
    for name, part in parts.items():
        assert_allclose(model.network_["named"][name], part.detach(), atol=2e-4)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_without_weight_there_are_no_auxiliary_heads(data, fusion):
    pairs, y = data
    found = {
        weight: make(fusion=fusion, auxiliary_weight=weight).fit(pairs, y)
        for weight in (0, (0.0, 0.0), 1e-9, 1.0, (1.0, 0.0), (0.0, 1.0))
    }
    without = found[0].predict_proba(pairs)
    assert_array_equal(found[0.0, 0.0].predict_proba(pairs), without)
    assert found[0].loss_curve_ != found[1.0].loss_curve_
    rows = [found[weight].predict_proba(pairs) for weight in (1.0, (1.0, 0.0), (0.0, 1.0))]
    assert all(not np.allclose(one, without, atol=1e-4) for one in rows)
    assert not np.allclose(rows[1], rows[2], atol=1e-4)
    assert {name: part.shape for name, part in found[1.0].network_["named"].items()} == {
        name: part.shape for name, part in found[0].network_["named"].items()
    }


def test_the_auxiliary_loss_is_that_of_two_more_classifiers(data):
    """Before the first step: a head's loss is a plain cross-entropy of its side, and leaves out rows without that side."""
    pairs, y = data
    pairs = remove(pairs, "image", range(30))
    common = {"missing": "other", "side_dropout": 0.0}
    losses = {
        weight: one_step_apart((pairs, y), np.arange(150), auxiliary_weight=weight, **common).loss_curve_[0]
        for weight in (0.0, 1.0, 2.0, (2.0, 0.0), (0.0, 2.0))
    }
    assert losses[2.0] - losses[1.0] == pytest.approx(losses[1.0] - losses[0.0], rel=1e-4)
    of_image, of_text = (losses[pair] - losses[0.0] for pair in ((2.0, 0.0), (0.0, 2.0)))
    assert of_image + of_text == pytest.approx(losses[2.0] - losses[0.0], rel=1e-4)
    # Untrained heads are near the loss of guessing, ln 3, on the share of the rows that have the side.
    assert of_image / 2 == pytest.approx(0.8 * np.log(3), rel=0.15)
    assert of_text / 2 == pytest.approx(np.log(3), rel=0.15)


def test_early_stopping_keeps_the_best_epoch(data):
    pairs, y = data
    model = make(max_epochs=200, learning_rate=0.05, patience=4, dropout=0.0).fit(pairs, y)
    curve = model.validation_curve_
    assert len(curve) == len(model.loss_curve_) < 200
    assert model.best_epoch_ == np.argmax(curve) == len(curve) - 5
    longer = clone(model).set_params(patience=len(curve)).fit(pairs, y)
    assert longer.validation_curve_[: len(curve)] == curve
    assert len(longer.validation_curve_) > len(curve)
    last = clone(model).set_params(max_epochs=7, early_stopping=False).fit(pairs, y)
    assert last.validation_curve_ == [] and last.best_epoch_ == 6


def test_the_validation_curve_is_the_log_loss_of_rows_held_out(data):
    pairs, y = data
    weights = np.random.default_rng(0).uniform(0.5, 2, 150)
    model = make(max_epochs=1, validation_fraction=0.3).fit(pairs, y, sample_weight=weights)
    codes = np.searchsorted(model.classes_, y)
    rng = np.random.RandomState(0)
    held_out = hold_out_classes(codes, np.arange(150), weights, 0.3, rng)
    expected = log_loss(y[held_out], model.predict_proba(pairs[held_out]), sample_weight=weights[held_out])
    # The curve has weights of mean 1 over the rows trained on, which cancel.
    assert -model.validation_curve_[0] == pytest.approx(expected, rel=1e-4)


def test_what_is_held_out_has_all_classes_and_whole_pictures():
    rng = np.random.RandomState(0)
    codes = np.repeat([0, 1, 2], [60, 30, 10])
    held_out = hold_out_classes(codes, np.arange(100), np.ones(100), 0.2, rng)
    assert np.bincount(codes[held_out]).tolist() == [12, 6, 2]
    groups = np.arange(100) // 2
    held_out = hold_out_classes(codes, groups, np.ones(100), 0.2, rng)
    assert held_out.sum() == 20 and all(len(set(held_out[groups == group])) == 1 for group in groups)
    weights = np.where(np.arange(100) < 90, 0.0, 1.0)
    for seed in range(10):
        held_out = hold_out_classes(codes, np.arange(100), weights, 0.5, np.random.RandomState(seed))
        assert not held_out[:90].any() and 0 < held_out.sum() < 10
        held_out = hold_out_classes(
            np.arange(100) // 99, np.arange(100), np.ones(100), 0.5, np.random.RandomState(seed)
        )
        assert not held_out[99] and 40 < held_out.sum() < 60
    assert not hold_out_classes(codes[:3], np.arange(3), np.ones(3), 0.1, rng).any()
    assert 0 < hold_out_classes(np.eye(20, dtype=int), np.arange(20), np.ones(20), 0.2, rng).sum() < 6


def test_sides_are_left_out_of_the_share_asked_for():
    present = np.ones((10_000, 2), dtype=bool)
    present[:1000, 0] = False
    left = left_out(present, 0.2, np.random.default_rng(0))
    assert_array_equal(left[:1000], present[:1000])
    gone = ~left[1000:]
    assert not gone.all(axis=1).any()
    assert_allclose(gone.mean(axis=0), 0.1, atol=0.01)
    assert left_out(present, 0.0, None) is present


# Weights of samples and classes


def test_weights_of_samples_are_repetitions(data):
    pairs, y = data
    counts = np.random.default_rng(0).integers(1, 4, size=150)
    scaled = np.repeat(np.arange(150), counts)
    # The same scale of the features in both: that is not weighted.
    identity = FunctionTransformer(numbers)
    pairs = pairs.assign(image=list(standardised(pixels(pairs["image"]))))
    model = make(max_epochs=30, early_stopping=False, dropout=0.0, batch_size=1000, learning_rate=0.02)
    model.set_params(text_encoder=identity)
    plain = clone(model).fit(pairs, y)
    weighted = clone(model).fit(pairs, y, sample_weight=counts)
    assert_allclose(
        clone(model).fit(pairs, y, sample_weight=7 * counts).predict_proba(pairs),
        weighted.predict_proba(pairs),
        atol=1e-4,
    )
    repeated = clone(model).fit(pairs.iloc[scaled], y[scaled])
    far = np.abs(plain.predict_proba(pairs) - weighted.predict_proba(pairs)).mean()
    near = np.abs(repeated.predict_proba(pairs) - weighted.predict_proba(pairs)).mean()
    assert near < far / 2


def test_rows_without_weight_are_not_learned(data):
    pairs, y = data
    weights = (np.arange(150) % 3 > 0).astype(float)
    spoilt = np.where(weights, y, np.roll(y, 1))
    assert (spoilt != y).sum() > 20
    right, wrong = (make().fit(pairs, labels, sample_weight=weights) for labels in (y, spoilt))
    assert_array_equal(wrong.predict_proba(pairs), right.predict_proba(pairs))
    assert_allclose(right.class_prior_, [np.average(y == name, weights=weights) for name in "abc"])


def test_weights_of_classes_are_weights_of_samples(data):
    pairs, y = data
    model = make(max_epochs=10, learning_rate=0.01)
    plain = clone(model).fit(pairs, y)
    heavy = clone(model).set_params(class_weight={"a": 1, "b": 20, "c": 1}).fit(pairs, y)
    assert (heavy.predict(pairs) == "b").mean() > (plain.predict(pairs) == "b").mean() + 0.1
    by_rows = clone(model).fit(pairs, y, sample_weight=np.where(y == "b", 20.0, 1.0))
    assert_array_equal(heavy.predict_proba(pairs), by_rows.predict_proba(pairs))
    balanced = clone(model).set_params(class_weight="balanced").fit(pairs, y)
    assert_allclose(balanced.class_prior_, 1 / 3)


# Several labels


def test_several_labels(data):
    pairs = data[0]
    rng = np.random.default_rng(3)
    y = (rng.random((150, 3)) < [0.5, 0.4, 0.3]).astype(int)
    images, texts = rng.normal(size=(150, 3)) + 2 * y, rng.normal(size=(150, 3)) + 2 * y
    pairs = make_pairs(images, texts)
    model = make(max_epochs=40, learning_rate=0.01, missing="other", auxiliary_weight=0.2).fit(pairs[:110], y[:110])
    found = model.predict_proba(pairs[110:])
    assert found.shape == (40, 3) and roc_auc_score(y[110:], found) > 0.9
    assert_array_equal(model.predict(pairs[110:]), found > 0.5)
    assert [known.tolist() for known in model.classes_] == [[0, 1]] * 3
    assert_allclose(model.class_prior_[:, 1], y[:110].mean(axis=0))
    nothing = pairs.assign(image=None, text=None)
    assert_allclose(model.predict_proba(nothing), np.tile(y[:110].mean(axis=0), (150, 1)))
    as_sparse = clone(model).fit(pairs[:110], sparse.csr_matrix(y[:110]))
    assert_array_equal(as_sparse.predict_proba(pairs[110:]), found)


# What is missing


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_missing_side_is_left_to_the_other(data, fusion):
    pairs, y = data
    gone = {"image": [1, 5, 9], "text": [2, 5]}
    gappy = remove(remove(pairs, "image", gone["image"]), "text", gone["text"])
    model = make(fusion=fusion, missing="other").fit(gappy, y)
    sides = []
    for column, read in (("image", pixels), ("text", numbers)):
        kept = np.delete(read(pairs[column]), gone[column], axis=0)
        sides.append((read(pairs[column]) - kept.mean(axis=0)) / kept.std(axis=0))
        sides[-1][gone[column]] = 0
    there = [(row not in gone["image"], row not in gone["text"]) for row in range(150)]
    expected = softmax([written_out(model.network_, *row) for row in zip(*sides, there, strict=True)], axis=1)
    expected[5] = [np.mean(y == name) for name in "abc"]
    assert_allclose(model.predict_proba(gappy), expected, atol=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_missing_side_is_the_mean(data, fusion):
    pairs, y = data
    gappy = remove(pairs, "image", [1, 5, 9])
    model = make(fusion=fusion, missing="impute").fit(gappy, y)
    mean = np.delete(pixels(pairs["image"]), [1, 5, 9], axis=0).mean(axis=0)
    images = [mean if row in (1, 5, 9) else image for row, image in enumerate(pairs["image"])]
    filled = make_pairs(images, numbers(pairs["text"]))
    assert_allclose(model.predict_proba(gappy), model.predict_proba(filled), atol=1e-5)


@pytest.mark.parametrize("missing", ["impute", "other"])
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("share", [0, 0.25, 0.5])
def test_up_to_half_may_be_missing(data, fusion, missing, share):
    pairs, y = data
    rng = np.random.default_rng(1)
    gone = [rng.permutation(150)[: int(150 * share)] for _ in range(2)]
    gappy = remove(remove(pairs, "image", gone[0]), "text", gone[1])
    model = make(fusion=fusion, missing=missing, max_epochs=25, learning_rate=0.01, n_components=16)
    model.fit(gappy[:100], y[:100])
    assert model.score(gappy[100:], y[100:]) > (0.55, 0.5, 0.4)[int(4 * share)]
    found = model.predict_proba(gappy)
    assert np.isfinite(found).all()
    assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("missing", ["impute", "other"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_bags_may_be_missing_too(bags, fusion, missing):
    pairs, y = bags
    gappy = remove(remove(pairs, "image", range(0, 90, 4)), "text", range(0, 90, 6))
    model = make(image_bags, text_bags, fusion=fusion, missing=missing, max_epochs=15, learning_rate=0.01)
    found = model.fit(gappy, y).predict_proba(gappy)
    assert np.isfinite(found).all()
    assert roc_auc_score(y, found[:, 1]) > 0.8
    # Row 4 has words, but none that the encoder knows: as if there were none.
    assert_allclose(found[4], model.predict_proba(remove(gappy, "text", [4]))[4], atol=1e-6)


class Reader(TransformerMixin, BaseEstimator):
    """Numbers of a picture, NaN for bytes."""

    def __init__(self, on_error="warn"):
        self.on_error = on_error

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.array([np.full(6, np.nan) if isinstance(image, bytes) else image for image in X])


@pytest.mark.parametrize("missing", ["impute", "other"])
def test_pictures_that_cannot_be_read_are_missing(data, missing):
    pairs, y = data
    cells = np.empty(150, dtype=object)
    cells[:] = [f"broken {row}".encode() if row % 5 == 0 else image for row, image in enumerate(pairs["image"])]
    model = make(missing=missing).set_params(image_encoder=Reader())
    broken = model.fit(pairs.assign(image=cells), y).predict_proba(pairs.assign(image=cells))
    none = remove(pairs, "image", range(0, 150, 5))
    assert_allclose(clone(model).fit(none, y).predict_proba(none), broken, atol=1e-6)
    with pytest.raises(ValueError, match="The image of pair 0 could not be read"):
        clone(model).set_params(missing="error").fit(pairs.assign(image=cells), y)


def test_what_is_missing_is_named(data):
    pairs, y = data
    with pytest.raises(ValueError, match=r"Pair 4 has no image: it is None\. 2 of 150"):
        make().fit(remove(pairs, "image", [4, 9]), y)
    with pytest.raises(ValueError, match="Pair 4 has no text"):
        make(max_epochs=1).fit(pairs, y).predict(remove(pairs, "text", [4]))
    nothing = pairs.assign(text="0")
    with pytest.raises(ValueError, match="All bags that the text encoder gives are empty"):
        make(text=text_bags, missing="impute").fit(nothing, y)
    assert make(text=text_bags, max_epochs=1).fit(nothing, y).predict(nothing).shape == (150,)
    with pytest.raises(ValueError, match="No row has a text"):
        make(missing="other").fit(pairs.assign(text=None), y)


# As an estimator


def test_pickles_hold_numpy_alone(bags):
    pairs, y = bags
    for fusion in FUSIONS:
        model = make(image_bags, text_bags, fusion=fusion, auxiliary_weight=0.1).fit(pairs, y)
        data = pickle.dumps(model)
        modules = {arg for op, arg, _ in pickletools.genops(data) if op.name.endswith("UNICODE") or op.name == "GLOBAL"}
        assert not any(str(name).split(".")[0] in ("torch", "mmfeat.multimodal._middle_networks") for name in modules)
        assert len(data) < 100_000
        assert_array_equal(pickle.loads(data).predict_proba(pairs), model.predict_proba(pairs))


def test_searches_and_nested_cross_validation(data):
    pairs, y = data
    model = make(max_epochs=12, learning_rate=0.01)
    grid = {"fusion": list(FUSIONS), "auxiliary_weight": [0.0, 0.3]}
    inner = GridSearchCV(model, grid, cv=2, scoring="neg_log_loss", error_score="raise")
    assert cross_val_score(inner, pairs, y, cv=2, error_score="raise").min() > -1.0
    tags = get_tags(model)
    assert tags.input_tags.string and tags.classifier_tags.multi_label and tags.target_tags.required


def test_encoders_are_given_the_classes_and_may_be_pipelines(posts):
    seen = []

    class Watching(FunctionTransformer):
        def fit(self, X, y=None):
            seen.append(y)
            return super().fit(X, y)

    model = AttentionFusionClassifier(
        make_pipeline(ColorMoments(), Watching()),
        make_pipeline(WordVectors(None, pooling=None, train_params={"epochs": 1})),
        fusion="cross_attention",
        n_components=8,
        max_epochs=1,
        random_state=0,
    ).fit(posts, posts["label"])
    assert_array_equal(seen[0], posts["label"])
    assert model.predict(posts).shape == (120,)


def test_several_captions_are_one_text(data):
    pairs, y = data
    split = pairs.assign(text=[text.split(" ", 1) for text in pairs["text"]])
    assert_array_equal(make().fit(split, y).predict_proba(split), make().fit(pairs, y).predict_proba(pairs))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fusion": "sum"}, "'fusion' parameter of AttentionFusionClassifier"),
        ({"hidden": (0,)}, "`hidden` must hold integers of at least 1"),
        ({"auxiliary_weight": (1, 2, 3)}, "`auxiliary_weight` must be one or two numbers"),
        ({"auxiliary_weight": (1, -2)}, "`auxiliary_weight` must be one or two numbers"),
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"device": "abacus"}, "`device` must be"),
        (
            {"image_encoder": FunctionTransformer(lambda X: np.full((len(X), 2), np.inf))},
            "image encoder gives contains inf",
        ),
    ],
)
def test_bad_parameters_are_refused(data, change, message):
    with pytest.raises(ValueError, match=message):
        make().set_params(**change).fit(*data)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a"] * 150, "at least two classes. Got 'a' alone"),
        (["a", "b"], "Got 2 rows for 150 pairs"),
        (np.array(["a", "b", None] * 50, dtype=object), "class of pair 2 is missing"),
        (np.linspace(0, 1, 150), "continuous"),
    ],
)
def test_what_are_no_classes(data, y, message):
    with pytest.raises(ValueError, match=message):
        make().fit(data[0], y)


def test_weights_and_rates_that_do_not_work_are_named(data):
    with pytest.raises(ValueError, match=r"(?i)zero"):
        make().fit(*data, sample_weight=np.zeros(150))
    with pytest.raises(ValueError, match=r"(?i)negative"):
        make().fit(*data, sample_weight=np.full(150, -1.0))
    with pytest.raises(FloatingPointError, match="Reduce `learning_rate`"):
        make(learning_rate=1e38, max_epochs=30).fit(*data)


def test_pair_features_say_what_to_do_with_bags(bags):
    with pytest.raises(ValueError, match=r"The image encoder gives bags of vectors\. Put a step behind it"):
        PairFeatures(FunctionTransformer(image_bags), FunctionTransformer(numbers)).fit(bags[0])


# Labels that neither side alone can tell


@pytest.fixture(scope="module")
def scenes():
    return make_scenes(600, image_size=32, captions_per_image=1, task="sentiment", label_noise=0.0, random_state=1)


@pytest.mark.slow
@pytest.mark.parametrize("fusion", FUSIONS)
def test_fusion_is_ten_points_above_the_better_side(scenes, fusion):
    y = scenes["label"].to_numpy()
    alone = []
    for side in ("image_encoder", "text_encoder"):
        features = PairFeatures(ColorMoments(), tfidf_lsa(None), normalize="block").set_params(**{side: "drop"})
        classifier = make_pipeline(features, LogisticRegression(C=10, max_iter=2000)).fit(scenes[:350], y[:350])
        alone.append(classifier.score(scenes[350:], y[350:]))
    model = AttentionFusionClassifier(ColorMoments(), tfidf_lsa(None), fusion=fusion, random_state=0)
    assert model.fit(scenes[:350], y[:350]).score(scenes[350:], y[350:]) > max(alone) + 0.10
