"""Rows of unit length, for comparison by cosine."""

import numpy as np


def unit_rows(matrix):
    """Divide each row by its Euclidean length; a row of zeros stays as it is, similar to nothing.

    Parameters
    ----------
    matrix : ndarray of shape (n, d), dtype float32 or float64

    Returns
    -------
    rows : ndarray of the same shape and dtype
    """
    # Squares of very small or large numbers leave the range of floats; of numbers up to one they do not.
    largest = np.abs(matrix).max(axis=1, keepdims=True, initial=0)
    matrix = matrix / np.where(largest > 0, largest, 1)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix / np.where(norms > 0, norms, 1)
