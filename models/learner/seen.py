"""A bounded memory of event ids, by which a client's own retry is recognised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from models.learner.parameters import SeenSettings

HASH_BYTES: Final = 6
"""A new id collides with one of 512 once in 5 * 10^11: rarer than a lost disk."""


PARTS: Final = 64
"""Into so many parts of time the window is cut; ids of one part leave together."""

HASH_BYTES_FORMAT_1: Final = 8
"""What records of format 1 hold of each id."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Hashes of event ids in the order of arrival, in runs that share an ingest time.

    `runs` holds (ingest time in milliseconds, number of ids); `hashes` their hashes,
    end to end, so that a record is read and written without touching each id.
    """

    runs: tuple[tuple[int, int], ...] = ()
    hashes: bytes = b""

    def __len__(self) -> int:
        return len(self.hashes) // HASH_BYTES

    def unseen(self, ids: Sequence[str]) -> list[int]:
        """Positions of the ids that are new; of one id given twice, the first."""
        known: set[bytes] = set()
        positions = []
        for position, value in enumerate(ids):
            digest = _hash(value)
            if digest not in known and not self._holds(digest):
                known.add(digest)
                positions.append(position)
        return positions

    def _holds(self, digest: bytes) -> bool:
        at = self.hashes.find(digest)
        while at % HASH_BYTES and at >= 0:
            # Found across two hashes: no hash of ours.
            at = self.hashes.find(digest, at + 1)
        return at >= 0

    def plus(self, ids: Iterable[str], ingest_time: int, settings: SeenSettings) -> Seen:
        """With more ids, without those that have left the window or the bound."""
        added = b"".join(_hash(value) for value in ids)
        hashes = self.hashes + added
        window = round(settings.window * 1000)
        runs = _with(self.runs, ingest_time, len(added) // HASH_BYTES, window)
        if not runs:
            return self
        oldest = max(run[0] for run in runs) - window
        if any(run[0] < oldest for run in runs):
            runs, hashes = _within(runs, hashes, oldest)
        excess = len(hashes) // HASH_BYTES - settings.max_ids
        if excess > 0:
            runs, hashes = _without_first(runs, excess), hashes[excess * HASH_BYTES :]
        return Seen(runs, hashes)


def from_format_1(hashes: bytes) -> bytes:
    """Hashes of format 1, cut to those of now."""
    return b"".join(
        hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES_FORMAT_1)
    )


def _hash(value: str) -> bytes:
    # Cut from 8 bytes, as records of format 1 hold them.
    return blake2b(value.encode(), digest_size=HASH_BYTES_FORMAT_1).digest()[:HASH_BYTES]


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


def _within(
    runs: tuple[tuple[int, int], ...], hashes: bytes, oldest: int
) -> tuple[tuple[tuple[int, int], ...], bytes]:
    # Runs of different topics may arrive out of the order of their ingest times.
    kept_runs, kept, start = [], [], 0
    for ingest_time, count in runs:
        end = start + count * HASH_BYTES
        if ingest_time >= oldest:
            kept_runs.append((ingest_time, count))
            kept.append(hashes[start:end])
        start = end
    return tuple(kept_runs), b"".join(kept)


def _without_first(runs: tuple[tuple[int, int], ...], excess: int) -> tuple[tuple[int, int], ...]:
    kept = []
    for ingest_time, count in runs:
        dropped = min(excess, count)
        excess -= dropped
        if count > dropped:
            kept.append((ingest_time, count - dropped))
    return tuple(kept)
