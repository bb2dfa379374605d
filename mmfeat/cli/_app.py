"""Options of the command; what each subcommand does stands in a file of its own."""

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

import mmfeat
from mmfeat.cli._feature_commands import cache, extract
from mmfeat.cli._options import Encoding, Force, ImageColumn, Json, Quiet
from mmfeat.cli._report import show


class Language(str, Enum):
    """Languages of texts."""

    en = "en"
    zh = "zh"


class AnyLanguage(str, Enum):
    """Languages of texts, or the one that the texts look like."""

    auto = "auto"
    en = "en"
    zh = "zh"


class Fusion(str, Enum):
    """Fusions to choose from."""

    cca = "cca"
    pls = "pls"
    learned = "learned"


class Data(str, Enum):
    """Data sets, or a table of one's own."""

    flickr8k = "flickr8k"
    scenes = "scenes"
    csv = "csv"


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find pictures by sentences and sentences by pictures.",
)

Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Weights = Annotated[
    Path | None, typer.Option(help="Weights of the network (.pth or .safetensors).", exists=True, dir_okay=False)
]
Network = Annotated[
    str | None, typer.Option(help="torchvision network that --weights belongs to.", show_default="mobilenet_v2")
]
TextColumn = Annotated[str, typer.Option(help="Column that holds the sentence.")]


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False):
    if version:
        print(f"mmfeat {mmfeat.__version__}")
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the table and the pictures.")] = Path("demo"),
    language: Annotated[Language, typer.Option(help="Language of the captions.")] = Language.en,
    n_samples: Annotated[int, typer.Option(min=50, help="Number of rendered scenes.")] = 2000,
    seed: Seed = 0,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Compare CCA, PLS and a learned projection on rendered scenes; nothing is downloaded."""
    from mmfeat.cli._demo import run_demo

    show(run_demo(out, language.value, n_samples, seed, force=force, quiet=quiet or as_json), as_json, quiet)


@app.command()
def bench(
    data: Annotated[Data, typer.Option(help="Data set, or csv for a table of your own.")],
    root: Annotated[Path | None, typer.Option(help="Folder of the data set.", exists=True)] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="For csv: table with a column of pictures and one of sentences.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="For csv: folder of the pictures.")] = None,
    language: Annotated[
        Language | None, typer.Option(help="Language of the captions.", show_default="en, or what a table looks like")
    ] = None,
    weights: Weights = None,
    network: Network = None,
    system: Annotated[list[str] | None, typer.Option(help="Compare this one; may be given several times.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for NAME.json, .md, .csv, the page NAME.html and its charts.")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="Folder of what is kept between runs.", show_default="NAME.work in --out")
    ] = None,
    n_seeds: Annotated[int, typer.Option(min=1, help="Seeds of what is trained.")] = 3,
    pictures: Annotated[bool, typer.Option(help="Embed small pictures into the page.")] = True,
    image_column: ImageColumn = "image_id",
    text_column: TextColumn = "caption",
    encoding: Encoding = None,
    seed: Seed = 0,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Compare fusions: settings chosen on a validation split, figures from a test split with intervals, tests and costs."""
    from mmfeat.cli._bench import run_bench

    result = run_bench(
        data.value,
        root,
        None if language is None else language.value,
        weights,
        network,
        out,
        pairs=pairs,
        images=images,
        image_column=image_column,
        text_column=text_column,
        encoding=encoding,
        systems=system,
        work=work,
        n_seeds=n_seeds,
        seed=seed,
        pictures=pictures,
        force=force,
        quiet=quiet or as_json,
    )
    show(result, as_json, quiet)


@app.command()
def fit(
    pairs: Annotated[Path, typer.Option(help="CSV with a column of pictures and one of sentences.")],
    images: Annotated[Path, typer.Option(help="Folder of the pictures.")],
    out: Annotated[Path, typer.Option(help="Model file to write.")],
    language: Annotated[AnyLanguage, typer.Option(help="Language of the sentences.")] = AnyLanguage.auto,
    fusion: Annotated[Fusion, typer.Option(help="How the two views are joined.")] = Fusion.cca,
    weights: Weights = None,
    network: Network = None,
    image_column: ImageColumn = "image_id",
    text_column: TextColumn = "caption",
    group: Annotated[bool, typer.Option("--group", help="Several rows of one picture are its captions.")] = False,
    encoding: Encoding = None,
    seed: Seed = 0,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Learn from pictures with sentences; without --weights the pictures are described by colour and gradients."""
    from mmfeat.cli._fit import run_fit

    result = run_fit(
        pairs,
        images,
        out,
        language=language.value,
        fusion=fusion.value,
        weights=weights,
        network=network,
        image_column=image_column,
        text_column=text_column,
        group=group,
        encoding=encoding,
        seed=seed,
        force=force,
        quiet=quiet or as_json,
    )
    show(result, as_json, quiet)


@app.command()
def search(
    queries: Annotated[Path, typer.Option(help="CSV of sentences or of pictures.")],
    gallery: Annotated[Path, typer.Option(help="CSV of the other kind.")],
    images: Annotated[Path, typer.Option(help="Folder of the pictures.")],
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    model: Annotated[Path | None, typer.Option(help="Model file written by fit.")] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(help="Instead of --model: folder or hub name of CLIP, Chinese-CLIP or SigLIP; needs no fit."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Answers to each query.")] = 5,
    truth: Annotated[Path | None, typer.Option(help="CSV of right pairs; prints the recall.")] = None,
    image_column: ImageColumn = "image_id",
    text_column: TextColumn = "caption",
    id_column: Annotated[str, typer.Option(help="Column that names the sentence.")] = "text_id",
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Where the weights of the model's network are, if moved since fit.", exists=True, dir_okay=False
        ),
    ] = None,
    encoding: Encoding = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Answer sentences by pictures or pictures by sentences; the columns tell which."""
    from mmfeat.cli._search import run_search

    result = run_search(
        model,
        queries,
        gallery,
        images,
        out,
        k,
        truth=truth,
        columns=(image_column, text_column, id_column),
        weights=weights,
        pretrained=pretrained,
        encoding=encoding,
        force=force,
        quiet=quiet or as_json,
    )
    show(result, as_json, quiet)


app.command()(extract)
app.add_typer(cache, name="cache")


def run(arguments=None):
    """Run the command and return its exit code, bad input told in one line on standard error."""
    _speak_utf8()
    try:
        app(arguments, prog_name="mmfeat")
    except SystemExit as end:
        return end.code or 0
    except (ValueError, ImportError, FloatingPointError, OSError) as error:
        print(f"mmfeat: {error}", file=sys.stderr)
        return 1


def _speak_utf8():
    # Chinese on a console or a pipe of another encoding should not end the command.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
