"""What canonical correlations are worth: redundancy, and the classical tests that they are zero."""

from numbers import Integral

import numpy as np
from scipy import stats
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from mmfeat.utils._compat import HasMethods, Interval, validate_params

_COUNT = [Interval(Integral, 1, None, closed="left")]


@validate_params(
    {"fusion": [HasMethods(["transform", "transform_y"])]},
    prefer_skip_nested_validation=True,
)
def redundancy(fusion, X, y):
    """Compute how much of the variance of each view the components of the other predict (Stewart and Love).

    A large canonical correlation may join two directions that hardly vary. Redundancy is the correlation, squared, times
    the share of the variance of a view that lies in its own component.

    Parameters
    ----------
    fusion : fitted fusion
        Any with one array of components for each view; the index was made for a CCA without ridge.
    X : array-like of shape (n_samples, n_features)
        At least 2 rows, those of ``fit`` or held-out ones.
    y : array-like of shape (n_samples, n_targets)
        Row by row beside `X`.

    Returns
    -------
    result : sklearn.utils.Bunch
        All of shape (n_components,): ``correlations`` of the components on these rows; ``x_variance`` and ``y_variance``,
        the mean squared correlation of the columns of a view with its own component; ``x_redundancy`` and
        ``y_redundancy``, the same times the squared correlation: the share of the view that the other predicts.

    Raises
    ------
    ValueError
        If the views differ in length, have one row, hold NaN or do not fit the fusion.

    See Also
    --------
    mmfeat.fusion.permutation_test : Whether there is anything to predict.

    Notes
    -----
    Columns are standardised, as in the paper. Constant columns are left out. Without ridge and with all components,
    ``y_redundancy.sum()`` is the mean, over the columns of `y`, of the :math:`R^2` of their regression on `X` if `y` has no
    more columns than `X`. With a ridge the components of a view overlap, and their shares may sum to more than 1.

    References
    ----------
    Stewart, D. and Love, W. (1968). A general canonical correlation index. Psychological Bulletin 70(3), 160-163.

    Examples
    --------
    >>> from sklearn.datasets import load_linnerud
    >>> from mmfeat.fusion import CCA, redundancy
    >>> exercises, body = load_linnerud(return_X_y=True)
    >>> redundancy(CCA(reg=0).fit(exercises, body), exercises, body).x_redundancy.round(4)
    array([0.2584, 0.0175, 0.0008])
    """
    check_is_fitted(fusion)
    scores_x, scores_y = fusion.transform(X), fusion.transform_y(y)
    if len(scores_x) != len(scores_y) or len(scores_x) < 2:
        raise ValueError(f"X and y must have the same rows, at least 2. Got {len(scores_x)} and {len(scores_y)}.")
    scores_x, scores_y = _standardised(scores_x), _standardised(scores_y)
    correlations = (scores_x * scores_y).sum(axis=0)
    x_variance, y_variance = _own_variance(X, scores_x), _own_variance(y, scores_y)
    return Bunch(
        correlations=correlations,
        x_variance=x_variance,
        y_variance=y_variance,
        x_redundancy=x_variance * correlations**2,
        y_redundancy=y_variance * correlations**2,
    )


@validate_params(
    {"correlations": ["array-like"], "n_samples": _COUNT, "n_features": _COUNT, "n_targets": _COUNT},
    prefer_skip_nested_validation=True,
)
def wilks_test(correlations, n_samples, n_features, n_targets):
    """Test that the canonical correlations from each on are zero, by Wilks' lambda.

    For normal data, more rows than columns and a CCA without ridge; :func:`permutation_test` asks for none of these.

    Parameters
    ----------
    correlations : array-like of shape (min(n_features, n_targets),)
        All canonical correlations, in [0, 1], descending, as of ``CCA(reg=0)``.
    n_samples : int
        Number of rows that they come from, more than ``n_features + n_targets``.
    n_features : int
        Number of columns of the first view.
    n_targets : int
        Number of columns of the second view.

    Returns
    -------
    result : sklearn.utils.Bunch
        All of shape (n_correlations,); row k tests that correlation k and all after it are zero. ``wilks_lambda``;
        ``chi2``, ``chi2_df`` and ``chi2_p_values`` of Bartlett's approximation; ``f``, ``f_df1``, ``f_df2`` and
        ``f_p_values`` of Rao's, which is the closer one and exact where either view has one or two columns left.

    Raises
    ------
    ValueError
        If correlations are missing, lie outside of [0, 1] or rise, or there are too few rows.

    See Also
    --------
    mmfeat.fusion.permutation_test : Without these assumptions.

    Notes
    -----
    With p and q columns left, :math:`\\Lambda_k = \\prod_{i \\ge k} (1 - r_i^2)`. Bartlett:
    :math:`-(n - 1 - (n_x + n_y + 1) / 2) \\ln \\Lambda_k` has about a chi-squared distribution of pq degrees of freedom.
    Rao: with :math:`t^2 = (p^2 q^2 - 4) / (p^2 + q^2 - 5)`, or t = 1 where that is no positive number, and
    :math:`\\nu = (n - (n_x + n_y + 3) / 2) t - pq / 2 + 1`,
    :math:`(\\Lambda^{-1/t} - 1) \\nu / pq` has about an F distribution of pq and :math:`\\nu` degrees of freedom.

    References
    ----------
    Bartlett, M. S. (1941). The statistical significance of canonical correlations. Biometrika 32(1), 29-37.

    Rao, C. R. (1951). An asymptotic expansion of the distribution of Wilks' criterion. Bulletin of the International
    Statistical Institute 33(2), 177-180.

    Examples
    --------
    >>> from sklearn.datasets import load_linnerud
    >>> from mmfeat.fusion import CCA, wilks_test
    >>> exercises, body = load_linnerud(return_X_y=True)
    >>> result = wilks_test(CCA(reg=0).fit(exercises, body).canonical_correlations_, 20, 3, 3)
    >>> result.wilks_lambda.round(4), result.f_p_values.round(4)
    (array([0.3504, 0.9547, 0.9947]), array([0.0635, 0.9491, 0.7748]))
    """
    correlations = _check_correlations(correlations, n_samples, n_features, n_targets)
    k = np.arange(len(correlations))
    p, q = n_features - k, n_targets - k
    with np.errstate(divide="ignore"):
        log_lambda = np.cumsum(np.log1p(-(correlations[::-1] ** 2)))[::-1]
    df = p * q
    chi2 = -(n_samples - 1 - (n_features + n_targets + 1) / 2) * log_lambda
    spread = p**2 + q**2 - 5
    t = np.sqrt(np.where(spread > 0, (df**2 - 4) / np.where(spread > 0, spread, 1), 1))
    df2 = (n_samples - (n_features + n_targets + 3) / 2) * t - df / 2 + 1
    f = np.expm1(-log_lambda / t) * df2 / df
    return Bunch(
        wilks_lambda=np.exp(log_lambda),
        chi2=chi2,
        chi2_df=df,
        chi2_p_values=stats.chi2.sf(chi2, df),
        f=f,
        f_df1=df,
        f_df2=df2,
        f_p_values=stats.f.sf(f, df, df2),
    )


def _check_correlations(correlations, n_samples, n_features, n_targets):
    correlations = np.asarray(correlations, dtype=np.float64)
    wanted = min(n_features, n_targets)
    if correlations.shape != (wanted,):
        raise ValueError(
            f"`correlations` must hold all {wanted} of views with {n_features} and {n_targets} columns. Got shape "
            f"{correlations.shape} instead. Fit with n_components=None: those left out may not be zero."
        )
    rounding = 1e-9
    if not ((correlations >= 0) & (correlations <= 1 + rounding)).all() or (np.diff(correlations) > rounding).any():
        raise ValueError(f"`correlations` must lie in [0, 1] and descend. Got {correlations} instead.")
    if n_samples <= n_features + n_targets:
        raise ValueError(
            f"`n_samples` must be more than {n_features} + {n_targets}, the number of columns. Got {n_samples} instead. "
            "Use permutation_test with a ridge."
        )
    return np.minimum(correlations, 1)


def _standardised(columns):
    """Centred columns of length 1; a constant one becomes zero."""
    centred = np.asarray(columns, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=0)
    # Centring leaves rounding errors where there is no variance.
    floor = 1e-12 * np.abs(columns).max(axis=0, initial=0) * np.sqrt(len(centred))
    return np.where(lengths > floor, centred / np.where(lengths > 0, lengths, 1), 0)


def _own_variance(view, scores):
    columns = view.toarray() if hasattr(view, "toarray") else np.asarray(view)
    columns = columns.reshape(len(columns), -1)
    columns = _standardised(columns)
    varying = np.abs(columns).max(axis=0) > 0
    return ((columns[:, varying].T @ scores) ** 2).mean(axis=0) if varying.any() else np.zeros(scores.shape[1])
