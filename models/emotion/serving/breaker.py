"""A circuit breaker: closed, open, half-open. Pure; the time is passed in."""

from __future__ import annotations

from enum import StrEnum


class BreakerState(StrEnum):
    """Closed lets work through, open does not, half-open lets one trial through."""

    CLOSED = "ok"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Opens after `failures` failures in a row, tries again `cooldown` seconds later."""

    def __init__(self, failures: int, cooldown: float) -> None:
        self._limit = failures
        self._cooldown = cooldown
        self._failures = 0
        self._opened_at: float | None = None
        self._trial = False

    def state(self, now: float) -> BreakerState:
        """The state at `now` (monotonic seconds)."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        if self._trial or now - self._opened_at >= self._cooldown:
            return BreakerState.HALF_OPEN
        return BreakerState.OPEN

    def retry_after(self, now: float) -> float:
        """Seconds until a trial is due; 0 when it is, or when the breaker is closed."""
        if self._opened_at is None:
            return 0.0
        return max(0.0, self._opened_at + self._cooldown - now)

    def try_once(self, now: float) -> bool:
        """True for exactly one caller when a trial is due; that one must report its outcome."""
        if self.state(now) is BreakerState.HALF_OPEN and not self._trial:
            self._trial = True
            return True
        return False

    def succeeded(self) -> None:
        """The model worked."""
        self._failures = 0
        self._opened_at = None
        self._trial = False

    def failed(self, now: float) -> None:
        """The model failed; a failed trial opens at once."""
        self._failures += 1
        if self._trial or self._failures >= self._limit:
            self._opened_at = now
        self._trial = False
