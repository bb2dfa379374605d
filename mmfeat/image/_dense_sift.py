"""SIFT descriptors on a grid: orientation channels of the whole image, pooled by separable windows."""

import threading

import numpy as np

_BINS = 4
_ORIENTATIONS = 8
# The first octave of OpenCV: the image is taken to be smoothed by 0.5 pixels and is brought to 1.6.
_SMOOTHING = float(np.sqrt(1.6**2 - 0.5**2))
_SCRATCH = threading.local()
# Bytes of a scratch array that is kept for the next image.
_MOST_KEPT = 2**26
# Below this contrast, in gray levels a pixel, there is nothing but rounding.
_FLAT = 1e-4


def dense_sift(gray, step, scales, device="cpu"):
    """SIFT of upright patches at the points of a grid.

    Parameters
    ----------
    gray : ndarray of shape (height, width), dtype uint8
    step : int
        Pixels between neighbouring points.
    scales : sequence of float
        Pixels a bin; a patch has four by four bins.
    device : {"cpu", "cuda", "cuda:N"}, default="cpu"
        NumPy on the CPU, torch on a GPU; "torch:cpu" is torch on the CPU.

    Returns
    -------
    descriptors : ndarray of shape (n_points, 128), dtype float32
        Rows of length 1, clipped at 0.2 in between (Lowe 2004, section 6.1); zeros where the patch is flat. Bins row by
        row, in each eight orientations: those of ``cv2.SIFT`` at ``cv2.KeyPoint(x, y, size=scale / 1.5, angle=0)``.
    places : ndarray of shape (n_points, 3), dtype float32
        Column and row of the pixel at the centre, and the side of the patch in pixels.
    contrast : ndarray of shape (n_points,), dtype float32
        Length of the descriptor before it was normalised, by the area of a bin.
    """
    height, width = gray.shape
    grids = [(scale, _grid(height, step, scale), _grid(width, step, scale)) for scale in scales]
    grids = [grid for grid in grids if grid[1][1] and grid[2][1]]
    if not grids:
        return np.empty((0, 128), np.float32), np.empty((0, 3), np.float32), np.empty(0, np.float32)
    pad = int(np.ceil(max(grid[0] for grid in grids) / 2)) + 1
    right, up = _gradient(gray, pad)
    channels = _channels(right, up, device)
    parts = []
    for scale, (top, n_down), (left, n_across) in grids:
        pooled = _pool(channels, scale, step, (top + pad, n_down), (left + pad, n_across))
        parts.append((*_normalise(pooled, scale), grid_points(gray.shape, step, scale)))
    descriptors, contrast, places = (
        part[0] if len(parts) == 1 else np.concatenate(part) for part in zip(*parts, strict=True)
    )
    return descriptors, places, contrast


def grid_points(shape, step, scale):
    """Centres of the patches of one scale that lie inside of an image, row by row.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image.
    step : int
    scale : float
        Quarter of the side of a patch.

    Returns
    -------
    places : ndarray of shape (n_points, 3), dtype float32
        Column, row, and the side of the patch.
    """
    (top, n_down), (left, n_across) = (_grid(length, step, scale) for length in shape)
    places = np.empty((n_down, n_across, 3), dtype=np.float32)
    places[..., 0] = left + step * np.arange(n_across)
    places[..., 1] = top + step * np.arange(n_down)[:, None]
    places[..., 2] = _BINS * scale
    return places.reshape(-1, 3)


def _grid(length, step, scale):
    """First point and number of points along a side: all patches inside of the image, the rest shared by both ends."""
    rest = length - _BINS * scale
    if rest < 0:
        return 0, 0
    return int(_BINS / 2 * scale + rest % step / 2), int(rest // step) + 1


def _gradient(gray, pad):
    """Central differences to the right and upwards of the smoothed image, zero on its border and on the padding."""
    import cv2

    values = _scratch("values", gray.shape)
    values[...] = gray
    smooth = cv2.GaussianBlur(values, (0, 0), _SMOOTHING, _scratch("smooth", gray.shape))
    shape = (gray.shape[0] + 2 * pad, gray.shape[1] + 2 * pad)
    right, up = _scratch("right", shape), _scratch("up", shape)
    right[...] = up[...] = 0
    inside = np.s_[pad + 1 : -pad - 1, pad + 1 : -pad - 1]
    np.subtract(smooth[1:-1, 2:], smooth[1:-1, :-2], out=right[inside])
    np.subtract(smooth[:-2, 1:-1], smooth[2:, 1:-1], out=up[inside])
    return right, up


def _scratch(name, shape):
    """A float32 array of any content, one of each name a thread: new memory for each image costs more than the arithmetic."""
    size = int(np.prod(shape))
    kept = getattr(_SCRATCH, name, None)
    if kept is None or kept.size < size:
        kept = np.empty(size, dtype=np.float32)
        if kept.nbytes <= _MOST_KEPT:
            setattr(_SCRATCH, name, kept)
    return kept[:size].reshape(shape)


def _channels(right, up, device):
    """Magnitude m times min(o, k) for k = 1..8, o the orientation in [0, 8), and m itself: shape (height, 9, width).

    Second differences over k are the triangles by which SIFT shares a gradient between two orientations. Pooling is
    linear, so the differences wait until there are few numbers left (`_MIX`).
    """
    if device != "cpu":
        return _channels_torch(right, up, device.removeprefix("torch:"))
    import cv2

    height, width = right.shape
    channels = _scratch("channels", (height, _ORIENTATIONS + 1, width))
    least = _scratch("least", right.shape)
    polar = _scratch("magnitude", right.shape), _scratch("orientation", right.shape)
    magnitude, orientation = cv2.cartToPolar(right, up, *polar)
    orientation *= np.float32(_ORIENTATIONS / (2 * np.pi))
    for k in range(1, _ORIENTATIONS):
        cv2.threshold(orientation, k, 0, cv2.THRESH_TRUNC, least)
        np.multiply(least, magnitude, out=channels[:, k - 1])
    np.multiply(orientation, magnitude, out=channels[:, _ORIENTATIONS - 1])
    channels[:, _ORIENTATIONS] = magnitude
    return channels


def _channels_torch(right, up, device):
    import torch

    right, up = torch.from_numpy(right).to(device), torch.from_numpy(up).to(device)
    magnitude = torch.hypot(right, up)
    orientation = torch.remainder(torch.atan2(up, right) * (_ORIENTATIONS / (2 * torch.pi)), _ORIENTATIONS)
    bounds = torch.arange(1, _ORIENTATIONS + 1, dtype=torch.float32, device=device)[:, None]
    least = torch.minimum(orientation[:, None], bounds)
    return torch.cat([least * magnitude[:, None], magnitude[:, None]], dim=1)


def _pool(channels, scale, step, down, across):
    """Sums over the bins of all patches: shape (n_down, n_across, bins down, bins across, orientations)."""
    weights = _window(scale)
    if isinstance(channels, np.ndarray):
        import cv2

        width = channels.shape[2]
        windows = _windows(channels.reshape(len(channels), -1), weights, step, *down)
        rows = np.matmul(weights, windows, out=_scratch("rows", (down[1], _BINS, windows.shape[2])))
        rows = rows.reshape(-1, width)
        windows = _windows(cv2.transpose(rows, _scratch("columns", rows.shape[::-1])), weights, step, *across)
        sums = np.matmul(weights, windows, out=_scratch("sums", (across[1], _BINS, len(rows))))
        sums = sums.reshape(-1, _ORIENTATIONS + 1)
        sums = np.matmul(sums, _MIX, out=_scratch("mixed", (len(sums), _ORIENTATIONS)))
        sums = sums.reshape(across[1], _BINS, down[1], _BINS, _ORIENTATIONS)
        return np.ascontiguousarray(sums.transpose(2, 0, 3, 1, 4))
    import torch

    half = len(weights[0]) // 2
    weights, mix = torch.from_numpy(weights).to(channels.device), torch.from_numpy(_MIX).to(channels.device)
    length = weights.shape[1]
    rows = channels.reshape(len(channels), -1)[down[0] - half :].unfold(0, length, step)[: down[1]] @ weights.T
    rows = rows.reshape(down[1], *channels.shape[1:], _BINS)[:, :, across[0] - half :]
    sums = rows.unfold(2, length, step)[:, :, : across[1]] @ weights.T
    return torch.einsum("ycxba,ck->yxbak", sums, mix).cpu().numpy()


def _window(scale):
    """Triangle of each of the four bins times the Gaussian of the patch (half its width), over the pixels along one side."""
    reach = int(np.ceil(2.5 * scale)) - 1
    offsets = np.arange(-reach, reach + 1) / scale
    centres = np.arange(_BINS) - (_BINS - 1) / 2
    triangles = np.maximum(0, 1 - np.abs(offsets - centres[:, None]))
    return (triangles * np.exp(-(offsets**2) / (_BINS**2 / 2))).astype(np.float32)


def _windows(values, weights, step, first, count):
    """What lies below `weights` at each point: a view of shape (count, length, columns)."""
    length = weights.shape[1]
    view = np.lib.stride_tricks.sliding_window_view(values, length, axis=0)
    return view[first - length // 2 :: step][:count].swapaxes(1, 2)


def _mixing():
    mix = np.zeros((_ORIENTATIONS + 1, _ORIENTATIONS), dtype=np.float32)
    for k in range(1, _ORIENTATIONS):  # 2 min(o, k) - min(o, k - 1) - min(o, k + 1); row k - 1 holds min(o, k)
        mix[k - 1, k] = 2
        mix[k, k] = -1
        if k > 1:
            mix[k - 2, k] = -1
    mix[[0, _ORIENTATIONS - 2, _ORIENTATIONS - 1, _ORIENTATIONS], 0] = -1, -1, 1, 1
    return mix


_MIX = _mixing()


def _normalise(sums, scale):
    """Rows of length 1, clipped at 0.2 and brought to length 1 again; and their contrast."""
    descriptors = np.maximum(sums.reshape(-1, sums[0, 0].size), 0, out=sums.reshape(-1, sums[0, 0].size))
    length = np.sqrt(np.einsum("ij,ij->i", descriptors, descriptors))
    contrast = length / np.float32(scale**2)
    np.minimum(descriptors, np.float32(0.2) * length[:, None], out=descriptors)
    length = np.sqrt(np.einsum("ij,ij->i", descriptors, descriptors))
    flat = contrast < _FLAT
    length[flat] = np.inf
    descriptors /= length[:, None]
    return descriptors, contrast
