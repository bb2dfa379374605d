"""Labelled pairs of rendered scenes: each side alone, and fusion early, late and in the middle, against known ceilings.

Posts of ``make_scenes``, of which 500 are for training and 1,500 for the test. "sentiment": either side alone tells some of the
labels. "irony": only the two together tell any. Settings of each row of the tables are chosen by three-fold cross-validation on
train, by accuracy (networks on irony, and the one over bags, have none to choose); the test is scored once, with the settings
chosen. "noise": the pictures, or the texts, of the sentiment posts are dealt out anew among all rows, and late fusion with a
learned weight is compared with the side that is left.

    python benchmarks/quality/multimodal.py --out benchmarks/results [--only sentiment irony noise]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from mmfeat.cli._provenance import provenance
from mmfeat.datasets import make_scenes
from mmfeat.image import ColorMoments
from mmfeat.multimodal import AttentionFusionClassifier, LateFusionClassifier, PairFeatures
from mmfeat.text import WordVectors, tfidf_lsa
from mmfeat.utils._markdown import markdown_table

SEEDS = (0, 1, 2)
N_TRAIN, N_TEST = 500, 1500
RULES = ("mean", "weighted", "product", "max", "vote", "stack")
SIDES = ("image", "text")
NAME = "multimodal_scenes"
CLASSES = LogisticRegression(max_iter=3000)


def regions(moments):
    """Colour moments of the cells of a grid as a bag of nine vectors."""
    return list(np.asarray(moments).reshape(len(moments), -1, 9))


PICTURES = make_pipeline(ColorMoments(), StandardScaler())
WORDS = {
    "sentiment": make_pipeline(tfidf_lsa(None), SelectKBest(chi2, k=100)),
    "irony": tfidf_lsa(
        None, ngram_range=(1, 1), min_df=5
    ),  # no word tells anything by itself that it could be chosen by
}
# What only both sides tell is learned after a plateau.
PATIENCE = {"sentiment": 10, "irony": 20}
REGIONS = make_pipeline(ColorMoments(grid=3), StandardScaler(), FunctionTransformer(regions))
VECTORS = WordVectors(pooling=None, train_params={"vector_size": 50, "min_count": 1}, random_state=0)


def posts_of(task, seed):
    """Pairs and labels to train and to test on, and the ceilings."""
    posts = make_scenes(N_TRAIN + N_TEST, image_size=32, captions_per_image=1, task=task, random_state=seed)
    labels = posts["label"].to_numpy()
    ceilings = dict(posts.attrs["ceilings"])
    return posts[:N_TRAIN], labels[:N_TRAIN], posts[N_TRAIN:], labels[N_TRAIN:], ceilings


def early(task, classifier):
    """Features side by side, and a classifier."""
    return make_pipeline(PairFeatures(PICTURES, WORDS[task], normalize="block"), classifier)


def late(task, rule):
    """Two classifiers and a rule."""
    return LateFusionClassifier(make_pipeline(PICTURES, CLASSES), make_pipeline(WORDS[task], CLASSES), rule, cv=3)


def middle(task, fusion, images=PICTURES, texts=None):
    """A network in which both sides meet."""
    texts = WORDS[task] if texts is None else texts
    return AttentionFusionClassifier(
        images, texts, fusion=fusion, n_components=64, patience=PATIENCE[task], device="cpu", random_state=0
    )


def systems(task):
    """Estimator and grid of each row of the table of a task, by level and name."""
    c = {"logisticregression__C": [0.1, 1, 10]}
    weights = {"pairfeatures__weights": [(1, 1), (1, 2)]}
    of_sides = {f"{side}_classifier__logisticregression__C": [0.1, 1] for side in SIDES}
    rows = {("one side", side): (early(task, CLASSES), c) for side in SIDES}
    for (_, side), (model, _) in rows.items():
        other = SIDES[side == "image"]
        model.set_params(**{f"pairfeatures__{other}_encoder": "drop"})
    rows["early", "logistic regression"] = (early(task, CLASSES), {**c, **weights})
    rows["early", "SVM, RBF kernel"] = (early(task, SVC()), {"svc__C": [0.1, 1, 10], **weights})
    rules = RULES if task == "sentiment" else ("mean", "stack")
    rows |= {("late", rule): (late(task, rule), of_sides) for rule in rules}
    # A head on a side that tells nothing has nothing to give.
    of_networks = {"auxiliary_weight": [0.0, 0.3]} if task == "sentiment" else {}
    for fusion in ("gated", "bilinear", "cross_attention"):
        rows["middle", fusion] = (middle(task, fusion), of_networks)
    if task == "sentiment":  # the slowest by far
        rows["middle", "cross_attention over bags"] = (middle(task, "cross_attention", REGIONS, VECTORS), {})
    return rows


def search(model, grid, pairs, labels):
    """The model with the settings that cross-validation on train finds best, these, and the seconds of it all."""
    start = time.perf_counter()
    if not grid:
        return model.fit(pairs, labels), {}, time.perf_counter() - start
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    found = GridSearchCV(model, grid, cv=folds, error_score="raise").fit(pairs, labels)
    return found.best_estimator_, found.best_params_, time.perf_counter() - start


def ceiling_of(level, name, ceilings):
    """What no classifier passes that sees as much."""
    return ceilings[name if level == "one side" else "both"]


def compare(task):
    """All systems on the posts of a task: accuracy on test over the seeds."""
    measured = {row: {"accuracies": [], "seconds": [], "settings": []} for row in systems(task)}
    for seed in SEEDS:
        train, y_train, test, y_test, ceilings = posts_of(task, seed)
        for row, (model, grid) in systems(task).items():
            model, settings, seconds = search(model, grid, train, y_train)
            measured[row]["accuracies"].append(float(model.score(test, y_test)))
            measured[row]["seconds"].append(seconds)
            measured[row]["settings"].append(settings)
            print(task, seed, *row, measured[row]["accuracies"][-1], f"{seconds:.1f} s", flush=True)
    rows = [
        {
            "level": level,
            "system": name,
            "accuracy": float(np.mean(values["accuracies"])),
            "std": float(np.std(values["accuracies"], ddof=1)),
            "ceiling": ceiling_of(level, name, ceilings),
            "seconds": float(np.median(values["seconds"])),
            "accuracies": values["accuracies"],
            "settings": values["settings"],
        }
        for (level, name), values in measured.items()
    ]
    return {"ceilings": ceilings, "rows": rows}


def against_noise():
    """Late fusion with a learned weight where one side has nothing to do with the label, and the other side alone."""
    rows = []
    for seed in SEEDS:
        train, y_train, test, y_test, _ = posts_of("sentiment", seed)
        rng = np.random.default_rng(seed)
        for noisy in SIDES:
            parts = []
            for pairs in (train, test):
                cells = np.empty(len(pairs), dtype=object)
                cells[:] = [pairs[noisy].iloc[row] for row in rng.permutation(len(pairs))]
                parts.append(pairs.assign(**{noisy: cells}))
            model = early("sentiment", CLASSES).set_params(**{f"pairfeatures__{noisy}_encoder": "drop"})
            alone, *_ = search(model, {"logisticregression__C": [0.1, 1]}, parts[0], y_train)
            grid = {f"{side}_classifier__logisticregression__C": [0.1, 1] for side in SIDES}
            fused, *_ = search(late("sentiment", "weighted"), grid, parts[0], y_train)
            scores = alone.score(parts[1], y_test), fused.score(parts[1], y_test)
            row = {
                "noise": noisy,
                "seed": seed,
                "other side alone": float(scores[0]),
                "late, weighted": float(scores[1]),
                "difference": float(scores[1] - scores[0]),
                "weight of the noise": float(fused.weights_[SIDES.index(noisy)]),
            }
            rows.append(row)
            print(row, flush=True)
    return {"rows": rows, "worst_difference": min(row["difference"] for row in rows)}


SECTIONS = {"sentiment": lambda: compare("sentiment"), "irony": lambda: compare("irony"), "noise": against_noise}


def percent(value):
    """A share in percent."""
    return round(100 * value, 1)


def tables(record):
    """The record as Markdown."""
    texts = []
    for task in ("sentiment", "irony"):
        if task not in record:
            continue
        result = record[task]["result"]
        ceilings = ", ".join(f"{seen} {percent(value)}" for seen, value in result["ceilings"].items())
        rows = [
            {
                "level": row["level"],
                "system": row["system"],
                "accuracy": percent(row["accuracy"]),
                "std": percent(row["std"]),
                "ceiling": percent(row["ceiling"]),
                "seconds": round(row["seconds"], 1),
            }
            for row in result["rows"]
        ]
        texts.append(
            f"## {task}\n\nAccuracy in % on {N_TEST} rendered posts after {N_TRAIN} to learn from, mean and standard deviation "
            f"over {len(SEEDS)} seeds, and seconds to choose settings by cross-validation on train and to fit. Ceilings: "
            f"{ceilings}.\n\n"
            f"{markdown_table(rows)}\n"
        )
    if "noise" in record:
        result = record["noise"]["result"]
        rows = [
            {
                "noise in": row["noise"],
                "seed": row["seed"],
                **{name: percent(row[name]) for name in ("other side alone", "late, weighted", "difference")},
                "weight of the noise": row["weight of the noise"],
            }
            for row in result["rows"]
        ]
        texts.append(
            f"## noise\n\nOne side of the sentiment posts dealt out anew: late fusion with a learned weight, accuracy in %. "
            f"Worst difference: {percent(result['worst_difference'])}.\n\n{markdown_table(rows)}\n"
        )
    return "\n".join(texts)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to run")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder of the results")
    arguments = parser.parse_args()
    path = arguments.out / f"{NAME}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    for section in arguments.only:
        result = SECTIONS[section]()
        record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        record[section] = {"result": result, "seeds": list(SEEDS), "provenance": provenance()}
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        path.with_suffix(".md").write_text(tables(record), encoding="utf-8")
    print(tables(record))


if __name__ == "__main__":
    main()
