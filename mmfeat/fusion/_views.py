"""Any number of views as the fusions of three and more, and those with labels, need them: centred, narrow, multiplied."""

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, gen_batches

from mmfeat.fusion._bases import row_basis
from mmfeat.fusion._moments import column_means
from mmfeat.utils._groups import group_codes

# Rows multiplied at a time: what a product of dense views needs beyond its input and its result.
_BLOCK_ROWS = 4096


class CentredView:
    """A view less its means, never made dense, and narrow where it has more columns than rows.

    With more columns than rows the view is held as coordinates in an orthonormal basis of its centred rows; ``expand``
    brings directions found there back to the columns.

    Parameters
    ----------
    matrix : ndarray or csr_array of shape (n_samples, n_features)
    weights : ndarray of shape (n_samples,), default=None
        Weights of the rows in the means.
    narrow : bool, default=True
        False keeps the columns as they are.
    center : bool, default=True
        False leaves the rows where they are, with means of zero.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
    matrix : ndarray or csr_array of shape (n_samples, width)
        What is multiplied, before it is shifted.
    basis : ndarray of shape (n_features, width), SparseRowBasis or None
        Where `matrix` holds coordinates.
    """

    def __init__(self, matrix, weights=None, *, narrow=True, center=True):
        self.n_features = matrix.shape[1]
        self.mean = column_means(matrix, weights) if center else np.zeros(matrix.shape[1])
        self.basis = None
        self.matrix, self.shift = matrix, self.mean
        if narrow and matrix.shape[0] < matrix.shape[1]:
            scores, basis = row_basis(matrix, self.mean)
            # A view without variance has no basis; one column of zeros keeps the algebra whole.
            empty = not scores.shape[1]
            self.matrix = np.zeros((len(scores), 1)) if empty else scores
            self.basis = np.zeros((self.n_features, 1)) if empty else basis
            self.shift = np.zeros(self.matrix.shape[1])

    @property
    def width(self):
        """Columns that products have."""
        return self.matrix.shape[1]

    def expand(self, directions):
        """Directions of ``width`` coordinates as directions of the ``n_features`` columns."""
        return directions if self.basis is None else self.basis @ directions


class PlainFactor:
    """A matrix that is multiplied as it is, in the place of a :class:`CentredView`.

    Parameters
    ----------
    matrix : ndarray or csr_array of shape (n_samples, n_columns)
    """

    def __init__(self, matrix):
        self.matrix, self.shift, self.width = matrix, np.zeros(matrix.shape[1]), matrix.shape[1]


def cross_products(left, right, weights=None):
    """Sum over the rows of the outer products of two views.

    Parameters
    ----------
    left, right : CentredView or PlainFactor
    weights : ndarray of shape (n_samples,), default=None
        How often each row counts.

    Returns
    -------
    products : ndarray of shape (left.width, right.width), dtype float64

    Notes
    -----
    Dense rows are shifted before they are multiplied; for sparse ones the same is done to the sums, which keeps them sparse.
    Products of float32 rows are taken in float32 over some thousand rows and summed in float64.
    """
    n_rows = left.matrix.shape[0]
    products = np.zeros((left.width, right.width))
    sum_left, sum_right, total = np.zeros(left.width), np.zeros(right.width), 0.0
    for rows in gen_batches(n_rows, _BLOCK_ROWS):
        weight = np.ones(rows.stop - rows.start) if weights is None else weights[rows]
        block_left, block_right = _dense_shifted(left, rows), _dense_shifted(right, rows)
        weighted = block_right if weights is None else _scaled(block_right, weight)
        product = block_left.T @ weighted
        products += product.toarray() if sparse.issparse(product) else product
        sum_left += np.asarray(weight @ block_left).ravel()
        sum_right += np.asarray(weight @ block_right).ravel()
        total += weight.sum()
    rest_left, rest_right = _left_to_shift(left), _left_to_shift(right)
    if rest_left is not None:
        products -= np.outer(rest_left, sum_right)
    if rest_right is not None:
        products -= np.outer(sum_left, rest_right)
    if rest_left is not None and rest_right is not None:
        products += total * np.outer(rest_left, rest_right)
    return products


def project(view, mean, rotations):
    """Rotate a centred view.

    Parameters
    ----------
    view : ndarray or csr_array of shape (n_samples, n_features)
    mean : ndarray of shape (n_features,)
    rotations : ndarray of shape (n_features, n_components)

    Returns
    -------
    scores : ndarray of shape (n_samples, n_components)
        In the dtype of the view.
    """
    rotations, mean = rotations.astype(view.dtype), mean.astype(view.dtype)
    return view @ rotations - mean @ rotations if sparse.issparse(view) else (view - mean) @ rotations


def label_matrix(labels, n_rows):
    """Labels of each row as columns.

    Parameters
    ----------
    labels : array-like of shape (n_samples,), or array-like or sparse matrix of shape (n_samples, n_labels)
        Classes of any kind, one a row, or an indicator or weight of each label, at least 0.
    n_rows : int
        Rows of the views.

    Returns
    -------
    indicators : csr_array of shape (n_samples, n_labels), dtype float64
        One-hot for classes, in sorted order.

    Raises
    ------
    ValueError
        If there is not one row a pair, or a label is missing or negative, or several columns hold names.
    """
    checked = check_array(labels, accept_sparse="csr", dtype=None, ensure_2d=False, input_name="labels")
    if not sparse.issparse(checked) and (checked.ndim == 1 or checked.shape[1] == 1):
        indicators = _one_hot(checked.ravel())
    else:
        indicators = _indicators(checked)
    if indicators.shape[0] != n_rows:
        raise ValueError(f"`labels` must have one row a pair, {n_rows}. Got {indicators.shape[0]} instead.")
    if indicators.min() < 0:
        raise ValueError(f"`labels` must be indicators or weights of at least 0. Got {indicators.min():g} instead.")
    return indicators


def fixed_signs(rotations):
    """Signs of the components that make the largest coefficient of each column positive.

    Parameters
    ----------
    rotations : ndarray of shape (n_features, n_components)

    Returns
    -------
    signs : ndarray of shape (n_components,)
        Each 1 or -1.
    """
    largest = rotations[np.abs(rotations).argmax(axis=0), np.arange(rotations.shape[1])]
    return np.where(largest < 0, -1.0, 1.0)


def check_ridges(reg, n_views):
    """One ridge for each view.

    Parameters
    ----------
    reg : float or tuple of float
    n_views : int

    Returns
    -------
    ridges : list of float

    Raises
    ------
    ValueError
        If a tuple has another length or a negative number.
    """
    if not isinstance(reg, tuple):
        return [reg] * n_views
    if len(reg) != n_views or not all(
        isinstance(share, (int, float, np.number)) and 0 <= share < np.inf for share in reg
    ):
        raise ValueError(
            f"`reg` must be a finite number of at least 0, or a tuple of {n_views} of them, one a view. Got {reg!r} instead."
        )
    return list(reg)


def _indicators(columns):
    try:
        return sparse.csr_array(columns, dtype=np.float64)
    except ValueError as error:
        raise ValueError(
            "`labels` of several columns must be numbers, an indicator of each label. Encode names with scikit-learn's "
            "MultiLabelBinarizer."
        ) from error


def _one_hot(classes):
    codes = group_codes(classes, "labels")
    n_found = codes.max() + 1
    rows = np.arange(len(codes))
    return sparse.csr_array((np.ones(len(codes)), (rows, codes)), shape=(len(codes), n_found))


def _dense_shifted(view, rows):
    block = view.matrix[rows]
    return block.astype(np.float64) if sparse.issparse(block) else block - view.shift.astype(block.dtype)


def _left_to_shift(view):
    """What is still to be taken from the rows: the means of a sparse view, nothing of a dense one."""
    return view.shift if sparse.issparse(view.matrix) and view.shift.any() else None


def _scaled(block, weights):
    if sparse.issparse(block):
        return sparse.diags_array(weights) @ block
    return block * weights.astype(block.dtype)[:, None]
