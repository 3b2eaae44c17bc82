"""How often may one user speak? A token bucket per user; pure, the clock is passed in."""

from __future__ import annotations

from collections import OrderedDict


class TokenBuckets:
    """A bucket of `burst` tokens per key, refilled at `rate` tokens a second.

    Kept as the generic cell rate algorithm (ITU-T I.371): of each bucket only the
    moment at which it will be full again. A full bucket needs no memory, so what is
    held are the keys of the last `burst / rate` seconds, and never more than `max_keys`.

    Args:
        rate: tokens a second, > 0.
        burst: tokens of a full bucket, >= 1.
        max_keys: buckets held; beyond it the one least recently used starts full again.
    """

    def __init__(self, rate: float, burst: int, max_keys: int = 100_000) -> None:
        self._interval = 1.0 / rate
        self._tolerance = (burst - 1) * self._interval
        self._max_keys = max_keys
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str, now: float) -> float:
        """Take a token.

        Args:
            key: the user.
            now: seconds of any clock that does not go back.

        Returns:
            0.0 when there was one; otherwise the seconds until there is.
        """
        self._forget_full(now)
        full_at = max(self._full_at.get(key, now), now)
        wait = full_at - now - self._tolerance
        # A billionth of a second forgives what adding up intervals loses.
        if wait > 1e-9:
            return wait
        self._full_at[key] = full_at + self._interval
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._max_keys:
            self._full_at.popitem(last=False)
        return 0.0

    def _forget_full(self, now: float) -> None:
        # Two for each that may come in: what is full leaves sooner than it gathers.
        for _ in range(2):
            if not self._full_at:
                return
            key = next(iter(self._full_at))
            if self._full_at[key] > now:
                return
            del self._full_at[key]
