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
    if device == "cpu":
        return device
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise ValueError(f"`device` must be 'auto', 'cpu', 'cuda' or 'cuda:N'. Got {device!r} instead.")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device != "cpu" and int(device.partition(":")[2] or 0) >= count:
        raise ValueError(f"`device` is {device!r}, but torch sees {count} CUDA devices. Use device='auto' or 'cpu'.")
    return device


def uses_bfloat16(precision, kind):
    """Say whether a network runs in bfloat16 on a kind of device.

    Parameters
    ----------
    precision : {"float32", "bfloat16", "auto"}
        "auto" is bfloat16 where the device has it in hardware.
    kind : {"cpu", "cuda"}

    Returns
    -------
    half : bool
    """
    import torch

    if precision != "auto":
        return precision == "bfloat16"
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)  # emulated it is slower than float32
    # Not all releases of torch have these two, which are private to it.
    tests = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(test() for test in tests if test is not None)


def matmul_precision(device):
    """Name the precision in which torch takes the factors of a product in float32.

    Parameters
    ----------
    device : str

    Returns
    -------
    precision : str
        "ieee" for all their digits, "tf32" or "bf16" for fewer.
    """
    import torch

    kind = torch.backends.cuda if device.startswith("cuda") else torch.backends.mkldnn
    # The switches of old cannot be read once the new ones were set; the new ones show what those of old have set.
    precision = kind.matmul.fp32_precision
    return "ieee" if precision == "none" else precision
