"""Linear fusion against its peers and against the bare matrix products, in one run.

    python benchmarks/speed/fusion.py [--only NAME ...]

Random data throughout: two views that share some latent directions. Peers: scikit-learn's CCA (NIPALS) and cca-zoo's.
"""

import argparse

import numpy as np
from _harness import in_process, in_turn, seconds, write

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
            "cca_zoo": lambda: linear.CCA(latent_dimensions=128).fit([X, Y]),
            "bare_products": lambda: (X.T @ X, Y.T @ Y, X.T @ Y),
        }
    )
    X, Y = X[:5000], Y[:5000]
    ours = CCA(32, reg=0).fit(X, Y).canonical_correlations_
    scores = linear.CCA(latent_dimensions=32).fit([X, Y]).transform([X, Y])
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
    _, without = in_process(_large, False)
    _, with_fit = in_process(_large, True)
    inputs = X.nbytes + Y.nbytes
    small = 8 * (2 * 2048**2 + 2 * 1024**2 + 4 * 2048 * 1024)
    return {
        "seconds": taken,
        "ratio": taken["mmfeat"] / taken["bare_products"],
        "input_bytes": inputs,
        "small_matrices_bytes": small,
        "fit_above_input_bytes": with_fit - without,
        "fit_above_input_in_inputs": (with_fit - without - small) / inputs,
    }


def _large(fit):
    X, Y = make_views(30000, 2048, 1024)
    if fit:
        CCA(256).fit(X, Y)


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


SECTIONS = {
    "scikit_learn": against_scikit_learn,
    "cca_zoo": against_cca_zoo,
    "bare_products": against_bare_products,
    "auto": cost_of_auto,
}


def main():
    """Run the sections asked for, all by default; only a full run is written."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    only = parser.parse_args().only
    results = {name: SECTIONS[name]() for name in only}
    if set(only) == set(SECTIONS):
        write("speed_fusion", results)
    else:
        print(results)


if __name__ == "__main__":
    main()
