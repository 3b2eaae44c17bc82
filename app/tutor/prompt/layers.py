"""What all workers together have learned of the prompt's layers: `usage.shared_evidence`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from app.tutor.store import TutorStore
from app.tutor.usage.shared_evidence import SEPARATOR, SharedEvidence
from models.tutor.context.config import LearningSettings
from models.tutor.context.material import Layer, LayerUse
from models.tutor.context.weights import LayerCell, credited
from models.tutor.providers.evidence import Situation

_SUMS: Final = "layers"


class LayerOutcomes(SharedEvidence[LayerCell]):
    """Evidence of every layer.

    Args:
        refresh, clock: as in SharedEvidence.
    """

    def __init__(
        self,
        store: TutorStore,
        settings: LearningSettings,
        refresh: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(store, _SUMS, _cell, failing="layers", refresh=refresh, clock=clock)
        self._settings = settings

    async def refresh(self) -> None:
        """Read what all have learned, if it is time to."""
        if self.stale:
            await super().refresh()

    async def learn(
        self,
        uses: Sequence[LayerUse],
        situation: Situation,
        helpful: float,
        once: str | None = None,
    ) -> None:
        """What one reply's feedback says of the layers in its prompt. Raises StoreDown.

        once: an id under which it counts once, however often it is told
        """
        now = self.now()
        changed = credited(
            uses, situation, helpful, known=self._known, now=now, settings=self._settings
        )
        if not changed:
            return
        named = [(_name(cell), helpful) for cell in changed]
        half_life = self._settings.half_life
        if await self._store.learn(_SUMS, named, half_life=half_life, now=now, once=once):
            self._known |= changed


def _name(cell: LayerCell) -> str:
    return SEPARATOR.join((cell.layer, cell.task, cell.mood, "with" if cell.shown else "without"))


def _cell(name: str) -> LayerCell:
    layer, task, mood, shown = name.split(SEPARATOR)
    return LayerCell(Layer(layer), task, mood, shown == "with")
