"""Colour histograms over a grid of cells."""

from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mmfeat.image._map import describe_images
from mmfeat.utils._base import SequenceTransformer
from mmfeat.utils._compat import Interval, StrOptions, _fit_context
from mmfeat.utils._validation import check_images

# OpenCV's 8-bit hue counts steps of two degrees, 0 to 179; every other channel has 256 levels.
LEVELS = {"rgb": (256, 256, 256), "hsv": (180, 256, 256), "lab": (256, 256, 256)}


class ColorHistogram(SequenceTransformer):
    """Shares of the pixels of an image in bins of colour, for each cell of a grid.

    Parameters
    ----------
    space : {"hsv", "rgb", "lab"}, default="hsv"
        Colour space: hue, saturation, value; red, green, blue; or CIE L*a*b* (D65), all with 8 bits a channel.
    bins : int, default=8
        Equal bins along each channel, 1 to 256.
    grid : int, default=1
        Cells along each side of the image; 1 is the whole image.
    joint : bool, default=False
        False counts each channel by itself: ``3 * bins`` features a cell, a third of the weight to each channel.
        True counts colours: ``bins ** 3`` features a cell.
    verbose : bool, default=False
        Show a progress bar when it takes more than two seconds.

    Attributes
    ----------
    n_features_out_ : int
        Columns of the result.

    See Also
    --------
    ColorMoments : Three numbers a channel instead of a histogram.
    HOGFeatures : Shape instead of colour.

    Notes
    -----
    The features of each cell sum to 1, whatever the size of the image.

    References
    ----------
    Swain, M. J. and Ballard, D. H. (1991). Color indexing. International Journal of Computer Vision 7(1).

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.image import ColorHistogram
    >>> red = np.zeros((4, 4, 3), dtype=np.uint8)
    >>> red[..., 0] = 255
    >>> ColorHistogram(space="rgb", bins=2, joint=True).fit_transform([red])
    array([[0., 0., 0., 0., 1., 0., 0., 0.]], dtype=float32)
    """

    _parameter_constraints = {
        "space": [StrOptions(set(LEVELS))],
        "bins": [Interval(Integral, 1, 256, closed="both")],
        "grid": [Interval(Integral, 1, None, closed="left")],
        "joint": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(self, space="hsv", bins=8, grid=1, joint=False, *, verbose=False):
        self.space = space
        self.bins = bins
        self.grid = grid
        self.joint = joint
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the parameters and the sequence; nothing is learned.

        Parameters
        ----------
        X : sequence of images
            Paths, PIL images, arrays (height, width[, 1, 3 or 4]) or bytes of image files.
        y : None
            Ignored.

        Returns
        -------
        self : ColorHistogram

        Raises
        ------
        ValueError
            If `X` is no sequence of images or is empty.
        """
        check_images(X)
        self.n_features_out_ = self._n_features()
        return self

    def transform(self, X):
        """Count the colours of images.

        Parameters
        ----------
        X : sequence of images
            As in :meth:`fit`.

        Returns
        -------
        features : ndarray of shape (n_images, n_features_out_), dtype float32
            Shares in [0, 1]; cells row by row, in each the bins of the channels in order.

        Raises
        ------
        ImageDecodeError
            If an image cannot be read.
        ValueError
            If an image is smaller than the grid.
        """
        check_is_fitted(self)
        return describe_images(
            self._shares, check_images(X), self._n_features(), desc="ColorHistogram", verbose=self.verbose
        )

    def get_feature_names_out(self, input_features=None):
        """Names such as ``hsv_ROW_COLUMN_h3``, or ``hsv_ROW_COLUMN_h3_s0_v7`` for joint histograms.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects, shape (n_features_out_,)
        """
        check_is_fitted(self)
        bins = range(self.bins)
        if self.joint:
            first, second, third = self.space
            inner = [f"{first}{i}_{second}{j}_{third}{k}" for i in bins for j in bins for k in bins]
        else:
            inner = [f"{channel}{i}" for channel in self.space for i in bins]
        cells = range(self.grid)
        names = [f"{self.space}_{row}_{column}_{name}" for row in cells for column in cells for name in inner]
        return np.array(names, dtype=object)

    def _n_features(self):
        return self.grid**2 * (self.bins**3 if self.joint else 3 * self.bins)

    def _shares(self, pixels, row):
        return np.concatenate([self._count(cell) for cell in cells_of(convert(pixels, self.space), self.grid, row)])

    def _count(self, cell):
        levels = LEVELS[self.space]
        bins = [
            (np.arange(level, dtype=np.int32) * self.bins // level)[cell[..., channel].ravel()]
            for channel, level in enumerate(levels)
        ]
        if self.joint:
            colours = (bins[0] * self.bins + bins[1]) * self.bins + bins[2]
            return np.bincount(colours, minlength=self.bins**3) / colours.size
        return np.concatenate([np.bincount(numbers, minlength=self.bins) for numbers in bins]) / cell.size


def convert(pixels, space):
    """Convert RGB pixels to a colour space.

    Parameters
    ----------
    pixels : ndarray of shape (height, width, 3), dtype uint8
    space : {"hsv", "rgb", "lab"}

    Returns
    -------
    colours : ndarray of shape (height, width, 3), dtype uint8
        With as many levels a channel as `LEVELS` says.
    """
    if space == "rgb":
        return pixels
    import cv2

    return cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV if space == "hsv" else cv2.COLOR_RGB2LAB)


def cells_of(colours, grid, row):
    """Cut an image into a grid of cells.

    Parameters
    ----------
    colours : ndarray of shape (height, width, 3)
    grid : int
        Cells along each side.
    row : int
        Position of the image in the caller's sequence, for the error message.

    Returns
    -------
    cells : list of ndarray
        Row by row.

    Raises
    ------
    ValueError
        If the image is smaller than the grid.
    """
    height, width = colours.shape[:2]
    if min(height, width) < grid:
        raise ValueError(
            f"Image {row} is {width}x{height} pixels, smaller than the grid of {grid} cells a side. "
            f"Reduce `grid` or drop the image."
        )
    bands = np.array_split(colours, grid, axis=0)
    return [cell for band in bands for cell in np.array_split(band, grid, axis=1)]
