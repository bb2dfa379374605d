"""Figures of every system from the rankings of its runs: means over seeds, intervals, tests against each other."""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from mmfeat.comparison._results import read_rankings, read_record
from mmfeat.comparison._task import DIRECTIONS
from mmfeat.metrics import mean_average_precision, mean_reciprocal_rank, median_rank, recall_at_k
from mmfeat.metrics._clusters import Clusters, bca_interval, clusters_of
from mmfeat.metrics._intervals import interval_of_clusters

KS = (1, 5, 10)
# Draws for the interval of a difference, and draws held at a time.
_N_INTERVAL = 2000
_BLOCK_DRAWS = 1 << 22
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


def row_of(scored, task, seed, remarks):
    """The row of a system in the tables."""
    measures = [task.measure(part) for part in scored.rankings]
    interval = interval_of_clusters(scored.clusters, 0.95, 2000, np.random.default_rng(seed))
    system, first = scored.system, scored.records[0]
    return {
        "system": system.name,
        "remarks": remarks,
        **_figures(scored, task),
        task.measure_name: float(np.mean(measures)),
        "low": interval.low,
        "high": interval.high,
        "std over seeds": float(np.std(measures, ddof=1)) if len(measures) > 1 else None,
        "seeds": len(measures),
        f"val {task.measure_name}": float(np.mean([record["val_score"] for record in scored.records])),
        **_costs(scored.records),
        "hubness": float(np.mean([record["hubness"] for record in scored.records])),
        "settings": ", ".join(f"{name}={value}" for name, value in _settings(system, first).items()),
    }


def chance_row(task, columns):
    """What a random order would score, in expectation."""
    groups, n_images = task.groups["test"], task.n_images["test"]
    row = dict.fromkeys(columns)
    row |= {"system": "chance", "remarks": "", "settings": "", "seeds": None}
    if task.by_label:
        found = {f"{WAYS[way]} mAP": 100 * chance_map(relevance) for way, relevance, _ in task.relevances("test")}
        return row | found | {"mAP": float(np.mean(list(found.values())))}
    recalls = chance_recalls(groups, n_images)
    return row | recalls | {"rsum": sum(recalls.values())}


def chance_recalls(groups, n_images, ks=KS):
    """recalls of a random order in percent, in expectation."""
    n_texts = len(groups)
    captions = np.bincount(groups, minlength=n_images)
    found = {k: 1 - np.mean([comb(n_texts - int(c), k) / comb(n_texts, k) for c in captions]) for k in ks}
    recalls = {f"I→T R@{k}": 100 * float(found[k]) for k in ks}
    return recalls | {f"T→I R@{k}": 100 * k / n_images for k in ks}


def chance_map(relevance):
    """Mean average precision of a random order, in expectation.

    With R right ones among N the i-th place is right with chance R / N, and then holds 1 + (i - 1) (R - 1) / (N - 1) right ones
    up to itself.
    """
    right, n_items = np.diff(relevance.indptr), relevance.shape[1]
    harmonic = float(np.sum(1 / np.arange(1, n_items + 1)))
    return float(np.mean((harmonic + (right - 1) / max(1, n_items - 1) * (n_items - harmonic)) / n_items))


def pairwise_tests(scored, seed):
    """Permutation test of each pair of systems; p-values corrected for their number after Holm (1979).

    Returns
    -------
    tests : list of dict
        "first", "second", "difference", "low", "high", "p", "p corrected".
    """
    pairs = list(combinations(range(len(scored)), 2))
    if not pairs:
        return []
    rng = np.random.default_rng(seed)
    clusters = [one.clusters for one in scored]
    drawn = _drawn_together(clusters, _N_INTERVAL, rng)
    # So many that the smallest p-value is still small when it is corrected for the number of pairs.
    p_values = _exchanged_together(clusters, pairs, max(10000, 400 * len(pairs)), rng)
    corrected = holm(p_values)
    tests = []
    for place, (one, two) in enumerate(pairs):
        gap = Clusters(clusters[one].sums - clusters[two].sums, clusters[one].counts)
        low, high = bca_interval(drawn[:, one] - drawn[:, two], gap, 0.95)
        tests.append(
            {
                "first": scored[one].system.name,
                "second": scored[two].system.name,
                "difference": gap.estimate,
                "low": float(low),
                "high": float(high),
                "p": p_values[place],
                "p corrected": corrected[place],
            }
        )
    return tests


def _drawn_together(clusters, n_resamples, rng):
    """The measure of every system over the same draws of pictures, ndarray of shape (n_resamples, n_systems)."""
    size = len(clusters[0])
    found = []
    for start in range(0, n_resamples, step := max(1, _BLOCK_DRAWS // size)):
        drawn = rng.integers(size, size=(min(step, n_resamples - start), size))
        times = np.stack([np.bincount(row, minlength=size) for row in drawn]).astype(np.float64)
        parts = range(clusters[0].sums.shape[1])
        found.append(
            sum(
                times
                @ np.column_stack([one.sums[:, part] for one in clusters])
                / (times @ clusters[0].counts[:, part])[:, None]
                for part in parts
            )
        )
    return np.concatenate(found)


def _exchanged_together(clusters, pairs, n_resamples, rng):
    """P-values of the permutation test of every pair, all with the same exchanges of pictures."""
    shares = np.column_stack([(one.sums / one.counts.sum(axis=0)).sum(axis=1) for one in clusters])
    gaps = np.column_stack([shares[:, one] - shares[:, two] for one, two in pairs])
    reached = np.abs(gaps.sum(axis=0)) * (1 - 1e-9) - 1e-12
    counts = np.zeros(len(pairs))
    for start in range(0, n_resamples, step := max(1, _BLOCK_DRAWS // len(gaps))):
        size = min(step, n_resamples - start), len(gaps)
        signs = 2.0 * rng.integers(2, size=size, dtype=np.int8) - 1
        counts += np.count_nonzero(np.abs(signs @ gaps) >= reached, axis=0)
    return ((1 + counts) / (1 + n_resamples)).tolist()


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
        values = [record[name] for record in records]
        return None if None in values else float(np.median(values)) * scale

    return {
        "fit s": median("fit_seconds"),
        "query ms": median("query_milliseconds"),
        "peak MB": median("peak_memory_bytes", 1e-6),
        "model MB": median("model_bytes", 1e-6),
    }


def _settings(system, record):
    if "weights" in record:
        return {name: f"{weight:g}" for name, weight in zip(system.members, record["weights"], strict=True)}
    return record["settings"]
