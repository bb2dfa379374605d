"""``mmfeat cache``: what it tells of a cache, damage it finds, and its end."""

import json

import numpy as np
import pytest

from mmfeat.caching import CachedTransformer
from mmfeat.caching._environment import close
from mmfeat.cli import main
from mmfeat.image import ColorHistogram, HOGFeatures


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main(["cache", *map(str, arguments)])
    return end.value.code


@pytest.fixture
def location(tmp_path):
    pictures = list(np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8))
    for transformer, n in [(ColorHistogram(), 20), (HOGFeatures(size=(32, 32)), 5)]:
        CachedTransformer(transformer, tmp_path / "cache").fit(pictures).transform(pictures[:n])
    return tmp_path / "cache"


def test_info_tells_the_transformers(location, capsys):
    assert run("info", "--location", location) == 0
    told = capsys.readouterr().out
    assert told.startswith("25 rows")
    assert told.index("20 rows") < told.index("ColorHistogram()") < told.index("HOGFeatures(size=(32, 32))")
    assert run("info", "--location", location, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert [kind["rows"] for kind in record["transformers"]] in ([20, 5], [5, 20])
    assert record["file_bytes"] >= record["bytes_in_use"] > 0


def test_verify_finds_and_repairs_damage(location, capsys):
    assert run("verify", "--location", location) == 0
    assert capsys.readouterr().out == "All 25 rows are whole.\n"
    row = CachedTransformer(ColorHistogram(), location).fit([np.zeros((2, 2, 3), np.uint8)])
    pictures = list(np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8))
    wanted = row.transform(pictures)[3].tobytes()
    close(location / "v1")
    file = location / "v1" / "data.mdb"
    content = bytearray(file.read_bytes())
    content[content.index(wanted) + 5] ^= 4
    file.write_bytes(content)
    assert run("verify", "--location", location, "--json") == 1
    record = json.loads(capsys.readouterr().out)
    assert (record["rows"], len(record["damaged"])) == (25, 1)
    assert run("verify", "--location", location, "--repair") == 0
    assert "1 of 25 rows are damaged. They were dropped" in capsys.readouterr().out
    assert run("verify", "--location", location, "--quiet") == 0
    assert row.transform(pictures).shape == (20, len(wanted) // 4)
    assert row.n_computed_ == 1


@pytest.mark.parametrize("place", range(8))
def test_whatever_is_damaged_verify_ends_with_a_line(location, capsys, place):
    close(location / "v1")
    file = location / "v1" / "data.mdb"
    content = bytearray(file.read_bytes())
    rng = np.random.default_rng(place)
    for at in rng.integers(0, len(content), 40):
        content[at] ^= int(rng.integers(1, 256))
    file.write_bytes(content)
    assert run("verify", "--location", location) in (0, 1)
    told = capsys.readouterr()
    assert "Traceback" not in told.out + told.err
    assert told.out.count("\n") + told.err.count("\n") == 1


def test_clear_removes_it(location, capsys):
    size = sum(file.stat().st_size for file in (location / "v1").iterdir())
    assert run("clear", "--location", location) == 0
    assert capsys.readouterr().out == f"Removed {size / 1e6:.1f} MB.\n"
    assert not location.exists()


@pytest.mark.parametrize("command", ["info", "verify", "clear"])
def test_what_is_no_cache_is_refused_and_left_alone(tmp_path, capsys, command):
    (tmp_path / "mine.txt").touch()
    assert run(command, "--location", tmp_path) == 1
    assert "There is no cache in" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
