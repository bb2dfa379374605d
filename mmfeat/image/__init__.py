"""Images as vectors: colour, gradients and the layers of convolutional networks."""

from mmfeat.image._cnn import CNNFeatures
from mmfeat.image._color import ColorHistogram
from mmfeat.image._hog import HOGFeatures
from mmfeat.image._io import ImageDecodeError

__all__ = ["CNNFeatures", "ColorHistogram", "HOGFeatures", "ImageDecodeError"]
