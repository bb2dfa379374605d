"""The attention of words as a picture."""

from math import ceil, isqrt

import numpy as np
from sklearn.utils import check_array

from mmfeat.utils._overlay import draw_overlay


def draw_attention(image, weights, grid=None, words=None, ax=None):
    """Draw on a picture where the words of its sentence look.

    Parameters
    ----------
    image : ndarray of shape (height, width[, 3]) or PIL.Image.Image
        As the network saw it: where that cut the picture, the cut one.
    weights : array-like of shape (n_words, n_regions) or (n_regions,)
        From :meth:`CrossAttentionScorer.attention`; the regions row by row of the grid, as
        ``CNNFeatures(pooling=None)`` gives them.
    grid : tuple (rows, columns) or None, default=None
        Of the regions; None: a square.
    words : sequence of str or None, default=None
        Titles; None: the numbers of the words.
    ax : matplotlib.axes.Axes, sequence of them, or None, default=None
        Where to draw, one a word; None: a new figure.

    Returns
    -------
    axes : list of matplotlib.axes.Axes
        One a word.

    Raises
    ------
    ValueError
        If the weights do not fill the grid, or there are other numbers of words or axes.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.fusion import draw_attention
    >>> image = np.zeros((32, 48, 3), dtype=np.uint8)
    >>> axes = draw_attention(image, [[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]], words=["red", "car"])
    >>> [one.get_title() for one in axes]
    ['red', 'car']
    """
    weights = check_array(np.atleast_2d(weights), input_name="weights")
    n_words, n_regions = weights.shape
    grid = _check_grid(grid, n_regions)
    titles = list(map(str, range(n_words))) if words is None else list(words)
    if len(titles) != n_words:
        raise ValueError(f"`words` holds {len(titles)} words, but there are weights of {n_words}. Pass one a row.")
    axes = _new_axes(n_words) if ax is None else list(np.ravel(ax))
    if len(axes) != n_words:
        raise ValueError(f"`ax` holds {len(axes)} axes, but there are weights of {n_words} words. Pass one a word.")
    picture = np.asarray(image)
    for one, row, title in zip(axes, weights, titles, strict=True):
        draw_overlay(one, picture, row.reshape(grid), title)
    return axes


def _check_grid(grid, n_regions):
    side = isqrt(n_regions)
    if grid is None and side * side != n_regions:
        raise ValueError(f"The weights are of {n_regions} regions, which is no square. Pass `grid`=(rows, columns).")
    grid = (side, side) if grid is None else tuple(grid)
    if len(grid) != 2 or grid[0] * grid[1] != n_regions:
        raise ValueError(
            f"`grid` is {grid}, but the weights are of {n_regions} regions. Pass (rows, columns) of these."
        )
    return grid


def _new_axes(n_words):
    from matplotlib import pyplot

    columns = min(n_words, 5)
    rows = ceil(n_words / columns)
    figure = pyplot.figure(figsize=(2.4 * columns, 2.4 * rows), layout="constrained")
    return [figure.add_subplot(rows, columns, place + 1) for place in range(n_words)]
