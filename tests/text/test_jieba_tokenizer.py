"""JiebaTokenizer against jieba itself, its life between processes, and what it leaves alone."""

import marshal
import pickle
import subprocess
import sys
import textwrap
import warnings
from importlib import resources
from importlib.util import find_spec

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from mmfeat.datasets import make_scenes
from mmfeat.text import JiebaTokenizer, TextNormalizer, _jieba, _segmenters

SENTENCES = [
    "一只黑狗在草地上跑。",
    "穿红色T恤的男人和两个孩子",
    "他来到了网易杭研大厦",
    "A dog, 3.5 km — and C++!",
    "",
    " ，。\t",
]


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        env=environment or None,
    )


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    import jieba

    tokenizer = jieba.Tokenizer()
    tokenizer.tmp_dir = str(tmp_path_factory.mktemp("jieba"))
    return tokenizer


@pytest.mark.parametrize("hmm", [True, False])
@pytest.mark.parametrize("sentence", SENTENCES)
def test_cuts_where_jieba_cuts(sentence, hmm, reference):
    signs = set("，。,.—! \t")
    expected = [word for word in reference.cut(sentence, HMM=hmm) if not set(word) <= signs]
    assert JiebaTokenizer(hmm=hmm, lowercase=False)(sentence) == expected


def test_keeps_words_of_one_character_and_what_is_not_chinese():
    assert JiebaTokenizer()("狗和 Dog 12 只, 50%") == ["狗", "和", "dog", "12", "只", "50%"]


def test_lower_case_comes_after_the_cut():
    assert JiebaTokenizer()("红色T恤") == ["红色", "t恤"]
    assert JiebaTokenizer(lowercase=False)("红色T恤") == ["红色", "T恤"]


def test_tfidf_keeps_one_character_words():
    vectorizer = TfidfVectorizer(tokenizer=JiebaTokenizer(), token_pattern=None).fit(["狗 和 猫", "狗 跑"])
    assert set(vectorizer.vocabulary_) == {"狗", "和", "猫", "跑"}


def test_parameters_set_later_count():
    tokenize = JiebaTokenizer()
    assert tokenize("他来到了网易杭研大厦")[-2:] == ["杭研", "大厦"]
    tokenize.set_params(hmm=False)
    assert tokenize("他来到了网易杭研大厦")[-3:] == ["杭", "研", "大厦"]
    tokenize.set_params(stop_words=["大厦"])
    assert tokenize("他来到了网易杭研大厦")[-1] == "研"
    tokenize.stop_words.append("研")
    assert tokenize("他来到了网易杭研大厦")[-1] == "杭"


@pytest.mark.parametrize("copy", [clone, lambda tokenizer: pickle.loads(pickle.dumps(tokenizer))])
def test_copies_cut_alike_and_carry_no_segmenter(copy):
    tokenize = JiebaTokenizer(stop_words={"的"}, lowercase=False)
    before = tokenize("红色的T恤")
    twin = copy(tokenize)
    assert set(vars(twin)) == set(tokenize.get_params())
    assert twin("红色的T恤") == before
    assert len(pickle.dumps(tokenize)) < 1000


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hmm": "yes"}, "'hmm' parameter"),
        ({"stop_words": (word for word in "的")}, "'stop_words' parameter"),
        ({"stop_words": ["的", 3]}, "Got 3 instead"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        JiebaTokenizer(**parameters)("狗")


@pytest.mark.parametrize("text", [None, 3.5, b"dog", ["狗"]])
def test_what_is_no_sentence_is_refused(text):
    with pytest.raises(ValueError, match="Expected a str"):
        JiebaTokenizer()(text)


def test_words_added_to_jieba_elsewhere_do_not_reach_us(tmp_path):
    code = """
        import jieba
        from mmfeat.text import JiebaTokenizer
        before = JiebaTokenizer(hmm=False)("杭研大厦")
        jieba.dt.tmp_dir = '{folder}'
        jieba.add_word("杭研大厦")
        assert jieba.lcut("杭研大厦") == ["杭研大厦"]
        assert JiebaTokenizer(hmm=False)("杭研大厦") == before == ["杭", "研", "大厦"]
    """
    run_python(code.format(folder=tmp_path))


def test_nothing_is_said_or_written_and_logging_is_as_the_user_left_it(tmp_path):
    code = """
        import logging, warnings
        warnings.simplefilter("error")
        logging.basicConfig(level=logging.DEBUG)
        before = logging.root.level, list(logging.root.handlers), logging.root.manager.disable
        from mmfeat.text import JiebaTokenizer
        assert JiebaTokenizer()("黑狗") == ["黑狗"]
        assert before == (logging.root.level, list(logging.root.handlers), logging.root.manager.disable)
        assert not logging.getLogger("jieba").disabled
    """
    result = run_python(code, TMPDIR=str(tmp_path), PYTHONDONTWRITEBYTECODE="1")
    assert result.stdout == result.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_poisoned_cache_in_the_temporary_folder_is_not_read(tmp_path):
    (tmp_path / "jieba.cache").write_bytes(marshal.dumps(({"黑": 1}, 1)))
    result = run_python(
        "from mmfeat.text import JiebaTokenizer; print(JiebaTokenizer()('草地'))",
        TMPDIR=str(tmp_path),
        PYTHONIOENCODING="utf8",
    )
    assert result.stdout.strip() == "['草地']"


# Backends


@pytest.fixture(scope="module")
def scenes():
    return [text for texts in make_scenes(400, language="zh", random_state=0)["text"] for text in texts]


def everything(**parameters):
    return JiebaTokenizer(lowercase=False, keep_punctuation=True, **parameters)


@pytest.mark.parametrize("hmm", [True, False])
def test_rjieba_cuts_where_jieba_cuts(scenes, hmm, reference):
    pytest.importorskip("rjieba")
    texts = [*scenes, *SENTENCES[:4]]
    expected = [[word for word in reference.cut(text, HMM=hmm) if not word.isspace()] for text in texts]
    assert everything(backend="rjieba", hmm=hmm).transform(texts) == expected
    assert everything(hmm=hmm).transform(texts) == expected


def test_a_callable_may_cut():
    assert JiebaTokenizer(backend=str.split, stop_words=["b"]).transform(["A b  c !", ""]) == [["a", "c"], []]
    with pytest.raises(ValueError, match="gave 3 among its tokens"):
        JiebaTokenizer(backend=lambda text: [3])("x")
    with pytest.raises(ValueError, match="`user_dict` has no effect"):
        JiebaTokenizer(backend=str.split, user_dict=["x"])("x")


def test_missing_backend_is_named(monkeypatch):
    _segmenters._rjieba.cache_clear()
    monkeypatch.setitem(sys.modules, "rjieba", None)
    with pytest.raises(ImportError, match=r"mmfeat\[rjieba\]"):
        JiebaTokenizer(backend="rjieba")("狗")


# Dictionaries

WORDS = "黑色的狗\n云计算 5 nz\n草地 0\n机器学习 nz\n"


@pytest.fixture(params=["jieba", "rjieba"])
def backend(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.mark.parametrize("hmm", [True, False])
def test_own_dictionary_is_that_of_jieba(tmp_path, backend, hmm):
    path = tmp_path / "words.txt"
    path.write_text("\ufeff" + WORDS.replace("草地 0\n", "\n"), "utf-8")
    import jieba

    oracle = jieba.Tokenizer()
    oracle.tmp_dir = str(tmp_path)
    oracle.load_userdict(str(path))
    texts = ["一只黑色的狗在草地上跑", "云计算和机器学习", "黑色的猫"]
    expected = [oracle.lcut(text, HMM=hmm) for text in texts]
    assert [expected[0][1], expected[1][0], expected[1][2]] == ["黑色的狗", "云计算", "机器学习"]
    as_list = ["黑色的狗", ("云计算", 5, "nz"), ("机器学习", None, "nz")]
    as_dict = {"黑色的狗": None, "云计算": 5, "机器学习": None}
    for user_dict in (path, str(path), as_list, as_dict):
        assert everything(backend=backend, user_dict=user_dict, hmm=hmm).transform(texts) == expected


def test_dictionaries_do_not_see_each_other(backend):
    text = "一只黑色的狗在草地上"
    plain = everything(backend=backend)
    before = plain(text)
    first = everything(backend=backend, user_dict=["黑色的狗"])
    second = everything(backend=backend, user_dict=["草地上"])
    without = everything(backend=backend, user_dict={"草地": 0, "黑色": 0})
    assert first(text) == ["一只", "黑色的狗", "在", "草地", "上"]
    assert second(text) == ["一只", "黑色", "的", "狗", "在", "草地上"]
    assert "草地" not in without(text) and "黑色" not in without(text)
    assert (
        plain(text) == before == everything(backend=backend)(text) == ["一只", "黑色", "的", "狗", "在", "草地", "上"]
    )
    import jieba.finalseg

    assert not {"草地", "黑色"} & jieba.finalseg.Force_Split_Words


def test_a_removed_word_is_not_guessed_either():
    # Without it the model guesses 杭研, which the dictionary does not have.
    assert "杭研" in JiebaTokenizer()("他来到了网易杭研大厦")
    for tagged in (None, ["n", "nz", "nr", "ns", "v", "ul", "r", "x", "j", "q", "p"]):
        tokens = JiebaTokenizer(user_dict={"杭研": 0}, pos=tagged)("他来到了网易杭研大厦")
        assert "杭研" not in tokens and "大厦" in tokens


def test_dictionary_travels_with_pickles_and_changes_with_set_params(backend):
    tokenize = everything(backend=backend, user_dict=["黑色的狗"])
    assert tokenize("黑色的狗") == ["黑色的狗"]
    assert pickle.loads(pickle.dumps(tokenize))("黑色的狗") == clone(tokenize)("黑色的狗") == ["黑色的狗"]
    assert tokenize.set_params(user_dict=None)("黑色的狗") == ["黑色", "的", "狗"]
    words = ["的狗"]
    tokenize.set_params(user_dict=words)
    assert tokenize("黑色的狗") == ["黑色", "的狗"]
    words.append("黑色的狗")
    assert tokenize("黑色的狗") == ["黑色的狗"]


@pytest.mark.parametrize(
    "entry", ["", " ", 3, ("狗", -1), ("狗", 1.5), ("狗", 1, 2), ("狗", 1, "n", "x"), "a\ud800", None]
)
def test_bad_entries_are_named(entry):
    with pytest.raises(ValueError, match="Entry 1 of `user_dict`"):
        JiebaTokenizer(user_dict=["好", entry])("狗")


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("好 3\n\n狗狗".encode() + b"\n\xff\xfe\n")
    with pytest.raises(ValueError, match=r"Line 4 of .*words\.txt is not UTF-8"):
        JiebaTokenizer(user_dict=path)("狗")
    with pytest.raises(ValueError, match=r"Line 4 of .*words\.txt is not UTF-8"):
        JiebaTokenizer(stop_words=path)("狗")
    with pytest.raises(FileNotFoundError, match=r"`user_dict` names the file.*not there"):
        JiebaTokenizer(user_dict=tmp_path / "none")("狗")
    with pytest.raises(FileNotFoundError, match=r"Pass 'zh', 'en', 'zh\+en', the path"):
        JiebaTokenizer(stop_words="的")("狗")


# Stop words and parts of speech


def test_stop_lists_of_the_package():
    tokens = "我们 在 草地 上 的 the dog and 一个 a"
    cut = {name: JiebaTokenizer(backend=str.split, stop_words=name)(tokens) for name in ("zh", "en", "zh+en")}
    assert cut["zh"] == ["草地", "上", "the", "dog", "and", "一个", "a"]
    assert cut["en"] == ["我们", "在", "草地", "上", "的", "dog", "一个"]
    assert cut["zh+en"] == ["草地", "上", "dog", "一个"]
    for name in ("zh", "en"):
        lines = resources.files("mmfeat.text").joinpath("stop_words", f"{name}.txt").read_text("utf-8").splitlines()
        assert lines == sorted(set(lines))
        assert all(line == line.strip().lower() and line.isalpha() for line in lines)


def test_stop_words_from_a_file(tmp_path):
    path = tmp_path / "stop.txt"
    path.write_text("\ufeff的\r\n\r\n  the \n", "utf-8")
    assert JiebaTokenizer(stop_words=path)("红色的 the dog") == ["红色", "dog"]


def test_stop_words_in_capitals_drop_what_becomes_lower_case():
    assert JiebaTokenizer(stop_words=["The", "T恤"])("THE 红色T恤") == ["红色"]
    assert JiebaTokenizer(stop_words=["The", "T恤"], lowercase=False)("THE 红色T恤 The") == ["THE", "红色"]


def test_parts_of_speech_are_those_of_jieba(scenes):
    from jieba import posseg

    tags = {"n", "v", "a"}
    expected = [[pair.word for pair in posseg.cut(text) if pair.flag in tags] for text in scenes[:50]]
    assert JiebaTokenizer(pos=tags).transform(scenes[:50]) == expected
    assert JiebaTokenizer(pos=["zz"], user_dict=[("黑狗", 10000, "zz")])("一只黑狗在跑") == ["黑狗"]
    assert JiebaTokenizer(pos=["zz"])("一只黑狗在跑") == []
    with pytest.raises(ValueError, match="needs backend='jieba'"):
        JiebaTokenizer(backend="rjieba", pos=["n"])("狗")
    with pytest.raises(ValueError, match="must hold tags"):
        JiebaTokenizer(pos=[3])("狗")


# Columns


def test_columns_in_processes_give_the_same(monkeypatch, scenes, backend):
    monkeypatch.setattr(_jieba, "_CHUNK_LEAST", 10)
    parameters = {"backend": backend, "user_dict": ["黑色的"], "stop_words": "zh"}
    expected = [JiebaTokenizer(**parameters)(text) for text in scenes]
    assert JiebaTokenizer(**parameters, n_jobs=2).transform(scenes) == expected
    assert JiebaTokenizer(**parameters).transform(scenes) == expected


def test_few_texts_start_no_processes(monkeypatch):
    monkeypatch.setattr(_jieba, "Parallel", None)
    assert JiebaTokenizer(n_jobs=2).transform(["黑狗"] * 1999) == [["黑狗"]] * 1999


def test_equal_texts_have_lists_of_their_own():
    first, second = JiebaTokenizer().transform(["黑狗", "黑狗"])
    first.append("x")
    assert second == ["黑狗"]


def test_columns_go_into_a_vectorizer():
    pipeline = make_pipeline(TextNormalizer(), JiebaTokenizer(), TfidfVectorizer(analyzer=list))
    assert set(pipeline.fit(["狗 和 <b>猫</b>", "狗 跑"])[-1].vocabulary_) == {"狗", "和", "猫", "跑"}
    assert JiebaTokenizer().set_output(transform="pandas").transform(["狗"]) == [["狗"]]


@pytest.mark.parametrize("method", ["fit", "transform"])
@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("狗", "sequence of texts"),
        (None, "sequence of texts"),
        ([], "at least one"),
        (["狗", None], "Text 1 is None"),
        (["狗", float("nan")], "Text 1 is nan"),
        (["狗", "猫", 3], "Text 2 is 3"),
        ([b"x"], "Text 0"),
    ],
)
def test_what_is_no_column_of_texts_is_refused(method, texts, message):
    with pytest.raises(ValueError, match=message):
        getattr(JiebaTokenizer(), method)(texts)


any_text = st.text(st.characters(codec=None), max_size=60) | st.text(
    "狗黑色的aB 1_.-%+#&\ud800𠮷é\r\n，。", max_size=60
)


@given(any_text)
@example("\ud800")
@example("a\ud800\udc00狗\x00")
@example("\r\n\x1c\x85\u2028")
def test_tokens_joined_are_the_text_without_space(text):
    bare = "".join(character for character in text if not character.isspace())
    for parameters in ({}, {"hmm": False}, {"user_dict": {"黑色": 0, "黑色的": None}}, {"backend": "rjieba"}):
        if parameters.get("backend") == "rjieba" and find_spec("rjieba") is None:
            continue
        assert "".join(everything(**parameters)(text)) == bare
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing may be left
        normal = TextNormalizer().transform([text])[0]
    assert "".join(everything()(normal)) == normal.replace(" ", "")


@given(any_text)
def test_tagged_tokens_joined_are_the_text_without_space(text):
    from jieba import posseg

    bare = "".join(character for character in text if not character.isspace())
    tags = {pair.flag for pair in posseg.cut(text)} or {"n"}
    assert "".join(everything(pos=tags)(text)) == bare
