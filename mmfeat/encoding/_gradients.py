"""Gradients of the log-likelihood of many bags at once, over the square root of their Fisher information."""

import numpy as np
from scipy import sparse

from mmfeat.encoding._mixture import Densities


class Gradients:
    """What turns descriptors into Fisher vectors under a mixture.

    Each gradient is linear in the sums over a bag of ``posterior * (x, x**2, 1)``, or for Laplacian columns of
    ``posterior * (sign(x - m), |x - m|, 1)``, with coefficients that depend on the mixture alone.

    Parameters
    ----------
    mixture : Mixture
    dtype : dtype
        Of the descriptors and of the coefficients.
    """

    def __init__(self, mixture, dtype):
        self.densities = Densities(mixture)
        laplacian, scales = mixture.laplacian_, mixture.scales_
        roots = np.sqrt(mixture.weights_)[:, None]
        shifts = self.densities.means / scales
        halves = np.where(laplacian, roots, roots * np.sqrt(2))
        coefficients = {
            "mean_of_first": np.where(laplacian, 1, 1 / scales) / roots,
            "mean_of_mass": np.where(laplacian, 0, -shifts) / roots,
            "scale_of_second": -1 / np.where(laplacian, scales, scales**2) / halves,
            "scale_of_first": np.where(laplacian, 0, 2 * shifts / scales) / halves,
            "scale_of_mass": np.where(laplacian, 1, 1 - shifts**2) / halves,
            "roots": roots[:, 0],
        }
        # Those of narrow components far from the centre cancel each other.
        dtype = dtype if self.densities.fits_float32 else np.float64
        self.coefficients = {name: values.astype(dtype) for name, values in coefficients.items()}

    def assign(self, rows):
        """Centred rows (n, d), their squares, and posteriors (n, k)."""
        (rows, squares), posteriors, _ = self.densities.posteriors(rows)
        return rows, squares, posteriors.T

    def sums(self, parts, counts):
        """Sums (n_segments, k * (2 * d + 1)) over segments of rows that follow each other."""
        rows, squares, posteriors = parts[0], parts[1], parts[2].T
        sums = np.zeros((len(counts), len(posteriors) * (2 * rows.shape[1] + 1)), dtype=rows.dtype)
        first, second, mass = self._split(sums)
        ends = np.cumsum(counts)
        for segment in np.flatnonzero(counts):
            here = slice(ends[segment] - counts[segment], ends[segment])
            np.dot(posteriors[:, here], rows[here], out=first[segment])
            np.dot(posteriors[:, here], squares[here], out=second[segment])
        filled = counts > 0
        mass[filled] = np.add.reduceat(posteriors, (ends - counts)[filled], axis=1).T
        for k, (columns, medians, _) in enumerate(self.densities.laplacian):
            deviations = rows[:, columns] - medians.astype(rows.dtype)
            pooling = sparse.csr_matrix(
                (np.ascontiguousarray(posteriors[k]), np.arange(len(rows)), np.append(0, ends)),
                shape=(len(counts), len(rows)),
            )
            first[:, k, columns] = pooling @ np.sign(deviations)
            second[:, k, columns] = pooling @ np.abs(deviations, out=deviations)
        return sums

    def _split(self, sums):
        """Views of the sums of the rows (n, k, d), of their squares, and of the posteriors (n, k)."""
        k, d = self.densities.means.shape
        first, second, mass = np.split(sums, [k * d, 2 * k * d], axis=1)
        return first.reshape(-1, k, d), second.reshape(-1, k, d), mass

    def finish(self, sums, counts):
        """The gradients of weights (n, k), means (n, k, d) and scales (n, k, d); zero where nothing was summed."""
        found = self.coefficients
        first, second, mass = self._split(sums / np.maximum(counts, 1).astype(sums.dtype)[:, None])
        scales = second * found["scale_of_second"]
        scales += first * found["scale_of_first"]
        scales += mass[:, :, None] * found["scale_of_mass"]
        means = first * found["mean_of_first"]
        means += mass[:, :, None] * found["mean_of_mass"]
        weights = mass / found["roots"] - found["roots"] * (counts > 0)[:, None]
        return {"weights": weights, "means": means, "scales": scales}
