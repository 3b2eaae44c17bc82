"""What all workers together have learned of the providers, in Redis; here a copy to choose by.

A choice reads only the copy. It holds at once what this worker has learned, and what
others have as soon as it is read again. While Redis does not answer, the copy stands.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from app.tutor.metrics import STORE_FAILED
from app.tutor.providers.errors import StoreDown
from app.tutor.store import TutorStore
from models.tutor.providers.evidence import (
    NOTHING,
    Cell,
    Evidence,
    Known,
    Quality,
    Situation,
    cells,
)

_SEPARATOR: Final = "|"
_SUMS: Final = "outcomes"
_log = structlog.get_logger(__name__)


class Outcomes:
    """Evidence of every provider.

    Args:
        half_life: seconds until an outcome counts half.
        refresh: seconds after which the copy is read again.
        clock: seconds since the epoch: workers share it.
    """

    def __init__(
        self,
        store: TutorStore,
        half_life: float,
        refresh: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._half_life = half_life
        self._refresh = refresh
        self._clock = clock
        self._key = store.keys.shared(_SUMS)
        self._known: dict[Cell, Evidence] = {}
        self._read_at = -math.inf

    @property
    def known(self) -> Known:
        """The copy."""
        return self._known

    @property
    def stale(self) -> bool:
        """Whether it is time to read again."""
        return self.now() - self._read_at >= self._refresh

    def now(self) -> float:
        """Seconds, of the clock by which evidence fades."""
        return self._clock()

    async def refresh(self) -> None:
        """Read what all have learned; keeps the copy while that cannot be read."""
        self._read_at = self.now()  # first: others need not read it at the same time
        try:
            found = await self._store.fields(self._key)
        except StoreDown as error:
            STORE_FAILED.labels("refresh").inc()
            _log.warning("tutor.outcomes_stand", error=str(error))
            return
        known = {}
        for name, text in found.items():
            try:
                known[_cell(name)] = Evidence(*map(float, text.split(" ")))
            except (ValueError, TypeError):
                # Of another version: a task or quality that this one does not know.
                _log.debug("tutor.outcome_unknown", cell=name)
        self._known = known

    async def learn(
        self,
        provider: str,
        situation: Situation,
        observed: Mapping[Quality, float],
        once: str | None = None,
    ) -> None:
        """One outcome, its qualities as far as they are known. Raises StoreDown.

        once: an id under which it counts once, however often it is told
        """
        now = self.now()
        found = [
            (cell, value)
            for quality, value in observed.items()
            for cell in cells(provider, situation, quality)
        ]
        named = [(_name(cell), value) for cell, value in found]
        if once is None:
            # Here at once, whether or not Redis takes it.
            self._add(found, now)
        if found:
            counted = await self._store.learn(
                _SUMS, named, half_life=self._half_life, now=now, once=once
            )
            if counted and once is not None:
                self._add(found, now)

    def _add(self, found: Sequence[tuple[Cell, float]], now: float) -> None:
        for cell, value in found:
            old = self._known.get(cell, NOTHING)
            self._known[cell] = old.plus(value, now, self._half_life)


def _name(cell: Cell) -> str:
    return _SEPARATOR.join((cell.provider, cell.task, cell.mood, cell.quality))


def _cell(name: str) -> Cell:
    provider, task, mood, quality = name.split(_SEPARATOR)
    return Cell(provider, task, mood, Quality(quality))
