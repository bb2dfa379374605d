"""Chinese sentences into words."""

import itertools
import os
from collections.abc import Collection, Mapping
from numbers import Integral

from joblib import Parallel, delayed, effective_n_jobs

from mmfeat.text._jieba_cut import Cutter, Plan, cut_piece, unpacked
from mmfeat.text._segmenters import read_user_dict
from mmfeat.text._stop_words import resolve_stop_words
from mmfeat.utils._base import SequenceTransformer
from mmfeat.utils._compat import StrOptions, _fit_context
from mmfeat.utils._validation import check_texts

# Below this many texts for each process, starting it costs more than it saves.
_CHUNK_LEAST = 1000


class JiebaTokenizer(SequenceTransformer):
    """Cut Chinese sentences, or mixed Chinese and English ones, into words with jieba.

    A callable for ``TfidfVectorizer(tokenizer=...)``, and a stateless step that turns a column of texts into a list of
    lists of tokens. Words of one character, which the vectorizer's own ``token_pattern`` drops, are kept: many Chinese
    words have no more. White space is dropped, and so are tokens without a letter or a digit (punctuation, symbols)
    unless asked for; English words and numbers inside the sentence are kept.

    Parameters
    ----------
    backend : {"jieba", "rjieba"} or callable, default="jieba"
        "rjieba" is a port to Rust (extra ``rjieba``), ten times as fast. A callable takes a str and gives str.
    user_dict : None, path-like, dict or collection, default=None
        Words beside those of jieba's dictionary: a file as jieba reads it (UTF-8; lines of a word, perhaps a frequency,
        perhaps a tag, parted by spaces), a mapping of words to frequencies, or a collection of words and of tuples
        (word, frequency[, tag]). Without a frequency a word gets one that suffices to be cut out; with 0 it is never
        cut out. Pass a new object to change it.
    stop_words : None, {"zh", "en", "zh+en"}, path-like or collection of str, default=None
        Words to drop, compared with the tokens after lower-casing of both (with `lowercase`): a list of the package
        (function words; numerals, measure words and the words of place that stand after a noun are not in the Chinese
        one), a UTF-8 file with one word a line, or the words.
    hmm : bool, default=True
        Whether words missing from the dictionary are guessed with jieba's hidden Markov model; otherwise they fall into
        single characters. Not for a callable.
    pos : None or collection of str, default=None
        Keep only words with these part-of-speech tags of jieba, compared as a whole: ``["n", "nr", "v", "eng"]``. Only
        with the backend "jieba", whose tagger cuts a little differently, and at a sixth of the speed.
    lowercase : bool, default=True
        Whether Latin letters become lower case, after the cut: the dictionary has words such as ``T恤``.
    keep_punctuation : bool, default=False
        Whether tokens without a letter or a digit are kept as well.
    n_jobs : int or None, default=None
        Processes that :meth:`transform` cuts in, if there are at least 1,000 texts for each; None is 1, -1 all
        processors. Each reads the dictionary once and stays for the next column.

    See Also
    --------
    mmfeat.text.tfidf_lsa : TF-IDF and latent semantic analysis; uses this class for Chinese.
    mmfeat.text.TextNormalizer : Clean texts before they are cut.

    Notes
    -----
    Segmenters are not pickled: a copy builds its own at the first sentence, and then reads a file of words anew. Those
    of equal dictionaries share one in a process, which nothing changes; it is not the one that ``jieba.cut`` uses, so
    that ``jieba.add_word`` elsewhere changes nothing here. (``jieba.del_word`` does, with the hidden Markov model: jieba
    keeps the words that must not be guessed in its module.)

    jieba knows Han characters and ASCII words; letters beyond those (``é``, kana) become tokens of one letter.
    "rjieba" cuts all 40,455 Chinese captions of Flickr8k as jieba does, with and without `hmm`. It differs where Latin
    words are joined by a dot or an underscore (``a_b`` stays one token), at Han characters beyond the first plane, and
    at ties between overlapping user words without a frequency. A run of many thousand unknown Han characters without
    punctuation takes jieba quadratic time, rjieba linear.

    References
    ----------
    Sun, J. (2012). jieba: Chinese text segmentation. https://github.com/fxsjy/jieba

    Examples
    --------
    >>> from mmfeat.text import JiebaTokenizer
    >>> tokenize = JiebaTokenizer(stop_words=["的"])
    >>> tokenize("一只黑色的狗, 在 Park 里跑。")
    ['一只', '黑色', '狗', '在', 'park', '里', '跑']
    >>> JiebaTokenizer(user_dict=["黑色的狗"], stop_words="zh").transform(["一只黑色的狗", "它在跑"])
    [['一只', '黑色的狗'], ['跑']]
    """

    _parameter_constraints = {
        "backend": [StrOptions({"jieba", "rjieba"}), callable],
        "user_dict": [None, str, os.PathLike, dict, set, frozenset, "array-like"],
        "stop_words": [None, str, os.PathLike, set, frozenset, "array-like"],
        "hmm": ["boolean"],
        "pos": [None, set, frozenset, "array-like"],
        "lowercase": ["boolean"],
        "keep_punctuation": ["boolean"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        backend="jieba",
        *,
        user_dict=None,
        stop_words=None,
        hmm=True,
        pos=None,
        lowercase=True,
        keep_punctuation=False,
        n_jobs=None,
    ):
        self.backend = backend
        self.user_dict = user_dict
        self.stop_words = stop_words
        self.hmm = hmm
        self.pos = pos
        self.lowercase = lowercase
        self.keep_punctuation = keep_punctuation
        self.n_jobs = n_jobs

    def __call__(self, text):
        """Cut a sentence.

        Parameters
        ----------
        text : str

        Returns
        -------
        tokens : list of str
            In the order of the sentence; none for an empty one.

        Raises
        ------
        ValueError
            If `text` is no `str`, or a parameter is not valid.
        FileNotFoundError
            If a file of words is not there.
        ImportError
            If the package behind `backend` is not installed.
        """
        if not isinstance(text, str):
            raise ValueError(f"Expected a str to cut into words. Got {text!r} instead.")
        return self._cutter().cut(text)

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
        self : JiebaTokenizer

        Raises
        ------
        ValueError
            If `X` is no sequence of str or is empty, or a parameter is not valid.
        """
        check_texts(X)
        self._plan()
        return self

    def transform(self, X):
        """Cut a column of sentences.

        Parameters
        ----------
        X : sequence of str

        Returns
        -------
        tokens : list of list of str
            One list a text; empty for a text without a word. ``TfidfVectorizer(analyzer=list)`` takes them.

        Raises
        ------
        ValueError
            If `X` is no sequence of str or is empty, or a parameter is not valid.
        """
        return [tokens.copy() for tokens in self._cut_column(check_texts(X))]

    def set_output(self, *, transform=None):
        """Do nothing: lists of tokens are no table.

        Parameters
        ----------
        transform : str or None
            Ignored.

        Returns
        -------
        self : JiebaTokenizer
        """
        return self

    def _cut_column(self, texts):
        """Lists of tokens, one object for equal texts."""
        # Captions repeat: each is cut once.
        distinct = list(dict.fromkeys(texts))
        cut = dict(zip(distinct, self._cut(distinct), strict=True))
        return [cut[text] for text in texts]

    def _cut(self, texts):
        n_jobs = min(effective_n_jobs(self.n_jobs), len(texts) // _CHUNK_LEAST)
        if n_jobs <= 1:
            return self._cutter().cut_all(texts)
        self._validate_params()
        plan = self._plan()
        # Two pieces for each process: texts differ in length, and the last to finish is waited for.
        bounds = [len(texts) * piece // (2 * n_jobs) for piece in range(2 * n_jobs + 1)]
        pieces = (texts[start:stop] for start, stop in itertools.pairwise(bounds))
        return itertools.chain(
            *(unpacked(*part) for part in Parallel(n_jobs=n_jobs)(delayed(cut_piece)(plan, piece) for piece in pieces))
        )

    def _cutter(self):
        """Return what cuts. Runs for each sentence, so that parameters are checked only when one has changed."""
        words = self.stop_words
        if isinstance(words, Collection) and not isinstance(words, (str, Mapping)):
            words = tuple(words)
        # The dictionary may be large: it counts as changed when it is another object or has another length.
        size = len(self.user_dict) if isinstance(self.user_dict, Collection) else None
        pos = tuple(self.pos) if isinstance(self.pos, Collection) else self.pos
        key = (self.backend, id(self.user_dict), size, words, self.hmm, pos, self.lowercase, self.keep_punctuation)
        built = self.__dict__.get("_built")
        if built is None or built[0] != key:
            self._validate_params()
            # With the dictionary itself, so that no other can get its id.
            built = self._built = key, Cutter(self._plan()), self.user_dict
        return built[1]

    def _plan(self):
        """What a process needs to know to cut, as plain values."""
        ours = isinstance(self.backend, str)
        if not ours and self.user_dict is not None:
            raise ValueError("`user_dict` has no effect on a callable `backend`. Give the words to that callable.")
        if self.pos is not None and self.backend != "jieba":
            raise ValueError(f"`pos` needs backend='jieba', the only one that tags. Got backend={self.backend!r}.")
        if self.pos is not None and not all(isinstance(tag, str) for tag in self.pos):
            raise ValueError(f"`pos` must hold tags, such as 'n' or 'v'. Got {self.pos!r} instead.")
        return Plan(
            self.backend,
            read_user_dict(self.user_dict),
            self.hmm,
            None if self.pos is None else frozenset(self.pos),
            frozenset(word.lower() if self.lowercase else word for word in resolve_stop_words(self.stop_words)),
            self.lowercase,
            self.keep_punctuation,
        )

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_built"}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.requires_fit = False
        return tags
