"""One side of a fusion in the middle: a matrix brought to one scale, or bags of vectors as they are."""

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from mmfeat.fusion._learning._attention_training import mean_and_scale_of_bags
from mmfeat.multimodal._blocks import Block
from mmfeat.multimodal._readable import is_bags
from mmfeat.utils._validation import check_bags


class MiddleSide(Block):
    """One side of :class:`~mmfeat.multimodal.AttentionFusionClassifier`.

    Columns of a dense matrix get mean 0 and deviation 1; those of a sparse one, and the vectors of bags, are scaled by one
    number in the training.

    Parameters
    ----------
    side : {"image", "text"}
    encoder : transformer
        Fitted as a clone.
    missing : {"error", "impute", "other"}
    """

    def __init__(self, side, encoder, missing):
        super().__init__(side, encoder, "join", None, 1.0, missing)
        self.gives_bags = False

    def _learn(self, features):
        if not self.gives_bags:
            self.normalize = None if sparse.issparse(features) else "standard"
            return super()._learn(features)
        if not features:
            raise ValueError(f"All bags that the {self.side} encoder gives are empty. Check what it describes.")
        self.width = features[0].shape[1]
        if self.missing == "impute":
            self.mean = mean_and_scale_of_bags(features)[0].astype(np.float32)[None]
        return features

    def _place(self, features, readable, rows, present):
        if features is not None and is_bags(features):
            self.gives_bags = True
            features = check_bags(list(features))
            if self.missing == "error":
                return features, present
            # A picture that could not be read, or words that are all unknown: there is nothing to go by.
            found = np.array([len(bag) > 0 for bag in features])
            present = present.copy()
            present[present] = found
            return [bag for bag, full in zip(features, found, strict=True) if full], present
        features, present = super()._place(features, readable, rows, present)
        if features is not None:
            name = f"what the {self.side} encoder gives"
            check_array(features, accept_sparse="csr", dtype=None, input_name=name)
        return features, present

    def _scale(self, features):
        return features if self.gives_bags else super()._scale(features)

    def _fill(self, features, present):
        if not self.gives_bags:
            return super()._fill(features, present)
        gap = self.mean if self.missing == "impute" else np.empty((0, self.width), dtype=np.float32)
        there = iter(features or [])
        return [next(there) if full else gap for full in present]
