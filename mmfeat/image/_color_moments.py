"""Colour moments over a grid of cells."""

from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mmfeat.image._color import LEVELS, cells_of, convert
from mmfeat.image._map import describe_images
from mmfeat.utils._base import SequenceTransformer
from mmfeat.utils._compat import Interval, StrOptions, _fit_context
from mmfeat.utils._validation import check_images

_MOMENTS = ("mean", "std", "skew")


class ColorMoments(SequenceTransformer):
    r"""Mean, standard deviation and skewness of each channel of colour, for each cell of a grid.

    Of the values :math:`p_j` of a channel, with mean :math:`E`: :math:`E`, :math:`(\frac1N \sum (p_j - E)^2)^{1/2}` and
    :math:`(\frac1N \sum (p_j - E)^3)^{1/3}`, all three in units of the channel.

    Parameters
    ----------
    space : {"hsv", "rgb", "lab"}, default="hsv"
        Colour space: hue, saturation, value; red, green, blue; or CIE L*a*b* (D65), each channel from 0 to 1.
    grid : int, default=1
        Cells along each side of the image; 1 is the whole image.
    verbose : bool, default=False
        Show a progress bar when it takes more than two seconds.

    Attributes
    ----------
    n_features_out_ : int
        Columns of the result, ``9 * grid ** 2``.

    See Also
    --------
    ColorHistogram : Shares of the pixels in bins of colour.

    Notes
    -----
    Hue is taken as a number, as in the paper: red lies at both of its ends.

    References
    ----------
    Stricker, M. and Orengo, M. (1995). Similarity of color images. Storage and Retrieval for Image and Video Databases III,
    section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.image import ColorMoments
    >>> half_red = np.zeros((4, 4, 3), dtype=np.uint8)
    >>> half_red[:2, :, 0] = 255
    >>> ColorMoments(space="rgb").fit_transform([half_red])
    array([[0.5, 0.5, 0. , 0. , 0. , 0. , 0. , 0. , 0. ]], dtype=float32)
    """

    _parameter_constraints = {
        "space": [StrOptions(set(LEVELS))],
        "grid": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
    }

    def __init__(self, space="hsv", grid=1, *, verbose=False):
        self.space = space
        self.grid = grid
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
        self : ColorMoments

        Raises
        ------
        ValueError
            If `X` is no sequence of images or is empty.
        """
        check_images(X)
        self.n_features_out_ = self._n_features()
        return self

    def transform(self, X):
        """Compute the moments of images.

        Parameters
        ----------
        X : sequence of images
            As in :meth:`fit`.

        Returns
        -------
        features : ndarray of shape (n_images, n_features_out_), dtype float32
            Cells row by row, in each the three moments of the channels in order.

        Raises
        ------
        ImageDecodeError
            If an image cannot be read.
        ValueError
            If an image is smaller than the grid.
        """
        check_is_fitted(self)
        return describe_images(
            self._moments, check_images(X), self._n_features(), desc="ColorMoments", verbose=self.verbose
        )

    def get_feature_names_out(self, input_features=None):
        """Names such as ``hsv_ROW_COLUMN_h_mean``, ``..._h_std`` and ``..._h_skew``.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects, shape (n_features_out_,)
        """
        check_is_fitted(self)
        inner = [f"{channel}_{moment}" for channel in self.space for moment in _MOMENTS]
        cells = np.ndindex(self.grid, self.grid)
        return np.array(
            [f"{self.space}_{row}_{column}_{name}" for row, column in cells for name in inner], dtype=object
        )

    def _n_features(self):
        return len(self.space) * len(_MOMENTS) * self.grid**2

    def _moments(self, pixels, row):
        cells = cells_of(convert(pixels, self.space), self.grid, row)
        return np.concatenate([self._of_channel(cell, channel) for cell in cells for channel in range(len(self.space))])

    def _of_channel(self, cell, channel):
        # 8 bits: the moments follow from the counts of the levels, without a pass over the pixels for each.
        levels = LEVELS[self.space][channel]
        shares = np.bincount(cell[..., channel].ravel(), minlength=levels) / (cell.shape[0] * cell.shape[1])
        values = np.arange(len(shares)) / (levels - 1)
        mean = shares @ values
        centred = values - mean
        return mean, np.sqrt(shares @ centred**2), np.cbrt(shares @ centred**3)
