"""Upright SURF: blobs found by box filters on the integral image, described by sums of Haar responses (Bay 2008)."""

import numpy as np

# Sides of the box filters of each octave, and the pixels between its samples (Bay 2008, section 3.3).
_OCTAVES = (((9, 15, 21, 27), 1), ((15, 27, 39, 51), 2), ((27, 51, 75, 99), 4), ((51, 99, 147, 195), 8))
# Least determinant, of gray values in [0, 1] and filters divided by their area.
_THRESHOLD = 3e-4
# sigma of the Gaussian that a filter of 9 pixels stands for, and of the balance between the two kinds of filters.
_SIGMA_OF_NINE, _BALANCE = 1.2, 0.9
_SAMPLES, _REGIONS = 20, 4
_CHUNK = 256


def surf_keypoints(gray):
    """Blobs of an image, the strongest first.

    Parameters
    ----------
    gray : ndarray of shape (height, width), dtype uint8

    Returns
    -------
    places : ndarray of shape (n_points, 3), dtype float32
        Column, row (0 is the centre of the first pixel) and the scale s, the standard deviation of the Gaussian.
    strength : ndarray of shape (n_points,), dtype float32
        Determinant of the approximate Hessian.
    """
    table = integral_image(gray)
    found = [_octave_keypoints(table, sides, step) for sides, step in _OCTAVES if min(gray.shape) > sides[2]]
    places = np.concatenate([np.empty((0, 4)), *found])
    places = places[np.argsort(-places[:, 3], kind="stable")].astype(np.float32)
    return places[:, :3], places[:, 3]


def surf_descriptors(gray, places):
    """Upright SURF of 64 numbers at given places.

    Parameters
    ----------
    gray : ndarray of shape (height, width), dtype uint8
    places : ndarray of shape (n_points, 3)
        Column, row and scale s; what is described is a square of 20 s a side.

    Returns
    -------
    descriptors : ndarray of shape (n_points, 64), dtype float32
        For each of four by four regions, row by row, the sums of dx, dy, abs(dx) and abs(dy); rows of length 1, zeros where
        the square is flat.
    contrast : ndarray of shape (n_points,), dtype float32
        Length before it was normalised, by the area of a filter.
    """
    table = integral_image(gray)
    chunks = [_describe(table, places[row : row + _CHUNK]) for row in range(0, len(places), _CHUNK)]
    descriptors = np.concatenate([np.empty((0, 4 * _REGIONS**2)), *chunks])
    contrast = np.sqrt(np.einsum("ij,ij->i", descriptors, descriptors))
    # Below this there is only rounding: a step of one gray level inside of the square gives more.
    descriptors /= np.where(contrast > 1e-6, contrast, np.inf)[:, None]
    return descriptors.astype(np.float32), contrast.astype(np.float32)


def integral_image(gray):
    """Sums of all gray values, in [0, 1], above and left of each corner: shape (height + 1, width + 1), float64."""
    import cv2

    return cv2.integral(gray, sdepth=cv2.CV_64F) / 255.0


def _octave_keypoints(table, sides, step):
    """Maxima over place and scale of one octave: columns, rows, scales and determinants."""
    stack = np.stack([_determinants(table, side, step) for side in sides])
    found = [_maxima(stack, layer, sides, step, table.shape) for layer in (1, 2)]
    return np.concatenate(found)


def _determinants(table, side, step):
    """Determinant of the box-filtered second derivatives at every `step`-th pixel; 0 where the filter does not fit."""
    height, width = table.shape[0] - 1, table.shape[1] - 1
    response = np.zeros((-(-height // step), -(-width // step)))
    half, lobe = side // 2, side // 3
    first = -(-half // step)
    n_down, n_across = (max(0, (length - 1 - half) // step + 1 - first) for length in (height, width))
    if not (n_down and n_across):
        return response

    def box(top, bottom, left, right):
        """Sums over pixels from `top` to before `bottom`, `left` to before `right`, counted from the centre pixel."""
        rows = [
            slice(first * step + edge, first * step + edge + (n_down - 1) * step + 1, step) for edge in (top, bottom)
        ]
        columns = [
            slice(first * step + edge, first * step + edge + (n_across - 1) * step + 1, step) for edge in (left, right)
        ]
        return (
            table[rows[1], columns[1]]
            - table[rows[0], columns[1]]
            - table[rows[1], columns[0]]
            + table[rows[0], columns[0]]
        )

    middle = lobe // 2
    yy = box(-half, half + 1, 1 - lobe, lobe) - 3 * box(-middle, middle + 1, 1 - lobe, lobe)
    xx = box(1 - lobe, lobe, -half, half + 1) - 3 * box(1 - lobe, lobe, -middle, middle + 1)
    xy = (
        box(-lobe, 0, 1, lobe + 1)
        + box(1, lobe + 1, -lobe, 0)
        - box(-lobe, 0, -lobe, 0)
        - box(1, lobe + 1, 1, lobe + 1)
    )
    response[first : first + n_down, first : first + n_across] = (xx * yy - (_BALANCE * xy) ** 2) / side**4
    return response


def _maxima(stack, layer, sides, step, shape):
    """Points of one layer that exceed their 26 neighbours in place and scale, refined by a parabola (Brown, Lowe 2002)."""
    import cv2

    square = np.ones((3, 3), np.uint8)
    middle = stack[layer]
    highest = np.maximum.reduce([cv2.dilate(stack[other], square) for other in (layer - 1, layer, layer + 1)])
    peaks = (middle >= highest) & (middle > _THRESHOLD)
    # The largest filter must fit, with a neighbour on each side to compare with.
    reach = -(-(sides[layer + 1] // 2) // step) + 1
    inside = np.zeros_like(peaks)
    n_down, n_across = ((length - 2 - sides[layer + 1] // 2) // step for length in shape)
    inside[reach:n_down, reach:n_across] = True
    rows, columns = np.nonzero(peaks & inside)
    if not len(rows):
        return np.empty((0, 4))
    offsets = _refine(stack, layer, rows, columns)
    kept = (np.abs(offsets) < 1).all(axis=1)
    rows, columns, offsets = rows[kept], columns[kept], offsets[kept]
    side = sides[layer] + offsets[:, 0] * (sides[layer + 1] - sides[layer])
    scales = side * _SIGMA_OF_NINE / 9
    return np.column_stack(
        [(columns + offsets[:, 2]) * step, (rows + offsets[:, 1]) * step, scales, middle[rows, columns]]
    )


def _refine(stack, layer, rows, columns):
    """Offsets in layers, rows and columns of the extremum of the quadratic through the neighbours of each point."""

    def at(*move):
        return stack[layer + move[0], rows + move[1], columns + move[2]]

    steps = np.eye(3, dtype=int)
    centre = at(0, 0, 0)
    gradient = np.stack([(at(*step) - at(*-step)) / 2 for step in steps], axis=1)
    hessian = np.empty((len(rows), 3, 3))
    for i, one in enumerate(steps):
        hessian[:, i, i] = at(*one) - 2 * centre + at(*-one)
        for j, other in enumerate(steps[:i]):
            mixed = at(*(one + other)) - at(*(one - other)) - at(*(other - one)) + at(*(-one - other))
            hessian[:, i, j] = hessian[:, j, i] = mixed / 4
    usable = np.abs(np.linalg.det(hessian)) > 1e-12 * np.abs(centre) ** 3
    hessian[~usable] = np.eye(3)
    return -np.linalg.solve(hessian, np.where(usable[:, None], gradient, 0)[..., None])[..., 0]


def _describe(table, places):
    """Sums over the regions of the Haar responses at 20 by 20 samples, s pixels apart, of filters of 2 s pixels."""
    places = places.astype(np.float64)
    half = np.maximum(1, np.rint(places[:, 2])).astype(np.int64)
    offsets = np.arange(_SAMPLES) - (_SAMPLES - 1) / 2
    # Corners of pixels lie half a pixel from their centres.
    columns, rows = (
        np.rint(places[:, axis, None] + 0.5 + offsets * places[:, 2, None]).astype(np.int64) for axis in (0, 1)
    )
    lines = [np.clip(rows + sign * half[:, None], 0, table.shape[0] - 1) * table.shape[1] for sign in (-1, 0, 1)]
    edges = [np.clip(columns + sign * half[:, None], 0, table.shape[1] - 1) for sign in (-1, 0, 1)]
    values = table.ravel()

    def at(line, edge):
        return values[lines[line + 1][:, :, None] + edges[edge + 1][:, None, :]]

    corners = at(-1, -1), at(-1, 1), at(1, -1), at(1, 1)
    outer = corners[3] - corners[2] - corners[1] + corners[0]  # the whole square: twice the right half less it is dx
    dx = 2 * (corners[3] - at(1, 0) - corners[1] + at(-1, 0)) - outer
    dy = 2 * (corners[3] - at(0, 1) - corners[2] + at(0, -1)) - outer
    bell = np.exp(-(offsets**2) / (2 * 3.3**2))
    weights = bell[:, None] * bell / (4.0 * half**2)[:, None, None]
    responses = np.stack([dx * weights, dy * weights], axis=-1)
    responses = np.concatenate([responses, np.abs(responses)], axis=-1)
    inner = _SAMPLES // _REGIONS
    return responses.reshape(len(places), _REGIONS, inner, _REGIONS, inner, 4).sum(axis=(2, 4)).reshape(len(places), -1)
