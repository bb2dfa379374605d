"""Encodings: matrices and bags of descriptors as vectors fit for inner products."""

from mmfeat.encoding._bow import BagOfWords
from mmfeat.encoding._fisher import FisherVector
from mmfeat.encoding._power import PowerNormalizer
from mmfeat.encoding._vlad import VLAD

__all__ = ["VLAD", "BagOfWords", "FisherVector", "PowerNormalizer"]
