"""``mmfeat extract``: features equal to those of the estimator, whatever happens on the way."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmfeat.cli import main

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:weights=None")
SETTINGS = {"model": "squeezenet1_1", "layer": ["features.3"]}


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main(["extract", *map(str, arguments)])
    return end.value.code


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from torchvision import models

    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(models.squeezenet1_1(weights=None).state_dict(), path)
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for row, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (14, 40, 50, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / ("more" if row % 3 == 0 else "") / f"{row:02d}.jpg")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))


@pytest.fixture
def extract(folder, weights):
    def extract(out, *more, images=folder):
        options = ["--model", "squeezenet1_1", "--weights", weights, "--layer", "features.3", "--shard-rows", 4]
        return run("--images", images, "--out", out, *options, *more)

    return extract


@pytest.fixture
def expected(folder, names, weights):
    from mmfeat.image import CNNFeatures

    encoder = CNNFeatures(**SETTINGS, weights=str(weights))
    return encoder.fit_transform([str(folder / name) for name in names])


def test_npy_has_the_features_and_the_names_beside_it(extract, tmp_path, names, expected, capsys):
    out = tmp_path / "features.npy"
    assert extract(out) == 0
    told = capsys.readouterr().out
    assert "14 pictures described by 128 features" in told
    assert "images per second" in told
    found = np.load(out, mmap_mode="r")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert pd.read_csv(tmp_path / "features.csv")["image_id"].tolist() == names
    record = json.loads((tmp_path / "features.json").read_text())
    assert record["parameters"]["model"] == "squeezenet1_1"
    assert (record["rows"], record["columns"], record["unread"]) == (14, 128, [])
    assert {path.name for path in tmp_path.iterdir()} == {"pictures", "features.npy", "features.csv", "features.json"}


def test_parquet_and_folder_hold_the_same(extract, tmp_path, names, expected):
    polars = pytest.importorskip("polars")
    assert extract(tmp_path / "a.npy", "--quiet") == 0
    assert extract(tmp_path / "a.parquet", "--quiet", "--force") == 0
    frame = polars.read_parquet(tmp_path / "a.parquet")
    assert frame.columns[:2] == ["image_id", "features.3_0"]
    assert frame["image_id"].to_list() == names
    matrix = np.load(tmp_path / "a.npy")
    np.testing.assert_array_equal(frame.drop("image_id").to_numpy(), matrix)
    assert extract(tmp_path / "shards", "--quiet") == 0
    parts = sorted((tmp_path / "shards").glob("*.npy"))
    assert [len(np.load(part)) for part in parts] == [4, 4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([np.load(part, mmap_mode="r") for part in parts]), matrix)
    with (tmp_path / "shards" / "images.csv").open() as file:
        assert [row[0] for row in csv.reader(file)][1:] == names


def test_table_of_pictures(extract, tmp_path, folder, names, expected):
    table = tmp_path / "table.csv"
    chosen = names[5:1:-1]
    table.write_text("image_id\n" + "".join(f"{name}\n" for name in chosen))
    assert extract(tmp_path / "f.npy", "--quiet", "--root", folder, images=table) == 0
    rows = [names.index(name) for name in chosen]
    np.testing.assert_allclose(np.load(tmp_path / "f.npy"), expected[rows], rtol=1e-4, atol=1e-5)
    assert pd.read_csv(tmp_path / "f.csv")["image_id"].tolist() == chosen


def test_existing_output_is_refused_before_the_work(extract, tmp_path, capsys):
    for name in ("f.npy", "f.json", "f.csv"):
        (tmp_path / name).write_text("mine")
        assert extract(tmp_path / "f.npy") == 1
        assert f"{name} exists" in capsys.readouterr().err
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    (tmp_path / "mine").mkdir()
    assert extract(tmp_path / "mine", "--force") == 1
    assert "none of shards" in capsys.readouterr().err
    assert extract(tmp_path / "shards", "--quiet") == 0
    assert extract(tmp_path / "shards", "--quiet") == 1
    assert extract(tmp_path / "shards", "--quiet", "--force") == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--out", "f.txt"], "must end in .npy or .parquet"),
        (["--out", "no/f.npy"], "does not exist"),
        (["--out", "f.npy", "--root", "x"], "--root is for the pictures of a table"),
        (["--out", "f.npy", "--pooling", "median"], "pooling"),
        (["--out", "f.npy", "--model", "squeezenet9"], "squeezenet"),
    ],
)
def test_bad_options_end_with_one_line(extract, tmp_path, monkeypatch, capsys, more, message):
    monkeypatch.chdir(tmp_path)
    assert extract("g.npy", *more) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list(tmp_path.glob("*.parts"))


def test_a_folder_without_pictures_is_refused(extract, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert extract(tmp_path / "f.npy", images=tmp_path / "empty") == 1
    assert "holds no pictures" in capsys.readouterr().err


def test_unreadable_pictures_stop_the_run_or_become_nan(extract, tmp_path, folder, names, capsys):
    (folder / "07.jpg").write_bytes(b"no picture")
    row = names.index("07.jpg")
    assert extract(tmp_path / "f.npy") == 1
    error = capsys.readouterr().err
    assert "07.jpg" in error
    assert "could not decode image" in error
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert extract(tmp_path / "f.npy", "--on-error", "warn") == 0
    told = capsys.readouterr().out
    assert "1 pictures could not be read" in told
    assert f"image {row} " in told
    assert np.flatnonzero(np.isnan(np.load(tmp_path / "f.npy")).any(axis=1)).tolist() == [row]
    assert json.loads((tmp_path / "f.json").read_text())["unread"] == ["07.jpg"]


def test_a_stopped_run_is_taken_up(extract, tmp_path, folder, monkeypatch, capsys):
    from mmfeat.image import CNNFeatures

    assert extract(tmp_path / "whole.npy", "--quiet") == 0
    real = CNNFeatures.transform
    calls = []

    def breaking(self, X):
        calls.append(len(X))
        if len(calls) == 3:
            raise OSError("pulled the plug")
        return real(self, X)

    monkeypatch.setattr(CNNFeatures, "transform", breaking)
    assert extract(tmp_path / "f.npy") == 1
    assert sorted(path.name for path in (tmp_path / "f.npy.parts").glob("part*")) == [
        "part-00000.npy",
        "part-00001.npy",
    ]
    capsys.readouterr()
    assert extract(tmp_path / "f.npy", "--batch-size", 8) == 0
    assert "8 were done before" in capsys.readouterr().out
    assert calls == [4, 4, 4, 4, 2]
    assert not (tmp_path / "f.npy.parts").exists()
    np.testing.assert_allclose(np.load(tmp_path / "f.npy"), np.load(tmp_path / "whole.npy"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("change", ["picture", "setting", "shards"])
def test_parts_of_another_run_are_not_mixed_in(extract, tmp_path, folder, names, monkeypatch, capsys, change):
    from mmfeat.image import CNNFeatures

    monkeypatch.setattr(CNNFeatures, "transform", lambda self, X: (_ for _ in ()).throw(OSError("pulled the plug")))
    assert extract(tmp_path / "f.npy") == 1
    monkeypatch.undo()
    more = {"picture": [], "setting": ["--pooling", "max"], "shards": ["--shard-rows", "5"]}[change]
    if change == "picture":
        (folder / names[-1]).write_bytes((folder / names[0]).read_bytes())
    capsys.readouterr()
    assert extract(tmp_path / "f.npy", *more) == 1
    assert "parts of a run with other settings or pictures" in capsys.readouterr().err
    assert extract(tmp_path / "f.npy", *more, "--force", "--quiet") == 0


def test_a_second_process_is_refused(extract, tmp_path, monkeypatch, capsys):
    fcntl = pytest.importorskip("fcntl")
    from mmfeat.image import CNNFeatures

    monkeypatch.setattr(CNNFeatures, "transform", lambda self, X: (_ for _ in ()).throw(OSError("pulled the plug")))
    assert extract(tmp_path / "f.npy") == 1
    monkeypatch.undo()
    descriptor = os.open(tmp_path / "f.npy.parts", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert extract(tmp_path / "f.npy") == 1
    assert "Another process is at work" in capsys.readouterr().err
    os.close(descriptor)
    assert extract(tmp_path / "f.npy", "--quiet") == 0


def test_force_does_not_throw_away_what_another_process_works_on(extract, tmp_path, monkeypatch, capsys):
    fcntl = pytest.importorskip("fcntl")
    from mmfeat.image import CNNFeatures

    with monkeypatch.context() as patch:
        patch.setattr(CNNFeatures, "transform", lambda self, X: (_ for _ in ()).throw(OSError("pulled the plug")))
        assert extract(tmp_path / "f.npy") == 1
    parts = tmp_path / "f.npy.parts"
    (parts / "part-00000.npy").write_bytes(b"of the other")
    before = (parts / "manifest.json").read_bytes()
    descriptor = os.open(parts, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert extract(tmp_path / "f.npy", "--pooling", "max", "--force") == 1
    assert "Another process is at work" in capsys.readouterr().err
    assert (parts / "part-00000.npy").read_bytes() == b"of the other"
    assert (parts / "manifest.json").read_bytes() == before
    os.close(descriptor)


def test_what_a_killed_process_left_half_written_is_removed(extract, tmp_path, monkeypatch):
    from mmfeat.image import CNNFeatures

    with monkeypatch.context() as patch:
        patch.setattr(CNNFeatures, "transform", lambda self, X: (_ for _ in ()).throw(OSError("pulled the plug")))
        assert extract(tmp_path / "shards") == 1
    (tmp_path / "shards.parts" / ".part-00001.npy.abc").write_bytes(bytes(1000))
    assert extract(tmp_path / "shards", "--quiet") == 0
    names = {path.name for path in (tmp_path / "shards").iterdir()}
    assert names == {f"part-0000{i}.npy" for i in range(4)} | {"manifest.json", "images.csv", "features.json"}


def test_parts_in_another_arithmetic_are_not_mixed_in(extract, tmp_path, monkeypatch, capsys):
    """As on a shared disk, on whose machines precision="auto" is not the same."""
    from mmfeat.image import CNNFeatures, _cnn

    with monkeypatch.context() as patch:
        patch.setattr(_cnn, "uses_bfloat16", lambda precision, kind: precision != "float32")
        patch.setattr(CNNFeatures, "transform", lambda self, X: (_ for _ in ()).throw(OSError("pulled the plug")))
        assert extract(tmp_path / "f.npy", "--precision", "auto") == 1
    capsys.readouterr()
    monkeypatch.setattr(_cnn, "uses_bfloat16", lambda precision, kind: precision == "bfloat16")
    assert extract(tmp_path / "f.npy", "--precision", "auto") == 1
    assert "parts of a run with other settings" in capsys.readouterr().err


SCRIPT = """
import sys
import time
from mmfeat.image import CNNFeatures
real = CNNFeatures.transform
def slow(self, X):
    time.sleep(0.1)
    return real(self, X)
CNNFeatures.transform = slow
from mmfeat.cli import main
main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_killed_and_taken_up_gives_the_same_bytes(tmp_path, folder, weights, extract, suffix):
    if suffix == ".parquet":
        pytest.importorskip("polars")
    options = ["--images", folder, "--model", "squeezenet1_1", "--weights", weights, "--layer", "features.3"]
    options += ["--shard-rows", 1, "--quiet"]
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def start(path, script):
        command = [sys.executable, "-c", script, "extract", "--out", path, *options]
        return subprocess.Popen([*map(str, command)], env=environment)

    plain = "from mmfeat.cli import main; import sys; main(sys.argv[1:])"
    assert start(whole, plain).wait(timeout=300) == 0
    chance = random.Random(0)
    parts = tmp_path / f"out{suffix}.parts"
    n_taken_up = 0
    for _ in range(10):
        before = len(list(parts.glob("part-*")))
        process = start(out, SCRIPT)
        enough = before + chance.randrange(3)
        while process.poll() is None and not (parts.exists() and len(list(parts.glob("part-*"))) >= enough):
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if out.exists():
            break
        n_taken_up += before > 0
    assert n_taken_up > 1
    if not out.exists():
        assert start(out, plain).wait(timeout=300) == 0
    assert out.read_bytes() == whole.read_bytes()
