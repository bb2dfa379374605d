"""Heat maps of pairs: against torch from end to end, and on the objects of rendered scenes."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import PLSCanonical
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

from mmfeat.caching import CachedTransformer
from mmfeat.datasets import make_scenes
from mmfeat.datasets._scene_world import COLOURS
from mmfeat.datasets._scenes import scene_masks
from mmfeat.encoding import BagOfWords, PowerNormalizer
from mmfeat.fusion import CCA, PLS, GeneralizedCCA, KernelCCA, LearnedProjection, RidgeMapping
from mmfeat.image import CNNFeatures, ColorHistogram, grad_cam
from mmfeat.retrieval import BiEncoder, Retriever, pair_heat_maps
from mmfeat.retrieval._pair_heat_maps import cosine_gradient
from mmfeat.text import tfidf_lsa

SIDE = 48
RNG = np.random.default_rng(0)


class Colours(nn.Module):
    """Maps at a quarter of the size, and one number a colour: the cube root of the mean cube over the places."""

    def __init__(self, width=32):
        super().__init__()
        parts = []
        for n_in, n_out, side, stride in ((3, width // 2, 3, 2), (width // 2, 24, 3, 2), (24, width, 1, 1)):
            parts += [nn.Conv2d(n_in, n_out, side, stride, side // 2, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]
        self.body = nn.Sequential(*parts)
        self.head = nn.Linear(width, len(COLOURS))
        self.pretrained_cfg = {"input_size": (3, SIDE, SIDE), "crop_pct": 1.0, "interpolation": "bilinear"}
        self.pretrained_cfg |= {"mean": (0.5,) * 3, "std": (0.25,) * 3}

    def forward(self, pictures):
        maps = self.body(pictures).clamp(min=1e-6)
        return self.head(maps.pow(3).mean((2, 3)).pow(1 / 3))


def make_untrained():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Colours()


@pytest.fixture(scope="module")
def scenes():
    return make_scenes(40, image_size=SIDE, captions_per_image=2, random_state=0)


@pytest.fixture(scope="module")
def cnn():
    return CNNFeatures(make_untrained, layer="body", device="cpu")


def fitted(scenes, encoder, fusion):
    return Retriever(encoder, tfidf_lsa(8, random_state=0), fusion).fit(scenes)


def test_the_whole_way_is_that_of_torch(scenes, cnn, tmp_path):
    """Cache, scaler, root, unit length, CCA and cosine, written out in torch and differentiated there."""
    first = CachedTransformer(cnn, tmp_path)
    retriever = fitted(scenes, make_pipeline(first, StandardScaler(), PowerNormalizer(norm="l2")), CCA(4, reg=1.0))
    scaler, fusion = retriever.image_encoder_[1], retriever.fusion_
    images, texts = scenes["image"][:3].to_list(), ["a red car", "two blue boats", scenes["text"].iloc[2][0]]
    # The map of the fusion, by what it makes of the unit vectors.
    origin = fusion.transform(np.zeros((1, 32)))
    matrix = torch.tensor(fusion.transform(np.eye(32)) - origin)
    network = retriever.image_encoder_[0].transformer_
    for image, text in zip(images, texts, strict=True):
        sentence = torch.tensor(retriever.encode_text([text])[0]).double()

        def cosine(features, sentence=sentence):
            rows = (features.double() - torch.tensor(scaler.mean_)) / torch.tensor(scaler.scale_)
            rows = functional.normalize(rows.sign() * rows.abs().sqrt(), dim=0)
            return functional.cosine_similarity(rows @ matrix + torch.tensor(origin[0]), sentence, dim=0)

        expected = grad_cam(network, [image], cosine, signed=True)[0]
        found = pair_heat_maps(retriever, [image], [text], signed=True)[0]
        assert found.shape == image.shape[:2]
        np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())
        np.testing.assert_array_equal(pair_heat_maps(retriever, [image], [text])[0], np.maximum(found, 0))
    together = pair_heat_maps(retriever, images, texts, "body")
    alone = pair_heat_maps(retriever, images[2:], texts[2:])[0]
    np.testing.assert_allclose(together[2], alone, atol=1e-5 * alone.max())


FUSIONS = {
    "CCA": CCA(4, reg=0.5),
    "PLS": PLS(4),
    "GeneralizedCCA": GeneralizedCCA(4),
    "RidgeMapping": RidgeMapping(),
    "KernelCCA": KernelCCA(4, reg=0.5),
    "LearnedProjection": LearnedProjection(4, init="random", hidden=(6,), max_epochs=2, random_state=0, device="cpu"),
    "passthrough": "passthrough",
}


# As many rows as columns: rotations of the rows are then as many as those of the columns would be.
@pytest.mark.parametrize(("name", "rows"), [*((name, 60) for name in FUSIONS), ("KernelCCA", 7)])
def test_gradient_of_the_cosine_by_differences(name, rows):
    X, y = RNG.normal(size=(rows, 7)), RNG.normal(size=(rows, 7))
    fusion = FUSIONS[name] if name == "passthrough" else FUSIONS[name].fit(X, y + X)
    sentence = (y[:1] if name == "passthrough" else fusion.transform_y(y[:1]))[0].astype(np.float64)
    sentence /= np.linalg.norm(sentence)

    def cosine(row):
        embedded = row if name == "passthrough" else fusion.transform(row[None])[0]
        return embedded @ sentence / np.linalg.norm(embedded)

    size = 1e-5
    expected = [(cosine(X[0] + step) - cosine(X[0] - step)) / (2 * size) for step in size * np.eye(7)]
    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(cosine_gradient(fusion, X[0], sentence), expected, atol=1e-5 * scale)


def test_a_sentence_without_known_words_and_a_picture_at_the_origin():
    assert not cosine_gradient("passthrough", np.zeros(3), np.ones(3) / np.sqrt(3)).any()
    assert not cosine_gradient("passthrough", np.ones(3), np.zeros(3)).any()


def test_what_cannot_be_explained_is_refused(scenes, cnn):
    images = scenes["image"][:2].to_list()
    retriever = fitted(scenes, cnn, CCA(4, reg=1.0))
    with pytest.raises(ValueError, match="2 images and 1 texts"):
        pair_heat_maps(retriever, images, ["a red car"])
    with pytest.raises(ValueError, match="no layer"):
        pair_heat_maps(retriever, images, ["a car", "a cat"], "tail")
    with pytest.raises(ValueError, match="image 1"):
        pair_heat_maps(retriever, [images[0], b"nothing"], ["a car", "a cat"])
    warned = fitted(scenes, CNNFeatures(make_untrained, layer="body", device="cpu", on_error="warn"), CCA(4, reg=1.0))
    with pytest.raises(ValueError, match="image 1"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair_heat_maps(warned, [images[0], b"nothing"], ["a car", "a cat"])
    for encoder, name in ((ColorHistogram(), "ColorHistogram"), (make_union(ColorHistogram(), cnn), "FeatureUnion")):
        with pytest.raises(ValueError, match=f"Got {name} instead"):
            pair_heat_maps(fitted(scenes, encoder, CCA(4, reg=1.0)), images, ["a car", "a cat"])
    bags = CNNFeatures(make_untrained, layer="body", pooling=None, device="cpu")
    with pytest.raises(ValueError, match="not bags"):
        pair_heat_maps(fitted(scenes, make_pipeline(bags, BagOfWords(4)), CCA(2, reg=1.0)), images, ["a car", "a cat"])
    for other in (BiEncoder(), PLSCanonical()):
        with pytest.raises(ValueError, match="'retriever' parameter"):
            pair_heat_maps(other, images, ["a car", "a cat"])


# On the objects of rendered scenes


def trained_on(scenes, path):
    """Train the network to tell which colours the things of a picture have, from the pictures alone; save its weights."""
    pixels = torch.tensor(np.stack(scenes["image"].to_list())).permute(0, 3, 1, 2).float().sub(127.5).div(63.75)
    labels = torch.zeros(len(scenes), len(COLOURS))
    for row, name in enumerate(scenes.index):
        for group in scenes.attrs["scenes"][name]["groups"]:
            labels[row, COLOURS.index(group["colour"])] = 1
    network, generator = make_untrained().train(), torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
    n_batches = len(scenes) // 32
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, epochs=8, steps_per_epoch=n_batches)
    for _ in range(8):
        order = torch.randperm(len(scenes), generator=generator)[: 32 * n_batches]
        for batch in order.split(32):
            loss = functional.binary_cross_entropy_with_logits(network(pixels[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    torch.save(network.state_dict(), path)


def named(scenes, of_other=False):
    """For each scene a sentence that names one of its groups, and a mask of the group; with `of_other` of the other one."""
    sentences, masks = [], []
    for row, (name, of_groups) in enumerate(zip(scenes.index, scene_masks(scenes, 2), strict=True)):
        groups = scenes.attrs["scenes"][name]["groups"]
        group = groups[(row + of_other) % len(groups)]
        sentences.append(f"a {group['colour']} {group['kind']}")
        masks.append(of_groups[row % len(groups)])
    return sentences, np.array(masks)


def shares_inside(heat_maps, masks):
    return np.array([heat[mask].sum() / max(heat.sum(), 1e-9) for heat, mask in zip(heat_maps, masks, strict=True)])


@pytest.mark.slow
def test_the_object_that_a_sentence_names_is_where_the_heat_is(tmp_path):
    """Mean share of the heat on the named object of 100 new scenes; the network was told of colours, never of places."""
    train = make_scenes(800, image_size=SIDE, captions_per_image=5, random_state=1)
    test = make_scenes(100, image_size=SIDE, captions_per_image=1, random_state=2)
    trained_on(train, tmp_path / "colours.pth")
    images, (sentences, masks) = test["image"].to_list(), named(test)
    shares = {}
    for name, weights in (("trained", tmp_path / "colours.pth"), ("untrained", "DEFAULT")):
        cnn = CNNFeatures(make_untrained, weights, layer="body", pooling="gem", device="cpu")
        retriever = Retriever(cnn, tfidf_lsa(100, random_state=0), CCA(24, reg=1.0)).fit(train)
        shares[name] = shares_inside(pair_heat_maps(retriever, images, sentences), masks).mean()
        if name == "trained":
            of_other = shares_inside(pair_heat_maps(retriever, images, named(test, of_other=True)[0]), masks)
    shares["uniform"] = shares_inside(np.ones_like(masks, dtype=float), masks).mean()

    assert shares["trained"] >= 0.6, shares
    # Neither heat spread evenly, nor that of a network that has learned nothing, would pass.
    assert shares["uniform"] < 0.3
    assert shares["untrained"] < 0.5
    # Of two groups the one that the sentence does not name stays cold.
    two = np.array([len(test.attrs["scenes"][name]["groups"]) == 2 for name in test.index])

    assert of_other[two].mean() < 0.35, shares
