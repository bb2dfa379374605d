"""Figures of every system from the rankings of its runs: means over seeds, intervals, tests against each other."""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from mmfeat.comparison._results import read_rankings, read_record
from mmfeat.comparison._task import DIRECTIONS
from mmfeat.metrics import mean_average_precision, mean_reciprocal_rank, median_rank, recall_at_k
from mmfeat.metrics._clusters import clusters_of
from mmfeat.metrics._intervals import interval_of_clusters
from mmfeat.metrics._paired_test import compare_clusters

KS = (1, 5, 10)
WAYS = {"i2t": "I→T", "t2i": "T→I"}


@dataclass(frozen=True)
class Scored:
    """A system after all of its runs.

    Parameters
    ----------
    system : System, Together or Reranked
    rankings : list of dict of str to RelevantRanks
        Of test, one for each seed.
    records : list of dict
        What the runs cost and chose.
    clusters : Clusters
        Values of the measure by picture, the mean over the seeds.
    """

    system: object
    rankings: list
    records: list
    clusters: object


def score_system(system, folders, task):
    """Read the runs of a system."""
    rankings = [read_rankings(folder, "test") for folder in folders]
    values = [task.measure(part, average=False) for part in rankings]
    mean = {way: np.mean([value[way] for value in values], axis=0) for way in DIRECTIONS}
    clusters = clusters_of(rankings[0], lambda ranks, average: mean)
    return Scored(system, rankings, [read_record(folder) for folder in folders], clusters)


def row_of(scored, task, seed):
    """The row of a system in the tables."""
    measures = [task.measure(part) for part in scored.rankings]
    interval = interval_of_clusters(scored.clusters, 0.95, 2000, np.random.default_rng(seed))
    system, first = scored.system, scored.records[0]
    return {
        "system": system.name,
        "remarks": _remarks(system),
        **_figures(scored, task),
        task.measure_name: float(np.mean(measures)),
        "low": interval.low,
        "high": interval.high,
        "std over seeds": float(np.std(measures, ddof=1)) if len(measures) > 1 else None,
        "seeds": len(measures),
        f"val {task.measure_name}": float(np.mean([record["val_score"] for record in scored.records])),
        **_costs(scored.records),
        "hubness": float(np.mean([record["hubness"] for record in scored.records])),
        "settings": ", ".join(f"{name}={value}" for name, value in first["settings"].items()),
    }


def chance_row(task, columns):
    """What a random order would score, in expectation."""
    groups, n_images = task.groups["test"], task.n_images["test"]
    row = dict.fromkeys(columns)
    row |= {"system": "chance", "remarks": "", "settings": "", "seeds": None}
    if task.by_label:
        codes = task.labels["test"]
        shares = np.mean(codes[:, None] == codes[groups][None, :])
        return row | {f"{way} mAP": 100 * float(shares) for way in WAYS.values()} | {"mAP": 100 * float(shares)}
    recalls = chance_recalls(groups, n_images)
    return row | recalls | {"rsum": sum(recalls.values())}


def chance_recalls(groups, n_images, ks=KS):
    """Recalls of a random order in percent, in expectation; none where the gallery is smaller than k."""
    n_texts = len(groups)
    captions = np.bincount(groups, minlength=n_images)
    found = {k: 1 - np.mean([comb(n_texts - int(c), k) / comb(n_texts, k) for c in captions]) for k in ks}
    recalls = {f"I→T R@{k}": 100 * float(found[k]) for k in ks}
    return recalls | {f"T→I R@{k}": 100 * k / n_images for k in ks}


def pairwise_tests(scored, seed):
    """Permutation test of each pair of systems; p-values corrected for their number after Holm (1979).

    Returns
    -------
    tests : list of dict
        "first", "second", "difference", "low", "high", "p", "p corrected".
    """
    tests = []
    for one, two in combinations(scored, 2):
        rng = np.random.default_rng(seed)
        result = compare_clusters(one.clusters, two.clusters, "permutation", 0.95, 10000, rng)
        tests.append(
            {
                "first": one.system.name,
                "second": two.system.name,
                "difference": result.difference,
                "low": result.low,
                "high": result.high,
                "p": result.p_value,
            }
        )
    corrected = holm([test["p"] for test in tests])
    return [{**test, "p corrected": p} for test, p in zip(tests, corrected, strict=True)]


def holm(p_values):
    """P-values that hold for all of them together: Holm's step-down procedure."""
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(stepped, 1)
    return corrected.tolist()


def recall_curve(scored, way, ks):
    """Recall in percent at each k, the mean over the seeds."""
    return [100 * float(np.mean([recall_at_k(part[way], k=k) for part in scored.rankings])) for k in ks]


def _figures(scored, task):
    figures = {}
    for way, name in WAYS.items():
        parts = [rankings[way] for rankings in scored.rankings]
        if task.by_label:
            figures[f"{name} mAP"] = 100 * float(np.mean([mean_average_precision(part) for part in parts]))
            continue
        for k in KS:
            figures[f"{name} R@{k}"] = 100 * float(np.mean([recall_at_k(part, k=k) for part in parts]))
        figures[f"{name} median"] = float(np.mean([median_rank(part) for part in parts]))
        figures[f"{name} MRR"] = 100 * float(np.mean([mean_reciprocal_rank(part) for part in parts]))
    return figures


def _costs(records):
    def median(name, scale=1.0):
        return float(np.median([record[name] for record in records])) * scale

    return {
        "fit s": median("fit_seconds"),
        "query ms": median("query_milliseconds"),
        "peak MB": median("peak_memory_bytes", 1e-6),
        "model MB": median("model_bytes", 1e-6),
    }


def _remarks(system):
    remarks = [
        word for word, holds in (("transductive", system.transductive), ("supervised", system.supervised)) if holds
    ]
    return ", ".join(remarks)
