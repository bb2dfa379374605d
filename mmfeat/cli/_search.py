"""``mmfeat search``: the best answers to a table of queries."""

import csv
from collections import Counter
from pathlib import PurePath

import numpy as np
from scipy import sparse

from mmfeat.cli._files import refuse_existing, whole_file
from mmfeat.cli._models import load_model, load_towers, set_verbose
from mmfeat.cli._report import Report
from mmfeat.datasets import load_images, load_texts, read_table
from mmfeat.datasets._resolve import SUFFIXES
from mmfeat.metrics import rank_embeddings, recall_at_k
from mmfeat.retrieval import EmbeddingIndex

_KS = (1, 5, 10)


def run_search(
    model,
    queries,
    gallery,
    images,
    out,
    k,
    *,
    truth,
    columns,
    weights=None,
    pretrained=None,
    encoding=None,
    force=False,
    quiet=False,
):
    """Answer each query with the `k` most similar items of the gallery.

    Parameters
    ----------
    model, queries, gallery, images, out : path-like
        Model file (None with `pretrained`), two tables, folder of the pictures, table to write.
    k : int
    truth : path-like or None
        Table of right pairs, with the columns that name the picture and the sentence.
    columns : tuple of (str, str, str)
        Names of the columns with the picture, the sentence, and the name of the sentence.
    weights : path-like or None, default=None
        Where the weights of the model's network are now, if they were moved.
    pretrained : str or None, default=None
        Folder or hub name of a two-tower model, to be used as it is instead of a model file.
    encoding : str or None, default=None
        Encoding of the tables; None tells UTF-8 and GB18030 apart.
    force, quiet : bool, default=False

    Returns
    -------
    report : Report
    """
    # All that can be refused without the model is refused before it is loaded; the table is written last of all.
    _check_choice(model, pretrained, weights)
    refuse_existing(out, force)
    image_column, text_column, id_column = columns
    names = {"sentence": id_column, "picture": image_column}
    kinds = _kinds_of(queries, gallery, columns, encoding)
    tables = [
        load_texts(path, id=id_column, text=text_column, encoding=encoding)
        if kind == "sentence"
        else load_images(path, images, image=image_column, encoding=encoding)
        for path, kind in zip((queries, gallery), kinds, strict=True)
    ]
    ids = [table.index.to_numpy(dtype=str) for table in tables]
    if k > len(ids[1]):
        raise ValueError(f"-k must be at most the size of the gallery, {len(ids[1])}. Got {k} instead. Reduce it.")
    relevance = None if truth is None else _relevance(truth, kinds, names, ids, encoding)

    retriever = load_model(model, weights) if pretrained is None else load_towers(pretrained)
    set_verbose(retriever, not quiet)
    embedded = [
        retriever.encode_text(table["text"]) if kind == "sentence" else retriever.encode_image(table["image"])
        for table, kind in zip(tables, kinds, strict=True)
    ]
    _, found = EmbeddingIndex(embedded[1], ids=ids[1]).search(embedded[0], k=k)
    record = {"out": str(out), "queries": len(ids[0]), "gallery": len(ids[1]), "k": k, "answers": kinds[1] + "s"}
    text = f"{len(ids[0])} {kinds[0]}s answered by {k} of {len(ids[1])} {kinds[1]}s each. Written: {out}"
    if relevance is not None:
        known = np.flatnonzero(np.diff(relevance.indptr))
        ranks = rank_embeddings(embedded[0][known], embedded[1], relevance=relevance[known])
        record["recall"] = {at: recall_at_k(ranks, k=at) for at in _KS if at <= ranks.n_gallery}
        record["n_queries_with_truth"] = len(known)
        told = ", ".join(f"R@{at} {100 * value:.1f} %" for at, value in record["recall"].items())
        text += f"\n{told} over {len(known)} of {len(ids[0])} queries (gallery of {len(ids[1])})"
    _write(out, ids[0], found, names[kinds[0]], names[kinds[1]], force)
    return Report(record, text)


def _check_choice(model, pretrained, weights):
    if (model is None) == (pretrained is None):
        got = "neither" if model is None else "both"
        raise ValueError(f"Name either --model FILE, as `mmfeat fit` writes, or --pretrained FOLDER. Got {got}.")
    if pretrained is not None and weights is not None:
        raise ValueError("--weights belongs to --model; a pretrained model has its own. Leave out --weights.")


def _kinds_of(queries, gallery, columns, encoding):
    """What each of the two tables holds, "sentence" or "picture", so that they differ."""
    image_column, text_column, id_column = columns
    fitting = [_fitting(path, columns, encoding) for path in (queries, gallery)]
    choices = [(ours, theirs) for ours in fitting[0] for theirs in fitting[1] if ours != theirs]
    if not choices:
        raise ValueError(
            f"{queries} and {gallery} both hold {fitting[0][0]}s. One must hold pictures (column {image_column!r}), the other "
            f"sentences (columns {id_column!r} and {text_column!r})."
        )
    if len(choices) > 1:
        raise ValueError(
            f"{queries} and {gallery} both hold pictures and sentences. Take the column {image_column!r} out of the one that "
            f"stands for sentences, or {text_column!r} out of the other."
        )
    return choices[0]


def _fitting(path, columns, encoding):
    """Kinds that the columns of a table allow: a table of pairs that names its sentences may be taken for either."""
    image_column, text_column, id_column = columns
    found = list(read_table(path, encoding=encoding).columns)
    kinds = []
    if text_column in found and id_column in found:
        kinds.append("sentence")
    if image_column in found:
        kinds.append("picture")
    if not kinds:
        raise ValueError(
            f"{path} has neither a column {text_column!r} of sentences with a column {id_column!r} that names them, nor a "
            f"column {image_column!r} of pictures. Found {found}. "
            "Name the columns with --text-column, --id-column and --image-column."
        )
    return kinds


def _write(out, query_ids, found, query_name, answer_name, force):
    with whole_file(out, force) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([query_name, "similarity_ranking", f"result_{answer_name}"])
        for query, answers in zip(query_ids, found, strict=True):
            writer.writerows([query, place, answer] for place, answer in enumerate(answers, start=1))


def _relevance(truth, kinds, names, ids, encoding):
    """Which items answer which queries, as a sparse matrix of queries by gallery; many queries may have no answer."""
    table = read_table(truth, encoding=encoding)
    for name in (names[kind] for kind in kinds):
        if name not in table.columns:
            raise ValueError(f"{truth} has no column {name!r}. Found {list(table.columns)}.")
    found = [
        [find(cell.strip()) for cell in table[names[kind]]]
        for kind, find in zip(kinds, map(_finder, ids, kinds), strict=True)
    ]
    pairs = {pair for pair in zip(*found, strict=True) if None not in pair}
    if not pairs:
        raise ValueError(
            f"{truth} names no right answer in the gallery to any of the {len(ids[0])} queries. "
            f"Its ids must be those of the two tables, such as {ids[0][0]!r} and {ids[1][0]!r}."
        )
    rows, places = zip(*pairs, strict=True)
    return sparse.csr_array((np.ones(len(pairs)), (rows, places)), shape=(len(ids[0]), len(ids[1])))


def _finder(ids, kind):
    """Function from an id to its row or None; of a picture's name either side may leave out the extension."""
    rows = {name: row for row, name in enumerate(ids)}
    if kind == "sentence":
        return rows.get
    stems = Counter(map(_stem, ids))
    # A stem that two pictures share names neither.
    bare = {_stem(name): row for name, row in rows.items() if stems[_stem(name)] == 1}

    def find(name):
        if name in rows:
            return rows[name]
        return bare.get(name) if _stem(name) == name else rows.get(_stem(name))

    return find


def _stem(name):
    suffix = PurePath(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in SUFFIXES else name
