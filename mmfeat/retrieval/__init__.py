"""The Retriever, which joins two encoders and a fusion, the BiEncoder, trained end to end, and the index for what they give."""

from mmfeat.retrieval._bi_encoder import BiEncoder
from mmfeat.retrieval._explain import explain_pair
from mmfeat.retrieval._index import EmbeddingIndex
from mmfeat.retrieval._rerank import rerank
from mmfeat.retrieval._retriever import Retriever

__all__ = ["BiEncoder", "EmbeddingIndex", "Retriever", "explain_pair", "rerank"]
