"""Signed power of the values, and the norm of the rows."""

from numbers import Real

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.preprocessing import normalize
from sklearn.utils.validation import validate_data

from mmfeat.utils._compat import Interval, StrOptions, _fit_context


class PowerNormalizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Signed power :math:`\mathrm{sign}(x) |x|^p` of each value, then, if asked, rows of unit length.

    Damps the few large values of histograms, Fisher vectors and rectified network features, which would otherwise
    rule every inner product. Stateless: :meth:`transform` needs no :meth:`fit`.

    Parameters
    ----------
    power : float, default=0.5
        Exponent, above 0. 0.5 is the signed square root.
    norm : {None, "l2"}, default=None
        None leaves the length of rows, "l2" brings it to 1; rows of zeros stay zeros.

    Attributes
    ----------
    n_features_in_ : int
        Columns seen in :meth:`fit`.
    feature_names_in_ : ndarray of str objects, shape (n_features_in_,)
        Names of the columns, if `X` had them.

    References
    ----------
    Perronnin, F., Sanchez, J. and Mensink, T. (2010). Improving the Fisher kernel for large-scale image
    classification. ECCV, equation 10.

    Examples
    --------
    >>> from mmfeat.encoding import PowerNormalizer
    >>> PowerNormalizer().fit_transform([[4.0, -9.0], [0.0, 0.0]])
    array([[ 2., -3.],
           [ 0.,  0.]])
    >>> PowerNormalizer(norm="l2").fit_transform([[9.0, -16.0]])
    array([[ 0.6, -0.8]])
    """

    _parameter_constraints = {
        "power": [Interval(Real, 0, None, closed="neither")],
        "norm": [None, StrOptions({"l2"})],
    }

    def __init__(self, power=0.5, norm=None):
        self.power = power
        self.norm = norm

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the parameters and the matrix; nothing is learned.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        self : PowerNormalizer

        Raises
        ------
        ValueError
            If `X` is empty, is no matrix, or holds NaN or infinity.
        """
        validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32])
        return self

    def transform(self, X):
        """Normalise a matrix.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        X_new : ndarray or CSR of shape (n_samples, n_features)
            float32 if `X` is float32, else float64; sparse if `X` is.

        Raises
        ------
        ValueError
            If `X` is empty, is no matrix, holds NaN or infinity, or has another number of columns than in :meth:`fit`.
        """
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        if sparse.issparse(X):
            X = X.copy()
            X.sum_duplicates()
            X.data = self._signed_power(X.data)
        else:
            X = self._signed_power(X)
        return X if self.norm is None else normalize(X, norm=self.norm, copy=False)

    def _signed_power(self, values):
        return np.copysign(np.abs(values) ** values.dtype.type(self.power), values)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
