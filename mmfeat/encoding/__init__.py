"""Encodings: matrices and bags of descriptors as vectors fit for inner products."""

from mmfeat.encoding._power import PowerNormalizer

__all__ = ["PowerNormalizer"]
