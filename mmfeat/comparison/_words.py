"""Tables and a verdict in words."""

from mmfeat.utils._markdown import markdown_table


def markdown(comparison):
    """Table of the figures, table of the tests against the best, and the verdict."""
    gallery = comparison.gallery()
    header = (
        f"Gallery of test: {gallery['images']:,} pictures, {gallery['texts']:,} sentences. {about(comparison)}\n\n"
        f"{comparison.verdict()}"
    )
    parts = [header, markdown_table(shown_rows(comparison)), tests_header(comparison)]
    tests = shown_tests(comparison)
    if tests:
        parts.append(markdown_table(tests))
    else:
        parts.pop()
    return "\n\n".join(parts)


def about(comparison):
    """What the figures are, in one sentence or two."""
    unit = (
        "Recall in %"
        if comparison.measure == "rsum"
        else "Mean average precision (mAP) in %, of what has the query's class"
    )
    return (
        f"{unit}; settings chosen on val by {comparison.measure}; brackets are 95 % bootstrap intervals over test pictures, ± "
        "the standard deviation over seeds. Cost: seconds of one fit on given features, milliseconds from the features of one "
        "sentence to the order of the gallery, peak memory of the process, size of the fitted fusion."
    )


def tests_header(comparison):
    """What stands in the table of tests."""
    return (
        f"{comparison.best} against each other system: difference of {comparison.measure} on test with its "
        "95 % interval, paired permutation test by picture, p-value as it is and corrected for all pairs of systems (Holm)."
    )


def shown_rows(comparison):
    """Rows for people: interval and spread beside the measure, few digits."""
    measure = comparison.measure
    shown = []
    for row in comparison.rows:
        # The measure first, where a telephone shows it.
        figures = {name: _number(row[name]) for name in row if " R@" in name or name.endswith(("T mAP", "I mAP"))}
        interval = "" if row["low"] is None else f" [{row['low']:.1f}, {row['high']:.1f}]"
        spread = "" if row["std over seeds"] is None else f" ± {row['std over seeds']:.1f}"
        shown.append(
            {
                "system": row["system"] + (f" ({row['remarks']})" if row["remarks"] else ""),
                measure: f"{row[measure]:.1f}{spread}{interval}",
                **figures,
                f"val {measure}": _number(row[f"val {measure}"]),
                "fit s": _short(row["fit s"]),
                "query ms": _short(row["query ms"]),
                "peak MB": _number(row["peak MB"], 0),
                "model MB": _short(row["model MB"]),
                "hubness": _number(row["hubness"]),
                "settings": row["settings"],
            }
        )
    return shown


def shown_tests(comparison):
    """Tests of the best system against the others, for people."""
    shown = []
    for test in comparison.tests:
        if comparison.best not in (test["first"], test["second"]):
            continue
        turn = 1 if test["first"] == comparison.best else -1
        low, high = sorted((turn * test["low"], turn * test["high"]))
        shown.append(
            {
                f"{comparison.best} against": test["second"] if turn == 1 else test["first"],
                "difference": f"{turn * test['difference']:+.1f} [{low:+.1f}, {high:+.1f}]",
                "p": _p(test["p"]),
                "p corrected": _p(test["p corrected"]),
            }
        )
    return shown


def verdict(comparison):
    """What wins, by how much, whether it is significant, and at what cost."""
    rows = {row["system"]: row for row in comparison.rows}
    best, measure = rows[comparison.best], comparison.measure
    others = [row for row in comparison.rows if row["system"] not in (comparison.best, "chance")]
    if not others:
        return f"**{comparison.best}** stands alone: {measure} {best[measure]:.1f} [{best['low']:.1f}, {best['high']:.1f}]."
    tests = {
        test["second"] if test["first"] == comparison.best else test["first"]: test
        for test in comparison.tests
        if comparison.best in (test["first"], test["second"])
    }
    sure = {row["system"]: _is_sure(best, row, tests[row["system"]], measure) for row in others}
    clear = [_marked(row) for row in others if sure[row["system"]] and row[measure] < best[measure]]
    ahead = [_marked(row) for row in others if sure[row["system"]] and row[measure] >= best[measure]]
    unclear = [_marked(row) for row in others if not sure[row["system"]]]
    words = [f"{_best_of(comparison)} {best[measure]:.1f} [{best['low']:.1f}, {best['high']:.1f}]."]
    if clear:
        words.append(
            f"On these test pictures, as trained, it is better than {_listed(clear)} by more than chance (corrected p < 0.05)."
        )
    if unclear:
        words.append(f"Against {_listed(unclear)} the difference may be chance.")
    if ahead:
        words.append(f"{_listed(ahead)} came out higher by more than chance.")
    cheapest = min(others, key=lambda row: row["fit s"])
    if cheapest["fit s"] > 0 and best["fit s"] > 2 * cheapest["fit s"]:
        words.append(
            f"It costs {_short(best['fit s'])} s to fit, {best['fit s'] / cheapest['fit s']:,.0f} times as much as "
            f"{_marked(cheapest)}, which reaches {cheapest[measure]:.1f}."
        )
    return " ".join(words)


def _best_of(comparison):
    """What the best is best of."""
    marked = any(row["remarks"] for row in comparison.rows)
    best = next(row for row in comparison.rows if row["system"] == comparison.best)
    if best["remarks"]:
        among = f"All systems are transductive or supervised. Best on val is **{_marked(best)}**"
        return f"{among}, with a test {comparison.measure} of"
    among = ", of the systems that are neither transductive nor supervised," if marked else ""
    return f"Best on val{among} is **{comparison.best}**, with a test {comparison.measure} of"


def _is_sure(best, other, test, measure):
    """Whether a difference is beyond the chance of the pictures, and beyond that of the seeds where there are several."""
    spread = sum((row["std over seeds"] or 0.0) ** 2 / (row["seeds"] or 1) for row in (best, other)) ** 0.5
    return test["p corrected"] < 0.05 and abs(best[measure] - other[measure]) > 2 * spread


def _marked(row):
    return row["system"] + (f" ({row['remarks']})" if row["remarks"] else "")


def _listed(names):
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _p(value):
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _number(value, digits=1):
    return "" if value is None else f"{value:.{digits}f}"


def _short(value):
    """Three digits that count."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
