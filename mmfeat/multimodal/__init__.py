"""Labelled pairs: classify by the picture and its words, with both sides fused as features, inside a network or as decisions."""

from mmfeat.multimodal._attention_fusion import AttentionFusionClassifier
from mmfeat.multimodal._class_heat_maps import class_heat_maps
from mmfeat.multimodal._late_fusion import LateFusionClassifier
from mmfeat.multimodal._pair_features import PairFeatures
from mmfeat.multimodal._word_contributions import word_contributions

__all__ = ["AttentionFusionClassifier", "LateFusionClassifier", "PairFeatures", "class_heat_maps", "word_contributions"]
