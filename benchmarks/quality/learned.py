"""Learned fusion against CCA on Flickr8k: single projections, ensembles, every loss; towers and attention are in compare.py.

    python benchmarks/quality/learned.py --root ../shared/data/flickr8k
        --weights ../shared/weights/mobilenet_v2_imagenet.pth --cache FOLDER [--language en] [--only NAME ...]

Pictures are three layers of mobilenet_v2 averaged over the picture and its mirror image; sentences are TF-IDF of words and
characters, means and Fisher vectors of word vectors trained on the training captions, joined with the weights that
``text_sides.py`` chose on val. Settings are chosen by rsum on val; test is scored once for each seed. Rows are written as soon as
they are done, and a row that stands in the record is not computed again unless it is named after --only. With --cache features
are kept between runs, outside of the project.
"""

import argparse
import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from cnn_layers import describe
from sklearn.base import clone
from sklearn.preprocessing import normalize
from text_sides import SPLITS, features, sides, trained_vectors

from mmfeat.cli._evaluate import Encoded, scores_of
from mmfeat.cli._provenance import provenance
from mmfeat.datasets import load_flickr8k
from mmfeat.fusion import CCA, DeepCCA, LearnedProjection
from mmfeat.image import CNNFeatures
from mmfeat.text import WordVectors
from mmfeat.utils._markdown import markdown_table
from mmfeat.utils._pairs import split_pairs

SEEDS = (0, 1, 2)
RECALLS = [f"{way} R@{k}" for way in ("I→T", "T→I") for k in (1, 5, 10)]
# As text_sides.py chose them on val.
JOINED = {
    "en": {"TF-IDF word": 0.5, "TF-IDF char": 1.0, "mean": 1.0, "Fisher gaussian": 1.0, "Fisher hybrid": 1.0},
    "zh": {
        "TF-IDF char": 1.0,
        "mean, given": 1.0,
        "Fisher gaussian": 1.0,
        "Fisher hybrid": 1.0,
        "Fisher gaussian, given": 1.0,
    },
}
START = {"en": CCA(reg=(2.0, 0.3)), "zh": CCA(reg=(2.0, 1.0))}
CCAS = [
    {"n_components": width, "reg": reg, "power": 1.0}
    for width in (150, 300)
    for reg in ((1.0, 0.3), (2.0, 0.3), (2.0, 1.0), (4.0, 1.0))
]
# Tried with the first seed on val; the best one of each group is trained with every seed.
SINGLES = [
    {"loss": "infonce"},
    {"loss": "siglip", "max_epochs": 8},
    {"loss": "siglip", "max_epochs": 8, "dropout": 0.7},
    {"loss": "triplet", "max_epochs": 8},
]
# The same features and budget for all: eight epochs from the same CCA.
LOSSES = (
    "infonce",
    "siglip",
    "triplet",
    "triplet_sum",
    "ranking",
    "cosine",
    "contrastive",
    "euclidean",
    "vicreg",
    "barlow",
)


class Data:
    """Features of the three splits.

    Parameters
    ----------
    arguments : Namespace
    """

    def __init__(self, arguments):
        language = arguments.language
        self.language, self.cache, self.weights = language, arguments.cache, arguments.weights
        pairs = {split: split_pairs(load_flickr8k(arguments.root, split, language)) for split in SPLITS}
        self.pairs = pairs
        self.groups = {split: part.groups for split, part in pairs.items()}
        self.texts = {split: part.texts for split, part in pairs.items()}
        where = {"kept": arguments.cache, "weights": arguments.weights, "language": "en", "precision": "auto"}
        found = describe(SimpleNamespace(**where), pairs, "flip", "squash")
        self.images = {split: np.sqrt(np.maximum(found[split], 0)) for split in SPLITS}
        self.trained, self.words = trained_vectors(self.texts, language)
        digest = str(np.float64(self.words.vectors_.sum()))
        makers = sides(language, self.trained, arguments.vectors, arguments.cache)
        self.parts = {
            name: features(makers[name], self.texts, arguments.cache, language, digest)[0]
            for name in ("TF-IDF both", *JOINED[language])
        }

    def regions(self):
        """The last map of the network as bags of 49 regions, for each split."""
        kept = self.cache / "regions.npz"
        if not kept.exists():
            options = {"pooling": None, "resize": "squash"}
            network = CNNFeatures("mobilenet_v2", self.weights, "features.18", verbose=True, **options)
            network.fit(self.pairs["train"].images[:1])
            maps = {split: np.stack(network.transform(self.pairs[split].images)).astype(np.float16) for split in SPLITS}
            np.savez(kept, **maps)
        with np.load(kept) as found:
            return {split: list(found[split].astype(np.float32)) for split in SPLITS}

    def joined(self, weights):
        """Encoded pairs of the splits, the parts of the text side joined."""
        return {
            split: Encoded(
                self.images[split],
                np.hstack([weight * normalize(self.parts[name][split]) for name, weight in weights.items()]).astype(
                    "f4"
                ),
                self.groups[split],
            )
            for split in SPLITS
        }

    def sentences(self):
        """Encoded pairs of the splits, each text a bag of its word vectors."""
        encoder = WordVectors(self.trained, tokenizer=self.language, pooling=None).fit(self.texts["train"])
        return {
            split: Encoded(self.images[split], encoder.transform(self.texts[split]), self.groups[split])
            for split in SPLITS
        }


class Bench:
    """Rows of a table, each written as soon as it is done.

    Parameters
    ----------
    file : Path
    again : list of str
        Rows to compute even if they stand in the record.
    """

    def __init__(self, file, again):
        self.file, self.again = file, again
        self.rows = json.loads(file.read_text("utf-8"))["results"] if file.exists() else {}

    def row(self, table, name, settings, fits):
        """Fit with every seed and score on val and test.

        Parameters
        ----------
        table, name : str
        settings : dict
        fits : iterable of (callable, dict)
            Each fits a system and returns rows of val and of test as :func:`scores_of` gives them.
        """
        key = f"{table}: {name}"
        if key in self.rows and name not in self.again:
            return
        scored, seconds = [], []
        for fit in fits:
            start = time.perf_counter()
            scored.append(fit())
            seconds.append(time.perf_counter() - start)
        figures = {
            column: {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)) if len(values) > 1 else None}
            for column in (*RECALLS, "rsum")
            for values in [[test[column] for _, test in scored]]
        }
        vals = [val["rsum"] for val, _ in scored]
        self.rows[key] = {
            "table": table,
            "system": name,
            "settings": settings,
            "seeds": len(scored),
            "test": figures,
            "val rsum": float(np.mean(vals)),
            "seconds_of_a_fit": float(np.median(seconds)),
            "torch_threads": torch.get_num_threads(),
        }
        self.write()
        print(
            f"{key}: val {np.mean(vals):.1f}, test {figures['rsum']['mean']:.1f} +- {figures['rsum']['std'] or 0:.1f}",
            flush=True,
        )

    def write(self):
        """Write the record and the tables."""
        record = {
            "gallery": {"images": 1000, "texts": 5000},
            "chosen_on": "val",
            "results": self.rows,
            "provenance": provenance(),
        }
        self.file.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        lines = [
            f"Flickr8k, captions in {self.file.stem.rpartition('_')[2]}, mobilenet_v2 (three layers, mirror images averaged). "
            "Gallery of test: 1,000 pictures, 5,000 sentences. Recall in %, mean and standard deviation over the seeds; settings "
            "chosen on val.",
        ]
        for table in dict.fromkeys(row["table"] for row in self.rows.values()):
            shown = [_shown(row) for row in self.rows.values() if row["table"] == table]
            lines += ["", f"{table}:", "", markdown_table(shown)]
        self.file.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _shown(row):
    test = row["test"]
    spread = "" if test["rsum"]["std"] is None else f" ± {test['rsum']['std']:.1f}"
    return {
        "system": row["system"],
        **{name: f"{test[name]['mean']:.1f}" for name in RECALLS},
        "rsum": f"{test['rsum']['mean']:.1f}{spread}",
        "val rsum": f"{row['val rsum']:.1f}",
        "seconds": f"{row['seconds_of_a_fit']:.0f}",
        "settings": ", ".join(f"{name}={value}" for name, value in row["settings"].items()),
    }


def fitted(splits, fusion):
    """A fit on train, and its rows."""

    def fit():
        fusion_ = splits["train"].fit(clone(fusion))
        return tuple(scores_of(splits[split].embed(fusion_)) for split in ("val", "test"))

    return fit


def best_of(splits, candidates, make):
    """Settings with the highest rsum on val, fitted with the first seed."""
    found = {}
    for place, settings in enumerate(candidates):
        fusion = splits["train"].fit(make(settings))
        found[place] = scores_of(splits["val"].embed(fusion))["rsum"]
        print(f"  tried on val: {settings}: {found[place]:.1f}", flush=True)
    return candidates[max(found, key=found.get)]


def compare_systems(bench, data, language):
    """CCA, single projections and ensembles on the joined text side."""
    splits = data.joined(JOINED[language])

    def projection(settings, seed=0, **more):
        return LearnedProjection(512, init=START[language], patience=2, random_state=seed, **settings, **more)

    table = "Joined text side"
    if f"{table}: CCA" not in bench.rows or "CCA" in bench.again:
        settings = best_of(splits, CCAS, lambda settings: CCA(**settings))
        bench.row(table, "CCA", settings, [fitted(splits, CCA(**settings))])
    if f"{table}: LearnedProjection" not in bench.rows or "LearnedProjection" in bench.again:
        settings = best_of(splits, SINGLES, projection)
        bench.row(table, "LearnedProjection", settings, [fitted(splits, projection(settings, seed)) for seed in SEEDS])
    fits = [fitted(splits, ensemble(bench, language, seed)) for seed in SEEDS]
    settings = bench.rows[f"{table}: LearnedProjection"]["settings"]
    bench.row(table, "LearnedProjection, ensemble of 3", {**settings, "ensemble": 3}, fits)


def ensemble(bench, language, seed):
    """Three projections with the settings that were chosen for one."""
    settings = bench.rows["Joined text side: LearnedProjection"]["settings"]
    return LearnedProjection(512, init=START[language], patience=2, random_state=100 + seed, ensemble=3, **settings)


def compare_losses(bench, data, language):
    """Every loss alone: TF-IDF of words and characters, eight epochs."""
    splits = data.joined({"TF-IDF both": 1.0})
    table = "Every loss alone, TF-IDF of words and characters"
    bench.row(
        table,
        "CCA",
        {"n_components": 256, "reg": START[language].reg},
        [fitted(splits, clone(START[language]).set_params(n_components=256))],
    )
    budget = {"max_epochs": 8, "patience": 8}
    for loss in LOSSES:
        bench.row(
            table,
            loss,
            budget,
            [
                fitted(splits, LearnedProjection(256, loss=loss, init=START[language], random_state=seed, **budget))
                for seed in SEEDS
            ],
        )
    for name, hidden in (("DeepCCA, linear", ()), ("DeepCCA, one hidden layer", (1024,))):
        bench.row(
            table,
            name,
            {"hidden": hidden, "n_components": 64},
            [fitted(splits, DeepCCA(64, hidden=hidden, random_state=seed)) for seed in SEEDS],
        )


PARTS = {
    "systems": compare_systems,
    "losses": compare_losses,
}


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder of Flickr8k")
    parser.add_argument("--weights", type=Path, required=True, help="weights of mobilenet_v2")
    parser.add_argument("--language", choices=("en", "zh"), default="en")
    parser.add_argument("--vectors", help="file of vectors of Chinese characters, for Chinese")
    parser.add_argument("--cache", type=Path, required=True, help="folder of features, outside of the project")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS), help="tables to compute")
    parser.add_argument("--only", nargs="+", default=[], help="rows to compute again")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    bench = Bench(arguments.out / f"learned_flickr8k_{arguments.language}.json", arguments.only)
    data = Data(arguments)
    for part in arguments.part:
        PARTS[part](bench, data, arguments.language)


if __name__ == "__main__":
    main()
