"""The features of one side of the pairs: encoded, normalised, and filled in where the side is missing."""

import numpy as np
from scipy import sparse
from sklearn.preprocessing import StandardScaler, normalize

from mmfeat.multimodal._readable import call_readable, fit_readable, is_bags
from mmfeat.multimodal._samples import joined


class Block:
    """One side of :class:`~mmfeat.multimodal.PairFeatures`.

    Parameters
    ----------
    side : {"image", "text"}
    encoder : transformer
        Fitted as a clone.
    captions : {"join", "mean"}
    normalize : {"l2", "standard", "block"} or None
    factor : float
    missing : {"error", "impute", "other"}
    """

    def __init__(self, side, encoder, captions, normalize, factor, missing):
        self.side = side
        self.encoder = encoder
        self.captions = captions
        self.normalize = normalize
        self.factor = factor
        self.missing = missing

    def fit_transform(self, column, y):
        """Fit the encoder to the cells that are present; return what :meth:`transform` does."""
        if not column.present.any():
            raise ValueError(f'No row has a {self.side}. Pass {self.side}_encoder="drop" to do without.')
        items, rows = self._items(column)
        labels = None if y is None else y[np.flatnonzero(column.present)[rows]]
        self.encoder, features, readable = fit_readable(self.encoder, items, labels)
        if not readable.any():
            raise ValueError(f"No {self.side} could be read. Check the paths.")
        features, present = self._place(features, readable, rows, column.present)
        return self._fill(self._learn(features), present), present

    def transform(self, column):
        """Return the features, a row for each cell, and a mask of the rows whose side is present."""
        features, present = None, column.present
        if present.any():
            items, rows = self._items(column)
            features, readable = call_readable(self.encoder, items, "transform")
            features, present = self._place(features, readable, rows, present)
        return self._fill(None if features is None else self._scale(features), present), present

    def names(self):
        """Names of the columns, numbers where the encoder has none."""
        if hasattr(self.encoder, "get_feature_names_out"):
            return list(self.encoder.get_feature_names_out())
        return [str(column) for column in range(self.width)]

    def _items(self, column):
        """Return what the encoder takes, of the cells that are present, and the number of the cell of each item."""
        cells = column.some(column.present)
        if self.side == "text" and self.captions == "mean":
            return [caption for group in cells for caption in group], np.repeat(
                np.arange(len(cells)), [len(group) for group in cells]
            )
        return (joined(cells) if self.side == "text" else cells), np.arange(len(cells))

    def _learn(self, features):
        """Learn what `normalize` and `missing` need from the features of the cells that are there; return them scaled."""
        self.width = features.shape[1]
        self.scaler = StandardScaler(with_mean=not sparse.issparse(features)) if self.normalize == "standard" else None
        if self.scaler is not None:
            self.scaler.fit(features)
        self.length = _mean_length(features) if self.normalize == "block" else 1.0
        features = self._scale(features)
        self.mean = (
            np.asarray(features.mean(axis=0), dtype=features.dtype).ravel() if self.missing == "impute" else None
        )
        self.is_sparse = sparse.issparse(features)
        self.dtype = features.dtype
        return features

    def _place(self, features, readable, rows, present):
        """Return a row of features for each cell that is present and was read, and a mask of these cells."""
        present = present.copy()
        if not readable.all() and self.missing == "error":
            row = np.flatnonzero(present)[rows[np.flatnonzero(~readable)[0]]]
            raise ValueError(
                f"The {self.side} of pair {row} could not be read: the encoder gives NaN for it. Drop the row, or pass "
                'missing="impute" or missing="other".'
            )
        if features is None:
            return None, np.zeros_like(present)
        if is_bags(features):
            raise ValueError(
                f"The {self.side} encoder gives bags of vectors. Put a step behind it that makes one vector of each, such as "
                "FisherVector() or BagOfWords()."
            )
        if features.dtype.kind != "f":
            features = features.astype(np.float32)
        if self.side == "text" and self.captions == "mean":
            features, kept = _mean_of_rows(features, rows[readable])
        else:
            kept = rows[readable]
        found = np.zeros(present.sum(), dtype=bool)
        found[kept] = True
        present[present] = found
        return features, present

    def _scale(self, features):
        if self.normalize == "l2":
            features = normalize(features)
        elif self.scaler is not None:
            features = self.scaler.transform(features)
        divisor = self.length / self.factor if self.factor else np.inf
        return features if divisor == 1 else features * features.dtype.type(1 / divisor)

    def _fill(self, features, present):
        """Put rows into their places, and means or zeros between them."""
        if features is not None and present.all():
            return features
        width, n_rows = self.width, len(present)
        if not self.is_sparse:
            filled = np.zeros((n_rows, width), dtype=self.dtype)
            filled[:] = 0 if self.mean is None else self.mean
            filled[present] = features if features is not None else 0
            return filled
        parts = [features] if features is not None else []
        n_gone = int((~present).sum())
        if self.mean is None:
            parts.append(sparse.csr_matrix((n_gone, width), dtype=self.dtype))
        else:
            parts += [sparse.csr_matrix(self.mean)] * n_gone
        order = np.argsort(np.concatenate([np.flatnonzero(present), np.flatnonzero(~present)]))
        return sparse.vstack(parts, format="csr")[order]


def _mean_length(features):
    squares = features.multiply(features).sum() if sparse.issparse(features) else np.square(features, dtype=float).sum()
    length = np.sqrt(squares / features.shape[0])
    return length if length > 0 else 1.0


def _mean_of_rows(features, rows):
    """Average rows of one number; also return the numbers, sorted."""
    numbers, places, counts = np.unique(rows, return_inverse=True, return_counts=True)
    shape = (len(numbers), len(rows))
    average = sparse.csr_matrix((1 / counts[places], (places, np.arange(len(rows)))), shape=shape, dtype=features.dtype)
    return average @ features, numbers
