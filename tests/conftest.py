"""Set before any library starts its threads: two test processes share two cores, and spinning threads make both slow."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
