"""Recall at k and friends, with ties counted against, intervals, paired tests, and scorers for scikit-learn's model selection."""

from mmfeat.metrics._graded import mean_average_precision, mean_average_precision_at_r, ndcg
from mmfeat.metrics._intervals import BootstrapInterval, bootstrap_interval
from mmfeat.metrics._metrics import mean_rank, mean_reciprocal_rank, median_rank, precision_at_k, recall_at_k
from mmfeat.metrics._paired_test import PairedTest, paired_test
from mmfeat.metrics._ranks import RelevantRanks, rank_embeddings, rank_relevant, rank_scored
from mmfeat.metrics._relevance import match_groups
from mmfeat.metrics._rsum import rsum
from mmfeat.metrics._scorers import make_retrieval_scorer, rank_pairs, retrieval_scorer
from mmfeat.metrics._trec import write_trec_qrels, write_trec_run

__all__ = [
    "BootstrapInterval",
    "PairedTest",
    "RelevantRanks",
    "bootstrap_interval",
    "make_retrieval_scorer",
    "match_groups",
    "mean_average_precision",
    "mean_average_precision_at_r",
    "mean_rank",
    "mean_reciprocal_rank",
    "median_rank",
    "ndcg",
    "paired_test",
    "precision_at_k",
    "rank_embeddings",
    "rank_pairs",
    "rank_relevant",
    "rank_scored",
    "recall_at_k",
    "retrieval_scorer",
    "rsum",
    "write_trec_qrels",
    "write_trec_run",
]
