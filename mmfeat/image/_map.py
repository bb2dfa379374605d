"""Images decoded and described in a few threads: in order, and with a bounded number in memory."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from joblib import cpu_count

from mmfeat.image._io import load_image
from mmfeat.utils._progress import progress

_MOST_THREADS = 8


def map_images(function, images, *, mode="RGB", min_size=None, n_threads=None, ahead=None):
    """Yield ``function(pixels, row)`` for each image, in order.

    Parameters
    ----------
    function : callable
        Called in worker threads.
    images : list
        What :func:`mmfeat.image._io.load_image` accepts.
    mode : {"RGB", "L"}, default="RGB"
    min_size : int or None, default=None
        See :func:`mmfeat.image._io.load_image`.
    n_threads : int or None, default=None
        None takes one a core that this process may use, eight at most.
    ahead : int or None, default=None
        Results ready or in work beyond the one that is yielded; None takes two a thread.

    Yields
    ------
    result : object

    Raises
    ------
    ImageDecodeError
        For the first image in order that cannot be read.
    """

    def work(row):
        return function(load_image(images[row], row, mode=mode, min_size=min_size), row)

    n_threads = n_threads or min(_MOST_THREADS, cpu_count())
    if n_threads == 1 or len(images) == 1:
        yield from map(work, range(len(images)))
        return
    executor = ThreadPoolExecutor(n_threads, thread_name_prefix="mmfeat-image")
    try:
        pending: deque = deque()
        for row in range(len(images)):
            pending.append(executor.submit(work, row))
            if len(pending) > (ahead or 2 * n_threads):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def describe_images(function, images, n_features, *, mode="RGB", min_size=None, desc=None, verbose=False):
    """Stack ``function(pixels, row)`` of each image into one matrix.

    Parameters
    ----------
    function : callable
        Returns an array of `n_features` numbers.
    images : list
    n_features : int
    mode : {"RGB", "L"}, default="RGB"
    min_size : int or None, default=None
    desc : str or None, default=None
        What the progress bar calls the step.
    verbose : bool, default=False
        Show a progress bar when it takes more than two seconds.

    Returns
    -------
    features : ndarray of shape (n_images, n_features), dtype float32
    """
    features = np.empty((len(images), n_features), dtype=np.float32)
    with progress(total=len(images), desc=desc, unit="image", verbose=bool(verbose)) as bar:
        for row, values in enumerate(map_images(function, images, mode=mode, min_size=min_size)):
            features[row] = values
            bar.update()
    return features
