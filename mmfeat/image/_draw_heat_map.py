"""A heat map laid over its picture."""

import numpy as np
from sklearn.utils import check_array

from mmfeat.image._io import load_image
from mmfeat.utils._overlay import draw_overlay
from mmfeat.utils._validation import check_images


def draw_heat_map(image, heat, ax=None, title=None):
    """Draw a heat map over its picture.

    Parameters
    ----------
    image : str, os.PathLike, PIL.Image.Image, ndarray or bytes
    heat : array-like of shape (rows, columns)
        From :func:`grad_cam`, say; of another size than the picture it is stretched. Bright is much; where some values
        are below 0, red speaks for and blue against. The scale is the map's own.
    ax : matplotlib.axes.Axes or None, default=None
        Where to draw; None: a new figure.
    title : str or None, default=None

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ImageDecodeError
        If the image cannot be read.
    ValueError
        If `heat` is no matrix or holds NaN.

    See Also
    --------
    grad_cam : Makes such maps.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.image import draw_heat_map
    >>> picture = np.zeros((32, 48, 3), dtype=np.uint8)
    >>> axes = draw_heat_map(picture, np.eye(4), title="a red car")
    >>> axes.get_title()
    'a red car'
    """
    from matplotlib import pyplot

    heat = check_array(heat, dtype=np.float32, input_name="heat")
    picture = load_image(check_images([image])[0], 0)
    if ax is None:
        ax = pyplot.figure(figsize=(3, 3), layout="constrained").add_subplot()
    draw_overlay(ax, picture, heat, title)
    return ax
