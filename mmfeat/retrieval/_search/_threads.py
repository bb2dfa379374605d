"""Threads of the matrix products below threads over queries, which would wait for each other."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

_LOCK = threading.Lock()
_inside: dict[str, Any] = {"count": 0, "limits": None}


def blas_threads():
    """Threads that products may take, as the user or a library around has set it."""
    return max((library.num_threads for library in _libraries().lib_controllers), default=1)


def in_threads(function, values, n_threads):
    """Results of a function in several threads, with one thread in each for matrix products.

    The limit is one of the process: the first search to come in sets it, the last one to leave restores it.
    """
    with _LOCK:
        if _inside["count"] == 0:
            _inside["limits"] = _libraries().limit(limits=1)
        _inside["count"] += 1
    try:
        # Libraries built on OpenMP have a limit for each thread.
        with ThreadPoolExecutor(n_threads, initializer=_one_thread_here) as pool:
            return list(pool.map(function, values))
    finally:
        with _LOCK:
            _inside["count"] -= 1
            if _inside["count"] == 0:
                _inside["limits"].restore_original_limits()


def _one_thread_here():
    _libraries().limit(limits=1)


@lru_cache(maxsize=1)
def _libraries():
    # Found once: looking through the libraries of the process takes longer than a small search.
    return ThreadpoolController().select(user_api="blas")
