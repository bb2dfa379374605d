"""SURF: the detector and the descriptor against loops over pixels, and key points found again."""

import cv2
import numpy as np
import pytest

from mmfeat.datasets import make_scenes
from mmfeat.image._surf import _determinants, integral_image, surf_descriptors, surf_keypoints


def texture(height, width, sigma=2.0, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), sigma), None, 0, 255, cv2.NORM_MINMAX)


def box_kernels(side):
    """The three filters of Bay 2008, figure 2, written out."""
    lobe, half = side // 3, side // 2
    yy = np.zeros((side, side))
    yy[:, half - lobe + 1 : half + lobe] = 1
    yy[lobe : 2 * lobe, half - lobe + 1 : half + lobe] = -2
    xy = np.zeros((side, side))
    before, after = slice(half - lobe, half), slice(half + 1, half + 1 + lobe)
    xy[before, before] = xy[after, after] = 1
    xy[before, after] = xy[after, before] = -1
    return yy.T, yy, xy


@pytest.mark.parametrize(("side", "step"), [(9, 1), (15, 1), (15, 2), (27, 4)])
def test_determinants_equal_a_loop_over_the_filters(side, step):
    gray = texture(47, 60)
    got = _determinants(integral_image(gray), side, step)
    half = side // 2
    kernels = box_kernels(side)
    for row in range(0, 47, step):
        for column in range(0, 60, step):
            window = gray[row - half : row + half + 1, column - half : column + half + 1] / 255
            fits = row >= half and column >= half and window.shape == (side, side)
            xx, yy, xy = ((kernel * window).sum() / side**2 for kernel in kernels) if fits else (0, 0, 0)
            expected = xx * yy - (0.9 * xy) ** 2
            assert got[row // step, column // step] == pytest.approx(expected, abs=1e-12)


def written_out_descriptor(gray, x, y, s):
    """Sections 4.1 and 4.2 of Bay 2008, upright, one sample after the other."""
    padded = np.pad(gray / 255, 100)  # boxes end at the border
    half = max(1, round(s))
    result = np.zeros((4, 4, 4))
    for i in range(20):
        for j in range(20):
            down, right = (i - 9.5) * s, (j - 9.5) * s
            row, column = int(np.rint(y + 0.5 + down)) + 100, int(np.rint(x + 0.5 + right)) + 100
            above, below = padded[row - half : row], padded[row : row + half]
            left, behind = slice(column - half, column), slice(column, column + half)
            dx = above[:, behind].sum() + below[:, behind].sum() - above[:, left].sum() - below[:, left].sum()
            dy = below[:, left].sum() + below[:, behind].sum() - above[:, left].sum() - above[:, behind].sum()
            weight = np.exp(-((i - 9.5) ** 2 + (j - 9.5) ** 2) / (2 * 3.3**2))
            result[i // 5, j // 5] += weight * np.array([dx, dy, abs(dx), abs(dy)])
    return result.ravel() / np.linalg.norm(result)


def test_descriptors_equal_a_loop_over_the_samples():
    gray = texture(120, 150)
    places = np.array([[60.2, 55.0, 1.2], [75.0, 61.7, 2.6], [10.0, 100.0, 1.7], [149.0, 0.0, 4.0]])
    descriptors, _ = surf_descriptors(gray, places)
    for descriptor, place in zip(descriptors, places, strict=True):
        np.testing.assert_allclose(descriptor, written_out_descriptor(gray, *place), atol=1e-6)


@pytest.mark.parametrize("radius", [4, 8, 16])
def test_a_disc_is_found_at_its_centre_and_scale(radius):
    down, right = np.mgrid[:160, :160]
    gray = np.where(np.hypot(down - 71, right - 90) < radius, 220, 30).astype(np.uint8)
    places, strength = surf_keypoints(gray)
    x, y, scale = places[strength.argmax()]
    assert np.hypot(x - 90, y - 71) < 1
    # A disc of radius r is a blob of standard deviation r / sqrt(2) (Lindeberg 1998).
    assert 0.6 < scale * np.sqrt(2) / radius < 1.5


def correspondences(first, second, shift):
    """Share of the key points of the poorer picture that are found in the other (Mikolajczyk 2004), away from the border."""
    found = []
    for gray, move in ((first, shift), (second, (0, 0))):
        places, _ = surf_keypoints(gray)
        places[:, :2] += move
        height, width = gray.shape
        inside = (places[:, :2] > 20).all(axis=1) & (places[:, 0] < width - 20) & (places[:, 1] < height - 20)
        found.append(places[inside])
    one, other = found
    distance = np.linalg.norm(one[:, None, :2] - other[:, :2], axis=2)
    ratio = one[:, None, 2] / other[:, 2]
    same = (distance < 1.5) & (ratio < 1.25) & (ratio > 0.8)
    return same.any(axis=1).sum() / min(len(one), len(other)), min(len(one), len(other))


@pytest.mark.parametrize("shift", [(7, -4), (5.3, 2.6)])
def test_key_points_are_found_again_after_a_shift_and_a_blur(shift):
    repeated = []
    for picture in make_scenes(4, image_size=320, random_state=0)["image"]:
        gray = cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2GRAY)
        matrix = np.float32([[1, 0, shift[0]], [0, 1, shift[1]]])
        moved = cv2.warpAffine(gray, matrix, gray.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        share, n_points = correspondences(gray, cv2.GaussianBlur(moved, (0, 0), 0.8), shift)
        assert n_points > 30
        repeated.append(share)
    assert np.mean(repeated) > 0.8


def matched(gray, degrees):
    """Share of key points whose nearest descriptor in the turned picture is that of the turned place."""
    centre = (gray.shape[1] / 2 - 0.5, gray.shape[0] / 2 - 0.5)
    matrix = cv2.getRotationMatrix2D(centre, degrees, 1)
    turned = cv2.warpAffine(gray, matrix, gray.shape[::-1], borderMode=cv2.BORDER_REFLECT)
    one, other = surf_keypoints(gray)[0], surf_keypoints(turned)[0]
    one = one[np.hypot(*(one[:, :2] - centre).T) < 60]
    nearest = (surf_descriptors(gray, one)[0] @ surf_descriptors(turned, other)[0].T).argmax(axis=1)
    expected = one[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return (np.linalg.norm(other[nearest, :2] - expected, axis=1) < 3).mean()


def test_descriptors_stand_a_small_turn_and_not_a_large_one():
    gray = texture(200, 200, sigma=3)
    assert matched(gray, 0) == 1
    assert matched(gray, 10) > 0.7
    assert matched(gray, 90) < 0.2


def test_flat_and_small_images_have_no_key_points():
    for gray in (np.full((80, 80), 9, np.uint8), texture(1, 1), texture(5, 300), texture(20, 20)):
        places, _ = surf_keypoints(gray)
        assert places.shape == (0, 3)
        assert surf_descriptors(gray, places)[0].shape == (0, 64)
    assert not surf_descriptors(np.full((80, 80), 9, np.uint8), np.array([[40, 40, 2.0]]))[0].any()
