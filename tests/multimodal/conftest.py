"""Posts with labels, rendered once for all tests of this folder."""

import numpy as np
import pytest

from mmfeat.datasets import make_scenes


@pytest.fixture(scope="session")
def posts():
    """120 posts with two captions each, and labels."""
    return make_scenes(120, image_size=32, captions_per_image=2, task="sentiment", random_state=0)


@pytest.fixture
def with_gaps(posts):
    """Make a copy in which a share of the pictures and of the texts is missing, in every way that it may be."""

    def make(share, seed=0):
        rng = np.random.default_rng(seed)
        pairs = posts.copy()
        images, texts = pairs["image"].to_list(), pairs["text"].to_list()
        for column, ways in ((images, (None, np.nan, "", b"")), (texts, (None, np.nan, "  ", [None], []))):
            for turn, row in enumerate(rng.permutation(len(pairs))[: int(share * len(pairs))]):
                column[row] = ways[turn % len(ways)]
        for name, column in (("image", images), ("text", texts)):
            cells = np.empty(len(pairs), dtype=object)
            cells[:] = column
            pairs[name] = cells
        gone = [np.array([cell is None or isinstance(cell, (float, str, bytes)) for cell in images])]
        gone.append(np.array([not isinstance(cell, list) or len(cell) < 2 for cell in texts]))
        return pairs, gone

    return make
