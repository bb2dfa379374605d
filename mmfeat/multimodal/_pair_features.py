"""Feature-level fusion: the features of the picture and those of the words, side by side."""

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from mmfeat.multimodal._blocks import Block
from mmfeat.multimodal._samples import image_column, text_column
from mmfeat.multimodal._targets import check_weights
from mmfeat.utils._compat import HasMethods, StrOptions, _fit_context

_SIDES = ("image", "text")


class PairFeatures(TransformerMixin, BaseEstimator):
    """Features of the picture and of the words of each pair side by side in one matrix: early fusion.

    The first step of any pipeline that classifies pairs, or regresses on them:
    ``make_pipeline(PairFeatures(CNNFeatures(), tfidf_lsa(100)), PCA(100), SVC())``.

    Parameters
    ----------
    image_encoder : transformer or "drop"
        From a sequence of images to a matrix. "drop" leaves the pictures out, to compare with the words alone.
    text_encoder : transformer or "drop"
        From a sequence of str to a matrix, dense or sparse. "drop" leaves the words out.
    image : str, default="image"
        Name of the column of images when the pairs are a DataFrame.
    text : str, default="text"
        Name of the column of texts when the pairs are a DataFrame.
    captions : {"join", "mean"}, default="join"
        What becomes of several captions in one row. "join": one text, a caption a line; "mean": the encoder learns from
        and sees each caption, and the row is the mean of their features, for encoders that read only so many words.
    normalize : {"l2", "standard", "block"} or None, default=None
        What is done to the features of either side before they are joined. "l2": rows get length 1. "standard": columns get
        deviation 1 and, unless sparse, mean 0. "block": all are divided by one number, so that rows have a mean
        squared length of 1 and a side counts no more for being wide.
    weights : (float, float) or None, default=None
        Factors of the pictures' and the words' features, after `normalize`.
    missing : {"error", "impute", "other"}, default="error"
        What becomes of a row whose picture or words are missing: None, NaN, or a picture that the encoder gives a row of
        NaN for (``CNNFeatures(on_error="warn")``). "error" refuses it by name. "impute" puts in the mean of the
        training rows. "other" leaves it to the other side: zeros, and two more columns ``image__missing`` and
        ``text__missing`` that hold 1 where a side is missing, else 0. With the last two an empty path and a blank text
        are missing too, and encoders learn from what is there.

    Attributes
    ----------
    image_encoder_, text_encoder_ : transformer or "drop"
        The fitted encoders.
    n_features_out_ : int
        Columns of the result.

    See Also
    --------
    LateFusionClassifier : Fuses decisions instead of features.
    AttentionFusionClassifier : Lets the features meet inside a network.
    mmfeat.retrieval.Retriever : Finds a picture for words and words for a picture.

    Notes
    -----
    One row is one sample, and a picture may stand in several rows with different words. Then let the folds of a
    cross-validation keep them together (``GroupKFold``).

    "impute" makes each row of a sparse side that is missing a full one; for a large vocabulary and many missing texts
    "other" is the better choice.

    Encoders are given `y`, where there is one, as steps of a pipeline are: ``make_pipeline(tfidf_lsa(None), SelectKBest())``
    works.

    References
    ----------
    Atrey, P. K., Hossain, M. A., El Saddik, A. and Kankanhalli, M. S. (2010). Multimodal fusion for multimedia
    analysis: a survey. Multimedia Systems 16, section 3.1.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.svm import SVC
    >>> from mmfeat.datasets import make_scenes
    >>> from mmfeat.image import ColorMoments
    >>> from mmfeat.multimodal import PairFeatures
    >>> from mmfeat.text import tfidf_lsa
    >>> posts = make_scenes(60, image_size=32, captions_per_image=1, task="sentiment", random_state=0)
    >>> features = PairFeatures(ColorMoments(), tfidf_lsa(10, random_state=0), normalize="standard")
    >>> model = make_pipeline(features, SVC()).fit(posts[:50], posts["label"][:50])
    >>> model.predict(posts[50:]).shape
    (10,)
    >>> model[0].get_feature_names_out()[-1]
    'text__lsa9'
    """

    _parameter_constraints = {
        "image_encoder": [HasMethods(["fit", "transform"]), StrOptions({"drop"})],
        "text_encoder": [HasMethods(["fit", "transform"]), StrOptions({"drop"})],
        "image": [str],
        "text": [str],
        "captions": [StrOptions({"join", "mean"})],
        "normalize": [StrOptions({"l2", "standard", "block"}), None],
        "weights": ["array-like", None],
        "missing": [StrOptions({"error", "impute", "other"})],
    }

    def __init__(
        self,
        image_encoder,
        text_encoder,
        *,
        image="image",
        text="text",
        captions="join",
        normalize=None,
        weights=None,
        missing="error",
    ):
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.image = image
        self.text = text
        self.captions = captions
        self.normalize = normalize
        self.weights = weights
        self.missing = missing

    def fit(self, X, y=None):
        """Fit both encoders, and what `normalize` and `missing` need.

        Parameters
        ----------
        X : DataFrame of pandas or polars, or object ndarray of shape (n_samples, 2)
            The pairs; a text is a str or a list of str.
        y : array-like of shape (n_samples, ...), default=None
            Handed to the encoders.

        Returns
        -------
        self : PairFeatures

        Raises
        ------
        ValueError
            If `X` is no pairs table, something is missing that may not be, or a side is missing in all rows.
        """
        self.fit_transform(X, y)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def fit_transform(self, X, y=None):
        """Fit, and return the features of the same pairs; each is encoded once.

        Parameters
        ----------
        X : DataFrame of pandas or polars, or object ndarray of shape (n_samples, 2)
        y : array-like of shape (n_samples, ...), default=None

        Returns
        -------
        features : ndarray or CSR matrix of shape (n_samples, n_features_out_)

        Raises
        ------
        ValueError
            As in :meth:`fit`.
        """
        factors = (1.0, 1.0) if self.weights is None else check_weights(self.weights)
        y = None if y is None else np.asarray(y)
        encoders = (self.image_encoder, self.text_encoder)
        if all(isinstance(encoder, str) for encoder in encoders):
            raise ValueError('`image_encoder` and `text_encoder` are both "drop". Keep one of them.')
        self._blocks, made = [], []
        for side, encoder, factor in zip(_SIDES, encoders, factors, strict=True):
            if not isinstance(encoder, str):
                block = Block(side, encoder, self.captions, self.normalize, factor, self.missing)
                made.append(block.fit_transform(self._column(side, X, self.missing), y))
                self._blocks.append(block)
        fitted = {block.side: block.encoder for block in self._blocks}
        self.image_encoder_, self.text_encoder_ = (fitted.get(side, "drop") for side in _SIDES)
        return self._join(made)

    def transform(self, X):
        """Return the features of pairs.

        Parameters
        ----------
        X : DataFrame of pandas or polars, or object ndarray of shape (n_samples, 2)

        Returns
        -------
        features : ndarray or CSR matrix of shape (n_samples, n_features_out_)
            CSR if an encoder gives a sparse matrix. The columns of the picture come first.

        Raises
        ------
        ValueError
            If `X` is no pairs table, or something is missing that may not be; the message names the row.
        """
        check_is_fitted(self)
        return self._join([block.transform(self._column(block.side, X, block.missing)) for block in self._blocks])

    @property
    def n_features_out_(self):
        """Columns of the result."""
        return sum(block.width for block in self._blocks) + len(self._indicators())

    def get_feature_names_out(self, input_features=None):
        """Names of the columns: those of the encoders after ``image__`` and ``text__``."""
        check_is_fitted(self)
        names = [f"{block.side}__{name}" for block in self._blocks for name in block.names()]
        return np.array(names + self._indicators(), dtype=object)

    def _indicators(self):
        return [f"{block.side}__missing" for block in self._blocks if block.missing == "other"]

    def _column(self, side, X, missing):
        return (image_column if side == "image" else text_column)(X, self.image, self.text, missing)

    def _join(self, made):
        features = [rows for rows, _ in made]
        if self._indicators():
            features += [(~present)[:, None].astype(features[0].dtype) for _, present in made]
        if any(sparse.issparse(rows) for rows in features):
            return sparse.hstack([sparse.csr_matrix(rows) for rows in features], format="csr")
        return np.hstack(features)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.no_validation = True
        return tags
