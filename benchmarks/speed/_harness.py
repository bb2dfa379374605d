"""What the speed benchmarks share: medians of several runs, peak memory of a process, a record with provenance."""

import json
import multiprocessing
import resource
import statistics
import sys
import time
from pathlib import Path

from mmfeat.cli._provenance import provenance

RESULTS = Path(__file__).resolve().parents[1] / "results"


def seconds(function, repeats=5, warm_up=1):
    """Median wall seconds of `function` over several runs after a warm-up."""
    for _ in range(warm_up):
        function()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def in_turn(functions, repeats=5):
    """Median wall seconds of several functions run in turn, A B A B, so that a drift of the machine hits all alike."""
    taken = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def in_process(function, *arguments):
    """Run a function in a fresh process; return what it returns and the process's peak resident bytes."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_reporting, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        process.join()


def _reporting(sender, function, arguments):
    value = function(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sender.send((value, peak if sys.platform == "darwin" else 1024 * peak))


def write(name, results):
    """Write a record beside the others and show it."""
    record = {"results": results, "provenance": provenance()}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1, ensure_ascii=False))
    print(f"Written: {path}")
