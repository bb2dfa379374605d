"""Run every system with every seed, each in a process of its own, and go on where a run was stopped."""

import os
import signal
import subprocess
import sys
import tempfile
from numbers import Integral
from pathlib import Path

import joblib
from sklearn.base import clone

from mmfeat.caching._fingerprint import fingerprint
from mmfeat.comparison._checks import check_importable, check_second_stages, make_task
from mmfeat.comparison._comparison import Comparison
from mmfeat.comparison._results import is_done, read_record
from mmfeat.comparison._run import Job, run_job
from mmfeat.comparison._sides import Side, digest
from mmfeat.comparison._systems import Together, check_systems, open_seeds
from mmfeat.utils._compat import Interval, validate_params
from mmfeat.utils._progress import progress


@validate_params(
    {
        "systems": [list, tuple],
        "splits": [dict],
        "images": [dict],
        "texts": [dict],
        "n_seeds": [Interval(Integral, 1, None, closed="left")],
        "seed": [Interval(Integral, 0, None, closed="left")],
        "relevance": [str],
    },
    prefer_skip_nested_validation=True,
)
def compare(
    systems,
    splits,
    images,
    texts,
    *,
    work,
    labels=None,
    relevance="pair",
    n_seeds=3,
    seed=0,
    isolate=True,
    verbose=False,
):
    """Compare systems on one task: settings chosen on val, one figure from test, with intervals, tests and costs.

    Every system runs with every seed in a process of its own, so that its memory is its own, and writes what it finds into the
    folder `work`. A comparison that was stopped, or killed, goes on from there and ends in the same figures; so does one with a
    system more. Encoders run once.

    Parameters
    ----------
    systems : list of System, Together or Reranked
    splits : dict of str to pairs
        Pairs tables "train", "val" and "test", as for :class:`~mmfeat.retrieval.Retriever`.
    images, texts : dict of str to (transformer or dict)
        Sides by name: an encoder, which is fitted on train; or the features themselves, a dict of "train", "val" and "test" to
        matrices or bags. The first is the one that systems use which name none.
    work : path-like
        Folder of what is kept between runs; made if need be. What is in it was pickled by this function: keep it to yourself.
    labels : dict of str to array-like or None, default=None
        Classes of the pictures of each split, for supervised systems and for ``relevance="label"``.
    relevance : {"pair", "label"}, default="pair"
        "pair": the caption of the picture is right, and systems are compared by rsum. "label": what is of the query's class
        is right, and they are compared by mean average precision.
    n_seeds : int, default=3
        Seeds of the systems whose result depends on one.
    seed : int, default=0
        The first of them, and that of everything else that is random, encoders without a seed of their own included.
    isolate : bool, default=True
        Run in processes of their own. False runs in this one: faster for many small systems, but peak memory is that of all.
    verbose : bool, default=False
        Show progress.

    Returns
    -------
    comparison : Comparison

    Raises
    ------
    ValueError
        If a table is no pairs table, two systems have one name, a side is unknown, features do not fit the pairs, or labels are
        missing.
    RuntimeError
        If a process fails; what it said is part of the message.

    Examples
    --------
    >>> import tempfile
    >>> from mmfeat.comparison import System, compare
    >>> from mmfeat.datasets import make_scenes
    >>> from mmfeat.fusion import CCA, PLS
    >>> from mmfeat.image import ColorHistogram
    >>> from mmfeat.text import tfidf_lsa
    >>> pairs = make_scenes(90, random_state=0)
    >>> splits = {"train": pairs[:50], "val": pairs[50:70], "test": pairs[70:]}
    >>> systems = [System("PLS", PLS(8)), System("CCA", CCA(8), {"reg": [0.5, 2.0]})]
    >>> with tempfile.TemporaryDirectory() as work:
    ...     found = compare(systems, splits, {"colour": ColorHistogram()}, {"tfidf": tfidf_lsa(16)}, work=work, isolate=False)
    >>> [row["system"] for row in found.rows]
    ['PLS', 'CCA', 'chance']
    """
    task, values = make_task(splits, labels, relevance)
    check_systems(systems, images, texts, labelled=labels is not None)
    check_second_stages(systems, task)
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    sides = {
        kind: {
            name: Side(work / "features", name, _seeded(side, seed), values[kind], kind == "image")
            for name, side in given.items()
        }
        for kind, given in (("image", images), ("text", texts))
    }
    runs = _Runs(work, task, sides, isolate)
    seeds = range(seed, seed + n_seeds)
    found: dict = {}
    with progress(desc="compare", unit="run", verbose=verbose) as bar:
        for system in systems:
            found[system.name] = runs.all_seeds(system, seeds, bar)
    return Comparison(systems, found, task, splits, sides, runs.costs, seed)


class _Runs:
    """Runs by system and seed, each done once."""

    def __init__(self, work, task, sides, isolate):
        self._work, self._task, self._sides, self._isolate = work, task, sides, isolate
        self._folders: dict = {}
        self._sides_of: dict = {}
        self.costs: dict = {"image": {}, "text": {}}

    def all_seeds(self, system, seeds, bar):
        """Folders of the runs of a system, the first of which chose the settings."""
        folders: list = []
        for place, seed in enumerate(seeds if self.has_seeds(system) else seeds[:1]):
            folders.append(self._one(system, place, seed, folders[0] if folders else None))
            bar.update()
        self._folders[system.name] = folders
        return folders

    def has_seeds(self, system):
        """Whether it, or any of the systems that it only adds up, gives other results with other seeds."""
        if isinstance(system, Together):
            return system.seeded and any(len(self._folders[name]) > 1 for name in system.needs)
        return system.is_seeded

    def _one(self, system, place, seed, first):
        sides = {} if isinstance(system, Together) else self._prepared(system)
        self._sides_of[system.name] = sides
        # Systems without a seed have one run for all.
        needs = [self._folders[name][min(place, len(self._folders[name]) - 1)] for name in system.needs]
        choice = None if first is None else read_record(first)["choice"]
        folder = self._work / "runs" / self._digest(system, seed, choice, sides, needs)[:20]
        if not is_done(folder):
            of_needs = [self._sides_of[name] for name in system.needs]
            self._run(Job(system, seed, self._task, folder, sides, needs, of_needs, choice))
        return folder

    def _prepared(self, system):
        chosen = {}
        for kind in ("image", "text"):
            name = getattr(system, kind) or next(iter(self._sides[kind]))
            side = self._sides[kind][name]
            if name not in self.costs[kind]:
                self.costs[kind][name] = side.prepare()
            chosen[kind] = side.folder
        return chosen

    def _digest(self, system, seed, choice, sides, needs):
        estimators = [
            value for name in ("fusion", "scorer", "hubness") if (value := getattr(system, name, None)) is not None
        ]
        # How many seeds there are changes none of them.
        plain = {
            name: None if name == "seeded" else value
            for name, value in vars(system).items()
            if name not in ("fusion", "scorer", "hubness", "name", "first", "members")
        }
        task = joblib.hash([self._task.groups, self._task.labels, self._task.by_label])
        return digest(
            type(system).__name__,
            *(fingerprint(estimator, state=False).hex() for estimator in estimators),
            fingerprint(plain, state=False).hex(),
            seed,
            "chooses" if choice is None else choice,
            task,
            *(folder.name for folder in (*sides.values(), *needs)),
        )

    def _run(self, job):
        if self._isolate:
            _in_process(job)
        else:
            run_job(job)


def _seeded(encoder, seed):
    """A clone whose random steps have a seed, so that features of another run are the same."""
    if isinstance(encoder, dict):
        return encoder
    encoder = clone(encoder)
    return encoder.set_params(**dict.fromkeys(open_seeds(encoder), seed))


def _in_process(job):
    check_importable(job.system)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job"
        joblib.dump(job, file)
        # The child must find what this process finds, wherever it was started.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-m", "mmfeat.comparison._run", str(file)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, encoding="utf-8", errors="replace"
        )
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise RuntimeError(
            f"{job.system.name!r} with seed {job.seed} was ended by {name}. SIGKILL often means that memory was short. Start "
            "the comparison again: it goes on here."
        )
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise RuntimeError(f"{job.system.name!r} with seed {job.seed} failed (exit status {done.returncode}):\n{said}")
