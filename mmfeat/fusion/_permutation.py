"""How many components are more than chance: a permutation test."""

from numbers import Integral

import numpy as np
from scipy import linalg, sparse
from sklearn.base import clone
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.parallel import Parallel, delayed

from mmfeat.fusion._base import check_groups
from mmfeat.fusion._linear import LinearFusion
from mmfeat.utils._compat import HasMethods, Interval, validate_params


@validate_params(
    {
        "fusion": [HasMethods(["fit", "transform", "transform_y"])],
        "n_permutations": [Interval(Integral, 1, None, closed="left")],
        "groups": ["array-like", None],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def permutation_test(fusion, X, y, *, n_permutations=199, groups=None, random_state=None, n_jobs=None):
    """Test how many components two views really share, by permuting the rows of the second.

    Component k is tested after the directions of those before it are taken out of both views; otherwise the second p value
    would be too small whenever the first component is real. P values never fall from one component to the next, so
    ``(p_values <= 0.05).sum()`` components are significant with a familywise error of 5 %.

    Parameters
    ----------
    fusion : CCA or PLS
        Not fitted; its `n_components` are tested.
    X : array-like or sparse matrix of shape (n_samples, n_features)
    y : array-like or sparse matrix of shape (n_samples, n_targets)
        Row by row beside `X`.
    n_permutations : int, default=199
        The least p value is ``1 / (n_permutations + 1)``.
    groups : array-like of shape (n_samples,) or None, default=None
        Image of each row. Captions of one image are not independent: they are then moved together, to the place of
        another image with as many captions.
    random_state : int, RandomState instance or None, default=None
        Seed of the permutations.
    n_jobs : int or None, default=None
        Number of parallel workers.

    Returns
    -------
    result : sklearn.utils.Bunch
        ``statistics``, of shape (n_components,): correlations of a CCA, covariances of a PLS. ``p_values``, of shape
        (n_components,). ``null_distribution``, of shape (n_permutations, n_components): the statistics of each
        permutation.

    Raises
    ------
    ValueError
        If the fusion is neither CCA nor PLS, the views do not fit, one has no variance, or no two groups have the same size.

    See Also
    --------
    mmfeat.fusion.wilks_test : The classical tests, for normal data, more rows than columns and no ridge.

    Notes
    -----
    A permutation of the rows leaves the covariance of each view as it is, so the views are whitened once and a permutation
    costs one product and, for each component, a largest singular value; no fusion is fitted again. P values are
    ``(1 + b) / (1 + n_permutations)``, b permutations being as large as the observed value, and so never 0.

    Without ridge this is the stepwise test of Winkler et al. (2020) with Roy's largest root. The first p value is exact for
    any ridge that does not depend on the pairing; one that ``reg="auto"`` chose does, so that p is then a little small.
    The later ones are approximate: each step takes degrees of freedom that a permutation gives back, which makes them a
    little small where the rows are not many times the columns, and with a ridge what is left holds traces of the earlier
    components. In simulations of one strong component, the second was called significant at 5 % in 9 % of the cases for
    60 rows, 15 and 10 columns and no ridge, in 7 % for 250 rows, and in 5 to 6 % with a ridge or PLS.

    References
    ----------
    Phipson, B. and Smyth, G. K. (2010). Permutation p-values should never be zero: calculating exact p-values when
    permutations are randomly drawn. Statistical Applications in Genetics and Molecular Biology 9(1), article 39.

    Winkler, A. M., Renaud, O., Smith, S. M. and Nichols, T. E. (2020). Permutation inference for canonical correlation
    analysis. NeuroImage 220, 117065.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.fusion import CCA, permutation_test
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.normal(size=(100, 1))
    >>> X = shared @ rng.normal(size=(1, 5)) + rng.normal(size=(100, 5))
    >>> Y = shared @ rng.normal(size=(1, 4)) + rng.normal(size=(100, 4))
    >>> result = permutation_test(CCA(3, reg=0.1), X, Y, random_state=0)
    >>> int((result.p_values <= 0.05).sum())
    1
    """
    fitted = _fit(fusion, X, y, groups)
    X, y = fitted._check_views(X, y, reset=False)
    reg_x, reg_y = _ridges(fitted)
    white_x, white_y = _whitened(X, reg_x), _whitened(y, reg_y)
    left, statistics, right = linalg.svd(white_x.T @ white_y)
    # In the bases of all singular vectors, to take out the first k directions is to drop the first k columns.
    scores_x, scores_y = white_x @ left, white_y @ right.T
    n_components = min(fitted.n_components_, len(statistics))
    _refuse_other_statistics(fitted, statistics[:n_components])
    orders = _draw_orders(check_groups(groups, X.shape[0]), n_permutations, check_random_state(random_state))
    null = Parallel(n_jobs=n_jobs)(
        delayed(_permuted_statistics)(scores_x, scores_y, order, n_components) for order in orders
    )
    null = np.array(null).reshape(n_permutations, n_components)
    statistics = statistics[:n_components]
    # Equal up to rounding counts as equal: a permutation may be the identity.
    exceeded = (null >= statistics * (1 - 1e-10)).sum(axis=0)
    p_values = np.maximum.accumulate((1 + exceeded) / (1 + n_permutations))
    return Bunch(statistics=statistics, p_values=p_values, null_distribution=null)


def _fit(fusion, X, y, groups):
    if not isinstance(fusion, LinearFusion):
        raise ValueError(f"permutation_test needs CCA or PLS. Got {fusion!r} instead.")
    return clone(fusion).fit(X, y, groups=groups)


def _ridges(fitted):
    """Ridge of both views, or None twice where there is no whitening."""
    if hasattr(fitted, "covariances_"):
        return None, None
    return fitted.reg_


def _whitened(view, reg):
    """Principal scores, scaled so that the products of two views are their whitened cross-covariance."""
    n, d = view.shape
    scores, variances = _principal_scores(view)
    if reg is None:
        return scores / np.sqrt(n - 1)
    kept = variances > variances.max(initial=0) * max(n, d) * np.finfo(np.float64).eps
    if not kept.any():
        raise ValueError("All columns of a view are constant: it shares nothing with the other.")
    scores, variances = scores[:, kept], variances[kept]
    return scores / np.sqrt((n - 1) * (variances + reg * variances.sum() / d))


def _principal_scores(view):
    """Centred rows in the basis of the eigenvectors of their covariance, and its eigenvalues; nothing sparse is filled."""
    n, d = view.shape
    view = view.astype(np.float64)
    mean = np.asarray(view.mean(axis=0)).ravel()
    if not sparse.issparse(view):
        view, mean = view - mean, np.zeros(d)
    if d > n:
        values, vectors = linalg.eigh(_doubly_centred(_dense(view @ view.T)))
        values = np.maximum(values, 0)
        return vectors * np.sqrt(values), values / (n - 1)
    values, vectors = linalg.eigh(_dense(view.T @ view) - n * np.outer(mean, mean))
    return view @ vectors - mean @ vectors, np.maximum(values, 0) / (n - 1)


def _dense(product):
    return product.toarray() if sparse.issparse(product) else product


def _doubly_centred(gram):
    means = gram.mean(axis=0)
    return gram - means[:, None] - means[None, :] + means.mean()


def _refuse_other_statistics(fitted, statistics):
    own = fitted.covariances_ if hasattr(fitted, "covariances_") else fitted.canonical_correlations_
    if not np.allclose(own[: len(statistics)], statistics, rtol=1e-4, atol=1e-6 * statistics.max(initial=0)):
        raise ValueError(
            f"permutation_test cannot follow {fitted!r}: its components are not those of plain CCA or PLS."
        )


def _draw_orders(groups, n_permutations, random_state):
    """Permutations of the rows that move whole groups to the places of groups of the same size."""
    rows = np.argsort(groups, kind="stable")
    starts, sizes = np.unique(groups[rows], return_index=True, return_counts=True)[1:]
    blocks = [starts[sizes == size][:, None] + np.arange(size) for size in np.unique(sizes)]
    if all(len(block) == 1 for block in blocks):
        raise ValueError("No two groups have the same number of rows: none can take the place of another.")
    orders = np.empty((n_permutations, len(groups)), dtype=np.int64)
    for order in orders:
        for block in blocks:
            order[rows[block]] = rows[block[random_state.permutation(len(block))]]
    return orders


def _permuted_statistics(scores_x, scores_y, order, n_components):
    """Largest singular value after the first k directions are left out, for each k."""
    cross = scores_x.T @ scores_y[order]
    return [_largest_singular_value(cross[k:, k:]) for k in range(n_components)]


def _largest_singular_value(matrix):
    narrow = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    last = narrow.shape[1] - 1
    squared = linalg.eigvalsh(narrow.T @ narrow, subset_by_index=(last, last), check_finite=False)
    return np.sqrt(max(squared[0], 0))
