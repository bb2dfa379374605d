"""``mmfeat extract``: a folder or table of pictures becomes a file of features, in shards that survive a kill."""

import hashlib
import json
import shutil
import time
import warnings
from pathlib import Path

from mmfeat.caching._fingerprint import fingerprint
from mmfeat.cli._files import refuse_existing, whole_file
from mmfeat.cli._provenance import provenance
from mmfeat.cli._report import Report
from mmfeat.cli._shards import Shards, alone
from mmfeat.datasets import load_images
from mmfeat.datasets._resolve import SUFFIXES
from mmfeat.image import CNNFeatures
from mmfeat.utils._progress import progress

_KINDS = (".npy", ".parquet")


def run_extract(
    images,
    out,
    parameters,
    *,
    shard_rows=1024,
    root=None,
    image_column="image_id",
    encoding=None,
    force=False,
    quiet=False,
):
    """Describe pictures by a network and write the features.

    Parameters
    ----------
    images : path-like
        Folder, searched with all folders below it, or CSV table.
    out : path-like
        ``.npy`` (with the names of the pictures beside it, in ``.csv``), ``.parquet`` (with the names inside), or
        without an extension a folder of one ``.npy`` a shard. Settings and versions stand beside it in ``.json``.
    parameters : dict
        Of :class:`~mmfeat.image.CNNFeatures`.
    shard_rows : int, default=1024
        Pictures a shard.
    root : path-like or None, default=None
        Folder of the pictures of a table; None is the folder of the table.
    image_column : str, default="image_id"
    encoding : str or None, default=None
        Encoding of the table.
    force, quiet : bool, default=False

    Returns
    -------
    report : Report
    """
    out = Path(out)
    _check_output(out, force)
    ids, paths = _pictures(Path(images), root, image_column, encoding)
    encoder = CNNFeatures(**parameters, verbose=0 if quiet else 1).fit(paths)
    plan = _plan(encoder, ids, paths, shard_rows)
    names = list(encoder.get_feature_names_out())
    shards = Shards(_parts_of(out), plan, names, ids, out.suffix or ".npy")
    with alone(shards.folder):
        shards.begin(force)
        start = time.perf_counter()
        n_described, texts = _describe(encoder, shards, paths, quiet)
        seconds = time.perf_counter() - start
        unread = [ids[row] for row in shards.unread()]
        record = {
            "out": str(out),
            "images": len(ids),
            "columns": len(names),
            "images_described_now": n_described,
            "images_per_second": n_described / seconds if n_described else None,
            "unread": unread,
        }
        _finish(out, shards, {**plan, "parameters": parameters, "unread": unread, "provenance": provenance()})
    return Report(record, _text(record, seconds, texts))


def _check_output(out, force):
    if out.suffix not in (*_KINDS, ""):
        raise ValueError(
            f"--out must end in {' or '.join(_KINDS)}, or be a folder without an extension. Got '{out}' instead."
        )
    if out.suffix:
        # A run that was stopped while it finished has left the files beside the features.
        taken_up = _parts_of(out).exists()
        for path in [out] if taken_up else _files_of(out):
            refuse_existing(path, force)
        return
    if not out.parent.is_dir():
        raise FileNotFoundError(f"The folder {out.parent} does not exist. Create it, or name another folder.")
    if out.exists() and not (force and (out / "manifest.json").is_file()):
        cure = "Pass --force to replace it" if (out / "manifest.json").is_file() else "It is none of shards"
        raise FileExistsError(f"{out} exists. {cure}, or name another folder.")


def _parts_of(out):
    return out.with_name(out.name + ".parts")


def _files_of(out):
    """The file of features, and those beside it."""
    return [out, out.with_suffix(".json"), *([out.with_suffix(".csv")] if out.suffix == ".npy" else [])]


def _pictures(images, root, column, encoding):
    """Names and absolute paths of the pictures."""
    if not images.is_dir():
        table = load_images(images, images.parent if root is None else root, image=column, encoding=encoding)
        return list(table.index), list(table["image"])
    if root is not None:
        raise ValueError(f"--root is for the pictures of a table, but --images {images} is a folder. Leave it out.")
    found = sorted(path for path in images.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise ValueError(f"{images} holds no pictures ({', '.join(SUFFIXES)}). Name another folder.")
    return [path.relative_to(images).as_posix() for path in found], [str(path.absolute()) for path in found]


def _plan(encoder, ids, paths, shard_rows):
    """What must be the same when work is taken up: pictures, network, settings, versions."""
    pictures = hashlib.sha256()
    for name, path in zip(ids, paths, strict=True):
        status = Path(path).stat()
        pictures.update(f"{name}\0{status.st_size} {status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return {
        "rows": len(ids),
        "columns": int(encoder.n_features_out_),
        "shard_rows": shard_rows,
        "layers": list(encoder.layers_),
        "weights_sha256": encoder.weights_digest_,
        "pictures": pictures.hexdigest(),
        "network": fingerprint(encoder, state=False).hex(),
    }


def _describe(encoder, shards, paths, quiet):
    """Write the shards that are missing; return how many pictures that were, and what was told of unreadable ones."""
    missing = [(number, first, end) for number, first, end in shards.ranges() if not shards.path(number).exists()]
    total = sum(end - first for _, first, end in missing)
    texts: list = []
    with progress(total=total, desc="extract", unit="image", verbose=not quiet) as bar:
        for number, first, end in missing:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*could not be read", UserWarning)  # told at the end
                block = encoder.transform(paths[first:end])
            texts += [text.replace(f"image {row} ", f"image {first + row} ", 1) for row, _, text in encoder.errors_]
            shards.write(number, first, block)
            bar.update(end - first)
    return total, texts


def _finish(out, shards, record):
    """Put the output in its place, the features last, and remove the parts."""
    beside = out.with_suffix(".json") if out.suffix else shards.folder / "features.json"
    with whole_file(beside, True) as file:
        json.dump(record, file, ensure_ascii=False, indent=1)
    if out.suffix != ".parquet":
        shards.write_ids(out.with_suffix(".csv") if out.suffix else shards.folder / "images.csv")
    if out.suffix:
        shards.join(out)
        shutil.rmtree(shards.folder)
        return
    if out.exists():
        shutil.rmtree(out)
    shards.folder.rename(out)


def _text(record, seconds, texts):
    rate = record["images_per_second"]
    speed = f" in {seconds:.1f} s ({rate:.1f} images per second)" if rate else ""
    taken_up = record["images"] - record["images_described_now"]
    before = f"; {taken_up} were done before" if taken_up else ""
    lines = [
        f"{record['images_described_now']} pictures described by {record['columns']} features{speed}{before}. "
        f"Written: {record['out']}"
    ]
    if record["unread"]:
        lines.append(f"{len(record['unread'])} pictures could not be read, their rows are NaN:")
        lines += [f"  {text}" for text in texts[:10]] or [f"  {name}" for name in record["unread"][:10]]
    return "\n".join(lines)
