"""A bounded memory of event ids, by which a client's own retry is recognised.

An id names an event among those of its kind: a page may number its messages and its
interactions from 1 each. Until format 3 records held hashes of ids without their kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

from models.learner.parameters import SeenSettings

HASH_BYTES: Final = 6
"""A new id collides with one of 512 once in 5 * 10^11: rarer than a lost disk."""


PARTS: Final = 64
"""Into so many parts of time the window is cut; ids of one part leave together."""

HASH_BYTES_FORMAT_1: Final = 8
"""What records of format 1 hold of each id."""


class Kind(bytes, Enum):
    """What an id names; the value is part of every hash in a record, so it stays as it is."""

    INTERACTION = b"interaction"
    BATCH = b"batch"
    """A whole record of interactions."""
    MESSAGE = b"message"
    FEEDBACK = b"feedback"


_NO_KIND: Final = b""


class EventId(NamedTuple):
    """An id, and what it names."""

    kind: Kind
    value: str


@dataclass(frozen=True, slots=True)
class Seen:
    """Hashes of event ids in the order of arrival, in runs that share an ingest time.

    `runs` holds (ingest time in milliseconds, number of ids); `hashes` their hashes,
    end to end, so that a record is read and written without touching each id.
    """

    runs: tuple[tuple[int, int], ...] = ()
    hashes: bytes = b""
    by_kind: bool = True
    """Whether it tells kinds apart. False: as the releases before format 4 remember and ask."""
    kindless: int = 0
    """The first so many hashes are of ids without kind, from before `with_kinds`."""

    def __len__(self) -> int:
        return len(self.hashes) // HASH_BYTES

    def unseen(self, ids: Sequence[EventId]) -> list[int]:
        """Positions of the ids that are new; of one id given twice, the first."""
        known: set[bytes] = set()
        positions = []
        for position, one in enumerate(ids):
            digest = self._digest(one)
            if digest not in known and not self._holds(digest, self.kindless, len(self)):
                if self.kindless and self._holds(_hash(one.value, _NO_KIND), 0, self.kindless):
                    continue
                known.add(digest)
                positions.append(position)
        return positions

    def _digest(self, one: EventId) -> bytes:
        return _hash(one.value, one.kind if self.by_kind else _NO_KIND)

    def _holds(self, digest: bytes, first: int, end: int) -> bool:
        """Whether it is among the hashes from `first` to before `end`."""
        at, stop = self.hashes.find(digest, first * HASH_BYTES), end * HASH_BYTES
        while at % HASH_BYTES and at >= 0:
            # Found across two hashes: no hash of ours.
            at = self.hashes.find(digest, at + 1)
        return 0 <= at < stop

    def plus(self, ids: Iterable[EventId], ingest_time: int, settings: SeenSettings) -> Seen:
        """With more ids, without those that have left the window or the bound."""
        added = b"".join(map(self._digest, ids))
        window = round(settings.window * 1000)
        runs = _with(self.runs, ingest_time, len(added) // HASH_BYTES, window)
        if not runs:
            return self
        grown = Seen(runs, self.hashes + added, self.by_kind, self.kindless)
        oldest = max(run[0] for run in runs) - window
        if any(run[0] < oldest for run in runs):
            grown = grown._since(oldest)
        excess = len(grown) - settings.max_ids
        return grown._without_first(excess) if excess > 0 else grown

    def with_kinds(self) -> Seen:
        """The same ids, told apart by kind from now on.

        Those in it count as seen whatever they name, as they did so far, until they have left
        the window or the bound.
        """
        return self if self.by_kind else replace(self, by_kind=True, kindless=len(self))

    def without_old_kindless(self, now: int, settings: SeenSettings) -> Seen:
        """Without ids of no kind that have left the window at `now` (ingest time, ms).

        `plus` drops ids when others come. That is enough for ids by kind: who finds one later
        has found a retry. One of no kind would keep an id of another kind from counting.
        """
        oldest = now - round(settings.window * 1000)
        if not self.kindless or all(time >= oldest for time, _ in self.runs):
            return self
        return self._since(oldest)

    def _since(self, oldest: int) -> Seen:
        # Runs of different topics may arrive out of the order of their ingest times.
        runs, kept, start, kindless = [], [], 0, 0
        for ingest_time, count in self.runs:
            end = start + count
            if ingest_time >= oldest:
                runs.append((ingest_time, count))
                kept.append(self.hashes[start * HASH_BYTES : end * HASH_BYTES])
                kindless += max(0, min(end, self.kindless) - start)
            start = end
        return replace(self, runs=tuple(runs), hashes=b"".join(kept), kindless=kindless)

    def _without_first(self, excess: int) -> Seen:
        runs, left = [], excess
        for ingest_time, count in self.runs:
            dropped = min(left, count)
            left -= dropped
            if count > dropped:
                runs.append((ingest_time, count - dropped))
        hashes = self.hashes[excess * HASH_BYTES :]
        kindless = max(0, self.kindless - excess)
        return replace(self, runs=tuple(runs), hashes=hashes, kindless=kindless)


def from_format_1(hashes: bytes) -> bytes:
    """Hashes of format 1, cut to those of now."""
    return b"".join(
        hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES_FORMAT_1)
    )


@lru_cache(maxsize=1024)
def _hash(value: str, kind: bytes) -> bytes:
    # Kept for a moment: whoever asks for an id adds it next.
    # Cut from 8 bytes, as records of format 1 hold them. `person` parts the kinds' hashes;
    # the empty one is no different from none.
    digest = blake2b(value.encode(), digest_size=HASH_BYTES_FORMAT_1, person=kind).digest()
    return digest[:HASH_BYTES]


def _with(
    runs: tuple[tuple[int, int], ...], ingest_time: int, count: int, window: int
) -> tuple[tuple[int, int], ...]:
    # Ids that came close together leave together, at most a part of the window late:
    # else a page that sends each interaction alone would fill the record with times.
    if not count:
        return runs
    part = max(window // PARTS, 1)
    if runs and runs[-1][0] // part == ingest_time // part:
        time, before = runs[-1]
        return (*runs[:-1], (max(time, ingest_time), before + count))
    return (*runs, (ingest_time, count))
