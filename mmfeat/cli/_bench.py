"""``mmfeat bench``: fusions compared on a data set or on a table of one's own."""

import contextlib
import tempfile
from pathlib import Path

import numpy as np

from mmfeat.caching import CachedTransformer
from mmfeat.cli._files import refuse_existing
from mmfeat.cli._provenance import provenance
from mmfeat.cli._report import Report
from mmfeat.cli._systems import DEFAULT_NETWORK, guess_language, image_encoder, text_encoder
from mmfeat.comparison import System, Together, compare
from mmfeat.comparison._comparison import CHARTS
from mmfeat.datasets import load_flickr8k, load_pairs, make_scenes
from mmfeat.fusion import CCA, PLS, DeepCCA, KernelCCA, LearnedProjection
from mmfeat.retrieval import HubnessCorrection
from mmfeat.utils._pairs import split_pairs

SPLITS = ("train", "val", "test")
_TEXT_COMPONENTS = 1000
_MIN_PAIRS = 70
# Of a table that comes without splits.
_VAL_SHARE, _TEST_SHARE = 0.15, 0.15


def bench_systems(n_columns):
    """The systems that the command compares, no wider than the features.

    Parameters
    ----------
    n_columns : int
        Columns of the narrower side.

    Returns
    -------
    systems : list of System and Together
    """
    widths = [width for width in (64, 150, 250) if width < n_columns] or [n_columns]
    ridges = [(on_images, on_texts) for on_images in (0.3, 1.0, 2.0, 4.0) for on_texts in (0.3, 1.0)]
    grid = {"n_components": widths, "reg": ridges}
    middle = widths[len(widths) // 2]
    learned = LearnedProjection(min(256, n_columns))
    names = ("CCA", "KernelCCA", "LearnedProjection (InfoNCE)", "LearnedProjection (SigLIP)")
    return [
        System("PLS", PLS(), {"n_components": widths}),
        System("CCA", CCA(), grid),
        System("CCA + CSLS", CCA(), grid, hubness=HubnessCorrection("csls")),
        System("KernelCCA", KernelCCA(middle, approximation="nystroem"), {"reg": [0.1, 0.3, 1.0]}),
        System("DeepCCA", DeepCCA(min(64, n_columns))),
        System("LearnedProjection (InfoNCE)", learned, {"dropout": [0.3, 0.5, 0.7]}),
        System(
            "LearnedProjection (SigLIP)", learned, {"loss": ["siglip"], "max_epochs": [8], "dropout": [0.3, 0.5, 0.7]}
        ),
        Together("all together", names),
    ]


def run_bench(
    data,
    root,
    language,
    weights,
    network,
    out,
    *,
    pairs=None,
    images=None,
    image_column="image_id",
    text_column="caption",
    encoding=None,
    systems=None,
    work=None,
    n_seeds,
    seed,
    pictures,
    force,
    quiet,
):
    """Compare fusions on one set of features.

    Parameters
    ----------
    data : {"flickr8k", "scenes", "csv"}
    root : path-like or None
        Folder of the data set.
    language : {"en", "zh"} or None
        None is English, and for a table what it looks like.
    weights : path-like or None
        Weights of the network; None describes pictures by colour and gradients.
    network : str or None
        torchvision network that the weights belong to; None is mobilenet_v2.
    out : path-like or None
        Folder for the record, the tables, the charts and the page; None writes none of them.
    pairs, images : path-like or None
        Table and folder of pictures, for "csv".
    image_column, text_column : str
    encoding : str or None
    systems : list of str or None
        Names of those to compare; None compares all.
    work : path-like or None
        Folder of what is kept between runs; None is one beside the results, or none without `out`.
    n_seeds, seed : int
    pictures : bool
        Embed small pictures into the page.
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
    if data == "csv":
        table = _table(pairs, images, image_column, text_column, encoding)
        language = language or guess_language(split_pairs(table).texts)
    else:
        language = language or "en"
    name = f"{data}_{language}_{features.replace(' ', '_')}"
    _refuse_out(out, name, force)
    splits = _split(table, seed) if data == "csv" else _splits(data, root, language, seed)
    if out is not None:
        # Before the work, so that a place that cannot be written to is told early; after all that may be refused.
        Path(out).mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if work is None:
            work = Path(out) / f"{name}.work" if out else stack.enter_context(tempfile.TemporaryDirectory())
        pixels = CachedTransformer(image_encoder(weights, network, verbose=not quiet), Path(work) / "pictures")
        texts = split_pairs(splits["train"]).texts
        words = text_encoder(texts, language, _TEXT_COMPONENTS, seed)
        chosen = _chosen(bench_systems(_columns(words)), systems)
        found = compare(
            chosen,
            splits,
            {features: pixels},
            {"TF-IDF": words},
            work=work,
            n_seeds=n_seeds,
            seed=seed,
            verbose=not quiet,
        )
        title = f"{data}, captions in {language}, {features}"
        details = {"data": data, "language": language, "image_features": features, "seed": seed, "n_seeds": n_seeds}
        record = {**details, **found.record(), "provenance": provenance()}
        text = found.markdown()
        if out is not None:
            more = {**details, **provenance()}
            files = found.save(out, name, title=title, pictures=pictures, provenance=more)
            record["files"] = [str(file) for file in files]
            text += f"\n\nWritten: {', '.join(record['files'])}"
    return Report(record, text)


def _refuse_out(out, name, force):
    if out is None:
        return
    out = Path(out)
    if out.is_file():
        raise NotADirectoryError(f"{out} is a file. Name a folder.")
    if out.exists():
        for ending in (".json", ".md", ".csv", ".html", *(f"_{chart}.svg" for chart in CHARTS)):
            refuse_existing(out / f"{name}{ending}", force)


def _chosen(systems, names):
    if not names:
        return systems
    known = {system.name: system for system in systems}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"--system {unknown[0]!r} is not known. Choose from {list(known)}.")
    chosen = [system for system in systems if system.name in names]
    for system in chosen:
        missing = [name for name in system.needs if name not in names]
        if missing:
            raise ValueError(f"--system {system.name!r} is built on {missing}. Name these as well.")
    return chosen


def _table(pairs, images, image_column, text_column, encoding):
    if pairs is None or images is None:
        raise ValueError("--data csv needs --pairs, the table, and --images, the folder of the pictures.")
    table = load_pairs(pairs, images, image=image_column, text=text_column, group=True, encoding=encoding)
    if len(table) < _MIN_PAIRS:
        raise ValueError(f"{pairs} names {len(table)} pictures; a comparison needs at least {_MIN_PAIRS}.")
    return table


def _splits(data, root, language, seed):
    if data == "flickr8k" and root is None:
        raise ValueError("The data set flickr8k needs --root, the folder that holds its captions and images.")
    return {split: _load(data, root, split, language, seed) for split in SPLITS}


def _load(data, root, split, language, seed):
    if data == "flickr8k":
        return load_flickr8k(root, split, language)
    sizes = {"train": slice(0, 2000), "val": slice(2000, 2500), "test": slice(2500, 3000)}
    return make_scenes(3000, language=language, random_state=seed)[sizes[split]]


def _split(table, seed):
    order = np.random.default_rng(seed).permutation(len(table))
    n_val, n_test = round(_VAL_SHARE * len(table)), round(_TEST_SHARE * len(table))
    places = {"val": order[:n_val], "test": order[n_val : n_val + n_test], "train": order[n_val + n_test :]}
    return {split: table.iloc[np.sort(places[split])] for split in SPLITS}


def _columns(words):
    """Columns of the sentences; pictures have more. Without a decomposition the table is tiny."""
    return words.named_steps["svd"].n_components if "svd" in words.named_steps else 2
