"""Options that several subcommands have."""

from typing import Annotated

import typer

Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors; no progress bars.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Force = Annotated[bool, typer.Option("--force", help="Replace output that exists.")]
ImageColumn = Annotated[str, typer.Option(help="Column that names the picture.")]
Encoding = Annotated[str | None, typer.Option(help="Encoding of the tables; UTF-8 and GB18030 are told apart.")]
