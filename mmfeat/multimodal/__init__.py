"""Labelled pairs: classify by the picture and its words, with features or decisions of both sides fused."""

from mmfeat.multimodal._late_fusion import LateFusionClassifier
from mmfeat.multimodal._pair_features import PairFeatures

__all__ = ["LateFusionClassifier", "PairFeatures"]
