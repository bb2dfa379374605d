"""Images as vectors: colour, gradients, texture, local descriptors and the layers of convolutional networks."""

from mmfeat.image._cnn import CNNFeatures
from mmfeat.image._color import ColorHistogram
from mmfeat.image._color_moments import ColorMoments
from mmfeat.image._draw_heat_map import draw_heat_map
from mmfeat.image._grad_cam import grad_cam
from mmfeat.image._hog import HOGFeatures
from mmfeat.image._io import ImageDecodeError
from mmfeat.image._local import LocalDescriptors
from mmfeat.image._texture import TextureFeatures

__all__ = [
    "CNNFeatures",
    "ColorHistogram",
    "ColorMoments",
    "HOGFeatures",
    "ImageDecodeError",
    "LocalDescriptors",
    "TextureFeatures",
    "draw_heat_map",
    "grad_cam",
]
