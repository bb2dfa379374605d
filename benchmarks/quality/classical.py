"""Hand-made image features, TF-IDF and CCA on Flickr8k, no network at all: each feature alone, and all joined.

Vocabularies, mixtures, projections and the CCA are fitted on the training images. Ridges, power and width of the CCA are chosen
for each row by the sum of the six recalls on the validation images; the test images are scored once, with the settings chosen.

    python benchmarks/quality/classical.py --root ../shared/data/flickr8k --out benchmarks/results
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import Normalizer

from mmfeat.cli._evaluate import Encoded, chance, scores_of
from mmfeat.cli._provenance import provenance
from mmfeat.datasets import load_flickr8k
from mmfeat.encoding import FisherVector, PowerNormalizer
from mmfeat.fusion import CCA
from mmfeat.image import ColorHistogram, ColorMoments, HOGFeatures, LocalDescriptors, TextureFeatures
from mmfeat.text import tfidf_lsa
from mmfeat.utils._markdown import markdown_table
from mmfeat.utils._pairs import split_pairs

SEED = 0
SPLITS = ("train", "val", "test")
RIDGES = tuple(product((0.3, 1.0, 3.0), (0.1, 0.3)))
WIDTHS = (50, 100, 200)
POWERS = (1.0, 1.5, 2.0)


def reduced(n_components, *steps):
    """A feature brought to so many principal components, and its rows to length 1, so that all features weigh alike."""
    return make_pipeline(*steps, PCA(n_components, random_state=SEED), Normalizer())


def fisher(n_components, **more):
    """A Fisher vector without the gradients of the weights, which add little."""
    return FisherVector(n_components, n_pca=64, gradients=("means", "scales"), random_state=SEED, **more)


FEATURES = {
    "colour moments": reduced(200, ColorMoments("lab", grid=5)),
    "colour histograms": reduced(
        500, make_union(ColorHistogram("lab", 8, 2, joint=True), ColorHistogram("hsv", 16, 4)), PowerNormalizer()
    ),
    "HOG": reduced(500, HOGFeatures(pixels_per_cell=(16, 16), cells_per_block=(2, 2), channel_axis=-1)),
    "texture": reduced(
        500,
        TextureFeatures(frequencies=(0.35, 0.2, 0.1, 0.05), orientations=8, grid=4),
        PowerNormalizer(),
    ),
    "SIFT at key points, Fisher vector": reduced(500, LocalDescriptors(), fisher(32)),
    "dense SIFT, Fisher vector": reduced(
        500,
        LocalDescriptors(sampling="dense", step=5, scales=(4, 6, 9), coordinates=True),
        fisher(64, coordinates="extend"),
    ),
}
TEXT = tfidf_lsa(1000, random_state=SEED)


def encode(root):
    """Images of each feature, and texts, of each split; what joining the features by a FeatureUnion gives; seconds."""
    pairs = {split: split_pairs(load_flickr8k(root, split)) for split in SPLITS}
    encoder = clone(TEXT).fit(pairs["train"].texts)
    texts = {split: encoder.transform(pairs[split].texts) for split in SPLITS}
    tables, seconds = {}, {}
    for name, feature in FEATURES.items():
        start = time.perf_counter()
        encoder = clone(feature)
        images = {"train": encoder.fit_transform(pairs["train"].images)}
        images |= {split: encoder.transform(pairs[split].images) for split in SPLITS[1:]}
        tables[name], seconds[name] = images, time.perf_counter() - start
        print(f"{name}: {images['train'].shape[1]} columns, {seconds[name]:.0f} s", flush=True)
    # Columns side by side are all that a FeatureUnion makes of them.
    colours = ("colour moments", "colour histograms")
    unions = {
        "colour": colours,
        "colour and SIFT": (*colours, "dense SIFT, Fisher vector"),
        "all joined": tuple(FEATURES),
    }
    for name, parts in unions.items():
        tables[name] = {split: np.hstack([tables[part][split] for part in parts]) for split in SPLITS}
    encoded = {
        name: {split: Encoded(images[split], texts[split], pairs[split].groups) for split in SPLITS}
        for name, images in tables.items()
    }
    return encoded, seconds


def choose(splits):
    """Settings of the CCA with the highest rsum on the validation images, and that rsum."""
    best = (-1.0, {})
    for reg in RIDGES:
        fusion = splits["train"].fit(CCA(max(WIDTHS), reg=reg))
        for power in POWERS:
            embedded = splits["val"].embed(fusion.set_params(power=power))
            for width in WIDTHS:
                cut = Encoded(embedded.images[:, :width], embedded.texts[:, :width], embedded.groups)
                best = max(
                    best, (scores_of(cut)["rsum"], {"n_components": width, "reg": reg, "power": power}), key=first
                )
    return best


def first(pair):
    """What settings are compared by."""
    return pair[0]


def run(root):
    """All features, the record for JSON."""
    encoded, seconds = encode(root)
    rows = []
    for name, splits in encoded.items():
        rsum, settings = choose(splits)
        fusion = splits["train"].fit(CCA(**settings))
        rows.append(
            {
                "image features": name,
                "columns": splits["train"].images.shape[1],
                **scores_of(splits["test"].embed(fusion)),
                "val rsum": rsum,
                "encoding seconds": seconds.get(name),
                "settings": ", ".join(f"{key}={value}" for key, value in settings.items()),
            }
        )
        print({key: value for key, value in rows[-1].items() if "median" not in key}, flush=True)
    test = encoded["all joined"]["test"]
    rows.append({"image features": "chance", **chance(test)})
    return {
        "data": "flickr8k",
        "language": "en",
        "split_sizes": {split: len(splits[split].images) for split in SPLITS},
        "gallery": {"images": len(test.images), "texts": len(test.groups)},
        "chosen_on": "val",
        "seed": SEED,
        "estimators": {name: " ".join(repr(feature).split()) for name, feature in FEATURES.items()},
        "results": rows,
        "provenance": provenance(),
    }


def table(record):
    """The record as Markdown."""
    columns = ["image features", "columns", *[f"{way} R@{k}" for way in ("I→T", "T→I") for k in (1, 5, 10)]]
    columns += ["rsum", "I→T median", "T→I median", "val rsum", "encoding seconds", "settings"]
    sizes, gallery = record["split_sizes"], record["gallery"]
    return (
        f"flickr8k, English captions, hand-made image features, TF-IDF with 1000 LSA components, CCA; {sizes['train']}/"
        f"{sizes['val']}/{sizes['test']} pictures to train, validate and test. Gallery: {gallery['images']} pictures, "
        f"{gallery['texts']} sentences. Recall in %, settings of the CCA chosen on val for each row, seconds to encode all "
        f"pictures.\n\n{markdown_table([{name: row.get(name) for name in columns} for row in record['results']])}\n"
    )


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder of Flickr8k")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder of the results")
    arguments = parser.parse_args()
    record = run(arguments.root)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "classical_flickr8k.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(table(record), encoding="utf-8")
    print(table(record))


if __name__ == "__main__":
    main()
