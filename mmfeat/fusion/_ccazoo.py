"""Models of cca-zoo as fusions."""

from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.base import MetaEstimatorMixin, clone

from mmfeat.fusion._base import TwoViewTransformer
from mmfeat.utils._compat import HasMethods, Interval, _fit_context
from mmfeat.utils._optional import import_optional


class CCAZoo(MetaEstimatorMixin, TwoViewTransformer):
    """A model of cca-zoo as a fusion, so that it can sit in a Retriever and in scikit-learn's searches.

    The models of cca-zoo take and give a list with one matrix a view. Any model of two views with ``fit(views)`` and
    ``transform(views)`` will do, as long as it embeds each view by itself. A grid reaches its parameters
    (``fusion__estimator__shrinkage``).

    Parameters
    ----------
    estimator : str or estimator
        The unfitted model, or its name inside cca-zoo, such as ``"linear.MCCA"``, for the model with its defaults. The
        package is then imported in ``fit``; it comes with the extra ``mmfeat[ccazoo]``.
    n_components : int or None, default=None
        Width of the common space, set on the model; None leaves what the model has (1 in cca-zoo).

    Attributes
    ----------
    estimator_ : estimator
        The fitted model.
    n_components_ : int
        Width of the common space.
    n_features_in_, n_targets_in_ : int
        Number of columns of each view.

    See Also
    --------
    mmfeat.fusion.CCA : Takes sparse views and chunks of rows, and is several times faster.

    Notes
    -----
    A model of cca-zoo embeds all views at once, with the same rows. One view alone is embedded beside as many rows of the
    means of the other, whose embeddings are thrown away. Sparse views are refused, as cca-zoo does.

    References
    ----------
    Chapman, J. and Wang, H.-T. (2021). CCA-Zoo: a collection of regularized, deep learning based, kernel, and probabilistic
    CCA methods in a scikit-learn style framework. Journal of Open Source Software 6(68).

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.fusion import CCAZoo
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 6))
    >>> y = X @ rng.normal(size=(6, 4))
    >>> fusion = CCAZoo("linear.MCCA", n_components=2)
    >>> fusion.fit(X, y).transform_y(y[:3]).shape  # doctest: +SKIP
    (3, 2)
    """

    _parameter_constraints = {
        "estimator": [str, HasMethods(["fit", "transform"])],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(self, estimator, *, n_components=None):
        self.estimator = estimator
        self.n_components = n_components

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Fit a copy of the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            First view (images).
        y : array-like of shape (n_samples, n_targets)
            Second view (texts), row by row beside the first; 1-D is one column.

        Returns
        -------
        self : CCAZoo

        Raises
        ------
        ValueError
            If the views differ in length, hold NaN, or cca-zoo has no model of the name.
        TypeError
            If a view is sparse.
        ImportError
            If the model is given by name and cca-zoo, or the part of it that is named, cannot be imported.
        """
        X, y = self._check_views(X, y)
        views = [_dense(X, "X"), _dense(y, "y")]
        model = _named_model(self.estimator) if isinstance(self.estimator, str) else clone(self.estimator)
        if self.n_components is not None:
            model.set_params(n_components=self.n_components)
        self.estimator_ = model.fit(views)
        self._means = [view.mean(axis=0) for view in views]
        self.n_components_ = self._embed_x(X[:1]).shape[1]
        return self

    def _embed_x(self, X):
        return self._embed(_dense(X, "X"), 0)

    def _embed_y(self, y):
        return self._embed(_dense(y, "y"), 1)

    def _embed(self, matrix, view):
        views = [np.broadcast_to(mean.astype(matrix.dtype), (len(matrix), len(mean))) for mean in self._means]
        views[view] = matrix
        return np.asarray(self.estimator_.transform(views)[view])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags


def _named_model(name):
    """Build the model with its defaults; the name is that of a class below the package."""
    package, _, model = name.rpartition(".")
    module = import_optional(f"cca_zoo.{package}".rstrip("."), extra="ccazoo", purpose=f"CCAZoo({name!r})")
    if not hasattr(module, model):
        raise ValueError(f"cca-zoo has no model {name!r}. Pass a name such as 'linear.MCCA', or the model itself.")
    return getattr(module, model)()


def _dense(view, name):
    if sparse.issparse(view):
        raise TypeError(
            f"cca-zoo takes dense matrices, but {name} is sparse. Reduce it first, for example by TruncatedSVD, or use "
            "mmfeat.fusion.CCA, which takes it as it is."
        )
    return view
