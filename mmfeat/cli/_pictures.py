"""Pictures of results: bars of recall, and queries with the pictures found for them."""

import contextlib
import textwrap
import warnings

from mmfeat.cli._files import whole_file

# Families that hold Chinese, the common ones of each system first.
_CJK_FAMILIES = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Droid Sans Fallback",
    "AR PL UMing CN",
    "Arial Unicode MS",
)
_COLOURS = {"CCA": "#2f6db3", "PLS": "#e08a2c", "LearnedProjection": "#3c9a5f", "chance": "#9a9a9a"}
_RIGHT = "#1f9d55"


def draw_bars(rows, path, force):
    """Draw the recalls of each system beside each other.

    Parameters
    ----------
    rows : list of dict
        With "system" and the recalls in percent.
    path : path-like
        PNG file.
    force : bool
        Replace a file that is there.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, way, title in zip(axes, ("I→T", "T→I"), ("sentence for a picture", "picture for a sentence"), strict=True):
        names = [name for name in rows[0] if name.startswith(f"{way} R@")]
        width = 0.8 / len(rows)
        for place, row in enumerate(rows):
            left = [x + (place - (len(rows) - 1) / 2) * width for x in range(len(names))]
            bars = ax.bar(left, [row[n] for n in names], width, label=row["system"], color=_COLOURS.get(row["system"]))
            ax.bar_label(bars, fmt="%.0f", fontsize=7, padding=1)
        ax.set_xticks(range(len(names)), [name.partition(" ")[2] for name in names])
        ax.set_title(title, fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("recall, %")
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    _save(figure, path, force)


def draw_grid(answers, path, force):
    """Draw each query in a row with the pictures found for it, the right one framed.

    Parameters
    ----------
    answers : list of (str, list of (ndarray of shape (height, width, 3), bool))
        Sentence, and the pictures found, best first, with whether each is right.
    path : path-like
        PNG file.
    force : bool
        Replace a file that is there.
    """
    from matplotlib.figure import Figure

    font = _font_for("".join(sentence for sentence, _ in answers))
    n_columns = max(len(found) for _, found in answers)
    figure = Figure(figsize=(2.6 + 1.15 * n_columns, 1.2 * len(answers)), layout="constrained")
    grid = figure.subplots(len(answers), n_columns + 1, squeeze=False, width_ratios=[2.2] + [1] * n_columns)
    for axes, (sentence, found) in zip(grid, answers, strict=True):
        for ax in axes:
            ax.set_axis_off()
        wrapped = "\n".join(textwrap.wrap(sentence, 30 if sentence.isascii() else 15))
        axes[0].text(0, 0.5, wrapped, fontsize=9, va="center", transform=axes[0].transAxes, **font)
        for ax, (picture, is_right) in zip(axes[1:], found, strict=False):
            ax.imshow(picture)
            if is_right:
                _frame(ax)
    _save(figure, path, force)


def _frame(ax):
    ax.set_axis_on()
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(color=_RIGHT, linewidth=4)


def _font_for(text):
    """Keyword arguments of a matplotlib text that holds the letters of `text`; warns where no font has them."""
    if all(letter < "\u2e80" for letter in text):
        return {}
    installed = _installed_families()
    for family in _CJK_FAMILIES:
        if family in installed:
            return {"family": family}
    warnings.warn(
        "No Chinese font is installed: Chinese letters will be drawn as boxes. Install one, for example the Debian package "
        "fonts-noto-cjk or fonts-wqy-microhei.",
        UserWarning,
        stacklevel=3,
    )
    return {}


def _installed_families():
    """Names of all font families, those installed since matplotlib last looked too."""
    from matplotlib import font_manager

    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known:
            # Bitmap fonts and the like cannot be drawn with.
            with contextlib.suppress(RuntimeError, OSError):
                font_manager.fontManager.addfont(path)
    return {entry.name for entry in font_manager.fontManager.ttflist}


def _save(figure, path, force):
    with whole_file(path, force, "w+b") as file, warnings.catch_warnings():
        # A missing font was told once, by its cure; not once for every letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(file, format="png", dpi=100)
