"""Where torch computes."""

import re


def resolve_device(device):
    """Return ``"cpu"``, ``"cuda"`` or ``"cuda:N"`` for a parameter `device`.

    Parameters
    ----------
    device : str
        "auto" takes CUDA if it is there.

    Returns
    -------
    device : str

    Raises
    ------
    ValueError
        If the name is none of these, or torch does not see that device.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise ValueError(f"`device` must be 'auto', 'cpu', 'cuda' or 'cuda:N'. Got {device!r} instead.")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device != "cpu" and int(device.partition(":")[2] or 0) >= count:
        raise ValueError(f"`device` is {device!r}, but torch sees {count} CUDA devices. Use device='auto' or 'cpu'.")
    return device
