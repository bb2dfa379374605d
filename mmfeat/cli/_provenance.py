"""What a figure depends on besides the code: versions, processor, threads."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "torchvision", "opencv-python", "pillow", "jieba")


def provenance():
    """Versions, processor and threads, without a date or a host name.

    Returns
    -------
    record : dict
        Ready for JSON.
    """
    import torch

    import mmfeat

    return {
        "mmfeat": mmfeat.__version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _cpu_model():
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
