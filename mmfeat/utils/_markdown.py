"""Tables in Markdown."""

import re


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
    if isinstance(value, float):
        return f"{value:.1f}"
    # What would end the cell or the row, or be taken for a tag of HTML.
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(str(value).split()).replace("|", "\\|"))
