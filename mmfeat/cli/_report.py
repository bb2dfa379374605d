"""What a subcommand hands back: a record for machines and a text for people."""

import codecs
import json
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """Result of a subcommand.

    Parameters
    ----------
    record : dict
        Ready for JSON.
    text : str
        The same for people.
    """

    record: dict
    text: str


def show(result, as_json, quiet):
    """Print a report, as JSON or as text."""
    if as_json:
        print(json.dumps(result.record, ensure_ascii=not _takes_any_letter(sys.stdout), indent=1))
    elif not quiet:
        print(result.text)


def _takes_any_letter(stream):
    # Elsewhere letters would be replaced by question marks; escapes of JSON lose nothing.
    return codecs.lookup(getattr(stream, "encoding", None) or "ascii").name.startswith("utf-")
