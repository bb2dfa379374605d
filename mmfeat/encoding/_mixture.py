"""Mixtures of diagonal Gaussian, Laplacian and hybrid components: their densities and posteriors."""

import numpy as np
from sklearn.mixture import GaussianMixture

# What (mean / scale)**2 may add up to, over the columns of a component, and may be in one column, for float32: rows are
# compared through their squares, and where the squares are large beside the variance, the difference has few digits.
_LARGEST_SUM = 512.0
_LARGEST_TERM = 64.0
_BLOCK_VALUES = 2**16


class Mixture:
    """Mixture whose components are products of one Gaussian or Laplacian density for each column.

    Parameters
    ----------
    weights : ndarray of shape (k,)
    means : ndarray of shape (k, d)
        Means of Gaussian columns, medians of Laplacian ones.
    scales : ndarray of shape (k, d)
        Standard deviations of Gaussian columns, mean absolute deviations of Laplacian ones.
    laplacian : ndarray of bool, shape (k, d)
        Which columns of which components are Laplacian.

    Attributes
    ----------
    weights_ : ndarray of shape (k,)
    means_ : ndarray of shape (k, d)
    scales_ : ndarray of shape (k, d)
    laplacian_ : ndarray of bool, shape (k, d)
    converged_ : bool
        Whether expectation maximisation stopped by itself.
    lower_bounds_ : ndarray of shape (n_iterations,)
        Mean log-likelihood of the sample before each iteration.
    """

    def __init__(self, weights, means, scales, laplacian):
        self.weights_ = weights
        self.means_ = means
        self.scales_ = scales
        self.laplacian_ = laplacian
        self.converged_ = True
        self.lower_bounds_ = np.empty(0)

    def score_samples(self, X):
        """Log-likelihood of each row, shape (n,), in float64."""
        return Densities(self).posteriors(np.asarray(X, dtype=np.float64))[2]

    def predict_proba(self, X):
        """Posterior of each component for each row, shape (n, k), in float64."""
        return Densities(self).posteriors(np.asarray(X, dtype=np.float64))[1].T

    def score(self, X):
        """Mean log-likelihood of the rows."""
        return float(self.score_samples(X).mean())


class Densities:
    """A mixture made ready for matrix products.

    The Gaussian columns of all components take one product with the rows and one with their squares; the Laplacian
    ones take a pass for each component.

    Parameters
    ----------
    mixture : Mixture

    Attributes
    ----------
    centre : ndarray of shape (d,) or None
        Taken from the rows first, where their distance from the origin would cost digits.
    means : ndarray of shape (k, d)
        Relative to the centre.
    fits_float32 : bool
        Whether float32 is fine enough for posteriors and moments.
    laplacian : list of tuple
        Of each component the Laplacian columns, their medians relative to the centre, and one over their scales.
    """

    def __init__(self, mixture):
        weights, scales, laplacian = mixture.weights_, mixture.scales_, mixture.laplacian_
        self.precisions = np.where(laplacian, 0, 1 / scales**2)
        self.centre, self.means = None, mixture.means_
        if not self._fits_float32():
            # A float32 number, so that rows of either dtype lose the same.
            self.centre = (weights @ mixture.means_).astype(np.float32).astype(np.float64)
            self.means = mixture.means_ - self.centre
        self.fits_float32 = self._fits_float32()
        logs = np.where(laplacian, np.log(2 * scales), np.log(scales) + 0.5 * np.log(2 * np.pi)).sum(axis=1)
        constants = np.log(weights) - 0.5 * (self.means**2 * self.precisions).sum(axis=1) - logs
        self.offset = constants.mean()  # of no consequence for posteriors; without it float32 has room for more
        self.constants = constants - self.offset
        self.laplacian = [self._laplacian_columns(k, mixture) for k in range(len(weights))] if laplacian.any() else []

    def _fits_float32(self):
        terms = self.means**2 * self.precisions
        return bool(terms.sum(axis=1).max() <= _LARGEST_SUM and terms.max() <= _LARGEST_TERM)

    def _laplacian_columns(self, k, mixture):
        chosen = mixture.laplacian_[k]
        columns = np.arange(len(chosen)) if chosen.all() else np.flatnonzero(chosen)
        return columns, self.means[k, columns], 1 / mixture.scales_[k, columns]

    def posteriors(self, rows):
        """Moments, posteriors and log-likelihoods of rows, float32 if the rows are and that is fine enough.

        Parameters
        ----------
        rows : ndarray of shape (n, d)

        Returns
        -------
        moments : tuple of two ndarray of shape (n, d)
            Centred rows, and their squares.
        posteriors : ndarray of shape (k, n)
        log_likelihoods : ndarray of shape (n,)
        """
        rows = rows if self.fits_float32 else rows.astype(np.float64, copy=False)
        rows = rows if self.centre is None else rows - self.centre.astype(rows.dtype)
        squares = np.square(rows)
        joint = rows @ (self.means * self.precisions).T.astype(rows.dtype)
        joint += squares @ (-0.5 * self.precisions.T).astype(rows.dtype)
        joint = np.ascontiguousarray(joint.T)  # maxima and sums over components are far quicker this way round
        joint += self.constants.astype(rows.dtype)[:, None]
        for k, (_, _, rates) in enumerate(self.laplacian):
            for start, deviations in self._deviations(rows, k):
                joint[k, start : start + len(deviations)] -= np.abs(deviations) @ rates.astype(rows.dtype)
        largest = joint.max(axis=0)
        joint -= largest
        np.exp(joint, out=joint)
        total = joint.sum(axis=0)
        joint /= total
        return (rows, squares), joint, largest + np.log(total) + self.offset

    def _deviations(self, rows, k):
        """Blocks of centred rows minus the medians of the Laplacian columns of a component, and where they start."""
        columns, medians, _ = self.laplacian[k]
        if len(columns) == 0:
            return
        block = max(1, _BLOCK_VALUES // len(columns))
        for start in range(0, len(rows), block):
            part = rows[start : start + block]
            part = part if len(columns) == rows.shape[1] else part[:, columns]
            yield start, part - medians.astype(rows.dtype)


def as_gaussian_mixture(mixture):
    """A Mixture of Gaussian columns alone as a fitted one of scikit-learn."""
    found = GaussianMixture(len(mixture.weights_), covariance_type="diag")
    found.weights_, found.means_, found.covariances_ = mixture.weights_, mixture.means_, mixture.scales_**2
    found.precisions_ = 1 / found.covariances_
    found.precisions_cholesky_ = 1 / mixture.scales_
    found.converged_, found.n_iter_ = mixture.converged_, len(mixture.lower_bounds_)
    found.lower_bound_, found.lower_bounds_ = mixture.lower_bounds_[-1], mixture.lower_bounds_.tolist()
    found.n_features_in_ = mixture.means_.shape[1]
    return found


def as_mixture(mixture):
    """A Mixture, or one of scikit-learn of diagonal covariances, as a Mixture."""
    if isinstance(mixture, Mixture):
        return mixture
    laplacian = np.zeros(mixture.means_.shape, dtype=bool)
    return Mixture(mixture.weights_, mixture.means_, np.sqrt(mixture.covariances_), laplacian)
