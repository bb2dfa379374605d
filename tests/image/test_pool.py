"""Pooling of maps and tokens against formulas written out in loops."""

import numpy as np
import pytest
import torch

from mmfeat.image._pool import check_pooling, pool, pooled_width


@pytest.fixture
def maps():
    return torch.randn(2, 5, 7, 7, generator=torch.Generator().manual_seed(0))


def test_gem_is_the_cube_root_of_the_mean_cube_of_what_is_positive(maps):
    positive = maps.double().clamp(min=0).numpy()
    expected = np.cbrt((positive**3).mean((2, 3)))
    np.testing.assert_allclose(pool(maps, "gem"), expected, rtol=1e-5)
    tokens = maps.flatten(2).transpose(1, 2)
    np.testing.assert_allclose(pool(tokens, "gem"), expected, rtol=1e-5)


def rmac(picture):
    """Regions of side 2 w / (l + 1), l by l of them spread evenly; float64, one region after the other."""
    side = picture.shape[1]
    total = np.zeros(len(picture))
    for scale in (1, 2, 3):
        width = max(int(np.floor(2 * side / (scale + 1))), 1)
        starts = np.floor(np.linspace(0, side - width, scale)) if scale > 1 else np.zeros(1)
        for top in starts.astype(int):
            for left in starts.astype(int):
                region = picture[:, top : top + width, left : left + width].reshape(len(picture), -1).max(1)
                total += region / np.linalg.norm(region)
    return total / np.linalg.norm(total)


@pytest.mark.parametrize("side", [1, 2, 7, 12, 14])
def test_rmac_is_the_sum_over_regions_of_three_sizes(side):
    maps = torch.randn(3, 5, side, side, generator=torch.Generator().manual_seed(side))
    expected = np.stack([rmac(picture) for picture in maps.double().numpy()])
    np.testing.assert_allclose(pool(maps, "rmac"), expected, rtol=1e-4, atol=1e-6)
    if side != 5:
        np.testing.assert_array_equal(pool(maps.permute(0, 2, 3, 1), "rmac"), pool(maps, "rmac"))


def test_rmac_of_a_map_of_zeros_is_zero():
    assert (pool(torch.zeros(1, 4, 3, 3), "rmac") == 0).all()


def test_without_pooling_every_place_is_a_row(maps):
    bags = pool(maps, None)
    assert bags.shape == (2, 49, 5)
    torch.testing.assert_close(bags[1, 9], maps[1, :, 1, 2])  # row by row: 9 = 1 * 7 + 2
    torch.testing.assert_close(pool(maps.permute(0, 2, 3, 1), None), bags)
    tokens = maps.flatten(2).transpose(1, 2)
    torch.testing.assert_close(pool(tokens, None), tokens)
    assert pool(maps[:, :, 0, 0], None).shape == (2, 1, 5)
    assert pooled_width((5, 7, 7), None) == pooled_width((49, 5), None) == pooled_width((5,), None) == 5


def test_vectors_stay_as_they_are(maps):
    vectors = maps[:, :, 0, 0]
    for pooling in ("avg", "max", "gem", "rmac", "flatten"):
        torch.testing.assert_close(pool(vectors, pooling), vectors)


def test_what_cannot_be_pooled_is_refused():
    check_pooling(["a", "b"], [(5, 7, 7), (8, 14, 14)], "rmac")
    check_pooling(["a", "b", "c"], [(5, 7, 7), (7, 7, 3), (49, 8)], None)
    with pytest.raises(ValueError, match=r"'rmac' needs a map .* layer 'b' gives 50 tokens of 8 channels"):
        check_pooling(["a", "b"], [(5, 7, 7), (50, 8)], "rmac")
    with pytest.raises(ValueError, match="'a' has 49 places and 'b' has 196"):
        check_pooling(["a", "b"], [(5, 7, 7), (8, 14, 14)], None)
    with pytest.raises(ValueError, match=r"'a' has 49 places and 'b' has 1\. "):
        check_pooling(["a", "b"], [(5, 7, 7), (8,)], None)
