"""Image and text features, a common space, and retrieval both ways, as scikit-learn estimators.

The packages are ``mmfeat.image``, ``mmfeat.text``, ``mmfeat.encoding``, ``mmfeat.fusion``, ``mmfeat.retrieval``,
``mmfeat.multimodal``, ``mmfeat.pretrained``, ``mmfeat.metrics``, ``mmfeat.datasets``, ``mmfeat.caching`` and
``mmfeat.comparison``. Each is imported when it is first used. Importing them loads none of the heavy libraries (torch,
opencv, gensim, pandas, matplotlib): those are imported at the point of use.
"""

import importlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # What type checkers and editors complete; when the program runs, `__getattr__` imports a package at its first use.
    from mmfeat import (
        caching,
        cli,
        comparison,
        datasets,
        encoding,
        fusion,
        image,
        metrics,
        multimodal,
        pretrained,
        retrieval,
        text,
    )

__version__ = "0.1.0"

__all__ = [
    "caching",
    "cli",
    "comparison",
    "datasets",
    "encoding",
    "fusion",
    "image",
    "metrics",
    "multimodal",
    "pretrained",
    "retrieval",
    "text",
]

# Packages import one another; Python lets two threads that begin at different ends see modules half made.
_importing = threading.RLock()


def __dir__():
    return [*__all__, "__version__"]


def __getattr__(name):
    if name in __all__:
        with _importing:
            return importlib.import_module(f"mmfeat.{name}")
    raise AttributeError(f"module 'mmfeat' has no attribute {name!r}. Its packages are {', '.join(__all__)}.")
