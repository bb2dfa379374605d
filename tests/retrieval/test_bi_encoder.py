"""The BiEncoder: it learns, trains what it says and nothing else, goes on after a cut, and leaves the caller's state alone."""

import pickle
import random
import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_validate
from torch import nn

from mmfeat.datasets import make_scenes
from mmfeat.fusion._learning._training import parameters_of
from mmfeat.image import ImageDecodeError
from mmfeat.image._architecture import construct
from mmfeat.metrics import rank_embeddings, retrieval_scorer
from mmfeat.retrieval import BiEncoder, EmbeddingIndex
from mmfeat.retrieval._end_to_end._fitting import new_training
from mmfeat.retrieval._end_to_end._network import ImageTower, open_network, without_classifier
from mmfeat.retrieval._end_to_end._pictures import read_batches
from mmfeat.retrieval._end_to_end._random import seeded
from mmfeat.retrieval._end_to_end._training import backward
from mmfeat.utils._pairs import split_pairs


def two_layers():
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(32, 64, 5, stride=2, padding=2), nn.ReLU()
    )


def with_norms():
    """Five layers with weights, of which the last quarter is "4" and "6"; the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        convolutions = [nn.Conv2d(n_in, n_out, 3, stride=2) for n_in, n_out in ((3, 8), (8, 8), (8, 12))]
    return nn.Sequential(
        convolutions[0], nn.BatchNorm2d(8), nn.ReLU(), convolutions[1], nn.BatchNorm2d(8), nn.ReLU(), convolutions[2]
    )


def make_encoder(n_components=16, **parameters):
    defaults = {"model": with_norms, "trainable": "all", "image_size": 32, "flip": 0.0, "word_width": 16}
    defaults |= {"tower_width": 16, "max_epochs": 2, "device": "cpu", "random_state": 0, "learning_rate": 3e-3}
    return BiEncoder(n_components, **{**defaults, "network_learning_rate": 3e-3, **parameters})


class InterruptedTrainingError(Exception):
    """Stands for a power cut."""


class Fuse:
    """A callback that fails in an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def __call__(self, record):
        if record["epoch"] == self.epoch:
            raise InterruptedTrainingError


@pytest.fixture(scope="module")
def pairs():
    return make_scenes(340, image_size=32, random_state=0)


@pytest.fixture(scope="module")
def few(pairs):
    return pairs[:30]


@pytest.fixture(scope="module")
def fitted(pairs):
    return make_encoder(
        64,
        model=lambda: nn.Sequential(two_layers(), nn.AdaptiveAvgPool2d(4), nn.Flatten()),
        tower="mean",
        tower_width=64,
        word_width=64,
        crop=0.6,
        color=0.1,
        dropout=0.1,
        texts_per_epoch=3,
        batch_size=32,
        max_epochs=6,
    ).fit(pairs[:260])


def parts_of(encoder):
    """All that was learned, as one list of arrays."""
    arrays = [*encoder.image_tower_["network"].values(), *encoder.image_tower_["head"]["parameters"]]
    return [*arrays, encoder.text_tower_["table"], *encoder.text_tower_["head"]["parameters"]]


def assert_same(one, other):
    for left, right in zip(parts_of(one), parts_of(other), strict=True):
        assert_array_equal(left, right)
    assert (one.loss_curve_, one.validation_curve_) == (other.loss_curve_, other.validation_curve_)
    assert one.best_epoch_ == other.best_epoch_


def test_it_learns_to_find_scenes(pairs, fitted):
    scores = retrieval_scorer(fitted, pairs[260:])
    # Chance is 10 of 80: 12.5 % for a sentence; of the five captions of a picture among 400, 12 % that one is in the first 10.
    assert scores["t2i_recall_at_10"] > 0.25
    assert scores["i2t_recall_at_10"] > 0.25
    assert fitted.score(pairs[260:]) == pytest.approx(scores["mean_recall"])
    assert fitted.loss_curve_[-1] < 0.9 * fitted.loss_curve_[0]
    assert len(fitted.validation_curve_) == len(fitted.loss_curve_) == 6
    assert fitted.best_epoch_ == np.argmax(fitted.validation_curve_)


def test_the_index_and_unit_rows(pairs, fitted):
    images, texts = fitted.encode_image(pairs["image"][260:]), fitted.encode_text(pairs["text"][260:].str[0])
    assert images.dtype == texts.dtype == np.float32
    assert_allclose(np.linalg.norm(np.vstack([images, texts]), axis=1), 1, atol=1e-5)
    scores, found = EmbeddingIndex(images).search(texts, 5)
    assert_allclose(scores[0], np.sort(texts[0] @ images.T)[::-1][:5], atol=1e-5)
    assert (rank_embeddings(texts, images).first[found[:, 0] == np.arange(80)] == 1).all()


def test_a_row_alone_is_the_row_in_a_batch(pairs, few):
    encoder = make_encoder(tower="gru").fit(few)
    images, texts = list(pairs["image"][30:70]), [text for row in pairs["text"][30:40] for text in row]
    for encode, items in ((encoder.encode_image, images), (encoder.encode_text, texts)):
        together = encode(items)
        assert np.abs(together[0] - together[1]).max() > 1e-3
        for row in (0, 17, 39):
            assert_allclose(encode([items[row]])[0], together[row], atol=2e-6)


def test_sentences_without_known_words_have_finite_rows(fitted):
    rows = fitted.encode_text(["", "zyzzyva", "?!", "zyzzyva qua"])
    assert np.isfinite(rows).all()
    assert_allclose(rows[0], rows[2])
    assert_allclose(rows[1], rows[3], atol=1e-6)


@pytest.mark.parametrize(
    ("trainable", "trained"), [("none", []), ("last", ["4", "6"]), ("all", ["0", "1", "3", "4", "6"])]
)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_frozen_layers_stay_to_the_bit_and_the_others_move(few, trainable, trained, accumulate):
    encoder = make_encoder(trainable=trainable, accumulate=accumulate).fit(few)
    before = {name: value.numpy() for name, value in with_norms().state_dict().items()}
    after = encoder.image_tower_["network"]
    assert encoder.trained_layers_ == trained
    assert list(after) == list(before)
    for name in before:
        assert np.array_equal(after[name], before[name]) == (name.partition(".")[0] not in trained), name
    if trainable != "none":
        # A part of a batch counts once: 27 pictures are trained on, in a batch an epoch.
        assert after["4.num_batches_tracked"] == accumulate * (encoder.best_epoch_ + 1)


def test_statistics_of_trained_batch_norms_stay_where_weights_are_given(tmp_path, few):
    file = tmp_path / "weights.pth"
    torch.save(with_norms().state_dict(), file)
    before = {name: value.numpy() for name, value in with_norms().state_dict().items()}
    statistics = ["4.num_batches_tracked", "4.running_mean", "4.running_var"]
    for changes, fixed in (
        ({"weights": file}, True),
        ({"weights": file, "batch_norm": "batch"}, False),
        ({"batch_norm": "fixed"}, True),
        ({}, False),
    ):
        after = make_encoder(**changes).fit(few).image_tower_["network"]
        assert not np.array_equal(after["4.weight"], before["4.weight"])
        assert [np.array_equal(after[name], before[name]) for name in statistics] == [fixed] * 3


def test_the_last_quarter_of_known_networks():
    import torchvision

    network, preset, _ = open_network("resnet18", None, None, 0)
    assert isinstance(network.fc, nn.Identity)
    tower = ImageTower(network, preset, "last", False, 4, torch.Generator(), "cpu")
    assert tower.width == 512
    # The last stage of a ResNet-18 has ten layers with weights of forty.
    assert list(tower.layers) == [
        name
        for name, part in torchvision.models.resnet18().layer4.named_modules(prefix="layer4")
        if isinstance(part, (nn.Conv2d, nn.BatchNorm2d))
    ]
    # In training it would give the outputs of its auxiliary classifiers, too.
    network = without_classifier(construct("googlenet", init_weights=False), "googlenet").train()
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 1024)


def crops_of(training, epoch=0, change=True):
    training.state.epoch = epoch
    change = training._change if change else None
    batches = [[(row, row) for row in range(5)]]
    preset = training.heads[0].preset
    return next(read_batches(training.data.images, batches, preset, "cpu", change)).numpy()


def training_of(pairs, **parameters):
    encoder = make_encoder(**parameters)
    return new_training(encoder, split_pairs(pairs), np.random.RandomState(0))[0]


def test_augmentation_off_shows_pictures_as_in_use(few):
    training = training_of(few, crop=1, color=0.0)
    assert_array_equal(crops_of(training), np.stack(few["image"][:5]))
    assert_array_equal(crops_of(training, change=False), np.stack(few["image"][:5]))
    mirrored = crops_of(training_of(few, crop=1, color=0.0, flip=1.0))
    assert_array_equal(mirrored, np.stack(few["image"][:5])[:, :, ::-1])


@pytest.mark.parametrize("on", [{"crop": 0.5, "color": 0.0}, {"crop": 1, "color": 0.5}])
def test_augmentation_is_new_in_each_epoch_and_repeatable(few, on):
    training = training_of(few, **on)
    first, second = crops_of(training, 0), crops_of(training, 1)
    assert (first != second).any(axis=(1, 2, 3)).all()
    assert_array_equal(crops_of(training_of(few, **on), 0), first)
    assert_array_equal(crops_of(training, change=False), np.stack(few["image"][:5]))
    seen = make_encoder(**on).fit(few).loss_curve_
    assert seen != make_encoder(crop=1, color=0.0).fit(few).loss_curve_


def gradients(training, rows, crops):
    training.optimizer.zero_grad()
    loss = backward(training, rows, crops)
    return float(loss), [part.grad.clone() for part in parameters_of(training.heads) if part.grad is not None]


@pytest.mark.parametrize(
    ("loss", "model"),
    [("infonce", two_layers), ("triplet", two_layers), ("siglip", with_norms), ("vicreg", two_layers)],
)
def test_parts_of_a_batch_give_the_gradient_of_the_whole(few, loss, model):
    rows, found = np.arange(25), {}
    for accumulate in (1, 3):
        training = training_of(
            few, model=model, loss=loss, dropout=0.0, accumulate=accumulate, batch_norm="fixed", tower="mean"
        )
        training.heads[0].train()
        crops = torch.from_numpy(np.stack([few["image"].iloc[row // 5] for row in rows]))
        with seeded(0):
            found[accumulate] = (*gradients(training, rows, crops), training.learned)
    assert found[1][0] == pytest.approx(found[3][0], abs=1e-5)
    assert len(found[1][1]) == len(found[3][1]) == (4 if model is two_layers else 10) + 2 + 1 + 2
    for whole, parts in zip(found[1][1], found[3][1], strict=True):
        assert_allclose(parts.numpy(), whole.numpy(), atol=1e-5 * float(whole.abs().max()) + 1e-7)
    for name, value in found[1][2].items():
        assert_allclose(float(found[3][2][name].grad), float(value.grad), rtol=1e-4)


def test_parts_meet_the_same_dropout_twice(few):
    """Against both parts embedded with their graphs at once."""

    def network():
        return nn.Sequential(two_layers(), nn.Dropout(0.5))

    from mmfeat.retrieval._end_to_end._training import _embed, _loss

    rows = np.arange(20)
    crops = torch.from_numpy(np.stack([few["image"].iloc[row // 5] for row in rows]))
    training = training_of(few, model=network, dropout=0.5, accumulate=2)
    training.heads[0].train()
    with seeded(0):
        state = training.noise.state()
        loss, cached = gradients(training, rows, crops)
        after = training.noise.state()
        training.noise.restore(state)
        training.optimizer.zero_grad()
        parts = [_embed(training, rows[at], crops[at], n) for n, at in enumerate((slice(0, 10), slice(10, 20)))]
        whole = _loss(training, rows, *(torch.cat(side) for side in zip(*parts, strict=True)))
        whole.backward()
    assert training.noise.state() == after
    assert loss == pytest.approx(float(whole.detach()), abs=1e-6)
    for part, grad in zip(parameters_of(training.heads), cached, strict=True):
        assert_allclose(grad.numpy(), part.grad.numpy(), atol=1e-5 * float(part.grad.abs().max()) + 1e-8)


@pytest.mark.parametrize("changes", [{}, {"loss": "siglip", "accumulate": 2, "trainable": "last"}])
def test_an_interrupted_training_ends_where_an_undisturbed_one_does(tmp_path, few, changes):
    path = tmp_path / "training.npz"
    parameters = {"max_epochs": 4, "batch_size": 10, "color": 0.3, "flip": 0.5, "patience": 9, **changes}
    expected = make_encoder(**parameters).fit(few)
    for epoch in (1, 3):
        with pytest.raises(InterruptedTrainingError):
            make_encoder(**parameters, checkpoint=path, callback=Fuse(epoch)).fit(few)
        # The epoch that failed was not kept, the one before was.
        assert path.exists()
        assert_same(make_encoder(**parameters, checkpoint=path).fit(few), expected)
        assert not any(tmp_path.iterdir())


def test_the_checkpoint_of_another_training_is_refused(tmp_path, few):
    path = tmp_path / "training.npz"
    with pytest.raises(InterruptedTrainingError):
        make_encoder(checkpoint=path, callback=Fuse(1)).fit(few)
    kept = path.read_bytes()
    other = few.assign(text=[["a cat", "a dog"], *few["text"][1:]])
    darker = few.assign(image=[few["image"].iloc[0] // 2, *few["image"][1:]])
    for changes, table in (({"color": 0.1}, few), ({"tower": "mean"}, few), ({}, other), ({}, darker)):
        with pytest.raises(ValueError, match="checkpoint of a training with other parameters or data"):
            make_encoder(checkpoint=path, **changes).fit(table)
    with pytest.raises(ValueError, match="needs an int as `random_state`"):
        make_encoder(checkpoint=path, random_state=None).fit(few)
    assert path.read_bytes() == kept


def test_the_seed_is_all_and_the_callers_generators_stay(few):
    def network():
        return nn.Sequential(two_layers(), nn.Dropout(0.5))

    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    first = make_encoder(model=network).fit(few)
    first.encode_image(few["image"])
    assert random.getstate() == before[0]
    assert_array_equal(np.random.get_state()[1], before[1])
    assert torch.equal(torch.get_rng_state(), before[2])
    torch.manual_seed(6)
    assert_same(make_encoder(model=network).fit(few), first)
    assert make_encoder(model=network, random_state=1).fit(few).loss_curve_ != first.loss_curve_


def test_clone_pickle_grid_and_cross_validation(pairs, few):
    encoder = make_encoder().fit(few)
    images, texts = encoder.encode_image(few["image"]), encoder.encode_text(few["text"].str[0])
    data = pickle.dumps(encoder)
    again = pickle.loads(data)
    assert b"torch" not in data
    assert_array_equal(again.encode_image(few["image"]), images)
    assert_array_equal(again.encode_text(few["text"].str[0]), texts)
    assert_same(clone(encoder).fit(few), encoder)
    assert not hasattr(clone(encoder), "image_tower_")
    search = GridSearchCV(make_encoder(max_epochs=1), {"tower": ["mean", "attention"]}, cv=2, error_score="raise")
    search.fit(few)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    renamed = few.rename(columns={"image": "photo", "text": "title"})
    scores = cross_validate(make_encoder(image="photo", text="title"), renamed, cv=2, scoring=retrieval_scorer)
    assert np.isfinite(scores["test_mean_recall"]).all()


WITHOUT_TORCH = """
import pickle, sys
import numpy as np

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError(name)

sys.meta_path.insert(0, NoTorch())
encoder = pickle.load(open(sys.argv[1], "rb"))
np.save(sys.argv[2], encoder.encode_text(["a red car", "two crowns", ""]))
"""


def test_a_named_network_from_a_file(tmp_path, few):
    import torchvision

    file = tmp_path / "weights.pth"
    state = torchvision.models.squeezenet1_1(num_classes=7).state_dict()
    torch.save(state, file)
    parameters = {"model": "squeezenet1_1", "weights": file, "image_size": 48, "max_epochs": 1}
    encoder = make_encoder(trainable="none", **parameters).fit(few)
    kept = encoder.image_tower_["network"]
    assert set(state) - set(kept) == {"classifier.1.weight", "classifier.1.bias"}
    for name, value in kept.items():
        assert_array_equal(value, state[name].numpy())
    images = encoder.encode_image(few["image"])
    file.unlink()  # a fitted encoder needs it no more
    data = pickle.dumps(encoder)
    assert_array_equal(pickle.loads(data).encode_image(few["image"]), images)
    (tmp_path / "encoder.pickle").write_bytes(data)
    arguments = [str(tmp_path / name) for name in ("encoder.pickle", "rows.npy")]
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *arguments], check=True)
    assert_array_equal(np.load(arguments[1]), encoder.encode_text(["a red car", "two crowns", ""]))
    with pytest.warns(UserWarning, match=r"squeezenet1_1 is random, and `trainable`='last' leaves most of it so"):
        make_encoder(**{**parameters, "weights": None, "trainable": "last"}).fit(few)


def write_pictures(folder, pairs):
    paths = [folder / f"{number}.png" for number in range(len(pairs))]
    for path, pixels in zip(paths, pairs["image"], strict=True):
        Image.fromarray(pixels).save(path)
    return pairs.assign(image=[str(path) for path in paths])


def test_files_give_what_arrays_give_and_a_broken_one_is_named(tmp_path, few):
    table = write_pictures(tmp_path, few)
    assert_same(make_encoder().fit(table), make_encoder().fit(few))
    broken = tmp_path / "7.png"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(ImageDecodeError, match=f"could not decode image 7 .*{re.escape(str(broken))}"):
        make_encoder().fit(table)
    with pytest.raises(ImageDecodeError, match=r"could not decode image 1 .*gone\.jpg.*no such file"):
        make_encoder().fit(few).encode_image([few["image"].iloc[0], tmp_path / "gone.jpg"])


def test_only_the_batches_at_hand_are_held(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "large.png"
    Image.fromarray(rng.integers(0, 256, (400, 400, 3), dtype=np.uint8)).save(path)
    preset = open_network(two_layers, None, 32, 0)[1]

    def peak(n_batches):
        tracemalloc.start()
        for _ in read_batches([path], [[(0, None)] * 4] * n_batches, preset, "cpu"):
            pass
        return tracemalloc.get_traced_memory()[1]

    peak(1)
    tracemalloc.stop()
    assert peak(24) < 2 * peak(4)
    tracemalloc.stop()


def test_words_of_held_out_captions_are_unknown(few):
    captions = [[f"own{row} own{row} red", "a red thing"] for row in range(len(few))]
    encoder = make_encoder(validation_fraction=0.2, max_epochs=1).fit(few.assign(text=captions))
    assert len([word for word in encoder.words_ if word.startswith("own")]) == 24
    assert encoder.words_[0] == "red"
    assert encoder.text_tower_["table"].shape == (1 + len(encoder.words_), 16)


@pytest.mark.parametrize("kind", ["file", "keyed", "trained"])
def test_words_start_from_given_vectors(tmp_path, few, kind):
    gensim = pytest.importorskip("gensim")
    from mmfeat.text import WordVectors

    rng = np.random.default_rng(0)
    keyed = gensim.models.KeyedVectors(8)
    keyed.add_vectors(["a", "of", "the", "xylophone"], 5 * rng.normal(size=(4, 8)).astype(np.float32))
    keyed.save_word2vec_format(str(tmp_path / "vectors.txt"))
    settings = {"train_params": {"vector_size": 8, "min_count": 1, "epochs": 2}}
    given = {"file": tmp_path / "vectors.txt", "keyed": keyed, "trained": WordVectors(**settings)}[kind]
    training = training_of(few, vectors=given)
    words = new_training(make_encoder(vectors=given), split_pairs(few), np.random.RandomState(0))[1]
    table = training.heads[1].table.detach().numpy()
    assert table.shape == (1 + len(words), 8)
    if kind == "trained":
        source = WordVectors(**settings, pooling=None).fit(
            [text for text, out in zip(split_pairs(few).texts, training.data.held_out, strict=True) if not out]
        )
        known = {word: source.transform([word])[0][0] for word in words}
    else:
        known = {word: keyed[word] for word in words if word in keyed}
        assert set(known) == {"a", "of", "the"}
    rows = np.array([table[1 + words.index(word)] for word in known])
    assert_allclose(rows, np.array(list(known.values())) / np.sqrt(np.mean(np.square(list(known.values())))), rtol=1e-4)
    assert make_encoder(vectors=given, max_epochs=1).fit(few).encode_text(["a"]).shape == (1, 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "infonse"}, r"`loss` is 'infonse', which is unknown\. Did you mean 'infonce'"),
        ({"loss": "cca"}, r"`loss` is 'cca', which wants all rows at once"),
        ({"batch_size": 28}, r"`batch_size` is 28, but an epoch has 27 pairs"),
        ({"batch_size": 4, "accumulate": 3}, r"`accumulate` is 3, which leaves parts of 1"),
        ({"device": "cuda:99"}, "but torch sees"),
        ({"device": "gpu"}, "must be 'auto', 'cpu', 'cuda' or 'cuda:N'"),
        ({"min_count": 10_000}, r"None of the \d+ words of the captions occurs `min_count`=10000 times"),
        ({"model": "mobilnet_v2"}, "'mobilnet_v2' is no classification network"),
        ({"model": lambda: nn.Conv2d(3, 4, 64)}, "cannot take pictures of 32x32 pixels"),
        ({"weights": "nowhere.pth"}, "no existing file"),
        ({"crop": 0}, "crop"),
        ({"trainable": "first"}, "trainable"),
        ({"tower": "grue"}, "tower"),
        ({"learning_rate": 1e30, "network_learning_rate": 1e30}, r"The loss became nan in epoch \d\. Reduce"),
    ],
)
def test_bad_parameters_are_refused(few, changes, message):
    with pytest.raises((ValueError, FloatingPointError), match=message):
        make_encoder(**changes).fit(few)


def test_bad_pairs_are_refused(few):
    with pytest.raises(ValueError, match="Found 1 pair, but at least 2"):
        make_encoder().fit(few[:1])
    with pytest.raises(ValueError, match="All captions are the same, 'a cat'"):
        make_encoder().fit(few.assign(text="a cat"))
    with pytest.raises(ValueError, match="put them side by side"):
        make_encoder().fit([few["image"], few["text"]])
    with pytest.raises(NotFittedError):
        make_encoder().encode_text(["a"])
    encoder = make_encoder(max_epochs=1).fit(few[:2])
    with pytest.raises(ValueError, match="Wrap a single text in a list"):
        encoder.encode_text("a")
    assert encoder.validation_curve_ == []
    assert encoder.encode_image(few["image"][:2]).shape == (2, 16)


@pytest.mark.parametrize("loss", ["triplet", "ranking", "barlow", "euclidean"])
def test_other_losses_lower_their_curve(few, loss):
    encoder = make_encoder(loss=loss, max_epochs=8, early_stopping=False, crop=1, color=0.0, dropout=0.0).fit(few)
    assert encoder.loss_curve_[-1] < encoder.loss_curve_[0]
    assert encoder.best_epoch_ == 7


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_cuda_learns_as_the_processor_does(pairs, precision):
    parameters = {"model": two_layers, "max_epochs": 6, "texts_per_epoch": 3, "tower": "mean", "accumulate": 2}
    torch.cuda.manual_seed(5)
    before = torch.cuda.get_rng_state()
    encoder = make_encoder(64, **parameters, device="cuda", precision=precision).fit(pairs[:260])
    assert torch.equal(torch.cuda.get_rng_state(), before)
    scores = retrieval_scorer(encoder, pairs[260:])
    assert min(scores["t2i_recall_at_10"], scores["i2t_recall_at_10"]) > 0.25
    on_cpu = pickle.loads(pickle.dumps(encoder)).set_params(device="cpu")
    assert_allclose(on_cpu.encode_image(pairs["image"][:9]), encoder.encode_image(pairs["image"][:9]), atol=1e-4)
