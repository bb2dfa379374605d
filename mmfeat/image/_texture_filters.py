"""Local binary patterns and Gabor responses of one gray image."""

from functools import lru_cache

import numpy as np

N_POINTS = 8
N_PATTERNS = N_POINTS * (N_POINTS - 1) + 3
"""Patterns told apart: those with at most two changes around the circle, and one for all others."""

# Of an interpolated gray value; so much is rounding, and equal values shall count as equal.
_ROUNDING = 1e-7
# Half-width of a Gabor kernel in standard deviations; and bandwidth of one octave at half the height.
_REACH = 3
_SIGMA_TIMES_FREQUENCY = 3 * np.sqrt(np.log(2) / 2) / np.pi


def binary_patterns(gray, radius):
    """Number of the uniform pattern around each pixel, beyond the border the nearest pixel counting again.

    Parameters
    ----------
    gray : ndarray of shape (height, width), dtype uint8
    radius : float
        Of the circle of eight points, in pixels.

    Returns
    -------
    numbers : ndarray of shape (height, width), dtype uint8
        Those of ``skimage.feature.local_binary_pattern(..., method="nri_uniform")``.
    """
    height, width = gray.shape
    pad = int(np.ceil(radius)) + 1
    padded = np.pad(gray.astype(np.float64), pad, mode="edge")
    codes = np.zeros(gray.shape, dtype=np.uint8)
    angles = 2 * np.pi * np.arange(N_POINTS) / N_POINTS
    places = np.round(radius * np.stack([-np.sin(angles), np.cos(angles)], axis=1), 5)
    for bit, (down, right) in enumerate(places):
        top, left = int(np.floor(down)), int(np.floor(right))
        value = 0
        for row, share in ((top, 1 - (down - top)), (top + 1, down - top)):
            for column, part in ((left, 1 - (right - left)), (left + 1, right - left)):
                if share * part:
                    value = value + share * part * padded[pad + row :, pad + column :][:height, :width]
        codes |= (value >= gray - _ROUNDING).astype(np.uint8) << bit
    return _pattern_numbers()[codes]


@lru_cache(maxsize=1)
def _pattern_numbers():
    """From the eight bits to the number of the pattern: by the number of ones, then by their turn."""
    numbers = np.full(2**N_POINTS, N_PATTERNS - 1, dtype=np.uint8)
    numbers[0], numbers[-1] = 0, N_PATTERNS - 2
    for n_ones in range(1, N_POINTS):
        for turn in range(N_POINTS):
            ones = (N_POINTS - turn + np.arange(n_ones)) % N_POINTS
            numbers[(1 << ones).sum()] = 1 + (n_ones - 1) * N_POINTS + turn
    return numbers


def gabor_magnitudes(gray, frequencies, orientations):
    """Magnitude of the response to each Gabor filter at each pixel; the image is mirrored at its border.

    Parameters
    ----------
    gray : ndarray of shape (height, width), dtype uint8
    frequencies : tuple of float
        Cycles a pixel.
    orientations : int
        Directions of the wave between 0 and 180 degrees.

    Returns
    -------
    magnitudes : ndarray of shape (n_frequencies * orientations, height, width), dtype float32
        Of gray values in [0, 1]; those of ``skimage.filters.gabor``.
    """
    down, right = _gabor_matrices(gray.shape, frequencies, orientations)
    values = gray.astype(np.float32) / 255
    # Isotropic Gabor kernels are products of one function of the row and one of the column.
    return np.abs(down @ (values @ right))


@lru_cache(maxsize=8)
def _gabor_matrices(shape, frequencies, orientations):
    """Filters along the columns and along the rows, as matrices that hold the mirroring as well."""
    down, right = [], []
    for frequency in frequencies:
        sigma = _SIGMA_TIMES_FREQUENCY / frequency
        for angle in np.pi * np.arange(orientations) / orientations:
            cosine, sine = np.cos(angle), np.sin(angle)
            reach = int(np.ceil(max(abs(_REACH * sigma * cosine), abs(_REACH * sigma * sine), 1)))
            offsets = np.arange(-reach, reach + 1)
            bell = np.exp(-(offsets**2) / (2 * sigma**2)) / (np.sqrt(2 * np.pi) * sigma)
            wave = 2j * np.pi * frequency * offsets
            down.append(_mirrored(bell * np.exp(wave * sine), shape[0]))
            right.append(_mirrored(bell * np.exp(wave * cosine), shape[1]).T)
    return np.stack(down), np.stack(right)


def _mirrored(kernel, length):
    """Matrix (length, length) that convolves with a kernel, the values mirrored beyond both ends."""
    reach = len(kernel) // 2
    sources = np.pad(np.arange(length), reach, mode="symmetric")
    matrix = np.zeros((length, length), dtype=np.complex64)
    for offset, weight in zip(range(-reach, reach + 1), kernel, strict=True):
        rows = np.arange(length)
        np.add.at(matrix, (rows, sources[rows - offset + reach]), weight)
    return matrix
