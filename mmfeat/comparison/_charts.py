"""Charts as SVG that take the colours of the page, light or dark, and have colours of their own elsewhere."""

import math
from html import escape

# Okabe and Ito (2008), told apart by the colour-blind too; then other dashes and marks.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#7f7f7f")
_DASHES = ("", "6 3", "2 3", "8 3 2 3")
_WIDTH, _HEIGHT = 640, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 34, 48
_STYLE = (
    "<style>.ink{fill:#222}.line{stroke:#222}.grid{stroke:#ddd}text{font:12px system-ui,sans-serif}"
    ".title{font-weight:600;font-size:14px}"
    "@media(prefers-color-scheme:dark){.ink{fill:#ddd}.line{stroke:#ddd}.grid{stroke:#444}}</style>"
)


def cost_chart(comparison):
    """Measure against the seconds of one fit, on a logarithmic axis, with intervals."""
    rows = [row for row in comparison.rows if row["low"] is not None]
    xs = [max(row["fit s"], 1e-3) for row in rows]
    lows, highs = [row["low"] for row in rows], [row["high"] for row in rows]
    axes = _Axes(_log_range(xs), _nice_range(lows + highs), log_x=True)
    drawn = [axes.frame(f"{comparison.measure} against the cost of training", "seconds of one fit", comparison.measure)]
    placed: list = []
    for place in sorted(range(len(rows)), key=lambda place: -rows[place][comparison.measure]):
        row, x, colour = rows[place], xs[place], _COLOURS[place % len(_COLOURS)]
        value = row[comparison.measure]
        left = axes.x(x)
        drawn.append(
            f'<line x1="{left:.1f}" x2="{left:.1f}" y1="{axes.y(row["low"]):.1f}" y2="{axes.y(row["high"]):.1f}" '
            f'stroke="{colour}" stroke-width="2" opacity=".55"/>'
        )
        drawn.append(
            f'<circle cx="{left:.1f}" cy="{axes.y(value):.1f}" r="5" fill="{colour}"><title>{escape(row["system"])}: '
            f"{value:.1f}</title></circle>"
        )
        drawn.append(_label(row["system"], left, axes.y(value), placed))
    return _svg("".join(drawn), f"{comparison.measure} of every system against the seconds of one fit")


def curve_chart(curves, ks, way):
    """Recall at k for every system, k on a logarithmic axis."""
    axes = _Axes((ks[0], max(ks[-1], ks[0] + 1)), (0, 100), log_x=True)
    title = "sentence for a picture" if way == "I→T" else "picture for a sentence"
    drawn = [axes.frame(f"Recall at k, {title}", "k", "recall, %")]
    styles = {name: place for place, name in enumerate(curves)}
    # Best first, as in the legend; a system has one colour in all charts.
    for line, (name, values) in enumerate(sorted(curves.items(), key=lambda item: -sum(item[1]))):
        place = styles[name]
        colour, dash = _COLOURS[place % len(_COLOURS)], _DASHES[place // len(_COLOURS) % len(_DASHES)]
        points = " ".join(f"{axes.x(k):.1f},{axes.y(value):.1f}" for k, value in zip(ks, values, strict=True))
        drawn.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
        )
        # Below the curves, which rise to the right.
        top, left = _HEIGHT - _BOTTOM - 8 - 15 * (len(curves) - 1 - line), _WIDTH - _RIGHT - 250
        drawn.append(
            f'<line x1="{left}" x2="{left + 24}" y1="{top - 4}" y2="{top - 4}" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dash}"/><text class="ink" x="{left + 30}" y="{top}">{escape(name)}</text>'
        )
    return _svg("".join(drawn), f"recall at k of every system, {title}")


def hub_chart(counts):
    """Share of the pictures by how often each is among the ten nearest of a sentence, against the average."""
    bins = ("0–¼", "¼–½", "½–¾", "¾–1", "1–1½", "1½–2", "2–3", "3–4", "4–6", "> 6")
    names = list(counts)
    row, left = 24, 190
    height = _TOP + row * len(names) + 60
    largest = max(max(values) / max(1, sum(values)) for values in counts.values())
    width = (_WIDTH - left - _RIGHT) / len(bins)
    drawn = [
        '<text class="ink title" x="12" y="20">Hubs: how often a picture is found, as a multiple of the average</text>'
    ]
    for place, name in enumerate(names):
        top = _TOP + row * place
        shares = [value / max(1, sum(counts[name])) for value in counts[name]]
        drawn.append(
            f'<text class="ink" x="{left - 8}" y="{top + 16}" text-anchor="end">{escape(_short_name(name))}</text>'
        )
        for column, share in enumerate(shares):
            drawn.append(
                f'<rect x="{left + column * width:.1f}" y="{top + 2}" width="{width - 2:.1f}" height="{row - 4}" '
                f'fill="#0072b2" fill-opacity="{0.04 + 0.9 * share / largest:.3f}"><title>{escape(name)}, '
                f"{bins[column]}: {100 * share:.0f} % of the pictures</title></rect>"
            )
            drawn.append(
                f'<text class="ink" x="{left + (column + 0.5) * width:.1f}" y="{top + 16}" text-anchor="middle" '
                f'font-size="10">{100 * share:.0f}</text>'
            )
    for column, label in enumerate(bins):
        drawn.append(
            f'<text class="ink" x="{left + (column + 0.5) * width:.1f}" y="{_TOP + row * len(names) + 16}" '
            f'text-anchor="middle">{label}</text>'
        )
    drawn.append(
        f'<text class="ink" x="{left}" y="{_TOP + row * len(names) + 38}">% of the pictures; without hubs most stand '
        "near 1</text>"
    )
    return _svg("".join(drawn), "share of the pictures by how often they are found", height)


class _Axes:
    """From figures to places in the drawing."""

    def __init__(self, x_range, y_range, *, log_x):
        self.x_range, self.y_range, self.log_x = x_range, y_range, log_x

    def x(self, value):
        low, high = self.x_range
        share = math.log(value / low) / math.log(high / low) if self.log_x else (value - low) / (high - low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value):
        low, high = self.y_range
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def frame(self, title, x_name, y_name):
        drawn = [f'<text class="ink title" x="{_LEFT}" y="20">{escape(title)}</text>']
        for tick in _ticks(*self.y_range):
            y = self.y(tick)
            drawn.append(
                f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text class="ink" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
            )
        drawn += [
            f'<text class="ink" x="{self.x(tick):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{tick:g}</text>'
            for tick in _log_ticks(*self.x_range)
        ]
        bottom = _HEIGHT - _BOTTOM
        drawn.append(f'<line class="line" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}"/>')
        drawn.append(
            f'<text class="ink" x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">{escape(x_name)}</text>'
        )
        middle = (_TOP + bottom) / 2
        drawn.append(
            f'<text class="ink" transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>'
        )
        return "".join(drawn)


def _svg(content, label, height=_HEIGHT):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        f"{_STYLE}{content}</svg>\n"
    )


def _label(name, x, y, placed):
    """A name beside its point, moved down until it covers no other."""
    right = x + 8 + 6.4 * len(name) < _WIDTH - _RIGHT
    left, anchor = (x + 8, "start") if right else (x - 8, "end")
    start = left if right else left - 6.4 * len(name)
    top = y + 4
    while any(
        abs(top - other) < 13 and start < stop and begin < start + 6.4 * len(name) for other, begin, stop in placed
    ):
        top += 4
    placed.append((top, start, start + 6.4 * len(name)))
    return f'<text class="ink" x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}">{escape(name)}</text>'


def _short_name(name, limit=27):
    return name if len(name) <= limit else f"{name[: limit - 1]}…"


def _nice_range(values):
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 1.0
    return max(0.0, low - room), high + room


def _log_range(values):
    return min(values) / 1.6, max(values) * 1.6


def _ticks(low, high):
    step = 10 ** math.floor(math.log10((high - low) / 3))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 7)
    first = math.ceil(low / step)
    return [round(step * number, 10) for number in range(first, math.floor(high / step) + 1)]


def _log_ticks(low, high):
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high / low < 1000 else (1,)
    return [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]
