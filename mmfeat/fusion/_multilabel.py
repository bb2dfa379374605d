"""Canonical correlation analysis where labels say which rows belong together."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse

from mmfeat.fusion._base import TwoViewTransformer, resolve_n_components
from mmfeat.fusion._solve import Whitener, leading_svd
from mmfeat.fusion._views import (
    CentredView,
    PlainFactor,
    check_ridges,
    cross_products,
    fixed_signs,
    label_matrix,
    project,
)
from mmfeat.utils._compat import Interval, StrOptions, _fit_context

_RIDGE = Interval(Real, 0, None, closed="left")


class MultiLabelCCA(TwoViewTransformer):
    """Canonical correlation analysis of all pairs of rows, each weighted by how alike their labels are.

    A picture corresponds not only to its own sentence but, in part, to the sentence of every picture with some of its
    tags. It is :class:`CCA` on the table of all these pairs, which is never made: its sums factor through the labels. A search
    in its space finds what has the labels of the query.

    Parameters
    ----------
    n_components : int or None, default=None
        Width of the common space, at most the number of rows and of columns of either view; None takes all. With labels
        alone no more components agree than there are labels.
    reg : float or (float, float), default=0.5
        Ridge on the covariance of both views or of each, at least 0, as a share of the mean variance of a column.
    power : float, default=1.0
        Components are weighted by their correlation to this power, in both views.
    similarity : {"cosine", "dice"}, default="cosine"
        Of two rows of labels: the cosine, or twice the labels that they share over the labels that they have. Dice wants
        indicators of 0 and 1.
    pair_share : float, default=0.0
        Share, in [0, 1], of the total weight that stays with the given pairs. 0 leaves all of it to the labels, 1 is
        :class:`CCA`.

    Attributes
    ----------
    canonical_correlations_ : ndarray of shape (n_components_,)
        Correlations of the components over all weighted pairs, under the ridged covariances, descending.
    x_rotations_ : ndarray of shape (n_features, n_components_)
        From a centred first view to the components, before weighting. The largest coefficient is positive.
    y_rotations_ : ndarray of shape (n_targets, n_components_)
        The same for the second view.
    x_mean_, y_mean_ : ndarray of shape (n_features,) and (n_targets,)
        Means of the columns over all weighted pairs.
    n_components_ : int
        Number of components kept.
    n_features_in_, n_targets_in_ : int
        Number of columns of each view.

    See Also
    --------
    mmfeat.fusion.CCA : Only the given pairs belong together.
    mmfeat.fusion.GeneralizedCCA : Labels as a third view.

    Notes
    -----
    The weights sum to the number of rows, so that where each row has a label of its own the answer is that of
    :class:`CCA`; so it is without labels. A row without any label takes part only through `pair_share`. Cosine costs one
    product of each view with the labels; dice the same for each number of labels that a row has.

    References
    ----------
    Ranjan, V., Rasiwasia, N. and Jawahar, C. (2015). Multi-label cross-modal retrieval. ICCV.

    Sanghavi, R. and Verma, Y. (2022). Multi-view multi-label canonical correlation analysis for cross-modal matching and
    retrieval. CVPR workshops.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.fusion import MultiLabelCCA
    >>> rng = np.random.default_rng(0)
    >>> tags = rng.integers(0, 2, size=(200, 4))
    >>> images = tags @ rng.normal(size=(4, 8)) + rng.normal(size=(200, 8))
    >>> texts = tags @ rng.normal(size=(4, 6)) + rng.normal(size=(200, 6))
    >>> cca = MultiLabelCCA(n_components=3).fit(images, texts, labels=tags)
    >>> cca.transform(images).shape, cca.transform_y(texts[:5]).shape
    ((200, 3), (5, 3))
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "reg": [_RIDGE, tuple],
        "power": [Interval(Real, 0, None, closed="left")],
        "similarity": [StrOptions({"cosine", "dice"})],
        "pair_share": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, n_components=None, *, reg=0.5, power=1.0, similarity="cosine", pair_share=0.0):
        self.n_components = n_components
        self.reg = reg
        self.power = power
        self.similarity = similarity
        self.pair_share = pair_share

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, labels=None):
        """Find the components.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            First view (images).
        y : array-like or sparse matrix of shape (n_samples, n_targets)
            Second view (texts), row by row beside the first; 1-D is one column.
        labels : array-like of shape (n_samples,), or array-like or sparse matrix of shape (n_samples, n_labels), default=None
            Classes, or an indicator or weight of each tag; None: each row is like itself alone.

        Returns
        -------
        self : MultiLabelCCA

        Raises
        ------
        ValueError
            If the views or labels differ in length, hold NaN, have too few rows or columns for `n_components`, no row has
            a label, or dice meets labels other than 0 and 1.
        """
        X, y = self._check_views(X, y)
        n = X.shape[0]
        n_components = resolve_n_components(self.n_components, min(*X.shape, y.shape[1]))
        share, factors = self.pair_share, []
        if labels is None:
            share = 1.0
        elif share < 1:
            factors = _similarity_factors(label_matrix(labels, n), self.similarity)
        sums = _row_sums(factors, n)
        scale = (1 - share) * n / sums.sum() if factors else 0.0
        weights = share + scale * sums
        view_x, view_y = CentredView(X, weights), CentredView(y, weights)
        cross = share * cross_products(view_x, view_y) if share else 0.0
        for left, right in factors:
            of_x, of_y = cross_products(view_x, PlainFactor(left)), cross_products(view_y, PlainFactor(right))
            cross = cross + scale * (of_x @ of_y.T)
        strengths, x_rotations, y_rotations = self._rotations(view_x, view_y, cross, weights, n_components)
        signs = fixed_signs(x_rotations)
        self.x_mean_, self.y_mean_ = view_x.mean, view_y.mean
        self.x_rotations_, self.y_rotations_ = x_rotations * signs, y_rotations * signs
        self.canonical_correlations_, self.n_components_ = strengths, n_components
        return self

    def _rotations(self, view_x, view_y, cross, weights, n_components):
        """Correlations and rotations of both views; zero where there are fewer that agree than components."""
        degrees = len(weights) - 1
        reg_x, reg_y = check_ridges(self.reg, 2)
        whitener_x = Whitener(cross_products(view_x, view_x, weights) / degrees, reg_x, view_x.n_features)
        whitener_y = Whitener(cross_products(view_y, view_y, weights) / degrees, reg_y, view_y.n_features)
        white = whitener_x.forward(whitener_y.forward((cross / degrees).T).T)
        left, strengths, right = leading_svd(white, n_components)
        missing = ((0, 0), (0, n_components - len(strengths)))
        x_rotations, y_rotations = view_x.expand(whitener_x.back(left)), view_y.expand(whitener_y.back(right))
        strengths = np.pad(np.clip(strengths, 0, 1), missing[1])
        return strengths, np.pad(x_rotations, missing), np.pad(y_rotations, missing)

    def _embed_x(self, X):
        return project(X, self.x_mean_, self.x_rotations_ * self.canonical_correlations_**self.power)

    def _embed_y(self, y):
        return project(y, self.y_mean_, self.y_rotations_ * self.canonical_correlations_**self.power)


def _similarity_factors(labels, similarity):
    """Pairs of matrices whose products ``left @ right.T`` sum to the similarities of all rows.

    The similarities of n rows would fill n x n; the factors are as wide as there are labels.
    """
    if similarity == "cosine":
        lengths = np.sqrt(labels.multiply(labels).sum(axis=1))
        rows = _divided(labels, lengths)
        return [(rows, rows)]
    if not np.isin(labels.data, (0, 1)).all():
        raise ValueError("Dice needs labels of 0 and 1. Got other weights; pass similarity='cosine' for them.")
    counts = labels.sum(axis=1)
    # 2 / (a + b) is no product of something of each row, but it is for all rows of one count a.
    return [
        (sparse.diags_array((counts == count) * 2.0) @ labels, _divided(labels, counts + count))
        for count in np.unique(counts[counts > 0])
    ]


def _divided(labels, lengths):
    return sparse.diags_array(1 / np.where(lengths > 0, lengths, 1)) @ labels


def _row_sums(factors, n):
    """Sum of each row's similarities to all rows, ndarray of shape (n,)."""
    sums = np.zeros(n)
    for left, right in factors:
        sums += left @ right.sum(axis=0)
    if factors and not sums.any():
        raise ValueError("No row has a label, so none are alike. Give at least one row a label, or pass pair_share=1.")
    return sums
