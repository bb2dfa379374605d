"""Checkpoints: an interrupted training goes on to the weights of an undisturbed one, and no other file is taken for one."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from mmfeat.fusion import LearnedProjection


class InterruptedTrainingError(Exception):
    """Stands for a power cut."""


class Fuse:
    """A callback that fails once, in an epoch."""

    def __init__(self, epoch, calls=0):
        self.left = epoch + 1 + calls

    def __call__(self, record):
        self.left -= 1
        if self.left == 0:
            raise InterruptedTrainingError


def make_views(n=120):
    rng = np.random.default_rng(0)
    common = rng.normal(size=(n, 4))
    return tuple((common @ rng.normal(size=(4, width)) + rng.normal(size=(n, width))).astype("f4") for width in (9, 7))


def make_projection(**parameters):
    defaults = {"init": "random", "hidden": (8,), "learning_rate": 1e-2, "max_epochs": 6, "batch_size": 32}
    return LearnedProjection(5, **{**defaults, "patience": 9, "random_state": 0, **parameters})


@pytest.mark.parametrize("ensemble", [1, 3])
def test_an_interrupted_training_ends_where_an_undisturbed_one_does(tmp_path, ensemble):
    X, Y = make_views()
    path = tmp_path / "training.npz"
    expected = make_projection(ensemble=ensemble, loss="siglip").fit(X, Y)
    for epoch in range(1, 6 * ensemble, 4):
        broken = make_projection(ensemble=ensemble, loss="siglip", checkpoint=path, callback=Fuse(epoch))
        with pytest.raises(InterruptedTrainingError):
            broken.fit(X, Y)
        assert path.exists()
        resumed = clone(broken).set_params(callback=None).fit(X, Y)
        assert_array_equal(resumed.transform(X), expected.transform(X))
        assert_array_equal(resumed.transform_y(Y), expected.transform_y(Y))
        assert resumed.loss_curve_ == expected.loss_curve_
        assert resumed.validation_curve_ == expected.validation_curve_
        assert resumed.best_epoch_ == expected.best_epoch_
        assert not any(tmp_path.iterdir())


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
import torch
from test_checkpoints import make_projection, make_views
torch.set_num_threads(1)
slow = lambda record: time.sleep(0.05)  # so that it is met alive
make_projection(max_epochs=80, patience=999, checkpoint={path!r}, callback=slow).fit(*make_views())
"""


def test_a_kill_loses_no_more_than_an_epoch(tmp_path):
    path = tmp_path / "training.npz"
    script = SCRIPT.format(tests=str(Path(__file__).parent), path=str(path))
    for _ in range(2):
        before = path.stat().st_mtime_ns if path.exists() else None
        process = subprocess.Popen([sys.executable, "-c", script])
        while process.poll() is None and (not path.exists() or path.stat().st_mtime_ns == before):
            time.sleep(0.005)
        time.sleep(0.05)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    with threadpool_limits(1):
        resumed = make_projection(max_epochs=80, patience=999, checkpoint=path).fit(*make_views())
        expected = make_projection(max_epochs=80, patience=999).fit(*make_views())
    assert len(resumed.loss_curve_) == 80
    assert_array_equal(resumed.transform(make_views()[0]), expected.transform(make_views()[0]))


@pytest.mark.parametrize(
    "change",
    [{"learning_rate": 1e-3}, {"random_state": 1}, {"loss": "triplet"}, {"hidden": (9,)}, {"ensemble": 2}],
)
def test_the_checkpoint_of_another_training_is_refused(tmp_path, change):
    X, Y = make_views()
    path = tmp_path / "training.npz"
    with pytest.raises(InterruptedTrainingError):
        make_projection(checkpoint=path, callback=Fuse(2)).fit(X, Y)
    kept = path.read_bytes()
    with pytest.raises(ValueError, match="checkpoint of a training with other parameters or data"):
        make_projection(checkpoint=path, **change).fit(X, Y)
    with pytest.raises(ValueError, match="checkpoint of a training with other parameters or data"):
        make_projection(checkpoint=path).fit(X + 1, Y)
    assert path.read_bytes() == kept


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_checkpoint_is_refused_and_kept(tmp_path, content):
    X, Y = make_views()
    path = tmp_path / "training.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no checkpoint of a training"):
        make_projection(checkpoint=path).fit(X, Y)
    assert path.read_bytes() == content
