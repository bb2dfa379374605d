"""One call of a cached transformer: rows found, rows computed and written in batches."""

import re
import time
import warnings
from contextlib import contextmanager

from mmfeat.caching._content import first_parts, meaning_of_strings
from mmfeat.caching._digests import Digests
from mmfeat.caching._fingerprint import describe
from mmfeat.caching._rows import Gathered
from mmfeat.utils._unknown import UnknownTextWarning, warn_unknown, zero_rows

# Rows that are computed before they are written: as many as take some seconds, which is what a kill can lose.
_FIRST_BATCH = 32
_LARGEST_BATCH = 4096
_BATCH_SECONDS = 2.5
_KEY_OF_TRANSFORMER = 16
_ROW = re.compile(r"\b(image|text|row|bag) (\d+)", re.IGNORECASE)


class Call:
    """One call of transform.

    Parameters
    ----------
    transformer : transformer
        Fitted.
    identity : bytes
        Its fingerprint.
    store : Store
    rows : Rows

    Attributes
    ----------
    n_computed : int
        Rows computed so far.
    errors : list of (int, str or None, str)
        Rows that the transformer could not read, as its `errors_` tells them.
    """

    def __init__(self, transformer, identity, store, rows):
        self.n_computed = 0
        self.errors: list = []
        self._transformer = transformer
        self._store = store
        self._rows = rows
        meaning = meaning_of_strings(transformer)
        self._takes_texts = meaning == "text"
        self._digests = Digests(rows, meaning, store)
        prefix = identity[:_KEY_OF_TRANSFORMER]
        self._note = prefix, describe(transformer)
        self._keys = [None if digest is None else prefix + digest for digest in self._digests.of_row]
        self._gathered = Gathered(rows.n)
        self._damaged: set = set()
        self._keeps = True

    def run(self):
        """Return the result."""
        first: dict = {}
        copies: dict = {}
        for row, key in enumerate(self._keys):
            if key is not None and first.setdefault(key, row) != row:
                copies.setdefault(first[key], []).append(row)
        self._protected = first.keys()
        missing = self._find(first)
        waiting = sorted([first[key] for key in missing] + [row for row, key in enumerate(self._keys) if key is None])
        if not waiting and self._digests.learned:
            self._keep({})
        size = _FIRST_BATCH
        while waiting:
            batch, waiting = waiting[:size], waiting[size:]
            start, before = time.perf_counter(), self.n_computed
            self._compute(batch)
            size = _next_size(size, self.n_computed - before, time.perf_counter() - start)
        for row, others in copies.items():
            self._gathered.copy(row, others)
        self.errors += [(row, *error[1:]) for error in self.errors for row in copies.get(error[0], ())]
        self.errors.sort(key=lambda error: error[0])
        result = self._gathered.result()
        if self._takes_texts:  # rows from the cache as well as those of each batch, in one warning
            name = type(self._transformer).__name__
            warn_unknown(zero_rows(result), f"the rows of {name} are zeros, which are similar to nothing")
        return result

    def _find(self, positions):
        """Take the rows that are kept; return the keys of the others."""
        missing, damaged = self._store.read(positions, self._gathered.receive)
        if damaged:
            warnings.warn(
                f"{len(damaged)} rows in the cache '{self._store.location}' are damaged and are computed again. "
                "Run `mmfeat cache verify`, and check the disk.",
                UserWarning,
                stacklevel=5,
            )
            self._damaged.update(damaged)
        return missing + damaged

    def _compute(self, batch):
        # Another process may have written some of them meanwhile.
        asked = {
            self._keys[row]: row
            for row in batch
            if self._keys[row] is not None and self._keys[row] not in self._damaged
        }
        missing = self._still_missing(asked) if self.n_computed else asked
        batch = [row for row in batch if self._keys[row] not in asked or self._keys[row] in missing]
        if not batch:
            return
        with _naming_rows(batch, hidden=UnknownTextWarning if self._takes_texts else ()):
            output = self._transformer.transform(self._rows.take(batch))
            if hasattr(output, "in_parts"):  # bags too many for one call to hold, computed when they are asked for
                output = list(output)
        encoded = self._gathered.add(batch, output)
        self.n_computed += len(batch)
        failed = [(batch[place], path, _renamed(text, batch)) for place, path, text in _errors_of(self._transformer)]
        self.errors += failed
        unread = {row for row, _, _ in failed}
        kept = {
            self._keys[row]: data
            for row, data in zip(batch, encoded, strict=True)
            if data is not None
            and self._keys[row] is not None
            and row not in unread
            and self._digests.is_unchanged(row)
        }
        self._keep(kept)

    def _still_missing(self, asked):
        try:
            return set(self._find(asked))
        except OSError:
            return set(asked)  # the folder was cleared at this moment, say: what is kept is a help, not a need

    def _keep(self, encoded):
        if not self._keeps:
            return
        learned, self._digests.learned = self._digests.learned, {}
        try:
            room = self._store.write(
                encoded, protected=self._protected, replaced=self._damaged, note=self._note, paths=learned.items()
            )
            trouble = f"`max_bytes`={self._store.max_bytes} leaves no room. Raise it"
        except OSError as error:
            room, trouble = False, f"{error} Free space on the disk, or correct the rights of the folder"
        if not room:
            self._keeps = False
            warnings.warn(
                f"The cache '{self._store.location}' keeps no more rows of this call, which go on being computed: {trouble}.",
                UserWarning,
                stacklevel=6,
            )


def _next_size(size, n_computed, taken):
    """Rows of the next batch: what can be computed in the time of a batch, by the speed of the last one."""
    if not n_computed:  # others had computed them
        return size
    affordable = int(n_computed / max(taken, 1e-6) * _BATCH_SECONDS)
    # The first batch pays for what is loaded, so that later ones may be much faster, and a few rows tell little.
    return max(1, min(affordable, 8 * size, _LARGEST_BATCH))


def knows_errors(transformer):
    """Say whether a transformer, or what sees its input first, lists in `errors_` what it could not read."""
    return hasattr(transformer, "errors_") or any(map(knows_errors, first_parts(transformer)))


def _errors_of(transformer):
    if hasattr(transformer, "errors_"):
        return list(transformer.errors_)
    return [error for part in first_parts(transformer) for error in _errors_of(part)]


@contextmanager
def _naming_rows(batch, hidden=()):
    """Let errors and warnings that name a row of the batch ("image 3") name it as the caller counts."""
    told: list = []
    try:
        with warnings.catch_warnings(record=True) as told:
            yield
    except ValueError as error:
        if error.args and isinstance(error.args[0], str):
            error.args = (_renamed(error.args[0], batch), *error.args[1:])
        raise
    finally:
        for warning in told:
            if not issubclass(warning.category, hidden):
                warnings.warn(_renamed(str(warning.message), batch), warning.category, stacklevel=8)


def _renamed(text, batch):
    return _ROW.sub(
        lambda found: f"{found[1]} {batch[int(found[2])]}" if int(found[2]) < len(batch) else found[0], text, 1
    )
