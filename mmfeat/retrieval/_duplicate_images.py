"""Pictures that are the same or nearly so: digests of pixels, and difference hashes within a Hamming radius."""

import hashlib

import numpy as np
from joblib import Parallel, delayed

from mmfeat.image._io import load_image

N_BITS = 128
# Grey levels between the darkest and the brightest cell below which a picture is flat: its hash would be noise.
_FLAT = 8
_SIDE = 9
# Pairs compared at a time.
_BLOCK = 1 << 18
_ONES = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


def signatures(columns, n_jobs):
    """Digests of the pixels of pictures, their difference hashes, and which are not flat.

    Parameters
    ----------
    columns : list of list
        Pictures of each table; what cannot be read is named by its row, and by its table where there are two.
    n_jobs : int or None
        Threads.

    Returns
    -------
    digests : list of bytes
    hashes : ndarray of shape (n_images, 16), dtype uint8
    textured : ndarray of shape (n_images,), dtype bool
    """
    found = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(_signature)(image, f"{row} of `{name}`" if len(columns) > 1 else row)
        for name, images in zip(("pairs", "other"), columns, strict=False)
        for row, image in enumerate(images)
    )
    digests, hashes, textured = zip(*found, strict=True)
    return list(digests), np.array(hashes), np.array(textured)


def near_hashes(hashes, radius, matters):
    """Pairs of hashes that differ in at most `radius` bits.

    Of `radius` + 1 bands of bits at least one must then be equal, so that only hashes with an equal band are compared.

    Parameters
    ----------
    hashes : ndarray of shape (n, 16), dtype uint8
        Without repetition.
    radius : int
    matters : callable
        From two arrays of positions to a mask of the pairs that are wanted.

    Returns
    -------
    first, second : ndarray of shape (n_pairs,)
        Positions, first < second.
    similarities : ndarray of shape (n_pairs,)
        Share of equal bits.
    """
    bits = np.unpackbits(hashes, axis=1)
    found = np.empty(0, dtype=np.int64)
    for columns in np.array_split(np.arange(N_BITS), radius + 1):
        # A pair stands in most bands: only one entry of it is kept from band to band.
        found = np.union1d(found, _pairs_of_band(hashes, bits[:, columns], radius, matters))
    first, second = np.divmod(found, max(1, len(hashes)))
    return first, second, 1 - _distances(hashes, first, second) / N_BITS


def _pairs_of_band(hashes, band, radius, matters):
    """Pairs of near hashes that are equal in a band of bits, as ``first * n + second``."""
    key = np.unique(np.packbits(band, axis=1), axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(key, kind="stable")
    ends = np.searchsorted(key[order], key[order], side="right")
    found = [np.empty(0, dtype=np.int64)]
    # Places that still have a neighbour with the same band so many places on.
    places, step = np.arange(len(order)), 1
    while len(places := places[places + step < ends[places]]):
        first, second = np.sort([order[places], order[places + step]], axis=0)
        wanted = matters(first, second)
        first, second = first[wanted], second[wanted]
        near = _distances(hashes, first, second) <= radius
        found.append(first[near] * len(hashes) + second[near])
        step += 1
    return np.concatenate(found)


def _distances(hashes, first, second):
    distances = np.empty(len(first), dtype=np.int64)
    for start in range(0, len(first), _BLOCK):
        rows = slice(start, start + _BLOCK)
        distances[rows] = _ONES[hashes[first[rows]] ^ hashes[second[rows]]].sum(axis=1)
    return distances


def _signature(image, row):
    from PIL import Image

    pixels = load_image(image, row)
    digest = hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).digest()
    small = Image.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    gray = np.asarray(small, dtype=np.int16)
    bits = np.concatenate([(np.diff(gray[:-1], axis=1) > 0).ravel(), (np.diff(gray[:, :-1], axis=0) > 0).ravel()])
    return digest, np.packbits(bits), int(np.ptp(gray)) >= _FLAT
