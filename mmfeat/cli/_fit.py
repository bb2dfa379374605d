"""``mmfeat fit``: a model file from a table of pairs."""

import time

from mmfeat.cli._files import refuse_existing
from mmfeat.cli._models import save_model
from mmfeat.cli._report import Report
from mmfeat.cli._systems import DEFAULT_NETWORK, guess_language, image_encoder, make_fusion, text_encoder
from mmfeat.datasets import load_pairs
from mmfeat.retrieval import Retriever
from mmfeat.utils._pairs import split_pairs

_TEXT_COMPONENTS = 300


def run_fit(
    pairs,
    images,
    out,
    *,
    language,
    fusion,
    weights,
    network,
    image_column,
    text_column,
    group,
    seed,
    encoding=None,
    force=False,
    quiet=False,
):
    """Fit a retriever on a table of pairs and write it to a file.

    Parameters
    ----------
    pairs, images, out : path-like
        Table, folder of the pictures, model file.
    language : {"auto", "en", "zh"}
    fusion : {"cca", "pls", "learned"}
    weights : path-like or None
        Weights of the network; None describes pictures by colour and gradients.
    network : str or None
        torchvision network that the weights belong to; None is mobilenet_v2.
    image_column, text_column : str
    group : bool
        Whether several rows may hold one picture.
    seed : int
    encoding : str or None, default=None
        Encoding of the table; None tells UTF-8 and GB18030 apart.
    force, quiet : bool, default=False

    Returns
    -------
    report : Report
    """
    refuse_existing(out, force)
    if network is not None and weights is None:
        raise ValueError(
            f"--network {network} needs --weights, the file of its weights. Name it, or leave out --network to describe "
            "pictures by colour and gradients."
        )
    network = network or DEFAULT_NETWORK
    table = load_pairs(pairs, images, image=image_column, text=text_column, group=True, encoding=encoding)
    if not group:
        _refuse_repeated(table, pairs)
    parts = split_pairs(table)
    language = guess_language(parts.texts) if language == "auto" else language
    start = time.perf_counter()
    retriever = Retriever(
        image_encoder(weights, network, verbose=not quiet),
        text_encoder(parts.texts, language, _TEXT_COMPONENTS, seed),
        make_fusion(fusion, seed, verbose=not quiet),
    ).fit(table)
    seconds = time.perf_counter() - start
    save_model(retriever, out, force)
    record = {
        "model": str(out),
        "images": len(parts.images),
        "texts": len(parts.texts),
        "language": language,
        "fusion": fusion,
        "image_features": "colour and gradients" if weights is None else network,
        "seconds": seconds,
    }
    text = (
        f"Learned from {record['images']} pictures and {record['texts']} sentences ({language}) in {seconds:.1f} s: "
        f"{record['image_features']}, {fusion}. Written: {out}"
    )
    return Report(record, text)


def _refuse_repeated(table, path):
    repeated = [name for name, texts in table["text"].items() if len(texts) > 1]
    if repeated:
        raise ValueError(
            f"{path} names {len(repeated)} pictures more than once, the first is {repeated[0]!r}. "
            "Pass --group to gather the captions of each picture, or drop the rows."
        )
