"""Ridge regression of one view on the other."""

from numbers import Real

from scipy import sparse

from mmfeat.fusion._base import TwoViewTransformer
from mmfeat.fusion._solve import Whitener
from mmfeat.fusion._views import CentredView, cross_products, project
from mmfeat.utils._compat import Interval, StrOptions, _fit_context


class RidgeMapping(TwoViewTransformer):
    """One view mapped onto the other by ridge regression; the common space is the other view itself, centred.

    The closed form of multi-output ridge regression with intercept. Nothing is learned about the view that is mapped
    onto: every column of it counts by its variance, so whiten or reduce it first where that is not wanted.

    Parameters
    ----------
    reg : float, default=0.3
        Ridge on the covariance of the view that is mapped, at least 0, as a share of the mean variance of its columns.
        0 is least squares, of the smallest norm where that is not unique.
    direction : {"y_to_x", "x_to_y"}, default="y_to_x"
        "y_to_x": texts are mapped into the space of the images. "x_to_y": images into the space of the texts. See the
        notes for which to take.

    Attributes
    ----------
    coef_ : ndarray of shape (n_targets, n_features) or (n_features, n_targets)
        From the centred view that is mapped to the centred other one: of the first shape for "y_to_x".
    x_mean_, y_mean_ : ndarray of shape (n_features,) and (n_targets,)
        Means of the columns.
    n_components_ : int
        Columns of the view that is mapped onto.
    n_features_in_, n_targets_in_ : int
        Number of columns of each view.

    See Also
    --------
    mmfeat.fusion.CCA : Maps both views, and weighs the components by how well they agree.

    Notes
    -----
    Regression shrinks what it maps towards the mean, and the item nearest to the mean is then near to many queries: a hub.
    What is searched should therefore be what is mapped (Shigeto et al. 2015): the usual use, a picture that looks for its
    sentence among mapped sentences, wants "y_to_x", the default. Mapping the queries, as in Lazaridou et al. (2014),
    makes more hubs. The other way of searching is then the one with more hubs, so where sentences look for pictures,
    "x_to_y" is the mapping with fewer; no direction is the better one for both.

    With fewer rows than columns the regression is solved in a basis of the rows, with the same answer. A sparse view that
    is mapped is never made dense; one that is mapped onto becomes dense when it is embedded.

    References
    ----------
    Lazaridou, A., Bruni, E. and Baroni, M. (2014). Is this a wampimuk? Cross-modal mapping between distributional semantics
    and the visual world. ACL.

    Lazaridou, A., Dinu, G. and Baroni, M. (2015). Hubness and pollution: delving into cross-space mapping for zero-shot
    learning. ACL.

    Shigeto, Y., Suzuki, I., Hara, K., Shimbo, M. and Matsumoto, Y. (2015). Ridge regression, hubness, and zero-shot
    learning. ECML PKDD.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.fusion import RidgeMapping
    >>> rng = np.random.default_rng(0)
    >>> images = rng.normal(size=(100, 6))
    >>> texts = images @ rng.normal(size=(6, 8))
    >>> mapping = RidgeMapping(reg=1e-6).fit(images, texts)
    >>> mapping.transform(images).shape, mapping.transform_y(texts[:3]).shape
    ((100, 6), (3, 6))
    >>> bool(np.allclose(mapping.transform_y(texts), images - images.mean(axis=0), atol=1e-3))
    True
    """

    _parameter_constraints = {
        "reg": [Interval(Real, 0, None, closed="left")],
        "direction": [StrOptions({"y_to_x", "x_to_y"})],
    }

    def __init__(self, *, reg=0.3, direction="y_to_x"):
        self.reg = reg
        self.direction = direction

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Regress one view on the other.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            First view (images).
        y : array-like or sparse matrix of shape (n_samples, n_targets)
            Second view (texts), row by row beside the first; 1-D is one column.

        Returns
        -------
        self : RidgeMapping

        Raises
        ------
        ValueError
            If the views differ in length or hold NaN.
        """
        X, y = self._check_views(X, y)
        # Remembered, so that setting `direction` afterwards does not turn what was fitted around.
        self._maps_y = self.direction == "y_to_x"
        source, target = (y, X) if self._maps_y else (X, y)
        source, target = CentredView(source), CentredView(target, narrow=False)
        solver = Whitener(cross_products(source, source), self.reg, source.n_features)
        self.coef_ = source.expand(solver.back(solver.forward(cross_products(source, target))))
        self.x_mean_, self.y_mean_ = (target.mean, source.mean) if self._maps_y else (source.mean, target.mean)
        self.n_components_ = target.n_features
        return self

    def _embed_x(self, X):
        return _centred(X, self.x_mean_) if self._maps_y else project(X, self.x_mean_, self.coef_)

    def _embed_y(self, y):
        return project(y, self.y_mean_, self.coef_) if self._maps_y else _centred(y, self.y_mean_)


def _centred(view, mean):
    dense = view.toarray() if sparse.issparse(view) else view
    return dense - mean.astype(dense.dtype)
