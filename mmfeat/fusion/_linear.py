"""The base of the linear fusions: centre, rotate, weight."""

from abc import abstractmethod

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mmfeat.fusion._base import TwoViewTransformer, check_groups, resolve_n_components
from mmfeat.fusion._bases import expanded, narrow, padded
from mmfeat.fusion._implicit import ImplicitViews, check_squared, is_implicit
from mmfeat.fusion._inverse import inverse_maps, reconstruct
from mmfeat.fusion._moments import Moments, column_means
from mmfeat.fusion._views import fixed_signs, project
from mmfeat.utils._compat import _check_sample_weight, _fit_context
from mmfeat.utils._device import resolve_device

_NO_STATISTICS = (
    "was fitted on fewer rows than columns, or on a wide sparse view, and kept no statistics. Start with `partial_fit` "
    "instead of `fit`; reduce a wide sparse view first, with TruncatedSVD or mmfeat.text.tfidf_lsa"
)


class LinearFusion(TwoViewTransformer):
    """Fusion found from the means and the cross products of the two views alone.

    A subclass turns cross products into rotations in ``_rotations``, or in ``_implicit_rotations`` where one view is
    sparse and too wide for its cross products.
    """

    # What a subclass does not offer as a parameter.
    center = True
    device = "cpu"

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, groups=None, sample_weight=None):
        """Find the components.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            First view (images).
        y : array-like or sparse matrix of shape (n_samples, n_targets)
            Second view (texts), row by row beside the first; 1-D is one column.
        groups : array-like of shape (n_samples,), default=None
            Image of each row. Only saves time, where the rows of an image repeat it beside each of its captions and are
            fewer than the columns; the answer is the same without.
        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts; a weight of two is the row twice.

        Returns
        -------
        self : fusion

        Raises
        ------
        ValueError
            If the views differ in length, hold NaN, or have too few rows or columns for `n_components`; if `device` is
            not there.
        """
        return self._fit(X, y, groups, sample_weight)

    def _fit(self, X, y, groups, sample_weight, labels=None):
        X, y = self._check_views(X, y)
        groups, sample_weight = check_groups(groups, X.shape[0]), _check_weights(sample_weight, X)
        device = resolve_device(self.device)
        if is_implicit(X, y):
            return self._fit_implicit(X, y, sample_weight)
        # A view with more columns than rows is solved in a basis of its rows: the same answer, from smaller matrices.
        X_narrow, basis_x = narrow(X, groups, self.center)
        y_narrow, basis_y = narrow(y, np.arange(y.shape[0]), self.center)
        moments = self._accumulate(X_narrow, y_narrow, (X.shape, y.shape), groups, sample_weight, labels, device)
        means = (
            self._centre(X, basis_x, moments.mean_x, sample_weight),
            self._centre(y, basis_y, moments.mean_y, sample_weight),
        )
        self._solve(
            moments,
            (X.shape[1], y.shape[1]),
            X.shape[0],
            self._resolve_n_components(min(*X.shape, *y.shape)),
            means,
            (basis_x, basis_y),
        )
        self.moments_ = moments if basis_x is None and basis_y is None else None
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Add rows to those seen so far; in the end it is the same as one `fit` on all of them.

        Components are found anew each time. As long as there are fewer rows than `n_components`, the last ones are zero.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Any number of rows, but more than one in all.
        y : array-like or sparse matrix of shape (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts.

        Returns
        -------
        self : fusion

        Raises
        ------
        ValueError
            If the columns differ from those seen before, a sparse view is too wide to be squared, all rows so far count
            no more than one, or the previous ``fit`` kept no statistics.
        """
        X, y = self._check_views(X, y, reset=not hasattr(self, "x_rotations_"), min_rows=1)
        check_squared(X, y)
        weights = _check_weights(sample_weight, X, at_least=0)
        return self._fit_more(Moments.of(X, y, weights, resolve_device(self.device)))

    def merge(self, other):
        """Add the rows that another fusion was fitted on, as if one had seen them all.

        Parameters
        ----------
        other : fusion of the same class
            Fitted on rows of the same two views.

        Returns
        -------
        self : fusion

        Raises
        ------
        ValueError
            If `other` is of another class, saw other columns, or either was fitted with ``fit`` on fewer rows than
            columns, or on a wide sparse view, and so kept no statistics.
        """
        check_is_fitted(self)
        check_is_fitted(other)
        if type(other) is not type(self):
            raise ValueError(f"Expected a fitted {type(self).__name__} to merge. Got {type(other).__name__} instead.")
        if other.moments_ is None:
            raise ValueError(f"The other fusion {_NO_STATISTICS}.")
        widths = (self.n_features_in_, self.n_targets_in_)
        if (other.n_features_in_, other.n_targets_in_) != widths:
            raise ValueError(
                f"The other fusion saw views of {other.n_features_in_} and {other.n_targets_in_} columns, this one of "
                f"{widths[0]} and {widths[1]}. Only parts of one data set can be merged."
            )
        return self._fit_more(other.moments_)

    def explain(self, x, y, top=10, *, x_names=None, y_names=None):
        """Say why one row of the first view is similar to one of the second, as an exact sum.

        Parameters
        ----------
        x : array-like or sparse matrix of shape (1, n_features) or (n_features,)
        y : array-like or sparse matrix of shape (1, n_targets) or (n_targets,)
        top : int, default=10
            Features of each view to name, the largest contributions first.
        x_names, y_names : sequence of str, default=None
            Names of the columns.

        Returns
        -------
        explanation : mmfeat.fusion.Explanation
            As by :func:`mmfeat.fusion.explain`.

        Raises
        ------
        ValueError
            If `x` or `y` is not one row of its view.
        """
        from mmfeat.fusion._explain import explain

        return explain(self, x, y, top, x_names=x_names, y_names=y_names)

    def inverse_transform(self, Z, source="x"):
        """Reconstruct the first view (images) from embeddings, by least squares on the rows of ``fit``.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
            From :meth:`transform`, or from :meth:`transform_y` where the first view is missing.
        source : {"x", "y"}, default="x"
            View that was embedded. What the second view tells of the first is less than its own components tell, so
            the maps differ.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Nearest linear guess: the means, and what the components add to them.

        Raises
        ------
        ValueError
            If `Z` has another number of columns than there are components, or `source` is neither name.
        """
        check_is_fitted(self)
        return reconstruct(Z, source, self._x_maps, self._weights(), self.x_mean_)

    def inverse_transform_y(self, Z, source="y"):
        """Reconstruct the second view (texts) from embeddings, by least squares on the rows of ``fit``.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
            From :meth:`transform_y`, or from :meth:`transform` where the second view is missing.
        source : {"x", "y"}, default="y"
            View that was embedded.

        Returns
        -------
        y : ndarray of shape (n_samples, n_targets)

        Raises
        ------
        ValueError
            If `Z` has another number of columns than there are components, or `source` is neither name.
        """
        check_is_fitted(self)
        return reconstruct(Z, source, self._y_maps, self._weights(), self.y_mean_)

    def _accumulate(self, X, y, shapes, groups, sample_weight, labels, device):
        """Statistics of checked views, possibly in bases of their rows; `shapes` are those of the views themselves."""
        return Moments.of(X, y, sample_weight, device)

    def _centre(self, view, basis, mean, sample_weight):
        """What the columns of a view are centred by; `mean` is that of its statistics."""
        if not self.center:
            return np.zeros(view.shape[1])
        return mean if basis is None else column_means(view, sample_weight)

    def _about_origin(self, moments):
        """Statistics about what the rows are centred by."""
        return moments if self.center else moments.about_zero()

    def _fit_more(self, moments):
        """Add statistics to those of a previous fit and solve again."""
        previous = getattr(self, "moments_", None)
        if previous is None and hasattr(self, "x_rotations_"):
            raise ValueError(f"This {type(self).__name__} {_NO_STATISTICS}.")
        moments = moments if previous is None else previous + moments
        if moments.n <= 1:
            raise ValueError(
                f"Components need more than one row, and all so far count {moments.n:g}. Start with more rows at once."
            )
        rows, widths = int(moments.n), moments.xy.shape
        # A stream may well begin with fewer rows than components.
        n_components = self._resolve_n_components(min(widths) if self.n_components else min(rows, *widths))
        means = [mean if self.center else np.zeros_like(mean) for mean in (moments.mean_x, moments.mean_y)]
        self._solve(moments, widths, rows, n_components, means)
        self.moments_ = moments
        return self

    def _solve(self, moments, widths, rows, n_components, means, bases=(None, None)):
        """Find and keep the components of views with these statistics, possibly in bases of their rows."""
        moments = self._about_origin(moments)
        strengths, *rotations = self._rotations(moments, widths[0], widths[1], min(n_components, rows))
        own = moments.xx @ rotations[0], moments.yy @ rotations[1]
        cross = moments.xy @ rotations[1], moments.xy.T @ rotations[0]
        self._keep(n_components, strengths, rotations, own, cross, means, bases)

    def _fit_implicit(self, X, y, sample_weight):
        """Find the components where one view is sparse and too wide for the products of its columns."""
        n_components = self._resolve_n_components(min(*X.shape, *y.shape))
        views = ImplicitViews(X, y, sample_weight, center=self.center)
        strengths, rotation, wide_rotation = self._implicit_rotations(views, n_components)
        own = views.in_order(views.own @ rotation, views.wide @ wide_rotation)
        cross = views.in_order(views.cross @ wide_rotation, views.cross.T @ rotation)
        rotations, bases = views.in_order(rotation, wide_rotation), views.in_order(views.narrow.basis, None)
        self._keep(n_components, strengths, rotations, own, cross, views.means, bases)
        self.moments_ = None
        return self

    def _keep(self, n_components, strengths, rotations, own, cross, means, bases):
        """Set the fitted attributes: all in the columns of the views, with fixed signs.

        `own` and `cross` are the covariance of a view times its rotations, and with the other view times the other's.
        """
        x_maps, y_maps = inverse_maps(rotations, own, cross)
        # Where the rank is lower than the number of components, the rest have no strength and stay zero.
        self._strengths = padded(strengths[None, :], n_components)[0]
        self.n_components_ = n_components
        self.x_mean_, self.y_mean_ = means
        x_rotations, y_rotations = (expanded(*pair, n_components) for pair in zip(rotations, bases, strict=True))
        signs = fixed_signs(x_rotations)
        self.x_rotations_, self.y_rotations_ = x_rotations * signs, y_rotations * signs
        self._x_maps = {name: expanded(part, bases[0], n_components) * signs for name, part in x_maps.items()}
        self._y_maps = {name: expanded(part, bases[1], n_components) * signs for name, part in y_maps.items()}

    def _resolve_n_components(self, upper):
        return resolve_n_components(self.n_components, upper)

    @abstractmethod
    def _rotations(self, moments, n_features, n_targets, n_components):
        """Return ``(strengths, x_rotations, y_rotations)`` of at most so many components, strongest first."""

    @abstractmethod
    def _implicit_rotations(self, views, n_components):
        """The same from :class:`ImplicitViews`, the rotations of the narrow view first."""

    def _embed_x(self, X):
        return project(X, self.x_mean_, self.x_rotations_ * self._weights())

    def _embed_y(self, y):
        return project(y, self.y_mean_, self.y_rotations_ * self._weights())

    def _weights(self):
        return 1.0


def _check_weights(sample_weight, X, at_least=1):
    if sample_weight is None:
        return None
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if weights.sum() <= at_least:
        raise ValueError(
            f"`sample_weight` must sum to more than {at_least}, it counts rows. Got {weights.sum():g}. Scale it up."
        )
    return weights
