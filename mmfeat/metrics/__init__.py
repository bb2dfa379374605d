"""Recall at k and friends, with ties counted against, and scorers for scikit-learn's model selection."""

from mmfeat.metrics._metrics import mean_average_precision, median_rank, ndcg, recall_at_k
from mmfeat.metrics._ranks import RelevantRanks, match_groups, rank_embeddings, rank_relevant
from mmfeat.metrics._scorers import make_retrieval_scorer, rank_pairs, retrieval_scorer

__all__ = [
    "RelevantRanks",
    "make_retrieval_scorer",
    "match_groups",
    "mean_average_precision",
    "median_rank",
    "ndcg",
    "rank_embeddings",
    "rank_pairs",
    "rank_relevant",
    "recall_at_k",
    "retrieval_scorer",
]
