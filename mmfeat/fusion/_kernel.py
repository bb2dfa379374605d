"""Canonical correlation analysis in the space of a kernel."""

from numbers import Integral, Real

import numpy as np
from scipy import linalg
from sklearn.utils import check_random_state, gen_batches

from mmfeat.fusion._base import TwoViewTransformer, resolve_n_components
from mmfeat.fusion._cca import CCA
from mmfeat.fusion._kernels import KERNELS, LandmarkMap, check_domain, fourier_map, make_kernel
from mmfeat.fusion._solve import leading_svd
from mmfeat.utils._compat import Interval, StrOptions, _fit_context

_EPS = np.finfo(np.float64).eps
_WIDTH = Interval(Real, 0, None, closed="neither")
_RIDGE = Interval(Real, 0, None, closed="left")
# Kernel values held at a time when rows are embedded.
_BLOCK_VALUES = 1 << 23


class KernelCCA(TwoViewTransformer):
    """Canonical correlation analysis of what kernels see in two views.

    Exact on up to a few thousand rows: the eigenvectors of both centred kernel matrices take the place of the columns of
    :class:`CCA`. For more rows, `approximation` maps each view to columns whose products are close to the kernel, and
    :class:`CCA` does the rest.

    Parameters
    ----------
    n_components : int or None, default=None
        Width of the common space, at most the number of rows; None takes as many as the kernels have rank.
    kernel : {"rbf", "chi2", "intersection", "cosine", "linear"}, callable, or a pair of them, default="rbf"
        One for both views, or ``(kernel of X, kernel of y)``. "rbf" is ``exp(-gamma * |a - b|^2)``; "chi2" is
        ``exp(-gamma * sum((a - b)^2 / (a + b)))`` and "intersection" ``sum(min(a, b))``, both of histograms: dense and
        without negative entries. A callable takes matrices of n and m rows and returns an array of shape (n, m).
    gamma : "median", float or a pair of them, default="median"
        Width of "rbf" and "chi2". "median": one over the median distance (squared for "rbf") between training rows.
    reg : float or (float, float), default=0.5
        Ridge on both views or on each, at least 0, as a share of the variance in the space of the kernel a column of the
        view: with the linear kernel it is that of :class:`CCA`. Without any, a kernel of full rank fits noise.
    power : float, default=1.0
        Components are weighted by their correlation to this power.
    approximation : {"nystroem", "fourier"} or None, default=None
        None is exact, cubic in the number of rows. "nystroem" expands in some of the rows, for every kernel. "fourier"
        draws random Fourier features, for "rbf" and "chi2".
    n_landmarks : int, default=1000
        Number of rows of "nystroem" (all, where there are fewer), or of features of "fourier".
    random_state : int, RandomState instance or None, default=None
        Seed of the rows and features drawn, and of the 1000 rows among which the median distance is sought where there
        are more.

    Attributes
    ----------
    canonical_correlations_ : ndarray of shape (n_components_,)
        Correlations of the components under the ridge, descending.
    x_map_, y_map_ : object
        The map of each view: its kernel with the training rows or the landmarks, or its Fourier features.
    x_mean_, y_mean_ : ndarray of shape (n_mapped,)
        Means of the mapped training rows, which also centre new ones.
    x_rotations_, y_rotations_ : ndarray of shape (n_mapped, n_components_)
        From the centred map to the components, before weighting. The training row that the first view puts furthest
        from zero is positive.
    x_gamma_, y_gamma_ : float or None
        Widths of the kernels; None for a kernel that has none.
    n_components_ : int
        Number of components kept.
    n_features_in_, n_targets_in_ : int
        Number of columns of each view.

    See Also
    --------
    mmfeat.fusion.CCA : The linear one; takes any number of rows.

    Notes
    -----
    Exact fits take memory for a few square matrices of the number of rows, in float64. Fourier features for "chi2" are
    those of the RBF kernel behind the map of the additive chi2 kernel.

    References
    ----------
    Hardoon, D., Szedmak, S. and Shawe-Taylor, J. (2004). Canonical correlation analysis: an overview with application to
    learning methods. Neural Computation 16, section 3.

    Williams, C. and Seeger, M. (2001). Using the Nyström method to speed up kernel machines. NIPS 13.

    Rahimi, A. and Recht, B. (2007). Random features for large-scale kernel machines. NIPS 20.

    Sreekanth, V., Vedaldi, A., Zisserman, A. and Jawahar, C. (2010). Generalized RBF feature maps for efficient
    detection. BMVC.

    Examples
    --------
    A circle has no linear correlation with its radius; a kernel sees it.

    >>> import numpy as np
    >>> from mmfeat.fusion import CCA, KernelCCA
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 2))
    >>> radius = np.linalg.norm(X, axis=1, keepdims=True)
    >>> bool(CCA(1, reg=0).fit(X, radius).canonical_correlations_[0] < 0.2)
    True
    >>> kcca = KernelCCA(1, kernel=("rbf", "linear"), reg=0.1).fit(X, radius)
    >>> new = rng.normal(size=(100, 2))
    >>> seen = kcca.transform(new)[:, 0], np.linalg.norm(new, axis=1)
    >>> bool(abs(np.corrcoef(seen)[0, 1]) > 0.9)
    True
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "kernel": [StrOptions(set(KERNELS)), callable, tuple],
        "gamma": [StrOptions({"median"}), _WIDTH, tuple],
        "reg": [_RIDGE, tuple],
        "power": [Interval(Real, 0, None, closed="left")],
        "approximation": [StrOptions({"nystroem", "fourier"}), None],
        "n_landmarks": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=None,
        *,
        kernel="rbf",
        gamma="median",
        reg=0.5,
        power=1.0,
        approximation=None,
        n_landmarks=1000,
        random_state=None,
    ):
        self.n_components = n_components
        self.kernel = kernel
        self.gamma = gamma
        self.reg = reg
        self.power = power
        self.approximation = approximation
        self.n_landmarks = n_landmarks
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Find the components.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            First view (images).
        y : array-like or sparse matrix of shape (n_samples, n_targets)
            Second view (texts), row by row beside the first; 1-D is one column.

        Returns
        -------
        self : KernelCCA

        Raises
        ------
        ValueError
            If the views differ in length or hold NaN, there are too few rows for `n_components`, a view is sparse or
            has negative entries where its kernel takes histograms, or the kernel has no Fourier features.
        """
        X, y = self._check_views(X, y)
        kinds, gammas, regs = self._check_pairs()
        rng = check_random_state(self.random_state)
        kernels = []
        for kind, gamma, view, name in zip(kinds, gammas, (X, y), ("X", "y"), strict=True):
            check_domain(kind, view, name)
            kernels.append(make_kernel(kind, gamma, view, rng))
        self.x_gamma_, self.y_gamma_ = kernels[0].gamma, kernels[1].gamma
        # The ridge counts columns of the view, whatever the width of its map.
        shares = [share / view.shape[1] for share, view in zip(regs, (X, y), strict=True)]
        if self.approximation is None:
            self._fit_exact(X, y, kernels, shares)
        else:
            self._fit_mapped(X, y, kernels, shares, rng)
        return self

    def _check_pairs(self):
        kinds = _as_pair(self.kernel, lambda kind: callable(kind) or kind in KERNELS, "kernel", _KERNEL_IS)
        gammas = _as_pair(self.gamma, lambda gamma: gamma == "median" or _is_real(gamma, 0, False), "gamma", _GAMMA_IS)
        regs = _as_pair(self.reg, lambda reg: _is_real(reg, 0, True), "reg", _REG_IS)
        if self.approximation == "fourier":
            for kind in kinds:
                if kind not in ("rbf", "chi2"):
                    raise ValueError(
                        f"approximation='fourier' knows the kernels 'rbf' and 'chi2'. Got {kind!r} instead. "
                        "Use approximation='nystroem'."
                    )
        return kinds, gammas, regs

    def _fit_exact(self, X, y, kernels, shares):
        self.x_map_, self.y_map_ = LandmarkMap(kernels[0], X), LandmarkMap(kernels[1], y)
        (self.x_mean_, *side_x), (self.y_mean_, *side_y) = (
            _spectrum(kernel(view, view)) for kernel, view in zip(kernels, (X, y), strict=True)
        )
        rank = max(1, min(len(side_x[0]), len(side_y[0])))
        n_components = rank if self.n_components is None else resolve_n_components(self.n_components, X.shape[0])
        strengths, x_rotations, y_rotations = _solve_dual(side_x, side_y, shares, n_components)
        self.n_components_, self.canonical_correlations_ = n_components, strengths
        self.x_rotations_, self.y_rotations_ = x_rotations, y_rotations

    def _fit_mapped(self, X, y, kernels, shares, rng):
        if self.approximation == "nystroem":
            n_landmarks = min(self.n_landmarks, X.shape[0])
            rows = np.sort(rng.choice(X.shape[0], n_landmarks, replace=False))
            maps = [LandmarkMap.nystroem(kernel, view[rows]) for kernel, view in zip(kernels, (X, y), strict=True)]
        else:
            maps = [
                fourier_map(kernel, self.n_landmarks, view, rng) for kernel, view in zip(kernels, (X, y), strict=True)
            ]
        self.x_map_, self.y_map_ = maps
        mapped_x, mapped_y = self.x_map_.transform(X), self.y_map_.transform(y)
        reg = (shares[0] * mapped_x.shape[1], shares[1] * mapped_y.shape[1])
        cca = CCA(self.n_components, reg=reg).fit(mapped_x, mapped_y)
        self.n_components_, self.canonical_correlations_ = cca.n_components_, cca.canonical_correlations_
        self.x_mean_, self.y_mean_ = cca.x_mean_, cca.y_mean_
        signs = _signs((mapped_x - cca.x_mean_) @ cca.x_rotations_)
        self.x_rotations_, self.y_rotations_ = cca.x_rotations_ * signs, cca.y_rotations_ * signs

    def _embed_x(self, X):
        check_domain(_as_pair(self.kernel)[0], X, "X")
        return self._embed(X, self.x_map_, self.x_mean_, self.x_rotations_)

    def _embed_y(self, y):
        check_domain(_as_pair(self.kernel)[1], y, "y")
        return self._embed(y, self.y_map_, self.y_mean_, self.y_rotations_)

    def _embed(self, view, mapping, mean, rotations):
        weights = self.canonical_correlations_**self.power
        block = max(1, _BLOCK_VALUES // len(mean))
        return np.concatenate(
            [(mapping.transform(view[rows]) - mean) @ rotations * weights for rows in gen_batches(view.shape[0], block)]
        )


_KERNEL_IS = f"one of {', '.join(sorted(KERNELS))} or a function"
_GAMMA_IS = "'median' or a number above 0"
_REG_IS = "a number of at least 0"


def _spectrum(product):
    """Column means of a kernel matrix; eigenvalues and eigenvectors of the centred one, largest first."""
    means = product.mean(axis=0)
    # Of a constant view only rounding is left; the size of the kernel itself tells.
    size = float(np.abs(product).max())
    product = product - means - means[:, None] + means.mean()
    values, vectors = linalg.eigh(product, overwrite_a=True, check_finite=False)
    kept = values > max(values[-1], size) * len(values) * _EPS
    return means, values[kept][::-1], vectors[:, kept][:, ::-1]


def _solve_dual(side_x, side_y, shares, n_components):
    """Strengths and dual coefficients, padded with zeros where the kernels have no such rank.

    In the basis of the eigenvectors both covariances are diagonal, so whitening is a division; scores have variance 1 under
    the ridge, as in :class:`CCA`.
    """
    (values_x, vectors_x), (values_y, vectors_y) = side_x, side_y
    n = len(vectors_x)
    strengths = np.zeros(n_components)
    x_rotations, y_rotations = np.zeros((n, n_components)), np.zeros((n, n_components))
    if len(values_x) and len(values_y):
        ridged_x, ridged_y = (
            values + share * values.sum() for values, share in zip((values_x, values_y), shares, strict=True)
        )
        whitened_x, whitened_y = vectors_x * np.sqrt(values_x / ridged_x), vectors_y * np.sqrt(values_y / ridged_y)
        left, found, right = leading_svd(whitened_x.T @ whitened_y, n_components)
        k, signs = len(found), _signs(whitened_x @ left)
        strengths[:k] = np.clip(found, 0, 1)
        x_rotations[:, :k] = np.sqrt(n - 1) * (vectors_x / np.sqrt(values_x * ridged_x)) @ (left * signs)
        y_rotations[:, :k] = np.sqrt(n - 1) * (vectors_y / np.sqrt(values_y * ridged_y)) @ (right * signs)
    return strengths, x_rotations, y_rotations


def _signs(scores):
    """Signs that make the largest score of each component positive; coefficients are not unique, scores are."""
    return np.where(scores.max(axis=0) < -scores.min(axis=0), -1.0, 1.0)


def _as_pair(value, is_valid=None, name=None, expected=None):
    pair = value if isinstance(value, tuple) else (value, value)
    if is_valid is not None and (len(pair) != 2 or not all(is_valid(part) for part in pair)):
        raise ValueError(f"`{name}` must be {expected}, or two of them. Got {value!r} instead.")
    return pair


def _is_real(value, low, closed):
    return isinstance(value, Real) and (value > low or (closed and value == low))
