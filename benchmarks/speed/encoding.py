"""Encoders of bags against scikit-image and against plain loops, on one thread each, and the memory they take.

    python benchmarks/speed/encoding.py [--only NAME ...]

Random data throughout: descriptors scattered around forty centres, as those of images are around frequent patches.
"""

import numpy as np
from _harness import in_process, in_turn, run_sections
from threadpoolctl import threadpool_limits

from mmfeat.encoding import VLAD, BagOfWords, FisherVector


def make_bags(n_bags, n_rows=500, width=64, dtype=np.float32, seed=0):
    """Bags of descriptors of one size around common centres."""
    rng = np.random.default_rng(seed)
    centres = 0.6 * rng.standard_normal((40, width), dtype=np.float32)
    return [
        (centres[rng.integers(40, size=n_rows)] + 0.8 * rng.standard_normal((n_rows, width), dtype=np.float32)).astype(
            dtype
        )
        for _ in range(n_bags)
    ]


def fisher():
    """1,000 bags of 500 x 64 against skimage.feature.fisher_vector with the same mixture and normalisation."""
    from skimage.feature import fisher_vector

    rows = {}
    for n_components in (16, 64):
        for dtype in (np.float32, np.float64):
            bags = make_bags(1000, dtype=dtype)
            encoder = FisherVector(n_components, max_samples=50_000, random_state=0).fit(bags)
            mixture = encoder.mixture_

            def theirs(bags=bags, mixture=mixture, improved=True):
                return np.array([fisher_vector(bag, mixture, improved=improved) for bag in bags])

            with threadpool_limits(1):
                taken = in_turn({"mmfeat": lambda e=encoder, b=bags: e.transform(b), "scikit_image": theirs})
                improved = np.abs(encoder.transform(bags) - theirs()).max()
                plain = encoder.set_params(power=1, norm=None).transform(bags)
            rows[f"{n_components} components, {np.dtype(dtype)}"] = {
                **taken,
                "ratio": taken["scikit_image"] / taken["mmfeat"],
                "largest_difference_improved": float(improved),
                "largest_difference_plain": float(np.abs(plain - theirs(improved=False)).max()),
            }
    return rows


def _words_of(bag, words):
    return ((bag[:, None] - words) ** 2).sum(axis=2).argmin(axis=1)


def vlad():
    """200 bags of 500 x 64, 64 words, against a loop over bags and words."""
    bags = make_bags(200)
    encoder = VLAD(64, random_state=0).fit(bags)
    centres = encoder.vocabulary_.astype(np.float32)

    def loop():
        rows = np.zeros((len(bags), *centres.shape), dtype=np.float32)
        for row, bag in zip(rows, bags, strict=True):
            nearest = _words_of(bag, centres)
            for word in range(len(centres)):
                row[word] = (bag[nearest == word] - centres[word]).sum(axis=0)
                row[word] /= np.linalg.norm(row[word]) or 1
            row /= np.linalg.norm(row) or 1
        return rows.reshape(len(bags), -1)

    return _against_loop(encoder, bags, loop)


def bag_of_words():
    """200 bags of 500 x 64, 500 words, against a loop over bags and descriptors."""
    bags = make_bags(200)
    encoder = BagOfWords(500, idf=False, norm="l1", random_state=0).fit(bags)
    centres = encoder.vocabulary_.astype(np.float32)

    def loop():
        rows = np.zeros((len(bags), len(centres)), dtype=np.float32)
        for row, bag in zip(rows, bags, strict=True):
            for word in _words_of(bag, centres):
                row[word] += 1 / len(bag)
        return rows

    return _against_loop(encoder, bags, loop)


def _against_loop(encoder, bags, loop):
    with threadpool_limits(1):
        taken = in_turn({"mmfeat": lambda: encoder.transform(bags), "loop": loop}, 3)
        difference = np.abs(encoder.transform(bags) - loop()).max()
    return {**taken, "ratio": taken["loop"] / taken["mmfeat"], "largest_difference": float(difference)}


def mixtures():
    """Ten iterations on 50,000 x 64 descriptors, 64 components, against scikit-learn; and of the other mixtures."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    rows = np.concatenate(make_bags(100))
    settings = {"max_samples": len(rows), "max_iter": 10, "tol": 0, "random_state": 0}
    peers = {
        kind: lambda kind=kind: FisherVector(64, mixture=kind, **settings).fit([rows])
        for kind in ("gaussian", "laplacian", "hybrid")
    }
    peers["scikit_learn"] = lambda: GaussianMixture(64, covariance_type="diag", max_iter=10, tol=0, random_state=0).fit(
        rows.astype(np.float64)
    )
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        taken = in_turn(peers, 3)
    return {"seconds": taken, "ratio_gaussian": taken["scikit_learn"] / taken["gaussian"]}


def memory():
    """Peak memory of fit and transform over 8,000 bags of 500 x 64, 16 components, above the bags and the result."""
    n_bags = 8000
    _, without = in_process(_encode_many, n_bags, False)
    result, peak = in_process(_encode_many, n_bags, True)
    return {
        "bags_bytes": n_bags * 500 * 64 * 4,
        "result_bytes": result,
        "peak_bytes": peak,
        "above_bags_and_result_bytes": peak - without - result,
    }


def _encode_many(n_bags, encode):
    bags = make_bags(n_bags)
    return FisherVector(16, random_state=0).fit(bags).transform(bags).nbytes if encode else 0


SECTIONS = {"fisher": fisher, "vlad": vlad, "bag_of_words": bag_of_words, "mixtures": mixtures, "memory": memory}

if __name__ == "__main__":
    run_sections("speed_encoding", SECTIONS, __doc__)
