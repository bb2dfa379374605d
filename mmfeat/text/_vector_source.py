"""Where an estimator has its vectors from, opened when they are needed and never pickled."""

import os
from pathlib import Path

from sklearn.utils.validation import check_is_fitted

from mmfeat.text._corpus import cut_texts
from mmfeat.text._vector_cache import open_vectors, stamp
from mmfeat.text._vector_store import MemoryStore, from_gensim
from mmfeat.utils._base import SequenceTransformer
from mmfeat.utils._validation import check_texts


class VectorSource(SequenceTransformer):
    """Base with the parameters `vectors`, `tokenizer`, `encoding` and `cache_dir`, and the vectors they stand for."""

    def count_oov(self, X):
        """Count the words of texts that have no vector of their own.

        Parameters
        ----------
        X : sequence of str

        Returns
        -------
        rate : float
            Their share, each word counted as often as it occurs; 0 if there are no words at all.
        words : list of (str, int)
            The most frequent 50 of them and how often they occur.

        Raises
        ------
        ValueError
            As in :meth:`transform`.
        """
        check_is_fitted(self)
        corpus = cut_texts(check_texts(X), self.tokenizer)
        return corpus.misses(self._checked_store().rows(corpus.words) >= 0)

    def _forget_store(self):
        self._opened = None

    def _store(self):
        """Vectors of the present parameters; kept with them, so that a change of one, or of the file, is seen."""
        is_file = isinstance(self.vectors, (str, os.PathLike))
        # What is in memory is known by being the same object, a file by its name and times.
        memory = None if is_file else self.vectors_ if self.vectors is None else self.vectors
        path = os.path.abspath(self.vectors) if is_file else ""
        key = (path, stamp(path) if Path(path).is_file() else None, self.encoding, self.cache_dir)
        opened = getattr(self, "_opened", None) or (None, None, None)
        if opened[0] is not memory or opened[1] != key:
            opened = self._opened = (memory, key, self._open(is_file))
        return opened[2]

    def _open(self, is_file):
        if self.vectors is None:
            return MemoryStore(self.words_, self.vectors_, self.ngrams_, self.ngram_range_)
        if is_file:
            return open_vectors(self.vectors, encoding=self.encoding, cache_dir=self.cache_dir)
        return from_gensim(self.vectors)

    def _checked_store(self):
        """The vectors of fit, or ValueError."""
        trained = self.vectors_digest_ is None
        found = None if self.vectors is None else self._store().digest
        if trained != (self.vectors is None) or found != self.vectors_digest_:
            raise ValueError(
                f"`vectors`={self.vectors!r} (SHA-256 {found}) are not those of fit (SHA-256 {self.vectors_digest_}). Pass "
                "the same ones, or fit again."
            )
        return self._store()

    def __sklearn_is_fitted__(self):
        # A fit that failed may have set what it learned first.
        return hasattr(self, "vectors_digest_")

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_opened"}
