"""Regularised canonical correlation analysis in closed form."""

from dataclasses import replace
from numbers import Integral, Real

import numpy as np

from mmfeat.fusion._auto import accumulate_folds, choose
from mmfeat.fusion._base import resolve_n_components
from mmfeat.fusion._implicit import implicit_correlations
from mmfeat.fusion._linear import LinearFusion
from mmfeat.fusion._shrinkage import ledoit_wolf_ridge, oas_ridge
from mmfeat.fusion._solve import Whitener, leading_svd
from mmfeat.fusion._views import check_ridges, label_matrix
from mmfeat.utils._compat import Interval, StrOptions, _fit_context

_RIDGE = Interval(Real, 0, None, closed="left")


class CCA(LinearFusion):
    """Canonical correlation analysis: the directions in which two views agree most.

    The closed form: whiten each view with its (ridged) covariance and take the singular value decomposition of what
    remains of the cross-covariance. Each view is then embedded alone.

    Parameters
    ----------
    n_components : int or None, default=None
        Width of the common space, at most the number of rows and of columns of either view; None takes all.
    reg : float, (float, float), "auto", "ledoit-wolf" or "oas", default=0.5
        Ridge on the covariance of both views or of each, at least 0, as a share of the mean variance of a column, so
        that its meaning does not depend on the scale of the features. 0 is the classical CCA; a large ridge leaves the
        singular value decomposition of the cross-covariance (:class:`PLS`). With more columns than rows some ridge is
        needed: without it every correlation is 1 and the space is useless. "ledoit-wolf" and "oas" estimate the ridge by
        a formula. "auto" chooses it by recall on held-out images, or by average precision where there are labels, and
        `power` and the number of components with it: `power` is then ignored, and `n_components` is the most there may be.
    power : float, default=1.0
        Components are weighted by their correlation to this power, in both views, so that a cosine listens most to
        the components that agree; 0 weights them all alike.
    center : bool, default=True
        False takes the products of the rows as they are, about zero in place of the means.
    device : str, default="cpu"
        Where the products of dense views are taken: "cpu", "cuda" or "cuda:N" through torch, or "auto". The
        decompositions stay on the processor, in float64, and so do products with a sparse view.

    Attributes
    ----------
    canonical_correlations_ : ndarray of shape (n_components_,)
        Correlations of the components under the ridged covariances, descending.
    x_rotations_ : ndarray of shape (n_features, n_components_)
        From a centred first view to the components, before weighting. The largest coefficient is positive.
    y_rotations_ : ndarray of shape (n_targets, n_components_)
        The same for the second view.
    x_mean_, y_mean_ : ndarray of shape (n_features,) and (n_targets,)
        Means of the columns, or zeros without `center`.
    n_components_ : int
        Number of components kept.
    reg_ : tuple of (float, float)
        Ridge of each view. One that `fit` found by "auto" or "ledoit-wolf" stays as it is in :meth:`partial_fit` and
        :meth:`merge`, which do not see all rows.
    power_ : float
        Power that "auto" chose; only there with ``reg="auto"``.
    moments_ : object or None
        Statistics that :meth:`partial_fit` and :meth:`merge` add to; None after ``fit`` on fewer rows than columns, or on
        a wide sparse view.
    n_features_in_, n_targets_in_ : int
        Number of columns of each view.

    See Also
    --------
    mmfeat.fusion.PLS : Covariance in place of correlation.
    mmfeat.fusion.LearnedProjection : Learned by gradient descent for the ranking itself.

    Notes
    -----
    `fit` costs two products of the views with themselves, one between them, and decompositions in the number of
    columns, or of rows where there are fewer rows than columns. All sums are kept in float64.

    A sparse view with more than 8,192 rows and columns, such as TF-IDF of a large vocabulary, is never squared: its
    ridged covariance is inverted implicitly, by preconditioned conjugate gradients to a relative residual of 1e-8. That
    asks for a `reg` in numbers, above 0 for this view, and for another view of at most 8,192 columns or rows.

    References
    ----------
    Hotelling, H. (1936). Relations between two sets of variates. Biometrika 28.

    Vinod, H. (1976). Canonical ridge and econometrics of joint production. Journal of Econometrics 4.

    Gong, Y., Ke, Q., Isard, M. and Lazebnik, S. (2014). A multi-view embedding space for modeling internet images, tags,
    and their semantics. IJCV 106, section 3.2 (weighting by powers of the correlations).

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.fusion import CCA
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.normal(size=(200, 2))
    >>> X = shared @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(200, 6))
    >>> Y = shared @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(200, 4))
    >>> cca = CCA(n_components=2, reg=0).fit(X, Y)
    >>> bool((cca.canonical_correlations_ > 0.95).all())
    True
    >>> cca.transform(X).shape, cca.transform_y(Y[:3]).shape
    ((200, 2), (3, 2))
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "reg": [_RIDGE, tuple, StrOptions({"auto", "ledoit-wolf", "oas"})],
        "power": [Interval(Real, 0, None, closed="left")],
        "center": ["boolean"],
        "device": [str],
    }

    def __init__(self, n_components=None, *, reg=0.5, power=1.0, center=True, device="cpu"):
        self.n_components = n_components
        self.reg = reg
        self.power = power
        self.center = center
        self.device = device

    # Name of the `reg` that `reg_` was last found by from the rows themselves.
    _found_by = None

    @property
    def canonical_correlations_(self):
        """Correlations of the components under the ridged covariances, ndarray of shape (n_components_,)."""
        return self._strengths

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, groups=None, sample_weight=None, labels=None):
        """Find the components.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            First view (images).
        y : array-like or sparse matrix of shape (n_samples, n_targets)
            Second view (texts), row by row beside the first; 1-D is one column.
        groups : array-like of shape (n_samples,), default=None
            Image of each row. Saves time, where the rows of an image repeat it beside each of its captions and are fewer
            than the columns; keeps the captions of an image in one fold of ``reg="auto"``. Nothing else depends on it.
        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts; a weight of two is the row twice. Among the held-out rows of ``reg="auto"`` all that
            count at all count alike.
        labels : array-like of shape (n_samples,), or array-like or sparse matrix of shape (n_samples, n_labels), default=None
            Class of each row, or an indicator of each label. Only looked at by ``reg="auto"``, which then chooses by mean
            average precision with rows that share a label as right, and not by the recall of the very pair.

        Returns
        -------
        self : CCA

        Raises
        ------
        ValueError
            If the views differ in length, hold NaN, or have too few rows or columns for `n_components`; if ``reg="auto"``
            has too few images to hold some out, or no labels in `labels`; if `device` is not there.
        """
        return self._fit(X, y, groups, sample_weight, labels)

    def _accumulate(self, X, y, shapes, groups, sample_weight, labels, device):
        n_features, n_targets = shapes[0][1], shapes[1][1]
        if self.reg == "auto":
            widest = min(resolve_n_components(self.n_components, min(*shapes[0], *shapes[1])), X.shape[1], y.shape[1])
            labels = None if labels is None else _some_labels(labels, X.shape[0])
            moments, folds = accumulate_folds(X, y, groups, sample_weight, labels, device)
            folds = [replace(fold, moments=self._about_origin(fold.moments)) for fold in folds]
            choice = choose(folds, (n_features, n_targets), widest)
            self.reg_, self.power_, self._n_chosen = choice.reg, choice.power, choice.n_components
            self._found_by = self.reg
            return moments
        moments = super()._accumulate(X, y, shapes, groups, sample_weight, labels, device)
        if self.reg == "ledoit-wolf":
            about = self._about_origin(moments)
            self.reg_ = (
                ledoit_wolf_ridge(X, about.mean_x, about.xx, n_features, sample_weight),
                ledoit_wolf_ridge(y, about.mean_y, about.yy, n_targets, sample_weight),
            )
            self._found_by = self.reg
        return moments

    def _resolve_n_components(self, upper):
        if self.reg == "auto" == self._found_by:
            return min(self._n_chosen, upper)
        return super()._resolve_n_components(upper)

    def _rotations(self, moments, n_features, n_targets, n_components):
        if self.reg not in ("auto", "ledoit-wolf"):
            self._found_by = None
        if self._found_by != "auto":
            self.__dict__.pop("power_", None)
        if self.reg == "oas":
            self.reg_ = oas_ridge(moments.n, moments.xx, n_features), oas_ridge(moments.n, moments.yy, n_targets)
        elif not isinstance(self.reg, str):
            self.reg_ = tuple(check_ridges(self.reg, 2))
        elif self._found_by != self.reg:
            raise ValueError(
                f"`reg`={self.reg!r} looks at all rows at once, which `partial_fit` never has. Give a number, or 'oas'."
            )
        return _directions(moments, self.reg_, n_features, n_targets, n_components)

    def _implicit_rotations(self, views, n_components):
        if isinstance(self.reg, str):
            raise ValueError(
                f"`reg`={self.reg!r} needs the products of all columns, too many here for a square matrix. Give numbers, or "
                "reduce the sparse view, with mmfeat.text.tfidf_lsa or TruncatedSVD."
            )
        self._found_by = None
        self.__dict__.pop("power_", None)
        self.reg_ = tuple(check_ridges(self.reg, 2))
        if views.in_order(*self.reg_)[1] == 0:
            raise ValueError(f"A wide sparse view needs a ridge above 0. Got `reg`={self.reg!r} instead.")
        return implicit_correlations(views, self.reg_, n_components)

    def _weights(self):
        # Of the fit, whatever `reg` has been set to since.
        return self._strengths ** getattr(self, "power_", self.power)


def _some_labels(labels, n_rows):
    indicators = label_matrix(labels, n_rows)
    if not indicators.count_nonzero():
        raise ValueError(
            "`labels` are all 0, so that no row is right for another. Give labels, or None to rank by pairs."
        )
    return indicators


def _directions(moments, reg, n_features, n_targets, n_components):
    """Correlations and rotations of both views under ridged covariances."""
    degrees = moments.n - 1
    whitener_x = Whitener(moments.xx / degrees, reg[0], n_features)
    whitener_y = Whitener(moments.yy / degrees, reg[1], n_targets)
    white = whitener_x.forward(whitener_y.forward((moments.xy / degrees).T).T)
    left, strengths, right = leading_svd(white, n_components)
    return np.clip(strengths, 0, 1), whitener_x.back(left), whitener_y.back(right)
