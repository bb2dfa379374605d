"""The Retriever, which joins two encoders and a fusion, and the index that searches what it encodes."""

from ._index import EmbeddingIndex
from ._retriever import Retriever

__all__ = ["EmbeddingIndex", "Retriever"]
