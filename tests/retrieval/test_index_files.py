"""Indexes in files: the same answers, mapped, in several processes, replaced at once, and damaged ones refused."""

import json
import multiprocessing
import os
import signal
import time
import zlib
from datetime import date

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mmfeat.retrieval import EmbeddingIndex
from mmfeat.retrieval._search import _files

RNG = np.random.default_rng(0)
MATRIX, QUERIES = RNG.normal(size=(300, 12)), RNG.normal(size=(7, 12))


def assert_same(first, second, k=6):
    for ours, theirs in zip(first.search(QUERIES, k), second.search(QUERIES, k), strict=True):
        assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "euclidean"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("rescore", [True, False])
def test_what_is_loaded_finds_the_same(tmp_path, metric, dtype, rescore):
    index = EmbeddingIndex(MATRIX, metric=metric, dtype=dtype, rescore=rescore)
    index.remove([0, 5, 299]).add(RNG.normal(size=(20, 12)).astype(np.float32))
    index.save(tmp_path / "a.index")
    loaded = EmbeddingIndex.load(tmp_path / "a.index")
    assert_same(loaded, index)
    more = RNG.normal(size=(4, 12))
    assert_same(loaded.add(more).remove([7]), index.add(more).remove([7]))
    assert loaded.ids.tolist() == index.ids.tolist()
    loaded.save(tmp_path / "a.index")
    assert_same(EmbeddingIndex.load(tmp_path / "a.index"), index)


@pytest.mark.parametrize(
    "ids",
    [
        [f"picture {i} 图.jpg" for i in range(300)],
        list(range(1000, 700, -1)),
        np.arange(300, dtype=np.uint16),
        np.arange("2020-01-01", 300, dtype="datetime64[D]"),
        [("a", i) if i % 3 else i if i % 2 else f"b{i}" for i in range(300)],
        [None, True, 0.5, *(("x", (i, "y")) for i in range(297))],
        [np.float32(i) for i in range(300)],
    ],
    ids=["strings", "numbers", "small numbers", "dates", "mixed", "nested", "numpy numbers"],
)
def test_ids_of_any_plain_kind_are_kept(tmp_path, ids):
    index = EmbeddingIndex(MATRIX, ids)
    index.save(tmp_path / "a.index")
    loaded = EmbeddingIndex.load(tmp_path / "a.index")
    assert loaded.ids.tolist() == index.ids.tolist()
    assert_same(loaded, index)


def test_ids_that_no_file_holds_are_refused_and_the_old_file_stays(tmp_path):
    EmbeddingIndex(MATRIX).save(tmp_path / "a.index")
    before = (tmp_path / "a.index").read_bytes()
    with pytest.raises(TypeError, match="is a complex, which a file of an index does not hold"):
        EmbeddingIndex(MATRIX, [complex(i, 1) for i in range(300)]).save(tmp_path / "a.index")
    with pytest.raises(TypeError, match=r"is a date.*or an array of dtype datetime64"):
        EmbeddingIndex(MATRIX[:1], [date(2020, 1, 1)]).save(tmp_path / "a.index")
    assert (tmp_path / "a.index").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.index"]


def test_rows_are_mapped_and_the_file_is_never_changed(tmp_path):
    EmbeddingIndex(MATRIX).save(tmp_path / "a.index")
    before = (tmp_path / "a.index").read_bytes()
    loaded = EmbeddingIndex.load(tmp_path / "a.index")
    assert isinstance(loaded._engine.gallery.columns["rows"], np.memmap)
    loaded.add(MATRIX[:2]).remove([0])
    assert (tmp_path / "a.index").read_bytes() == before


def test_who_has_a_file_open_goes_on_reading_the_old_one(tmp_path):
    first, second = EmbeddingIndex(MATRIX), EmbeddingIndex(MATRIX[:100])
    first.save(tmp_path / "a.index")
    loaded = EmbeddingIndex.load(tmp_path / "a.index")
    second.save(tmp_path / "a.index")
    assert_same(loaded, first)
    assert_same(EmbeddingIndex.load(tmp_path / "a.index"), second)


def test_a_file_has_the_permissions_of_new_files(tmp_path):
    EmbeddingIndex(MATRIX).save(tmp_path / "a.index")
    (tmp_path / "b").write_text("")
    assert (tmp_path / "a.index").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_every_cut_of_a_file_is_refused(tmp_path):
    EmbeddingIndex(MATRIX[:3], ids=["a", "b", "c"]).save(tmp_path / "a.index")
    whole = (tmp_path / "a.index").read_bytes()
    for size in [*range(0, len(whole), 11), len(whole) - 1]:
        (tmp_path / "cut.index").write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"cut\.index is (not a saved EmbeddingIndex|damaged)"):
            EmbeddingIndex.load(tmp_path / "cut.index")
    (tmp_path / "long.index").write_bytes(whole + b"x")
    with pytest.raises(ValueError, match="are expected"):
        EmbeddingIndex.load(tmp_path / "long.index")


def test_a_changed_header_and_another_version_are_refused(tmp_path):
    EmbeddingIndex(MATRIX[:3]).save(tmp_path / "a.index")
    whole = bytearray((tmp_path / "a.index").read_bytes())
    for place, message in ((30, "its header is cut off or changed"), (8, "has version"), (0, "not a saved")):
        changed = whole.copy()
        changed[place] ^= 0x10
        (tmp_path / "b.index").write_bytes(changed)
        with pytest.raises(ValueError, match=message):
            EmbeddingIndex.load(tmp_path / "b.index")


def test_foreign_files_are_refused(tmp_path):
    np.save(tmp_path / "rows.npy", MATRIX)
    (tmp_path / "empty").write_bytes(b"")
    for name in ("rows.npy", "empty"):
        with pytest.raises(ValueError, match="is not a saved EmbeddingIndex"):
            EmbeddingIndex.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        EmbeddingIndex.load(tmp_path / "nothing")


def rewritten(path, change):
    """A file with another header, of the right checksum, on the same arrays."""
    whole = path.read_bytes()
    _, _, length, _ = _files._START.unpack(whole[: _files._START.size])
    record = json.loads(whole[_files._START.size :][:length])
    change(record)
    header = json.dumps(record).encode()
    start = _files._START.pack(_files._MAGIC, _files._VERSION, len(header), zlib.crc32(header)) + header
    path.write_bytes(start.ljust(_files._first_byte(len(header)), b"\0") + whole[_files._first_byte(length) :])


def _set(record, *places, value):
    for place in places[:-1]:
        record = record[place]
    record[places[-1]] = value


@pytest.mark.parametrize(
    ("places", "value"),
    [
        (("arrays", "ids", "dtype"), "|O8"),
        (("arrays", "rows", "dtype"), "O"),
        (("arrays", "rows", "dtype"), "f4,f4"),
        (("arrays", "rows", "dtype"), "no type"),
        (("arrays", "rows", "dtype"), "<f8"),
        (("arrays", "rows", "offset"), -64),
        (("arrays", "rows", "offset"), "0"),
        (("arrays", "rows", "shape"), [3000, 12]),
        (("arrays", "rows", "shape"), [-20, -12]),
        (("arrays", "rows", "shape"), [0, 12]),
        (("arrays", "rows", "shape"), [30, 8]),
        (("arrays", "rows", "shape"), 240),
        (("arrays", "rows"), {}),
        (("arrays",), []),
        (("arrays",), {}),
        (("arrays", "ids", "shape"), [7]),
        (("arrays", "ids", "shape"), [5, 4]),
        (("arrays", "scales", "shape"), [19]),
        (("arrays", "squares", "dtype"), "<i8"),
        (("bytes",), "many"),
        (("settings",), {}),
        (("settings", "metric"), "manhattan"),
        (("settings", "backend"), "faiss"),
        (("settings", "backend"), ["exact"]),
        (("settings", "ids"), "pickle"),
        (("settings", "ids"), "json"),
        (("settings", "next_number"), "one"),
    ],
)
def test_a_crafted_header_is_refused(tmp_path, places, value):
    path = tmp_path / "a.index"
    EmbeddingIndex(MATRIX[:20], range(20), metric="euclidean", dtype="int8").save(path)
    rewritten(path, lambda record: None)
    EmbeddingIndex.load(path).search(QUERIES, 3)
    rewritten(path, lambda record: _set(record, *places, value=value))
    with pytest.raises(ValueError, match=r"a\.index is damaged"):
        EmbeddingIndex.load(path)


@pytest.mark.parametrize("name", ["rows", "ids", "scales", "squares"])
def test_a_missing_array_is_refused(tmp_path, name):
    path = tmp_path / "a.index"
    EmbeddingIndex(MATRIX[:20], metric="euclidean", dtype="int8").save(path)
    rewritten(path, lambda record: record["arrays"].pop(name))
    with pytest.raises(ValueError, match=rf"a\.index is damaged or no index: it has no '{name}'"):
        EmbeddingIndex.load(path)


def test_as_many_names_in_json_as_rows(tmp_path):
    path = tmp_path / "a.index"
    EmbeddingIndex(MATRIX[:3], [1, "b", "c"]).save(path)
    path.write_bytes(path.read_bytes().replace(b'[1,"b","c"]', b'["b","c"]  '))
    with pytest.raises(ValueError, match="has 3 rows and 2 ids"):
        EmbeddingIndex.load(path)


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "a.index", tmp_path / "link.index"
    EmbeddingIndex(MATRIX).save(target)
    link.symlink_to(target)
    EmbeddingIndex(MATRIX[:100]).save(link)
    assert link.is_symlink()
    assert len(EmbeddingIndex.load(target)) == len(EmbeddingIndex.load(link)) == 100


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    EmbeddingIndex(MATRIX).save(tmp_path / "a.index")
    before = (tmp_path / "a.index").read_bytes()

    def full(array):
        yield array[:1]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files, "parts_of", full)
    with pytest.raises(OSError, match="No space left"):
        EmbeddingIndex(MATRIX[:100]).save(tmp_path / "a.index")
    assert (tmp_path / "a.index").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.index"]


def _save_for_ever(path, started):
    while True:
        for n in (100, 200):
            EmbeddingIndex(MATRIX[:n]).save(path)
            started.set()


def _read(path, answers):
    index = EmbeddingIndex.load(path)
    answers.put((index.n_items, index.search(QUERIES, 3)[1].tolist()))


def test_a_writer_that_is_killed_leaves_a_whole_file_for_two_readers(tmp_path):
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    path, started = tmp_path / "a.index", context.Event()
    writer = context.Process(target=_save_for_ever, args=(path, started))
    writer.start()
    assert started.wait(60)
    time.sleep(0.05)
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    answers = context.Queue()
    readers = [context.Process(target=_read, args=(path, answers)) for _ in range(2)]
    for reader in readers:
        reader.start()
    found = [answers.get(timeout=60) for _ in readers]
    for reader in readers:
        reader.join()
    assert found[0] == found[1]
    assert found[0][1] == EmbeddingIndex(MATRIX[: found[0][0]]).search(QUERIES, 3)[1].tolist()
