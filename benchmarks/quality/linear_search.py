"""CCA and PLS with settings chosen on val; shared by the tables of features."""

import time
from itertools import product

from mmfeat.cli._evaluate import Encoded, scores_of
from mmfeat.fusion import CCA, PLS
from mmfeat.utils._progress import progress

TEXT_COMPONENTS = 1000
COMPONENTS = (64, 100, 150, 200, 300)
RIDGES = (0.3, 1.0, 2.0, 4.0)
POWERS = (0.5, 1.0, 1.5)


def linear_rows(train, val, test, quiet):
    """CCA and PLS, each with the settings of the highest rsum on val; ties go to the first of the grid."""
    widest = min(*train.images.shape, *train.texts.shape)
    widths = [n for n in COMPONENTS if n <= widest] or [widest]
    candidates = [("CCA", {"reg": regs}) for regs in product(RIDGES, RIDGES)] + [("PLS", {})]
    best: dict = {}
    for name, settings in progress(candidates, desc="CCA and PLS", unit="fit", verbose=not quiet):
        fusion = CCA(widths[-1], **settings) if name == "CCA" else PLS(widths[-1])
        start = time.perf_counter()
        train.fit(fusion)
        seconds = time.perf_counter() - start
        for power in POWERS if name == "CCA" else (None,):
            if power is not None:
                fusion.set_params(power=power)
                settings = {**settings, "power": power}
            embedded = val.embed(fusion)
            for n_components in widths:
                rsum = scores_of(cut(embedded, n_components))["rsum"]
                if name not in best or rsum > best[name][0]:
                    best[name] = rsum, {"n_components": n_components, **settings}, seconds
    for name, (rsum, settings, seconds) in best.items():
        fusion = train.fit({"CCA": CCA, "PLS": PLS}[name](**settings))
        yield {
            "system": name,
            "settings": words(settings),
            **scores_of(test.embed(fusion)),
            "val rsum": rsum,
            "seconds": seconds,
        }


def cut(embedded, n_components):
    return Encoded(embedded.images[:, :n_components], embedded.texts[:, :n_components], embedded.groups)


def words(settings):
    return ", ".join(f"{name}={value}" for name, value in settings.items())
