"""Why a linear fusion finds a pair similar: the cosine as a sum over components and over input features."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from mmfeat.fusion._explanation import Explanation, top_features
from mmfeat.utils._compat import HasMethods, Interval, validate_params

_NEEDED = ("x_rotations_", "y_rotations_", "x_mean_", "y_mean_")
# Between the fusion's own embedding and that from its rotations, both in float64.
_SAME = 1e-6


@validate_params(
    {
        "fusion": [HasMethods(["transform", "transform_y"])],
        "top": [Interval(Integral, 1, None, closed="left"), None],
        "x_names": ["array-like", None],
        "y_names": ["array-like", None],
    },
    prefer_skip_nested_validation=True,
)
def explain(fusion, x, y, top=10, *, x_names=None, y_names=None):
    """Take the cosine of a pair apart: over the components, and over the input features of each view.

    Parameters
    ----------
    fusion : fitted linear fusion
        :class:`CCA`, :class:`PLS`, or another that embeds by centring, rotating and weighting its components.
    x : array-like or sparse matrix of shape (n_features,) or (1, n_features)
        One row of the first view.
    y : array-like or sparse matrix of shape (n_targets,) or (1, n_targets)
        One row of the second view.
    top : int or None, default=10
        How many features of each view to keep, the strongest by absolute contribution; None keeps all.
    x_names : array-like of shape (n_features,) or None, default=None
        Names of the features; None takes ``fusion.feature_names_in_`` if it is there, else ``x0``, ``x1``...
    y_names : array-like of shape (n_targets,) or None, default=None
        Names of the features, for example ``vectorizer.get_feature_names_out()``; None gives ``y0``, ``y1``...

    Returns
    -------
    explanation : Explanation
        With ``cosine``, ``components``, ``x_features`` and ``y_features``; printed, it is a table.

    Raises
    ------
    ValueError
        If the fusion is not linear, a row has NaN or another width than in ``fit``, or names are not one a feature.

    See Also
    --------
    mmfeat.retrieval.explain_pair : The same for a picture and a sentence, down to the words.

    Notes
    -----
    With centred rows x and y, rotations A and B that hold the weights of the components, and embeddings
    :math:`z_x = A'x` and :math:`z_y = B'y`,

    .. math:: \\cos = \\sum_k \\frac{z_{xk} z_{yk}}{|z_x| |z_y|}
              = \\sum_j x_j \\frac{(A z_y)_j}{|z_x| |z_y|} = \\sum_j y_j \\frac{(B z_x)_j}{|z_x| |z_y|}.

    Each sum is exact. A feature is measured against its mean: a word that is absent speaks too, by being absent. The
    lengths are taken as they are, so a contribution is a share of this cosine and not what would change without the word.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.fusion import CCA, explain
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 3))
    >>> Y = X @ rng.normal(size=(3, 2)) + 0.1 * rng.normal(size=(100, 2))
    >>> explanation = explain(CCA(2).fit(X, Y), X[0], Y[0], top=None)
    >>> bool(np.isclose(explanation.x_features.contributions.sum(), explanation.cosine))
    True
    """
    taken = take_apart(fusion, x, y)
    default_x = getattr(fusion, "feature_names_in_", None) if x_names is None else x_names
    return Explanation(
        taken.cosine,
        taken.components,
        taken.x.strongest(check_names(default_x, len(taken.x.row), "x"), top),
        taken.y.strongest(check_names(y_names, len(taken.y.row), "y"), top),
    )


@dataclass(frozen=True)
class Side:
    """One view of a pair: ``(factor * row - mean) @ slope`` is the cosine."""

    row: np.ndarray
    mean: np.ndarray
    slope: np.ndarray
    factor: float = 1.0

    def strongest(self, names, top):
        """Contributions of the features, cut to the strongest."""
        return top_features(names, self.row, (self.factor * self.row - self.mean) * self.slope, top)


@dataclass(frozen=True)
class TakenApart:
    """The cosine of a pair with what it is made of."""

    cosine: float
    components: np.ndarray
    x: Side
    y: Side


def take_apart(fusion, x, y):
    """Write the cosine of one pair as a sum over the components and as a linear function of either row.

    Parameters
    ----------
    fusion : fitted linear fusion
    x : array-like or sparse matrix of shape (n_features,) or (1, n_features)
    y : array-like or sparse matrix of shape (n_targets,) or (1, n_targets)

    Returns
    -------
    taken : TakenApart
        In float64.

    Raises
    ------
    ValueError
        If the fusion is not linear, or a row does not fit it.
    """
    check_is_fitted(fusion)
    missing = [name for name in _NEEDED if not hasattr(fusion, name)]
    if missing or not is_linear(fusion):
        why = f"no `{missing[0]}`" if missing else "rotations of something else than its columns"
        raise ValueError(
            f"Only linear fusions such as CCA and PLS can be explained. Got {type(fusion).__name__}, which has {why}."
        )
    x, y = _row(x, "x"), _row(y, "y")
    map_x = embedding_map(fusion, fusion.transform, x, fusion.x_mean_, fusion.x_rotations_)
    map_y = embedding_map(fusion, fusion.transform_y, y, fusion.y_mean_, fusion.y_rotations_)
    z_x, z_y = (x - fusion.x_mean_) @ map_x, (y - fusion.y_mean_) @ map_y
    lengths = np.linalg.norm(z_x) * np.linalg.norm(z_y)
    scale = 1 / lengths if lengths > 0 else 0.0
    return TakenApart(
        float(z_x @ z_y * scale),
        z_x * z_y * scale,
        Side(x, fusion.x_mean_, map_x @ z_y * scale),
        Side(y, fusion.y_mean_, map_y @ z_x * scale),
    )


def is_linear(fusion):
    """Whether a fitted fusion embeds by centring and rotating, as those do that can be explained."""
    # Kernel methods have rotations too, but of what their maps make of a row, which may be as wide as the row.
    if hasattr(fusion, "x_map_") or not all(hasattr(fusion, name) for name in _NEEDED):
        return False
    return len(fusion.x_rotations_) == getattr(fusion, "n_features_in_", len(fusion.x_rotations_))


def embedding_map(fusion, embed, row, mean, rotations):
    """Rotations with the weights of the components, from a centred row to its embedding.

    Parameters
    ----------
    fusion : fitted linear fusion
    embed : callable
        Its ``transform`` or ``transform_y``.
    row : ndarray of shape (n_features,)
        On which the map is tried.
    mean : ndarray of shape (n_features,)
    rotations : ndarray of shape (n_features, n_components)

    Returns
    -------
    matrix : ndarray of shape (n_features, n_components)

    Raises
    ------
    ValueError
        If the fusion embeds in another way.
    """
    # How the components are weighted is the fusion's own affair, so one row is embedded to see it. Large means would take
    # digits from a small row.
    probe = np.random.default_rng(0).normal(size=len(mean)) * (1 + np.abs(mean))
    unweighted = probe @ rotations
    weights = embed((mean + probe)[None])[0] / np.where(unweighted == 0, 1, unweighted)
    # An explanation of another embedding than the one that is searched would be worse than none.
    embedded = embed(row[None])[0]
    tolerance = _SAME * np.abs(embedded).max(initial=0)
    if not np.allclose((row - mean) @ (rotations * weights), embedded, rtol=_SAME, atol=tolerance):
        raise ValueError(f"{type(fusion).__name__} does not embed by its rotations alone and cannot be explained.")
    return rotations * weights


def check_names(names, n_features, prefix):
    """Names of the features of one view, or ``prefix0``, ``prefix1``... where there are none.

    Parameters
    ----------
    names : array-like of shape (n_features,) or None
    n_features : int
    prefix : str

    Returns
    -------
    names : ndarray of shape (n_features,), dtype object

    Raises
    ------
    ValueError
        If there is not one a feature.
    """
    if names is None:
        return np.array([f"{prefix}{column}" for column in range(n_features)], dtype=object)
    names = np.asarray(names, dtype=object)
    if names.shape != (n_features,):
        raise ValueError(
            f"`{prefix}_names` must have one name a feature, {n_features}. Got shape {names.shape} instead."
        )
    return names


def _row(values, name):
    dense = values.toarray() if sparse.issparse(values) else values
    row = np.asarray(dense, dtype=np.float64)
    if row.ndim == 2 and len(row) == 1:
        row = row[0]
    if row.ndim != 1:
        raise ValueError(f"`{name}` must be one row. Got shape {row.shape} instead. Explain one pair at a time.")
    return row
