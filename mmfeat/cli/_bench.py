"""``mmfeat bench``: fusions compared on a data set, settings chosen on its validation split."""

import json
import time
from itertools import product
from pathlib import Path

import numpy as np

from mmfeat.cli._evaluate import Encoded, chance, encode_pairs, scores_of
from mmfeat.cli._files import refuse_existing, whole_file
from mmfeat.cli._provenance import provenance
from mmfeat.cli._report import Report, markdown_table
from mmfeat.cli._systems import DEFAULT_NETWORK, image_encoder, text_encoder
from mmfeat.datasets import load_flickr8k, make_scenes
from mmfeat.fusion import CCA, PLS, LearnedProjection
from mmfeat.utils._pairs import split_pairs
from mmfeat.utils._progress import progress

_SPLITS = ("train", "val", "test")
_TEXT_COMPONENTS = 1000
_COMPONENTS = (64, 100, 150, 200, 300)
_RIDGES = (0.3, 1.0, 2.0, 4.0)
_POWERS = (0.5, 1.0, 1.5)
_LEARNED = (
    {"loss": "infonce", "dropout": 0.3},
    {"loss": "infonce", "dropout": 0.5},
    {"loss": "infonce", "dropout": 0.7},
    {"loss": "triplet", "dropout": 0.5},
    {"loss": "infonce", "dropout": 0.5, "init": "random", "hidden": (1024,), "learning_rate": 1e-3},
)


def run_bench(data, root, language, weights, network, out, *, n_seeds, seed, force, quiet):
    """Compare CCA, PLS and a learned projection on one set of features.

    Parameters
    ----------
    data : {"flickr8k", "scenes"}
    root : path-like or None
        Folder of the data set.
    language : {"en", "zh"}
    weights : path-like or None
        Weights of the network; None describes pictures by colour and gradients.
    network : str or None
        torchvision network that the weights belong to; None is mobilenet_v2.
    out : path-like or None
        Folder for the JSON record and the Markdown table; None writes neither.
    n_seeds : int
        Seeds of the learned projection, beginning with `seed`.
    seed : int
    force, quiet : bool

    Returns
    -------
    report : Report
    """
    if network is not None and weights is None:
        raise ValueError(
            f"--network {network} needs --weights, the file of its weights. Name it, or leave out --network to describe "
            "pictures by colour and gradients."
        )
    network = network or DEFAULT_NETWORK
    features = "colour and gradients" if weights is None else network
    name = f"{data}_{language}_{features.replace(' ', '_')}"
    files = [] if out is None else [Path(out) / f"{name}.json", Path(out) / f"{name}.md"]
    if out is not None and Path(out).is_file():
        raise NotADirectoryError(f"{out} is a file. Name a folder.")
    if out is not None and Path(out).exists():
        for file in files:
            refuse_existing(file, force)
    splits = {split: _load(data, root, split, language, seed) for split in _SPLITS}
    if out is not None:
        # Before the work, so that a place that cannot be written to is told early; after all that may be refused.
        Path(out).mkdir(parents=True, exist_ok=True)
    train, val, test, seconds = _encode(splits, weights, network, language, seed, quiet)
    rows = [
        *_linear_rows(train, val, test, quiet),
        *_learned_rows(train, val, test, range(seed, seed + n_seeds), quiet),
        {"system": "chance", "settings": "", **chance(test), "seconds": None},
    ]
    record = {
        "data": data,
        "language": language,
        "image_features": features,
        "split_sizes": {split: len(pairs) for split, pairs in splits.items()},
        "gallery": {"images": len(test.images), "texts": len(test.groups)},
        "chosen_on": "val",
        "encoding_seconds": seconds,
        "results": rows,
        "seed": seed,
        "n_seeds": n_seeds,
        "provenance": provenance(),
    }
    text = _describe(record)
    for file, content in zip(files, (json.dumps(record, ensure_ascii=False, indent=1), text), strict=False):
        with whole_file(file, force) as handle:
            handle.write(content + "\n")
    return Report(record, text)


def _load(data, root, split, language, seed):
    if data == "flickr8k":
        if root is None:
            raise ValueError("The data set flickr8k needs --root, the folder that holds its captions and images.")
        return load_flickr8k(root, split, language)
    sizes = {"train": slice(0, 2000), "val": slice(2000, 2500), "test": slice(2500, 3000)}
    return make_scenes(3000, language=language, random_state=seed)[sizes[split]]


def _encode(splits, weights, network, language, seed, quiet):
    start = time.perf_counter()
    texts = split_pairs(splits["train"]).texts
    encoders = (
        image_encoder(weights, network, verbose=not quiet),
        text_encoder(texts, language, _TEXT_COMPONENTS, seed),
    )
    encoded = [encode_pairs(*encoders, splits["train"], fit=True)]
    encoded += [encode_pairs(*encoders, splits[split]) for split in _SPLITS[1:]]
    return *encoded, time.perf_counter() - start


def _linear_rows(train, val, test, quiet):
    """CCA and PLS, each with the settings of the highest rsum on val; ties go to the first of the grid."""
    widest = min(*train.images.shape, *train.texts.shape)
    widths = [n for n in _COMPONENTS if n <= widest] or [widest]
    candidates = [("CCA", {"reg": regs}) for regs in product(_RIDGES, _RIDGES)] + [("PLS", {})]
    best: dict = {}
    for name, settings in progress(candidates, desc="CCA and PLS", unit="fit", verbose=not quiet):
        fusion = CCA(widths[-1], **settings) if name == "CCA" else PLS(widths[-1])
        start = time.perf_counter()
        train.fit(fusion)
        seconds = time.perf_counter() - start
        for power in _POWERS if name == "CCA" else (None,):
            if power is not None:
                fusion.set_params(power=power)
                settings = {**settings, "power": power}
            embedded = val.embed(fusion)
            for n_components in widths:
                rsum = scores_of(_cut(embedded, n_components))["rsum"]
                if name not in best or rsum > best[name][0]:
                    best[name] = rsum, {"n_components": n_components, **settings}, seconds
    for name, (rsum, settings, seconds) in best.items():
        fusion = train.fit({"CCA": CCA, "PLS": PLS}[name](**settings))
        yield {
            "system": name,
            "settings": _words(settings),
            **scores_of(test.embed(fusion)),
            "val rsum": rsum,
            "seconds": seconds,
        }


def _learned_rows(train, val, test, seeds, quiet):
    """The learned projection with the settings of the highest rsum on val, then over all seeds, mean and spread."""
    trials = []
    for settings in progress(_LEARNED, desc="LearnedProjection", unit="fit", verbose=not quiet):
        fusion = train.fit(LearnedProjection(**settings, random_state=seeds[0]))
        trials.append((scores_of(val.embed(fusion))["rsum"], settings))
    _, settings = max(trials, key=lambda trial: trial[0])
    rows, val_rsums, seconds = [], [], []
    for seed in progress(seeds, desc="seeds", unit="fit", verbose=not quiet):
        start = time.perf_counter()
        fusion = train.fit(LearnedProjection(**settings, random_state=seed))
        seconds.append(time.perf_counter() - start)
        rows.append(scores_of(test.embed(fusion)))
        val_rsums.append(scores_of(val.embed(fusion))["rsum"])
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    yield {
        "system": "LearnedProjection",
        "settings": _words(settings),
        **mean,
        "rsum std": float(np.std([row["rsum"] for row in rows])),
        "val rsum": float(np.mean(val_rsums)),
        "seconds": float(np.median(seconds)),
    }


def _cut(embedded, n_components):
    return Encoded(embedded.images[:, :n_components], embedded.texts[:, :n_components], embedded.groups)


def _words(settings):
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _describe(record):
    columns = ["system", "settings", *[f"{way} R@{k}" for way in ("I→T", "T→I") for k in (1, 5, 10)]]
    columns += ["rsum", "rsum std", "I→T median", "T→I median", "val rsum", "seconds"]
    table = markdown_table([{name: row.get(name) for name in columns} for row in record["results"]])
    gallery, sizes = record["gallery"], record["split_sizes"]
    return (
        f"{record['data']}, captions in {record['language']}, picture features: {record['image_features']}; "
        f"{sizes['train']}/{sizes['val']}/{sizes['test']} pictures to train, validate and test. Gallery: {gallery['images']} "
        f"pictures, {gallery['texts']} sentences. Recall in %, settings chosen on val, seconds of one fit; "
        f"LearnedProjection is the mean of {record['n_seeds']} seeds.\n\n{table}"
    )
