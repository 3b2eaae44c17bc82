"""What all workers together have learned of the providers: `usage.shared_evidence`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from app.tutor.store import TutorStore
from app.tutor.usage.shared_evidence import SEPARATOR, SharedEvidence
from models.tutor.providers.evidence import (
    NOTHING,
    Cell,
    Quality,
    Situation,
    cells,
)

_SUMS: Final = "outcomes"


class Outcomes(SharedEvidence[Cell]):
    """Evidence of every provider.

    Args:
        half_life: seconds until an outcome counts half.
        refresh, clock: as in SharedEvidence.
    """

    def __init__(
        self,
        store: TutorStore,
        half_life: float,
        refresh: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(store, _SUMS, _cell, failing="refresh", refresh=refresh, clock=clock)
        self._half_life = half_life

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
    return SEPARATOR.join((cell.provider, cell.task, cell.mood, cell.quality))


def _cell(name: str) -> Cell:
    provider, task, mood, quality = name.split(SEPARATOR)
    return Cell(provider, task, mood, Quality(quality))
