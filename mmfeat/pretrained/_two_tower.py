"""One tower of a model whose two towers put pictures and sentences into one space."""

import os
import warnings
from contextlib import closing
from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mmfeat.pretrained._encode import check_templates, encode_images, encode_texts
from mmfeat.pretrained._folder import find_folder, kind_of
from mmfeat.pretrained._shared import shared_model
from mmfeat.text._model_folder import digest
from mmfeat.utils._base import SequenceTransformer
from mmfeat.utils._compat import Interval, StrOptions, _fit_context
from mmfeat.utils._device import resolve_device, uses_bfloat16
from mmfeat.utils._progress import progress
from mmfeat.utils._unknown import warn_unknown, zero_rows
from mmfeat.utils._validation import check_images, check_texts


class TwoTower(SequenceTransformer):
    """Pictures, or sentences, in the common space of CLIP, Chinese-CLIP, SigLIP or a model of open_clip.

    One estimator is one tower; a picture and a sentence that belong together have rows of high cosine. With
    ``Retriever(TwoTower(model, "image"), TwoTower(model, "text"), fusion="passthrough")`` nothing is learned; with
    ``CCA()`` or ``LearnedProjection()`` instead the space is adapted to one's own pairs.

    Needs the extra ``pretrained``: ``pip install 'mmfeat[pretrained]'``; models of open_clip the extra ``open_clip``.

    Parameters
    ----------
    model : str or os.PathLike
        A folder with ``config.json``, the files of tokenizer and image processor, and weights in ``*.safetensors``, as
        transformers writes them (types ``clip``, ``chinese_clip``, ``siglip``); or with ``open_clip_config.json`` and
        ``open_clip_model.safetensors``. Or a name on the Hugging Face hub, which is downloaded once
        (``"google/siglip-base-patch16-224"``; ``"hf-hub:NAME"`` takes the files of open_clip). Pickled weights are not
        read, and code that a model brings along is not run.
    tower : {"image", "text"}, default="image"
        What goes in: pictures or sentences.
    batch_size : int, default=32
        Pictures or sentences that pass the network at once. Sentences in a batch are of similar length.
    device : str, default="auto"
        "auto" (CUDA if there is one), "cpu", "cuda" or "cuda:N".
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        Weights and arithmetic of the network. "auto" is bfloat16 where the device has it in hardware.
    templates : list of str or None, default=None
        Prompts with ``{}`` where the text goes, such as ``"a photo of a {}"``; the row of a text is the mean over all of
        them ([1]_, section 3.1.4: of vectors of unit length, if `normalize`). For ``tower="text"`` only.
    max_length : int or None, default=None
        Tokens after which a text is cut off, with a warning. None is what the model takes. For ``tower="text"`` only.
    normalize : bool, default=True
        Rows of unit length.
    on_error : {"raise", "warn"}, default="raise"
        What happens to a picture that cannot be read: an error that names it, or a row of NaN, a warning and an entry in
        `errors_`.
    revision : str or None, default=None
        Branch, tag or commit on the hub.
    verbose : int, default=0
        Above 0 shows a progress bar when it takes more than two seconds.

    Attributes
    ----------
    n_features_out_ : int
        Columns of the result, the same for both towers.
    model_digest_ : str
        SHA-256 over the files of the model. :meth:`transform` refuses another model.
    logit_scale_, logit_bias_ : float
        What the model multiplies a cosine by, and adds, before its softmax (CLIP) or sigmoid (SigLIP).
    errors_ : list of (int, str or None, str)
        Position, path and message of each picture that the last :meth:`transform` could not read.

    See Also
    --------
    ZeroShotClassifier : Classes told by their names.
    mmfeat.retrieval.Retriever : Joins both towers.
    mmfeat.caching.CachedTransformer : Keeps the rows on disk.

    Notes
    -----
    The model is loaded when it is needed, once a process for all estimators of the same files, precision and device (the
    last two models stay in memory), and is not pickled: its folder must still be there, unchanged, when a pickled
    estimator is used. Rows are those of ``get_image_features`` and ``get_text_features`` on the output of the model's own
    processor, and do not depend on the rows beside them, up to rounding. Transparency is laid on white and 16-bit samples
    are divided by 257, which the processors of most models do not do.

    References
    ----------
    .. [1] Radford, A. et al. (2021). Learning transferable visual models from natural language supervision. ICML.
    .. [2] Yang, A. et al. (2022). Chinese CLIP: contrastive vision-language pretraining in Chinese. arXiv:2211.01335.
    .. [3] Zhai, X., Mustafa, B., Kolesnikov, A. and Beyer, L. (2023). Sigmoid loss for language image pre-training. ICCV.

    Examples
    --------
    >>> from mmfeat.pretrained import TwoTower
    >>> from mmfeat.retrieval import Retriever
    >>> towers = [TwoTower("google/siglip-base-patch16-224", tower) for tower in ("image", "text")]
    >>> retriever = Retriever(*towers, fusion="passthrough")
    >>> retriever.fit(pairs).encode_text(["a red ball"]).shape  # doctest: +SKIP
    (1, 768)
    """

    _parameter_constraints = {
        "model": [str, os.PathLike],
        "tower": [StrOptions({"image", "text"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "precision": [StrOptions({"float32", "bfloat16", "auto"})],
        "templates": [list, tuple, None],
        "max_length": [None, Interval(Integral, 1, None, closed="left")],
        "normalize": ["boolean"],
        "on_error": [StrOptions({"raise", "warn"})],
        "revision": [str, None],
        "verbose": ["verbose"],
    }

    # Parameters that change nothing in a row that can be read; the model itself counts by its digest, wherever it lies.
    _cache_ignores = ("model", "revision", "batch_size", "device", "on_error")
    _cache_libraries = (
        "pillow",
        "torch",
        "torchvision",
        "transformers",
        "tokenizers",
        "sentencepiece",
        "open_clip_torch",
        "ftfy",
    )

    def __init__(
        self,
        model,
        tower="image",
        *,
        batch_size=32,
        device="auto",
        precision="float32",
        templates=None,
        max_length=None,
        normalize=True,
        on_error="raise",
        revision=None,
        verbose=0,
    ):
        self.model = model
        self.tower = tower
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.templates = templates
        self.max_length = max_length
        self.normalize = normalize
        self.on_error = on_error
        self.revision = revision
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Load the model and learn its width; pictures are not opened, texts are only checked.

        Parameters
        ----------
        X : sequence of images or of str
            As `tower` says.
        y : None
            Ignored.

        Returns
        -------
        self : TwoTower

        Raises
        ------
        ValueError
            If `X` is no such sequence or is empty, a parameter is not valid, or the folder holds no two-tower model that
            can be read.
        OSError
            If the folder is not there, or the model cannot be downloaded.
        ImportError
            If the extra is not installed.
        """
        self._check_items(X)
        self._check_parameters()
        towers, held = self._loaded()
        self.n_features_out_ = towers.width
        self.model_digest_ = held
        self.logit_scale_, self.logit_bias_ = towers.scale, towers.bias
        self.errors_ = []
        return self

    def transform(self, X):
        """Put pictures or sentences into the common space.

        Parameters
        ----------
        X : sequence of images or of str
            As `tower` says.

        Returns
        -------
        features : ndarray of shape (n_items, n_features_out_), dtype float32

        Raises
        ------
        ImageDecodeError
            If an image cannot be read and `on_error` is "raise".
        ValueError
            If `X` is no such sequence or is empty, or the model is not that of :meth:`fit`.
        OSError
            If the model is gone.
        """
        check_is_fitted(self)
        items = self._check_items(X)
        self._validate_params()
        self._check_parameters()
        towers, held = self._loaded()
        if held != self.model_digest_:
            raise ValueError(
                f"`model`={str(self.model)!r} (SHA-256 {held}) is not the model of fit (SHA-256 {self.model_digest_}). "
                "Pass the same one, or fit again."
            )
        features = np.full((len(items), self.n_features_out_), np.nan, dtype=np.float32)
        describe = self._describe_images if self.tower == "image" else self._describe_texts
        with progress(total=len(items), desc="TwoTower", unit=self.tower, verbose=bool(self.verbose)) as bar:
            trouble = describe(towers, items, features, bar)
        if trouble:
            warnings.warn(trouble, UserWarning, stacklevel=3)
        if self.tower == "text":
            warn_unknown(zero_rows(features), "TwoTower gives zeros, which are similar to nothing")
        return features

    def get_feature_names_out(self, input_features=None):
        """Names ``twotower0``, ``twotower1``...

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects, shape (n_features_out_,)
        """
        check_is_fitted(self)
        return np.array([f"twotower{column}" for column in range(self.n_features_out_)], dtype=object)

    def _describe_images(self, towers, images, features, bar):
        errors = []
        batches = encode_images(towers, images, batch_size=self.batch_size, normalize=self.normalize)
        with closing(batches):
            for rows, vectors, failed in batches:
                if failed and self.on_error == "raise":
                    raise failed[0][1]
                features[rows] = vectors
                errors += [(row, _path_of(images[row]), str(error)) for row, error in failed]
                bar.update(len(rows) + len(failed))
        self.errors_ = errors
        if not errors:
            return None
        return (
            f"{len(errors)} of {len(images)} images could not be read, their rows are NaN; `errors_` lists them. "
            f"The first: {errors[0][2]}"
        )

    def _describe_texts(self, towers, texts, features, bar):
        n_cut = 0
        settings = {name: getattr(self, name) for name in ("templates", "max_length", "batch_size", "normalize")}
        for rows, vectors, n_too_long in encode_texts(towers, texts, **settings):
            features[rows] = vectors
            n_cut += n_too_long
            bar.update(len(vectors))
        if not n_cut:
            return None
        return f"{n_cut} of {len(texts)} texts have more tokens than the model takes, and were cut off."

    def _check_items(self, X):
        return check_images(X) if self.tower == "image" else check_texts(X)

    def _check_parameters(self):
        if self.tower == "image":
            for name in ("templates", "max_length"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"`{name}` is for tower='text'. Got {getattr(self, name)!r} with tower='image'. Use None."
                    )
        check_templates(self.templates)

    def _loaded(self):
        """Return the model of the present parameters and the digest of its files, which are looked at each time."""
        folder = find_folder(self.model, self.revision)
        kind, held = kind_of(folder), digest(folder)
        device = resolve_device(self.device)
        half = uses_bfloat16(self.precision, device.partition(":")[0])
        return shared_model(folder, kind, held, device, half), held

    @property
    def _cache_strings(self):
        return "path" if self.tower == "image" else "text"

    def _cache_resolved(self):
        """Parameters that mean something else on another machine, as they are here."""
        if self.precision != "auto":
            return {}
        half = uses_bfloat16("auto", resolve_device(self.device).partition(":")[0])
        return {"precision": "bfloat16" if half else "float32"}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = self.tower == "text"
        return tags


def _path_of(image):
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else None
