"""Bags too many to be kept: a sequence that describes an image again whenever its bag is asked for."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mmfeat.image._io import load_image
from mmfeat.image._threads import one_blas_thread

_PART_BYTES = 2**28


class DeferredBags(Sequence):
    """Bags of images, some of them kept, the others computed at each access.

    Reads like a list: length, index, slice, iteration. Iterating computes ahead in threads and holds only a few bags; a slice
    or a list of indices gives another such sequence. An image that cannot be read is told when its bag is asked for.
    A pickle holds the images and the recipe, no bags.

    Parameters
    ----------
    images : list
        What :func:`mmfeat.image._io.load_image` accepts; files must stay where they are.
    describe : callable
        From pixels (height, width), uint8, to a bag; picklable.
    options : dict
        Further arguments of `load_image`.
    n_threads : int
    kept : dict of int to ndarray
        Bags known already, by row.
    rows : sequence of int or None
        Rows of `images` that this sequence stands for; None is all of them.
    """

    def __init__(self, images, describe, options, n_threads, kept, rows=None):
        self._images = images
        self._describe = describe
        self._options = options
        self._n_threads = n_threads
        self._kept = kept
        self._rows = range(len(images)) if rows is None else rows

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self._of(self._rows[index])
        if isinstance(index, (list, np.ndarray)):
            places = np.arange(len(self))[np.asarray(index, dtype=None if len(index) else np.intp)]
            return self._of([self._rows[place] for place in places])
        return self._bag(self._rows[index])

    def __iter__(self):
        return in_threads(self._bag, self._rows, self._n_threads)

    def __repr__(self):
        return f"<{len(self)} bags, computed when asked for>"

    def __getstate__(self):
        return {**self.__dict__, "_kept": {}}

    def in_parts(self):
        """Yield lists of neighbouring bags, each of bounded size: what an encoder holds at a time.

        Yields
        ------
        bags : list of ndarray
            Together about 256 MiB.
        """
        bags = iter(self)
        while part := _next_part(bags):
            yield part

    def sample(self, random_state, n_descriptors=0):
        """Bags of images drawn at random, as many as are held at a time: what an encoder learns from.

        Parameters
        ----------
        random_state : RandomState
        n_descriptors : int, default=0
            So many at least.

        Returns
        -------
        bags : list of ndarray
            Together about 256 MiB, more if `n_descriptors` asks for it, or all; in random order.
        """
        bags: list = []
        for part in self[random_state.permutation(len(self))].in_parts():
            bags += part
            if sum(map(len, bags)) >= n_descriptors:
                break
        return bags

    def keeping(self, kept):
        """The same bags, some of them known.

        Parameters
        ----------
        kept : dict of int to ndarray
            Bags by row.

        Returns
        -------
        bags : DeferredBags
        """
        return DeferredBags(self._images, self._describe, self._options, self._n_threads, kept, self._rows)

    def _of(self, rows):
        return DeferredBags(self._images, self._describe, self._options, self._n_threads, self._kept, rows)

    def _bag(self, row):
        if row in self._kept:
            return self._kept[row]
        return self._describe(load_image(self._images[row], row, **self._options))


def _next_part(bags):
    part, n_bytes = [], 0
    with one_blas_thread():
        for bag in bags:
            part.append(bag)
            n_bytes += bag.nbytes
            if n_bytes >= _PART_BYTES:
                break
    return part


def in_threads(function, arguments, n_threads):
    """Yield ``function(argument)`` in order, computed in threads, two a thread ahead of the one that is asked for.

    Parameters
    ----------
    function : callable
    arguments : sequence
    n_threads : int
        1 works in the thread of the caller.

    Yields
    ------
    result : object
    """
    if n_threads == 1 or len(arguments) < 2:
        yield from map(function, arguments)
        return
    executor = ThreadPoolExecutor(n_threads, thread_name_prefix="mmfeat-local")
    try:
        pending: deque = deque()
        for argument in arguments:
            pending.append(executor.submit(function, argument))
            if len(pending) > 2 * n_threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
