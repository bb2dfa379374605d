"""The estimator that joins an image encoder, a text encoder and a fusion."""

from inspect import signature

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils.validation import check_is_fitted

from mmfeat.retrieval._hubness import HubnessCorrection
from mmfeat.retrieval._scores import RowScores, check_query, checked_unit_rows, mean_recall
from mmfeat.utils._compat import HasMethods, StrOptions, _fit_context, _num_samples, _safe_indexing
from mmfeat.utils._pairs import split_pairs
from mmfeat.utils._validation import check_images, check_texts


class Retriever(MetaEstimatorMixin, BaseEstimator):
    """Pictures and sentences in one space: find the picture for a sentence and the sentence for a picture.

    Both views stand side by side in one table, one row per image, so that scikit-learn's splitters keep them together:
    ``cross_val_score``, ``cross_validate`` and ``GridSearchCV`` work as they are, and a grid reaches every step
    (``fusion__reg``, ``image_encoder__hogfeatures__orientations``).

    Parameters
    ----------
    image_encoder : transformer
        From a sequence of images to a matrix, for example ``make_union(ColorHistogram(), HOGFeatures())``.
    text_encoder : transformer
        From a sequence of str to a matrix, for example ``tfidf_lsa(300)``.
    fusion : fusion estimator or "passthrough"
        With ``fit(X, y)``, ``transform(X)`` and ``transform_y(y)``, for example :class:`~mmfeat.fusion.CCA`.
        "passthrough" compares the two encoders' outputs as they are, which must then have one width and one meaning.
    image : str, default="image"
        Name of the column of images when the pairs are a DataFrame.
    text : str, default="text"
        Name of the column of texts when the pairs are a DataFrame.
    hubness : HubnessCorrection or None, default=None
        Correction of the scores that :meth:`scores_against` gives for items that are near to everything. Its bank are the
        embeddings of all images and texts of the training pairs, which are then kept; with ``bank="queries"`` it is the
        queries themselves, which is transductive.

    Attributes
    ----------
    image_encoder_, text_encoder_ : transformer
        The fitted encoders.
    fusion_ : fusion estimator or "passthrough"
        The fitted fusion.
    hubness_ : HubnessCorrection or None
        The correction, not fitted: that needs a gallery.
    bank_image_, bank_text_ : ndarray of shape (n_images or n_texts, n_components), dtype float32
        Embeddings of the training pairs, rows of unit length; only with a correction whose bank they are.
    transductive_ : bool
        Whether the scores of a query depend on the other queries; figures of such a retriever belong apart.

    See Also
    --------
    mmfeat.retrieval.EmbeddingIndex : Searches a gallery of embeddings.
    mmfeat.metrics.retrieval_scorer : All recalls at once, for ``cross_validate``.

    Examples
    --------
    >>> from sklearn.pipeline import make_union
    >>> from mmfeat.datasets import make_scenes
    >>> from mmfeat.fusion import CCA
    >>> from mmfeat.image import ColorHistogram, HOGFeatures
    >>> from mmfeat.retrieval import EmbeddingIndex, Retriever
    >>> from mmfeat.text import tfidf_lsa
    >>> pairs = make_scenes(150, random_state=0)
    >>> train, test = pairs[:100], pairs[100:]
    >>> retriever = Retriever(make_union(ColorHistogram(), HOGFeatures()), tfidf_lsa(50), CCA(16)).fit(train)
    >>> index = EmbeddingIndex(retriever.encode_image(test["image"]), ids=test.index)
    >>> scores, image_ids = index.search(retriever.encode_text(["a red car"]), k=5)
    >>> image_ids.shape
    (1, 5)
    """

    _parameter_constraints = {
        "image_encoder": [HasMethods(["fit", "transform"])],
        "text_encoder": [HasMethods(["fit", "transform"])],
        "fusion": [HasMethods(["fit", "transform", "transform_y"]), StrOptions({"passthrough"})],
        "image": [str],
        "text": [str],
        "hubness": [HubnessCorrection, None],
    }

    def __init__(self, image_encoder, text_encoder, fusion, *, image="image", text="text", hubness=None):
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.fusion = fusion
        self.image = image
        self.text = text
        self.hubness = hubness

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, pairs, y=None):
        """Fit both encoders, then the fusion on all pairs of an image and one of its captions.

        Parameters
        ----------
        pairs : DataFrame of pandas or polars, or object ndarray of shape (n_images, 2)
            One row per image; its text is a str or a list of str.
        y : array-like of shape (n_images,) or (n_images, n_tags), default=None
            Classes or tags of the images, handed as `labels` to a fusion whose ``fit`` names that parameter; ignored
            otherwise. With them ``CCA(reg="auto")`` chooses by what shares a label, and no more by recall of the pair.

        Returns
        -------
        self : Retriever

        Raises
        ------
        ValueError
            If `pairs` is no pairs table: a list of two views, a missing column, an empty table, a missing caption, an
            image in two rows.
        """
        parts = split_pairs(pairs, self.image, self.text)
        self.image_encoder_, images = _fit_encoder(self.image_encoder, parts.images)
        self.text_encoder_, texts = _fit_encoder(self.text_encoder, parts.texts)
        if isinstance(self.fusion, str):
            if images.shape[1] != texts.shape[1]:
                raise ValueError(
                    f"fusion='passthrough' compares the encoders' outputs as they are, but images have {images.shape[1]} "
                    f"columns and texts {texts.shape[1]}. Use encoders of one width, or a fusion such as CCA()."
                )
            self.fusion_ = self.fusion
            return self._keep_bank(images, texts)
        wanted = signature(self.fusion.fit).parameters
        optional = {}
        if "groups" in wanted:
            optional["groups"] = parts.groups
        if "labels" in wanted and y is not None:
            optional["labels"] = _labels_of_texts(y, parts)
        self.fusion_ = clone(self.fusion).fit(_safe_indexing(images, parts.groups), texts, **optional)
        return self._keep_bank(images, texts)

    def encode_image(self, images):
        """Embed pictures in the common space.

        Parameters
        ----------
        images : sequence of str, os.PathLike, PIL.Image.Image, ndarray or bytes

        Returns
        -------
        embeddings : ndarray of shape (n_images, n_components)
        """
        check_is_fitted(self)
        return self._embed_image(self.image_encoder_.transform(check_images(images)))

    def encode_text(self, texts):
        """Embed sentences in the common space.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        embeddings : ndarray of shape (n_texts, n_components)
        """
        check_is_fitted(self)
        return self._embed_text(self.text_encoder_.transform(check_texts(texts)))

    def scores_against(self, gallery, *, query):
        """Make the function that scores encoded queries against an encoded gallery.

        Parameters
        ----------
        gallery : array-like of shape (n_gallery, n_components)
            From :meth:`encode_image` or :meth:`encode_text`.
        query : {"image", "text"}
            What the queries are, for the bank of the correction.

        Returns
        -------
        score : callable
            ``score(queries)`` gives an array of shape (n_queries, n_gallery), higher is better: cosines, exact but
            for the rounding to float32, corrected if the retriever has a correction. A row depends on its query alone, so
            that queries may come in blocks. The exception is a correction with ``bank="queries"``:
            ``score.transductive`` is then True, and the function takes all queries in one call.

        Raises
        ------
        ValueError
            If an embedding is NaN or infinite, or `query` is neither.
        """
        check_is_fitted(self)
        return RowScores(gallery, self.hubness_, getattr(self, f"bank_{check_query(query)}_", None))

    def score(self, pairs, y=None):
        """Mean of recall@1, @5 and @10 over both directions, in [0, 1].

        Parameters
        ----------
        pairs : DataFrame or object ndarray of shape (n_images, 2)
            At least 10 images; all of them, or all their captions, are the gallery.
        y : object
            Ignored.

        Returns
        -------
        score : float

        Raises
        ------
        ValueError
            If `pairs` is no pairs table or has fewer than 10 images.
        """
        return mean_recall(self, pairs)

    def _embed_image(self, features):
        return _as_array(features if isinstance(self.fusion_, str) else self.fusion_.transform(features))

    def _embed_text(self, features):
        return _as_array(features if isinstance(self.fusion_, str) else self.fusion_.transform_y(features))

    def _keep_bank(self, images, texts):
        self.hubness_ = None if self.hubness is None else clone(self.hubness)
        self.transductive_ = self.hubness is not None and self.hubness.bank == "queries"
        for name in ("bank_image_", "bank_text_"):
            self.__dict__.pop(name, None)
        if self.hubness is not None and not self.transductive_:
            self.bank_image_ = checked_unit_rows(self._embed_image(images), "bank_image_")
            self.bank_text_ = checked_unit_rows(self._embed_text(texts), "bank_text_")
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.no_validation = True
        return tags


def _fit_encoder(encoder, column):
    encoder = clone(encoder)
    if hasattr(encoder, "fit_transform"):
        return encoder, encoder.fit_transform(column)
    return encoder, encoder.fit(column).transform(column)


def _as_array(embeddings):
    """A plain array, also from an encoder that was told to give a DataFrame or gives a sparse matrix."""
    return embeddings.toarray() if sparse.issparse(embeddings) else np.asarray(embeddings)


def _labels_of_texts(y, parts):
    # Classes, lists of tags of any length, or indicators, dense or sparse.
    if _num_samples(y) != len(parts.images):
        raise ValueError(f"y must have one row an image. Got {_num_samples(y)} rows for {len(parts.images)} images.")
    return _safe_indexing(y, parts.groups)
