"""Set before any library starts its threads: two test processes share two cores, and spinning threads make both slow."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def pytest_configure(config):
    """A busy machine is slow at times, which is no failure of the code: examples have no deadline."""
    from hypothesis import settings

    settings.register_profile("no deadline", deadline=None)
    settings.load_profile("no deadline")
