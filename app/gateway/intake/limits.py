"""How often may one user speak? A token bucket per user.

`TokenBuckets` is pure, its clock is passed in. `RateLimit` says whose bucket counts.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from app.gateway.auth.tokens import Principal
from app.gateway.intake.refusal import Refusal
from schemas.wire.errors import ErrorCode


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


class RateLimit:
    """The rate of one door.

    Args:
        rate: messages or requests a second.
        burst: how many may come at once.
        what: "messages" or "requests", for the client.
        clock: seconds that do not go back.
    """

    def __init__(
        self, rate: float, burst: int, what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._buckets = TokenBuckets(rate, burst)
        self._what = what
        self._clock = clock

    def count(self, principal: Principal, user_id: str | None) -> None:
        """Count one against the learner that it is for, or else against its sender.

        Whoever acts for a learner shares that learner's rate. Raises Refusal (RATE_LIMITED).
        """
        key = principal.subject
        if user_id is not None and principal.may_act_as(user_id):
            key = user_id
        wait = self._buckets.take(key, self._clock())
        if wait:
            raise Refusal(ErrorCode.RATE_LIMITED, f"too many {self._what}", retry_after=wait)
