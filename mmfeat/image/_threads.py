"""Threads of libraries below threads over images, which would wait for each other, at several times the cost."""

import threading
from contextlib import contextmanager
from functools import lru_cache

_LOCK = threading.Lock()
_inside = {"count": 0, "threads": 0}


@contextmanager
def one_opencv_thread():
    """Keep OpenCV from starting threads of its own; for the threads over images.

    The setting is that of the process. The first to come in makes it, the last to leave restores it.
    """
    import cv2

    with _LOCK:
        if _inside["count"] == 0:
            _inside["threads"] = cv2.getNumThreads()
            cv2.setNumThreads(1)
        _inside["count"] += 1
    try:
        yield
    finally:
        with _LOCK:
            _inside["count"] -= 1
            if _inside["count"] == 0:
                cv2.setNumThreads(_inside["threads"])


def one_blas_thread():
    """Keep the matrix products of NumPy from starting threads; for the thread that waits for those over images.

    Only one thread of a process may change this: threadpoolctl does nothing in the others.

    Returns
    -------
    limits : context manager
    """
    return _libraries().limit(limits=1)


@lru_cache(maxsize=1)
def _libraries():
    from threadpoolctl import ThreadpoolController

    # Found once: looking through the libraries of the process takes longer than describing an image.
    return ThreadpoolController().select(user_api="blas")
