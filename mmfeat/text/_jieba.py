"""Chinese sentences into words."""

import functools
import warnings
from collections.abc import Collection

from sklearn.base import BaseEstimator


@functools.lru_cache(maxsize=1)
def _default_frequencies():
    """Word frequencies of jieba's own dictionary and their sum, read once a process.

    Read here rather than by ``Tokenizer.initialize``: that one logs four lines to stderr, and keeps a marshalled copy
    in the folder for temporary files, where anyone on the machine may put another; it saves a fifth of a second.
    """
    tokenizer = _import_jieba().Tokenizer()
    return tokenizer.gen_pfdict(tokenizer.get_dict_file())


def _import_jieba():
    with warnings.catch_warnings():
        # jieba 0.42 imports pkg_resources and has unescaped regular expressions; neither is news to its users.
        warnings.simplefilter("ignore")
        import jieba
    return jieba


class JiebaTokenizer(BaseEstimator):
    """Cut Chinese sentences into words with jieba.

    A callable for ``TfidfVectorizer(tokenizer=...)``. Words of one character, which the vectorizer's own
    ``token_pattern`` drops, are kept: many Chinese words have no more. Tokens without a letter or a digit (white space,
    punctuation, symbols) are dropped; English words and numbers inside the sentence are kept.

    Parameters
    ----------
    hmm : bool, default=True
        Whether words missing from the dictionary are guessed with jieba's hidden Markov model; otherwise they fall into
        single characters.
    stop_words : None or collection of str, default=None
        Words to drop, compared with the tokens after lower-casing.
    lowercase : bool, default=True
        Whether Latin letters become lower case, after the cut: the dictionary has words such as ``T恤``.

    See Also
    --------
    mmfeat.text.tfidf_lsa : TF-IDF and latent semantic analysis; uses this class for Chinese.

    Notes
    -----
    jieba's segmenter is not pickled: a copy builds its own at the first sentence. All instances in a process share one
    dictionary, apart from the one that ``jieba.cut`` uses, so that ``jieba.add_word`` elsewhere changes nothing here.

    jieba knows Han characters and ASCII words; letters beyond those (``é``, kana) become tokens of one letter.

    References
    ----------
    Sun, J. (2012). jieba: Chinese text segmentation. https://github.com/fxsjy/jieba

    Examples
    --------
    >>> from mmfeat.text import JiebaTokenizer
    >>> tokenize = JiebaTokenizer(stop_words=["的"])
    >>> tokenize("一只黑色的狗, 在 Park 里跑。")
    ['一只', '黑色', '狗', '在', 'park', '里', '跑']
    """

    _parameter_constraints = {
        "hmm": ["boolean"],
        "stop_words": [None, set, frozenset, "array-like"],
        "lowercase": ["boolean"],
    }

    def __init__(self, hmm=True, stop_words=None, lowercase=True):
        self.hmm = hmm
        self.stop_words = stop_words
        self.lowercase = lowercase

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
        """
        if not isinstance(text, str):
            raise ValueError(f"Expected a str to cut into words. Got {text!r} instead.")
        stop_words = self._checked_stop_words()
        tokens = [token for token in self._cutter().cut(text, HMM=self.hmm) if any(map(str.isalnum, token))]
        if self.lowercase:
            tokens = [token.lower() for token in tokens]
        return [token for token in tokens if token not in stop_words]

    def _cutter(self):
        if "_jieba" not in self.__dict__:
            cutter = _import_jieba().Tokenizer()
            cutter.FREQ, cutter.total = _default_frequencies()
            cutter.initialized = True
            self._jieba = cutter
        return self._jieba

    def _checked_stop_words(self):
        """Set of the stop words. Runs for each sentence, so that parameters are checked only when one has changed."""
        words = tuple(self.stop_words) if isinstance(self.stop_words, Collection) else self.stop_words
        key = (self.hmm, self.lowercase, words)
        checked = self.__dict__.get("_checked")
        if checked is None or checked[0] != key:
            self._validate_params()
            strangers = [word for word in words or () if not isinstance(word, str)]
            if strangers:
                raise ValueError(f"`stop_words` must hold str only. Got {strangers[0]!r} instead. Drop or convert it.")
            checked = self._checked = key, frozenset(words or ())
        return checked[1]

    def __getstate__(self):
        state = dict(super().__getstate__())
        for name in ("_jieba", "_checked"):
            state.pop(name, None)
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = False
        return tags
