"""Which duplicates are listed: in one table each beside the first, between two tables every row that has one."""

import numpy as np


class Links:
    """Duplicates among the items of one table, or between those of two.

    Parameters
    ----------
    view : str
    places : list of (int, int, int)
        Table, row and caption of each item.
    contents : list of bytes or str
        What is equal for equal items.
    n_tables : int
        1 or 2.
    """

    def __init__(self, view, places, contents, n_tables):
        self.view, self.places, self.across = view, places, n_tables == 2
        self.side = np.array([side for side, _, _ in places], dtype=np.int64)
        numbers: dict = {}
        self.content = np.array([numbers.setdefault(content, len(numbers)) for content in contents], dtype=np.int64)
        self.found: dict = {}

    def equal(self):
        """List what is equal."""
        for members in _members(self.content):
            if self.across:
                self._between(members, members, "exact", 1.0)
            else:
                self._add([(members[0], item) for item in members[1:]], "exact", 1.0)

    def near(self, codes, search):
        """List what is near but not equal.

        Parameters
        ----------
        codes : ndarray of shape (n_items,)
            Group of each item, such as that of its hash; -1 for items that belong to none.
        search : callable
            From a mask of pairs of groups, as a function, to two arrays of groups and one of their similarities.
        """
        groups = {int(codes[members[0]]): members for members in _members(codes) if codes[members[0]] >= 0}
        if not groups:
            return
        for members in groups.values():
            self._unequal_within(members)
        known = np.zeros((2, max(groups) + 1), dtype=bool)
        for group, members in groups.items():
            known[self.side[members], group] = True
        second_side = known[-1] if self.across else known[0]

        def wanted(one, two):
            size = known.shape[1]
            inside = (one < size) & (two < size)
            one, two = np.where(inside, one, 0), np.where(inside, two, 0)
            return inside & (known[0][one] & second_side[two] | known[0][two] & second_side[one])

        for one, two, similarity in zip(*search(wanted), strict=True):
            first, second = groups[int(one)], groups[int(two)]
            if self.across:
                self._between(first, second, "near", similarity)
                self._between(second, first, "near", similarity)
            else:
                self._add([(first[0], second[0])], "near", similarity)

    def rows(self):
        """Rows of the table of duplicates, in the order of the items."""
        for (one, two), (kind, similarity) in sorted(self.found.items()):
            (_, row, caption), (_, other_row, other_caption) = self.places[one], self.places[two]
            yield self.view, kind, row, caption, other_row, other_caption, float(similarity)

    def _unequal_within(self, members):
        """Items of one group that are not equal: near without any difference in the hash."""
        if not self.across:
            firsts = members[np.sort(np.unique(self.content[members], return_index=True)[1])]
            self._add([(firsts[0], item) for item in firsts[1:]], "near", 1.0)
            return
        for own, others in ((0, 1), (1, 0)):
            theirs = members[self.side[members] == others]
            for item in members[self.side[members] == own]:
                unequal = theirs[self.content[theirs] != self.content[item]]
                self._add([(item, unequal[0])] if len(unequal) else [], "near", 1.0)

    def _between(self, first, second, kind, similarity):
        """Every item of `first` in the one table and of `second` in the other, beside the first of its counterparts."""
        mine, theirs = first[self.side[first] == 0], second[self.side[second] == 1]
        if len(mine) and len(theirs):
            self._add([(item, theirs[0]) for item in mine] + [(mine[0], item) for item in theirs], kind, similarity)

    def _add(self, pairs, kind, similarity):
        for one, two in pairs:
            key = (int(min(one, two)), int(max(one, two)))
            same_row = self.places[one][:2] == self.places[two][:2]
            if not same_row:
                self.found.setdefault(key, (kind, similarity))


def _members(codes):
    """Items of each group, ascending."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(order) else []
