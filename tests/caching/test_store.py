"""The store alone: growth, bound, damage, full disks."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mmfeat.caching import CachedTransformer, _environment, _store
from mmfeat.caching._environment import DamagedError, close
from mmfeat.caching._store import Store, clear

KEYS = [bytes([i // 256, i % 256]) * 24 for i in range(2000)]


def read(store, keys=KEYS):
    found = {}
    missing, damaged = store.read(dict.fromkeys(keys), lambda position, data: None)
    for key in keys:
        store.read({key: key}, lambda position, data: found.__setitem__(position, bytes(data)))
    return found, missing, damaged


def filled(location, n=2000, size=300, **options):
    rng = np.random.default_rng(0)
    rows = {key: rng.bytes(size) for key in KEYS[:n]}
    store = Store(location, **options)
    for start in range(0, n, 100):
        store.write(dict(list(rows.items())[start : start + 100]))
    return store, rows


def test_rows_come_back_and_info_counts_them(tmp_path):
    store, rows = filled(tmp_path)
    store.write({}, note=(KEYS[0][:16], "Some()"))
    assert read(store) == (rows, [], [])
    info = store.info()
    assert info["rows"] == sum(kind["rows"] for kind in info["transformers"]) == 2000
    assert info["bytes_in_use"] <= info["file_bytes"] == (tmp_path / "v1" / "data.mdb").stat().st_size
    first = next(kind for kind in info["transformers"] if kind["fingerprint"] == KEYS[0][:16].hex())
    assert first["transformer"] == "Some()"
    assert (first["rows"], first["bytes"]) == (1, 300)


def test_a_row_that_is_there_stays_unless_it_is_replaced(tmp_path):
    store = Store(tmp_path)
    store.write({KEYS[0]: b"old"})
    store.write({KEYS[0]: b"new", KEYS[1]: b"other"})
    assert read(store, KEYS[:2])[0] == {KEYS[0]: b"old", KEYS[1]: b"other"}
    store.write({KEYS[0]: b"new"}, replaced={KEYS[0]})
    assert read(store, KEYS[:2])[0] == {KEYS[0]: b"new", KEYS[1]: b"other"}


def test_the_map_grows_with_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(_environment, "_FIRST_MAP_SIZE", 1 << 18)
    store, rows = filled(tmp_path, size=5000)
    assert read(store) == (rows, [], [])
    assert (tmp_path / "v1" / "data.mdb").stat().st_size > 20 * (1 << 18)


def test_growth_by_another_process_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(_environment, "_FIRST_MAP_SIZE", 1 << 18)
    store = Store(tmp_path)
    store.write({KEYS[0]: b"here"})
    script = (
        "import sys; from mmfeat.caching._store import Store; "
        "Store(sys.argv[1]).write({bytes([i]) * 48: bytes(1 << 20) for i in range(1, 30)})"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=True, env={**os.environ, "PYTHONPATH": ":".join(sys.path)}
    )
    assert len(read(store, [bytes([i]) * 48 for i in range(1, 30)])[0]) == 29
    store.write({KEYS[1]: b"too"})
    assert read(store, KEYS[:2])[0] == {KEYS[0]: b"here", KEYS[1]: b"too"}


def test_the_bound_holds_and_the_oldest_rows_go_first(tmp_path):
    bound = 4_000_000
    store, rows = filled(tmp_path, size=5000, max_bytes=bound)
    found, missing, _ = read(store)
    assert store.info()["bytes_in_use"] <= bound
    assert (tmp_path / "v1" / "data.mdb").stat().st_size <= 1.5 * bound
    assert 0.6 * bound < 5000 * len(found) < bound
    assert list(found) == KEYS[-len(found) :]
    assert all(found[key] == rows[key] for key in found)
    assert len(missing) == 2000 - len(found)


def test_protected_rows_stay_and_the_rest_is_not_kept(tmp_path):
    store, rows = filled(tmp_path, n=500, size=5000, max_bytes=4_000_000)
    more = {key: bytes(5000) for key in KEYS[500:2000]}
    assert not store.write(more, protected=set(KEYS))
    found, _, _ = read(store)
    assert set(KEYS[:500]) < set(found) < set(KEYS)
    assert all(found[key] == {**more, **rows}[key] for key in found)
    assert store.info()["bytes_in_use"] <= 4_000_000
    # A later call that needs none of them evicts them.
    assert Store(tmp_path, 4_000_000).write({key: bytes(5000) for key in KEYS[1000:1500]})
    assert KEYS[0] not in read(store)[0]


def test_a_call_larger_than_the_bound_says_so_and_finds_a_part_again(world):
    texts = [f"text {i}" for i in range(4000)]
    cached = CachedTransformer(world.make(width=500), world.cache, max_bytes=3_000_000).fit(texts)
    with pytest.warns(UserWarning, match="`max_bytes`=3000000 leaves no room"):
        found = cached.transform(texts)
    assert_array_equal(found, world.make(width=500).transform(texts))
    with pytest.warns(UserWarning, match="leaves no room"):
        assert_array_equal(cached.transform(texts), found)
    assert 2000 < cached.n_computed_ < 3500


def test_remembered_files_do_not_outgrow_the_bound(tmp_path):
    store = Store(tmp_path, max_bytes=200_000)
    for start in range(0, 20000, 1000):
        store.write({}, paths=[(i.to_bytes(32, "big"), bytes(72)) for i in range(start, start + 1000)])
    assert store.info()["bytes_in_use"] <= 400_000
    assert store.info()["remembered_files"] > 0


# Damage


def damage(location, data, at=100):
    """Change a byte of a row in the file."""
    close(location / "v1")
    file = location / "v1" / "data.mdb"
    content = bytearray(file.read_bytes())
    place = content.index(data) + at
    content[place] ^= 1
    file.write_bytes(content)


def test_a_damaged_row_is_found_repaired_and_computed_again(world):
    texts = [f"text {i}" for i in range(50)]
    cached = CachedTransformer(world.make(width=64), world.cache).fit(texts)
    expected = cached.transform(texts)
    damage(world.cache, expected[7].tobytes())
    n_rows, damaged = Store(world.cache).verify()
    assert (n_rows, len(damaged)) == (50, 1)
    with pytest.warns(UserWarning, match="1 rows in the cache .* are damaged"):
        assert_array_equal(cached.transform(texts), expected)
    assert cached.n_computed_ == 1
    assert Store(world.cache).verify() == (50, [])
    assert_array_equal(cached.transform(texts), expected)
    assert cached.n_computed_ == 0
    damage(world.cache, expected[9].tobytes())
    assert len(Store(world.cache).verify(repair=True)[1]) == 1
    assert Store(world.cache).verify() == (49, [])


def test_a_file_that_was_cut_off_ends_nothing_but_the_call(tmp_path):
    store, rows = filled(tmp_path, size=5000)
    close(tmp_path / "v1")
    file = tmp_path / "v1" / "data.mdb"
    os.truncate(file, file.stat().st_size // 2)
    with contextlib.suppress(DamagedError):
        found, _, damaged = read(store)
        assert damaged
        assert all(found[key] == rows[key] for key in found)
    clear(tmp_path)
    assert Store(tmp_path).info()["rows"] == 0


def test_a_file_of_something_else_is_refused_with_the_cure(tmp_path):
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "data.mdb").write_bytes(b"something else" * 1000)
    with pytest.raises(
        DamagedError, match=rf"damaged, or the folder holds something else.*cache clear --location {tmp_path}`"
    ):
        Store(tmp_path).info()
    clear(tmp_path)
    assert Store(tmp_path).info()["rows"] == 0


def test_a_file_where_the_folder_should_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Could not open a cache in"):
        Store(tmp_path / "file").info()


# Clearing


def test_clear_removes_the_store_and_nothing_else(tmp_path):
    store, _ = filled(tmp_path / "cache", n=100)
    assert clear(tmp_path / "cache") > 0
    assert not (tmp_path / "cache").exists()
    with pytest.raises(FileNotFoundError, match="no cache in"):
        clear(tmp_path / "cache")
    store.write({KEYS[0]: b"row"})  # a store that was in use begins anew
    assert read(store, KEYS[:2])[1] == [KEYS[1]]
    (tmp_path / "cache" / "mine.txt").touch()
    clear(tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["mine.txt"]


def test_a_folder_that_is_removed_by_hand_is_made_again(world):
    cached = CachedTransformer(world.make(), world.cache).fit(["a"])
    expected = cached.transform(["a", "b"])
    shutil.rmtree(world.cache)
    assert_array_equal(cached.transform(["a", "b"]), expected)
    assert cached.n_computed_ == 2
    assert Store(world.cache).info()["rows"] == 2


def test_a_folder_removed_while_it_is_waited_for_is_locked_anew(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    real, removed = fcntl.flock, []

    def flock(descriptor, operation):
        real(descriptor, operation)
        if operation == fcntl.LOCK_EX and not removed:  # as another process does that clears the cache
            removed.append((tmp_path / "cache").rmdir())

    monkeypatch.setattr(fcntl, "flock", flock)
    Store(tmp_path / "cache").write({KEYS[0]: b"row"})
    assert removed
    assert read(Store(tmp_path / "cache"), KEYS[:1])[0] == {KEYS[0]: b"row"}


# Threads, full disks


def test_threads_share_one_store(tmp_path, monkeypatch):
    monkeypatch.setattr(_environment, "_FIRST_MAP_SIZE", 1 << 18)
    store = Store(tmp_path)
    rng = np.random.default_rng(0)
    rows = {key: rng.bytes(2000) for key in KEYS}
    failures = []

    def work(part):
        try:
            for start in range(0, len(part), 50):
                store.write({key: rows[key] for key in part[start : start + 50]})
                assert read(store, part[: start + 50])[0].items() <= rows.items()
        except (AssertionError, OSError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(KEYS[i::4][:300],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(read(store)[0]) == 1200


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB, where the tests may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        sys.platform != "linux"
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("needs the right to mount a small tmpfs")
    yield place
    with contextlib.suppress(FileNotFoundError):
        close(place / "cache" / "v1")
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_and_the_rows_are_returned(world, small_disk):
    texts = [f"text {i}" for i in range(2000)]
    cached = CachedTransformer(world.make(width=1280), small_disk / "cache").fit(texts)
    expected = world.make(width=1280).transform(texts)
    with pytest.warns(UserWarning, match="Could not write to the cache in .*No space left on device") as told:
        assert_array_equal(cached.transform(texts), expected)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_array_equal(cached.transform(texts), expected)  # the store still opens, with what had room
    assert 0 < cached.n_computed_ < 2000
    assert Store(small_disk / "cache").verify()[1] == []


def test_a_disk_without_any_room_is_an_error(world, small_disk):
    cached = CachedTransformer(world.make(), small_disk / "cache").fit(["a"])
    fill = small_disk / "fill"
    with pytest.raises(OSError, match="space"), fill.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(OSError, match=r"Could not open a cache in .*No space left"):
        cached.transform(["a"])
    fill.unlink()
    assert cached.transform(["a"]).shape == (1, 8)
    assert Store(small_disk / "cache").info()["rows"] == 1


def test_blocks_hold_about_a_mebibyte():
    rows = {i: bytes(300_000) for i in range(10)}
    blocks = list(_store._blocks(rows))
    assert [len(block) for block in blocks] == [3, 3, 3, 1]
    assert [key for block in blocks for key, _ in block] == list(range(10))


def test_entries_of_a_wrong_size_are_damage(tmp_path):
    store, rows = filled(tmp_path, n=20)

    def cut(txn, dbs):
        txn.put(KEYS[3], b"short", db=dbs["rows"])
        txn.put(_store._BLOCK_ID.pack(0), b"no", db=dbs["blocks"])

    store._environment.write(cut)
    assert store.info()["rows"] == 20
    missing, damaged = store.read(dict.fromkeys(rows), lambda position, data: None)
    assert not missing
    assert damaged == list(rows)
    # Evicting meets them, too.
    bounded = Store(tmp_path, max_bytes=100_000)
    assert all(bounded.write({key: bytes(9000)}) for key in KEYS[100:140])
