"""Expectation maximisation of mixtures of diagonal Gaussian, Laplacian and hybrid components."""

import warnings

import numpy as np
from scipy import sparse
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from mmfeat.encoding._mixture import Densities, Mixture
from mmfeat.encoding._project import ROUNDING

_BLOCK_VALUES = 2**17
# Of the starting posteriors this much is shared evenly, so that a cluster without rows starts from the whole sample.
_SHARED = 1e-3
# Components that weigh less than this many rows keep their parameters; their weight stays above zero.
_FEWEST_ROWS = 1e-6
# Posteriors that would change no digit of a sum.
_NEGLIGIBLE = 1e-16


def learn_mixture(rows, n_components, kind, *, start, var_floor, max_iter, tol, rng):
    """Fit a mixture by expectation maximisation, from k-means or from an earlier mixture.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
        At least `n_components` rows.
    n_components : int
    kind : {"gaussian", "laplacian", "hybrid"}
        Density of each column of each component. In a hybrid each is the one of greater likelihood, chosen anew in
        each iteration: the optimum over geometric means of the two, which Klein et al. prove to be binary.
    start : Mixture or None
        Where to go on from; None starts from k-means.
    var_floor : float
        Least variance of a component, as a share of that of the column.
    max_iter : int
    tol : float
        Stop when the mean log-likelihood gains less.
    rng : RandomState

    Returns
    -------
    mixture : Mixture
    """
    sample = _Sample(rows, kind, var_floor)
    if start is None:
        start = sample.maximise(_cluster(rows, n_components, rng), None)
    mixture, bounds, converged = start, [], False
    for _ in range(max_iter):
        posteriors, bound = sample.expect(mixture)
        bounds.append(bound)
        converged = len(bounds) > 1 and bounds[-1] - bounds[-2] < tol
        if converged:
            break
        mixture = sample.maximise(posteriors, mixture)
    if not converged and max_iter > 1:
        warnings.warn(
            f"The {kind} mixture did not converge in {max_iter} iterations. Increase `max_iter` or `tol`.",
            ConvergenceWarning,
            stacklevel=2,
        )
    mixture.converged_, mixture.lower_bounds_ = converged, np.array(bounds)
    return mixture


def _cluster(rows, n_components, rng):
    """Starting posteriors (k, n): nearly all of a row to its cluster."""
    kmeans = MiniBatchKMeans(n_components, batch_size=4096, n_init=1, random_state=rng.randint(2**31 - 1))
    labels = kmeans.fit(rows.astype(np.float64, copy=False)).labels_
    posteriors = np.full((n_components, len(rows)), _SHARED / n_components)
    posteriors[labels, np.arange(len(rows))] += 1 - _SHARED
    return posteriors


class _Sample:
    """Rows, with what both steps need again in each iteration."""

    def __init__(self, rows, kind, var_floor):
        self.rows = rows
        self.kind = kind
        self.block = max(1, _BLOCK_VALUES // rows.shape[1])
        self.centre = rows.mean(axis=0, dtype=np.float64)
        variances = sum(((block - self.centre) ** 2).sum(axis=0) for _, block in self.blocks()) / len(rows)
        variances[variances <= ROUNDING * self.centre**2] = 0
        typical = variances.mean() or 1.0
        self.least_variances = var_floor * np.where(variances > 1e-10 * typical, variances, typical)
        if kind != "gaussian":
            self.order = np.empty((rows.shape[1], len(rows)), dtype=np.int32)
            for column in range(rows.shape[1]):
                self.order[column] = np.argsort(rows[:, column], kind="stable")

    def blocks(self):
        for start in range(0, len(self.rows), self.block):
            yield start, self.rows[start : start + self.block].astype(np.float64)

    def expect(self, mixture):
        """Posteriors (k, n) and the mean log-likelihood."""
        densities = Densities(mixture)
        posteriors = np.empty((len(mixture.weights_), len(self.rows)))
        total = 0.0
        for start, block in self.blocks():
            _, posteriors[:, start : start + len(block)], log_likelihoods = densities.posteriors(block)
            total += log_likelihoods.sum()
        return posteriors, total / len(self.rows)

    def maximise(self, posteriors, previous):
        """The mixture of greatest expected log-likelihood under the posteriors; variances no less than the floor."""
        counts = posteriors.sum(axis=1)
        alive = counts > _FEWEST_ROWS
        counts = np.maximum(counts, _FEWEST_ROWS)
        if self.kind == "gaussian":
            means, scales, _ = self._gaussian(posteriors, counts)
            laplacian = np.zeros(means.shape, dtype=bool)
        elif self.kind == "laplacian":
            means, scales, _ = self._laplacian(posteriors, counts)
            laplacian = np.ones(means.shape, dtype=bool)
        else:
            gaussian, laplace = self._gaussian(posteriors, counts), self._laplacian(posteriors, counts)
            laplacian = laplace[2] > gaussian[2]
            means, scales = (np.where(laplacian, laplace[i], gaussian[i]) for i in (0, 1))
        if previous is not None and not alive.all():
            means[~alive], scales[~alive] = previous.means_[~alive], previous.scales_[~alive]
            laplacian[~alive] = previous.laplacian_[~alive]
        return Mixture(counts / counts.sum(), means, scales, laplacian)

    def _gaussian(self, posteriors, counts):
        """Means, standard deviations, and the expected log-likelihood of each column for a row of the component."""
        first = np.zeros((len(posteriors), self.rows.shape[1]))
        second = np.zeros_like(first)
        for start, block in self.blocks():
            block -= self.centre
            first += posteriors[:, start : start + len(block)] @ block
            second += posteriors[:, start : start + len(block)] @ np.square(block, out=block)
        means = first / counts[:, None]
        found = np.maximum(second / counts[:, None] - means**2, 0)
        variances = np.maximum(found, self.least_variances)
        return means + self.centre, np.sqrt(variances), -0.5 * (np.log(2 * np.pi * variances) + found / variances)

    def _laplacian(self, posteriors, counts):
        """Weighted medians, mean absolute deviations, and expected log-likelihoods as in `_gaussian`."""
        medians = weighted_medians(self.rows, self.order, posteriors)
        found = np.zeros_like(medians)
        for start, block in self.blocks():
            for k, median in enumerate(medians):
                shares = posteriors[k, start : start + len(block)]
                counting = shares > _NEGLIGIBLE  # in many columns nearly all posteriors are 0 or 1
                deviations = block[counting] - median
                found[k] += shares[counting] @ np.abs(deviations, out=deviations)
        found /= counts[:, None]
        scales = np.maximum(found, np.sqrt(self.least_variances / 2))
        return medians, scales, -np.log(2 * scales) - found / scales


def weighted_medians(rows, order, weights):
    """Lower weighted medians of each column under several sets of weights.

    The rows are sorted once, by the caller. The weights are summed over runs of the sorted rows, as a product with an
    indicator matrix; then the median is looked for in one run alone.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
    order : ndarray of int32, shape (d, n)
        What sorts each column.
    weights : ndarray of shape (k, n)

    Returns
    -------
    medians : ndarray of shape (k, d), dtype float64
    """
    n, d = rows.shape
    by_row = np.ascontiguousarray(weights.T)
    run = int(np.ceil(np.sqrt(n)))
    starts = np.arange(0, n, run)
    halves = by_row.sum(axis=0) / 2
    medians = np.empty((len(weights), d))
    ones = np.ones(n)
    for column in range(d):
        indicator = sparse.csr_matrix((ones, order[column], np.append(starts, n)), shape=(len(starts), n))
        sums = np.cumsum(indicator @ by_row, axis=0)
        chosen = np.minimum((sums < halves).sum(axis=0), len(starts) - 1)
        before = np.where(chosen > 0, sums[chosen - 1, np.arange(len(weights))], 0)
        places = starts[chosen] + np.arange(run)[:, None]
        inside = by_row[order[column, np.minimum(places, n - 1)], np.arange(len(weights))]
        within = np.minimum((before + np.cumsum(inside, axis=0) < halves).sum(axis=0), run - 1)
        ranks = np.minimum(starts[chosen] + within, n - 1)
        medians[:, column] = rows[order[column, ranks], column]
    return medians
