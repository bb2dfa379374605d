"""Rows kept by content and transformer: what is found again, what is not, and that the result is the same."""

import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import get_tags

from mmfeat.caching import CachedTransformer, _call
from mmfeat.caching._store import Store
from mmfeat.image import ColorHistogram, HOGFeatures, ImageDecodeError, LocalDescriptors
from mmfeat.text import tfidf_lsa

TEXTS = [f"text {i}" for i in range(100)]


def pictures(n=6, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (n, 20, 24, 3), dtype=np.uint8))


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, pixels in enumerate(pictures()):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return [str(folder / f"{i}.png") for i in range(6)]


# Found again


def test_second_call_and_another_object_compute_nothing(world):
    cached = CachedTransformer(world.make(), world.cache).fit(TEXTS)
    expected = world.make().fit(TEXTS).transform(TEXTS)
    before = world.n_computed()
    assert_array_equal(cached.transform(TEXTS), expected)
    assert cached.n_computed_ == 100
    assert_array_equal(cached.transform(TEXTS[::-1]), expected[::-1])
    assert cached.n_computed_ == 0
    other = CachedTransformer(world.make(), str(world.cache)).fit(TEXTS[:1])
    assert_array_equal(other.transform([*TEXTS[50:], "new"])[:-1], expected[50:])
    assert other.n_computed_ == 1
    assert world.n_computed() - before == 101


def test_equal_rows_of_a_call_are_computed_once(world):
    cached = CachedTransformer(world.make(), world.cache).fit(TEXTS)
    found = cached.transform(["a", "b", "a", "a", "b"])
    assert world.n_computed() == cached.n_computed_ == 2
    assert_array_equal(found, world.make().transform(["a", "b", "a", "a", "b"]))


def test_files_are_known_by_content(tmp_path, files):
    cached = CachedTransformer(ColorHistogram(), tmp_path / "cache").fit(files)
    first = cached.transform(files)
    os.utime(files[0])
    moved = str(tmp_path / "moved.png")
    Path(files[1]).rename(moved)
    same = [files[0], moved, *files[2:]]
    assert_array_equal(cached.transform(same), first)
    assert cached.n_computed_ == 0
    assert_array_equal(cached.transform([Path(moved).read_bytes()]), first[1:2])  # the bytes themselves
    assert cached.n_computed_ == 0


def test_a_changed_file_of_the_same_name_size_and_time_is_computed(tmp_path, files):
    first, second = tmp_path / "a.bmp", tmp_path / "b.bmp"
    for path, pixels in zip((first, second), pictures(2), strict=True):
        Image.fromarray(pixels).save(path)
    other = second.read_bytes()
    cached = CachedTransformer(ColorHistogram(), tmp_path / "cache").fit([first])
    before = cached.transform([first])
    status = first.stat()
    first.write_bytes(other)
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (first.stat().st_size, first.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    after = cached.transform([first])
    assert cached.n_computed_ == 1
    assert not np.array_equal(before, after)
    assert_array_equal(after, ColorHistogram().fit_transform([second]))


def test_an_unchanged_file_is_not_read_again(tmp_path, files, monkeypatch):
    monkeypatch.setattr("mmfeat.caching._files._SETTLED_NS", 0)
    cached = CachedTransformer(ColorHistogram(), tmp_path / "cache").fit(files)
    first = cached.transform(files)
    monkeypatch.setattr("mmfeat.caching._digests.read_digest", lambda path: pytest.fail(f"{path} was read"))
    assert_array_equal(cached.transform(files), first)


def test_a_young_file_is_read_again(tmp_path, files, monkeypatch):
    cached = CachedTransformer(ColorHistogram(), tmp_path / "cache").fit(files)
    cached.transform(files)
    read = []
    from mmfeat.caching._files import read_digest

    monkeypatch.setattr("mmfeat.caching._digests.read_digest", lambda path: read.append(path) or read_digest(path))
    cached.transform(files)
    assert sorted(read) == files


def test_a_file_changed_while_it_is_computed_is_not_kept(tmp_path, files):
    status = Path(files[1]).stat()

    def swap(paths):
        rows = np.array([[Path(path).stat().st_size] for path in paths], dtype=np.float32)
        Path(files[1]).write_bytes(bytes(status.st_size))
        os.utime(files[1], ns=(status.st_atime_ns, status.st_mtime_ns))
        return rows

    cached = CachedTransformer(FunctionTransformer(swap), tmp_path / "cache").fit(files)
    cached.transform(files)
    assert Store(tmp_path / "cache").info()["rows"] == 5


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_pictures_in_memory_are_told_apart(tmp_path, mode):
    items = [Image.fromarray(pixels).convert(mode) for pixels in pictures(3)]
    turned = items[0].copy()
    turned.getexif()[0x0112] = 3
    tinted = [] if mode != "P" else [items[0].copy()]
    for picture in tinted:
        picture.putpalette([*items[0].getpalette()[3:], 1, 2, 3])
    items += [items[0].copy(), turned, *tinted]
    cached = CachedTransformer(HOGFeatures(size=(32, 32), channel_axis=-1), tmp_path).fit(items)
    assert_array_equal(cached.transform(items), HOGFeatures(size=(32, 32), channel_axis=-1).fit_transform(items))
    assert cached.n_computed_ == 4 + len(tinted)


def test_arrays_are_known_by_type_shape_and_content(tmp_path):
    pixels = pictures(1)[0]
    items = [pixels, pixels.copy(), pixels[::-1], pixels.reshape(24, 20, 3), pixels.astype(np.float32) / 255]
    cached = CachedTransformer(ColorHistogram(grid=2), tmp_path).fit(items)
    assert_array_equal(cached.transform(items), ColorHistogram(grid=2).fit_transform(items))
    assert cached.n_computed_ == 4


def test_texts_that_are_names_of_files_are_texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / name).write_text("the same")
    cached = CachedTransformer(HashingVectorizer(n_features=16), tmp_path / "cache").fit(["a"])
    expected = HashingVectorizer(n_features=16, token_pattern=".").transform(["a", "b"]).toarray()
    cached.set_params(transformer__token_pattern=".").fit(["a"])
    assert_array_equal(cached.transform(["a", "b"]).toarray(), expected)
    # Of a function it is not known which of the two it takes.
    lengths = CachedTransformer(FunctionTransformer(lambda X: np.array([[ord(x)] for x in X])), tmp_path / "c").fit(
        ["a"]
    )
    assert lengths.transform(["a", "b"]).tolist() == [[97], [98]]


# Not found


def test_another_parameter_is_a_miss_and_one_that_is_ignored_is_not(world):
    cached = CachedTransformer(world.make(), world.cache).fit(TEXTS)
    first = cached.transform(TEXTS)
    cached.set_params(transformer__scale=2.0)
    assert_array_equal(cached.transform(TEXTS), first)  # as with any estimator, it counts from the next fit on
    assert_array_equal(cached.fit(TEXTS).transform(TEXTS), 2 * first)
    assert cached.n_computed_ == 100
    cached.set_params(transformer__wait=1e-9).fit(TEXTS).transform(TEXTS)
    assert cached.n_computed_ == 0


def test_other_learned_state_is_a_miss(tmp_path):
    texts = ["a red ball", "a red cube", "two cubes", "a ball"]
    cached = CachedTransformer(TfidfVectorizer(), tmp_path).fit(texts)
    cached.transform(texts)
    other = [*texts[:3], "a dog"]
    assert_array_equal(
        cached.fit(other).transform(texts).toarray(), TfidfVectorizer().fit(other).transform(texts).toarray()
    )
    assert cached.n_computed_ == 4
    # The same vocabulary, other weights of its terms.
    assert_array_equal(
        cached.fit([*other, "dog"]).transform(texts).toarray(),
        TfidfVectorizer().fit([*other, "dog"]).transform(texts).toarray(),
    )
    assert cached.n_computed_ == 4
    cached.fit(other).transform(texts)
    assert cached.n_computed_ == 0


def test_changed_weights_are_a_miss(tmp_path):
    torch = pytest.importorskip("torch")
    from torchvision import models

    from mmfeat.image import CNNFeatures

    weights = tmp_path / "weights.pth"
    items = pictures(3)
    rows = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(models.squeezenet1_1(weights=None).state_dict(), weights)
        cached = CachedTransformer(CNNFeatures("squeezenet1_1", str(weights), "features.3"), tmp_path / "cache").fit(
            items
        )
        rows.append(cached.transform(items))
        assert cached.n_computed_ == 3
    assert not np.allclose(*rows)
    copied = tmp_path / "copied.pth"
    copied.write_bytes(weights.read_bytes())
    cached = CachedTransformer(CNNFeatures("squeezenet1_1", str(copied), "features.3"), tmp_path / "cache").fit(items)
    assert_array_equal(cached.transform(items), rows[1])
    assert cached.n_computed_ == 0


# Kinds of rows


def test_bags_come_back_as_they_were(tmp_path):
    def bags(X):
        return [np.arange(2 * len(text), dtype=np.float32).reshape(-1, 2) for text in X]

    cached = CachedTransformer(FunctionTransformer(bags), tmp_path).fit(["a"])
    for _ in range(2):
        found = cached.transform(["abc", "", "a", "abc"])
        assert isinstance(found, list)
        assert [bag.shape for bag in found] == [(3, 2), (0, 2), (1, 2), (3, 2)]
        assert_array_equal(found[0], bags(["abc"])[0])
        assert found[0].dtype == np.float32
    assert cached.n_computed_ == 0


def test_bags_that_are_not_held_are_kept_all_the_same(tmp_path, files):
    expected = LocalDescriptors(sampling="dense", scales=(2,)).fit_transform(files)
    model = LocalDescriptors(sampling="dense", scales=(2,), max_bytes=0)
    for n_computed in (6, 0):
        cached = CachedTransformer(model, tmp_path / "cache").fit(files)
        for bag, other in zip(cached.transform(files), expected, strict=True):
            assert_array_equal(bag, other)
        assert cached.n_computed_ == n_computed
    Path(files[5]).unlink()
    with pytest.raises(ImageDecodeError, match="image 6 "):
        CachedTransformer(model, tmp_path / "other").fit(files).transform([files[0], *files])


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array])
def test_sparse_rows_come_back_as_they_were(tmp_path, container):
    matrix = container(sparse.random(20, 50, 0.1, random_state=0, dtype=np.float32))
    cached = CachedTransformer(FunctionTransformer(accept_sparse=True), tmp_path).fit(matrix)
    for _ in range(2):
        found = cached.transform(matrix)
        assert isinstance(found, container)
        assert found.dtype == np.float32
        assert (found != matrix).nnz == 0
    assert cached.n_computed_ == 0
    assert cached.transform(matrix[[3, 3, 5]]).toarray().tolist() == matrix[[3, 3, 5]].toarray().tolist()
    assert cached.n_computed_ == 0


def test_matrices_and_data_frames(tmp_path):
    X = np.random.default_rng(0).normal(size=(50, 4))
    cached = CachedTransformer(StandardScaler(), tmp_path).fit(X)
    assert_array_equal(cached.transform(X), StandardScaler().fit_transform(X))
    assert cached.transform(X).shape == (50, 4)
    assert cached.n_computed_ == 0
    assert cached.n_features_in_ == 4
    frame = pd.DataFrame(X, columns=list("abcd"), index=range(100, 150))
    named = CachedTransformer(StandardScaler(), tmp_path).set_output(transform="pandas").fit(frame)
    for _ in range(2):
        expected = StandardScaler().set_output(transform="pandas").fit_transform(frame)
        pd.testing.assert_frame_equal(named.transform(frame), expected)
    assert named.n_computed_ == 0
    assert list(named.feature_names_in_) == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        named.transform(frame.rename(columns={"a": "z"}))


def test_what_has_no_rows_goes_to_the_transformer(tmp_path):
    cached = CachedTransformer(ColorHistogram(), tmp_path).fit(pictures())
    for bad, message in [("a.jpg", "Wrap"), (None, "sequence"), ([], "at least one"), (np.array([["a"]]), "1-D")]:
        with pytest.raises(ValueError, match=message):
            cached.transform(bad)


def test_output_without_rows_is_refused(tmp_path):
    with pytest.raises(TypeError, match="gave a ndarray of object"):
        CachedTransformer(FunctionTransformer(lambda X: np.array([["a"]], dtype=object)), tmp_path).fit_transform(["a"])
    with pytest.raises(ValueError, match="gave 1 rows for 2 items"):
        CachedTransformer(FunctionTransformer(lambda X: np.ones((1, 2))), tmp_path).fit_transform(["a", "b"])


# Failures


def test_errors_name_the_row_of_the_caller(tmp_path):
    items = pictures(80)
    cached = CachedTransformer(ColorHistogram(), tmp_path).fit(items)
    cached.transform(items[:60])
    with pytest.raises(ImageDecodeError, match="decode image 75 "):
        cached.transform([*items[:75], b"no picture", *items[75:]])
    with pytest.raises(ValueError, match="Image 70 is None"):
        cached.transform([*items[:70], None])
    with pytest.raises(ImageDecodeError, match=r"decode image 1 .*no such file"):
        cached.transform([items[0], str(tmp_path / "gone.jpg")])


class Failing(TransformerMixin, BaseEstimator):
    """Gives NaN, or an empty bag, for what it cannot read."""

    def __init__(self, bags=False):
        self.bags = bags

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        self.errors_ = [(row, None, f"cannot read text {row}") for row, text in enumerate(X) if text == "bad"]
        if self.errors_:
            warnings.warn(self.errors_[0][2], UserWarning, stacklevel=2)
        if self.bags:
            return [np.zeros((len(text) * (text != "bad"), 2)) for text in X]
        return np.array([[np.nan, 1] if text == "bad" else [len(text), 2] for text in X], dtype=np.float32)


@pytest.mark.parametrize("bags", [False, True])
def test_what_could_not_be_read_is_told_by_the_caller_s_rows_and_not_kept(tmp_path, bags):
    texts = [f"text {i}" for i in range(50)]
    cached = CachedTransformer(make_pipeline(Failing(bags)), tmp_path).fit(["a"])
    cached.transform(texts)
    assert cached.errors_ == []
    for _ in range(2):
        with pytest.warns(UserWarning, match="^cannot read text 50$"):
            found = cached.transform([*texts, "bad", "a", "bad"])
        assert cached.errors_ == [(50, None, "cannot read text 50"), (52, None, "cannot read text 50")]
        if bags:
            assert [len(bag) for bag in found[50:]] == [0, 1, 0]
    assert cached.n_computed_ == 1
    assert Store(tmp_path).info()["rows"] == 51
    with pytest.raises(AttributeError, match="no `errors_`"):
        _ = CachedTransformer(StandardScaler(), tmp_path).fit([[1.0]]).errors_


@pytest.mark.filterwarnings("ignore:cannot read")
def test_rows_with_nan_are_not_kept(tmp_path):
    cached = CachedTransformer(Failing(), tmp_path).fit(["a"])
    for expected in (3, 1):
        found = cached.transform(["a", "bad", "abc"])
        assert_array_equal(found, np.array([[1, 2], [np.nan, 1], [3, 2]], dtype=np.float32))
        assert cached.n_computed_ == expected
    assert Store(tmp_path).info()["rows"] == 2


def test_what_cannot_be_digested_is_refused_with_the_cure(tmp_path):
    class Streaming(Failing):
        def fit(self, X, y=None):
            self.stream_ = (x for x in "abc")
            return self

    with pytest.raises(ValueError, match=r"generator is part of the transformer.*_cache_ignores"):
        CachedTransformer(Streaming(), tmp_path).fit(["a"])
    Streaming._cache_ignores = ("stream_",)
    assert CachedTransformer(Streaming(), tmp_path).fit_transform(["a"]).tolist() == [[1, 2]]


@pytest.mark.parametrize(("name", "value"), [("transformer", "hog"), ("location", 3), ("max_bytes", 0)])
def test_bad_parameters_are_refused(tmp_path, name, value):
    cached = CachedTransformer(ColorHistogram(), tmp_path).set_params(**{name: value})
    with pytest.raises(ValueError, match=name):
        cached.fit(pictures())


# As an estimator


def test_pickle_and_clone_hold_no_file(world):
    cached = CachedTransformer(world.make(), world.cache).fit(TEXTS)
    expected = cached.transform(TEXTS)
    data = pickle.dumps(cached)
    assert len(data) < 5000
    copy = pickle.loads(data)
    assert_array_equal(copy.transform(TEXTS), expected)
    assert copy.n_computed_ == 0
    assert not hasattr(clone(cached), "transformer_")


def test_inside_and_around_pipelines(tmp_path):
    items = pictures(12)
    inside = make_pipeline(
        CachedTransformer(make_union(ColorHistogram(), HOGFeatures(size=(32, 32))), tmp_path), PCA(2)
    )
    around = CachedTransformer(make_pipeline(ColorHistogram(), StandardScaler()), tmp_path)
    assert inside.fit_transform(items).shape == (12, 2)
    assert_array_equal(
        around.fit_transform(items), make_pipeline(ColorHistogram(), StandardScaler()).fit_transform(items)
    )
    assert list(around.get_feature_names_out()) == list(ColorHistogram().fit(items).get_feature_names_out())
    assert around.n_features_out_ == len(around.get_feature_names_out())
    inside.fit(items)
    assert inside[0].n_computed_ == 0


def test_text_pipelines(tmp_path):
    texts = ["a red ball", "a red cube", "two cubes and a ball", "a ball"]
    encoder = tfidf_lsa(2, min_df=1, random_state=0)
    expected = clone(encoder).fit(texts).transform(texts)
    for n_computed in (4, 0):
        cached = CachedTransformer(encoder, tmp_path).fit(texts)
        np.testing.assert_allclose(cached.transform(texts), expected, atol=1e-6)
        assert cached.n_computed_ == n_computed


def test_tags_are_those_of_what_sees_the_input():
    picture = get_tags(CachedTransformer(FeatureUnion([("a", ColorHistogram())]), "x"))
    assert picture.input_tags.one_d_array and not picture.input_tags.two_d_array
    assert picture.requires_fit
    assert get_tags(CachedTransformer(make_pipeline(StandardScaler()), "x")).input_tags.two_d_array
    assert get_tags(CachedTransformer(TfidfVectorizer(), "x")).input_tags.string


def test_the_last_batch_alone_is_at_stake(world, monkeypatch):
    monkeypatch.setattr(_call, "_FIRST_BATCH", 10)
    monkeypatch.setattr(_call, "_LARGEST_BATCH", 10)
    inner = world.make()
    cached = CachedTransformer(inner, world.cache).fit(TEXTS)
    calls = []

    def breaking(X):
        calls.append(len(X))
        if len(calls) == 4:
            raise RuntimeError("pulled the plug")
        return inner.transform(X)

    monkeypatch.setattr(cached.transformer_, "transform", breaking)
    with warnings.catch_warnings(), pytest.raises(RuntimeError, match="plug"):
        cached.transform(TEXTS)
    assert calls == [10, 10, 10, 10]
    assert Store(world.cache).info()["rows"] == 30


def test_batches_grow_with_the_speed_of_what_is_computed_and_shrink_again():
    # 32 rows in 0.16 s: 500 rows take the time of a batch, but one batch tells of eight times its size at most.
    assert _call._next_size(32, 32, 0.16) == 256
    assert _call._next_size(256, 256, 1.28) == 500
    # What others computed meanwhile says nothing of the speed.
    assert _call._next_size(256, 0, 0.001) == 256
    assert _call._next_size(4096, 100, 10.0) == 25
    assert _call._next_size(32, 1, 100.0) == 1
    assert _call._next_size(4096, 4096, 0.01) == 4096


def test_a_read_that_fails_in_the_middle_ends_nothing(world, monkeypatch):
    monkeypatch.setattr(_call, "_FIRST_BATCH", 5)
    monkeypatch.setattr(_call, "_LARGEST_BATCH", 5)
    reads = []
    whole = Store.read

    def failing(self, *arguments):
        reads.append(1)
        if len(reads) > 1:
            raise OSError("the folder is gone")
        return whole(self, *arguments)

    monkeypatch.setattr(Store, "read", failing)
    rows = CachedTransformer(world.make(), world.cache).fit(TEXTS).transform(TEXTS)
    assert_array_equal(rows, world.make().transform(TEXTS))
    assert len(reads) > 1


def test_lists_of_paths_are_known_by_the_content_of_the_files(tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]

    def contents(X):
        return np.array([[float(Path(item).read_text()) for item in row] for row in X])

    cached = CachedTransformer(FunctionTransformer(contents), tmp_path / "cache").fit([["a"]])
    for number in (1.0, 2.0):
        for path in paths:
            path.write_text(str(number))
        assert_array_equal(cached.transform([[str(path) for path in paths]]), [[number, number]])
