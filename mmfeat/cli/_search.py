"""``mmfeat search``: the best answers to a table of queries."""

import csv

import numpy as np

from mmfeat.cli._files import refuse_existing, whole_file
from mmfeat.cli._models import load_model
from mmfeat.cli._report import Report
from mmfeat.datasets import load_images, load_texts, read_table
from mmfeat.metrics import rank_embeddings, recall_at_k
from mmfeat.retrieval import EmbeddingIndex

_KS = (1, 5, 10)


def run_search(model, queries, gallery, images, out, k, *, truth, columns, force, quiet):
    """Answer each query with the `k` most similar items of the gallery.

    Parameters
    ----------
    model, queries, gallery, images, out : path-like
        Model file, two tables, folder of the pictures, table to write.
    k : int
    truth : path-like or None
        Table of right pairs, with the columns that name the picture and the sentence.
    columns : tuple of (str, str, str)
        Names of the columns with the picture, the sentence, and the name of the sentence.
    force, quiet : bool

    Returns
    -------
    report : Report
    """
    refuse_existing(out, force)
    image_column, text_column, id_column = columns
    kinds = [_kind(path, image_column, text_column) for path in (queries, gallery)]
    if kinds[0] == kinds[1]:
        raise ValueError(
            f"{queries} and {gallery} both hold {kinds[0]}s. One must hold pictures (column {image_column!r}), the other "
            f"sentences (column {text_column!r})."
        )
    retriever = load_model(model)
    embedded, ids = [], []
    for path, kind in zip((queries, gallery), kinds, strict=True):
        if kind == "sentence":
            table = load_texts(path, id=id_column, text=text_column)
            embedded.append(retriever.encode_text(table["text"]))
        else:
            table = load_images(path, images, image=image_column)
            embedded.append(retriever.encode_image(table["image"]))
        ids.append(table.index.to_numpy(dtype=str))
    _, found = EmbeddingIndex(embedded[1], ids=ids[1]).search(embedded[0], k=k)
    names = {"sentence": id_column, "picture": image_column}
    _write(out, ids[0], found, names[kinds[0]], names[kinds[1]], force)
    record = {"out": str(out), "queries": len(ids[0]), "gallery": len(ids[1]), "k": k, "answers": kinds[1] + "s"}
    text = f"{len(ids[0])} {kinds[0]}s answered by {k} of {len(ids[1])} {kinds[1]}s each. Written: {out}"
    if truth is not None:
        record["recall"] = _recalls(truth, names[kinds[0]], names[kinds[1]], ids, embedded)
        told = ", ".join(f"R@{at} {100 * value:.1f} %" for at, value in record["recall"].items())
        text += f"\n{told} (gallery of {len(ids[1])})"
    return Report(record, text)


def _kind(path, image_column, text_column):
    columns = list(read_table(path).columns)
    if text_column in columns:
        return "sentence"
    if image_column in columns:
        return "picture"
    raise ValueError(
        f"{path} has neither a column {text_column!r} of sentences nor a column {image_column!r} of pictures. Found {columns}. "
        "Name the columns with --text-column and --image-column."
    )


def _write(out, query_ids, found, query_name, answer_name, force):
    with whole_file(out, force) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([query_name, "similarity_ranking", f"result_{answer_name}"])
        for query, answers in zip(query_ids, found, strict=True):
            writer.writerows([query, place, answer] for place, answer in enumerate(answers, start=1))


def _recalls(truth, query_name, answer_name, ids, embedded):
    """Recalls over the queries whose right answer the truth names."""
    table = read_table(truth)
    missing = [name for name in (query_name, answer_name) if name not in table.columns]
    if missing:
        raise ValueError(f"{truth} has no column {missing[0]!r}. Found {list(table.columns)}.")
    places = {name: place for place, name in enumerate(ids[1])}
    rows = {name: row for row, name in enumerate(ids[0])}
    relevance = np.zeros((len(ids[0]), len(ids[1])))
    for query, answer in zip(table[query_name], table[answer_name], strict=True):
        if query in rows and answer in places:
            relevance[rows[query], places[answer]] = 1
    known = relevance.any(axis=1)
    if not known.any():
        raise ValueError(f"{truth} names no right answer in the gallery to any of the {len(ids[0])} queries.")
    ranks = rank_embeddings(embedded[0][known], embedded[1], relevance[known])
    return {k: recall_at_k(ranks, k=k) for k in _KS if k <= ranks.n_gallery}
