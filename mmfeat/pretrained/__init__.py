"""Two-tower models that others have trained, such as CLIP: pictures and sentences in one space with no training at all."""

from mmfeat.pretrained._two_tower import TwoTower
from mmfeat.pretrained._zero_shot import ZeroShotClassifier

__all__ = ["TwoTower", "ZeroShotClassifier"]
