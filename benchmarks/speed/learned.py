"""An epoch of the learned fusions against the products that it cannot do without, and its memory.

    python benchmarks/speed/learned.py [--only NAME ...] [--out FOLDER]

Random data throughout: speed does not depend on the values. "heads" are the forward and backward products of the two linear
heads on tensors in memory; "heads and scores" those and the products of the batch's scores, without which there is no loss.
"""

import numpy as np
from _harness import in_process, in_turn, peak_bytes, run_sections

from mmfeat.fusion import LearnedProjection

N_PAIRS, WIDTHS, COMPONENTS, BATCH = 30_000, (1280, 1000), 512, 512


def make_views(n_pairs=N_PAIRS):
    """Two random views in float32."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((n_pairs, width), dtype=np.float32) for width in WIDTHS]


def bare_epoch(views, precision, device, *, scores):
    """A function that takes the products of one epoch alone: forward, and backward to the weights; tensors in memory."""
    import torch

    dtype = getattr(torch, precision)
    tensors = [torch.from_numpy(view).to(device, dtype) for view in views]
    heads = [torch.randn(width, COMPONENTS, device=device, dtype=dtype) for width in WIDTHS]
    gradient = torch.randn(BATCH, COMPONENTS, device=device, dtype=dtype)
    of_scores = torch.randn(BATCH, BATCH, device=device, dtype=dtype)

    def run():
        for start in range(0, N_PAIRS, BATCH):
            batches = [tensor[start : start + BATCH] for tensor in tensors]
            x, y = (batch @ head for batch, head in zip(batches, heads, strict=True))
            if scores:
                x @ y.T
                of_scores[: len(x), : len(x)] @ y, of_scores[: len(x), : len(x)].T @ x
            for batch in batches:
                batch.T @ gradient[: len(batch)]
        if device != "cpu":
            torch.cuda.synchronize()

    return run


def epochs(device, precision):
    """Seconds of an epoch on a device, bare and whole."""
    from mmfeat.fusion._learning._training import run_epoch

    views = make_views()

    def ours(**parameters):
        projection = LearnedProjection(
            COMPONENTS,
            init="random",
            batch_size=BATCH,
            random_state=0,
            device=device,
            precision=precision,
            **parameters,
        )
        X, y, groups, labels = projection._check_pairs(*views, None, None)
        training = projection._new_training(X, y, groups, labels, np.zeros(N_PAIRS, dtype=bool), 0, None)
        return lambda: run_epoch(training)

    taken = in_turn(
        {
            "bare_heads": bare_epoch(views, precision, device, scores=False),
            "bare_heads_and_scores": bare_epoch(views, precision, device, scores=True),
            "infonce": ours(),
            "infonce_without_dropout": ours(dropout=0.0),
            "triplet": ours(loss="triplet"),
        }
    )
    return {
        "seconds": taken,
        "epochs_per_second": 1 / taken["infonce"],
        "over_heads": taken["infonce"] / taken["bare_heads"],
        "over_heads_and_scores": taken["infonce"] / taken["bare_heads_and_scores"],
    }


def epoch():
    """One epoch of 30,000 pairs of 1,280 and 1,000 columns to 512 components in batches of 512; on CUDA too where it is."""
    import torch

    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    result = {
        f"{device}, {precision}": epochs(device, precision)
        for device in devices
        for precision in ("float32", "bfloat16")
    }
    result["bfloat16_over_bare_heads_in_float32"] = (
        result["cpu, bfloat16"]["seconds"]["infonce"] / result["cpu, float32"]["seconds"]["bare_heads"]
    )
    return result


def _fit_peak(captions):
    rng = np.random.default_rng(0)
    n_images = 4000
    X = rng.standard_normal((n_images, WIDTHS[0]), dtype=np.float32)
    groups = np.repeat(np.arange(n_images), captions)
    y = rng.standard_normal((len(groups), WIDTHS[1]), dtype=np.float32)
    X = X[groups]
    before = peak_bytes()
    LearnedProjection(COMPONENTS, init="random", max_epochs=1, random_state=0, device="cpu").fit(X, y, groups=groups)
    return peak_bytes() - before


def memory():
    """Bytes that a fit takes beyond its input, for one, five and ten captions of each of 4,000 images."""
    return {f"{captions} captions": in_process(_fit_peak, captions)[0] for captions in (1, 5, 10)}


SECTIONS = {"epoch": epoch, "memory": memory}


if __name__ == "__main__":
    run_sections("speed_learned", SECTIONS, __doc__)
