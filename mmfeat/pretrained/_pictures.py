"""Pictures read and prepared by threads, batch by batch; only the batches at hand are held."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

from joblib import cpu_count

from mmfeat.image._io import ImageDecodeError, load_image, naming_image

# Batches that are read while the network computes; on a processor both would want the same cores.
_AHEAD = 2


def read_batches(images, towers, batch_size):
    """Yield pictures batch by batch, prepared for a model.

    Parameters
    ----------
    images : list of str, os.PathLike, PIL.Image.Image, ndarray or bytes
    towers : TransformersTowers or OpenClipTowers
    batch_size : int

    Yields
    ------
    rows : list of int
        Positions of the pictures that could be read.
    prepared : list of torch.Tensor
    failed : list of (int, ImageDecodeError)
        Positions of those that could not, and why.
    """

    def read(row):
        try:
            pixels = load_image(images[row], row)
            with naming_image(images[row], row):
                return towers.prepare(pixels)
        except ImageDecodeError as error:
            return error

    def gathered(rows, futures):
        results = [future.result() for future in futures]
        pairs = list(zip(rows, results, strict=True))
        failed = [(row, result) for row, result in pairs if isinstance(result, ImageDecodeError)]
        good = [(row, result) for row, result in pairs if not isinstance(result, ImageDecodeError)]
        return [row for row, _ in good], [result for _, result in good], failed

    ahead = 0 if towers.device == "cpu" else _AHEAD
    executor = ThreadPoolExecutor(min(cpu_count(), len(images)), thread_name_prefix="mmfeat-image")
    try:
        pending: deque = deque()
        for start in range(0, len(images), batch_size):
            rows = range(start, min(start + batch_size, len(images)))
            pending.append((rows, [executor.submit(read, row) for row in rows]))
            if len(pending) > ahead:
                yield gathered(*pending.popleft())
        while pending:
            yield gathered(*pending.popleft())
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
