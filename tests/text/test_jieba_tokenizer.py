"""JiebaTokenizer against jieba itself, its life between processes, and what it leaves alone."""

import marshal
import pickle
import subprocess
import sys
import textwrap

import pytest
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer

from mmfeat.text import JiebaTokenizer

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
    assert set(vars(twin)) == {"hmm", "stop_words", "lowercase"}
    assert twin("红色的T恤") == before
    assert len(pickle.dumps(tokenize)) < 1000


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hmm": "yes"}, "'hmm' parameter"),
        ({"stop_words": "的"}, "'stop_words' parameter"),
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
