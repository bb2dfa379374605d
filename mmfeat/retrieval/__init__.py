"""The Retriever, which joins two encoders and a fusion, the BiEncoder, trained end to end, and the index for what they give."""

from mmfeat.retrieval._bi_encoder import BiEncoder
from mmfeat.retrieval._duplicates import find_duplicates
from mmfeat.retrieval._explain import explain_pair
from mmfeat.retrieval._hubness import HubnessCorrection
from mmfeat.retrieval._hubness_report import hubness_report, k_occurrence
from mmfeat.retrieval._index import EmbeddingIndex
from mmfeat.retrieval._mismatched import find_mismatched_pairs
from mmfeat.retrieval._pair_heat_maps import pair_heat_maps
from mmfeat.retrieval._rerank import rerank
from mmfeat.retrieval._retriever import Retriever
from mmfeat.retrieval._score_fusion import ScoreFusion

__all__ = [
    "BiEncoder",
    "EmbeddingIndex",
    "HubnessCorrection",
    "Retriever",
    "ScoreFusion",
    "explain_pair",
    "find_duplicates",
    "find_mismatched_pairs",
    "hubness_report",
    "k_occurrence",
    "pair_heat_maps",
    "rerank",
]
