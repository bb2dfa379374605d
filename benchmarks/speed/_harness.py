"""What the speed benchmarks share: medians of several runs, peak memory of a process, a record with provenance."""

import argparse
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
    sender.send((value, peak_bytes()))


def peak_bytes():
    """Most bytes that this process has held resident, since it began or since :func:`forget_peak`."""
    status = Path("/proc/self/status")
    if not status.exists():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    # What getrusage tells on Linux begins with the peak of the parent.
    return 1024 * int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")))


def forget_peak():
    """Begin the peak anew from what is resident now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def run_sections(name, sections, description):
    """Command line of a benchmark: run the sections asked for, all by default, each written as soon as it is done.

    A section holds its own provenance, since the sections of a record may come from several runs.
    """
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=sections, default=list(sections), help="sections to run")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the record")
    arguments = parser.parse_args()
    for section in arguments.only:
        write_section(name, section, sections[section](), arguments.out)


def write_section(name, section, result, out=RESULTS):
    """Put the result of a section into the record of that name, beside those that stand there, and show it."""
    path = Path(out) / f"{name}.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    record[section] = {"result": result, "provenance": provenance()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({section: result}, indent=1, ensure_ascii=False))
    print(f"Written: {path}", flush=True)
