"""Two matrices into one common space: canonical correlation, partial least squares, learned projections."""

from mmfeat.fusion._cca import CCA
from mmfeat.fusion._learned import LearnedProjection
from mmfeat.fusion._pls import PLS

__all__ = ["CCA", "PLS", "LearnedProjection"]
