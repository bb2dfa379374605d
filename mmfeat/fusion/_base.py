"""What all fusions share: two views in, one array out, the second view embedded by a method of its own."""

from abc import abstractmethod

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted, validate_data

from mmfeat.utils._groups import group_codes

_DTYPES = [np.float64, np.float32]


class TwoViewTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base of the fusions: checks both views and hands them to ``_embed_x`` and ``_embed_y``."""

    @abstractmethod
    def _embed_x(self, X):
        """Embed a checked first view."""

    @abstractmethod
    def _embed_y(self, y):
        """Embed a checked second view."""

    def transform(self, X, y=None):
        """Embed the first view (images).

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : None
            Ignored; accepted because scikit-learn passes it to any class of the name CCA. Use :meth:`transform_y`.

        Returns
        -------
        embeddings : ndarray of shape (n_samples, n_components)
            float32 for float32 input, else float64.

        Raises
        ------
        ValueError
            If `X` holds NaN or has another number of columns than in ``fit``.
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=_DTYPES, reset=False)
        return np.asarray(self._embed_x(X), dtype=X.dtype)

    def transform_y(self, y):
        """Embed the second view (texts) alone, with any number of rows.

        Parameters
        ----------
        y : array-like or sparse matrix of shape (n_samples, n_targets)
            1-D is one column.

        Returns
        -------
        embeddings : ndarray of shape (n_samples, n_components)
            float32 for float32 input, else float64.

        Raises
        ------
        ValueError
            If `y` holds NaN or has another number of columns than in ``fit``.
        """
        check_is_fitted(self)
        y = _check_second_view(y)
        if y.shape[1] != self.n_targets_in_:
            raise ValueError(
                f"y has {y.shape[1]} features, but {type(self).__name__} was fitted with {self.n_targets_in_} features "
                "as second view. Encode the texts with the encoder used in fit."
            )
        return np.asarray(self._embed_y(y), dtype=y.dtype)

    def _check_views(self, X, y, *, reset=True, min_rows=2):
        """Check two row-aligned views and remember their widths."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        X = validate_data(self, X, accept_sparse="csr", dtype=_DTYPES, ensure_min_samples=min_rows, reset=reset)
        y = _check_second_view(y)
        check_consistent_length(X, y)
        if reset:
            self.n_targets_in_ = y.shape[1]
        elif y.shape[1] != self.n_targets_in_:
            raise ValueError(
                f"y has {y.shape[1]} features, but {type(self).__name__} is expecting {self.n_targets_in_} features."
            )
        return X, y

    @property
    def _n_features_out(self):
        return self.n_components_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        tags.target_tags.single_output = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def resolve_n_components(n_components, upper):
    """Number of components to keep: `n_components`, or all `upper` when it is None."""
    if n_components is None:
        return upper
    if n_components > upper:
        raise ValueError(
            f"`n_components` upper bound is {upper}. Got {n_components} instead. Reduce `n_components`: it cannot exceed "
            "the number of rows or the number of columns of either view."
        )
    return n_components


def check_groups(groups, n_rows):
    """Image of each row as numbers from 0; without `groups`, each row is an image of its own."""
    if groups is None:
        return np.arange(n_rows)
    codes = group_codes(groups, "groups")
    if codes.shape != (n_rows,):
        raise ValueError(f"`groups` must have one value a row, shape ({n_rows},). Got shape {codes.shape} instead.")
    return codes


def _check_second_view(y):
    y = check_array(y, accept_sparse="csr", dtype=_DTYPES, ensure_2d=False, input_name="y")
    return y.reshape(-1, 1) if y.ndim == 1 else y
