"""A circuit breaker: closed, open, half-open. Pure; the time is passed in."""

from __future__ import annotations

from enum import StrEnum


class BreakerState(StrEnum):
    """Closed lets work through, open does not, half-open lets one trial through."""

    CLOSED = "ok"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Opens after `failures` failures in a row, and lets a trial through every `cooldown` seconds.

    For one thread, which makes the trials: it asks `state` and tells how each went.
    """

    def __init__(self, failures: int, cooldown: float) -> None:
        self._limit = failures
        self._cooldown = cooldown
        self._failures = 0
        self._opened_at: float | None = None

    def state(self, now: float) -> BreakerState:
        """The state at `now` (monotonic seconds)."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.retry_after(now) else BreakerState.HALF_OPEN

    def retry_after(self, now: float) -> float:
        """Seconds until a trial is due; 0 when it is, or when the breaker is closed."""
        if self._opened_at is None:
            return 0.0
        return max(0.0, self._opened_at + self._cooldown - now)

    def succeeded(self) -> None:
        """The model worked."""
        self._failures = 0
        self._opened_at = None

    def failed(self, now: float) -> None:
        """The model failed; a failed trial opens at once."""
        self._failures += 1
        if self._opened_at is not None or self._failures >= self._limit:
            self._opened_at = now
