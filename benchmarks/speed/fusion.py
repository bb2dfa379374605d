"""Linear fusion against its peers and against the bare matrix products, in one run.

    python benchmarks/speed/fusion.py [--only NAME ...]

Random data throughout: two views that share some latent directions. Peers: scikit-learn's CCA (NIPALS) and cca-zoo's,
which ``pip install -e ".[bench]"`` brings.
"""

import tempfile
from pathlib import Path

import numpy as np
from _harness import RESULTS, forget_peak, in_process, in_turn, peak_bytes, run_sections, seconds
from scipy import sparse

from mmfeat.fusion import CCA


def make_views(n, d, e, shared=64, dtype=np.float32, seed=0):
    """Random views with common latent directions."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((n, shared), dtype=np.float32)
    X = common @ rng.standard_normal((shared, d), dtype=np.float32) + 4 * rng.standard_normal((n, d), dtype=np.float32)
    Y = common @ rng.standard_normal((shared, e), dtype=np.float32) + 4 * rng.standard_normal((n, e), dtype=np.float32)
    return X.astype(dtype, copy=False), Y.astype(dtype, copy=False)


def against_scikit_learn():
    """5,000 x (512, 300), 32 components."""
    from sklearn import cross_decomposition

    X, Y = make_views(5000, 512, 300, dtype=np.float64)
    ours = seconds(lambda: CCA(32, reg=0).fit(X, Y), repeats=9)
    theirs = seconds(lambda: cross_decomposition.CCA(32).fit(X, Y), repeats=1, warm_up=0)
    return {"mmfeat_s": ours, "scikit_learn_s": theirs, "ratio": theirs / ours}


def against_cca_zoo():
    """30,000 x (512, 300), 128 components, and the correlations of both at 32 on the smaller set."""
    from cca_zoo import linear

    X, Y = make_views(30000, 512, 300, dtype=np.float64)
    taken = in_turn(
        {
            "mmfeat": lambda: CCA(128, reg=0).fit(X, Y),
            "cca_zoo": lambda: linear.CCA(128).fit([X, Y]),
            "bare_products": lambda: (X.T @ X, Y.T @ Y, X.T @ Y),
        }
    )
    X, Y = X[:5000], Y[:5000]
    ours = CCA(32, reg=0).fit(X, Y).canonical_correlations_
    scores = linear.CCA(32).fit([X, Y]).transform([X, Y])
    theirs = [np.corrcoef(scores[0][:, i], scores[1][:, i])[0, 1] for i in range(32)]
    return {
        "seconds": taken,
        "ratio": taken["cca_zoo"] / taken["mmfeat"],
        "largest_difference_of_correlations": float(np.abs(ours - theirs).max()),
    }


def against_bare_products():
    """30,000 x (2048, 1024), 256 components, float32."""
    X, Y = make_views(30000, 2048, 1024)
    taken = in_turn(
        {
            "mmfeat": lambda: CCA(256).fit(X, Y),
            "bare_products": lambda: (X.T @ X, Y.T @ Y, X.T @ Y),
        }
    )
    above, _ = in_process(_bytes_above_input)
    inputs = X.nbytes + Y.nbytes
    small = 8 * (2 * 2048**2 + 2 * 1024**2 + 4 * 2048 * 1024)
    return {
        "seconds": taken,
        "ratio": taken["mmfeat"] / taken["bare_products"],
        "input_bytes": inputs,
        "small_matrices_bytes": small,
        "peak_above_input_bytes": above,
        "peak_less_small_matrices_in_inputs": 1 + (above - small) / inputs,
    }


def _bytes_above_input():
    """Peak of a fit above what is resident before it, after a small fit has loaded the libraries."""
    X, Y = make_views(30000, 2048, 1024)
    CCA(2).fit(X[:100, :10], Y[:100, :10])
    forget_peak()
    before = peak_bytes()
    CCA(256).fit(X, Y)
    return peak_bytes() - before


def cost_of_auto():
    """`reg="auto"` against one fit."""
    rows = {}
    for name, shape in {"30,000 x (512, 300)": (30000, 512, 300), "30,000 x (1280, 1000)": (30000, 1280, 1000)}.items():
        X, Y = make_views(*shape)
        taken = in_turn(
            {"fit": lambda X=X, Y=Y: CCA(200).fit(X, Y), "auto": lambda X=X, Y=Y: CCA(200, reg="auto").fit(X, Y)}, 3
        )
        rows[name] = {**taken, "ratio": taken["auto"] / taken["fit"]}
    return rows


def wide_sparse():
    """200,000 x 512 dense beside 200,000 x 50,000 TF-IDF, 20 words a row; the answer is checked where squares fit."""
    (correlations, taken), peak = in_process(_fit_wide, 200_000, 50_000, None)
    # The same rows by both routes, at a size where the square of the columns fits.
    (implicit, _), _ = in_process(_fit_wide, 20_000, 9_000, None)
    (squared, _), _ = in_process(_fit_wide, 20_000, 9_000, 10**9)
    return {
        "route": "implicit: conjugate gradients with a Nystrom preconditioner",
        "seconds": taken,
        "peak_resident_bytes": peak,
        "leading_correlations": correlations[:4],
        "check": {
            "shape": "20,000 x (512, 9,000)",
            "largest_difference_of_correlations": float(np.abs(np.subtract(implicit, squared)).max()),
        },
    }


def _fit_wide(n, n_words, widest_square):
    """Correlations and seconds of a fit; `widest_square` moves the size from which a view is not squared."""
    import time

    from mmfeat.fusion import _implicit

    if widest_square is not None:
        _implicit._WIDEST_SQUARE = widest_square
    X, Y = make_documents(n, n_words)
    start = time.perf_counter()
    cca = CCA(128).fit(X, Y)
    return cca.canonical_correlations_.tolist(), time.perf_counter() - start


def make_documents(n, n_words, per_row=20, n_topics=64, seed=0):
    """Random TF-IDF rows of words with Zipf's frequencies, and dense rows that know the topic of each word."""
    rng = np.random.default_rng(seed)
    shares = 1 / np.arange(1, n_words + 1)
    words = rng.choice(n_words, size=n * per_row, p=shares / shares.sum())
    counts = sparse.csr_array((np.ones(len(words)), words, np.arange(0, len(words) + 1, per_row)), shape=(n, n_words))
    counts.sum_duplicates()
    weights = np.log(n / (1 + np.bincount(counts.indices, minlength=n_words))) + 1
    tfidf = counts @ sparse.diags_array(weights)
    lengths = np.sqrt(tfidf.multiply(tfidf).sum(axis=1))
    tfidf = (sparse.diags_array(1 / lengths) @ tfidf).tocsr().astype(np.float32)
    topics = rng.standard_normal((n_words, n_topics), dtype=np.float32)
    X = (tfidf @ topics) @ rng.standard_normal((n_topics, 512), dtype=np.float32)
    X += 4 * rng.standard_normal((n, 512), dtype=np.float32)
    return X, tfidf


def streamed():
    """1,000,000 x (512, 300) from disk in chunks of 20,000 rows: seconds and peak memory; the answer against one fit."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "X.npy", Path(folder) / "Y.npy"]
        in_process(_write_views, paths, 1_000_000)
        (streamed, taken), peak = in_process(_fit_stream, paths, None)
        (first, _), _ = in_process(_fit_stream, paths, 100_000)
        X, Y = (np.load(path, mmap_mode="r")[:100_000] for path in paths)
        whole = CCA(128).fit(X, Y).canonical_correlations_
    return {
        "seconds": taken,
        "peak_resident_bytes": peak,
        "leading_correlations": streamed[:4],
        "largest_difference_to_one_fit_on_the_first_100,000_rows": float(np.abs(whole - first).max()),
    }


def _write_views(paths, n):
    mixed = [np.random.default_rng(i).standard_normal((64, d), dtype=np.float32) for i, d in enumerate((512, 300))]
    files = [
        np.lib.format.open_memmap(path, "w+", np.float32, (n, d)) for path, d in zip(paths, (512, 300), strict=True)
    ]
    for start in range(0, n, 20_000):
        rng = np.random.default_rng(start)
        common = rng.standard_normal((20_000, 64), dtype=np.float32)
        for file, mix in zip(files, mixed, strict=True):
            noise = rng.standard_normal((20_000, mix.shape[1]), dtype=np.float32)
            file[start : start + 20_000] = common @ mix + 4 * noise


def _fit_stream(paths, n):
    """Correlations and seconds of a fit on the first `n` rows, read anew for each chunk so that no page is held."""
    import time

    start = time.perf_counter()
    cca = CCA(128)
    total = len(np.load(paths[0], mmap_mode="r")) if n is None else n
    for first in range(0, total, 20_000):
        cca.partial_fit(*(np.array(np.load(path, mmap_mode="r")[first : first + 20_000]) for path in paths))
    return cca.canonical_correlations_.tolist(), time.perf_counter() - start


def cost_against_rows():
    """Seconds of a fit against the number of rows, 512 and 300 columns; the picture beside the record."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    X, Y = make_views(320_000, 512, 300)
    sizes = [20_000, 40_000, 80_000, 160_000, 320_000]
    taken = in_turn({n: lambda n=n: CCA(128).fit(X[:n], Y[:n]) for n in sizes}, 5)
    slope, constant = np.polyfit(sizes, [taken[n] for n in sizes], 1)
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    axes.plot(sizes, [taken[n] for n in sizes], "o", label="CCA(128).fit, median of 5")
    axes.plot(
        sizes, np.polyval((slope, constant), sizes), label=f"{1e6 * slope:.2f} s per million rows + {constant:.2f} s"
    )
    axes.set(xlabel="rows", ylabel="seconds", xlim=(0, None), ylim=(0, None))
    axes.legend(frameon=False)
    figure.savefig(RESULTS / "speed_fusion_rows.png", dpi=110)
    fitted = np.polyval((slope, constant), sizes)
    return {
        "seconds": {str(n): taken[n] for n in sizes},
        "seconds_per_million_rows": 1e6 * slope,
        "seconds_without_rows": constant,
        "largest_share_off_the_line": float(np.max(np.abs(np.array([taken[n] for n in sizes]) / fitted - 1))),
    }


SECTIONS = {
    "scikit_learn": against_scikit_learn,
    "cca_zoo": against_cca_zoo,
    "bare_products": against_bare_products,
    "auto": cost_of_auto,
    "wide_sparse": wide_sparse,
    "streamed": streamed,
    "rows": cost_against_rows,
}

if __name__ == "__main__":
    run_sections("speed_fusion", SECTIONS, __doc__)
