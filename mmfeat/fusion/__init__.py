"""Two matrices into one common space: canonical correlation, partial least squares, learned projections."""

from ._cca import CCA
from ._learned import LearnedProjection
from ._pls import PLS

__all__ = ["CCA", "PLS", "LearnedProjection"]
