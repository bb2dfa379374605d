"""Kernels between the rows of two matrices, and maps whose linear products are those kernels."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import linalg, sparse
from sklearn.kernel_approximation import AdditiveChi2Sampler, RBFSampler
from sklearn.metrics.pairwise import (
    additive_chi2_kernel,
    cosine_similarity,
    euclidean_distances,
    linear_kernel,
    manhattan_distances,
    rbf_kernel,
)
from sklearn.pipeline import make_pipeline

KERNELS = frozenset({"chi2", "cosine", "intersection", "linear", "rbf"})
_WITH_WIDTH = {"chi2", "rbf"}
_OF_HISTOGRAMS = {"chi2", "intersection"}
# The median of the distances is taken over at most so many rows.
_MEDIAN_ROWS = 1000
_EPS = np.finfo(np.float64).eps


@dataclass(frozen=True)
class Kernel:
    """A kernel with its width; called with two matrices, it gives the kernel of all pairs of rows in float64.

    Parameters
    ----------
    kind : str or callable
        A name of ``KERNELS``, or a function of two matrices.
    gamma : float or None
        Width, for the kernels that have one.
    """

    kind: Any
    gamma: float | None

    def __call__(self, left, right):
        """Kernel of all pairs, ndarray of shape (n_left, n_right), dtype float64."""
        left, right = left.astype(np.float64), right.astype(np.float64)
        if callable(self.kind):
            return _check_product(self.kind(left, right), left, right)
        if self.kind == "rbf":
            return rbf_kernel(left, right, gamma=self.gamma)
        if self.kind == "chi2":
            return np.exp(self.gamma * additive_chi2_kernel(left, right))
        if self.kind == "intersection":
            # min(a, b) = (a + b - |a - b|) / 2
            return (left.sum(axis=1)[:, None] + right.sum(axis=1) - manhattan_distances(left, right)) / 2
        product = cosine_similarity if self.kind == "cosine" else linear_kernel
        return product(left, right, dense_output=True)


@dataclass
class LandmarkMap:
    """The kernel with some rows, times a matrix: the map of an exact and of a Nystroem kernel method.

    Parameters
    ----------
    kernel : Kernel
    landmarks : ndarray or sparse matrix of shape (n_landmarks, n_features)
    root : ndarray of shape (n_landmarks, rank) or None, default=None
        What makes the linear products of the map a kernel; None leaves the kernel with the landmarks as it is.
    """

    kernel: Kernel
    landmarks: Any
    root: np.ndarray | None = field(default=None)

    @classmethod
    def nystroem(cls, kernel, landmarks):
        """Map whose products are the kernel itself among the landmarks, and close to it elsewhere."""
        values, vectors = linalg.eigh(kernel(landmarks, landmarks), check_finite=False)
        kept = values > max(values[-1], 0) * len(values) * _EPS
        return cls(kernel, landmarks, vectors[:, kept][:, ::-1] / np.sqrt(values[kept][::-1]))

    def transform(self, view):
        """Map the rows, ndarray of shape (n_samples, n_landmarks) or (n_samples, rank)."""
        product = self.kernel(view, self.landmarks)
        return product if self.root is None else product @ self.root


def make_kernel(kind, gamma, view, rng):
    """Kernel of a view, its width worked out from the data where it is to be the median."""
    if callable(kind) or kind not in _WITH_WIDTH:
        return Kernel(kind, None)
    return Kernel(kind, _median_width(kind, view, rng) if gamma == "median" else float(gamma))


def fourier_map(kernel, n_features, view, rng):
    """Random Fourier features of an RBF or chi2 kernel, with a ``transform``.

    The chi2 distance is the Euclidean one after a map that is known in closed form (Vedaldi and Zisserman 2012), so the
    features of the RBF kernel serve behind it.
    """
    sampler = RBFSampler(gamma=kernel.gamma, n_components=n_features, random_state=rng.randint(np.iinfo(np.int32).max))
    # scikit-learn's three values a column leave errors of a tenth in the kernel, fifteen leave some thousandths.
    steps = [AdditiveChi2Sampler(sample_steps=8, sample_interval=0.3), sampler] if kernel.kind == "chi2" else [sampler]
    return make_pipeline(*steps).fit(view.astype(np.float64))


def check_domain(kind, view, name):
    """Refuse a view that a kernel cannot take: sparse or negative entries for the kernels of histograms."""
    if callable(kind) or kind not in _OF_HISTOGRAMS:
        return
    if sparse.issparse(view):
        raise ValueError(
            f"The {kind!r} kernel cannot take the sparse {name}. Use kernel='cosine', 'linear' or 'rbf' for that view, or "
            f"pass {name}.toarray()."
        )
    negative = np.flatnonzero((view < 0).any(axis=1))
    if len(negative):
        raise ValueError(
            f"Negative values in data passed to the {kind!r} kernel: row {negative[0]} of {name} holds "
            f"{view[negative[0]].min():g}. It compares histograms; use kernel='rbf' for that view, or leave out centring."
        )


def _median_width(kind, view, rng):
    n = view.shape[0]
    rows = view if n <= _MEDIAN_ROWS else view[np.sort(rng.choice(n, _MEDIAN_ROWS, replace=False))]
    rows = rows.astype(np.float64)
    distances = euclidean_distances(rows, squared=True) if kind == "rbf" else -additive_chi2_kernel(rows)
    median = float(np.median(distances[np.triu_indices(len(distances), 1)]))
    return 1 / median if median > 0 else 1.0


def _check_product(product, left, right):
    product = np.asarray(product, dtype=np.float64)
    expected = (left.shape[0], right.shape[0])
    if product.shape != expected or not np.isfinite(product).all():
        raise ValueError(
            f"The kernel function must return a finite array of shape {expected}, a value for each pair of rows. "
            f"Got shape {product.shape} instead."
        )
    return product
