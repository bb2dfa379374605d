"""TextNormalizer rule by rule, and what holds for any text."""

import html
import pickle
import sys
import unicodedata
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from mmfeat.text import TextNormalizer, _clean, tfidf_lsa

OFF = {
    "control": False,
    "form": None,
    "half_width": False,
    "html": False,
    "urls": "keep",
    "emails": "keep",
    "topics": "keep",
    "mentions": "keep",
    "hashtags": "keep",
    "emoji": "keep",
    "chinese": None,
    "case": "keep",
    "punctuation": "keep",
    "whitespace": False,
}
any_text = st.text(st.characters(codec=None), max_size=50) | st.text(
    "<>&#;@a/b!p. lt\ud800\u200d\u200b👍红#1０＜&\ufe0f", max_size=50
)


def clean(text, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing is left
        return TextNormalizer(**parameters).transform([text])[0]


def only(text, **parameters):
    return clean(text, **{**OFF, **parameters})


@pytest.mark.parametrize(
    ("parameters", "text", "expected"),
    [
        ({"control": True}, "a\u200bb\ufeffc\x00d\u202ee\xad\ud800f\x7f\n\t", "abcdef\n\t"),
        (
            {"control": True},
            "👨\u200d👩\u200d👧 a\u200db 🏴\U000e0067\U000e007f",
            "👨\u200d👩\u200d👧 ab 🏴\U000e0067\U000e007f",
        ),
        ({"form": "NFKC"}, "ﬁ①Ａ½ｶﾞ", "fi1A1⁄2ガ"),
        ({"form": "NFC"}, "e\u0301①", "é①"),
        ({"half_width": True}, "ＡＢ１！，～\u3000。、①ﬁ", "AB1!,~ 。、①ﬁ"),
        ({"html": True}, "a<b>b</b>c<br/>d&nbsp;e&#x41;&lt;", "abc d\xa0eA<"),
        ({"html": True}, "x<!-- <b> -->y<SCRIPT a='1'>1 < 2</script >z<style>p{}", "x y z "),
        (
            {"html": True},
            "3 < 5 > 2, I <3 you, AT&T, &unknown; &copycat;",
            "3 < 5 > 2, I <3 you, AT&T, &unknown; &copycat;",
        ),
        ({"html": True}, "&amp;amp;amp;lt;p&amp;#38;gt;x&#38;amp;lt;", " x<"),
        ({"html": True}, "<<b>p>x", " x"),
        ({"urls": "drop"}, "看http://t.cn/a_b?c=1&d=2。这 (see https://x.org/y). www.a.cn!", "看 。这 (see  ).  !"),
        ({"urls": "drop"}, "awww.x ftp://h HTTPS://A.b", "awww.x    "),
        ({"emails": "drop"}, "to me.x+1@mail.example.com, a@b c@", "to  , a@b c@"),
        ({"mentions": "drop"}, "谢谢@小明 和@a_b-c:me@x.y", "谢谢  和 :me@x.y"),
        ({"topics": "text"}, "#夏天 的海#去#x#玩 #ok#", " 夏天 的海 去 x 玩  ok "),
        ({"topics": "drop"}, "#夏天#去", " 去"),
        ({"topics": "text"}, "#cat #dog C# and F#, #1 a#b", "#cat #dog C# and F#, #1 a#b"),
        ({"hashtags": "text"}, "#cat ##dog C# a#b &#39 # x", " cat   dog  C# a#b &#39 # x"),
        ({"hashtags": "drop"}, "#cat #狗!", "   !"),
        ({"emoji": "drop"}, "a👍🏽b❤️c👨\u200d👩\u200d👧d🇨🇳e1️⃣f☕g", "a b c d e f g"),
        ({"emoji": "name"}, "a👍🏽b", "a thumbs up sign b"),
        ({"emoji": "name"}, "👨\u200d👩❤️🇨🇳1️⃣", " man woman  heavy black heart  flag cn  1 "),
        ({"emoji": "drop"}, "1 # * a © ★ → 、「", "1 # * a © ★ → 、「"),
        ({"case": "lower"}, "ÀSSß", "àssß"),
        ({"case": "fold"}, "ÀSSß", "àssss"),
        ({"punctuation": "collapse"}, "好！！！wait...... ——a-- C++ ## ?!?!", "好！wait. —a- C++ ## ?!?!"),
        ({"whitespace": True}, " a\u3000\n\tb\x85 \u2028c ", "a b c"),
    ],
)
def test_rule_alone(parameters, text, expected):
    assert only(text, **parameters) == expected


def test_all_rules_off_leave_a_text_alone():
    text = " Ａ<b>&amp;#x#@me\u200b👍！！ \ud800"
    assert only(text) == text


def test_rules_meet():
    assert clean("＃话题＃ ＠小明 ＜b＞好＜/b＞&#xFF01;！") == "话题 好!"
    assert clean("&lt;script&gt;x&lt;/script&gt;ok") == "ok"
    assert clean("ht\u200btp://t.cn/x 好") == "好"
    assert clean("T恤 ＮＢＡ") == "T恤 NBA"


def test_html_entities_are_those_of_the_standard_library():
    for name in ("eacute;", "hellip;", "NotEqualTilde;", "nbsp;", "quot;"):
        assert only(f"&{name}", html=True) == html.unescape(f"&{name}")


def test_half_width_is_the_compatibility_form_of_that_block():
    block = "".join(map(chr, range(0xFF01, 0xFFEF)))
    assert only(block, half_width=True) == "".join(unicodedata.normalize("NFKC", character) for character in block)


def test_every_emoji_has_a_name_or_goes():
    text = "".join(character for character in map(chr, range(0x80, 0x20000)) if _clean._EMOJI.fullmatch(character))
    assert len(text) > 1000
    assert only(text, emoji="name").isascii()
    assert only(text, emoji="drop").strip() == ""


def test_traditional_becomes_simplified():
    pytest.importorskip("opencc")
    assert only("紅色的計程車裡 abc", chinese="t2s") == "红色的计程车里 abc"
    assert only("計程車", chinese="tw2sp") == "出租车"
    assert only("紅\ud800\x00車", chinese="t2s") == "红\ud800\x00车"


def test_missing_extra_is_named(monkeypatch):
    _clean._converter.cache_clear()
    monkeypatch.setitem(sys.modules, "opencc", None)
    with pytest.raises(ImportError, match=r"mmfeat\[opencc\]"):
        TextNormalizer(chinese="t2s").fit(["x"])


def test_unknown_conversion_is_named():
    pytest.importorskip("opencc")
    with pytest.raises(ValueError, match="'nonsense'"):
        TextNormalizer(chinese="nonsense").fit(["x"])


@given(any_text)
@example("&#38;#38;amp;lt;b&gt;")
@example("<<b>b>")
@example("#a# #b#c#")
@example("0\u20e3\ufe0f")
@example("İ\u0307")
def test_again_changes_nothing(text):
    for parameters in ({}, {"emoji": "drop"}, {"emoji": "name", "case": "lower"}, {"form": None, "topics": "drop"}):
        once = clean(text, **parameters)
        assert clean(once, **parameters) == once


@given(any_text)
def test_what_is_promised_of_any_text(text):
    result = clean(text, emoji="drop", case="lower")
    assert result == unicodedata.normalize("NFKC", result) == result.strip()
    assert "  " not in result
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in result)
    assert not {"\u200b", "\ufeff", "\u200d"} & set(result)
    assert not _clean._EMOJI.search(result)


@pytest.mark.parametrize(
    "piece",
    [
        "<",
        "<!--",
        "<a",
        "<script>",
        "&",
        "&amp;",
        "&#3",
        "#",
        "#a",
        "a",
        "a@",
        "@",
        "www.",
        "http://",
        "!",
        "👨\u200d",
        "a.",
    ],
)
def test_long_texts_of_one_piece_pass(piece):
    # Anything quadratic would take minutes here.
    assert isinstance(clean(piece * 100_000), str)


def test_empty_results_are_told_and_stay():
    with pytest.warns(UserWarning, match=r"2 of 4 texts are empty after cleaning \(rows 1, 3\)"):
        assert TextNormalizer().transform(["a", "http://x.y", "", "\u200b"]) == ["a", "", "", ""]
    with pytest.warns(UserWarning, match=r"\(rows 0, 1, 2, 3, 4, \.\.\.\)"):
        TextNormalizer().transform(["@me"] * 9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TextNormalizer().transform(["", "a"])


def test_columns_of_any_kind_and_pipelines():
    texts = ["<b>A</b> dog", "a  DOG!!", "two dogs"]
    expected = ["A dog", "a DOG!", "two dogs"]
    for column in (
        texts,
        tuple(texts),
        np.array(texts),
        pd.Series(texts, index=[5, 6, 7]),
        pd.Series(texts, dtype="string"),
    ):
        assert TextNormalizer().fit(column).transform(column) == expected
    pipeline = make_pipeline(TextNormalizer(), tfidf_lsa(2, min_df=1, random_state=0))
    frame = pipeline.set_output(transform="pandas").fit_transform(texts)
    assert list(frame.columns) == ["lsa0", "lsa1"]
    assert list(TextNormalizer().get_feature_names_out()) == ["text"]


@pytest.mark.parametrize("method", ["fit", "transform"])
@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a", "sequence of texts"),
        (None, "sequence of texts"),
        ([], "at least one"),
        (["a", None], "Text 1 is None"),
        (["a", float("nan")], "Text 1 is nan"),
        ([b"a"], "Text 0 is b'a'"),
        ([["a"]], "Text 0"),
    ],
)
def test_what_is_no_column_of_texts_is_refused(method, texts, message):
    with pytest.raises(ValueError, match=message):
        getattr(TextNormalizer(), method)(texts)


@pytest.mark.parametrize("name", OFF)
def test_bad_parameters_are_refused(name):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        TextNormalizer(**{name: 3.5}).transform(["a"])


def test_copies_are_alike():
    normalizer = TextNormalizer(case="lower", emoji="name")
    for twin in (clone(normalizer), pickle.loads(pickle.dumps(normalizer))):
        assert twin.get_params() == normalizer.get_params()
        assert twin.transform(["A👍"]) == ["a thumbs up sign"]
