"""Features from the layers of a torchvision network."""

import os
import warnings
from itertools import islice
from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mmfeat.image._io import naming_image
from mmfeat.image._map import map_images
from mmfeat.image._network import build_network, network_key
from mmfeat.image._pool import normalise, pool, pooled_width, prepare
from mmfeat.image._weights import digest
from mmfeat.utils._base import SequenceTransformer
from mmfeat.utils._compat import Interval, StrOptions, _fit_context
from mmfeat.utils._device import resolve_device
from mmfeat.utils._progress import progress
from mmfeat.utils._validation import check_images


class CNNFeatures(SequenceTransformer):
    """Activations of a torchvision classification network, trained on other pictures, as features.

    Parameters
    ----------
    model : str, default="resnet18"
        Any name of ``torchvision.models.list_models(module=torchvision.models)``.
    weights : str, os.PathLike or None, default="DEFAULT"
        Name of weights of torchvision (``"DEFAULT"``, ``"IMAGENET1K_V1"``; downloaded once), or a file with a state
        dict (``.pth``, ``.pt``, ``.safetensors``; read without running code). None is a random network, with a warning.
    layer : str, list of str or None, default=None
        Nodes or modules of the network whose outputs are joined, as named by
        ``torchvision.models.feature_extraction.get_graph_node_names``; a module stands for its last node.
        None is the input of the classifier's last layer.
    pooling : {"avg", "max", "flatten"}, default="avg"
        What becomes of the places of a map, or of the tokens of a transformer. Vectors stay as they are.
    test_time : {"center", "flip"}, default="center"
        "flip" averages the features of a picture and of its mirror image; takes twice as long.
    resize : {"crop", "squash"}, default="crop"
        "crop" resizes the short side and crops the centre, as the weights were trained; "squash" resizes the whole
        picture to the size of that crop, aspect not kept.
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        Arithmetic of the network. "auto" is bfloat16 where the device has it in hardware.
    device : str, default="auto"
        "auto" (CUDA if there is one), "cpu", "cuda" or "cuda:N".
    batch_size : int, default=32
        Pictures that pass the network at once.
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
        SHA-256 of the file of weights, None for a random network. :meth:`transform` refuses other weights.

    See Also
    --------
    mmfeat.encoding.PowerNormalizer : The square root of these features is the better input of a linear method.

    Notes
    -----
    Preprocessing (size, filter, crop, mean, standard deviation) is that of the named weights; that of the default
    weights of the model for a file or a random network. A large JPEG is decoded at a fraction of its size, both sides
    at least twice what the network takes. The network is built when it is needed and is not pickled: a file of weights
    must still be there, unchanged, when a pickled estimator is used.

    References
    ----------
    Razavian, A. S., Azizpour, H., Sullivan, J. and Carlsson, S. (2014). CNN features off-the-shelf: an astounding
    baseline for recognition. CVPR workshops.

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
        "model": [str],
        "weights": [str, os.PathLike, None],
        "layer": [str, list, tuple, None],
        "pooling": [StrOptions({"avg", "max", "flatten"})],
        "test_time": [StrOptions({"center", "flip"})],
        "resize": [StrOptions({"crop", "squash"})],
        "precision": [StrOptions({"float32", "bfloat16", "auto"})],
        "device": [str],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "random_state": [Interval(Integral, 0, 2**32 - 1, closed="both")],
        "verbose": ["verbose"],
    }

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
        if self.weights is None:
            warnings.warn(
                f"weights=None: the {self.model} is random, its features are weak. Pass weights='DEFAULT' or a file.",
                UserWarning,
                stacklevel=2,
            )
        network = self._network()
        self.layers_ = list(network.layers)
        self.n_features_out_ = sum(self._widths(network))
        self.weights_digest_ = digest(network.path)
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
            The layers side by side.

        Raises
        ------
        ImageDecodeError
            If an image cannot be read.
        ValueError
            If the weights are not those of :meth:`fit`.
        """
        check_is_fitted(self)
        images = check_images(X)
        network = self._checked_network()
        features = np.empty((len(images), sum(self._widths(network))), dtype=np.float32)
        start = 0
        with progress(total=len(images), desc="CNNFeatures", unit="image", verbose=bool(self.verbose)) as bar:
            for batch in self._batches(images, network.preset):
                features[start : start + len(batch)] = self._describe(network, batch)
                start += len(batch)
                bar.update(len(batch))
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

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_built"}

    def _network(self):
        """Return the network of the present parameters; kept with them, so that a change of one is seen."""
        device = resolve_device(self.device)
        key = network_key(self.model, self.weights, self.layer, device, self.random_state, verbose=self.verbose)
        built = getattr(self, "_built", None)
        if built is None or built[0] != key:
            built = self._built = (key, build_network(key))
        return built[1]

    def _checked_network(self):
        network = self._network()
        found = digest(network.path)
        if found != self.weights_digest_:
            raise ValueError(
                f"`weights`={self.weights!r} (SHA-256 {found}) are not the weights of fit (SHA-256 "
                f"{self.weights_digest_}). Pass the same file, or fit again."
            )
        return network

    def _widths(self, network):
        return [pooled_width(shape, self.pooling) for shape in network.shapes]

    def _batches(self, images, preset):
        def work(pixels, row):
            with naming_image(images[row], row):
                return prepare(pixels, preset, self.resize)

        least = 2 * max(preset.crop_size[0], preset.resize_size[0])
        crops = map_images(work, images, min_size=least, ahead=2 * self.batch_size)
        while batch := list(islice(crops, self.batch_size)):
            yield np.stack(batch)

    def _describe(self, network, batch):
        import torch

        inputs = normalise(batch, network.preset, network.device)
        views = [inputs] if self.test_time == "center" else [inputs, inputs.flip(-1)]
        kind = network.device.partition(":")[0]
        half = uses_bfloat16(self.precision, kind)
        with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16, enabled=half):
            vectors = [self._join(network, network.module(view)) for view in views]
            return torch.stack(vectors).mean(0).cpu().numpy()

    def _join(self, network, outputs):
        import torch

        return torch.cat([pool(outputs[layer], self.pooling) for layer in network.layers], dim=1)


def uses_bfloat16(precision, kind):
    """Say whether the network runs in bfloat16 on this kind of device, ``"cpu"`` or ``"cuda"``."""
    import torch

    if precision != "auto":
        return precision == "bfloat16"
    if kind == "cuda":
        return torch.cuda.is_bf16_supported()
    # Not all releases of torch have these two, which are private to it.
    tests = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(test() for test in tests if test is not None)
