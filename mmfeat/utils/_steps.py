"""The steps of a fitted pipeline, taken apart: which are linear, and how a slope behind one reads before it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_selection import SelectorMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, Normalizer, StandardScaler

_AFFINE = (Normalizer, StandardScaler, MaxAbsScaler, TruncatedSVD, PCA, SelectorMixin)
_LEAST = 0.1
_NUMBERS_AT_ONCE = 1 << 22


class Affine(NamedTuple):
    """A linear step with a shift: its output, times a slope, is ``row @ pull(slope) + shift @ slope``."""

    pull: Callable
    shift: np.ndarray | float = 0.0


def flat_steps(encoder):
    """List the steps of a pipeline, those of pipelines within it too; of another encoder the encoder itself.

    Parameters
    ----------
    encoder : transformer or Pipeline

    Returns
    -------
    steps : list
        Without those that pass their input through.
    """
    if not isinstance(encoder, Pipeline):
        return [encoder]
    steps = [step for _, step in encoder.steps if step is not None and not isinstance(step, str)]
    return [inner for step in steps for inner in flat_steps(step)]


def dense_row(value):
    """Return the one row of a matrix, dense or sparse, as float64 of shape (n_features,)."""
    return np.asarray(value.toarray() if sparse.issparse(value) else value, dtype=np.float64)[0]


def split_at_linear(steps):
    """Cut a list of steps before the first that :func:`affine_map` knows; the first step is always before."""
    cut = next((place for place, step in enumerate(steps) if place and isinstance(step, _AFFINE)), len(steps))
    return steps[:cut], steps[cut:]


def affine_map(step, row):
    """Write what a fitted step does to a row as a linear map, the length that it divides by held fast.

    Parameters
    ----------
    step : transformer
    row : ndarray of shape (n_features,)
        What it takes.

    Returns
    -------
    affine : Affine or None
        None for a step that is not known to be linear.
    """
    if isinstance(step, Normalizer):
        given = dense_row(step.transform(row[None]))
        square = row @ row
        factor = given @ row / square if square > 0 else 1.0
        return Affine(lambda slope: slope * factor)
    if isinstance(step, StandardScaler):
        scale = 1.0 if step.scale_ is None else step.scale_
        shift = -step.mean_ / scale if step.with_mean and step.mean_ is not None else 0.0
        return Affine(lambda slope: slope / scale, shift)
    if isinstance(step, MaxAbsScaler):
        return Affine(lambda slope: slope / step.scale_)
    if isinstance(step, TruncatedSVD):
        return Affine(lambda slope: slope @ step.components_.astype(np.float64))
    if isinstance(step, PCA):
        lengths = np.sqrt(step.explained_variance_) if step.whiten else 1.0
        components = (step.components_.T.astype(np.float64) / lengths).T
        return Affine(lambda slope: slope @ components, -components @ step.mean_)
    if isinstance(step, SelectorMixin):
        return Affine(lambda slope: _scattered(slope, step.get_support()))
    return None


def pull_back(step, row, slope):
    """Turn the gradient by what a step gives into the gradient by what it takes.

    Parameters
    ----------
    step : transformer
        Closed form for what is linear and for rows brought to Euclidean length 1; else differences.
    row : ndarray of shape (n_features,)
        What the step takes, float64.
    slope : ndarray of shape (n_features_out,)

    Returns
    -------
    slope : ndarray of shape (n_features,)

    Raises
    ------
    ValueError
        If the step does not change with what it takes.
    """
    if isinstance(step, Normalizer):
        length = np.linalg.norm(row)
        if step.norm == "l2" and length > 0:
            unit = row / length
            return (slope - (slope @ unit) * unit) / length
    elif (affine := affine_map(step, row)) is not None:
        return affine.pull(slope)
    return numeric_gradient(lambda rows: _dense(step.transform(rows)) @ slope, row, type(step).__name__)


def numeric_gradient(function, row, name):
    """Gradient of a function of a row by central differences.

    Parameters
    ----------
    function : callable
        From an ndarray of shape (n, n_features), float64, to one of shape (n,).
    row : ndarray of shape (n_features,)
    name : str
        Whose function it is, for the message.

    Returns
    -------
    gradient : ndarray of shape (n_features,)

    Raises
    ------
    ValueError
        If it is zero throughout, as for decision trees, or not finite.
    """
    precision = np.finfo(np.result_type(function(row[None]), np.float16)).eps
    # The cube root of the rounding balances it with the curvature that differences leave out.
    size = np.abs(row)
    steps = np.cbrt(precision) * np.maximum(size, _LEAST * (np.sqrt(np.mean(row**2)) or 1.0))
    gradient = np.empty(len(row))
    block = max(_NUMBERS_AT_ONCE // len(row), 1)
    for start in range(0, len(row), block):
        columns = np.arange(start, min(start + block, len(row)))
        change = np.zeros((len(columns), len(row)))
        change[np.arange(len(columns)), columns] = steps[columns]
        gradient[columns] = (function(row + change) - function(row - change)) / (2 * steps[columns])
    if not np.isfinite(gradient).all() or not gradient.any():
        raise ValueError(
            f"{name} has no gradient at this item: small changes of the features change nothing, or not smoothly. "
            "Explain a model that is smooth, such as a linear one."
        )
    return gradient


def _scattered(slope, support):
    full = np.zeros(len(support))
    full[support] = slope
    return full


def _dense(value):
    return value.toarray() if sparse.issparse(value) else np.asarray(value)


def feature_names(steps):
    """Names of the columns that the last of some fitted steps gives, or None where a step has none.

    Parameters
    ----------
    steps : list of transformer

    Returns
    -------
    names : ndarray of str objects or None
    """
    if not all(hasattr(step, "get_feature_names_out") for step in steps):
        return None
    return Pipeline([(str(number), step) for number, step in enumerate(steps)]).get_feature_names_out()
