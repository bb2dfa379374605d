"""The Retriever, which joins two encoders and a fusion, and the index that searches what it encodes."""

from mmfeat.retrieval._explain import explain_pair
from mmfeat.retrieval._index import EmbeddingIndex
from mmfeat.retrieval._retriever import Retriever

__all__ = ["EmbeddingIndex", "Retriever", "explain_pair"]
