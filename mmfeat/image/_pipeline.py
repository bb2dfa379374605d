"""From pictures to features: decoding in threads, few pictures in memory, the network never waiting longer than it must.

On a processor decoding and the network share the cores. Side by side they hinder each other: each step of the network
waits for its slowest thread. So they take turns, each with all cores. On CUDA they overlap, the copies too.
"""

import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from math import ceil
from typing import NamedTuple

from joblib import cpu_count

from mmfeat.image._crops import CROPS, MIRRORED, normalise, prepare
from mmfeat.image._io import ImageDecodeError, load_image, naming_image
from mmfeat.image._pool import pool

_DECODED_AT_ONCE = (
    8  # a thread, where network and decoding take turns: few enough for memory, enough to share out evenly
)
_CHUNKS_AHEAD = 2
# A thread, on a CPU: the maps of more leave its caches (8 take 6 % longer, 16 more).
_AT_ONCE = 4


class Settings(NamedTuple):
    """Parameters of :class:`~mmfeat.image.CNNFeatures` that say what becomes of pictures and outputs."""

    pooling: str | None
    test_time: str
    resize: str
    batch_size: int
    on_error: str


def describe(network, images, settings):
    """Yield features of pictures, batch by batch.

    Parameters
    ----------
    network : mmfeat.image._network.Network
    images : list
    settings : Settings

    Yields
    ------
    rows : list of int
        Positions of the pictures that could be read.
    features : ndarray of shape (len(rows), width) or (len(rows), places, width), dtype float32
        None if there are none.
    failed : list of (int, ImageDecodeError)
        Positions of the pictures that could not, and why.

    Raises
    ------
    ImageDecodeError
        For the first picture that could not be read, if `on_error` is "raise".
    """
    run = _Runner(network, settings)
    waiting = None
    # One batch is under way on the device while the results of the one before are fetched.
    for rows, crops, failed in _decode(network, images, settings):
        if failed and settings.on_error == "raise":
            raise failed[0][1]
        started = run(crops) if rows else (None, None), rows, failed
        if waiting is not None:
            yield _finish(*waiting)
        waiting = started
    if waiting is not None:
        yield _finish(*waiting)


def _finish(started, rows, failed):
    values, arrived = started
    if arrived is not None:
        arrived.synchronize()
    return rows, None if values is None else values.numpy(), failed


def _decode(network, images, settings):
    """Yield (rows, crops, failed) of at most `batch_size` pictures at a time, in order."""
    n_threads = min(cpu_count(), len(images))
    size, ahead = settings.batch_size, _CHUNKS_AHEAD
    if network.device == "cpu":
        size, ahead = size * ceil(_DECODED_AT_ONCE * n_threads / size), 0
    else:
        ahead = max(ahead, ceil(2 * n_threads / size))
    pending: deque = deque()
    with _threads(n_threads) as submit:
        for start in range(0, len(images), size):
            pending.append(_Chunk(network, images, settings, start, min(start + size, len(images)), submit))
            if len(pending) > ahead:
                yield from pending.popleft().batches()
        while pending:
            yield from pending.popleft().batches()


@contextmanager
def _threads(n_threads):
    """Give a function that starts a task and returns a function to wait for its result."""
    if n_threads == 1:
        yield lambda task, *arguments: lambda: task(*arguments)
        return
    executor = ThreadPoolExecutor(n_threads, thread_name_prefix="mmfeat-image")
    try:
        yield lambda task, *arguments: executor.submit(task, *arguments).result
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


class _Chunk:
    """Some pictures in a row, being decoded into one block of memory."""

    def __init__(self, network, images, settings, start, stop, submit):
        import torch

        self.start, self.batch_size = start, settings.batch_size
        preset, places = network.preset, CROPS[settings.test_time]
        side = preset.crop_size[0]
        shape = (stop - start, len(places), side, side, 3)
        self.crops = torch.empty(shape, dtype=torch.uint8, pin_memory=network.device != "cpu")
        least = 2 * max(side, preset.resize_size[0])
        views = self.crops.numpy()

        def work(row):
            try:
                pixels = load_image(images[row], row, min_size=least)
                with naming_image(images[row], row):
                    views[row - start] = prepare(pixels, preset, settings.resize, places)
            except ImageDecodeError as error:
                return error
            return None

        self.results = [submit(work, row) for row in range(start, stop)]

    def batches(self):
        errors = [result() for result in self.results]
        for first in range(0, len(errors), self.batch_size):
            part = range(first, min(first + self.batch_size, len(errors)))
            good = [place for place in part if errors[place] is None]
            crops = self.crops[first : part.stop] if len(good) == len(part) else self.crops[good]
            failed = [(self.start + place, errors[place]) for place in part if errors[place] is not None]
            yield [self.start + place for place in good], crops, failed


class _Runner:
    """Batches of crops through a network, in parts that suit the device; what is too large for its memory, in halves."""

    def __init__(self, network, settings):
        import torch

        self.network, self.settings = network, settings
        self.largest = network.fitting.get(settings.batch_size, settings.batch_size)
        if network.device == "cpu":
            self.largest = min(self.largest, _AT_ONCE * torch.get_num_threads())

    def __call__(self, crops):
        """Start a batch; return its features in the memory of the host, and an event to wait for or None."""
        import torch

        values = self._in_parts(crops)
        if values.device.type == "cpu":
            return values, None
        arrived = torch.cuda.Event()
        values = values.to("cpu", non_blocking=True)
        arrived.record(torch.cuda.current_stream(self.network.device))
        return values, arrived

    def _in_parts(self, crops):
        import torch

        done, start = [], 0
        while start < len(crops):
            part = crops[start : start + self.largest]
            try:
                done.append(self._features(part))
                start += len(part)
                continue
            except torch.OutOfMemoryError:
                if len(part) <= 1:
                    raise
            self._halve(len(part))  # out of the except clause, whose error holds the memory
        return done[0] if len(done) == 1 else torch.cat(done)

    def _halve(self, size):
        import torch

        self.largest = size // 2
        torch.cuda.empty_cache()
        told = self.settings.batch_size in self.network.fitting
        # Features are often asked for in parts: the next call need not find out again.
        self.network.fitting[self.settings.batch_size] = self.largest
        if not told:
            warnings.warn(
                f"{size} pictures at once are too many for the memory of {self.network.device}; going on with "
                f"{self.largest}, or fewer if need be. Set `batch_size` to that.",
                UserWarning,
                stacklevel=7,
            )

    def _features(self, crops):
        import torch

        network, settings = self.network, self.settings
        crops = crops.to(network.device, non_blocking=True)
        views = []
        with torch.inference_mode(), arithmetic(network):
            for place in range(crops.shape[1]):
                inputs = normalise(crops[:, place], network.factors, network.dtype)
                views.append(self._join(network.module(inputs)))
                if settings.test_time in MIRRORED:
                    views.append(self._join(network.module(inputs.flip(-1))))
            if len(views) == 1:
                return views[0]
            return torch.cat(views, dim=1) if settings.pooling is None else torch.stack(views).mean(0)

    def _join(self, outputs):
        import torch

        return torch.cat([pool(outputs[layer], self.settings.pooling) for layer in self.network.layers], dim=-1)


def arithmetic(network):
    """Settings of torch under which a network runs, for this call.

    Parameters
    ----------
    network : mmfeat.image._network.Network

    Returns
    -------
    settings : context manager
    """
    import torch

    kind = network.device.partition(":")[0]
    if network.cast:
        return torch.autocast(kind, dtype=torch.bfloat16)
    if kind == "cuda" and network.dtype == torch.float32:
        # float32 means float32, the same in each run: not the shorter TF32 that convolutions take by default.
        return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    return nullcontext()
