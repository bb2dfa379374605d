"""Cleaning of texts from the web, before they are cut into words."""

import warnings
from functools import partial

from mmfeat.text import _clean
from mmfeat.utils._base import SequenceTransformer
from mmfeat.utils._compat import StrOptions, _fit_context
from mmfeat.utils._validation import check_texts

# A rule may make work for an earlier one: an entity inside an entity is a new entity.
_MOST_PASSES = 50


class TextNormalizer(SequenceTransformer, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Clean texts: one form for each character, and nothing that is markup, an address or invisible.

    A stateless step from a column of texts to a list of texts of the same length, to stand before
    :class:`JiebaTokenizer` or a vectorizer. The rules are applied in the order of the parameters, and again until
    nothing changes.

    Parameters
    ----------
    control : bool, default=True
        Take out control characters, zero-width characters, byte order marks, marks of direction, soft hyphens and lone
        surrogates. Joiners inside an emoji stay.
    form : {"NFKC", "NFC", None}, default="NFKC"
        Unicode normal form. NFKC makes ``ﬁ`` ``fi``, ``①`` ``1``, ``½`` ``1⁄2`` and full-width characters half-width.
    half_width : bool, default=True
        Full-width letters, digits, signs and spaces become half-width, ``，`` a comma too (``。`` and ``、`` stay). NFKC
        does so by itself.
    html : bool, default=True
        Resolve entities that end in a semicolon, also repeated ones (``&amp;lt;``), and take out tags, comments, scripts
        and styles.
    urls : {"drop", "keep"}, default="drop"
        ``http://``, ``https://``, ``ftp://`` and ``www.`` addresses.
    emails : {"drop", "keep"}, default="drop"
        E-mail addresses.
    topics : {"text", "drop", "keep"}, default="text"
        ``#topic#`` as on Weibo, up to 140 characters, with white space inside only beside Chinese; "text" takes out
        the signs alone.
    mentions : {"drop", "keep"}, default="drop"
        ``@name``, up to 30 characters: it ends at white space or punctuation.
    hashtags : {"text", "drop", "keep"}, default="text"
        ``#tag``; "text" takes out the sign alone.
    emoji : {"keep", "drop", "name"}, default="keep"
        "name" puts the English name of Unicode, in lower case (``grinning face``, ``flag cn``).
    chinese : str or None, default=None
        A conversion of OpenCC (extra ``opencc``), such as ``"t2s"``: traditional characters to simplified ones, or
        ``"tw2sp"``: those of Taiwan with its words.
    case : {"keep", "lower", "fold"}, default="keep"
        "fold" is the folding of Unicode (``ß`` to ``ss``). The tokenizers of this package put lower case themselves;
        JiebaTokenizer needs upper case to find ``T恤``.
    punctuation : {"collapse", "keep"}, default="collapse"
        "collapse" leaves one of a sign that is repeated: ``!!!`` becomes ``!``.
    whitespace : bool, default=True
        One space for white space of any kind, none at the ends.

    See Also
    --------
    mmfeat.text.JiebaTokenizer : Cut Chinese sentences into words.

    Notes
    -----
    Applied to its own result it changes nothing, as long as markup is not nested more than fifty deep. With "NFKC" this holds
    for Unicode's normal form as well.

    A text may become empty. It stays in its place as ``""``, and a warning names such rows.

    References
    ----------
    Unicode Standard Annex 15, Unicode normalization forms; Unicode Technical Standard 51, Unicode emoji.

    Examples
    --------
    >>> from mmfeat.text import TextNormalizer
    >>> TextNormalizer().transform(["<b>Ｔ恤</b>&nbsp;！！！ http://t.cn/x", "#夏天# @小明 到了😀"])
    ['T恤 !', '夏天 到了😀']
    >>> TextNormalizer(emoji="name", case="lower").transform(["GOOD 👍🏽"])
    ['good thumbs up sign']
    """

    _parameter_constraints = {
        "control": ["boolean"],
        "form": [StrOptions({"NFKC", "NFC"}), None],
        "half_width": ["boolean"],
        "html": ["boolean"],
        "urls": [StrOptions({"drop", "keep"})],
        "emails": [StrOptions({"drop", "keep"})],
        "topics": [StrOptions({"text", "drop", "keep"})],
        "mentions": [StrOptions({"drop", "keep"})],
        "hashtags": [StrOptions({"text", "drop", "keep"})],
        "emoji": [StrOptions({"keep", "drop", "name"})],
        "chinese": [str, None],
        "case": [StrOptions({"keep", "lower", "fold"})],
        "punctuation": [StrOptions({"collapse", "keep"})],
        "whitespace": ["boolean"],
    }

    def __init__(
        self,
        *,
        control=True,
        form="NFKC",
        half_width=True,
        html=True,
        urls="drop",
        emails="drop",
        topics="text",
        mentions="drop",
        hashtags="text",
        emoji="keep",
        chinese=None,
        case="keep",
        punctuation="collapse",
        whitespace=True,
    ):
        self.control = control
        self.form = form
        self.half_width = half_width
        self.html = html
        self.urls = urls
        self.emails = emails
        self.topics = topics
        self.mentions = mentions
        self.hashtags = hashtags
        self.emoji = emoji
        self.chinese = chinese
        self.case = case
        self.punctuation = punctuation
        self.whitespace = whitespace

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the parameters and the texts; nothing is learned.

        Parameters
        ----------
        X : sequence of str
        y : None
            Ignored.

        Returns
        -------
        self : TextNormalizer

        Raises
        ------
        ValueError
            If `X` is no sequence of str or is empty, or a parameter is not valid.
        """
        check_texts(X)
        self._rules()
        return self

    def transform(self, X):
        """Clean texts.

        Parameters
        ----------
        X : sequence of str

        Returns
        -------
        texts : list of str
            As many as in `X`; some may be empty, which a UserWarning tells.

        Raises
        ------
        ValueError
            If `X` is no sequence of str or is empty, or a parameter is not valid.
        ImportError
            If `chinese` is set and OpenCC is not installed.
        """
        self._validate_params()
        texts = check_texts(X)
        rules = self._rules()
        cleaned = [_until_stable(text, rules) for text in texts]
        emptied = [row for row, (old, new) in enumerate(zip(texts, cleaned, strict=True)) if old and not new]
        if emptied:
            rows = ", ".join(map(str, emptied[:5])) + (", ..." if len(emptied) > 5 else "")
            warnings.warn(
                f"{len(emptied)} of {len(texts)} texts are empty after cleaning (rows {rows}). They stay as ''. Keep "
                "more of them, for example with emoji='name', or drop these rows in both views.",
                UserWarning,
                stacklevel=2,
            )
        return cleaned

    def set_output(self, *, transform=None):
        """Do nothing: a list of texts is no table.

        Parameters
        ----------
        transform : str or None
            Ignored.

        Returns
        -------
        self : TextNormalizer
        """
        return self

    def get_feature_names_out(self, input_features=None):
        """The one name ``text``.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects, shape (1,)
        """
        import numpy as np

        return np.array(["text"], dtype=object)

    def _rules(self):
        """The functions that the parameters ask for, in order."""
        if self.chinese is not None:
            _clean.convert_chinese("", self.chinese)
        asked = [
            (self.control, _clean.drop_control),
            (self.form is not None, partial(_clean.unicode_form, form=self.form)),
            (self.half_width and self.form != "NFKC", _clean.half_width),
            (self.html, _clean.strip_html),
            (self.urls == "drop", _clean.drop_urls),
            (self.emails == "drop", _clean.drop_emails),
            (self.topics != "keep", partial(_clean.topics, how=self.topics)),
            (self.mentions == "drop", _clean.drop_mentions),
            (self.hashtags != "keep", partial(_clean.hashtags, how=self.hashtags)),
            (self.emoji != "keep", partial(_clean.emoji, how=self.emoji)),
            (self.chinese is not None, partial(_clean.convert_chinese, config=self.chinese)),
            (self.case == "lower", str.lower),
            (self.case == "fold", str.casefold),
            (self.punctuation == "collapse", _clean.collapse_punctuation),
            (self.whitespace, _clean.collapse_space),
        ]
        return [rule for wanted, rule in asked if wanted]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.requires_fit = False
        return tags


def _until_stable(text, rules):
    for _ in range(_MOST_PASSES):
        before = text
        for rule in rules:
            text = rule(text)
        if text == before:
            break
    return text
