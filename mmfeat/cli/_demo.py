"""``mmfeat demo``: the whole way from rendered scenes to a table and pictures."""

import csv
import time
from pathlib import Path

import numpy as np

from mmfeat.cli._evaluate import chance, encode_pairs, scores_of
from mmfeat.cli._files import refuse_existing, whole_file
from mmfeat.cli._pictures import draw_bars, draw_grid
from mmfeat.cli._provenance import provenance
from mmfeat.cli._report import Report
from mmfeat.cli._systems import image_encoder, text_encoder
from mmfeat.datasets import make_scenes
from mmfeat.fusion import CCA, PLS, LearnedProjection
from mmfeat.retrieval import EmbeddingIndex
from mmfeat.utils._markdown import markdown_table
from mmfeat.utils._pairs import split_pairs
from mmfeat.utils._progress import progress

_TEST_SHARE = 0.2
_QUERIES = 6
_SHOWN = 5


def run_demo(out, language, n_samples, seed, *, force, quiet):
    """Compare three fusions on rendered scenes and draw what the first finds.

    Parameters
    ----------
    out : path-like
        Folder to make.
    language : {"en", "zh"}
    n_samples : int
        Number of scenes; a fifth of them is the test gallery.
    seed : int
    force, quiet : bool

    Returns
    -------
    report : Report
    """
    out = Path(out)
    files = {name: out / name for name in ("results.csv", "recall.png", "pictures.png")}
    if out.is_file():
        raise NotADirectoryError(f"{out} is a file. Name a folder.")
    if out.exists():
        for file in files.values():
            refuse_existing(file, force)
    out.mkdir(parents=True, exist_ok=True)

    with progress(total=5, desc="demo", unit="step", verbose=not quiet) as bar:
        pairs = make_scenes(n_samples, language=language, random_state=seed)
        n_test = round(n_samples * _TEST_SHARE)
        train_pairs, test_pairs = pairs[:-n_test], pairs[-n_test:]
        bar.update()
        start = time.perf_counter()
        encoders = image_encoder(), text_encoder(split_pairs(train_pairs).texts, language, 100, seed)
        train = encode_pairs(*encoders, train_pairs, fit=True)
        test = encode_pairs(*encoders, test_pairs)
        encoding_seconds = time.perf_counter() - start
        bar.update()
        systems = {
            "CCA": CCA(64),
            "PLS": PLS(64),
            "LearnedProjection": LearnedProjection(128, max_epochs=20, random_state=seed),
        }
        embedded, rows = {}, []
        for name, fusion in systems.items():
            start = time.perf_counter()
            embedded[name] = test.embed(train.fit(fusion))
            rows.append({"system": name, **scores_of(embedded[name]), "seconds": time.perf_counter() - start})
            bar.update()
    rows.append({"system": "chance", **chance(test), "seconds": None})
    _write_table(files["results.csv"], rows, force)
    draw_bars(rows, files["recall.png"], force)
    _draw_answers(embedded["CCA"], test_pairs, files["pictures.png"], force)

    gallery = f"{len(test.images)} pictures, {len(test.groups)} sentences"
    record = {
        "data": f"rendered scenes, {language}",
        "train_images": len(train.images),
        "gallery": gallery,
        "encoding_seconds": encoding_seconds,
        "results": rows,
        "seed": seed,
        "files": [str(file) for file in files.values()],
        "provenance": provenance(),
    }
    text = (
        f"Rendered scenes ({language}), {len(train.images)} to learn from; gallery: {gallery}. Recall in %, seconds to fit.\n\n"
        f"{markdown_table(rows)}\n\nWritten: {', '.join(record['files'])}"
    )
    return Report(record, text)


def _write_table(path, rows, force):
    with whole_file(path, force) as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows)


def _draw_answers(embedded, pairs, path, force):
    """The first pictures that CCA finds for one sentence of each of a few scenes."""
    parts = split_pairs(pairs)
    chosen = [
        int(np.flatnonzero(parts.groups == row)[0]) for row in np.linspace(0, len(pairs) - 1, _QUERIES).astype(int)
    ]
    _, found = EmbeddingIndex(embedded.images).search(embedded.texts[chosen], k=_SHOWN)
    answers = [
        (parts.texts[text], [(parts.images[item], bool(item == parts.groups[text])) for item in items])
        for text, items in zip(chosen, found, strict=True)
    ]
    draw_grid(answers, path, force)
