"""Files of word vectors: every format against gensim, every fault with its line, and the life of the converted file."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmfeat.text import _text_vectors, _vector_cache, _vector_streams
from mmfeat.text._vector_cache import open_vectors
from mmfeat.text._vector_store import HEADER_BYTES, open_store, read_header

WORDS = ["the", "狗", "naïve", "T恤", "a-b", "\u00a0", "</s>", "x" * 300]


@pytest.fixture
def vectors():
    return np.random.default_rng(0).standard_normal((len(WORDS), 5)).astype(np.float32)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def text(words, vectors, *, header=True, blank=" ", end="\n"):
    lines = [f"{len(words)} {vectors.shape[1]}"] if header else []
    lines += [blank.join([word, *map(repr, row.tolist())]) for word, row in zip(words, vectors, strict=True)]
    return "".join(line + end for line in lines)


def binary(words, vectors, *, feed=b"\n"):
    records = [word.encode() + b" " + row.tobytes() + feed for word, row in zip(words, vectors, strict=True)]
    return f"{len(words)} {vectors.shape[1]}\n".encode() + b"".join(records)


def variants(vectors):
    plain = text(WORDS, vectors)
    glove = text(WORDS, vectors, header=False)
    return {
        "word2vec": plain.encode(),
        "glove": glove.encode(),
        "no line feed at the end": plain.rstrip("\n").encode(),
        "blank lines at the end": (plain + "\n \n").encode(),
        "windows": text(WORDS, vectors, end="\r\n").encode(),
        "blanks at the ends": text(WORDS, vectors, end=" \n").encode(),
        "tabs": text(WORDS, vectors, blank="\t").encode(),
        "two blanks": text(WORDS, vectors, blank="  ").encode(),
        "byte order mark": b"\xef\xbb\xbf" + glove.encode(),
        "binary of word2vec": binary(WORDS, vectors),
        "binary of gensim": binary(WORDS, vectors, feed=b""),
    }


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", variants(np.zeros((len(WORDS), 5), dtype=np.float32)))
def test_every_format_gives_words_and_vectors(name, packed, vectors, tmp_path):
    content = variants(vectors)[name]
    path = tmp_path / "vectors"  # no suffix: the content tells what it is
    path.write_bytes(gzip.compress(content) if packed else content)
    store = open_vectors(path)
    np.testing.assert_array_equal(store.vectors, vectors)
    np.testing.assert_array_equal(store.rows(WORDS), np.arange(len(WORDS)))
    assert store.rows(["", "missing", "th", "the ", "x" * 299]).tolist() == [-1] * 5


@pytest.mark.parametrize("binary_format", [False, True])
def test_gensim_writes_what_we_read(binary_format, vectors, tmp_path):
    keyed = pytest.importorskip("gensim.models").KeyedVectors(5)
    keyed.add_vectors(WORDS, vectors)
    keyed.save_word2vec_format(str(tmp_path / "vectors"), binary=binary_format)
    store = open_vectors(tmp_path / "vectors")
    np.testing.assert_allclose(store.vectors, vectors, rtol=1e-6)
    np.testing.assert_array_equal(store.rows(WORDS), np.arange(len(WORDS)))


def test_words_with_blanks_as_in_the_large_files_of_glove(tmp_path):
    (tmp_path / "v").write_text("the 1 2\n. . . 3 4\nat name@domain.com 5 6\n", encoding="utf-8")
    store = open_vectors(tmp_path / "v")
    assert store.rows(["the", ". . .", "at name@domain.com"]).tolist() == [0, 1, 2]
    assert store.vectors.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_control_characters_in_words_are_not_taken_for_binary(tmp_path):
    (tmp_path / "v").write_bytes(b"3 2\n\x01 1 -2e-3\na\x1bb 3 4\nc 5 6\n")
    store = open_vectors(tmp_path / "v")
    assert store.rows(["\x01", "a\x1bb", "c"]).tolist() == [0, 1, 2]
    np.testing.assert_array_equal(store.vectors, np.array([[1, -0.002], [3, 4], [5, 6]], np.float32))


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "gbk"])
def test_other_encodings(encoding, tmp_path):
    (tmp_path / "v").write_text("2 2\n狗 1 2\n貓 3 4\n", encoding=encoding)
    assert open_vectors(tmp_path / "v", encoding=encoding).rows(["貓", "狗"]).tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"Line 2 of .*v' is not in utf-8.*encoding"):
        open_vectors(tmp_path / "v")


def test_blocks_may_end_anywhere(vectors, tmp_path, monkeypatch):
    monkeypatch.setattr(_vector_streams, "_BLOCK", 7)
    monkeypatch.setattr(_vector_streams, "_BUFFER", 7)
    for name, content in variants(vectors).items():
        path = tmp_path / name
        path.write_bytes(content)
        store = open_vectors(path)
        np.testing.assert_array_equal(store.vectors, vectors, err_msg=name)
        np.testing.assert_array_equal(store.rows(WORDS), np.arange(len(WORDS)))


GOOD = b"3 2\na 1 2\nb 3 4\nc 5 6\n"
BINARY = binary(["a", "bb"], np.array([[0.5, -1], [2, 3.25]], dtype=np.float32))
FAULTS = {
    "empty": (b"", "is empty"),
    "empty gzip": (gzip.compress(b""), "is empty"),
    "only a header": (b"3 2\n", "announces 3 words, but the file ends after line 1"),
    "no words": (b"0 2\n", "Line 1 .* announces 0 words"),
    "negative width": (b"3 -2\na 1 2\n", "Line 1 .* of -2 numbers"),
    "too few": (b"4 2\na 1 2\nb 3 4\nc 5 6\n", "announces 4 words, but the file ends after line 4"),
    "too many": (b"2 2\na 1 2\nb 3 4\nc 5 6\n", "announces 2 words, but line 4"),
    "wrong width in the header": (b"3 5\na 1 2\nb 3 4\nc 5 6\n", r"Line 2 .* has 2 numbers.*header \(line 1\).* 5"),
    "header of one": (b"3\na 1 2\n", "Line 1 .* is b'3.*header"),
    "header with a word": (b"3 two\na 1 2\n", "Line 1 .*header"),
    "ragged, too short": (b"a 1 2\nb 3\nc 5 6\n", "Line 2 .* has 1 numbers after the word 'b', but line 1 has 2"),
    "ragged, too long": (b"3 2\na 1 2\nb 3 4 5\nc 5 6\n", "Line 3 .* has 3 numbers after the word 'b'"),
    "ragged, blanks make up for it": (b"3 3\na 1 2 3\nb 4  5\nc 5 6 7\n", "Line 3 .* has 2 numbers"),
    "ragged, tabs make up for it": (b"2 2\na 1 2\nb 1\t2 3\n", "Line 3 .* has 3 numbers"),
    "ragged, one row makes up for another": (b"a 1 2 3\nb 4  5\nc 6\t7 8 9\n", "Line 2 .* has 2 numbers"),
    "cut off": (b"a 1 2\nb 3 4\nc 5", "Line 3 .* has 1 numbers"),
    "no word": (b"a 1 2\n 3 4\n", "Line 2 .* no word"),
    "blank line": (b"a 1 2\n\nb 3 4\n", "Line 2 .* is empty"),
    "duplicate": (b"4 1\na 1\nb 2\nc 3\na 4\n", "'a' stands twice .* line 2 and on line 5"),
    "duplicate without a header": (b"a 1 2\nb 2 2\na 1 2\n", "'a' stands twice .* line 1 and on line 3"),
    "nan": (b"3 2\na 1 2\nb nan 4\nc 5 6\n", "Line 3 .*number 1 of the word 'b' is 'nan'.*finite"),
    "infinite": (b"a 1 2\nb 3 -inf\n", "Line 2 .*number 2 .* '-inf'"),
    "too large": (b"a 1 2\nb 3 1e39\n", "Line 2 .*number 2 .* '1e39'"),
    "no number": (b"a 1 2\nb 3 x4\n", "Line 2 .*number 2 .* 'x4'"),
    "comma": (b"a 1.5 2\nb 1,5 2\n", "Line 2 .*number 1 .* '1,5'"),
    "underscore": (b"a 1 2\nb 1_0 2\n", "Line 2 .*number 1 .* '1_0'"),
    "latin-1": ("a 1 2\né 3 4\n".encode("latin-1"), "Line 2 .*utf-8"),
    "utf-16": ("a 1 2\n".encode("utf-16"), "UTF-16"),
    "prose": (b"Four score and seven years ago\n", "Line 1 .*header"),
    "zip": (b"PK\x03\x04....", "zip archive. Unpack"),
    "pickle": (b"\x80\x04\x95abc", "pickle. Load it with gensim"),
    "binary without a header": (b"\x00\x01\x02\n\x03", "Line 1"),
    "binary, cut off": (BINARY[:-4], "Word 2 .* is cut off: the file ends too early"),
    "binary, cut off in a word": (BINARY[:15], "Word 2 .* is cut off"),
    "binary, goes on": (BINARY + b"x", "goes on after word 2"),
    "binary, nan": (binary(["a", "b"], np.array([[1, 2], [np.nan, 3]], np.float32)), r"Word 2 .*b'b'.*not finite"),
    "binary, duplicate": (binary(["a", "a"], np.ones((2, 2), np.float32)), "'a' stands twice .* word 1 and on word 2"),
    "binary, latin-1": (
        b"1 1\n\xe9 " + np.float32(0.1).tobytes(),
        "Word 1 .*not in utf-8",
    ),
    "gzip, cut off": (gzip.compress(GOOD, mtime=0)[:-4], "is cut off: the compressed data end too early.*Fetch"),
    "gzip, cut off in line 1": (gzip.compress(GOOD, mtime=0)[:12], "Line 1 .* cannot be read: the compressed data end"),
    "gzip, damaged": (gzip.compress(GOOD, mtime=0)[:-8] + bytes(8), "Line 6 .*compressed data are damaged"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_told_with_file_and_line_and_nothing_is_left_behind(fault, tmp_path):
    content, message = FAULTS[fault]
    path = tmp_path / "vectors.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        open_vectors(path)
    assert str(path) in str(error.value)
    assert names(tmp_path) == ["vectors.txt"]


def test_a_cut_off_gzip_names_the_line(tmp_path):
    numbers = np.random.default_rng(0).standard_normal((400, 50))
    lines = [f"w{row} " + " ".join(f"{value:.5f}" for value in numbers[row]) for row in range(400)]
    packed = gzip.compress("\n".join(lines).encode(), mtime=0)
    (tmp_path / "v.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match=r"Line \d+ .* is cut off") as error:
        open_vectors(tmp_path / "v.gz")
    line = int(re.search(r"Line (\d+)", str(error.value))[1])
    assert 150 < line < 250


def test_a_fault_deep_in_the_file_has_its_own_line(tmp_path, monkeypatch):
    monkeypatch.setattr(_vector_streams, "_BLOCK", 100)
    lines = [f"w{row} {row} 1" for row in range(1000)]
    lines[700] = "w700 7x 1"
    (tmp_path / "v").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ValueError, match="Line 701 "):
        open_vectors(tmp_path / "v")


def test_endless_lines_and_words_are_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(_text_vectors, "_LONGEST_LINE", 1000)
    monkeypatch.setattr(_vector_streams, "_BLOCK", 500)
    monkeypatch.setattr(_vector_streams, "_BUFFER", 500)
    (tmp_path / "v").write_bytes(b"a 1 2\n" + b"x" * 5000)
    with pytest.raises(ValueError, match=r"Line 2 .* more than"):
        open_vectors(tmp_path / "v")
    (tmp_path / "b").write_bytes(b"5 2\n\x00\x01" + b"x" * 50_000)
    with pytest.raises(ValueError, match=r"Word 1 .* does not end"):
        open_vectors(tmp_path / "b")


def test_not_a_file_or_not_an_encoding(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no file"):
        open_vectors(tmp_path)
    (tmp_path / "v").write_bytes(GOOD)
    for encoding in ("utf-16", "rot13", "klingon"):
        with pytest.raises(ValueError, match=f"`encoding`='{encoding}'"):
            open_vectors(tmp_path / "v", encoding=encoding)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.text("0123456789. -einfab\t\n", max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(content, tmp_path):
    path = tmp_path / "v"
    path.write_bytes(content)
    for old in tmp_path.glob("*.mmfeat"):
        old.unlink()
    try:
        store = open_vectors(path)
    except ValueError as error:
        said = str(error)
    else:
        said = str(path)
        assert np.isfinite(store.vectors).all()
        assert len(store.vectors) >= 1
    assert str(path) in said


WORD = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=" \ufeff"), min_size=1, max_size=8)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(WORD, min_size=1, max_size=9, unique=True), as_binary=st.booleans(), seed=st.integers(0, 9))
def test_any_words_come_back(words, as_binary, seed, tmp_path):
    vectors = np.random.default_rng(seed).standard_normal((len(words), 3)).astype(np.float32)
    path = tmp_path / "v"
    path.write_bytes(binary(words, vectors) if as_binary else text(words, vectors).encode())
    store = open_vectors(path)
    np.testing.assert_array_equal(store.vectors, vectors)
    np.testing.assert_array_equal(store.rows(words), np.arange(len(words)))


def test_words_of_one_hash_are_told_apart(tmp_path, monkeypatch):
    from mmfeat.text import _vector_store, _vector_writer

    def weak(words):
        return np.array([len(word) for word in words], dtype=np.uint64)

    monkeypatch.setattr(_vector_store, "hash_words", weak)
    monkeypatch.setattr(_vector_writer, "hash_words", weak)
    (tmp_path / "v").write_bytes(b"a 1\nbb 2\nc 3\nd 4\nee 5\n")
    store = open_vectors(tmp_path / "v")
    assert store.rows(["d", "ee", "c", "bb", "a", "x", "yy", "zzz"]).tolist() == [3, 4, 2, 1, 0, -1, -1, -1]


# The converted file


def age(path, seconds=10):
    """Let a file be some seconds old, as far as the time of its change goes."""
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_bytes(GOOD)
    age(path)
    return path


@pytest.fixture
def later(monkeypatch):
    """Some seconds pass at each look at the clock, so that a time of change hides nothing."""
    now = [time.time_ns()]

    def clock():
        now[0] += 10_000_000_000
        return now[0]

    monkeypatch.setattr(_vector_cache.time, "time_ns", clock)


def forbid(monkeypatch, name):
    def fail(*arguments, **keywords):
        raise AssertionError(f"{name} was called")

    monkeypatch.setattr(_vector_cache, name, fail)


def test_the_second_time_nothing_is_read_but_the_converted_file(file, monkeypatch, later):
    first = open_vectors(file)
    forbid(monkeypatch, "read_vectors")
    forbid(monkeypatch, "file_digest")
    second = open_vectors(file)
    np.testing.assert_array_equal(first.vectors, second.vectors)
    assert file.with_name("vectors.txt.mmfeat").stat().st_mode & 0o777 == file.stat().st_mode & 0o777


def test_a_file_changed_in_size_is_converted_again(file, later):
    open_vectors(file)
    file.write_bytes(GOOD.replace(b"3 2", b"2 2").replace(b"a 1 2\n", b""))
    store = open_vectors(file)
    assert store.rows(["a", "b", "c"]).tolist() == [-1, 0, 1]


def test_a_file_changed_in_content_only_is_converted_again(file, later):
    open_vectors(file)
    file.write_bytes(GOOD.replace(b"a 1", b"a 9"))
    assert open_vectors(file).vectors[0, 0] == 9


def test_a_change_that_puts_the_old_time_back_is_seen_by_the_time_of_the_entry(file, later):
    open_vectors(file)
    before = file.stat()
    file.write_bytes(GOOD.replace(b"a 1", b"a 9"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert open_vectors(file).vectors[0, 0] == 9


def test_a_change_within_the_tick_of_the_clock_is_seen(file, monkeypatch):
    open_vectors(file)  # the file was made just now, by the time of its entry
    times = _vector_cache.stamp(file)
    file.write_bytes(GOOD.replace(b"a 1", b"a 9"))
    monkeypatch.setattr(_vector_cache, "stamp", lambda path: times)
    assert open_vectors(file).vectors[0, 0] == 9


def test_the_same_content_with_other_times_is_not_converted_again(file, monkeypatch, later):
    open_vectors(file)
    os.utime(file)
    read, hashed = [], []
    real = _vector_cache.file_digest
    monkeypatch.setattr(_vector_cache, "read_vectors", lambda *arguments: read.append(arguments))
    monkeypatch.setattr(_vector_cache, "file_digest", lambda path: hashed.append(path) or real(path))
    by_digest = open_vectors(file)
    assert (read, hashed) == ([], [file])
    by_times = open_vectors(file)  # the new ones, which have been noted
    assert (read, hashed) == ([], [file])
    assert by_times.header["stamp"] == _vector_cache.stamp(file) != by_digest.header["stamp"]
    np.testing.assert_array_equal(by_times.vectors, [[1, 2], [3, 4], [5, 6]])


def test_an_edit_while_it_is_read_is_refused(file, monkeypatch):
    real = _vector_cache.read_vectors

    def read(raw, path, encoding):
        source = real(raw, path, encoding)
        file.write_bytes(GOOD + b"d 7 8\n")
        return source

    monkeypatch.setattr(_vector_cache, "read_vectors", read)
    with pytest.raises(ValueError, match=r"changed while it was read|announces 3 words"):
        open_vectors(file)
    assert names(file.parent) == ["vectors.txt"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"mmfeatWV" + bytes(5000)),
        lambda path: path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 0')),
        lambda path: path.write_bytes(b"x" * 5000),
    ],
    ids=["cut off", "empty", "zeros", "changed header", "something else"],
)
def test_a_spoiled_converted_file_is_made_anew(spoil, file, later):
    open_vectors(file)
    converted = file.with_name("vectors.txt.mmfeat")
    spoil(converted)
    assert open_store(converted) is None
    np.testing.assert_array_equal(open_vectors(file).vectors, [[1, 2], [3, 4], [5, 6]])
    assert open_store(converted) is not None


def test_vectors_opened_before_stay_as_they_were_when_the_file_changes(file, later):
    old = open_vectors(file)
    file.write_bytes(GOOD.replace(b"a 1", b"a 9"))
    new = open_vectors(file)
    assert old.vectors[0, 0] == 1
    assert new.vectors[0, 0] == 9
    assert old.rows(["c"]).tolist() == [2]


def test_where_nothing_can_be_written_the_cache_folder_is_used(file, tmp_path, monkeypatch, later):
    real = tempfile.mkstemp

    def mkstemp(*arguments, dir, **keywords):
        if Path(dir) == file.parent:
            raise PermissionError("read-only")
        return real(*arguments, dir=dir, **keywords)

    monkeypatch.setattr(_vector_cache.tempfile, "mkstemp", mkstemp)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    open_vectors(file)
    assert names(tmp_path) == ["cache", "vectors.txt"]
    (converted,) = (tmp_path / "cache" / "mmfeat" / "vectors").iterdir()
    assert converted.name.endswith("-vectors.txt.mmfeat")
    forbid(monkeypatch, "read_vectors")
    assert open_vectors(file).rows(["b"]) == [1]


def test_a_place_that_was_named_and_cannot_be_written_is_told(file):
    with pytest.raises(OSError, match=r"cannot be written in .*`cache_dir`"):
        open_vectors(file, cache_dir=file / "below a file")


def test_a_user_without_a_home_has_it_beside_the_file(file, monkeypatch):
    def expanduser(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", expanduser)
    assert open_vectors(file).rows(["b"]) == [1]
    with pytest.raises(OSError, match=r"cannot be written in .*`cache_dir`"):
        open_vectors(file, cache_dir=file / "below a file")


@pytest.fixture
def full_disk(monkeypatch):
    """A call of it makes all writes to temporary files in one folder fail for want of space, when they are closed too."""
    real = os.fdopen
    folders = set()

    def fdopen(handle, mode):
        if Path(f"/proc/self/fd/{handle}").readlink().parent not in folders:
            return real(handle, mode)
        os.close(handle)
        return Path("/dev/full").open(mode)

    monkeypatch.setattr(_vector_cache.os, "fdopen", fdopen)
    return folders.add


@pytest.mark.skipif(not Path("/dev/full").exists() or not Path("/proc/self/fd").exists(), reason="Linux")
def test_a_full_disk_leaves_nothing_and_the_next_place_is_taken(file, full_disk, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = tmp_path / "cache" / "mmfeat" / "vectors"
    full_disk(tmp_path)
    assert open_vectors(file).rows(["b"]) == [1]
    assert names(tmp_path) == ["cache", "vectors.txt"]
    (converted,) = cache.iterdir()
    converted.unlink()
    full_disk(cache)
    with pytest.raises(OSError, match=r"cannot be written in .* or .* \(No space left on device\)\..*`cache_dir`"):
        open_vectors(file)
    assert names(tmp_path) == ["cache", "vectors.txt"]
    assert names(cache) == []


def test_files_of_one_name_do_not_meet_in_a_cache_folder(tmp_path):
    for folder, number in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "v").write_text(f"a {number}\n", encoding="utf-8")
    stores = [open_vectors(tmp_path / folder / "v", cache_dir=tmp_path / "cache") for folder in ("one", "two")]
    assert [store.vectors[0, 0] for store in stores] == [1, 2]
    assert len(names(tmp_path / "cache")) == 2


def test_encodings_have_files_of_their_own(tmp_path):
    (tmp_path / "v").write_bytes("é 1\n".encode("latin-1") + b"b 2\n")
    assert open_vectors(tmp_path / "v", encoding="latin-1").rows(["é"]) == [0]
    assert open_vectors(tmp_path / "v", encoding="cp1251").rows(["й"]) == [0]
    assert open_vectors(tmp_path / "v", encoding="latin-1").rows(["é"]) == [0]


CONVERT = """
import sys, time
from pathlib import Path
from mmfeat.text._vector_cache import open_vectors
print("ready", flush=True)
while not Path(sys.argv[2]).exists():
    time.sleep(0.001)
store = open_vectors(sys.argv[1])
print(int(store.vectors.sum()), store.rows(["w0", "w4999", "w5000"]).tolist())
"""


def test_processes_that_convert_at_once_all_get_it(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 9, (5000, 8))
    lines = [f"w{row} " + " ".join(map(str, numbers[row])) for row in range(5000)]
    (tmp_path / "v").write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, "-c", CONVERT, str(tmp_path / "v"), str(tmp_path / "go")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    results = [process.communicate(timeout=60)[0] for process in processes]
    assert results == [f"{numbers.sum()} [0, 4999, -1]\n"] * 3
    assert names(tmp_path) == ["go", "v", "v.mmfeat"]


KILLED = """
import os, signal, sys
from mmfeat.text import _vector_cache, _vector_writer
real = _vector_writer.VectorWriter._finish
def finish(self, *arguments):
    real(self, *arguments)
    self._file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
_vector_writer.VectorWriter._finish = finish
_vector_cache.open_vectors(sys.argv[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_conversion_leaves_nothing_that_is_taken_for_whole_and_is_swept_up(file):
    result = subprocess.run([sys.executable, "-c", KILLED, str(file)], capture_output=True, check=False)
    assert result.returncode == -9
    (part,) = file.parent.glob(".*.part")
    np.testing.assert_array_equal(open_vectors(file).vectors, [[1, 2], [3, 4], [5, 6]])
    assert part.exists()  # too young: another process may just have made it
    age(part, 100)
    file.write_bytes(GOOD.replace(b"a 1", b"a 8"))
    assert open_vectors(file).vectors[0, 0] == 8
    assert not part.exists()


def test_parts_are_swept_up_whatever_the_name_of_the_file(tmp_path):
    path = tmp_path / "vectors [1].txt"
    path.write_bytes(GOOD)
    part = tmp_path / ".vectors [1].txt.mmfeat.abc.part"
    part.touch()
    age(part, 100)
    open_vectors(path)
    assert not part.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="flock")
def test_a_part_that_a_process_is_writing_is_not_swept_up(file):
    import fcntl

    part = file.with_name(".vectors.txt.mmfeat.abc.part")
    with part.open("wb") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        age(part, 100)
        open_vectors(file)
        assert part.exists()


def test_the_header_says_what_it_is_of(file, later):
    store = open_vectors(file)
    with file.with_name("vectors.txt.mmfeat").open("rb") as converted:
        header = read_header(converted)
    assert header == store.header
    assert header["stamp"][0] == len(GOOD)
    assert len(json.dumps(header)) < HEADER_BYTES // 2


def test_a_copy_keeps_its_own_converted_file(file, tmp_path, later):
    open_vectors(file)
    shutil.copytree(tmp_path, tmp_path / "copy")
    assert open_vectors(tmp_path / "copy" / "vectors.txt").rows(["c"]) == [2]


def test_a_binary_model_of_fasttext_with_its_subwords(tmp_path):
    models = pytest.importorskip("gensim.models")
    from gensim.models.fasttext import save_facebook_model

    model = models.FastText([["dog", "cat"], ["狗", "dog"]] * 20, vector_size=4, min_count=1, bucket=50, seed=1)
    save_facebook_model(model, str(tmp_path / "v.bin"))
    store = open_vectors(tmp_path / "v.bin")
    words = list(model.wv.index_to_key)
    np.testing.assert_array_equal(store.rows(words), np.arange(len(words)))
    np.testing.assert_allclose(store.vectors, model.wv.vectors, atol=1e-6)
    np.testing.assert_allclose(store.ngrams, model.wv.vectors_ngrams, atol=1e-6)
    assert list(store.ngram_range) == [3, 6]
    whole = (tmp_path / "v.bin").read_bytes()
    (tmp_path / "cut.bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut.bin' could not be read as a binary model"):
        open_vectors(tmp_path / "cut.bin")


@pytest.mark.parametrize("name", ["v.bin.gz", "v"])
def test_a_packed_binary_model_of_fasttext(name, tmp_path):
    models = pytest.importorskip("gensim.models")
    from gensim.models.fasttext import save_facebook_model

    model = models.FastText([["dog", "cat"], ["狗", "dog"]] * 20, vector_size=4, min_count=1, bucket=50, seed=1)
    save_facebook_model(model, str(tmp_path / "v.bin"))
    packed = gzip.compress((tmp_path / "v.bin").read_bytes())
    (tmp_path / "v.bin").unlink()
    (tmp_path / name).write_bytes(packed)
    store = open_vectors(tmp_path / name)
    np.testing.assert_allclose(store.take(store.rows(["狗", "cat"])), model.wv[["狗", "cat"]], atol=1e-6)
    np.testing.assert_allclose(store.ngrams, model.wv.vectors_ngrams, atol=1e-6)
    assert names(tmp_path) == [name, f"{name}.mmfeat"]
    (tmp_path / name).write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match=r"is cut off: the compressed data end too early"):
        open_vectors(tmp_path / name)
    assert names(tmp_path) == [name, f"{name}.mmfeat"]
