"""Features from the layers of a network."""

import os
import warnings
from contextlib import closing
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mmfeat.image._network import build_network, network_key
from mmfeat.image._pipeline import Settings, describe
from mmfeat.image._pool import check_pooling, pooled_width
from mmfeat.utils._base import SequenceTransformer
from mmfeat.utils._compat import Interval, StrOptions, _fit_context
from mmfeat.utils._device import resolve_device, uses_bfloat16
from mmfeat.utils._progress import progress
from mmfeat.utils._validation import check_images


class CNNFeatures(SequenceTransformer):
    """Activations of a network, trained on other pictures to tell classes, as features.

    Parameters
    ----------
    model : str or callable, default="resnet18"
        Any name of ``torchvision.models.list_models(module=torchvision.models)``; ``"timm/NAME"`` for a network of timm
        (``pip install 'mmfeat[timm]'``); or a function without arguments that returns a ``torch.nn.Module``, which is
        copied by :meth:`fit`.
    weights : str, os.PathLike or None, default="DEFAULT"
        Name of weights of torchvision (``"DEFAULT"``, ``"IMAGENET1K_V1"``; downloaded once), or a file with a state
        dict (``.pth``, ``.pt``, ``.safetensors``; read without running code). "DEFAULT" also stands for the published
        weights of timm, and for those a callable's network has. None is a random network, with a warning.
    layer : str, list of str or None, default=None
        Nodes or modules of the network whose outputs are joined, as named by
        ``torchvision.models.feature_extraction.get_graph_node_names``; a module stands for its last node.
        None is the input of the classifier's last layer. Of a network that cannot be traced only modules.
    pooling : {"avg", "max", "gem", "rmac", "flatten"} or None, default="avg"
        What becomes of the places of a map, or of the tokens of a transformer: "gem" is the cube root of the mean cube
        [2]_, "rmac" a sum over regions of three sizes [3]_ (maps only). None keeps the places: each picture gives
        a bag of vectors, the layers joined place by place, so their maps must be of one size. Vectors stay as they are.
    test_time : {"center", "flip", "five_crop", "ten_crop"}, default="center"
        Views of a picture whose features are averaged: itself; also its mirror image; the corners and the centre; also
        their mirror images. Takes 1, 2, 5 or 10 times as long. Bags hold the places of one view after the other.
    resize : {"crop", "squash"}, default="crop"
        "crop" resizes the short side and crops the centre, as the weights were trained; "squash" resizes the whole
        picture to the size of that crop, aspect not kept. Before five crops, to the size they are cut from.
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        Arithmetic of the network. "auto" is bfloat16 where the device has it in hardware: CUDA since Ampere, processors
        with AMX or AVX512-BF16. Float32 gives the same bits in each run on one machine.
    device : str, default="auto"
        "auto" (CUDA if there is one), "cpu", "cuda" or "cuda:N".
    batch_size : int, default=32
        Pictures that pass the network at once; on a processor no more than eight a thread, which is quickest. Where the
        memory of a CUDA device is too small, halves are tried.
    compile : bool, default=False
        Pass the network through ``torch.compile``: minutes once a process, then faster on CUDA. Needs a compiler.
    on_error : {"raise", "warn"}, default="raise"
        What happens to a picture that cannot be read: an error that names it, or a row of NaN (an empty bag), a warning
        and an entry in `errors_`.
    random_state : int, default=0
        Seed of a random network; torch's own generator is left alone.
    verbose : int, default=0
        Above 0 shows a progress bar when it takes more than two seconds.

    Attributes
    ----------
    layers_ : list of str
        Layers that are read.
    n_features_out_ : int
        Columns of the result.
    weights_digest_ : str or None
        SHA-256 of the file of weights, or of the weights where there is no file; None for a random network.
        :meth:`transform` refuses other weights.
    errors_ : list of (int, str or None, str)
        Position, path and message of each picture that the last :meth:`transform` could not read.

    See Also
    --------
    mmfeat.encoding.PowerNormalizer : The square root of these features is the better input of a linear method.

    Notes
    -----
    Preprocessing (size, filter, crop, mean, standard deviation) is that of the named weights; that of the default
    weights of the model for a file or a random network; that of timm for its networks; for a network of your own
    224 of 256 pixels and the means of ImageNet. A large JPEG is decoded at a fraction of its size, both sides
    at least twice what the network takes. The network is always in evaluation mode. It is built when it is needed and is
    not pickled: a file of weights must still be there, unchanged, when a pickled estimator is used.

    References
    ----------
    .. [1] Razavian, A. S., Azizpour, H., Sullivan, J. and Carlsson, S. (2014). CNN features off-the-shelf: an astounding
       baseline for recognition. CVPR workshops.
    .. [2] Radenovic, F., Tolias, G. and Chum, O. (2019). Fine-tuning CNN image retrieval with no human annotation. IEEE
       TPAMI 41(7), equation 3, p = 3; values below zero count as zero.
    .. [3] Tolias, G., Sicre, R. and Jegou, H. (2016). Particular object retrieval with integral max-pooling of CNN
       activations. ICLR, section 3.2, without the whitening.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from mmfeat.image import CNNFeatures
    >>> picture = np.zeros((40, 60, 3), dtype=np.uint8)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # the network is random
    ...     cnn = CNNFeatures("squeezenet1_1", weights=None, layer=["features.5", "features.12"]).fit([picture])
    >>> cnn.transform([picture]).shape
    (1, 640)
    >>> cnn.get_feature_names_out()[[0, -1]]
    array(['features.5_0', 'features.12_511'], dtype=object)
    """

    _parameter_constraints = {
        "model": [str, callable],
        "weights": [str, os.PathLike, None],
        "layer": [str, list, tuple, None],
        "pooling": [StrOptions({"avg", "max", "gem", "rmac", "flatten"}), None],
        "test_time": [StrOptions({"center", "flip", "five_crop", "ten_crop"})],
        "resize": [StrOptions({"crop", "squash"})],
        "precision": [StrOptions({"float32", "bfloat16", "auto"})],
        "device": [str],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "compile": ["boolean"],
        "on_error": [StrOptions({"raise", "warn"})],
        "random_state": [Interval(Integral, 0, 2**32 - 1, closed="both")],
        "verbose": ["verbose"],
    }

    # Parameters that change nothing in a row that can be read.
    _cache_ignores = ("batch_size", "device", "on_error", "compile")

    def __init__(
        self,
        model="resnet18",
        weights="DEFAULT",
        layer=None,
        pooling="avg",
        *,
        test_time="center",
        resize="crop",
        precision="float32",
        device="auto",
        batch_size=32,
        compile=False,
        on_error="raise",
        random_state=0,
        verbose=0,
    ):
        self.model = model
        self.weights = weights
        self.layer = layer
        self.pooling = pooling
        self.test_time = test_time
        self.resize = resize
        self.precision = precision
        self.device = device
        self.batch_size = batch_size
        self.compile = compile
        self.on_error = on_error
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Build the network, and learn the width of its layers; the pictures are not opened.

        Parameters
        ----------
        X : sequence of images
            Paths, PIL images, arrays (height, width[, 1, 3 or 4]) or bytes of image files.
        y : None
            Ignored.

        Returns
        -------
        self : CNNFeatures

        Raises
        ------
        ValueError
            If `X` is no sequence of images or is empty, a name is unknown, or the weights do not fit the model.
        OSError
            If weights cannot be downloaded.
        """
        check_images(X)
        if self.weights is None and isinstance(self.model, str):
            warnings.warn(
                f"weights=None: the {self.model} is random, its features are weak. Pass weights='DEFAULT' or a file.",
                UserWarning,
                stacklevel=2,
            )
        if callable(self.model):
            self._built = None  # what it returns may have been trained since
        network = self._network()
        self.layers_ = list(network.layers)
        self.n_features_out_ = sum(self._widths(network))
        self.weights_digest_ = network.digest()
        self.errors_ = []
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
            The layers side by side. With `pooling=None` a list of arrays of shape ``(n_regions, n_features_out_)``.

        Raises
        ------
        ImageDecodeError
            If an image cannot be read and `on_error` is "raise".
        ValueError
            If the weights are not those of :meth:`fit`.
        torch.OutOfMemoryError
            If not even a single picture fits into the memory of the device.
        """
        check_is_fitted(self)
        images = check_images(X)
        network = self._checked_network()
        width = sum(self._widths(network))
        if self.pooling is None:
            features: Any = [np.empty((0, width), dtype=np.float32)] * len(images)
        else:
            features = np.full((len(images), width), np.nan, dtype=np.float32)
        errors = []
        settings = Settings(self.pooling, self.test_time, self.resize, self.batch_size, self.on_error)
        bar = progress(total=len(images), desc="CNNFeatures", unit="image", verbose=bool(self.verbose))
        with bar, closing(describe(network, images, settings)) as batches:
            for rows, values, failed in batches:
                for place, row in enumerate(rows):
                    # A bag of its own: one kept would keep its batch, which on CUDA lies in pinned memory.
                    features[row] = values[place] if self.pooling is not None else values[place].copy()
                errors += [(row, _path_of(images[row]), str(error)) for row, error in failed]
                bar.update(len(rows) + len(failed))
        self.errors_ = errors
        if errors:
            self._warn_of(errors, len(images))
        return features

    def get_feature_names_out(self, input_features=None):
        """Names ``LAYER_CHANNEL``, such as ``features.18_0``.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects, shape (n_features_out_,)
        """
        check_is_fitted(self)
        network = self._checked_network()
        pairs = zip(network.layers, self._widths(network), strict=True)
        return np.array([f"{layer}_{channel}" for layer, width in pairs for channel in range(width)], dtype=object)

    def _cache_resolved(self):
        """Parameters that mean something else on another machine, as they are here."""
        if self.precision != "auto":
            return {}
        half = uses_bfloat16("auto", resolve_device(self.device).partition(":")[0])
        return {"precision": "bfloat16" if half else "float32"}

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_built"}

    def _network(self):
        """Return the network of the present parameters; kept with them, so that a change of one is seen."""
        key = self._network_key()
        built = getattr(self, "_built", None)
        if built is None or built[0] != key:
            built = self._built = (key, build_network(key))
        check_pooling(built[1].layers, built[1].shapes, self.pooling)
        return built[1]

    def _network_key(self):
        device = resolve_device(self.device)
        half = uses_bfloat16(self.precision, device.partition(":")[0])
        run = {"half": half, "compiled": self.compile, "verbose": self.verbose}
        return network_key(self.model, self.weights, self.layer, device, self.random_state, **run)

    def _checked_network(self):
        network = self._network()
        self._check_digest(network)
        return network

    def _check_digest(self, network):
        found = network.digest()
        if found != self.weights_digest_:
            raise ValueError(
                f"`weights`={self.weights!r} (SHA-256 {found}) are not the weights of fit (SHA-256 "
                f"{self.weights_digest_}). Pass the same file, or fit again."
            )

    def _widths(self, network):
        return [pooled_width(shape, self.pooling) for shape in network.shapes]

    def _warn_of(self, errors, total):
        what = "bags are empty" if self.pooling is None else "rows are NaN"
        warnings.warn(
            f"{len(errors)} of {total} images could not be read, their {what}; `errors_` lists them. The first: "
            f"{errors[0][2]}",
            UserWarning,
            stacklevel=4,
        )


def _path_of(image):
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else None
