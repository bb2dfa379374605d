"""Two matrices into one common space: canonical correlation, partial least squares, learned projections."""

from mmfeat.fusion._cca import CCA
from mmfeat.fusion._ccazoo import CCAZoo
from mmfeat.fusion._cross_attention import CrossAttentionScorer
from mmfeat.fusion._deep_cca import DeepCCA
from mmfeat.fusion._diagnostics import redundancy, wilks_test
from mmfeat.fusion._draw_attention import draw_attention
from mmfeat.fusion._explain import explain
from mmfeat.fusion._explanation import Explanation
from mmfeat.fusion._generalized import GeneralizedCCA
from mmfeat.fusion._kernel import KernelCCA
from mmfeat.fusion._learned import LearnedProjection
from mmfeat.fusion._learning_curve import plot_learning_curve
from mmfeat.fusion._multilabel import MultiLabelCCA
from mmfeat.fusion._permutation import permutation_test
from mmfeat.fusion._pls import PLS
from mmfeat.fusion._ridge import RidgeMapping
from mmfeat.fusion._semantic import SemanticMatching

__all__ = [
    "CCA",
    "PLS",
    "CCAZoo",
    "CrossAttentionScorer",
    "DeepCCA",
    "Explanation",
    "GeneralizedCCA",
    "KernelCCA",
    "LearnedProjection",
    "MultiLabelCCA",
    "RidgeMapping",
    "SemanticMatching",
    "draw_attention",
    "explain",
    "permutation_test",
    "plot_learning_curve",
    "redundancy",
    "wilks_test",
]
