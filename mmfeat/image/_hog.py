"""Histograms of oriented gradients."""

from functools import lru_cache
from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mmfeat.image._map import describe_images
from mmfeat.image._pixels import resize_pixels
from mmfeat.utils._base import SequenceTransformer
from mmfeat.utils._compat import Interval, Options, StrOptions, _fit_context
from mmfeat.utils._validation import check_images

_EPSILON = 1e-5


class HOGFeatures(SequenceTransformer):
    """Histograms of oriented gradients (HOG) of images brought to one size.

    Takes the parameters of ``skimage.feature.hog`` and gives the same numbers.

    Parameters
    ----------
    orientations : int, default=9
        Bins of orientation between 0 and 180 degrees.
    pixels_per_cell : (int, int), default=(8, 8)
        Rows and columns of a cell, in pixels.
    cells_per_block : (int, int), default=(3, 3)
        Rows and columns of a block, in cells; blocks overlap, one starting at each cell.
    block_norm : {"L1", "L1-sqrt", "L2", "L2-Hys"}, default="L2-Hys"
        How a block is normalised. L2-Hys is L2, clipped at 0.2, and L2 once more.
    transform_sqrt : bool, default=False
        Take the square root of the intensities first, against shadows.
    channel_axis : {None, -1}, default=None
        None works on gray (ITU-R BT.601 luma); -1 on RGB, taking at each pixel the channel of the largest gradient.
    size : (int, int), default=(128, 128)
        Height and width in pixels to which every image is resized, its aspect not kept, by Pillow's bilinear
        (triangle) filter, which averages over the source pixels when it shrinks. An image of this size is left as is.
    verbose : bool, default=False
        Show a progress bar when it takes more than two seconds.

    Attributes
    ----------
    n_features_out_ : int
        Columns of the result.

    See Also
    --------
    ColorHistogram : Colour instead of shape.

    Notes
    -----
    Intensities run from 0 to 255. A large JPEG is decoded at a fraction of its size, both sides at least twice `size`.

    References
    ----------
    Dalal, N. and Triggs, B. (2005). Histograms of oriented gradients for human detection. CVPR.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.image import HOGFeatures
    >>> ramp = np.tile(np.arange(0, 256, 16, dtype=np.uint8), (16, 1))
    >>> hog = HOGFeatures(orientations=4, cells_per_block=(1, 1), block_norm="L1", size=(16, 16)).fit([ramp])
    >>> hog.transform([ramp]).reshape(2, 2, 4)[0, 0].round(3)
    array([1., 0., 0., 0.], dtype=float32)
    """

    _parameter_constraints = {
        "orientations": [Interval(Integral, 1, None, closed="left")],
        "pixels_per_cell": [tuple, list],
        "cells_per_block": [tuple, list],
        "block_norm": [StrOptions({"L1", "L1-sqrt", "L2", "L2-Hys"})],
        "transform_sqrt": ["boolean"],
        "channel_axis": [None, Options(Integral, {-1})],
        "size": [tuple, list],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        orientations=9,
        pixels_per_cell=(8, 8),
        cells_per_block=(3, 3),
        block_norm="L2-Hys",
        transform_sqrt=False,
        channel_axis=None,
        size=(128, 128),
        *,
        verbose=False,
    ):
        self.orientations = orientations
        self.pixels_per_cell = pixels_per_cell
        self.cells_per_block = cells_per_block
        self.block_norm = block_norm
        self.transform_sqrt = transform_sqrt
        self.channel_axis = channel_axis
        self.size = size
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
        self : HOGFeatures

        Raises
        ------
        ValueError
            If `X` is no sequence of images or is empty, or `size` holds no block.
        """
        check_images(X)
        self.n_features_out_ = int(np.prod(self._layout()))
        return self

    def transform(self, X):
        """Describe images.

        Parameters
        ----------
        X : sequence of images
            As in :meth:`fit`.

        Returns
        -------
        features : ndarray of shape (n_images, n_features_out_), dtype float32
            For each block, row by row, the histograms of its cells, row by row.

        Raises
        ------
        ImageDecodeError
            If an image cannot be read.
        """
        check_is_fitted(self)
        mode = "L" if self.channel_axis is None else "RGB"
        n_features = int(np.prod(self._layout()))
        return describe_images(
            self._describe,
            check_images(X),
            n_features,
            mode=mode,
            min_size=2 * max(self.size),
            desc="HOGFeatures",
            verbose=self.verbose,
        )

    def get_feature_names_out(self, input_features=None):
        """Names ``hog_BLOCKROW_BLOCKCOLUMN_CELLROW_CELLCOLUMN_ORIENTATION``, cells counted within their block.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects, shape (n_features_out_,)
        """
        check_is_fitted(self)
        return np.array(["hog_" + "_".join(map(str, place)) for place in np.ndindex(*self._layout())], dtype=object)

    def _layout(self):
        """Blocks down and across, cells of a block down and across, orientations."""
        height, width = _pair(self.size, "size")
        cell_height, cell_width = _pair(self.pixels_per_cell, "pixels_per_cell")
        down, across = _pair(self.cells_per_block, "cells_per_block")
        blocks = (height // cell_height - down + 1, width // cell_width - across + 1)
        if min(blocks) < 1:
            raise ValueError(
                f"`size`={tuple(self.size)} is smaller than one block of {down * cell_height} rows and "
                f"{across * cell_width} columns. Increase `size`, or reduce `pixels_per_cell` or `cells_per_block`."
            )
        return (*blocks, down, across, self.orientations)

    def _describe(self, pixels, row):
        pixels = _resize(pixels, self.size)
        if self.transform_sqrt:
            down, right = _gradients(np.sqrt(pixels.astype(np.float64)))
            magnitudes, numbers = _polar(down, right, self.orientations)
        else:
            magnitudes, numbers = _polar_by_table(pixels, self.orientations)
        cells = _cell_histograms(magnitudes, numbers, self.orientations, self.pixels_per_cell)
        windows = np.lib.stride_tricks.sliding_window_view(cells, tuple(self.cells_per_block), axis=(0, 1))
        blocks = windows.transpose(0, 1, 3, 4, 2).copy()  # the window's axes come last, after the orientations
        return _normalise(blocks.reshape(*blocks.shape[:2], -1), self.block_norm).ravel()


def _pair(value, name):
    if len(value) != 2 or not all(isinstance(part, (int, np.integer)) and part >= 1 for part in value):
        raise ValueError(f"`{name}` must be two integers of at least 1. Got {value!r} instead.")
    return value


def _resize(pixels, size):
    from PIL import Image

    height, width = size
    if pixels.shape[:2] == (height, width):
        return pixels
    return resize_pixels(pixels, (height, width), Image.Resampling.BILINEAR)


def _gradients(intensities):
    """Central differences down and right, zero at the border; of colours, those of the steepest channel."""
    down, right = np.zeros_like(intensities), np.zeros_like(intensities)
    down[1:-1] = intensities[2:] - intensities[:-2]
    right[:, 1:-1] = intensities[:, 2:] - intensities[:, :-2]
    if intensities.ndim == 2:
        return down, right
    steepest = np.hypot(down, right).argmax(axis=2)[..., None]
    return np.take_along_axis(down, steepest, 2)[..., 0], np.take_along_axis(right, steepest, 2)[..., 0]


def _polar(down, right, orientations):
    """Magnitude of each gradient, and the number of its bin of orientation."""
    # Bounds in float32, as in scikit-image: 45 degrees must fall on the same side of a bound there and here.
    bounds = (np.float32(180 / orientations) * np.arange(1, orientations, dtype=np.float32)).astype(np.float64)
    numbers = np.searchsorted(bounds, np.rad2deg(np.arctan2(down, right)) % 180, side="right")
    return np.hypot(down, right), numbers


@lru_cache(maxsize=8)
def _polar_table(orientations):
    """What `_polar` gives for all gradients of whole numbers, in the order of `down`, then `right`, from -255 to 255."""
    steps = np.arange(-255.0, 256.0)
    return tuple(table.ravel() for table in _polar(steps[:, None], steps, orientations))


def _polar_by_table(pixels, orientations):
    """The same as `_polar` of `_gradients`, looked up: differences of bytes are few."""
    magnitude_of, number_of = _polar_table(orientations)
    if pixels.ndim == 2:
        places = _places_in_table(pixels)
        return magnitude_of.take(places), number_of.take(places)
    channels = [_places_in_table(pixels[..., channel]) for channel in range(pixels.shape[2])]
    places, magnitudes = channels[0], magnitude_of.take(channels[0])
    for others in channels[1:]:
        more = magnitude_of.take(others)
        steeper = more > magnitudes
        np.copyto(places, others, where=steeper)
        np.copyto(magnitudes, more, where=steeper)
    return magnitudes, number_of.take(places)


def _places_in_table(channel):
    """Where in the table the central differences of bytes stand, those at the border being zero."""
    values = channel.astype(np.intp)
    places = np.full(values.shape, 255 * 511 + 255)
    places[1:-1] += 511 * (values[2:] - values[:-2])
    places[:, 1:-1] += values[:, 2:] - values[:, :-2]
    return places


def _cell_histograms(magnitudes, numbers, orientations, pixels_per_cell):
    """Mean gradient magnitude by orientation in each cell; pixels beyond the last whole cell are left out."""
    rows, columns = pixels_per_cell
    n_down, n_across = magnitudes.shape[0] // rows, magnitudes.shape[1] // columns
    magnitudes, numbers = (values[: n_down * rows, : n_across * columns] for values in (magnitudes, numbers))
    cell_rows = np.arange(n_down).repeat(rows)[:, None] * n_across
    numbers = numbers + (cell_rows + np.arange(n_across).repeat(columns)) * orientations
    n_bins = n_down * n_across * orientations
    sums = np.bincount(numbers.ravel(), weights=magnitudes.ravel(), minlength=n_bins)
    return sums.reshape(n_down, n_across, orientations) / (rows * columns)


def _normalise(blocks, block_norm):
    """Normalise blocks along their last axis, in place."""
    if block_norm.startswith("L1"):
        blocks /= blocks.sum(axis=-1, keepdims=True) + _EPSILON
        return np.sqrt(blocks, out=blocks) if block_norm == "L1-sqrt" else blocks
    blocks *= _inverse_length(blocks)
    if block_norm == "L2":
        return blocks
    np.minimum(blocks, 0.2, out=blocks)
    blocks *= _inverse_length(blocks)
    return blocks


def _inverse_length(blocks):
    return 1 / np.sqrt(np.einsum("ijk,ijk->ij", blocks, blocks) + _EPSILON**2)[..., None]
