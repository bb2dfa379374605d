"""Partial least squares by the singular value decomposition of the cross-covariance."""

from numbers import Integral

import numpy as np

from mmfeat.fusion._deflation import canonical_deflation
from mmfeat.fusion._linear import LinearFusion
from mmfeat.fusion._solve import leading_svd
from mmfeat.utils._compat import Interval, StrOptions


class PLS(LinearFusion):
    """Partial least squares: the orthonormal directions in which two views have the largest covariance.

    The singular value decomposition of the cross-covariance, known as PLS-SVD or inter-battery factor analysis. It needs
    no inverse and so no regularisation, but directions of large variance win even where the views disagree.

    Parameters
    ----------
    n_components : int or None, default=None
        Width of the common space, at most the number of rows and of columns of either view; None takes all.
    deflation : {"none", "canonical"}, default="none"
        "none" takes all components from one decomposition. "canonical" takes them one by one, each from what the scores
        of those before leave of its own view, as Wold's PLS mode A does: scores are then uncorrelated within a view.
    device : str, default="cpu"
        Where the products of dense views are taken: "cpu", "cuda" or "cuda:N" through torch, or "auto".
        Products with a sparse view are taken on the processor.

    Attributes
    ----------
    covariances_ : ndarray of shape (n_components_,)
        Covariances of the components of the two views, descending.
    x_rotations_ : ndarray of shape (n_features, n_components_)
        Orthonormal columns without deflation, from a centred first view to the components. The largest coefficient is positive.
    y_rotations_ : ndarray of shape (n_targets, n_components_)
        The same for the second view.
    x_mean_, y_mean_ : ndarray of shape (n_features,) and (n_targets,)
        Means of the columns.
    n_components_ : int
        Number of components kept.
    moments_ : object or None
        Statistics that :meth:`partial_fit` and :meth:`merge` add to; None after ``fit`` on fewer rows than columns, or
        on a wide sparse view.
    n_features_in_, n_targets_in_ : int
        Number of columns of each view.

    See Also
    --------
    mmfeat.fusion.CCA : Correlation in place of covariance.

    References
    ----------
    Tucker, L. (1958). An inter-battery method of factor analysis. Psychometrika 23.

    Wegelin, J. (2000). A survey of partial least squares methods. University of Washington, technical report 371.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.fusion import PLS
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(50, 4))
    >>> pls = PLS(n_components=2).fit(X, X @ rng.normal(size=(4, 3)))
    >>> pls.transform_y(np.zeros((1, 3))).shape
    (1, 2)
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "deflation": [StrOptions({"none", "canonical"})],
        "device": [str],
    }

    def __init__(self, n_components=None, *, deflation="none", device="cpu"):
        self.n_components = n_components
        self.deflation = deflation
        self.device = device

    @property
    def covariances_(self):
        """Covariances of the components, ndarray of shape (n_components_,)."""
        return self._strengths

    def _rotations(self, moments, n_features, n_targets, n_components):
        if self.deflation == "canonical":
            degrees = moments.n - 1
            return canonical_deflation(moments.xx / degrees, moments.yy / degrees, moments.xy / degrees, n_components)
        left, strengths, right = leading_svd(moments.xy / (moments.n - 1), n_components)
        return strengths, left, right

    def _implicit_rotations(self, views, n_components):
        if self.deflation == "canonical":
            raise ValueError(
                "`deflation`='canonical' needs the products of all columns, too many here for a square matrix. Use 'none', or "
                "reduce the sparse view with TruncatedSVD."
            )
        left, strengths, right = leading_svd(np.ascontiguousarray(views.cross), n_components)
        return strengths, left, right
