"""Several processes, forks and kills: nothing wrong is ever returned, and little is computed twice."""

import multiprocessing
import os
import random
import signal
import subprocess
import time
from collections import Counter

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mmfeat.caching import CachedTransformer
from mmfeat.caching._store import Store

TEXTS = [f"text {i}" for i in range(2000)]

FILL = """
import sys
import numpy as np
from counting_rows import Counting
from mmfeat.caching import CachedTransformer, _call
log, cache, out, wait = sys.argv[1:5]
_call._FIRST_BATCH = _call._LARGEST_BATCH = 20
texts = [f"text {i}" for i in range(2000)]
if len(sys.argv) > 5:
    texts = texts[::-1]
print("go", flush=True)
np.save(out, CachedTransformer(Counting(log, 100, wait=float(wait)), cache).fit(texts).transform(texts))
"""


@pytest.mark.slow
def test_killed_ten_times_the_result_is_that_of_an_undisturbed_run(world):
    out = world.folder / "out.npy"
    chance = random.Random(0)
    for _ in range(10):
        process = world.start(FILL, world.log, world.cache, out, 0.001, stdout=subprocess.PIPE)
        assert process.stdout.readline() == "go\n"
        time.sleep(chance.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if not (world.cache / "v1" / "data.mdb").exists():
            continue
        n_kept, damaged = Store(world.cache).verify()
        assert damaged == []
    assert not out.exists(), "no kill came in time"
    assert 0 < n_kept < 2000
    world.run(FILL, world.log, world.cache, out, 0)
    assert_array_equal(np.load(out), world.make(width=100).transform(TEXTS))
    # Of each run that was killed, the batch that it worked on.
    assert 2000 + 2000 <= world.n_computed() <= 2000 + 2000 + 10 * 20


@pytest.mark.slow
def test_two_processes_fill_one_cache(world):
    outs = [world.folder / "a.npy", world.folder / "b.npy"]
    processes = [
        world.start(FILL, world.log, world.cache, outs[0], 0.0005, stdout=subprocess.DEVNULL),
        world.start(FILL, world.log, world.cache, outs[1], 0.0005, "reversed", stdout=subprocess.DEVNULL),
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    workers = Counter(world.log.read_text().split())
    assert len(workers) == 2
    assert workers.total() < 3600, "each computes what the other has not"
    expected = world.make(width=100).transform(TEXTS)
    assert_array_equal(np.load(outs[0]), expected)
    assert_array_equal(np.load(outs[1]), expected[::-1])
    assert Store(world.cache).verify() == (2000, [])


@pytest.mark.slow
def test_a_call_goes_on_while_the_cache_is_cleared(world):
    out = world.folder / "out.npy"
    from mmfeat.caching._store import clear

    process = world.start(FILL, world.log, world.cache, out, 0.001, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        if (world.cache / "v1" / "data.mdb").exists():
            clear(world.cache)
        time.sleep(0.1)
    assert process.returncode == 0
    assert_array_equal(np.load(out), world.make(width=100).transform(TEXTS))


SEARCH = """
import sys
import warnings
import numpy as np
from sklearn.model_selection import GridSearchCV, KFold
from counting_rows import Counting
from mmfeat.caching import CachedTransformer
from mmfeat.datasets import make_scenes
from mmfeat.fusion import CCA
from mmfeat.metrics import make_retrieval_scorer
from mmfeat.retrieval import Retriever
log, cache = sys.argv[1:3]
images = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3), dtype=np.uint8)
pairs = np.empty((100, 2), dtype=object)
pairs[:, 0] = [str(i) for i in range(100)]
pairs[:, 1] = [f"caption {i}" for i in range(100)]
retriever = Retriever(
    CachedTransformer(Counting(log + ".images"), cache), CachedTransformer(Counting(log + ".texts", 6), cache), CCA(2)
)
for name in ("first", "second"):
    search = GridSearchCV(
        retriever,
        {"fusion__reg": [0.01, 0.1, 1.0]},
        cv=KFold(5),
        n_jobs=2,
        error_score="raise",
        scoring=make_retrieval_scorer("recall", 10, "i2t"),
    ).fit(pairs)
    print(len(open(log + ".images").readlines()), len(open(log + ".texts").readlines()))
"""


@pytest.mark.slow
def test_second_grid_search_computes_nothing(world):
    first, second = world.run(SEARCH, world.log, world.cache).splitlines()
    assert first == second
    # Both workers may begin with the same rows; without a cache each of 15 fits and the last would compute 100.
    assert all(100 <= int(count) <= 200 for count in first.split())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_opens_its_own(world):
    cached = CachedTransformer(world.make(), world.cache).fit(TEXTS)
    expected = cached.transform(TEXTS[:100])

    def child(queue):
        queue.put((cached.transform(TEXTS[:200]), cached.n_computed_))

    context = multiprocessing.get_context("fork")
    queues = [context.Queue() for _ in range(3)]
    children = [context.Process(target=child, args=(queue,)) for queue in queues]
    for process in children:
        process.start()
    found = [queue.get(timeout=100) for queue in queues]
    for process in children:
        process.join()
    assert all(0 <= n_computed <= 100 for _, n_computed in found)
    assert len({joblib.hash(rows) for rows, _ in found}) == 1
    assert_array_equal(found[0][0][:100], expected)
    assert_array_equal(cached.transform(TEXTS[:200]), found[0][0])
    assert cached.n_computed_ == 0
    assert Store(world.cache).verify() == (200, [])
