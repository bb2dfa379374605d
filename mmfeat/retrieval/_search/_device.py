"""Exact search with products on another device; what is returned is that of the search on the processor."""

import numpy as np

from mmfeat.retrieval._search._exact import search_exactly
from mmfeat.retrieval._search._race import exact_pairs, lowered
from mmfeat.utils._device import matmul_precision

# A block of products on the device: 2,048 queries times 65,536 items are 512 MiB.
ITEMS, QUERIES = 1 << 16, 1 << 11
_GROUP = 64
# More than k are fetched, so that the rounding of float32 does not decide who is among them.
_SPARE = 16
# Candidates of all queries that are searched for together, and numbers in float64 that are multiplied at a time.
_PAIRS, _NUMBERS = 1 << 24, 1 << 25
# TensorFloat-32 keeps ten bits of a factor, bfloat16, the coarsest there is, seven.
_INPUT_ROUNDING = {"ieee": 0.0, "tf32": 2.0**-10, "bf16": 2.0**-7}


class DeviceSearch:
    """A gallery on a device of torch.

    Parameters
    ----------
    gallery : Gallery
        Stays where it is as well, for the originals and for what the device leaves in doubt.
    device : str
    """

    def __init__(self, gallery, device):
        self._gallery, self._device = gallery, device
        names = [name for name in ("rows", "scales") if name in gallery.columns]
        self._columns = {name: self._put(gallery.columns[name]) for name in names}
        self._limits = gallery.limits(slice(0, len(gallery)))
        self._halves = None
        if gallery.metric == "euclidean":
            self._halves = self._put(gallery.columns["squares"] / 2)

    def search(self, queries, k, allowed=None):
        """As :func:`search_exactly`."""
        allowed_there = None if allowed is None else self._put(allowed)
        at_a_time = max(1, min(QUERIES, _PAIRS // (k + _SPARE)))
        parts = [
            self._search(queries[start : start + at_a_time], k, allowed, allowed_there)
            for start in range(0, len(queries), at_a_time)
        ]
        scores, positions = zip(*parts, strict=True)
        return np.concatenate(scores), np.concatenate(positions)

    def _put(self, array):
        import torch

        return torch.tensor(np.asarray(array), device=self._device)

    def _search(self, queries, k, allowed, allowed_there):
        metric, n = self._gallery.metric, len(self._gallery) if allowed is None else len(allowed)
        values, positions = self._best(self._put(queries.rows), min(n, k + _SPARE), n, allowed_there)
        halves = self._exact(queries, positions)
        scores = self._scores(halves, self._put(queries.squares)[:, None])
        # Two stable sorts: by place, then by score.
        positions, order = positions.sort(dim=1)
        scores, order = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
        found = scores[:, :k].cpu().numpy(), positions.gather(1, order)[:, :k].cpu().numpy()
        if n > k + _SPARE:
            # Whatever was not fetched has at most the last product that was. That must not reach the k-th best.
            last, kth = (part.double().cpu().numpy() for part in (values[:, -1], halves.topk(k, dim=1).values[:, -1]))
            rounding = _INPUT_ROUNDING.get(matmul_precision(self._device), _INPUT_ROUNDING["bf16"])
            margins = self._limits.margins(queries.lengths, rounding)
            unsure = np.flatnonzero(last + margins >= lowered(kth, queries.squares, metric))
            if len(unsure):
                for result, part in zip(found, search_exactly(self._gallery, queries[unsure], k, allowed), strict=True):
                    result[unsure] = part
        return found

    def _best(self, rows, m, n, allowed):
        """Highest float32 products of each query, and their positions."""
        import torch

        values = torch.empty((len(rows), 0), device=self._device)
        positions = torch.empty((len(rows), 0), dtype=torch.int64, device=self._device)
        for start in range(0, n, ITEMS):
            block = slice(start, min(n, start + ITEMS))
            which = block if allowed is None else allowed[block]
            products = rows @ self._items(which).T
            if self._halves is not None:
                products -= self._halves[which].float()
            best, places = _top(products, min(m, products.shape[1]))
            places = start + places if allowed is None else allowed[start + places]
            values, positions = torch.cat([values, best], dim=1), torch.cat([positions, places], dim=1)
            values, order = values.topk(min(m, values.shape[1]), dim=1)
            positions = positions.gather(1, order)
        return values, positions

    def _items(self, which):
        items = self._columns["rows"][which].float()
        return items * self._columns["scales"][which][..., None] if "scales" in self._columns else items

    def _exact(self, queries, positions):
        """Products in float64, which are exact on any device in any order, less half the squares of the items."""
        if self._gallery.originals:
            numbers = np.repeat(np.arange(len(queries)), positions.shape[1])
            halves = exact_pairs(self._gallery, queries.rows, numbers, positions.cpu().numpy().reshape(-1))
            return self._put(halves.reshape(positions.shape))
        rows = self._put(queries.rows).double()
        width = max(1, min(positions.shape[1], _NUMBERS // rows.shape[1]))
        at_a_time = max(1, _NUMBERS // (width * rows.shape[1]))
        parts = [
            _joined(
                [(self._items(places).double() * some[:, None]).sum(dim=2) for places in of_some.split(width, 1)], 1
            )
            for some, of_some in zip(rows.split(at_a_time), positions.split(at_a_time), strict=True)
        ]
        products = _joined(parts, 0)
        return products if self._halves is None else products - self._halves[positions]

    def _scores(self, halves, squares):
        """As :func:`to_scores`."""
        if self._gallery.metric == "euclidean":
            return (0 - (squares - 2 * halves).clamp(min=0).sqrt()).float()
        return halves.float().clamp(-1, 1) if self._gallery.metric == "cosine" else halves.float()


def _top(products, m):
    """Highest m of each row and where they are: those of the m groups with the highest maxima."""
    n_groups = products.shape[1] // _GROUP
    if n_groups < 2 * m:
        return products.topk(m, dim=1)
    n = n_groups * _GROUP
    groups = products[:, :n].unflatten(1, (n_groups, _GROUP))
    chosen = groups.amax(dim=2).topk(m, dim=1).indices
    values = groups.gather(1, chosen[:, :, None].expand(-1, -1, _GROUP)).flatten(1)
    best, order = values.topk(m, dim=1)
    places = chosen.gather(1, order // _GROUP) * _GROUP + order % _GROUP
    if n == products.shape[1]:
        return best, places
    # The items past the last full group.
    rest = products[:, n:]
    values, order = rest.topk(min(m, rest.shape[1]), dim=1)
    best, places = _joined([best, values], 1), _joined([places, n + order], 1)
    best, order = best.topk(m, dim=1)
    return best, places.gather(1, order)


def _joined(parts, dim):
    import torch

    return torch.cat(parts, dim=dim)
