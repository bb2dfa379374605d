"""What an explanation of a pair holds, and how it reads."""

from dataclasses import dataclass

import numpy as np

_LONGEST_NAME = 40


@dataclass(frozen=True)
class TopFeatures:
    """The features of one view that add most to a cosine, and what the others add together."""

    names: np.ndarray
    values: np.ndarray
    contributions: np.ndarray
    rest: float
    n_rest: int


@dataclass(frozen=True, repr=False)
class Explanation:
    """Cosine of a pair, taken apart: as a sum over components, and over the features of each view.

    Each of the three sums is the whole cosine; they are three views of one number, not parts of it. Printed, it is a table.

    Parameters
    ----------
    cosine : float
        Cosine of the two embeddings; 0 if either has length 0.
    components : ndarray of shape (n_components,)
        What each component adds to the cosine.
    x_features : object
        Features of the first view that add most, or take most away, strongest first: ``names``, ``values`` (what the row
        holds) and ``contributions``, each of shape (n_shown,), and ``rest``, the sum over the ``n_rest`` features left out.
    y_features : object
        The same for the second view.

    See Also
    --------
    mmfeat.fusion.explain : Makes one.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.fusion import CCA, explain
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 3))
    >>> Y = X @ rng.normal(size=(3, 2)) + 0.1 * rng.normal(size=(100, 2))
    >>> explanation = explain(CCA(2, reg=0.1).fit(X, Y), X[0], Y[0], top=1, y_names=["red", "round"])
    >>> explanation.y_features.names
    array(['red'], dtype=object)
    >>> bool(np.isclose(explanation.components.sum(), explanation.cosine))
    True
    >>> print(explanation)
    cosine 0.9985
    <BLANKLINE>
    component      contribution
    1                   +0.7459
    1 other             +0.2525
    <BLANKLINE>
    x feature           value  contribution
    x0                 0.1257       +0.5394
    2 others                        +0.4590
    <BLANKLINE>
    y feature           value  contribution
    red                0.2297       +0.6202
    1 other                         +0.3783
    """

    cosine: float
    components: np.ndarray
    x_features: TopFeatures
    y_features: TopFeatures

    def __str__(self):
        strongest = strongest_first(self.components, len(self.x_features.names))
        shown = self.components[strongest]
        parts = [f"cosine {self.cosine:.4f}", _component_table(strongest, shown, self.components)]
        parts += [feature_table(f"{side} feature", getattr(self, f"{side}_features")) for side in "xy"]
        return "\n\n".join(parts)

    __repr__ = __str__


def strongest_first(contributions, top):
    """Positions of the `top` largest absolute values, largest first; of all of them if `top` is None."""
    return np.argsort(-np.abs(contributions), kind="stable")[:top]


def top_features(names, values, contributions, top):
    """Cut the contributions of one view to the strongest.

    Parameters
    ----------
    names : ndarray of shape (n_features,)
    values : ndarray of shape (n_features,)
    contributions : ndarray of shape (n_features,)
    top : int or None
        How many to keep.

    Returns
    -------
    features : TopFeatures
    """
    kept = strongest_first(contributions, top)
    left_out = np.delete(contributions, kept)
    return TopFeatures(
        names=np.asarray(names, dtype=object)[kept],
        values=values[kept],
        contributions=contributions[kept],
        rest=float(left_out.sum()),
        n_rest=len(left_out),
    )


def _component_table(positions, shown, components):
    n_rest = len(components) - len(shown)
    lines = [
        f"{'component':14s} contribution",
        *(f"{p:<14d} {c:>+12.4f}" for p, c in zip(positions, shown, strict=True)),
    ]
    return "\n".join([*lines, *_rest_line(n_rest, components.sum() - shown.sum(), 14, 13)])


def feature_table(title, features):
    """Lay features out as a table.

    Parameters
    ----------
    title : str
        Above their names.
    features : TopFeatures

    Returns
    -------
    table : str
    """
    width = min(_LONGEST_NAME, max([len(title), 14, *(len(str(name)) for name in features.names)]))
    lines = [f"{title:{width}s} {'value':>10s}  contribution"]
    for name, value, contribution in zip(features.names, features.values, features.contributions, strict=True):
        lines.append(f"{str(name)[:width]:{width}s} {value:>10.4f} {contribution:>+13.4f}")
    return "\n".join([*lines, *_rest_line(features.n_rest, features.rest, width, 25)])


def _rest_line(n_rest, rest, width, column):
    if not n_rest:
        return []
    label = f"{n_rest} other{'s' if n_rest > 1 else ''}"
    return [f"{label:{width}s}{rest:>+{column}.4f}"]
