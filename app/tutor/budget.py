"""What one learner may use in a day: tokens and cost, reserved before and settled after.

An attempt reserves the most that it can use, atomically, so that no number of workers
together lets a learner over the limit; afterwards the reservation becomes what was used.
What a worker that died had reserved stays reserved until the day (UTC) is over: the error
is on the side of spending less.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.tutor.config import BudgetSettings
from app.tutor.errors import OverBudget
from app.tutor.scripts import RESERVE, SETTLE
from app.tutor.store import TutorStore

_KEPT: Final = 2 * 86_400
"""Seconds a day's sums are kept after their last change."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tokens and millionths of a dollar set aside on one learner's day."""

    key: str
    tokens: int
    micros: int


class Budgets:
    """All learners' budgets. Every method raises StoreDown.

    Args:
        clock: the time, aware, UTC.
    """

    def __init__(
        self,
        store: TutorStore,
        settings: BudgetSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._tokens = settings.tokens_per_day
        dollars = settings.dollars_per_day
        self._micros = None if dollars is None else math.floor(dollars * 1_000_000)
        self._clock = clock

    async def reserve(
        self, user_id: str, tokens: int, micros: int, asked_at: int | None = None
    ) -> Reservation:
        """Set aside. Raises OverBudget, and then nothing is set aside.

        asked_at: ms; a learner who was erased since then gets nothing. None: not looked at
        """
        now = self._clock()
        key = self._store.of_user(user_id, f"used:{now:%Y-%m-%d}")
        said = await self._store.run(
            RESERVE,
            # The ledger's fence: `app.tutor.ledger`.
            [key, self._store.of_user(user_id, "fence")],
            tokens,
            micros,
            "" if self._tokens is None else self._tokens,
            "" if self._micros is None else self._micros,
            _KEPT,
            "" if asked_at is None else asked_at,
        )
        limit = said.decode() if isinstance(said, bytes) else said
        if limit != "ok":
            tomorrow = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
            raise OverBudget(limit, (tomorrow - now).total_seconds())
        return Reservation(key, tokens, micros)

    async def settle(self, reservation: Reservation, tokens: int, micros: int) -> None:
        """Replace what was set aside by what was used."""
        more = (tokens - reservation.tokens, micros - reservation.micros)
        if more != (0, 0):
            await self._store.run(SETTLE, [reservation.key], *more)

    async def used(self, user_id: str) -> tuple[int, int]:
        """Tokens and millionths of a dollar of today, with what is set aside."""
        key = self._store.of_user(user_id, f"used:{self._clock():%Y-%m-%d}")
        found = await self._store.fields(key)
        return int(found.get("tokens", 0)), int(found.get("micros", 0))

    async def forget(self, user_id: str) -> None:
        """Remove the learner: every day whose sums are kept."""
        now = self._clock()
        days = (now - timedelta(days=back) for back in range(3))
        await self._store.delete(
            [self._store.of_user(user_id, f"used:{day:%Y-%m-%d}") for day in days]
        )
