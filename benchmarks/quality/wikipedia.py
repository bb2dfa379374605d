"""Class-level retrieval on the Wikipedia collection (Rasiwasia 2010), beside the published figures.

Each setting is chosen by cross-validation on the training split; the test split is scored once, with the settings chosen.

    python benchmarks/quality/wikipedia.py --root ../shared/data/wikipedia --out benchmarks/results
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmfeat.cli._provenance import provenance
from mmfeat.datasets import load_wikipedia
from mmfeat.fusion import CCA, PLS, KernelCCA, SemanticMatching
from mmfeat.metrics import match_groups, mean_average_precision, rank_embeddings

SEED = 0
N_FOLDS = 5
POWERS = (0.0, 0.5, 1.0, 2.0)
PUBLISHED = [
    ("CCA, published", 0.2549, 0.1846, 0.2198, "a survey of 2019"),
    ("JFSSL, published", 0.3063, 0.2275, 0.2669, "a survey of 2019"),
]


def logistic(C):
    """Logistic regression on columns of unit variance."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))


def kernel_logistic(C, gamma):
    """Logistic regression in the space of the chi2 kernel."""
    landmarks = Nystroem(kernel="chi2", gamma=gamma, n_components=1000, random_state=SEED)
    return make_pipeline(landmarks, LogisticRegression(C=C, max_iter=1000))


def linear_candidates(grid):
    """Fusions without labels, each with the powers and widths that need no new fit."""
    if grid == "PLS":
        return [(PLS(), {"widths": (3, 5, 7, 9)})]
    if grid == "CCA":
        regs = itertools.product((0.03, 0.1, 0.3, 1.0), (0.1, 1.0, 10.0, 30.0))
        return [(CCA(9, reg=reg), {"widths": (5, 7, 9), "powers": POWERS}) for reg in regs]
    regs = list(itertools.product((0.03, 0.1, 0.3), (1.0, 3.0, 10.0)))
    return [
        (KernelCCA(80, kernel=kernel, reg=reg), {"widths": (10, 20, 40, 80), "powers": POWERS})
        for kernel, reg in itertools.product(("chi2", "rbf", "intersection"), regs)
    ]


def search_linear(grid, train):
    """Best fusion without labels and its score in cross-validation."""
    candidates = linear_candidates(grid)
    tables = Parallel(n_jobs=2)(delayed(cross_validate)(fusion, train, **more) for fusion, more in candidates)
    scored = [
        (score, clone(fusion).set_params(**params))
        for (fusion, _), table in zip(candidates, tables, strict=True)
        for params, score in table
    ]
    return max(scored, key=lambda row: row[0])


def search_semantic(projections, image_classifiers, text_classifiers, train):
    """Best semantic matching, one part after the other: text classifier, image classifier, projection."""
    best = SemanticMatching(image_classifiers[0], text_classifiers[0], projection=projections[0])
    parts = {"text_classifier": text_classifiers, "image_classifier": image_classifiers, "projection": projections}
    for part, choices in parts.items():
        candidates = [clone(best).set_params(**{part: choice}) for choice in choices]
        tables = Parallel(n_jobs=2)(delayed(cross_validate)(candidate, train) for candidate in candidates)
        score, best = max(
            ((table[0][1], one) for table, one in zip(tables, candidates, strict=True)), key=lambda row: row[0]
        )
    return score, best


def cross_validate(fusion, data, *, widths=(None,), powers=(None,)):
    """Mean over the folds of the average mAP, for each width and power.

    Components are nested and weighted after the fit, so that one fit a fold serves all widths and powers.
    """
    scores: dict = {}
    for train, test in StratifiedKFold(N_FOLDS, shuffle=True, random_state=SEED).split(data.images, data.labels):
        fusion = fit(clone(fusion), data.images[train], data.texts[train], data.labels[train])
        for power in powers:
            if power is not None:
                fusion.set_params(power=power)
            images, texts = fusion.transform(data.images[test]), fusion.transform_y(data.texts[test])
            for width in widths:
                maps = both_maps(images[:, :width], texts[:, :width], data.labels[test])
                scores.setdefault((width, power), []).append(np.mean(maps))
    names = ("n_components", "power")
    return [
        ({name: value for name, value in zip(names, key, strict=True) if value is not None}, float(np.mean(values)))
        for key, values in scores.items()
    ]


def fit(fusion, images, texts, labels):
    """Fit, with labels where the fusion takes them."""
    more = {"labels": labels} if isinstance(fusion, SemanticMatching) else {}
    return fusion.fit(images, texts, **more)


def both_maps(images, texts, labels):
    """Mean average precision of both directions; what is of the query's class is right."""
    relevance = match_groups(labels, labels)
    pairs = ((images, texts), (texts, images))
    return [mean_average_precision(rank_embeddings(*pair, relevance=relevance)) for pair in pairs]


def choose_all(train):
    """Name, score in cross-validation and estimator of each system."""
    for name in ("PLS", "CCA", "KernelCCA"):
        score, fusion = search_linear(name, train)
        yield name, score, fusion
    linear = [logistic(C) for C in (0.01, 0.1, 1.0)]
    projections = [CCA(9, reg=reg, power=0.0) for reg in itertools.product((0.1, 0.3, 1.0), (1.0, 10.0, 30.0))]
    yield "SCM", *search_semantic(projections, linear, linear, train)
    image = [kernel_logistic(C, gamma) for gamma in (1.0, 2.0) for C in (1.0, 3.0, 10.0)]
    text = [kernel_logistic(C, gamma) for gamma in (1.0, 3.0) for C in (3.0, 10.0, 30.0)]
    yield "SM", *search_semantic([None], [*image, *linear], [*text, *linear], train)


def run(root):
    """All systems, the record for JSON."""
    train = load_wikipedia(root, "train")
    chosen = list(choose_all(train))
    test = load_wikipedia(root, "test")
    results = []
    for name, score, fusion in chosen:
        start = time.perf_counter()
        fit(fusion, train.images, train.texts, train.labels)
        seconds = time.perf_counter() - start
        i2t, t2i = both_maps(fusion.transform(test.images), fusion.transform_y(test.texts), test.labels)
        results.append(
            {
                "system": name,
                "settings": " ".join(fusion.__repr__(N_CHAR_MAX=10**6).split()),
                "I→T mAP": i2t,
                "T→I mAP": t2i,
                "average": (i2t + t2i) / 2,
                "cross-validation": score,
                "seconds": seconds,
            }
        )
    return {
        "data": "wikipedia",
        "split_sizes": {"train": len(train.labels), "test": len(test.labels)},
        "gallery": len(test.labels),
        "chosen_on": f"train, {N_FOLDS} folds",
        "seed": SEED,
        "results": results,
        "published": [
            dict(zip(("system", "I→T mAP", "T→I mAP", "average", "from"), row, strict=True)) for row in PUBLISHED
        ],
        "provenance": provenance(),
    }


def table(record):
    """The record as Markdown."""
    sizes = record["split_sizes"]
    lines = [
        f"wikipedia (Rasiwasia 2010), {sizes['train']} pairs to train, {sizes['test']} to test. Class-level mean average "
        f"precision over the whole gallery of {record['gallery']}; settings chosen by {N_FOLDS}-fold cross-validation on the "
        "training pairs, seconds of one fit.",
        "",
        "| system | I→T mAP | T→I mAP | average | cross-validation | seconds | settings |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for row in record["results"]:
        figures = (row["I→T mAP"], row["T→I mAP"], row["average"], row["cross-validation"])
        cells = [
            row["system"],
            *(f"{figure:.4f}" for figure in figures),
            f"{row['seconds']:.2f}",
            f"`{row['settings']}`",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    for row in record["published"]:
        figures = (f"{row[key]:.4f}" for key in ("I→T mAP", "T→I mAP", "average"))
        lines.append("| " + " | ".join([row["system"], *figures, "", "", row["from"]]) + " |")
    return "\n".join(lines) + "\n"


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder of the Wikipedia collection")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder of the results")
    arguments = parser.parse_args()
    record = run(arguments.root)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "wikipedia.json").write_text(
        json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (arguments.out / "wikipedia.md").write_text(table(record), encoding="utf-8")
    print(table(record))


if __name__ == "__main__":
    main()
