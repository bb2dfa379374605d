"""Numbers of places laid over a picture."""

import numpy as np


def draw_overlay(axis, picture, weights, title=None):
    """Draw weights of places on a picture.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    picture : ndarray of shape (height, width[, 3])
    weights : ndarray of shape (rows, columns)
        Stretched over the whole picture. Bright where they are large; where some are below 0, red for and blue against.
    title : str or None, default=None
    """
    extent = (0, picture.shape[1], picture.shape[0], 0)
    axis.imshow(picture, cmap="gray" if picture.ndim == 2 else None, extent=extent)
    # A scale of its own for each picture, from nothing: even weights then look even.
    most = float(np.abs(weights).max()) or 1.0
    signed = weights.min() < 0
    axis.imshow(
        weights,
        cmap="seismic" if signed else "inferno",
        alpha=0.6,
        extent=extent,
        interpolation="bilinear",
        vmin=-most if signed else 0,
        vmax=most,
    )
    if title is not None:
        axis.set_title(title)
    axis.set_axis_off()
