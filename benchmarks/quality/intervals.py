"""Are the intervals and tests right as often as they promise? Simulated systems whose truth is known.

    python benchmarks/quality/intervals.py [--simulations 1000]

Captions of one image are easy or hard together. The truth of an interval is the figure of a population of 200,000 images; systems
that are compared differ by chance alone. 150 images a simulation for intervals, 100 for tests. Writes results/intervals.json.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np

from mmfeat.cli._provenance import provenance
from mmfeat.metrics import RelevantRanks, bootstrap_interval, mean_reciprocal_rank, paired_test, recall_at_k, rsum

METRICS = {"rsum": rsum, "t2i recall@5": partial(recall_at_k, k=5), "t2i reciprocal rank": mean_reciprocal_rank}


def system(rng, n_images, n_captions):
    """Rankings both ways of images that are easy or hard, captions and all."""
    effort = 2 - rng.normal(size=(n_images, 1)) - rng.normal(size=(n_images, n_captions))
    ranks = np.ceil(np.exp(np.clip(effort, 0, 6.9))).astype(int)
    images = np.arange(n_images)
    return {
        "i2t": as_ranks(ranks.min(axis=1), images),
        "t2i": as_ranks(ranks.ravel(), np.repeat(images, n_captions)),
    }


def as_ranks(first, groups):
    return RelevantRanks(np.arange(len(first) + 1), first, np.ones(len(first)), 1000, groups)


def part_of(rankings, name):
    return rankings if name == "rsum" else rankings["t2i"]


def coverage(name, n_captions, n_simulations):
    """Share of the 95 % intervals that hold the figure of the population."""
    metric = METRICS[name]
    truth = metric(part_of(system(np.random.default_rng(99), 200_000, n_captions), name))
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(n_simulations):
        found = bootstrap_interval(part_of(system(rng, 150, n_captions), name), metric, random_state=seed)
        held += found.low <= truth <= found.high
    return held / n_simulations


def false_alarms(name, method, n_captions, n_simulations):
    """Share of comparisons of equal systems with p <= 0.05."""
    rng = np.random.default_rng(1)
    alarms = 0
    for seed in range(n_simulations):
        pair = [part_of(system(rng, 100, n_captions), name) for _ in range(2)]
        result = paired_test(*pair, METRICS[name], method=method, n_resamples=999, random_state=seed)
        alarms += result.p_value <= 0.05
    return alarms / n_simulations


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results")
    arguments = parser.parse_args()
    record = {
        "simulations": arguments.simulations,
        "data": "random",
        "coverage_of_95_percent": {
            f"{name}, {captions} captions": coverage(name, captions, arguments.simulations)
            for name in METRICS
            for captions in (1, 5)
        },
        "false_alarms_at_5_percent": {
            f"{name}, {method}": false_alarms(name, method, 5, arguments.simulations)
            for name in METRICS
            for method in ("permutation", "bootstrap")
        },
        "provenance": provenance(),
    }
    (arguments.out / "intervals.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
