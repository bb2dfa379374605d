"""Features from language models that others have trained."""

import os
import warnings
from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mmfeat.text._language_model import load_model
from mmfeat.text._model_folder import digest
from mmfeat.utils._base import SequenceTransformer
from mmfeat.utils._compat import Interval, StrOptions, _fit_context
from mmfeat.utils._device import resolve_device
from mmfeat.utils._progress import progress
from mmfeat.utils._unknown import warn_unknown, zero_rows
from mmfeat.utils._validation import check_texts


class PretrainedTextFeatures(SequenceTransformer):
    """Sentence vectors of a language model: BERT and its kin, sentence-transformers, or tables of static vectors.

    Needs the extra ``pretrained``: ``pip install 'mmfeat[pretrained]'``.

    Parameters
    ----------
    model : str or os.PathLike
        A folder with ``config.json``, the tokenizer and weights in ``*.safetensors``; or a name on the Hugging Face hub
        (``"bert-base-chinese"``, ``"sentence-transformers/all-MiniLM-L6-v2"``), which is downloaded once. Also tables
        of static vectors, as model2vec and the ``StaticEmbedding`` of sentence-transformers write them. Pickled weights
        are not read, and code that a model brings along is not run.
    pooling : {"auto", "mean", "cls"}, default="auto"
        "mean" averages the last layer over all tokens, those of start and end included; "cls" takes the first. "auto" is
        what a model of sentence-transformers asks for, "mean" for other models.
    max_length : int or None, default=None
        Tokens after which a text is cut off, with a warning. None is what the model can take.
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        Arithmetic of the network. "auto" is bfloat16 where the device has it in hardware.
    device : str, default="auto"
        "auto" (CUDA if there is one), "cpu", "cuda" or "cuda:N".
    batch_size : int, default=64
        Texts that pass the network at once. Batches are of similar length, so that little is padded.
    revision : str or None, default=None
        Branch, tag or commit on the hub.
    verbose : int, default=0
        Above 0 shows a progress bar when it takes more than two seconds.

    Attributes
    ----------
    n_features_out_ : int
        Columns of the result.
    model_digest_ : str
        SHA-256 over the files of the model. :meth:`transform` refuses another model.

    See Also
    --------
    mmfeat.text.WordVectors : Vectors of words from a file, or trained on the texts.

    Notes
    -----
    The model is loaded when it is needed and is not pickled: its folder must still be there, unchanged, when a pickled
    estimator is used. Rows are not normalised, also where a model of sentence-transformers does so at its end:
    :class:`~sklearn.preprocessing.Normalizer` does. A row does not depend on the texts beside it, up to rounding.
    Texts without a token that the model knows, such as empty ones or a single emoji, become rows of zeros, and an
    :class:`UnknownTextWarning` names them. Models that want a prompt, such as ``"query: "``, get it from the user.

    References
    ----------
    Reimers, N. and Gurevych, I. (2019). Sentence-BERT: sentence embeddings using Siamese BERT-networks. EMNLP.

    Examples
    --------
    >>> from mmfeat.text import PretrainedTextFeatures
    >>> bert = PretrainedTextFeatures("bert-base-chinese", pooling="cls")
    >>> bert.fit_transform(["一只黑狗", "两个孩子"]).shape  # doctest: +SKIP
    (2, 768)
    """

    _parameter_constraints = {
        "model": [str, os.PathLike],
        "pooling": [StrOptions({"auto", "mean", "cls"})],
        "max_length": [None, Interval(Integral, 1, None, closed="left")],
        "precision": [StrOptions({"float32", "bfloat16", "auto"})],
        "device": [str],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "revision": [str, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model="sentence-transformers/all-MiniLM-L6-v2",
        pooling="auto",
        *,
        max_length=None,
        precision="float32",
        device="auto",
        batch_size=64,
        revision=None,
        verbose=0,
    ):
        self.model = model
        self.pooling = pooling
        self.max_length = max_length
        self.precision = precision
        self.device = device
        self.batch_size = batch_size
        self.revision = revision
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Load the model and learn its width; the texts are only checked.

        Parameters
        ----------
        X : sequence of str
        y : None
            Ignored.

        Returns
        -------
        self : PretrainedTextFeatures

        Raises
        ------
        ValueError
            If `X` is no sequence of str or is empty, a parameter is not valid, or the folder holds no model that can be
            read.
        OSError
            If the folder is not there, or the model cannot be downloaded.
        ImportError
            If the extra is not installed.
        """
        check_texts(X)
        loaded = self._loaded()
        if digest(loaded.folder) != loaded.digest:
            del self._built  # loaded for an earlier fit, and the folder has changed since
            loaded = self._loaded()
        self.n_features_out_ = loaded.width
        self.model_digest_ = loaded.digest
        return self

    def transform(self, X):
        """Describe texts.

        Parameters
        ----------
        X : sequence of str

        Returns
        -------
        features : ndarray of shape (n_texts, n_features_out_), dtype float32

        Raises
        ------
        ValueError
            If `X` is no sequence of str or is empty, or the model is not that of :meth:`fit`.
        OSError
            If the model is gone.
        """
        check_is_fitted(self)
        texts = check_texts(X)
        self._validate_params()
        loaded = self._loaded()
        if loaded.digest != self.model_digest_:
            raise ValueError(
                f"`model`={str(self.model)!r} (SHA-256 {loaded.digest}) is not the model of fit (SHA-256 "
                f"{self.model_digest_}). Pass the same one, or fit again."
            )
        features = np.empty((len(texts), self.n_features_out_), dtype=np.float32)
        settings = {name: getattr(self, name) for name in ("pooling", "max_length", "precision", "batch_size")}
        too_long = 0
        with progress(total=len(texts), desc=type(self).__name__, unit="text", verbose=bool(self.verbose)) as bar:
            for rows, vectors, n_cut in loaded.encode(texts, **settings):
                features[rows] = vectors
                too_long += n_cut
                bar.update(len(rows))
        if too_long:
            warnings.warn(
                f"{too_long} of {len(texts)} texts have more tokens than the model takes, and were cut off.",
                UserWarning,
                stacklevel=2,
            )
        warn_unknown(zero_rows(features), "PretrainedTextFeatures gives zeros, which are similar to nothing")
        return features

    def get_feature_names_out(self, input_features=None):
        """Names ``pretrained0``, ``pretrained1``...

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects, shape (n_features_out_,)
        """
        check_is_fitted(self)
        return np.array([f"pretrained{column}" for column in range(self.n_features_out_)], dtype=object)

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_built"}

    def _loaded(self):
        """Return the model of the present parameters; kept with them, so that a change of one is seen."""
        key = (os.fspath(self.model), self.revision, resolve_device(self.device))
        built = self.__dict__.get("_built")
        if built is None or built[0] != key:
            built = self._built = key, load_model(self.model, self.revision, key[2])
        return built[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags
