"""Canonical correlation analysis of three and more views."""

from itertools import combinations
from numbers import Integral, Real

import numpy as np
from scipy import linalg
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from mmfeat.fusion._base import TwoViewTransformer, resolve_n_components
from mmfeat.fusion._solve import Whitener
from mmfeat.fusion._views import CentredView, check_ridges, cross_products, fixed_signs, label_matrix, project
from mmfeat.utils._compat import Interval, _fit_context

_DTYPES = [np.float64, np.float32]


class GeneralizedCCA(TwoViewTransformer):
    """Canonical correlation analysis of three views and more: the directions in which all of them agree.

    The views of a pair stand in one row and are never passed as a list, so that scikit-learn's splitters keep them
    together. Images and texts are `X` and `y`, as everywhere; classes or tags are the third view, given to ``fit`` as `labels`
    and not needed afterwards; and `X` itself may hold several views side by side (the blocks of a ``FeatureUnion``, say),
    told apart by `blocks`. With `X` and `y` alone it is :class:`CCA`.

    Parameters
    ----------
    n_components : int or None, default=None
        Width of the common space, at most the number of rows and of columns of either `X` or `y`; None takes all.
    blocks : sequence of int or None, default=None
        Number of columns of each view that `X` holds, from the left; they must sum to all columns. None: `X` is one
        view.
    reg : float or tuple of float, default=0.5
        Ridge on the covariance of each view, at least 0, as a share of the mean variance of a column. A tuple has one
        number for each view in this order: the blocks of `X`, `y`, the labels if there are any.
    power : float, default=1.0
        Components are weighted by their correlation to this power, in all views.

    Attributes
    ----------
    canonical_correlations_ : ndarray of shape (n_components_,)
        Mean correlation between the views in each component, under the ridged covariances, descending, cut at 0.
    rotations_ : list of ndarray of shape (n_columns, n_components_)
        From each centred view to the components, before weighting, in the order of `reg`.
    means_ : list of ndarray of shape (n_columns,)
        Means of the columns of each view.
    blocks_ : list of int
        Number of columns of each view in `X`.
    n_views_ : int
        Number of views, the labels included.
    n_components_ : int
        Number of components kept.
    n_features_in_, n_targets_in_ : int
        Number of columns of `X` and `y`.

    See Also
    --------
    mmfeat.fusion.CCA : Two views; adds rows, merges and chooses its ridge.
    mmfeat.fusion.MultiLabelCCA : Labels decide which rows belong together.

    Notes
    -----
    The MAXVAR criterion (Kettenring 1971): the leading eigenvectors of the covariances of all views against those within
    them, one symmetric eigenproblem as wide as all views together. An eigenvalue is 1 where views do not agree and the
    number of views where they agree in full. Components are scaled so that the variances of a component over the
    views sum to the number of views: two views have variance 1 each, and of three the one that takes part more has more.

    References
    ----------
    Kettenring, J. (1971). Canonical analysis of several sets of variables. Biometrika 58(3).

    Gong, Y., Ke, Q., Isard, M. and Lazebnik, S. (2014). A multi-view embedding space for modeling internet images, tags,
    and their semantics. IJCV 106, section 3 (three-view CCA).

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.fusion import GeneralizedCCA
    >>> rng = np.random.default_rng(0)
    >>> tags = rng.integers(0, 2, size=(200, 3))
    >>> images = tags @ rng.normal(size=(3, 8)) + rng.normal(size=(200, 8))
    >>> texts = tags @ rng.normal(size=(3, 6)) + rng.normal(size=(200, 6))
    >>> gcca = GeneralizedCCA(n_components=3).fit(images, texts, labels=tags)
    >>> gcca.transform(images).shape, gcca.transform_y(texts[:5]).shape
    ((200, 3), (5, 3))
    >>> gcca.transform_view([[1, 0, 1]], view=2).shape
    (1, 3)
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "blocks": ["array-like", None],
        "reg": [Interval(Real, 0, None, closed="left"), tuple],
        "power": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, n_components=None, *, blocks=None, reg=0.5, power=1.0):
        self.n_components = n_components
        self.blocks = blocks
        self.reg = reg
        self.power = power

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, labels=None):
        """Find the components.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            First view (images), or several side by side.
        y : array-like or sparse matrix of shape (n_samples, n_targets)
            Second view (texts), row by row beside the first; 1-D is one column.
        labels : array-like of shape (n_samples,), or array-like or sparse matrix of shape (n_samples, n_labels), default=None
            One more view: classes, or an indicator or weight of each tag.

        Returns
        -------
        self : GeneralizedCCA

        Raises
        ------
        ValueError
            If the views differ in length, hold NaN, have too few rows or columns for `n_components`, or `blocks` or
            `reg` do not fit them.
        """
        X, y = self._check_views(X, y)
        n_components = resolve_n_components(self.n_components, min(*X.shape, y.shape[1]))
        blocks = _check_blocks(self.blocks, X.shape[1])
        matrices = [X[:, start:stop] for start, stop in _edges(blocks)] + [y]
        if labels is not None:
            matrices.append(label_matrix(labels, X.shape[0]))
        views = [CentredView(matrix) for matrix in matrices]
        values, rotations = _maxvar(views, check_ridges(self.reg, len(views)), X.shape[0] - 1, n_components)
        self.blocks_, self.n_views_, self.n_components_ = blocks, len(views), n_components
        self.canonical_correlations_ = np.clip((values - 1) / (len(views) - 1), 0, 1)
        signs = fixed_signs(rotations[0])
        self.rotations_ = [rotation * signs for rotation in rotations]
        self.means_ = [view.mean for view in views]
        return self

    def transform_view(self, data, view):
        """Embed one view alone, be it a block of the images or the labels.

        Parameters
        ----------
        data : array-like or sparse matrix of shape (n_samples, n_columns)
            Rows of that view; for labels the indicator of each, classes in sorted order.
        view : int
            Which view: the blocks of `X` from 0, then `y`, then the labels.

        Returns
        -------
        embeddings : ndarray of shape (n_samples, n_components)
            float32 for float32 input, else float64.

        Raises
        ------
        ValueError
            If there is no such view, or `data` holds NaN or has another number of columns than it.
        """
        check_is_fitted(self)
        if not 0 <= view < self.n_views_:
            raise ValueError(f"`view` must be from 0 to {self.n_views_ - 1}. Got {view} instead.")
        data = check_array(data, accept_sparse="csr", dtype=_DTYPES, input_name="data")
        if data.shape[1] != len(self.means_[view]):
            raise ValueError(f"View {view} has {len(self.means_[view])} columns. Got {data.shape[1]} instead.")
        return self._embed(data, view)

    def _embed_x(self, X):
        edges = _edges(self.blocks_)
        return sum(self._embed(X[:, start:stop], view) for view, (start, stop) in enumerate(edges)) / len(edges)

    def _embed_y(self, y):
        return self._embed(y, len(self.blocks_))

    def _embed(self, data, view):
        return project(data, self.means_[view], self.rotations_[view] * self.canonical_correlations_**self.power)


def _maxvar(views, ridges, degrees, n_components):
    """Leading eigenvalues, and rotations of the views whose squared white lengths sum to the number of views."""
    whiteners = [
        Whitener(cross_products(view, view) / degrees, reg, view.n_features)
        for view, reg in zip(views, ridges, strict=True)
    ]
    whole, edges = _white_covariance(views, whiteners, degrees)
    values, vectors = _leading_eigenvectors(whole, min(n_components, len(whole)))
    # Where the views have fewer dimensions than there are components, the rest agree in nothing and stay zero.
    missing = n_components - len(values)
    values = np.pad(values, (0, missing), constant_values=1)
    vectors = np.pad(vectors, ((0, 0), (0, missing))) * np.sqrt(len(views))
    rotations = [
        view.expand(whitener.back(vectors[start:stop]))
        for view, whitener, (start, stop) in zip(views, whiteners, edges, strict=True)
    ]
    return values, rotations


def _white_covariance(views, whiteners, degrees):
    """Lower triangle of the covariance of all white views, and where each of them starts and stops in it."""
    blocks = {}
    for i, j in combinations(range(len(views)), 2):
        cross = cross_products(views[i], views[j]) / degrees
        blocks[j, i] = whiteners[j].forward(whiteners[i].forward(cross).T)
    # A rank-deficient view is narrower when white.
    edges = _edges([blocks[1, 0].shape[1]] + [blocks[j, 0].shape[0] for j in range(1, len(views))])
    whole = np.eye(edges[-1][1])
    for (j, i), block in blocks.items():
        whole[slice(*edges[j]), slice(*edges[i])] = block
    return whole, edges


def _leading_eigenvectors(matrix, n_found):
    """The largest eigenvalues first; reads the lower triangle."""
    if not n_found:
        return np.zeros(0), np.zeros((len(matrix), 0))
    subset = (len(matrix) - n_found, len(matrix) - 1)
    values, vectors = linalg.eigh(matrix, subset_by_index=subset, overwrite_a=True, check_finite=False)
    return values[::-1], vectors[:, ::-1]


def _edges(widths):
    stops = np.cumsum(widths)
    return [(int(stop - width), int(stop)) for width, stop in zip(widths, stops, strict=True)]


def _check_blocks(blocks, n_features):
    if blocks is None:
        return [n_features]
    widths = list(blocks)
    if not all(isinstance(width, (int, np.integer)) and width >= 1 for width in widths) or sum(widths) != n_features:
        raise ValueError(
            f"`blocks` must hold a number of columns for each view, together the {n_features} columns of X. "
            f"Got {blocks!r} instead."
        )
    return [int(width) for width in widths]
