"""Scores corrected for hubs: items that are near to everything, and so are found by everything."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from mmfeat.retrieval._hubness_rules import RULES
from mmfeat.retrieval._scores import checked_unit_rows, cosine_scores, row_blocks, top_k
from mmfeat.utils._compat import Interval, StrOptions, _fit_context

_DTYPES = [np.float64, np.float32]
_LEARNED = ("_rule", "_settings", "n_bank_", "hubness_", "gallery_", "n_features_in_", "feature_names_in_")


class HubnessCorrection(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Correct scores for hubs: what was often near to the queries of a bank must be nearer still to be found.

    In many dimensions a few items of the gallery, the hubs, are near to most queries. The correction learns from the scores
    of a bank of queries, each against the whole gallery, how near each item is to everything, and holds it against the
    item. It is a transformer of score matrices, a query a row and an item of the gallery a column; as the parameter
    `hubness` of a :class:`Retriever` it needs no handling.

    Parameters
    ----------
    method : {"csls", "inverted_softmax", "qb_norm", "mutual_proximity"}, default="csls"
        How; see the Notes.
    n_neighbors : int, default=10
        Of "csls": how many of the best scores count as near; all of them where there are fewer.
    temperature : float, default=0.1
        Of "inverted_softmax" and "qb_norm", in units of the scores: the smaller, the more the nearest queries of the bank count
        alone. Worth a search: cosines of another model may be spread otherwise.
    bank : {"train", "queries"}, default="train"
        What a :class:`Retriever` fits the correction on. "train": embeddings of the pairs that it was fitted on; each
        query is then judged by itself. "queries": all queries that are asked together, which is *transductive*: the
        answer to one then depends on the others, and such figures belong apart. This estimator itself is fitted on what
        :meth:`fit` is given, and so transductive only as ``fit_transform``.

    Attributes
    ----------
    hubness_ : ndarray of shape (n_gallery,), dtype float64
        What is held against each item: the mean of its best scores ("csls"), the soft maximum of its scores, or their mean
        ("mutual_proximity").
    n_bank_ : int
        Queries of the bank.
    gallery_ : ndarray of shape (n_gallery, n_components), dtype float32
        Of :meth:`fit_embeddings` only: the gallery, rows of unit length, rounded as in :class:`EmbeddingIndex`.
    n_features_in_ : int
        Size of the gallery.
    feature_names_in_ : ndarray of str objects, shape (n_features_in_,)
        Names of the columns, if `X` had them.

    See Also
    --------
    mmfeat.retrieval.hubness_report : Says how strong the hubs are.

    Notes
    -----
    With the score s(q, g), the bank B and the gallery G:

    * "csls" (Conneau et al., section 2.3): 2 s(q, g) - r(q) - r(g), where r(q) is the mean of the best `n_neighbors` scores
      of the query in G and r(g) that of the item in B.
    * "inverted_softmax" (Smith et al., section 2.3, equation 9): exp(s(q, g) / t) over the sum of exp(s(b, g) / t) in B;
      given as t times its logarithm, with the mean for the sum, which is s(q, g) less a soft maximum over B.
    * "qb_norm" (Bogolin et al., section 3.3, the dynamic inverted softmax): the same if the query's best item is the best one
      of some query in B, else s(q, g). Items that tie for the best place all count.
    * "mutual_proximity" (Schnitzer et al., section 3.2, independent Gaussians): the product of the shares of scores
      below s(q, g) among those of the query and those of the item, taken as normal; given as its logit, log(p / (1 - p)),
      in which the best do not run together.

    Computed in float64, in blocks. A row is corrected by itself. The bank is taken in by :meth:`partial_fit` block by
    block; in all but the last digits the order is of no matter.

    References
    ----------
    Bogolin, S.-V., Croitoru, I., Jin, H., Liu, Y. and Albanie, S. (2022). Cross modal retrieval with querybank
    normalisation. CVPR.

    Conneau, A., Lample, G., Ranzato, M., Denoyer, L. and Jegou, H. (2018). Word translation without parallel data.
    ICLR.

    Schnitzer, D., Flexer, A., Schedl, M. and Widmer, G. (2012). Local and global scaling reduce hubs in space. Journal of
    Machine Learning Research 13.

    Smith, S. L., Turban, D. H. P., Hamblin, S. and Hammerla, N. Y. (2017). Offline bilingual word vectors, orthogonal
    transformations and the inverted softmax. ICLR.

    Examples
    --------
    >>> from mmfeat.retrieval import HubnessCorrection
    >>> bank = [[0.5, 0.9], [0.4, 0.8], [0.3, 0.7]]
    >>> correction = HubnessCorrection("inverted_softmax").fit(bank)
    >>> correction.transform([[0.5, 0.6]]).round(2)
    array([[ 0.07, -0.23]])
    """

    _parameter_constraints = {
        "method": [StrOptions(set(RULES))],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "bank": [StrOptions({"train", "queries"})],
    }

    def __init__(self, method="csls", *, n_neighbors=10, temperature=0.1, bank="train"):
        self.method = method
        self.n_neighbors = n_neighbors
        self.temperature = temperature
        self.bank = bank

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn how near each item is to the queries of a bank.

        Parameters
        ----------
        X : array-like of shape (n_bank, n_gallery)
            Scores, higher is nearer.
        y : None
            Ignored.

        Returns
        -------
        self : HubnessCorrection

        Raises
        ------
        ValueError
            If `X` is empty, is no matrix, or holds NaN or infinity. An earlier fit is then as it was.
        """
        return self._become(clone(self)._take_in(X))

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Take more queries into the bank.

        Parameters
        ----------
        X : array-like of shape (n_bank, n_gallery)
            Scores of these queries.
        y : None
            Ignored.

        Returns
        -------
        self : HubnessCorrection

        Raises
        ------
        ValueError
            If `X` is empty, is no matrix, holds NaN or infinity, or has another number of columns than before, or if
            `method`, `n_neighbors` or `temperature` is not what it was for the first part.
        """
        return self._take_in(X)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_embeddings(self, bank, gallery):
        """Learn from embeddings, whose cosines are taken in blocks; the matrix of all scores is never held.

        Parameters
        ----------
        bank : array-like of shape (n_bank, n_components)
            Embedded queries.
        gallery : array-like of shape (n_gallery, n_components)

        Returns
        -------
        self : HubnessCorrection

        Raises
        ------
        ValueError
            If an embedding is NaN or infinite, one of both is empty, or they differ in width. An earlier fit is then as
            it was.
        """
        bank, gallery = checked_unit_rows(bank, "bank"), checked_unit_rows(gallery, "gallery")
        fitted = clone(self)
        for rows in row_blocks(len(bank), len(gallery)):
            fitted._take_in(cosine_scores(bank[rows], gallery))
        fitted.gallery_ = gallery
        return self._become(fitted)

    def transform(self, X):
        """Correct scores.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_gallery)
            Full rows of scores with the gallery that the bank was scored with.

        Returns
        -------
        X_new : ndarray of shape (n_queries, n_gallery)
            Higher is nearer; float32 if `X` is float32, else float64.

        Raises
        ------
        ValueError
            If `X` is empty, is no matrix, holds NaN or infinity, or has another number of columns than in :meth:`fit`.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=_DTYPES, reset=False)
        corrected = np.empty_like(X)
        for rows in row_blocks(*X.shape):
            corrected[rows] = self._rule.correct(X[rows].astype(np.float64))
        return corrected

    def search(self, queries, k=10):
        """Find the `k` nearest items of the gallery of :meth:`fit_embeddings` by corrected scores.

        Parameters
        ----------
        queries : array-like of shape (n_queries, n_components)
        k : int, default=10
            At most the size of the gallery.

        Returns
        -------
        scores : ndarray of shape (n_queries, k), dtype float32
            Corrected scores, best first.
        positions : ndarray of shape (n_queries, k), dtype int64
            Positions in the gallery; among equal scores the first in the gallery comes first.

        Raises
        ------
        ValueError
            If `k` is larger than the gallery, `queries` have another width, or the correction was fitted on scores.
        """
        check_is_fitted(self)
        if not hasattr(self, "gallery_"):
            raise ValueError(
                "The correction was fitted on scores and knows no gallery. Use `fit_embeddings` or `transform`."
            )
        n_items = len(self.gallery_)
        if not isinstance(k, (int, np.integer)) or not 1 <= k <= n_items:
            raise ValueError(
                f"`k` must be an integer between 1 and the size of the gallery, {n_items}. Got {k!r} instead."
            )
        queries = checked_unit_rows(queries, "queries")
        scores = np.empty((len(queries), k), dtype=np.float32)
        positions = np.empty((len(queries), k), dtype=np.int64)
        for rows in row_blocks(len(queries), n_items):
            block = self._rule.correct(cosine_scores(queries[rows], self.gallery_).astype(np.float64))
            scores[rows], positions[rows] = top_k(block, k)
        return scores, positions

    def _become(self, other):
        """Take over all that another has learned, in place of what was learned before."""
        for name in _LEARNED:
            self.__dict__.pop(name, None)
        self.__dict__.update({name: getattr(other, name) for name in _LEARNED if hasattr(other, name)})
        return self

    def _take_in(self, X):
        first = not hasattr(self, "_rule")
        settings = {name: getattr(self, name) for name in ("method", "n_neighbors", "temperature")}
        before = getattr(self, "_settings", settings)
        if settings != before:
            raise ValueError(
                f"The bank so far was taken in with {before}, and now the parameters are {settings}. Use `fit`."
            )
        X = validate_data(self, X, dtype=_DTYPES, reset=first)
        if first:
            self._rule = RULES[self.method](self.n_neighbors, self.temperature)
            self._settings, self.n_bank_ = settings, 0
        for rows in row_blocks(*X.shape):
            self._rule.update(X[rows].astype(np.float64))
        self.n_bank_ += len(X)
        self.hubness_ = np.array(self._rule.hubness)
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
