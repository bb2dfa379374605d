"""CCA that chooses its settings by itself against an exhaustive grid search: score and cost.

Wikipedia: both scored by 5-fold cross-validation on the training split. Flickr8k: fitted on train, scored on val, on which
the grid is also chosen, so that the comparison favours the grid. The test splits are not touched.

    python benchmarks/quality/auto_ridge.py --wikipedia ../shared/data/wikipedia --flickr8k ../shared/data/flickr8k
        --weights ../shared/weights/mobilenet_v2_imagenet.pth --out benchmarks/results
"""

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from linear_search import COMPONENTS, POWERS, RIDGES, cut
from sklearn.model_selection import StratifiedKFold
from wikipedia import N_FOLDS, SEED, both_maps, search_linear

from mmfeat.cli._evaluate import Encoded, scores_of
from mmfeat.cli._provenance import provenance
from mmfeat.cli._systems import image_encoder, text_encoder
from mmfeat.datasets import load_flickr8k, load_wikipedia
from mmfeat.fusion import CCA
from mmfeat.utils._pairs import split_pairs


def on_wikipedia(root):
    """Average mAP in cross-validation of the best of the grid and of what chooses by itself within each fold."""
    train = load_wikipedia(root, "train")
    score, _ = search_linear("CCA", train)
    without, automatic = cross_validated(train, None), cross_validated(train, train.labels)
    return {
        "score": "average mAP, 5 folds of train; the grid is chosen by them, auto within each by the labels of its rows",
        "grid": score,
        "auto": automatic,
        "auto_share_of_grid": automatic / score,
        "auto_without_labels": without,
        **cost(lambda reg: CCA(9, reg=reg).fit(train.images, train.texts, labels=train.labels)),
    }


def cross_validated(data, labels):
    """Average mAP over the folds that the grid is scored on."""
    scores = []
    for train, test in StratifiedKFold(N_FOLDS, shuffle=True, random_state=SEED).split(data.images, data.labels):
        more = {} if labels is None else {"labels": labels[train]}
        fusion = CCA(9, reg="auto").fit(data.images[train], data.texts[train], **more)
        embedded = fusion.transform(data.images[test]), fusion.transform_y(data.texts[test])
        scores.append(np.mean(both_maps(*embedded, data.labels[test])))
    return float(np.mean(scores))


def encoded_flickr8k(root, weights, kept):
    """Encoded train and val of both languages, taken from the file `kept` where it is there."""
    if not kept.exists():
        views = {}
        for language in ("en", "zh"):
            pairs = {split: load_flickr8k(root, split, language) for split in ("train", "val")}
            parts = {split: split_pairs(table) for split, table in pairs.items()}
            texts = text_encoder(parts["train"].texts, language, 1000, SEED).fit(parts["train"].texts)
            images = image_encoder(weights).fit(parts["train"].images)
            for split, part in parts.items():
                if f"img_{split}" not in views:
                    views[f"img_{split}"] = images.transform(part.images)
                views[f"txt_{language}_{split}"] = texts.transform(part.texts)
                views[f"g_{language}_{split}"] = part.groups
        np.savez(kept, **views)
    views = np.load(kept)
    return {
        language: [
            Encoded(views[f"img_{split}"], views[f"txt_{language}_{split}"], views[f"g_{language}_{split}"])
            for split in ("train", "val")
        ]
        for language in ("en", "zh")
    }


def on_flickr8k(train, val):
    """rsum on val of the best of the grid, chosen there, and of what chooses by itself on train."""
    best = {"rsum": 0.0}
    for regs in itertools.product(RIDGES, RIDGES):
        fusion = train.fit(CCA(COMPONENTS[-1], reg=regs))
        for power in POWERS:
            embedded = val.embed(fusion.set_params(power=power))
            for n in COMPONENTS:
                rsum = scores_of(cut(embedded, n))["rsum"]
                best = max(
                    best, {"rsum": rsum, "reg": regs, "power": power, "n_components": n}, key=lambda r: r["rsum"]
                )
    chosen = train.fit(CCA(COMPONENTS[-1], reg="auto"))
    rsum = scores_of(val.embed(chosen))["rsum"]
    return {
        "score": "rsum on val, on which the grid is chosen",
        "grid": best["rsum"],
        "auto": rsum,
        "auto_share_of_grid": rsum / best["rsum"],
        "grid_settings": best,
        "auto_settings": {"reg": chosen.reg_, "power": chosen.power_, "n_components": chosen.n_components_},
        **cost(lambda reg: train.fit(CCA(COMPONENTS[-1], reg=reg))),
    }


def cost(fit):
    """Median seconds of a fit and of one that chooses by itself, in turn."""
    taken = {0.5: [], "auto": []}
    for _ in range(5):
        for reg, seconds in taken.items():
            start = time.perf_counter()
            fit(reg)
            seconds.append(time.perf_counter() - start)
    one, automatic = np.median(taken[0.5]), np.median(taken["auto"])
    return {"fit_seconds": one, "auto_seconds": automatic, "auto_in_fits": automatic / one}


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wikipedia", type=Path, required=True)
    parser.add_argument("--flickr8k", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument(
        "--kept", type=Path, default=Path(tempfile.gettempdir()) / "mmfeat_flickr8k.npz", help="encoded views"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    record = {"wikipedia": on_wikipedia(arguments.wikipedia)}
    for language, views in encoded_flickr8k(arguments.flickr8k, arguments.weights, arguments.kept).items():
        record[f"flickr8k_{language}"] = on_flickr8k(*views)
    text = json.dumps({"results": record, "seed": SEED, "provenance": provenance()}, indent=1, ensure_ascii=False)
    (arguments.out / "auto_ridge.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
