"""The rules of TextNormalizer, each a function from a text to a text.

What is taken out becomes a space, so that its neighbours do not fuse into something new. All expressions run in linear
time: each starts where no earlier one could have run over the same characters, or is bounded.
"""

import functools
import re
import unicodedata
from html import unescape
from html.entities import html5

from mmfeat.utils._optional import import_optional

# Code points with the property Emoji, without digits, and without those that are text unless told otherwise.
_PICTURE = (
    "\u231a\u231b\u2328\u23cf\u23e9-\u23f3\u23f8-\u23fa\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u2604\u260e\u2611"
    "\u2614\u2615\u2618\u261d\u2620\u2622\u2623\u2626\u262a\u262e\u262f\u2638-\u263a\u2640\u2642\u2648-\u2653\u265f"
    "\u2660\u2663\u2665\u2666\u2668\u267b\u267e\u267f\u2692-\u2697\u2699\u269b\u269c\u26a0\u26a1\u26a7\u26aa\u26ab"
    "\u26b0\u26b1\u26bd\u26be\u26c4\u26c5\u26c8\u26ce\u26cf\u26d1\u26d3\u26d4\u26e9\u26ea\u26f0-\u26f5\u26f7-\u26fa"
    "\u26fd\u2702\u2705\u2708-\u270d\u270f\u2712\u2714\u2716\u271d\u2721\u2728\u2733\u2734\u2744\u2747\u274c\u274e"
    "\u2753-\u2755\u2757\u2763\u2764\u2795-\u2797\u27a1\u27b0\u27bf\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55"
    "\u3030\u303d\u3297\u3299\U0001f004\U0001f0cf\U0001f170\U0001f171\U0001f17e\U0001f17f\U0001f18e"
    "\U0001f191-\U0001f19a\U0001f201-\U0001f265\U0001f300-\U0001f64f\U0001f680-\U0001f6ff\U0001f7e0-\U0001f7f0"
    "\U0001f900-\U0001f9ff\U0001fa70-\U0001faff"
)
_ONE = f"[{_PICTURE}][\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]*"
_EMOJI = re.compile(f"{_ONE}(?:\u200d{_ONE})*|[\U0001f1e6-\U0001f1ff]{{1,2}}|[0-9#*]\ufe0f?\u20e3|\ufe0f")
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]+")
_HAND = {*map(chr, range(0x1F3FB, 0x1F400))}

# Cc without white space, the invisible of Cf (Arabic signs are visible), lone surrogates, noncharacters.
_CONTROL_CLASS = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\U000e0001\U000e0020-\U000e007f"
)
_CONTROL = re.compile(f"[{_CONTROL_CLASS}]")
_EMOJI_OR_CONTROL = re.compile(f"({_EMOJI.pattern})|[{_CONTROL_CLASS}]")

_AMPERSAND = re.compile(r"&(?:(?:amp|#0{0,5}38|#[xX]0{0,5}26);)+")
_NAMED = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,31};)")
_NUMBERED = re.compile(r"&#(?:[0-9]{1,7}|[xX][0-9A-Fa-f]{1,6});")
# An open comment or script swallows the rest, as in a browser.
_UNSEEN = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style)\b[^<>]*>.*?(?:</\1\s*>|\Z)", re.S | re.I)
_INLINE = "a|abbr|b|big|cite|code|del|em|font|i|ins|kbd|mark|q|s|small|span|strike|strong|sub|sup|tt|u|var|wbr"
_INLINE_TAG = re.compile(rf"</?(?:{_INLINE})(?:[\s/][^<>]*)?>", re.I)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<[!?][A-Za-z][^<>]*>")

_URL = re.compile(
    r"(?:(?:https?|ftp)://|(?<![A-Za-z0-9.@-])www\.)[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+(?<![.,;:!?'\")\]*~])", re.I
)
_EMAIL = re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_MENTION = re.compile(r"(?<![A-Za-z0-9._%+@-])@[\w-]{1,30}")
# White space inside only beside a Han character: "#dog and C#" is none.
_TOPIC = re.compile(
    r"(?<![#&\w])#([^#\s](?:(?=[^#\n]{0,138}[\u4e00-\u9fff])[^#\n]{0,138}[^#\s]|[^#\s]{0,139}))#(?![#A-Za-z0-9_])"
    r"|(?<=[\u4e00-\u9fff])#([^#\s]{1,140})#(?!#)"
)
_HASHTAG = re.compile(r"(?<![\w&#])#+(\w+)")
_REPEATED = re.compile(r"([!?.,:;~…。，、！？；：—–_*=-])\1+")
_HALF = {code: unicodedata.normalize("NFKC", chr(code)) for code in [0x3000, *range(0xFF01, 0xFFEF)]}
_SPACE = re.compile(r"\s+")


def drop_control(text):
    """Take out control, format and zero-width characters, byte order marks and lone surrogates, unless inside an emoji."""
    if not _CONTROL.search(text):
        return text
    return _EMOJI_OR_CONTROL.sub(lambda match: match[1] or "", text)


def unicode_form(text, form):
    """NFC or NFKC."""
    return unicodedata.normalize(form, text)


def half_width(text):
    """Full-width letters, digits and signs become those of ASCII, half-width kana become ordinary ones."""
    return text.translate(_HALF)


def strip_html(text):
    """Resolve entities, take out tags, comments, scripts and styles; inline tags leave no space."""
    if "&" in text:
        text = _AMPERSAND.sub("&", text)
        text = _NUMBERED.sub(lambda match: unescape(match[0]), text)
        text = _NAMED.sub(lambda match: html5.get(match[1], match[0]), text)
    if "<" in text:
        text = _TAG.sub(" ", _INLINE_TAG.sub("", _UNSEEN.sub(" ", text)))
    return text


def drop_urls(text):
    """Take out web addresses; they end at the first character that no address may hold, a Han character say."""
    return _URL.sub(" ", text)


def drop_emails(text):
    """Take out e-mail addresses."""
    return _EMAIL.sub(" ", text)


def drop_mentions(text):
    """Take out ``@name``, up to 30 letters, digits, ``_`` and ``-``."""
    return _MENTION.sub(" ", text)


def topics(text, how):
    """Take out ``#topic#``, or its signs."""
    return _TOPIC.sub(" " if how == "drop" else lambda match: f" {match[1] or match[2]} ", text)


def hashtags(text, how):
    """Take out ``#tag``, or its sign."""
    return _HASHTAG.sub(" " if how == "drop" else r" \1 ", text)


def emoji(text, how):
    """Take out emoji, or put their English Unicode names."""
    return _EMOJI.sub(" " if how == "drop" else _name, text)


def _name(match):
    if _FLAG.fullmatch(match[0]):
        letters = "".join(chr(ord(letter) - 0x1F1E6 + ord("a")) for letter in match[0])
        return f" flag {letters} "
    if match[0][0] in "0123456789#*":
        return f" {match[0][0]} "
    names = [unicodedata.name(character, "") for character in match[0] if character not in _HAND]
    hidden = ("VARIATION SELECTOR", "ZERO WIDTH", "COMBINING", "TAG ", "CANCEL TAG")
    return f" {' '.join(name.lower() for name in names if name and not name.startswith(hidden))} "


def collapse_punctuation(text):
    """One of a sign that is repeated; ``+`` and ``#`` are left, for C++."""
    return _REPEATED.sub(r"\1", text)


def collapse_space(text):
    """One space for white space of any kind, none at the ends."""
    return _SPACE.sub(" ", text).strip()


def convert_chinese(text, config):
    """Convert with OpenCC, such as traditional characters to simplified ones."""
    converter = _converter(config)
    if text.isascii():
        return text
    try:
        return converter.convert(text)
    except UnicodeEncodeError:
        # A lone surrogate, which only Python's strings can hold.
        return "".join(
            part if odd % 2 else converter.convert(part) for odd, part in enumerate(re.split("([\ud800-\udfff])", text))
        )


@functools.lru_cache
def _converter(config):
    opencc = import_optional("opencc", extra="opencc", purpose=f"TextNormalizer(chinese={config!r})")
    try:
        return opencc.OpenCC(config)
    except (RuntimeError, OSError, ValueError) as error:
        raise ValueError(
            f"`chinese` names the conversion {config!r}, which OpenCC cannot load ({error}). Choose 't2s' or another of "
            "its configurations."
        ) from error
