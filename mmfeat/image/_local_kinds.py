"""From the gray pixels of one image to its bag of local descriptors."""

import numpy as np

from mmfeat.image._dense_sift import dense_sift, grid_points
from mmfeat.image._pixels import resize_pixels
from mmfeat.image._surf import surf_descriptors, surf_keypoints
from mmfeat.image._threads import one_opencv_thread

WIDTHS = {"sift": 128, "surf": 64, "orb": 256}
"""Numbers in a descriptor of each kind."""

# Sides of the patch that is described: SIFT has four bins of 1.5 times the diameter that OpenCV gives a key point (three
# standard deviations), SURF twenty times s, ORB (OpenCV) calls its side the diameter.
_PATCH_OF_SIFT, _PATCH_OF_SURF = 6.0, 20.0
# OpenCV needs a number; no image in memory has so many corners.
_ALL_CORNERS = 2**24
# Where smaller, OpenCV's pyramids have no level, or fail.
_LEAST_SIDE = 8


def describe_image(gray, *, kind, sampling, root, step, scales, max_keypoints, max_size, coordinates, device):
    """Local descriptors of one image, the strongest first.

    Parameters
    ----------
    gray : ndarray of shape (height, width), dtype uint8
    kind, sampling, root, step, scales, max_keypoints, max_size, coordinates, device
        As in :class:`mmfeat.image.LocalDescriptors`.

    Returns
    -------
    bag : ndarray of shape (n_descriptors, width), dtype float32
    """
    gray = _shrink(gray, max_size)
    with one_opencv_thread():
        if sampling == "keypoints":
            descriptors, places, strength = _KEYPOINTS[kind](gray, max_keypoints)
        elif kind == "sift":
            descriptors, places, strength = dense_sift(gray, step, scales, device)
        else:
            descriptors, places, strength = _dense_surf(gray, step, scales)
    order = np.argsort(-strength, kind="stable")[:max_keypoints]
    descriptors = descriptors[order]
    if kind == "sift" and root:
        descriptors = root_of_shares(descriptors)
    if coordinates:
        descriptors = np.hstack([descriptors, _shares_of_image(places[order], gray.shape)])
    return descriptors


def root_of_shares(histograms):
    """Square roots of rows that are first made to sum to 1 (RootSIFT); rows of zeros stay.

    Parameters
    ----------
    histograms : ndarray of shape (n, width), not negative, dtype float32

    Returns
    -------
    roots : ndarray of shape (n, width), dtype float32
    """
    sums = histograms.sum(axis=1, keepdims=True)
    sums[sums == 0] = 1
    return np.sqrt(histograms / sums)


def _shrink(gray, max_size):
    from PIL import Image

    longer = max(gray.shape)
    if max_size is None or longer <= max_size:
        return gray
    height, width = (max(1, round(side * max_size / longer)) for side in gray.shape)
    return resize_pixels(gray, (height, width), Image.Resampling.BILINEAR)


def _sift_keypoints(gray, max_keypoints):
    import cv2

    if min(gray.shape) < _LEAST_SIDE:
        return _nothing(WIDTHS["sift"])
    # Those as strong as the last one are kept as well: there may be more than `max_keypoints`.
    keypoints, descriptors = cv2.SIFT.create(nfeatures=max_keypoints or 0).detectAndCompute(gray, None)
    if not len(keypoints):
        return _nothing(WIDTHS["sift"])
    order, places, strength = _strongest(keypoints, _PATCH_OF_SIFT)
    lengths = np.sqrt(np.einsum("ij,ij->i", descriptors, descriptors))
    lengths[lengths == 0] = 1
    return (descriptors / lengths[:, None])[order], places, strength


def _orb_keypoints(gray, max_keypoints):
    import cv2

    if min(gray.shape) < _LEAST_SIDE:
        return _nothing(WIDTHS["orb"])
    # Asked for a number, ORB shares it out among the levels of its pyramid.
    orb = cv2.ORB.create(nfeatures=_ALL_CORNERS)
    keypoints = orb.detect(gray, None)
    if max_keypoints is not None and len(keypoints) > max_keypoints:
        keypoints = [keypoints[row] for row in _strongest(keypoints, 1.0)[0][:max_keypoints]]
    keypoints, descriptors = orb.compute(gray, keypoints)
    if not len(keypoints):
        return _nothing(WIDTHS["orb"])
    order, places, strength = _strongest(keypoints, 1.0)
    return np.unpackbits(descriptors[order], axis=1).astype(np.float32), places, strength


def _surf_keypoints(gray, max_keypoints):
    places, strength = surf_keypoints(gray)
    places, strength = places[:max_keypoints], strength[:max_keypoints]
    descriptors, _ = surf_descriptors(gray, places)
    places[:, 2] *= _PATCH_OF_SURF
    return descriptors, places, strength


def _dense_surf(gray, step, scales):
    places = np.concatenate([grid_points(gray.shape, step, scale) for scale in scales])
    descriptors, contrast = surf_descriptors(gray, places / [1, 1, _PATCH_OF_SURF])
    return descriptors, places, contrast


_KEYPOINTS = {"sift": _sift_keypoints, "surf": _surf_keypoints, "orb": _orb_keypoints}


def _nothing(width):
    return np.empty((0, width), np.float32), np.empty((0, 3), np.float32), np.empty(0, np.float32)


def _strongest(keypoints, patch):
    """Order of OpenCV's key points by response, which several orientations of one point share; places and responses so."""
    columns = np.array([(*point.pt, point.size, point.angle, point.response) for point in keypoints], dtype=np.float32)
    x, y, size, angle, response = columns.T
    order = np.lexsort((angle, size, y, x, -response))
    return order, np.stack([x, y, patch * size], axis=1)[order], response[order]


def _shares_of_image(places, shape):
    height, width = shape
    shares = (places + [0.5, 0.5, 0]) / [width, height, max(shape)]
    return np.clip(shares, 0, 1).astype(np.float32)
