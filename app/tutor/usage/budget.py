"""What one learner may use in a day: tokens and cost, reserved before and settled after.

An attempt reserves the most that it can use, atomically, so that no number of workers
together lets a learner over the limit; afterwards the reservation becomes what was used.
It is held for as long as its request can last. What nobody settles (its worker died, or was
cancelled, or never heard from Redis that it was made) then no longer counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from app.tutor.config import BudgetSettings, TimeoutSettings
from app.tutor.providers.errors import OverBudget
from app.tutor.scripts import RESERVE, SETTLE
from app.tutor.store import TutorStore

_TIMEOUTS: Final = TimeoutSettings()
_KEPT: Final = 2 * 86_400
"""Seconds a day's sums are kept after their last change."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Something set aside on one learner's day.

    key: of the day
    id: its own, given before anything is asked of Redis
    """

    key: str
    id: str


class Budgets:
    """All learners' budgets. Every method raises StoreDown.

    Args:
        clock: the time, aware, UTC.
        timeouts: of the requests that reserve.

    Attributes:
        lease: seconds that a reservation is held.
    """

    def __init__(
        self,
        store: TutorStore,
        settings: BudgetSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        timeouts: TimeoutSettings = _TIMEOUTS,
    ) -> None:
        self._store = store
        self._tokens = settings.tokens_per_day
        dollars = settings.dollars_per_day
        self._micros = None if dollars is None else math.floor(dollars * 1_000_000)
        self._clock = clock
        # A request ends by its deadline; then its account has two calls to make, this the second.
        self.lease = timeouts.overall + 2 * timeouts.store

    async def reserve(
        self, user_id: str, tokens: int, micros: int, asked_at: int | None = None
    ) -> Reservation:
        """Set aside, for `lease` seconds. Raises OverBudget, and then nothing is set aside.

        Where it raises StoreDown or is cancelled, it may have been: until the lease is over.

        asked_at: ms; a learner who was erased since then gets nothing. None: not looked at
        """
        now = self._clock()
        made = Reservation(self._store.keys.of_user(user_id, f"used:{now:%Y-%m-%d}"), uuid4().hex)
        said = await self._store.run(
            RESERVE,
            # The ledger's fence: `app.tutor.replies.ledger`.
            [made.key, self._store.keys.of_user(user_id, "fence")],
            made.id,
            tokens,
            micros,
            math.ceil(self.lease * 1000),
            "" if self._tokens is None else self._tokens,
            "" if self._micros is None else self._micros,
            _KEPT,
            "" if asked_at is None else asked_at,
        )
        limit = said.decode() if isinstance(said, bytes) else said
        if limit != "ok":
            tomorrow = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
            raise OverBudget(limit, (tomorrow - now).total_seconds())
        return made

    async def settle(self, reservation: Reservation, tokens: int, micros: int) -> None:
        """Replace what was set aside by what was used. Harmless to repeat.

        Of one whose lease is over, what was used is added.
        """
        await self._store.run(SETTLE, [reservation.key], reservation.id, tokens, micros)

    async def used(self, user_id: str) -> tuple[int, int]:
        """Tokens and millionths of a dollar of today, with what is set aside.

        What has lapsed counts until somebody reserves.
        """
        key = self._store.keys.of_user(user_id, f"used:{self._clock():%Y-%m-%d}")
        found = await self._store.fields(key)
        return int(found.get("tokens", 0)), int(found.get("micros", 0))

    async def forget(self, user_id: str) -> None:
        """Remove the learner: every day whose sums are kept."""
        now = self._clock()
        days = (now - timedelta(days=back) for back in range(3))
        await self._store.delete(
            [self._store.keys.of_user(user_id, f"used:{day:%Y-%m-%d}") for day in days]
        )
