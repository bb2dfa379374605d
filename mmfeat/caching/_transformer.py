"""The transformer that keeps what another one computes."""

import os
from numbers import Integral

from sklearn.base import BaseEstimator, MetaEstimatorMixin, TransformerMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from mmfeat.caching._call import Call, knows_errors
from mmfeat.caching._content import first_step, rows_of
from mmfeat.caching._fingerprint import fingerprint, joined_fingerprint
from mmfeat.caching._store import Store
from mmfeat.utils._compat import HasMethods, Interval, _fit_context


def _inner_has(name):
    def check(self):
        getattr(getattr(self, "transformer_", self.transformer), name)
        return True

    return check


class CachedTransformer(MetaEstimatorMixin, TransformerMixin, BaseEstimator):
    """Keep the rows of another transformer on disk, so that each is computed once however many fits ask for it.

    A row is found again by its content and by what the transformer is. Content: the bytes of a file, the pixels of a
    picture in memory, an array with its type and shape, a sentence. The transformer: class, parameters, learned state,
    the content of files among its parameters (weights), versions of the libraries that it uses. So a file that was
    touched or moved is found, one that was changed is not, and no row of other weights or of a TF-IDF fitted on other
    texts is ever returned.

    Parameters
    ----------
    transformer : transformer
        Any that is row-wise: row i of the result depends on row i of the input alone. Also a pipeline.
    location : str or os.PathLike
        Folder of the cache; made if it is missing. Any number of transformers and processes may share it. On a local
        disk: LMDB, which keeps the rows, does not work on NFS and other network file systems.
    max_bytes : int or None, default=None
        Bound of what is kept; the file may be half as large again, with pages that wait for reuse. When it is reached
        the rows written first are dropped first, but none that the present call asks for; if that leaves no room, rows
        are computed and returned without being kept, and a warning says so.

    Attributes
    ----------
    transformer_ : transformer
        The fitted clone of `transformer`.
    state_digest_ : bytes
        Digest of what it has learned.

    See Also
    --------
    mmfeat.image.CNNFeatures : What is most worth keeping.

    Notes
    -----
    Rows are committed every few seconds: a killed process loses what it computed since then and leaves nothing wrong.
    Each row has a checksum; one that fails it is computed again. Rows with NaN, which stand for failures, are not kept,
    nor are those of files that change while they are read. When a commit fails, as on a full disk,
    the rest of the call is computed and returned without being kept, and a warning says so.

    Parameters that do not change the values should not make a row a new one: `verbose`, `n_jobs` and `memory` never do; a
    class names others in a class attribute ``_cache_ignores``, a tuple of str. The code of functions and classes outside of
    libraries counts; what they read from elsewhere (a file, a variable of another module) does not.

    `fit` fits the transformer. For one that learns from the data this is not spared by the cache.

    ``mmfeat cache info`` tells what is in a cache, ``mmfeat cache verify`` checks it, ``mmfeat cache clear`` removes it.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from mmfeat.caching import CachedTransformer
    >>> from mmfeat.image import ColorHistogram
    >>> pictures = [np.full((8, 8, 3), shade, dtype=np.uint8) for shade in (0, 100, 200)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = CachedTransformer(ColorHistogram(), folder).fit(pictures)
    ...     features = first.transform(pictures[:2])
    ...     again = CachedTransformer(ColorHistogram(), folder).fit(pictures)
    ...     assert np.array_equal(again.transform(pictures)[:2], features)
    >>> first.n_computed_, again.n_computed_
    (2, 1)
    """

    _cache_ignores = ("location", "max_bytes")
    _parameter_constraints = {
        "transformer": [HasMethods(["fit", "transform"])],
        "location": [str, os.PathLike],
        "max_bytes": [None, Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, transformer, location, *, max_bytes=None):
        self.transformer = transformer
        self.location = location
        self.max_bytes = max_bytes

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Fit a clone of the transformer.

        Parameters
        ----------
        X : sequence or matrix
            What the transformer takes.
        y : object, default=None
            Handed to the transformer.

        Returns
        -------
        self : CachedTransformer

        Raises
        ------
        ValueError
            If a parameter or learned attribute of the transformer cannot be digested.
        """
        inner = clone(self.transformer)
        self.transformer_ = inner.fit(X) if y is None else inner.fit(X, y)
        self.state_digest_ = fingerprint(self.transformer_, state=True)
        self._last_call = {"computed": 0, "errors": []}
        return self

    def transform(self, X):
        """Return the rows of the transformer, computing those that are not kept.

        Parameters
        ----------
        X : sequence or matrix
            What the transformer takes. What has no rows of paths, arrays, pictures, bytes or str goes to the
            transformer as it is.

        Returns
        -------
        rows : ndarray, CSR or list of ndarray
            As the transformer returns them: a matrix, or bags of vectors.

        Raises
        ------
        OSError
            If the cache cannot be opened.
        ValueError
            If the transformer is not row-wise as far as can be seen, or refuses `X`.
        """
        check_is_fitted(self, "transformer_")
        rows = rows_of(X)
        if rows is None:
            return self.transformer_.transform(X)
        call = Call(self.transformer_, self._fingerprint(), Store(self.location, self.max_bytes), rows)
        result = call.run()
        self._last_call.update(computed=call.n_computed, errors=call.errors)
        return result

    @property
    def n_computed_(self):
        """Rows that the last :meth:`transform` computed rather than found; equal rows of one call count once."""
        return self._last_call["computed"]

    @property
    def errors_(self):
        """What the last :meth:`transform` could not read, if the transformer tells: position, path and message of each."""
        if not knows_errors(self.transformer_):
            raise AttributeError(f"{type(self.transformer_).__name__} has no `errors_`.")
        return self._last_call["errors"]

    @property
    def n_features_in_(self):
        """Columns of the input, where the transformer counts them."""
        return self.transformer_.n_features_in_

    @property
    def feature_names_in_(self):
        """Names of the columns of the input, where it had them."""
        return self.transformer_.feature_names_in_

    @property
    def n_features_out_(self):
        """Columns of the result."""
        inner = self.transformer_
        return inner.n_features_out_ if hasattr(inner, "n_features_out_") else len(inner.get_feature_names_out())

    @available_if(_inner_has("get_feature_names_out"))
    def get_feature_names_out(self, input_features=None):
        """Names that the transformer gives to its columns.

        Parameters
        ----------
        input_features : array-like of str or None
            Handed to the transformer.

        Returns
        -------
        names : ndarray of str objects, shape (n_features_out_,)
        """
        check_is_fitted(self, "transformer_")
        return self.transformer_.get_feature_names_out(input_features)

    def _fingerprint(self):
        return joined_fingerprint(self.state_digest_, fingerprint(self.transformer_, state=False))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner, first = get_tags(self.transformer), get_tags(first_step(self.transformer))
        tags.input_tags = first.input_tags
        tags.target_tags = inner.target_tags
        tags.no_validation = first.no_validation
        tags.transformer_tags = inner.transformer_tags
        return tags
