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


def markdown_table(rows):
    """Rows of equal keys as a Markdown table, numbers to the right, columns aligned."""
    header = list(rows[0])
    cells = [[_cell(row[name]) for name in header] for row in rows]
    widths = [max(len(name), *(len(row[i]) for row in cells)) for i, name in enumerate(header)]
    is_text = [isinstance(rows[0][name], str) for name in header]
    lines = [_line(header, widths, is_text)]
    lines.append(
        "|"
        + "|".join("-" * (w + 2) if left else "-" * (w + 1) + ":" for w, left in zip(widths, is_text, strict=True))
        + "|"
    )
    return "\n".join(lines + [_line(row, widths, is_text) for row in cells])


def _line(cells, widths, is_text):
    padded = (c.ljust(w) if left else c.rjust(w) for c, w, left in zip(cells, widths, is_text, strict=True))
    return "| " + " | ".join(padded) + " |"


def _cell(value):
    if value is None:
        return ""
    return f"{value:.1f}" if isinstance(value, float) else str(value)
