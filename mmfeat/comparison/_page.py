"""One page that needs nothing else: for a browser on a desk or a telephone, light or dark."""

import re
from html import escape

from mmfeat.comparison._words import about, shown_rows, shown_tests, tests_header

_STYLE = """
:root{color-scheme:light dark;--ink:#1c1c1e;--soft:#5c5c66;--paper:#fff;--card:#f5f5f7;--rule:#d8d8de;--right:#1a8f4c}
@media(prefers-color-scheme:dark){:root{--ink:#e8e8ea;--soft:#a0a0aa;--paper:#16171a;--card:#202226;--rule:#3a3c42;--right:#42c47c}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1100px;padding:1rem;font:16px/1.5 system-ui,"Noto Sans CJK SC","Microsoft YaHei",sans-serif;
color:var(--ink);background:var(--paper)}
h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.2rem;margin:2rem 0 .5rem}p{max-width:75ch}
.soft{color:var(--soft);font-size:.9rem}
.wide{overflow-x:auto;border:1px solid var(--rule);border-radius:8px}
table{border-collapse:collapse;font-size:.85rem;width:100%}
th,td{padding:.35rem .6rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
th:first-child,td:first-child,th.words,td.words{text-align:left}
th:first-child,td:first-child{position:sticky;left:0;background:var(--paper)}
td.words{white-space:normal;min-width:36rem}
tr:last-child td{border-bottom:0}tr.best td{font-weight:600}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:1rem}
.charts svg{width:100%;height:auto;background:var(--card);border-radius:8px}
.examples{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,500px),1fr));gap:1rem}
.card{background:var(--card);border-radius:8px;padding:.8rem}
.sentence{margin:0 0 .5rem;font-weight:500}
.found{display:flex;gap:.4rem;flex-wrap:wrap}
.found img,.asked{height:84px;max-width:128px;object-fit:cover;border-radius:4px;border:3px solid transparent}
.found img.right{border-color:var(--right)}
.asked{float:left;margin:0 .8rem .5rem 0}
ol{margin:.2rem 0;padding-left:1.4rem}li.right{color:var(--right);font-weight:600}
.ranks{clear:both;margin:.5rem 0 0;font-size:.8rem;color:var(--soft)}
.ranks b{color:var(--ink)}
mark{color:inherit;border-radius:3px;padding:0 .15em}
"""


def page(comparison, title, examples):
    """The page.

    Parameters
    ----------
    comparison : Comparison
    title : str
    examples : dict of str to list of Example, or None

    Returns
    -------
    html : str
    """
    gallery = comparison.gallery()
    size = f"Gallery of test: {gallery['images']:,} pictures, {gallery['texts']:,} sentences."
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{_bold(comparison.verdict())}</p>",
        f'<p class="soft">{size} {escape(about(comparison))}</p>',
        "<h2>Figures</h2>",
        _table(shown_rows(comparison), comparison.best),
    ]
    tests = shown_tests(comparison)
    if tests:
        parts += [
            "<h2>Is the best really better?</h2>",
            f'<p class="soft">{escape(tests_header(comparison))}</p>',
            _table(tests),
        ]
    charts = "".join(comparison.charts().values())
    parts += ["<h2>Pictures of it</h2>", f'<div class="charts">{charts}</div>']
    if examples:
        parts.append(
            f'<p class="soft">What {escape(comparison.best)} finds for single queries of test. Right answers are green. The '
            "words of a sentence are shaded by how much the similarity to the right picture falls (blue) or rises (orange) when "
            "the word is left out.</p>"
        )
    for heading, shown in (examples or {}).items():
        cards = "".join(_card(example, comparison.best) for example in shown)
        parts.append(f'<h2>{escape(heading)}</h2><div class="examples">{cards}</div>')
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _table(rows, best=None):
    names = list(rows[0])
    wordy = {"settings"}
    head = "".join(f"<th{_class(name, wordy)}>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr{' class=best' if best is not None and row[names[0]] == best else ''}>"
        + "".join(f"<td{_class(name, wordy)}>{escape(str(row[name]))}</td>" for name in names)
        + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _class(name, wordy):
    return ' class="words"' if name in wordy else ""


def _card(example, best):
    if example.way == "t2i":
        pictures = "".join(
            f'<img src="{url}" alt="picture {place}"{" class=right" if right else ""}>'
            for place, (url, right) in enumerate(example.found, start=1)
        )
        if not any(right for _, right in example.found):
            pictures += f'<img class="right" src="{example.picture}" alt="the right picture">'
        inside = f'<p class="sentence">{_shaded(example)}</p><div class="found">{pictures}</div>'
    else:
        lines = "".join(
            f"<li{' class=right' if right else ''}>{escape(sentence)}</li>" for sentence, right in example.found
        )
        if not any(right for _, right in example.found):
            lines += f'<li class="right" value="{example.ranks[best]}">{escape(example.sentence)}</li>'
        inside = f'<img class="asked" src="{example.picture}" alt="the picture asked"><ol>{lines}</ol>'
    ranks = ", ".join(
        f"<b>{escape(name)} {rank}</b>" if name == best else f"{escape(name)} {rank}"
        for name, rank in example.ranks.items()
    )
    return f'<div class="card">{inside}<p class="ranks">Rank of the first right answer: {ranks}</p></div>'


def _shaded(example):
    if not example.words:
        return escape(example.sentence)
    strongest = max(abs(effect) for _, effect in example.words) or 1.0
    shaded, rest = "", example.sentence
    for word, effect in example.words:
        # Punctuation between the words has no mark of its own.
        between, found, after = rest.partition(word)
        if not found:
            continue
        colour = "0,114,178" if effect > 0 else "213,94,0"
        shaded += escape(between) + (
            f'<mark style="background:rgba({colour},{0.55 * abs(effect) / strongest:.2f})" title="{effect:+.3f}">'
            f"{escape(word)}</mark>"
        )
        rest = after
    return shaded + escape(rest)


def _bold(text):
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(text))
