"""A read-only mapping that costs nothing to carry along in ``DataFrame.attrs``."""

from collections.abc import Mapping


class FrozenMapping(Mapping):
    """Read-only mapping that copies as itself.

    pandas deep-copies ``attrs`` whenever a frame is sliced and compares them when frames are joined; a mapping that is
    its own copy, and equal to it at a glance, makes both free of charge.

    Parameters
    ----------
    items : dict
    """

    __slots__ = ("_items",)

    def __init__(self, items):
        self._items = dict(items)

    def __getitem__(self, key):
        return self._items[key]

    def __iter__(self):
        return iter(self._items)

    def __len__(self):
        return len(self._items)

    def __eq__(self, other):
        if self is other:
            return True
        return isinstance(other, FrozenMapping) and self._items == other._items

    __hash__ = None  # type: ignore[assignment]

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return type(self), (self._items,)

    def __repr__(self):
        return f"<{type(self).__name__} of {len(self)} items>"
