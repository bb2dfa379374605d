"""Encoders of pictures that begin with a network, and slopes carried back to its features."""

import numpy as np

from mmfeat.image._cnn import CNNFeatures
from mmfeat.utils._steps import dense_row, flat_steps, pull_back


class BehindNetwork:
    """The steps of a fitted encoder of pictures behind its :class:`~mmfeat.image.CNNFeatures`.

    Parameters
    ----------
    steps : list of transformer
        The first must be one, or a pipeline that begins with one; a cache around it is opened.
    images : list of images

    Raises
    ------
    ValueError
        If it begins with something else, makes bags, or an image could not be read.
    """

    def __init__(self, steps, images):
        steps = [inner for step in steps for inner in flat_steps(step)]
        steps = [inner for step in steps for inner in flat_steps(getattr(step, "transformer_", step))]
        self.network, self.steps = steps[0], steps[1:]
        if not isinstance(self.network, CNNFeatures):
            raise ValueError(
                f"Heat maps need an image encoder that is a CNNFeatures or a pipeline that begins with one. Got "
                f"{type(self.network).__name__} instead."
            )
        if self.network.pooling is None:
            raise ValueError("Heat maps need features, not bags. Use CNNFeatures with pooling='avg', say.")
        features = self.network.transform(images)
        if self.network.errors_:
            raise ValueError(f"{self.network.errors_[0][2]}. Leave it out.")
        self._rows = [self._pass(row) for row in features.astype(np.float64)]

    def output(self, number):
        """What the encoder gives for a picture, shape (n_features_out,), in float64."""
        return self._rows[number][-1]

    def pull_back(self, number, slope):
        """Gradient by the features of the network, of a score whose gradient by the encoder's output is `slope`."""
        for step, row in zip(reversed(self.steps), reversed(self._rows[number][:-1]), strict=True):
            slope = pull_back(step, row, slope)
        return slope

    def _pass(self, row):
        rows = [row]
        for step in self.steps:
            rows.append(dense_row(step.transform(rows[-1][None])))
        return rows
