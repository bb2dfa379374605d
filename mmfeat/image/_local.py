"""Local descriptors: many vectors an image, at key points or on a grid."""

from functools import partial
from numbers import Integral, Real

import numpy as np
from joblib import cpu_count
from sklearn.utils.validation import check_is_fitted

from mmfeat.image._local_bags import DeferredBags
from mmfeat.image._local_kinds import WIDTHS, describe_image
from mmfeat.image._threads import one_blas_thread
from mmfeat.utils._base import SequenceTransformer
from mmfeat.utils._compat import Interval, Options, StrOptions, _fit_context
from mmfeat.utils._device import resolve_device
from mmfeat.utils._progress import progress
from mmfeat.utils._validation import check_images

_MOST_THREADS = 8


class LocalDescriptors(SequenceTransformer, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Descriptors of many small patches of each image: a bag of vectors, for the encodings of :mod:`mmfeat.encoding`.

    Parameters
    ----------
    kind : {"sift", "surf", "orb"}, default="sift"
        What describes a patch: "sift", 128 numbers, orientations in four by four bins; "surf", 64 numbers, upright, sums of
        Haar responses; "orb", 256 numbers 0 or 1, the bits of OpenCV's binary descriptor.
    sampling : {"keypoints", "dense"}, default="keypoints"
        Where the patches are: at key points found by the kind's own detector, turned by their orientation (SIFT, ORB); or
        upright at the points of a grid (SIFT, SURF).
    root : bool, default=True
        RootSIFT: square roots of descriptors that sum to 1, so that inner products compare histograms by the Hellinger
        kernel. Only for SIFT, which alone is a histogram.
    step : int, default=8
        Pixels between the points of the grid.
    scales : sequence of float, default=(4, 8)
        For the grid: pixels a bin of SIFT. 4 makes patches of 16 by 16 pixels, whatever the kind.
    max_keypoints : int or None, default=None
        Keep so many of the strongest of each image.
    max_size : int or None, default=640
        Shrink an image whose longer side has more pixels, before anything else. All lengths in pixels count after that.
    coordinates : bool, default=False
        Append three columns in [0, 1]: x and y of the centre as shares of width and height, and the side of the patch as a
        share of the longer side of the image (at most 1).
    n_jobs : int or None, default=None
        Threads over the images. None takes one a core, eight at most; -1 one a core.
    device : str, default="cpu"
        Where dense SIFT is computed: "cpu" (NumPy), "cuda" or "cuda:N" (torch), or "auto".
    max_bytes : int or None, default=2**30
        Bags that together take more are not kept: see :meth:`transform`. None keeps all.
    verbose : bool, default=False
        Show a progress bar when it takes more than two seconds.

    Attributes
    ----------
    n_features_out_ : int
        Columns of a bag.

    See Also
    --------
    HOGFeatures : One vector an image, without a vocabulary to learn.

    Notes
    -----
    The strength, by which a bag is in order, is the detector's response, or on a grid the length of the descriptor before it
    was normalised. Descriptors have length 1 (those of flat patches on a grid are zero), those of ORB are bits: their squared
    Euclidean distance is the Hamming distance.

    An image without key points, or smaller than a patch, has a bag of no rows.

    SURF is upright. Of key points matched by descriptors on smooth texture, nine in ten are still right after a turn of 10
    degrees, one half after 20, none after 45; the detector itself finds blobs at any turn.
    Dense SIFT equals that of OpenCV at ``cv2.KeyPoint(x, y, size=scale / 1.5, angle=0)``.

    While it works, OpenCV is kept at one thread (``cv2.setNumThreads``), as each thread has an image of its own.

    References
    ----------
    Lowe, D. G. (2004). Distinctive image features from scale-invariant keypoints. IJCV 60(2), section 6.

    Arandjelovic, R. and Zisserman, A. (2012). Three things everyone should know to improve object retrieval. CVPR,
    section 2.

    Bay, H., Ess, A., Tuytelaars, T. and Van Gool, L. (2008). Speeded-up robust features. CVIU 110(3), sections 3 and 4.

    Rublee, E., Rabaud, V., Konolige, K. and Bradski, G. (2011). ORB: an efficient alternative to SIFT or SURF. ICCV.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.image import LocalDescriptors
    >>> disc = np.hypot(*np.mgrid[-32:32, -32:32]) < 12
    >>> bags = LocalDescriptors().fit_transform([disc, np.zeros((64, 64))])
    >>> [bag.shape[1] for bag in bags], len(bags[0]) > 0, len(bags[1])
    ([128, 128], True, 0)
    >>> LocalDescriptors(sampling="dense", scales=(4,), coordinates=True).fit_transform([disc])[0].shape
    (49, 131)
    """

    _parameter_constraints = {
        "kind": [StrOptions(set(WIDTHS))],
        "sampling": [StrOptions({"keypoints", "dense"})],
        "root": ["boolean"],
        "step": [Interval(Integral, 1, None, closed="left")],
        "scales": [tuple, list, np.ndarray],
        "max_keypoints": [None, Interval(Integral, 1, None, closed="left")],
        "max_size": [None, Interval(Integral, 1, None, closed="left")],
        "coordinates": ["boolean"],
        "n_jobs": [None, Interval(Integral, 1, None, closed="left"), Options(Integral, {-1})],
        "device": [str],
        "max_bytes": [None, Interval(Integral, 0, None, closed="left")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        kind="sift",
        *,
        sampling="keypoints",
        root=True,
        step=8,
        scales=(4, 8),
        max_keypoints=None,
        max_size=640,
        coordinates=False,
        n_jobs=None,
        device="cpu",
        max_bytes=2**30,
        verbose=False,
    ):
        self.kind = kind
        self.sampling = sampling
        self.root = root
        self.step = step
        self.scales = scales
        self.max_keypoints = max_keypoints
        self.max_size = max_size
        self.coordinates = coordinates
        self.n_jobs = n_jobs
        self.device = device
        self.max_bytes = max_bytes
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
        self : LocalDescriptors

        Raises
        ------
        ValueError
            If `X` is no sequence of images or is empty, a scale is no number of at least 1, torch does not see `device`, or
            ORB is asked for on a grid.
        """
        check_images(X)
        self._recipe()
        self.n_features_out_ = len(self._names())
        return self

    def transform(self, X):
        """Describe the patches of images.

        Parameters
        ----------
        X : sequence of images
            As in :meth:`fit`.

        Returns
        -------
        bags : list of ndarray of shape (n_descriptors, n_features_out_), dtype float32
            Strongest first. If they take more than `max_bytes`, a read-only sequence instead: it keeps what fits and computes
            the others whenever they are asked for, a few ahead in threads when it is iterated over. Slices and lists of
            indices of it are such sequences again. Its pickle holds the images, no bags.

        Raises
        ------
        ImageDecodeError
            If an image cannot be read; in such a sequence, when its bag is asked for.
        """
        check_is_fitted(self)
        # All there is to know about the parameters now: a bag that is computed later must not follow a later change.
        images = check_images(X)
        options = {"mode": "L", "min_size": self.max_size}
        deferred = DeferredBags(images, self._recipe(), options, self._n_threads(), {})
        bags: list = []
        n_bytes = 0
        bar = progress(total=len(images), desc="LocalDescriptors", unit="image", verbose=bool(self.verbose))
        with one_blas_thread(), bar:
            for bag in deferred:
                n_bytes += bag.nbytes
                if self.max_bytes is not None and n_bytes > self.max_bytes:
                    return deferred.keeping(dict(enumerate(bags)))
                bags.append(bag)
                bar.update()
        return bags

    def get_feature_names_out(self, input_features=None):
        """Names of the columns of a bag: ``sift_ROW_COLUMN_ORIENTATION``, ``surf_ROW_COLUMN_dx``, ``orb17``, ``x``...

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

    def set_output(self, *, transform=None):
        """Do nothing: bags are no table, whatever container a pipeline is asked for.

        Parameters
        ----------
        transform : str or None
            Ignored.

        Returns
        -------
        self : LocalDescriptors
        """
        return self

    def _names(self):
        if self.kind == "orb":
            names = [f"orb{bit}" for bit in range(WIDTHS["orb"])]
        else:
            inner = range(8) if self.kind == "sift" else ("dx", "dy", "absdx", "absdy")
            names = [f"{self.kind}_{row}_{column}_{one}" for row in range(4) for column in range(4) for one in inner]
        return [*names, "x", "y", "scale"] if self.coordinates else names

    def _recipe(self):
        """The function from pixels to a bag, with the parameters as they are now."""
        dense = self.sampling == "dense"
        if dense and self.kind == "orb":
            raise ValueError(
                "ORB has no grid: kind='orb' needs sampling='keypoints'. Use kind='sift' or 'surf' on a grid."
            )
        scales = tuple(self.scales)
        if not scales or not all(isinstance(scale, Real) and 1 <= float(scale) < np.inf for scale in scales):
            raise ValueError(f"`scales` must be numbers of at least 1, in pixels. Got {self.scales!r} instead.")
        names = ("kind", "sampling", "root", "step", "max_keypoints", "max_size", "coordinates")
        # Without a grid nothing needs torch, which takes seconds to load.
        device = resolve_device(self.device) if dense and self.device != "cpu" else "cpu"
        return partial(describe_image, scales=scales, device=device, **{name: getattr(self, name) for name in names})

    def _n_threads(self):
        if self.n_jobs is None:
            return min(_MOST_THREADS, cpu_count())
        return cpu_count() if self.n_jobs == -1 else self.n_jobs
