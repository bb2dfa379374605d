"""Texture: local binary patterns and Gabor energies over a grid of cells."""

from itertools import product
from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mmfeat.image._map import describe_images
from mmfeat.image._pixels import resize_pixels
from mmfeat.image._texture_filters import N_PATTERNS, binary_patterns, gabor_magnitudes
from mmfeat.image._threads import one_blas_thread
from mmfeat.utils._base import SequenceTransformer
from mmfeat.utils._compat import Interval, _fit_context
from mmfeat.utils._validation import check_images


class TextureFeatures(SequenceTransformer):
    """Uniform local binary patterns and Gabor energies of gray images brought to one size.

    Parameters
    ----------
    radii : sequence of float, default=(1, 2, 3)
        Radii in pixels of the circles of eight points that are compared with their centre. For each, the shares of the 58
        uniform patterns, and of all others together. Empty leaves them out.
    frequencies : sequence of float, default=(0.25, 0.125, 0.0625)
        Of the Gabor filters, in cycles a pixel, with a bandwidth of one octave. For each and each orientation, the mean and
        the standard deviation of the magnitude of the response. Empty leaves them out.
    orientations : int, default=6
        Of the Gabor filters, between 0 and 180 degrees.
    grid : int, default=1
        Cells along each side of the image; 1 is the whole image. With 4 the Gabor part is close to the GIST of a scene.
    size : (int, int), default=(128, 128)
        Height and width in pixels to which every image is resized, its aspect not kept, by Pillow's bilinear (triangle)
        filter, which averages over the source pixels when it shrinks. An image of this size is left as is.
    verbose : bool, default=False
        Show a progress bar when it takes more than two seconds.

    Attributes
    ----------
    n_features_out_ : int
        Columns of the result.

    See Also
    --------
    HOGFeatures : Shape, cell by cell.

    Notes
    -----
    Patterns are those of ``skimage.feature.local_binary_pattern(..., P=8, method="nri_uniform")`` of an image continued by
    its border pixels, with one difference: gray values that are equal but for the rounding of the interpolation count as
    equal. Responses are those of ``skimage.filters.gabor`` of gray values in [0, 1].

    References
    ----------
    Ojala, T., Pietikainen, M. and Maenpaa, T. (2002). Multiresolution gray-scale and rotation invariant texture
    classification with local binary patterns. PAMI 24(7), section 2.

    Manjunath, B. S. and Ma, W. Y. (1996). Texture features for browsing and retrieval of image data. PAMI 18(8), section 3.

    Oliva, A. and Torralba, A. (2001). Modeling the shape of the scene: a holistic representation of the spatial envelope.
    IJCV 42(3).

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.image import TextureFeatures
    >>> stripes = np.tile(np.array([[0, 0, 255, 255]], dtype=np.uint8), (64, 16))
    >>> texture = TextureFeatures(radii=(), frequencies=(0.25,), orientations=2, size=(64, 64)).fit([stripes])
    >>> dict(zip(texture.get_feature_names_out(), texture.transform([stripes])[0].round(2)))["gabor_0.25_0_0_0_mean"]
    np.float32(0.33)
    """

    _parameter_constraints = {
        "radii": [tuple, list, np.ndarray],
        "frequencies": [tuple, list, np.ndarray],
        "orientations": [Interval(Integral, 1, None, closed="left")],
        "grid": [Interval(Integral, 1, None, closed="left")],
        "size": [tuple, list],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        radii=(1, 2, 3),
        frequencies=(0.25, 0.125, 0.0625),
        orientations=6,
        *,
        grid=1,
        size=(128, 128),
        verbose=False,
    ):
        self.radii = radii
        self.frequencies = frequencies
        self.orientations = orientations
        self.grid = grid
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
        self : TextureFeatures

        Raises
        ------
        ValueError
            If `X` is no sequence of images or is empty, both parts are left out, a radius is below 1 or a frequency not
            between 0 and 0.5, or `size` is smaller than the grid.
        """
        check_images(X)
        self._check_settings()
        self.n_features_out_ = len(self._names())
        return self

    def transform(self, X):
        """Describe the texture of images.

        Parameters
        ----------
        X : sequence of images
            As in :meth:`fit`.

        Returns
        -------
        features : ndarray of shape (n_images, n_features_out_), dtype float32
            Cells row by row; in each the patterns of all radii, then the Gabor responses.

        Raises
        ------
        ImageDecodeError
            If an image cannot be read.
        """
        check_is_fitted(self)
        self._check_settings()
        with one_blas_thread():
            return describe_images(
                self._describe,
                check_images(X),
                len(self._names()),
                mode="L",
                min_size=2 * max(self.size),
                desc="TextureFeatures",
                verbose=self.verbose,
            )

    def get_feature_names_out(self, input_features=None):
        """Names such as ``lbp_1_ROW_COLUMN_17``, and ``gabor_0.25_ORIENTATION_ROW_COLUMN_mean`` or ``..._std``.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects, shape (n_features_out_,)
        """
        check_is_fitted(self)
        return np.array(self._names(), dtype=object)

    def _names(self):
        names = []
        for row, column in product(range(self.grid), repeat=2):
            names += [f"lbp_{r:g}_{row}_{column}_{pattern}" for r in self.radii for pattern in range(N_PATTERNS)]
            filters = product(self.frequencies, range(self.orientations), ("mean", "std"))
            names += [f"gabor_{frequency:g}_{turn}_{row}_{column}_{what}" for frequency, turn, what in filters]
        return names

    def _check_settings(self):
        if not len(self.radii) and not len(self.frequencies):
            raise ValueError("`radii` and `frequencies` are both empty, which leaves no feature. Give one of them.")
        if not all(isinstance(radius, Real) and 1 <= float(radius) < np.inf for radius in self.radii):
            raise ValueError(f"`radii` must be numbers of at least 1, in pixels. Got {self.radii!r} instead.")
        if not all(isinstance(frequency, Real) and 0 < float(frequency) <= 0.5 for frequency in self.frequencies):
            raise ValueError(
                f"`frequencies` must be above 0 and at most 0.5, in cycles a pixel. Got {self.frequencies!r} instead."
            )
        size = self.size
        if len(size) != 2 or not all(isinstance(side, (int, np.integer)) and side >= self.grid for side in size):
            raise ValueError(
                f"`size` must be two integers of at least {self.grid}, the cells of the grid. Got {size!r} instead."
            )

    def _describe(self, pixels, row):
        from PIL import Image

        size = tuple(int(side) for side in self.size)
        if pixels.shape != size:
            pixels = resize_pixels(pixels, size, Image.Resampling.BILINEAR)
        patterns = [binary_patterns(pixels, radius) for radius in self.radii]
        magnitudes = np.empty((0, *size), dtype=np.float32)
        if len(self.frequencies):
            magnitudes = gabor_magnitudes(pixels, tuple(map(float, self.frequencies)), int(self.orientations))
        bands = np.array_split(np.arange(size[0]), self.grid), np.array_split(np.arange(size[1]), self.grid)
        cells = [np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] for rows, columns in product(*bands)]
        return np.concatenate([part for cell in cells for part in self._of_cell(cell, patterns, magnitudes)])

    def _of_cell(self, cell, patterns, magnitudes):
        for numbers in patterns:
            inner = numbers[cell]
            yield np.bincount(inner.ravel(), minlength=N_PATTERNS) / inner.size
        inner = magnitudes[(slice(None), *cell)]
        yield np.stack([inner.mean(axis=(1, 2)), inner.std(axis=(1, 2))], axis=1).ravel()
