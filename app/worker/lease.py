"""The right of a worker to write: as old as its last word from the group coordinator.

Kafka gives a silent worker's partitions away after `session_timeout`. A worker that
was paused longer than that does not know; so each write asks here first. A lease
once lost is lost for good: what the process holds in memory may be stale, so it ends
and a fresh one joins.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Lease:
    """Valid for `duration` seconds after the moment the last good request was sent.

    Counted from the sending, not the answer: the coordinator heard from us no
    earlier. Renewed in the consumer's thread and read in others; single attributes
    are read and written atomically.

    Args:
        duration: seconds; the group's session timeout.
        on_lost: called once with the reason; expected to end the process.
        clock: monotonic seconds that run on while the process is stopped.
    """

    def __init__(
        self,
        duration: float,
        on_lost: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._duration = duration
        self._on_lost = on_lost
        self._clock = clock
        self._renewed_at: float | None = None
        self._lost: str | None = None
        self._resigned = False

    def now(self) -> float:
        """The lease's own clock, for the moment before a request is sent."""
        return self._clock()

    def renew(self, sent_at: float) -> None:
        """The coordinator accepted a request that was sent at `sent_at`."""
        if self._renewed_at is not None and sent_at - self._renewed_at >= self._duration:
            self._lose(f"silent for {sent_at - self._renewed_at:.1f} s")
        else:
            self._renewed_at = sent_at

    def revoke(self, reason: str) -> None:
        """The coordinator said that this member is not in the group.

        Before the first renewal that is the ordinary way to join, and after `resign` the
        ordinary way out: it then means nothing.
        """
        if self._renewed_at is not None and not self._resigned:
            self._lose(reason)

    def resign(self) -> None:
        """This worker is about to leave the group, and has stopped to write what it owns."""
        self._resigned = True

    @property
    def valid(self) -> bool:
        """Whether a write is safe at this moment."""
        return (
            self._lost is None
            and self._renewed_at is not None
            and self._clock() - self._renewed_at < self._duration
        )

    def check(self) -> None:
        """Call right before a write: ends the process unless the write is safe."""
        if self._lost is None and not self.valid:
            self._lose("no word from the coordinator within the session timeout")

    def awake(self) -> None:
        """Call when the process was stopped and goes on: ends it unless a write is still safe.

        Of a worker that has not joined yet, or has resigned, a pause says nothing.
        """
        if self._renewed_at is not None and not self._resigned:
            self.check()

    def _lose(self, reason: str) -> None:
        if self._lost is None:
            self._lost = reason
            self._on_lost(reason)
