"""A small task whose features are given, so that nothing but the comparison itself is run."""

import numpy as np
import pandas as pd
import pytest

SIZES = {"train": 120, "val": 30, "test": 40}


@pytest.fixture(scope="session")
def task():
    """Pairs with two captions each, features of two kinds of text, classes."""
    rng = np.random.default_rng(0)
    maps = {name: rng.normal(size=(6, 12)) for name in ("image", "plain", "rich")}
    splits, images, plain, rich, labels = {}, {}, {}, {}, {}
    for split, size in SIZES.items():
        meaning = rng.normal(size=(size, 6))
        labels[split] = (meaning[:, 0] > 0).astype(int) + 2 * (meaning[:, 1] > 0)
        captions = np.repeat(meaning, 2, axis=0)
        images[split] = (meaning @ maps["image"] + rng.normal(size=(size, 12))).astype("f4")
        plain[split] = (captions @ maps["plain"] + 4 * rng.normal(size=(2 * size, 12))).astype("f4")
        rich[split] = (captions @ maps["rich"] + 2 * rng.normal(size=(2 * size, 12))).astype("f4")
        splits[split] = pd.DataFrame(
            {
                "image": [f"{split} {row}" for row in range(size)],
                "text": [[f"{split} {row} a", f"{split} {row} b"] for row in range(size)],
            }
        )
    return splits, {"given": images}, {"plain": plain, "rich": rich}, labels
