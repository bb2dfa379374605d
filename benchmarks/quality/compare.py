"""CCA against deep fusion: every kind of fusion on one task, with intervals, paired tests and costs.

    python benchmarks/quality/compare.py flickr8k --language en --root ../shared/data/flickr8k
        --weights ../shared/weights/mobilenet_v2_imagenet.pth --cache FOLDER
    python benchmarks/quality/compare.py wikipedia --root ../shared/data/wikipedia --cache FOLDER
    python benchmarks/quality/compare.py scenes --cache FOLDER

Settings are chosen on val: those with several values in the grids below here, single ones before, by ``learned.py`` and
``wikipedia.py``. What is corrected for hubs has the settings of its twin that is not. Test is scored once, with those.
Everything that is computed is kept in --cache, outside of the project: a run that was stopped goes on where it was, and ends in
the same figures. Pages of photographs that may not be published are written without them; --pages FOLDER writes the page with
the photographs elsewhere.
"""

import argparse
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from learned import JOINED, START, Data
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from mmfeat.cli._provenance import provenance
from mmfeat.comparison import Reranked, System, Together, compare
from mmfeat.datasets import load_flickr8k, load_wikipedia, make_scenes
from mmfeat.encoding import FisherVector, PowerNormalizer
from mmfeat.fusion import CCA, PLS, CrossAttentionScorer, DeepCCA, KernelCCA, LearnedProjection, SemanticMatching
from mmfeat.image import ColorHistogram, HOGFeatures, LocalDescriptors
from mmfeat.retrieval import HubnessCorrection
from mmfeat.text import WordVectors, tfidf_lsa

SPLITS = ("train", "val", "test")
RIDGES = list(product((1.0, 2.0, 4.0), (0.3, 1.0)))


def linear_systems(widths, ridges, kernel, kernel_ridges, fisher):
    """Fusions in closed form; `fisher` are the settings of the rich text side, whose fits take ten times as long."""
    rich = {name: [value] for name, value in fisher.items()}
    return [
        System("PLS", PLS(), {"n_components": widths}, text="tfidf"),
        System("CCA", CCA(), {"n_components": widths, "reg": ridges}, text="tfidf"),
        System("KernelCCA", kernel, {"reg": kernel_ridges}, text="tfidf"),
        System("CCA + Fisher", CCA(), {**rich, "reg": ridges}, text="joined"),
        System("CCA + Fisher + CSLS", CCA(), rich, text="joined", hubness=HubnessCorrection("csls")),
        System(
            "CCA + Fisher + CSLS on test",
            CCA(),
            rich,
            text="joined",
            hubness=HubnessCorrection("csls", bank="queries"),
        ),
    ]


def learned_systems(projection, settings, tower, deep, many):
    """Fusions that are trained, on the richest text side that each can take; `many`: the tower too with every seed."""
    siglip = {"loss": ["siglip"], "max_epochs": [8]}
    return [
        System("LearnedProjection (InfoNCE)", projection, {"loss": ["infonce"], **settings}, text="joined"),
        System("LearnedProjection (SigLIP)", projection, {**siglip, **settings}, text="joined"),
        System("DeepCCA", deep, text="joined"),
        System("GRU tower", tower, text="words", seeded=many),
    ]


def all_together(names, attention, many, together=True):
    """The sum of all of them, corrected for hubs, and its best looked at again."""
    return [
        Together("all together", names),
        Together("all together + CSLS", names, hubness=HubnessCorrection("csls"), seeded=many or together),
        Reranked("all together + CSLS + attention", "all together + CSLS", attention, "regions", "words", seeded=many),
    ]


MEMBERS = (
    "CCA",
    "KernelCCA",
    "CCA + Fisher",
    "LearnedProjection (InfoNCE)",
    "LearnedProjection (SigLIP)",
    "DeepCCA",
    "GRU tower",
)


def flickr8k(arguments):
    """Photographs with five captions each: mobilenet_v2 of ImageNet, captions in English or Chinese."""
    language = arguments.language
    data = Data(SimpleNamespace(**vars(arguments)))
    splits = {split: load_flickr8k(arguments.root, split, language) for split in SPLITS}
    joined = data.joined(JOINED[language])
    bags = data.sentences()
    images = {"cnn": data.images, "regions": data.regions()}
    texts = {
        "tfidf": data.parts["TF-IDF both"],
        "joined": {split: joined[split].texts for split in SPLITS},
        "words": {split: bags[split].texts for split in SPLITS},
    }
    kernel = KernelCCA(200, approximation="nystroem", n_landmarks=2000)
    tower = LearnedProjection(
        512, tower="gru", tower_width=256, init="random", learning_rate=1e-3, dropout=0.3, max_epochs=10
    )
    systems = [
        *linear_systems([100, 150, 250], RIDGES, kernel, [0.1, 0.3, 1.0], {"n_components": 150, "reg": (2.0, 0.3)}),
        # As learned.py chose them on val.
        *learned_systems(
            LearnedProjection(512, init=START[language], patience=2),
            {"dropout": [{"en": 0.5, "zh": 0.7}[language]]},
            tower,
            DeepCCA(64, hidden=(1024,)),
            arguments.many,
        ),
        *all_together(MEMBERS, CrossAttentionScorer(256, max_epochs=4), arguments.many, language == "en"),
    ]
    return systems, splits, images, texts, {}


def wikipedia(arguments):
    """Articles of ten classes by the features that were published with them; what has the query's class is right.

    There are no words and no regions, so no Fisher vectors, no towers and no attention. A fifth of train is val.
    """
    train, test = (load_wikipedia(arguments.root, split) for split in ("train", "test"))
    order = np.random.default_rng(0).permutation(len(train.labels))
    parts = {
        "train": _rows(train, np.sort(order[len(order) // 5 :])),
        "val": _rows(train, np.sort(order[: len(order) // 5])),
        "test": _rows(test, np.arange(len(test.labels))),
    }
    splits = {split: part["pairs"] for split, part in parts.items()}
    images, texts = ({"given": {split: part[kind] for split, part in parts.items()}} for kind in ("images", "texts"))
    ridges = list(product((0.1, 0.3, 1.0), (1.0, 10.0, 30.0)))
    small = {"batch_size": 256, "max_epochs": 30, "validation_fraction": 0.1}
    learned = LearnedProjection(64, hidden=(256,), init="random", **small)
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    chi2 = [
        make_pipeline(
            Nystroem(kernel="chi2", gamma=gamma, n_components=1000, random_state=0),
            LogisticRegression(C=C, max_iter=1000),
        )
        for gamma, C in ((2.0, 3.0), (3.0, 10.0))
    ]
    systems = [
        System("PLS", PLS(), {"n_components": [3, 5, 7, 9]}),
        System("CCA", CCA(), {"n_components": [5, 7, 9], "reg": ridges, "power": [0.0, 0.5, 1.0]}),
        # Exact, so that there is nothing random in it.
        System(
            "KernelCCA",
            KernelCCA(80, kernel="chi2", power=0.5),
            {"reg": list(product((0.1, 0.3), (3.0, 10.0)))},
            seeded=False,
        ),
        System("CCA + CSLS", CCA(7, reg=(0.3, 30.0), power=0.5), hubness=HubnessCorrection("csls")),
        System("LearnedProjection (InfoNCE)", learned, {"loss": ["infonce"], "dropout": [0.3, 0.6]}),
        System("LearnedProjection (SigLIP)", learned, {"loss": ["siglip"], "dropout": [0.3, 0.6]}),
        System("DeepCCA", DeepCCA(9, hidden=(256,))),
        Together(
            "all together", ("CCA", "KernelCCA", "LearnedProjection (InfoNCE)", "LearnedProjection (SigLIP)", "DeepCCA")
        ),
        System("SCM", SemanticMatching(linear, linear, projection=CCA(9, reg=(0.3, 30.0), power=0.0)), supervised=True),
        System("SM", SemanticMatching(chi2[0], chi2[1]), supervised=True),
    ]
    more = {"labels": {split: part["labels"] for split, part in parts.items()}, "relevance": "label"}
    return systems, splits, images, texts, more


def _rows(part, rows):
    import pandas as pd

    pairs = pd.DataFrame({"image": np.array(part.image_ids)[rows], "text": np.array(part.text_ids)[rows]})
    return {"pairs": pairs, "images": part.images[rows], "texts": part.texts[rows], "labels": part.labels[rows]}


def scenes(arguments):
    """Rendered scenes: colour and gradients, dense SIFT as regions."""
    language = arguments.language
    pairs = make_scenes(3000, language=language, random_state=0)
    splits = {"train": pairs[:2000], "val": pairs[2000:2500], "test": pairs[2500:]}
    gradients = HOGFeatures(pixels_per_cell=(16, 16), cells_per_block=(2, 2), channel_axis=-1, size=(96, 96))
    images = {
        "colour and gradients": make_union(make_pipeline(ColorHistogram(grid=3), PowerNormalizer()), gradients),
        "regions": LocalDescriptors("sift", sampling="dense", step=16, scales=(8,)),
    }
    trained = {"tokenizer": language, "train_params": {"vector_size": 64}, "random_state": 0}
    bags = WordVectors(pooling=None, **trained)
    fisher = make_pipeline(bags, FisherVector(8, random_state=0))
    texts = {
        "tfidf": tfidf_lsa(150, language=language, random_state=0),
        "joined": make_union(tfidf_lsa(150, language=language, random_state=0), WordVectors(**trained), fisher),
        "words": bags,
    }
    small = {"batch_size": 256, "max_epochs": 20}
    tower = LearnedProjection(
        128, tower="gru", tower_width=128, init="random", learning_rate=1e-3, dropout=0.2, **small
    )
    ridges = list(product((0.1, 0.3, 1.0), (0.1, 0.3, 1.0)))
    systems = [
        *linear_systems(
            [32, 64, 128],
            ridges,
            KernelCCA(100, approximation="nystroem"),
            [0.1, 0.3, 1.0],
            {"n_components": 64, "reg": (0.3, 0.3)},
        ),
        *learned_systems(
            LearnedProjection(128, patience=2), {"dropout": [0.3, 0.5, 0.7]}, tower, DeepCCA(32, hidden=(256,)), True
        ),
        *all_together(MEMBERS, CrossAttentionScorer(128, max_epochs=4), True),
    ]
    return systems, splits, images, texts, {}


DATA = {"flickr8k": flickr8k, "wikipedia": wikipedia, "scenes": scenes}


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=DATA)
    parser.add_argument("--root", type=Path, help="folder of the data set")
    parser.add_argument("--weights", type=Path, help="weights of mobilenet_v2, for flickr8k")
    parser.add_argument("--vectors", help="file of vectors of Chinese characters, for flickr8k in Chinese")
    parser.add_argument("--language", choices=("en", "zh"), default="en")
    parser.add_argument("--cache", type=Path, required=True, help="folder of all that is kept, outside of the project")
    parser.add_argument(
        "--many",
        action="store_true",
        help="all seeds for the tower and for attention on flickr8k, which take minutes a seed",
    )
    parser.add_argument("--n-seeds", type=int, default=3, help="seeds of what depends on one")
    parser.add_argument("--systems", nargs="+", help="names of systems to compare; all by default")
    parser.add_argument("--pages", type=Path, help="folder for the page with the pictures; results hold it without")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    name = f"compare_{arguments.data}" + ("" if arguments.data == "wikipedia" else f"_{arguments.language}")
    systems, splits, images, texts, more = DATA[arguments.data](arguments)
    if arguments.systems:
        systems = [system for system in systems if system.name in arguments.systems]
    work = arguments.cache / name
    found = compare(systems, splits, images, texts, work=work, n_seeds=arguments.n_seeds, verbose=True, **more)
    title = {"flickr8k": "Flickr8k", "wikipedia": "Wikipedia", "scenes": "Rendered scenes"}[arguments.data]
    if arguments.data != "wikipedia":
        title += ", captions in " + {"en": "English", "zh": "Chinese"}[arguments.language]
    rendered = arguments.data == "scenes"
    found.save(arguments.out, name, title=title, pictures=rendered, provenance=provenance())
    if arguments.pages and arguments.data == "flickr8k":
        found.save(arguments.pages, name, title=title)
    print(found.markdown())


if __name__ == "__main__":
    main()
