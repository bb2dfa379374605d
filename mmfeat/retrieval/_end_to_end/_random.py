"""torch's own random numbers, which layers of a network draw, kept apart from those of the caller."""

from contextlib import contextmanager, nullcontext

import numpy as np


@contextmanager
def seeded(seed, device="cpu"):
    """Seed torch's generators within, and leave them as they were.

    Parameters
    ----------
    seed : int
    device : str
    """
    import torch

    with torch.random.fork_rng(devices=_indices(device)):
        reseed(seed, device)
        yield


def reseed(seed, device):
    """Seed torch's generators of the processor and of a device; within :func:`seeded`.

    Parameters
    ----------
    seed : int or sequence of int
    device : str
    """
    import torch

    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    torch.default_generator.manual_seed(number)
    for index in _indices(device):
        torch.cuda.default_generators[index].manual_seed(number)


def exact(device):
    """Settings under which CUDA's convolutions are float32 where they say so, and the same in each run.

    Parameters
    ----------
    device : str

    Returns
    -------
    settings : context manager
    """
    import torch

    if device == "cpu":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def _indices(device):
    import torch

    if device == "cpu":
        return []
    index = torch.device(device).index
    torch.cuda.init()  # before that there are no generators
    return [torch.cuda.current_device() if index is None else index]
