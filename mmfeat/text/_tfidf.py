"""TF-IDF as the pipelines of this package need it: rows named, columns cut in one go, plain words when nothing is left."""

from collections import Counter
from functools import partial
from numbers import Integral

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import Normalizer

from mmfeat.text._jieba import JiebaTokenizer
from mmfeat.utils._unknown import warn_unknown, zero_rows
from mmfeat.utils._validation import check_texts

_UNKNOWN = "the TF-IDF pipeline gives zeros, which are similar to nothing"


class _CheckedTfidf(TfidfVectorizer):
    """TfidfVectorizer whose errors name the row that is no text, and which has a JiebaTokenizer cut whole columns."""

    def fit(self, raw_documents, y=None):
        return self._learn(super().fit, raw_documents, y)

    def fit_transform(self, raw_documents, y=None):
        return self._told(self._learn(super().fit_transform, raw_documents, y))

    def transform(self, raw_documents):
        return self._told(super().transform(self._cut(check_texts(raw_documents))))

    def _told(self, matrix):
        """Return the result, once the texts without a known term are named."""
        warn_unknown(zero_rows(matrix), _UNKNOWN)
        return matrix

    def build_preprocessor(self):
        return partial(_unless_cut, super().build_preprocessor())

    def build_tokenizer(self):
        return partial(_unless_cut, super().build_tokenizer())

    def build_analyzer(self):
        analyze = super().build_analyzer()
        terms_are_tokens = self.analyzer == "word" and tuple(self.ngram_range) == (1, 1) and self.stop_words is None
        return partial(_unless_cut, analyze) if terms_are_tokens else analyze

    def _cut(self, texts):
        """Lists of tokens where the tokenizer makes them faster than one by one, else the texts."""
        if not isinstance(self.tokenizer, JiebaTokenizer) or self.analyzer != "word":
            return texts
        preprocess = super().build_preprocessor()
        return self.tokenizer._cut_column([preprocess(text) for text in texts])

    def _learn(self, method, raw_documents, y):
        texts = check_texts(raw_documents)
        documents = self._cut(texts)
        try:
            return method(documents, y)
        except ValueError as error:
            message = self._nothing_left(texts, documents)
            if message is None:
                raise
            raise ValueError(message) from error

    def _nothing_left(self, texts, documents):
        """Say why there is no term to learn, or None if it is not that."""
        analyze = self.build_analyzer()
        counts = Counter(term for document in documents for term in set(analyze(document)))
        if not counts:
            blank = sum(not text.strip() for text in texts)
            return (
                f"No term was found in {len(texts)} texts, {blank} of them blank. Pass texts that have words, in the "
                "language they are cut for, and not stop words alone."
            )
        (term, most), *_ = counts.most_common(1)
        if most < self.min_df * (1 if isinstance(self.min_df, Integral) else len(texts)):
            return (
                f"No term occurs in as many of the {len(texts)} texts as `min_df`={self.min_df!r} asks for: the most "
                f"frequent, {term!r}, in {most}. Lower `min_df`, or pass more texts."
            )
        return None


class _InnerTfidf(_CheckedTfidf):
    """The same as a step before another, which names unknown texts: stays sparse when data frames are asked for."""

    def _told(self, matrix):
        return matrix

    def set_output(self, *, transform=None):
        return self


class _InnerUnion(FeatureUnion):
    """Two vectorizers side by side, sparse likewise."""

    def set_output(self, *, transform=None):
        return self


class _UnitLength(Normalizer):
    """Normalizer that names the rows of zeros, of texts without a known term; they stay zeros."""

    def transform(self, X, copy=None):
        warn_unknown(zero_rows(X), _UNKNOWN)
        return super().transform(X, copy=copy)


def _unless_cut(function, document):
    return document if isinstance(document, list) else function(document)
