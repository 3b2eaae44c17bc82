"""A bounded memory of event ids, by which a client's own retry is recognised."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from models.learner.config import SeenSettings

HASH_BYTES: Final = 8
"""Two of 512 ids collide once in 10^14 memories: rarer than a lost disk."""


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
        known = set(struct.unpack(f"<{len(self)}Q", self.hashes))
        positions = []
        for position, value in enumerate(ids):
            number = int.from_bytes(_hash(value), "little")
            if number not in known:
                known.add(number)
                positions.append(position)
        return positions

    def plus(self, ids: Iterable[str], ingest_time: int, settings: SeenSettings) -> Seen:
        """With more ids, without those that have left the window or the bound."""
        added = b"".join(_hash(value) for value in ids)
        hashes = self.hashes + added
        runs = self.runs + (((ingest_time, len(added) // HASH_BYTES),) if added else ())
        if not runs:
            return self
        oldest = max(run[0] for run in runs) - round(settings.window * 1000)
        if any(run[0] < oldest for run in runs):
            runs, hashes = _within(runs, hashes, oldest)
        excess = len(hashes) // HASH_BYTES - settings.max_ids
        if excess > 0:
            runs, hashes = _without_first(runs, excess), hashes[excess * HASH_BYTES :]
        return Seen(runs, hashes)


def _hash(value: str) -> bytes:
    return blake2b(value.encode(), digest_size=HASH_BYTES).digest()


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
