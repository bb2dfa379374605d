"""Options of ``mmfeat extract`` and ``mmfeat cache``."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from mmfeat.cli._options import Encoding, Force, ImageColumn, Json, Quiet
from mmfeat.cli._report import show

cache = typer.Typer(no_args_is_help=True, help="Look into a folder of cached features, check it, remove it.")

Location = Annotated[Path, typer.Option(help="Folder of the cache.")]


class OnError(str, Enum):
    """What happens to a picture that cannot be read."""

    stop = "raise"
    go_on = "warn"


def extract(
    images: Annotated[
        Path, typer.Option(help="Folder of pictures, or CSV with a column that names them.", exists=True)
    ],
    out: Annotated[
        Path, typer.Option(help="FEATURES.npy, FEATURES.parquet, or the name of a folder for one .npy a shard.")
    ],
    model: Annotated[str, typer.Option(help="Network: a name of torchvision, or timm/NAME.")] = "resnet18",
    weights: Annotated[
        str, typer.Option(help="File of its weights (.pth or .safetensors), or the name of published ones.")
    ] = "DEFAULT",
    layer: Annotated[list[str] | None, typer.Option(help="Layer to read; again for more than one.")] = None,
    pooling: Annotated[str, typer.Option(help="What becomes of the places of a map.")] = "avg",
    test_time: Annotated[str, typer.Option(help="Views of a picture that are averaged.")] = "center",
    resize: Annotated[str, typer.Option(help="Crop the centre, or squash the whole picture.")] = "crop",
    precision: Annotated[str, typer.Option(help="Arithmetic of the network.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures that pass the network at once.")] = 32,
    on_error: Annotated[
        OnError, typer.Option(help="Stop at a picture that cannot be read, or give it a row of NaN.")
    ] = OnError.stop,
    shard_rows: Annotated[int, typer.Option(min=1, help="Pictures that are described before they are written.")] = 1024,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the pictures that a CSV names.", show_default="the CSV's own")
    ] = None,
    image_column: ImageColumn = "image_id",
    encoding: Encoding = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Describe pictures by a network; what a run that was stopped has done is kept, and taken up by the next."""
    from mmfeat.cli._extract import run_extract

    parameters = {
        "model": model,
        "weights": weights,
        "layer": layer or None,
        "pooling": pooling,
        "test_time": test_time,
        "resize": resize,
        "precision": precision,
        "device": device,
        "batch_size": batch_size,
        "on_error": on_error.value,
    }
    result = run_extract(
        images,
        out,
        parameters,
        shard_rows=shard_rows,
        root=root,
        image_column=image_column,
        encoding=encoding,
        force=force,
        quiet=quiet or as_json,
    )
    show(result, as_json, quiet)


@cache.command()
def info(location: Location, quiet: Quiet = False, as_json: Json = False):
    """Tell how many rows there are, of which transformers, and how much room they take."""
    from mmfeat.cli._cache import run_info

    show(run_info(location), as_json, quiet)


@cache.command()
def verify(
    location: Location,
    repair: Annotated[bool, typer.Option("--repair", help="Drop damaged rows, which are then computed again.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Check each row against its checksum; the exit code is 1 if any fails."""
    from mmfeat.cli._cache import run_verify

    report = run_verify(location, repair)
    show(report, as_json, quiet)
    if report.record["damaged"] and not repair:
        raise typer.Exit(1)


@cache.command()
def clear(location: Location, quiet: Quiet = False, as_json: Json = False):
    """Remove all rows; other files in the folder stay."""
    from mmfeat.cli._cache import run_clear

    show(run_clear(location), as_json, quiet)
