"""One system with one seed: settings chosen on val, fitted on train, ranked on test, and what it cost."""

import inspect
import json
import pickle
import resource
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from scipy.stats import skew
from sklearn.base import clone

from mmfeat.comparison._results import (
    is_done,
    read_embeddings,
    read_record,
    read_scores,
    write_array,
    write_rankings,
    write_scores,
    write_top,
)
from mmfeat.comparison._sides import alone, load_features, take, write_whole
from mmfeat.comparison._systems import Reranked, System, Together
from mmfeat.comparison._task import Task
from mmfeat.comparison._together import choose_weights, join
from mmfeat.retrieval import k_occurrence, rerank
from mmfeat.utils._rows import unit_rows

# Sentences and pictures asked one at a time.
_TIMED_QUERIES = 50
# Of a gallery whose scores are kept whole for a second stage.
MOST_SCORES = 50_000_000


@dataclass
class Job:
    """All that a run needs; goes to its process as a file.

    Parameters
    ----------
    system : System, Together or Reranked
    seed : int
    task : Task
    folder : Path
        Of the run.
    sides : dict of str to Path
        Folders of the features, "image" and "text".
    needs : list of Path
        Folders of the runs it is built on.
    sides_of_needs : list of dict
        Folders of their features.
    choice : int or None
        Place in the grid of the settings that the run with the first seed chose; None lets this run choose.
    """

    system: Any
    seed: int
    task: Task
    folder: Path
    sides: dict
    needs: list
    sides_of_needs: list
    choice: int | None = None

    def features(self, split):
        """Picture and sentence features of a split."""
        return tuple(load_features(self.sides[kind] / split) for kind in ("image", "text"))


def run_job(job, *, isolated=False):
    """Run, and write everything before the record, which says that all is there."""
    with alone(job.folder):
        if is_done(job.folder):
            return
        _warm_up(job.system)
        runner = {System: _run_system, Together: _run_together, Reranked: _run_reranked}[type(job.system)]
        # Only a process of its own has memory of its own.
        record = runner(job) | {"seed": job.seed, "peak_memory_bytes": _peak_bytes() if isolated else None}
        write_whole(job.folder / "record.json", json.dumps(record, indent=1))


def main(path):
    """Entry of a process of its own."""
    run_job(joblib.load(path), isolated=True)


def _warm_up(system):
    """Import torch and take a step before the clock runs, where a system is trained with it."""
    estimator = getattr(system, "fusion", None) or getattr(system, "scorer", None)
    if estimator is None or "max_epochs" not in estimator.get_params():
        return
    import torch

    network = torch.nn.Linear(8, 8)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.zeros(4, 8)).sum().backward()
    optimizer.step()


def _run_system(job):
    candidates = job.system.candidates()
    choice, trials = job.choice, []
    if choice is None:
        trials = [_trial(job, settings) for settings in candidates] if len(candidates) > 1 else [0.0]
        choice = int(np.argmax(trials))
    settings = candidates[choice]
    start = time.perf_counter()
    fusion = _fit(job, settings)
    seconds = time.perf_counter() - start
    words = {name: repr(value) for name, value in settings.items()}
    record = {"choice": choice, "settings": words, "trials": len(trials), "fit_seconds": seconds}
    record |= _score(job, partial(_embed, job, fusion), fusion)
    record["model_bytes"] = len(pickle.dumps(fusion))
    joblib.dump(fusion, job.folder / "fusion.joblib")
    return record


def _score(job, embed, fusion=None):
    """Rankings of val and test by what `embed` makes of a split, corrected or not; written, with what the page needs."""
    hubness = job.system.hubness
    banks = _banks(*embed("train")) if hubness is not None and hubness.bank == "train" else None
    record: dict = {}
    for split in ("val", "test"):
        images, texts = embed(split)
        # Made anew for each use: a transductive correction scores its queries once.
        scoring = partial(job.task.score_functions, images, texts, hubness=hubness, banks=banks)
        if hubness is None:
            write_array(job.folder / f"{split}_images.npy", images)
            write_array(job.folder / f"{split}_texts.npy", texts)
        elif len(images) * len(texts) <= MOST_SCORES:
            write_scores(job, split, scoring())
        record |= write_rankings(job, split, job.task.rank(split, images, texts, hubness=hubness, banks=banks))
    write_top(job, scoring())
    record["query_milliseconds"] = _query_milliseconds(job, fusion, texts, scoring()["t2i"][1])
    return record | _hubs(scoring()["t2i"], len(images))


def _trial(job, settings):
    """Score of a setting on val; kept, so that a run that was stopped goes on with the next one."""
    kept = job.folder / f"trial_{joblib.hash(sorted(settings.items(), key=str))[:16]}.json"
    if not kept.exists():
        fusion = _fit(job, settings)
        hubness = job.system.hubness
        banks = _banks(*_embed(job, fusion, "train")) if hubness is not None and hubness.bank == "train" else None
        rankings = job.task.rank("val", *_embed(job, fusion, "val"), hubness=hubness, banks=banks)
        write_whole(kept, json.dumps({"settings": repr(settings), "score": job.task.measure(rankings)}))
    return json.loads(kept.read_text("utf-8"))["score"]


def _fit(job, settings):
    fusion = job.system.make(settings, job.seed)
    images, texts = job.features("train")
    groups = job.task.groups["train"]
    wanted = inspect.signature(fusion.fit).parameters
    more = {"groups": groups} if "groups" in wanted else {}
    if job.system.supervised:
        more["labels"] = job.task.labels["train"][groups]
    return fusion.fit(take(images, groups), texts, **more)


def _embed(job, fusion, split):
    images, texts = job.features(split)
    return np.asarray(fusion.transform(images)), np.asarray(fusion.transform_y(texts))


def _banks(images, texts):
    return {"i2t": unit_rows(images.astype(np.float32)), "t2i": unit_rows(texts.astype(np.float32))}


def _run_together(job):
    start = time.perf_counter()
    members = [read_embeddings(folder, "val") for folder in job.needs]
    scales, weights = choose_weights(job.task, members, job.system.weights)
    record = {
        "choice": None,
        "settings": {},
        "weights": weights.tolist(),
        "trials": 0,
        "fit_seconds": time.perf_counter() - start,
    }
    record |= _score(job, partial(_joined, job, weights / scales))
    record["scaled_weights"] = (weights / scales).tolist()
    # All were fitted to find the weights; a query is asked of those that have one.
    costs = [read_record(folder) for folder in job.needs]
    used = [cost for cost, weight in zip(costs, weights, strict=True) if weight > 0]
    record["fit_seconds"] += sum(cost["fit_seconds"] for cost in costs)
    record["model_bytes"] = sum(cost["model_bytes"] for cost in used)
    if record["query_milliseconds"] is not None:
        record["query_milliseconds"] += sum(cost["query_milliseconds"] for cost in used)
    return record


def _joined(job, weights, split):
    """Embeddings of the members side by side; those of train are made anew, since only a bank needs them."""
    if split != "train":
        return join([read_embeddings(folder, split) for folder in job.needs], weights)
    members = []
    for folder, sides, weight in zip(job.needs, job.sides_of_needs, weights, strict=True):
        if weight > 0:
            fusion = joblib.load(folder / "fusion.joblib")
            images, texts = (load_features(sides[kind] / split) for kind in ("image", "text"))
            members.append((np.asarray(fusion.transform(images)), np.asarray(fusion.transform_y(texts))))
    return join(members, [weight for weight in weights if weight > 0])


def _run_reranked(job):
    groups = job.task.groups["train"]
    images, texts = job.features("train")
    scorer = _judge(job)
    start = time.perf_counter()
    scorer.fit(take(images, groups), texts, groups=groups)
    seconds = time.perf_counter() - start
    found = {split: _second_stage(job, scorer, split) for split in ("val", "test")}
    scored = {share: job.task.rank_scores("val", _lifted(job, found["val"], share)) for share in job.system.shares}
    share = max(scored, key=lambda share: job.task.measure(scored[share]))
    record = {"choice": None, "settings": {"share": f"{share:g}"}, "trials": 0, "fit_seconds": seconds}
    record |= write_rankings(job, "val", scored[share])
    lifted = _lifted(job, found["test"], share)
    record |= write_rankings(job, "test", job.task.rank_scores("test", lifted))
    write_top(job, {way: (scores, lambda block: block) for way, scores in lifted.items()})
    first = read_record(job.needs[0])
    record["fit_seconds"] += first["fit_seconds"]
    record["model_bytes"] = first["model_bytes"] + len(pickle.dumps(scorer))
    before = first["query_milliseconds"]
    record["query_milliseconds"] = None if before is None else before + found["test"]["t2i"][3]
    # Hubs of the first stage: the second one looks at its candidates alone.
    return record | {name: first[name] for name in ("hubness", "occurrences")}


def _judge(job):
    """The judge with the seed, unfitted; a fit that was stopped goes on from its checkpoint."""
    scorer = clone(job.system.scorer)
    known = scorer.get_params()
    wanted = {"random_state": job.seed, "checkpoint": job.folder / "scorer.npz"}
    return scorer.set_params(**{name: value for name, value in wanted.items() if name in known})


def _second_stage(job, scorer, split):
    """Scores of the first stage, its candidates, and what the judge says of them, by direction."""
    first = read_scores(job.needs[0], split)
    sides = job.features(split)
    found = {}
    for way, query in (("i2t", "image"), ("t2i", "text")):
        scores = first[way]
        width = min(job.system.n_candidates, scores.shape[1])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :width]
        start = time.perf_counter()
        second = scorer.rerank(*sides, best, query=query)
        each = 1000 * (time.perf_counter() - start) / len(scores)
        found[way] = scores, best, second, each
    return found


def _lifted(job, found, share):
    """Scores where the candidates of each query stand above all else, in the order of both stages."""
    whole = {}
    for way, (scores, best, second, _) in found.items():
        stage, ids = rerank(np.take_along_axis(scores, best, axis=1), best, second, weight=share)
        lifted = np.array(scores, dtype=np.float64)
        lift = 1 + scores.max() - stage.min()
        np.put_along_axis(lifted, ids, stage + lift, axis=1)
        whole[way] = lifted
    return whole


def _hubs(scored, n_images):
    """How often each picture is among the ten nearest of a sentence."""
    texts, score = scored
    k = min(10, n_images)
    counts = k_occurrence(texts, score, k=k)
    share = counts / counts.mean()
    edges = np.array([0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, np.inf])
    return {
        "hubness": float(skew(counts)) if np.ptp(counts) > 1e-9 * counts.max() else 0.0,
        "occurrences": np.histogram(share, edges)[0].tolist(),
    }


def _query_milliseconds(job, fusion, embeddings, score):
    """Median time of one sentence: from its features to the order of the whole gallery; none for what takes all at once.

    Without a fusion, from its embedding.
    """
    if job.system.transductive:
        return None
    texts = embeddings if fusion is None else job.features("test")[1]
    n_texts = len(texts) if isinstance(texts, list) else texts.shape[0]
    taken = []
    for row in np.linspace(0, n_texts - 1, min(_TIMED_QUERIES, n_texts)).astype(int):
        one = take(texts, [row])
        start = time.perf_counter()
        np.argsort(-score(one if fusion is None else np.asarray(fusion.transform_y(one))))
        taken.append(time.perf_counter() - start)
    return 1000 * float(np.median(taken))


def _peak_bytes():
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    main(sys.argv[1])
