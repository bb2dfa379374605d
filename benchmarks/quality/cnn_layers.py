"""What several layers and several crops of a network are worth on Flickr8k: CCA, settings chosen on val, test scored once.

    python benchmarks/quality/cnn_layers.py --root ../shared/data/flickr8k --weights ../shared/weights/mobilenet_v2_imagenet.pth

Rows: one layer or three joined; the picture alone, averaged with its mirror image, or five crops. Each row has its own
ridge, power and number of components, chosen on val as ``mmfeat bench`` chooses them.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from linear_search import TEXT_COMPONENTS, linear_rows

from mmfeat.cli._evaluate import Encoded
from mmfeat.cli._provenance import provenance
from mmfeat.cli._systems import text_encoder
from mmfeat.datasets import load_flickr8k
from mmfeat.encoding import PowerNormalizer
from mmfeat.image import CNNFeatures
from mmfeat.utils._markdown import markdown_table
from mmfeat.utils._pairs import split_pairs

SPLITS = ("train", "val", "test")
LAYERS = ["features.13", "features.17", "features.18"]
VIEWS = (("center", "squash"), ("flip", "squash"), ("five_crop", "crop"))
SEED = 0


def describe(arguments, parts, test_time, resize):
    """Average-pooled maps of three layers for each split, kept in a file."""
    kept = arguments.kept / f"{arguments.language}_{test_time}_{resize}_{arguments.precision}.npz"
    if not kept.exists():
        cnn = CNNFeatures(
            "mobilenet_v2",
            arguments.weights,
            LAYERS,
            test_time=test_time,
            resize=resize,
            precision=arguments.precision,
            verbose=True,
        )
        cnn.fit(parts["train"].images)
        views = {split: cnn.transform(part.images) for split, part in parts.items()}
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, names=cnn.get_feature_names_out().astype(str), **views)
    with np.load(kept) as found:
        return dict(found)


def compare(arguments):
    """Rows of the table."""
    parts = {split: split_pairs(load_flickr8k(arguments.root, split, arguments.language)) for split in SPLITS}
    encoder = text_encoder(parts["train"].texts, arguments.language, TEXT_COMPONENTS, SEED).fit(parts["train"].texts)
    texts = {split: encoder.transform(part.texts) for split, part in parts.items()}
    for test_time, resize in VIEWS:
        found = describe(arguments, parts, test_time, resize)
        for layers in (LAYERS[-1:], LAYERS):
            columns = [name.rpartition("_")[0] in layers for name in found["names"]]
            root = PowerNormalizer().fit(found["train"][:, columns])
            splits = [
                Encoded(root.transform(found[split][:, columns]), texts[split], parts[split].groups) for split in SPLITS
            ]
            row = next(linear_rows(*splits, quiet=True))
            yield {
                "views": f"{test_time}, {resize}",
                "layers": ", ".join(layer.removeprefix("features.") for layer in layers),
                **row,
            }
            print(row["settings"], round(row["val rsum"], 1), round(row["rsum"], 1), flush=True)


def main():
    """Write the record and the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of Flickr8k")
    parser.add_argument("--weights", type=Path, required=True, help="weights of MobileNetV2")
    parser.add_argument("--language", choices=("en", "zh"), default="en")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "auto"), default="float32")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results")
    parser.add_argument(
        "--kept", type=Path, default=Path(tempfile.gettempdir(), "mmfeat-cnn-layers"), help="folder for features"
    )
    arguments = parser.parse_args()
    rows = list(compare(arguments))
    chosen = max(rows, key=lambda row: row["val rsum"])
    record = {
        "data": "flickr8k",
        "language": arguments.language,
        "network": "mobilenet_v2",
        "precision": arguments.precision,
        "chosen_on": "val",
        "best_on_val": {name: chosen[name] for name in ("views", "layers", "val rsum", "rsum")},
        "gallery": {"images": 1000, "captions_per_image": 5},
        "results": rows,
        "seed": SEED,
        "provenance": provenance(),
    }
    name = arguments.out / f"cnn_layers_flickr8k_{arguments.language}"
    name.parent.mkdir(parents=True, exist_ok=True)
    name.with_suffix(".json").write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    shown = ["views", "layers", *[f"{way} R@{k}" for way in ("I→T", "T→I") for k in (1, 5, 10)], "rsum", "val rsum"]
    table = markdown_table([{key: row[key] for key in [*shown, "settings"]} for row in rows])
    text = (
        f"Flickr8k, captions in {arguments.language}, MobileNetV2 ({arguments.precision}), CCA with TF-IDF + LSA. Gallery: "
        f"1,000 test pictures, 5 captions each. Recall in %, settings of each row chosen on val.\n\n{table}\n"
    )
    name.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
