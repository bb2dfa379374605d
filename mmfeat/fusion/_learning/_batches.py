"""The two views of a training, handed over in batches of torch tensors; nothing of a view is copied but its batches."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from mmfeat.fusion._moments import column_means


class Bags(NamedTuple):
    """Bags of vectors, padded with zeros to one length."""

    values: object
    """Tensor or array of shape (n_bags, longest, width)."""
    lengths: object
    """Tensor or array of shape (n_bags,), dtype int64."""


class MatrixView:
    """A matrix, dense or sparse, whose rows are centred and scaled as they are taken.

    Parameters
    ----------
    matrix : ndarray or csr matrix of shape (n_rows, width)
    mean : ndarray of shape (width,)
    scale : float
    """

    def __init__(self, matrix, mean, scale):
        self.matrix, self.scale, self.longest = matrix, scale, None
        self.mean = mean.astype(np.float32)
        self.width = matrix.shape[1]
        # Memory that torch cannot share, such as a read-only map of a file, is gathered from by numpy.
        self._shared = not sparse.issparse(matrix) and matrix.dtype == np.float32 and matrix.flags.writeable

    def take(self, rows, device):
        """Some rows, as a float32 tensor of shape (len(rows), width)."""
        import torch

        if self._shared:
            batch = torch.from_numpy(self.matrix).index_select(0, torch.from_numpy(np.asarray(rows)))
            return batch.sub_(torch.from_numpy(self.mean)).mul_(1 / self.scale).to(device)
        batch = self.matrix[rows]
        if sparse.issparse(batch):
            batch = batch.toarray().astype(np.float32, copy=False)
        else:
            batch = (batch - self.mean).astype(np.float32, copy=False)
        batch *= np.float32(1 / self.scale)
        return torch.from_numpy(batch).to(device)


class BagView:
    """Bags of vectors, of any lengths, centred and scaled as they are taken.

    Parameters
    ----------
    bags : sequence of ndarray of shape (n_i, width)
    mean : ndarray of shape (width,)
    scale : float
    longest : int or None
        Vectors of a bag that are used, from its beginning.
    """

    def __init__(self, bags, mean, scale, longest=None):
        self.bags, self.scale, self.longest = bags, scale, longest
        self.mean = mean.astype(np.float32)
        self.width = len(mean)

    def take(self, rows, device):
        """Some bags, as :class:`Bags` of tensors."""
        import torch

        bags = padded([self.bags[row] for row in rows], self.mean, self.scale, self.longest)
        return Bags(torch.from_numpy(bags.values).to(device), torch.from_numpy(bags.lengths).to(device))


def padded(bags, mean, scale, longest=None):
    """Centred and scaled bags as one array.

    Parameters
    ----------
    bags : list of ndarray of shape (n_i, width)
    mean : ndarray of shape (width,)
    scale : float
    longest : int or None
        Vectors of a bag that are used.

    Returns
    -------
    bags : Bags
        float32; at least one vector long, also where all bags are empty.
    """
    lengths = np.array([len(bag) if longest is None else min(len(bag), longest) for bag in bags], dtype=np.int64)
    values = np.zeros((len(bags), max(1, int(lengths.max(initial=0))), len(mean)), dtype=np.float32)
    inside = np.arange(values.shape[1]) < lengths[:, None]
    if lengths.any() and inside.all():
        np.stack([bag[:length] for bag, length in zip(bags, lengths, strict=True)], out=values, casting="same_kind")
        values -= np.asarray(mean, dtype=np.float32)
        values /= np.float32(scale)
    elif lengths.any():
        rows = np.concatenate([bag[:length] for bag, length in zip(bags, lengths, strict=True)])
        values[inside] = (rows - mean) / np.float32(scale)
    return Bags(values, lengths)


def mean_and_scale(view):
    """Means of the columns (zero for a sparse view) and root mean square of what is left of all entries.

    Parameters
    ----------
    view : ndarray, sparse matrix, or list of ndarray

    Returns
    -------
    mean : ndarray of shape (width,)
    scale : float
    """
    if isinstance(view, list):
        view = np.concatenate(view)
        if not len(view):
            return np.zeros(view.shape[1]), 1.0
    if sparse.issparse(view):
        mean, squares = np.zeros(view.shape[1]), float((view.data.astype(np.float64) ** 2).sum())
    else:
        mean = column_means(view)
        squares = float(np.einsum("ij,ij->", view, view, dtype=np.float64)) - len(view) * float(mean @ mean)
    scale = np.sqrt(max(squares, 0) / (view.shape[0] * view.shape[1]))
    # Rounding leaves a speck of a constant view; dividing by it would blow up noise.
    return mean, float(scale) if scale > 1e-9 * max(1.0, float(np.abs(mean).max())) else 1.0


def new_view(view, rows, longest, known=None):
    """A view that hands out batches, centred and scaled by some of its rows.

    Parameters
    ----------
    view : ndarray, sparse matrix, or list of ndarray
    rows : ndarray of int
        Those that may be learned from.
    longest : int or None
        Vectors of a bag that are used.
    known : dict or None
        "mean" and "scale" to use in place of those of the rows.

    Returns
    -------
    view : MatrixView or BagView
    """
    bags = isinstance(view, list)
    if known is not None:
        mean, scale = known["mean"], known["scale"]
    elif bags:
        mean, scale = mean_and_scale([view[row] for row in rows])
    else:
        mean, scale = mean_and_scale(view if len(rows) == view.shape[0] else view[rows])
    return BagView(view, mean, scale, longest) if bags else MatrixView(view, mean, scale)


def hold_out(groups, rng, share):
    """Mark the rows of a share of the images, drawn at random; none where that is fewer than two images."""
    n_groups = groups.max() + 1
    n_held_out = round(n_groups * share)
    if n_held_out < 2 or n_groups - n_held_out < 2:
        return np.zeros(len(groups), dtype=bool)
    return np.isin(groups, rng.choice(n_groups, n_held_out, replace=False))


def is_bags(view):
    """Say whether a view is a column of bags: a sequence whose first item is an array of two axes, or three axes."""
    if isinstance(view, np.ndarray):
        return view.ndim == 3 or (view.dtype == object and view.ndim == 1 and np.ndim(view[0]) == 2)
    first = view[0] if isinstance(view, (list, tuple)) and len(view) else None
    return isinstance(first, np.ndarray) and first.ndim == 2


def all_equal(view):
    """Say whether all rows, or all bags, of a view are the same."""
    if isinstance(view, list):
        return all(np.array_equal(view[0], bag) for bag in view[1:])
    if sparse.issparse(view):
        return (view != sparse.vstack([view[:1]] * view.shape[0], format="csr")).nnz == 0
    return bool((view == view[:1]).all())
