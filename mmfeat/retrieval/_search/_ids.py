"""Names of the items of an index, of any kind, and where they stand."""

import json
from collections import Counter

import numpy as np

from mmfeat.retrieval._search._masks import as_mask, as_values, is_truth

_PLAIN = (str, int, float, bool, type(None))


class Names:
    """Names of items, each of which stands there once, and where they stand.

    Parameters
    ----------
    ids : ndarray of shape (n_items,)
    next_number : int or None
        The number of the next item that comes without a name; None if items have names.
    """

    def __init__(self, ids, next_number):
        self._ids, self.next_number = ids, next_number
        self._places = None

    @property
    def ids(self):
        """The names, an array that cannot be written to: places are remembered."""
        ids = self._ids.view()
        ids.flags.writeable = False
        return ids

    @classmethod
    def make(cls, ids, n_items):
        """Names given by a user, or positions."""
        return cls(np.arange(n_items), n_items) if ids is None else cls(_check_ids(ids, n_items), None)

    def check_new(self, ids, n_items):
        """Names of items to be added, which are not there yet."""
        if self.next_number is not None:
            if ids is not None:
                raise ValueError("This index counts its items. Leave `ids` out.")
            return self.next_number + np.arange(n_items)
        if ids is None:
            raise ValueError("This index was made with ids. Give `ids` for the embeddings that are added.")
        added = _check_ids(ids, n_items)
        double = [value for value in added.tolist() if value in self._where()]
        if double:
            raise ValueError(f"{len(double)} of the `ids` are in the index already, the first is {double[0]!r}.")
        return added

    def add(self, added):
        """Put checked names at the end."""
        n = len(self.ids)
        same = self.ids.dtype.kind == added.dtype.kind != "O"
        self._ids = np.concatenate([self.ids, added]) if same else _as_array([*self.ids.tolist(), *added.tolist()])
        if self.next_number is not None:
            self.next_number += len(added)
        if self._places is not None:
            self._places.update(zip(added.tolist(), range(n, len(self.ids)), strict=True))

    def keep(self, positions):
        """Keep the names at ascending positions."""
        self._ids, self._places = self.ids[positions], None

    def find(self, ids, name):
        """Ascending positions of items given by their names, each once."""
        places = self._where()
        values = [_plain(value) for value in as_values(ids, name)]
        if any(map(is_truth, values)) and not any(map(is_truth, places)):
            raise ValueError(f"`{name}` holds truth values. Pass ids; those of a mask are `index.ids[mask]`.")
        _check_hashable(values, name)
        missing = [value for value in values if value not in places]
        if missing:
            raise ValueError(
                f"`{name}` has {len(missing)} ids that the index does not hold, the first is {missing[0]!r}."
            )
        return np.unique(np.array([places[value] for value in values], dtype=np.int64))

    def choose(self, where):
        """Ascending positions of the items that a filter lets through: a mask, or names."""
        where = as_values(where, "where")
        mask = as_mask(where)
        if mask is None:
            return self.find(where, "where")
        if mask.shape != self.ids.shape:
            raise ValueError(
                f"A mask must have one value an item, shape {self.ids.shape}. Got shape {mask.shape} instead."
            )
        return np.flatnonzero(mask)

    def to_array(self):
        """Array without objects that a file can hold, and the name of the form."""
        if self.ids.dtype != object:
            return self.ids, "array"
        text = json.dumps([_packed(value) for value in self.ids], ensure_ascii=False, separators=(",", ":"))
        return np.frombuffer(text.encode("utf-8"), dtype=np.uint8), "json"

    @classmethod
    def of_array(cls, array, form, next_number):
        """Inverse of :meth:`to_array`."""
        if form == "json":
            values = [_unpacked(value) for value in json.loads(array.tobytes().decode("utf-8"))]
            array = np.empty(len(values), dtype=object)
            array[:] = values
        return cls(array, next_number)

    def _where(self):
        if self._places is None:
            self._places = {value: place for place, value in enumerate(self.ids.tolist())}
        return self._places


def _check_ids(ids, n_items):
    if isinstance(ids, str):
        raise ValueError(f"`ids` must have one value an embedding, {n_items}. Got the string {ids!r} instead.")
    ids = as_values(ids, "ids")
    values = list(ids)
    if len(values) != n_items:
        raise ValueError(f"`ids` must have one value an embedding, {n_items}. Got {len(values)} instead.")
    _check_hashable(values, "ids")
    value, count = Counter(values).most_common(1)[0]
    if count > 1:
        raise ValueError(f"`ids` must be unique. {value!r} stands there {count} times.")
    if isinstance(ids, np.ndarray):
        return ids.copy()
    # An array of strings forgets the NULs at their ends.
    if all(isinstance(value, str) and not value.endswith("\0") for value in values):
        return np.array(values)
    return _as_array(values)


def _check_hashable(values, name):
    try:
        set(values)
    except TypeError:
        place = next(place for place, value in enumerate(values) if not _is_hashable(value))
        raise ValueError(
            f"Ids must be keys of a dictionary. Value {place} of `{name}`, {values[place]!r}, is a "
            f"{type(values[place]).__name__}. Use a tuple, say."
        ) from None


def _is_hashable(value):
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _as_array(values):
    # Values of mixed kinds, or tuples, would be made strings or a second dimension.
    column = np.empty(len(values), dtype=object)
    column[:] = values
    whole = all(isinstance(value, (int, np.integer)) and not isinstance(value, bool) for value in values)
    return column.astype(np.int64) if whole and all(-(2**63) <= value < 2**63 for value in values) else column


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value


def _packed(value):
    if isinstance(value, tuple):
        return [_packed(part) for part in value]
    value = _plain(value)
    if not isinstance(value, _PLAIN):
        raise TypeError(
            f"The id {value!r} is a {type(value).__name__}, which a file of an index does not hold. "
            "Take strings, numbers, tuples of these, or an array of dtype datetime64."
        )
    return value


def _unpacked(value):
    return tuple(map(_unpacked, value)) if isinstance(value, list) else value
