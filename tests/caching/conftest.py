"""A transformer that writes down each row it computes, in a module that other processes can import."""

import importlib
import os
import subprocess
import sys

import pytest

SOURCE = '''
import hashlib
import os
import time
from pathlib import Path

import numpy as np

from mmfeat.utils._base import SequenceTransformer


class Counting(SequenceTransformer):
    """Rows made of the digest of a file or a sentence; each row computed adds a line to a file."""

    _cache_ignores = ("log", "wait")

    def __init__(self, log, width=8, scale=1.0, wait=0.0):
        self.log = log
        self.width = width
        self.scale = scale
        self.wait = wait

    def fit(self, X, y=None):
        self.n_features_out_ = self.width
        return self

    def transform(self, X):
        time.sleep(self.wait * len(X))
        rows = np.stack([self.row(item) for item in X])
        with open(self.log, "a") as file:
            file.write("".join(f"{os.getpid()}\\\\n" for _ in X))
        return rows

    def row(self, item):
        path = Path(item)
        content = path.read_bytes() if path.is_absolute() else item.encode()
        seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "big")
        return np.random.default_rng(seed).random(self.width, dtype=np.float32) * np.float32(self.scale)

    def get_feature_names_out(self, input_features=None):
        return np.array([f"c{i}" for i in range(self.width)], dtype=object)
'''.replace("\\\\", "\\")


class World:
    """A folder with the module, a log of computed rows and a place for a cache."""

    def __init__(self, folder, module):
        self.folder = folder
        self.log = folder / "log.txt"
        self.cache = folder / "cache"
        self.module = module

    def make(self, **arguments):
        return self.module.Counting(str(self.log), **arguments)

    def n_computed(self):
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def start(self, script, *arguments, **options):
        """Run a script in a process of its own."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(self.folder), *sys.path])}
        command = [sys.executable, "-c", script, *map(str, arguments)]
        return subprocess.Popen(command, env=environment, text=True, **options)

    def run(self, script, *arguments):
        process = self.start(script, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, error = process.communicate(timeout=300)
        assert process.returncode == 0, error
        return out


@pytest.fixture
def world(tmp_path, monkeypatch):
    (tmp_path / "counting_rows.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("counting_rows", None)
    yield World(tmp_path, importlib.import_module("counting_rows"))
    sys.modules.pop("counting_rows", None)
