"""What the encoders of bags share: sampling, projection, spatial cells, and chunks of bounded memory."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from mmfeat.encoding._cells import N_COORDINATES, cell_numbers, grids, unit_length
from mmfeat.encoding._project import learn_projection
from mmfeat.encoding._sample import common_dtype, sample_rows
from mmfeat.utils._base import SequenceTransformer
from mmfeat.utils._compat import Interval, StrOptions, _fit_context
from mmfeat.utils._validation import check_bags

# The arrays of a chunk of bags, which are encoded at once: large beside the cost of a call, small beside a cache.
_CHUNK_BYTES = 2**22


class BagEncoder(SequenceTransformer):
    """Base of the encoders: a bag of descriptors (n_i, d) becomes one vector.

    A subclass says in `_start` how its model is learned from a sample of projected descriptors and in `_go_on` how it
    learns on; in `_prepare` what encoding needs to know, in `_assign` how descriptors belong to its components, in
    `_sums` what is summed over the descriptors of a bag, and in `_finish` how the sums become a vector.
    """

    # Constraints of the parameters that all encoders have; each lists them in the order of its signature.
    _shared_constraints = {
        "n_pca": [None, Interval(Integral, 1, None, closed="left")],
        "projection": [StrOptions({"pca", "whiten", "ica"})],
        "power": [Interval(Real, 0, None, closed="neither")],
        "coordinates": [None, StrOptions({"layout", "extend"})],
        "levels": [Interval(Integral, 1, None, closed="left"), list, tuple],
        "max_samples": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    _lots: Any  # what `random_state` has come to in a stream

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn from a sample of at most `max_samples` descriptors, drawn evenly over the bags.

        Parameters
        ----------
        X : sequence of ndarray of shape (n_i, d)
            Bags of descriptors; `n_i` may be 0.
        y : None
            Ignored.

        Returns
        -------
        self : BagEncoder

        Raises
        ------
        ValueError
            If `X` is no sequence of such arrays or is empty, a value is not finite, the widths differ (the message
            names the bag), or there are too few descriptors.
        """
        return self._learn(X, afresh=True, stream=False)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Learn from one more batch of bags of a stream.

        The first batch is learned as in :meth:`fit`; it fixes the projection, and needs as many descriptors as there
        are components.

        Parameters
        ----------
        X : sequence of ndarray of shape (n_i, d)
            Bags of descriptors; `n_i` may be 0.
        y : None
            Ignored.

        Returns
        -------
        self : BagEncoder

        Raises
        ------
        ValueError
            As in :meth:`fit`, or if a :class:`FisherVector` was fitted by :meth:`fit`, which keeps nothing to go on with.
        """
        return self._learn(X, afresh=not hasattr(self, "n_features_in_"), stream=True)

    def transform(self, X):
        """Encode bags, some at a time, so that memory does not grow with their number.

        Parameters
        ----------
        X : sequence of ndarray of shape (n_i, d)

        Returns
        -------
        vectors : ndarray of shape (n_bags, n_features_out_)
            float64 if a bag is float64, else float32. An empty bag becomes zeros.

        Raises
        ------
        ValueError
            As in :meth:`fit`, or if a bag has another width than those of :meth:`fit`.
        """
        check_is_fitted(self)
        # Too many to be held: LocalDescriptors computes them when they are asked for.
        if hasattr(X, "in_parts") and len(X):
            return np.concatenate([self._encode_checked(part) for part in X.in_parts()])
        return self._encode_checked(X)

    def _encode_checked(self, X):
        bags = check_bags(X, n_features=self.n_features_in_)
        self._check_coordinates(bags)
        return self._encode(bags)

    # Learning

    def _learn(self, X, afresh, stream):
        # In a stream it goes on: from a seed, every batch would be drawn by the same lots, and some rows never leave.
        rng = check_random_state(self.random_state if afresh else self._lots)
        # Of bags too many to be held, those of items drawn at random stand for all.
        X = X.sample(rng, self.max_samples) if hasattr(X, "in_parts") and len(X) else X
        bags = check_bags(X, n_features=None if afresh else getattr(self, "n_features_in_", None))
        width = bags[0].shape[1]
        self._check_settings(width)
        self._check_coordinates(bags)
        rows = sample_rows(bags, self.max_samples, rng)
        n_seen = sum(map(len, bags))
        if afresh:
            self._check_enough(len(rows), n_seen)
            self._projection = self._learn_projection(rows, rng)
            self._start(self._project(rows), n_seen if stream else None, rng)
        elif n_seen:
            self._go_on(self._project(rows), n_seen, rng)
        self._lots = rng if stream and self.random_state is not None else self.random_state
        self.n_features_in_ = width
        self.n_features_out_ = len(self._cell_names()) * len(self._vector_names())
        self._count(bags, afresh)
        return self

    def _learn_projection(self, rows, rng):
        if self.n_pca is None and self.projection == "pca":
            return None
        rows = rows[:, : self._n_described(rows.shape[1])]
        return learn_projection(rows, self.n_pca or rows.shape[1], self.projection, rng)

    def _check_enough(self, n_rows, n_seen):
        if n_rows < self._n_components:
            raise ValueError(
                f"The bags hold {n_seen} descriptors, and `max_samples` is {self.max_samples}. Expected at least "
                f"{self._n_components}, one a component. Pass more bags, or reduce the number of components."
            )

    def _count(self, bags, afresh):
        """Look at all bags once the model is there; most encoders need not."""

    def _n_described(self, width):
        return width if self.coordinates is None else width - N_COORDINATES

    def _check_settings(self, width):
        cells = grids(self.levels)
        if self.coordinates is None and cells != [(1, 1)]:
            raise ValueError(
                f"`levels`={self.levels!r} needs coordinates. Set `coordinates`, and pass bags whose last three columns "
                "are x, y and scale."
            )
        described = self._n_described(width)
        if described < 1:
            raise ValueError(f"Bags of {width} columns hold coordinates alone. Set `coordinates=None`.")
        if self.n_pca is not None and self.n_pca > described:
            raise ValueError(f"`n_pca` upper bound is {described}. Got {self.n_pca} instead. Reduce `n_pca`.")

    def _check_coordinates(self, bags):
        if self.coordinates is None:
            return
        for row, bag in enumerate(bags):
            places = bag[:, -N_COORDINATES:]
            if len(bag) and not (places.min() >= 0 and places.max() <= 1):
                raise ValueError(
                    f"Bag {row} has coordinates from {places.min()} to {places.max()}. Expected x, y and scale in "
                    "[0, 1] in the last three columns. Normalise them, or set `coordinates=None`."
                )

    # Encoding

    def _project(self, rows):
        described = rows[:, : self._n_described(rows.shape[1])]
        projected = described if self._projection is None else self._projection.apply(described)
        if self.coordinates == "extend":
            return np.concatenate([projected, rows[:, -N_COORDINATES:]], axis=1)
        return projected

    def _encode(self, bags):
        vectors = np.zeros((len(bags), self.n_features_out_), dtype=common_dtype(bags))
        model = self._prepare(vectors.dtype)
        for first, last in self._chunks(bags, vectors.dtype):
            chunk = [bag for bag in bags[first:last] if len(bag)]
            where = [row for row in range(first, last) if len(bags[row])]
            if chunk:
                vectors[where] = self._encode_chunk(chunk, vectors.dtype, model)
        return vectors

    def _chunks(self, bags, dtype):
        """Ranges of bags whose arrays and vectors together fit a chunk; a range has at least one bag."""
        per_row = dtype.itemsize * self._row_width
        per_bag = dtype.itemsize * self.n_features_out_
        first, used = 0, 0
        for row, bag in enumerate(bags):
            cost = per_row * len(bag) + per_bag
            if row > first and used + cost > _CHUNK_BYTES:
                yield first, row
                first, used = row, 0
            used += cost
        yield first, len(bags)

    def _prepare(self, dtype):
        """What encoding descriptors of this dtype needs; computed once, not for each chunk."""

    def _parts(self, bags, dtype):
        """The bags of a chunk as they are or, if it is a single long bag, in pieces."""
        most = max(1, _CHUNK_BYTES // (dtype.itemsize * self._row_width))
        if len(bags) == 1 and len(bags[0]) > most:
            return [[piece] for piece in np.split(bags[0], range(most, len(bags[0]), most))]
        return [bags]

    def _encode_chunk(self, bags, dtype, model):
        first, *others = self._parts(bags, dtype)
        sums, counts = self._chunk_sums(first, dtype, model)
        for part in others:
            more, count = self._chunk_sums(part, dtype, model)
            sums = sums + more.astype(np.float64)
            counts = counts + count
        vectors = self._finish(sums, counts.reshape(-1), model)
        return vectors if counts.shape[1] == 1 else unit_length(vectors.reshape(len(bags), -1), self.norm)

    def _chunk_sums(self, bags, dtype, model):
        """Sums over each cell of each bag, (n_bags * n_cells, ...), and how many descriptors lie there."""
        rows, owners = stack(bags, dtype)
        assigned = self._assign(self._project(rows), model)
        sums, counts = [], []
        for grid in grids(self.levels):
            n_cells = grid[0] * grid[1]
            if n_cells == 1:
                cells, parts = owners, assigned
            else:
                cells = owners * n_cells + cell_numbers(rows[:, -N_COORDINATES:], grid)
                order = np.argsort(cells, kind="stable")
                cells, parts = cells[order], tuple(part[order] for part in assigned)
            count = np.bincount(cells, minlength=len(bags) * n_cells)
            sums.append(self._sums(parts, cells, count, model).reshape(len(bags), n_cells, -1))
            counts.append(count.reshape(len(bags), n_cells))
        joined = sums[0] if len(sums) == 1 else np.concatenate(sums, axis=1)
        return joined.reshape(-1, joined.shape[2]), np.concatenate(counts, axis=1)

    # Names

    def get_feature_names_out(self, input_features=None):
        """Names of the columns; those of a cell of a pyramid begin with its grid, row and column.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects, shape (n_features_out_,)
        """
        check_is_fitted(self)
        return np.array([cell + name for cell in self._cell_names() for name in self._vector_names()], dtype=object)

    def _cell_names(self):
        found = grids(self.levels)
        if found == [(1, 1)]:
            return [""]
        return [
            f"{number}_{down}x{across}_{row}_{column}_"
            for number, (down, across) in enumerate(found)
            for row, column in np.ndindex(down, across)
        ]


def stack(bags, dtype):
    """The rows of bags in one array, and to which bag each belongs."""
    rows = bags[0] if len(bags) == 1 else np.concatenate(bags)
    return rows.astype(dtype, copy=False), np.repeat(np.arange(len(bags)), [len(bag) for bag in bags])
