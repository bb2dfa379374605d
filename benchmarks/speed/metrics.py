"""All metrics of 5,000 sentences over 1,000 pictures both ways, against the bare products and one sort.

OMP_NUM_THREADS=1 python benchmarks/speed/metrics.py
"""

import numpy as np
from _harness import in_turn, run_sections

from mmfeat.metrics import (
    match_groups,
    mean_average_precision,
    mean_average_precision_at_r,
    mean_rank,
    mean_reciprocal_rank,
    median_rank,
    ndcg,
    precision_at_k,
    rank_embeddings,
    recall_at_k,
    rsum,
)


def both_ways():
    """Ranks and every metric, both ways; random embeddings of 512 columns."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(1000, 512)).astype(np.float32)
    captions_of = np.repeat(np.arange(1000), 5)
    texts = images[captions_of] + 3 * rng.normal(size=(5000, 512)).astype(np.float32)
    relevance = match_groups(np.arange(1000), captions_of)

    def bare():
        np.sort(images @ texts.T, axis=1)
        texts @ images.T

    def every_metric():
        ranks = {
            "i2t": rank_embeddings(images, texts, relevance=relevance),
            "t2i": rank_embeddings(texts, images, relevance=relevance.T.tocsr()),
        }
        for part in ranks.values():
            for k in (1, 5, 10):
                recall_at_k(part, k=k)
                precision_at_k(part, k=k)
            for metric in (median_rank, mean_rank, mean_reciprocal_rank):
                metric(part)
            for metric in (mean_average_precision, mean_average_precision_at_r, ndcg):
                metric(part)
        rsum(ranks)

    taken = in_turn({"two products and one sort": bare, "every metric, both ways": every_metric}, repeats=9)
    ratio = taken["every metric, both ways"] / taken["two products and one sort"]
    return {"data": "random", "seconds": taken, "ratio": ratio, "bar": 2.0}


SECTIONS = {"both_ways": both_ways}

if __name__ == "__main__":
    run_sections("speed_metrics", SECTIONS, __doc__)
