"""Several retrievers as one: their scores are fused, whatever they are made of."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from mmfeat.retrieval._fusion_members import check_members, check_weights, fused_function
from mmfeat.retrieval._fusion_pairs import learn_weights, rows_of, scores_of_all, some_rows, split_rows
from mmfeat.retrieval._fusion_rules import Rule
from mmfeat.retrieval._scores import check_query, checked_unit_rows, mean_recall
from mmfeat.utils._compat import Interval, StrOptions, _BaseComposition, _fit_context
from mmfeat.utils._pairs import split_pairs


class ScoreFusion(MetaEstimatorMixin, _BaseComposition):
    """Several retrievers as one, whatever they are: CCA, learned, two towers, corrected for hubs or fused themselves.

    Parameters
    ----------
    retrievers : list of (str, estimator)
        Names and estimators of pairs with ``encode_image`` and ``encode_text``, such as :class:`Retriever`; scores are
        those of its ``scores_against``, cosines if it has none, and see embeddings at unit length. "drop" for an
        estimator leaves it out. ``set_params(cca__fusion__reg=...)`` reaches into the one that is named cca.
    method : {"weighted", "sum", "mnz", "rrf", "vote"}, default="weighted"
        How; see the Notes.
    weights : "auto", array-like of shape (n_retrievers,) or None, default="auto"
        Of "weighted", brought to a sum of 1. "auto" learns them; None are equal ones. The other methods have no weights.
    normalize : {"auto", "global", "zscore", "minmax"} or None, default="auto"
        What makes scores comparable for "weighted", "sum" and "mnz". "global": divided by their standard deviation over
        all held-out or training pairs; "zscore": standardised query by query, which "mnz" does not take; "minmax":
        brought to [0, 1] query by query; None: as they are. "auto" is "global" for "weighted", "minmax" for the rest.
    depth : int, default=100
        Of "mnz" and "vote": how many of its best items a retriever is held to have found.
    rank_constant : int, default=60
        Of "rrf".
    validation_fraction : float, default=0.2
        Share of the images that weights are learned from.
    image : str, default="image"
        Name of the column of images when the pairs are a DataFrame.
    text : str, default="text"
        Name of the column of texts when the pairs are a DataFrame.
    random_state : int, RandomState instance or None, default=None
        Draws the held-out images.

    Attributes
    ----------
    retrievers_ : list of estimator
        The fitted retrievers without those that were dropped.
    named_retrievers_ : Bunch
        The same by name.
    weights_ : ndarray of shape (n_retrievers,)
        Of "weighted" only.
    scales_ : ndarray of shape (n_retrievers,)
        Standard deviations of the scores, both directions averaged; ones unless scores are normalised globally.
    validation_score_ : float
        Mean recall of the weighted sum on the pairs that the weights were learned from; only if they were learned. It is
        the best of many, and so no estimate of what is to come.
    n_components_ : list of int
        Columns of the encodings that belong to each retriever.
    transductive_ : bool
        Whether the scores of a query depend on the other queries, since those of a retriever do.

    Notes
    -----
    Of retrievers m with scores s_m and ranks r_m of an item in the row of a query:

    * "weighted": the sum of w_m s_m. Weights learned are those with the highest mean of recall@1, 5 and 10 both ways on at
      most 1,000 held-out images, searched in steps of 0.05. For it all retrievers are fitted on the other images, and then
      once more on all of them.
    * "sum", "mnz" (Fox and Shaw, CombSUM and CombMNZ): the sum of s_m; and that sum times the number of retrievers which have
      found the item, that is, among their first `depth`, since here no score is missing. The product makes sense of
      sums of at least 0, which "minmax" gives; with "global" or None it is up to the retrievers.
    * "rrf" (Cormack et al.): the sum of 1 / (`rank_constant` + r_m).
    * "vote": the number v of the retrievers that have the item among their first `depth`, and among items with as many
      votes the mean rank r: the score is (v + 1 - r / (n + 1)) / M, with n items and M retrievers.

    How is settled by :meth:`fit`; parameters set later do nothing before the next one.

    Items that tie all have the last of the places they share: a retriever that scores everything alike finds nothing.

    Encodings are those of the retrievers side by side, each part of unit length. With "weighted", unless scores are
    normalised query by query, a part is scaled by the root of its weight over its scale: if no retriever corrects for hubs,
    the *inner product* of two encodings is the fused score, and an index of encodings gives the same order.

    Retrievers wrapped in :class:`sklearn.frozen.FrozenEstimator` are not fitted again. If all are, weights are learned from
    all pairs given to :meth:`fit`, which they should not have seen.

    References
    ----------
    Cormack, G. V., Clarke, C. L. A. and Buettcher, S. (2009). Reciprocal rank fusion outperforms Condorcet and
    individual rank learning methods. SIGIR.

    Fox, E. A. and Shaw, J. A. (1994). Combination of multiple searches. TREC-2, NIST special publication 500-215.

    Examples
    --------
    >>> from mmfeat.datasets import make_scenes
    >>> from mmfeat.fusion import CCA
    >>> from mmfeat.image import ColorHistogram, HOGFeatures
    >>> from mmfeat.retrieval import Retriever, ScoreFusion
    >>> from mmfeat.text import tfidf_lsa
    >>> pairs = make_scenes(120, random_state=0)
    >>> colors = Retriever(ColorHistogram(), tfidf_lsa(30, random_state=0), CCA(8))
    >>> shapes = Retriever(HOGFeatures(size=(64, 64)), tfidf_lsa(30, random_state=0), CCA(8, reg=0.5))
    >>> fusion = ScoreFusion([("colors", colors), ("shapes", shapes)], random_state=0).fit(pairs[:90])
    >>> fusion.weights_.shape
    (2,)
    >>> score = fusion.scores_against(fusion.encode_image(pairs["image"][90:]), query="text")
    >>> score(fusion.encode_text(["a red car"])).shape
    (1, 30)
    """

    _parameter_constraints = {
        "retrievers": [list],
        "method": [StrOptions({"weighted", "sum", "mnz", "rrf", "vote"})],
        "weights": [StrOptions({"auto"}), "array-like", None],
        "normalize": [StrOptions({"auto", "global", "zscore", "minmax"}), None],
        "depth": [Interval(Integral, 1, None, closed="left")],
        "rank_constant": [Interval(Integral, 0, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "image": [str],
        "text": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        retrievers,
        *,
        method="weighted",
        weights="auto",
        normalize="auto",
        depth=100,
        rank_constant=60,
        validation_fraction=0.2,
        image="image",
        text="text",
        random_state=None,
    ):
        self.retrievers = retrievers
        self.method = method
        self.weights = weights
        self.normalize = normalize
        self.depth = depth
        self.rank_constant = rank_constant
        self.validation_fraction = validation_fraction
        self.image = image
        self.text = text
        self.random_state = random_state

    def get_params(self, deep=True):
        """Get the parameters, those of the retrievers by ``name__parameter``."""
        return self._get_params("retrievers", deep=deep)

    def set_params(self, **params):
        """Set parameters, those of the retrievers by ``name__parameter``."""
        return self._set_params("retrievers", **params)

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, pairs, y=None):
        """Fit all retrievers, and learn what their scores weigh.

        Parameters
        ----------
        pairs : DataFrame of pandas or polars, or object ndarray of shape (n_images, 2)
            One row per image; its text is a str or a list of str.
        y : array-like of shape (n_images,) or (n_images, n_tags), default=None
            Handed to the retrievers.

        Returns
        -------
        self : ScoreFusion

        Raises
        ------
        ValueError
            If `pairs` is no pairs table, names or weights are none, weights are to be learned from fewer than 10 images, or
            the method does not take the normalisation. An earlier fit is then as it was.
        """
        names, members = check_members(self.retrievers)
        self._validate_names(names)
        weights, rule = check_weights(self.weights, len(members)), Rule.of(self)
        columns = self.image, self.text
        images, rng = split_pairs(pairs, *columns).images, check_random_state(self.random_state)
        learns = self.method == "weighted" and isinstance(self.weights, str)
        scored, trial = np.arange(len(images)), None
        if learns and not all(isinstance(member, FrozenEstimator) for member in members):
            seen, scored = split_rows(len(images), self.validation_fraction, rng)
            trial = [clone(member).fit(rows_of(pairs, seen), rows_of(y, seen)) for member in members]
        scored = rows_of(pairs, some_rows(scored, rng))
        fitted = [clone(member).fit(pairs, y) for member in members]
        found: dict = {"retrievers_": fitted, "named_retrievers_": Bunch(**dict(zip(names, fitted, strict=True)))}
        found["n_components_"] = [member.encode_image(images[:1]).shape[1] for member in fitted]
        found["transductive_"] = any(getattr(member, "transductive_", False) for member in fitted)
        if learns:
            found |= learn_weights(trial or fitted, scored, *columns, rule.how)
        else:
            scales = scores_of_all(fitted, scored, *columns)[2] if rule.how == "global" else np.ones(len(members))
            found |= {"scales_": scales} | ({"weights_": weights} if self.method == "weighted" else {})
        # All or nothing: what fails on the way leaves an earlier fit as it was.
        for name in ("weights_", "validation_score_"):
            self.__dict__.pop(name, None)
        self.__dict__.update(found, _rule=rule)
        return self

    def fit_weights(self, pairs):
        """Learn the weights, and the scales of the scores, from pairs that the fitted retrievers have not seen.

        Parameters
        ----------
        pairs : DataFrame or object ndarray of shape (n_images, 2)
            At least 10 images; of more than 1,000 so many are drawn.

        Returns
        -------
        self : ScoreFusion

        Raises
        ------
        ValueError
            If `pairs` is no pairs table, has fewer than 10 images, or the method of :meth:`fit` has no weights.
        """
        check_is_fitted(self, "retrievers_")
        if self._rule.method != "weighted":
            raise ValueError(f"Only method='weighted' has weights. Got {self._rule.method!r} instead. Fit it anew.")
        n_images = len(split_pairs(pairs, self.image, self.text).images)
        rows = some_rows(np.arange(n_images), check_random_state(self.random_state))
        scored = rows_of(pairs, rows)
        self.__dict__.update(learn_weights(self.retrievers_, scored, self.image, self.text, self._rule.how))
        return self

    def encode_image(self, images):
        """Embed pictures by every retriever.

        Parameters
        ----------
        images : sequence of str, os.PathLike, PIL.Image.Image, ndarray or bytes

        Returns
        -------
        embeddings : ndarray of shape (n_images, sum of n_components_), dtype float32
        """
        check_is_fitted(self, "retrievers_")
        return self._side_by_side(member.encode_image(images) for member in self.retrievers_)

    def encode_text(self, texts):
        """Embed sentences by every retriever.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        embeddings : ndarray of shape (n_texts, sum of n_components_), dtype float32
        """
        check_is_fitted(self, "retrievers_")
        return self._side_by_side(member.encode_text(texts) for member in self.retrievers_)

    def scores_against(self, gallery, *, query):
        """Make the function that scores encoded queries against an encoded gallery.

        Parameters
        ----------
        gallery : array-like of shape (n_gallery, sum of n_components_)
            From :meth:`encode_image` or :meth:`encode_text`.
        query : {"image", "text"}
            What the queries are.

        Returns
        -------
        score : callable
            ``score(queries)`` gives an array of shape (n_queries, n_gallery), dtype float64, higher is better. If
            ``score.transductive``, it takes all queries in one call, else in any blocks.

        Raises
        ------
        ValueError
            If an embedding is NaN or infinite, has another width, or `query` is neither.
        """
        check_is_fitted(self, "retrievers_")
        options = {**self._rule._asdict(), "scales": self.scales_, "weights": getattr(self, "weights_", None)}
        return fused_function(self.retrievers_, self.n_components_, gallery, check_query(query), options)

    def score(self, pairs, y=None):
        """Mean of recall@1, @5 and @10 over both directions, in [0, 1].

        Parameters
        ----------
        pairs : DataFrame or object ndarray of shape (n_images, 2)
            At least 10 images, else ValueError; all of them, or all their captions, are the gallery.
        y : object
            Ignored.

        Returns
        -------
        score : float
        """
        return mean_recall(self, pairs)

    def _side_by_side(self, encodings):
        factors = np.ones(len(self.retrievers_))
        if self._rule.method == "weighted" and self._rule.how in ("global", None):
            factors = np.sqrt(self.weights_ / self.scales_)
        parts = [factor * checked_unit_rows(part, "encodings") for factor, part in zip(factors, encodings, strict=True)]
        return np.hstack(parts).astype(np.float32, copy=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.no_validation = True
        return tags
