"""What all workers together have learned of the prompt's layers, in Redis; here a copy.

As `app.tutor.usage.outcomes`: a prompt is packed by the copy, and while Redis does not answer, the
copy stands.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from app.tutor.metrics import STORE_FAILED
from app.tutor.providers.errors import StoreDown
from app.tutor.store import TutorStore
from models.tutor.context.config import LearningSettings
from models.tutor.context.material import Layer, LayerUse
from models.tutor.context.weights import LayerCell, LayerEvidence, credited
from models.tutor.providers.evidence import Evidence, Situation

_SEPARATOR: Final = "|"
_SUMS: Final = "layers"
_log = structlog.get_logger(__name__)


class LayerOutcomes:
    """Evidence of every layer.

    Args:
        refresh: seconds after which the copy is read again.
        clock: seconds since the epoch: workers share it.
    """

    def __init__(
        self,
        store: TutorStore,
        settings: LearningSettings,
        refresh: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._settings = settings
        self._refresh = refresh
        self._clock = clock
        self._key = store.keys.shared(_SUMS)
        self._known: dict[LayerCell, Evidence] = {}
        self._read_at = -math.inf

    @property
    def known(self) -> LayerEvidence:
        """The copy."""
        return self._known

    def now(self) -> float:
        """Seconds, of the clock by which evidence fades."""
        return self._clock()

    async def refresh(self) -> None:
        """Read what all have learned, if it is time to; keeps the copy while that fails."""
        if self.now() - self._read_at < self._refresh:
            return
        self._read_at = self.now()  # first: others need not read it at the same time
        try:
            found = await self._store.fields(self._key)
        except StoreDown as error:
            STORE_FAILED.labels("layers").inc()
            _log.warning("tutor.layers_stand", error=str(error))
            return
        known = {}
        for name, text in found.items():
            try:
                known[_cell(name)] = Evidence(*map(float, text.split(" ")))
            except (ValueError, TypeError):
                # Of another version: a layer that this one does not know.
                _log.debug("tutor.layer_unknown", cell=name)
        self._known = known

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
    return _SEPARATOR.join((cell.layer, cell.task, cell.mood, "with" if cell.shown else "without"))


def _cell(name: str) -> LayerCell:
    layer, task, mood, shown = name.split(_SEPARATOR)
    return LayerCell(Layer(layer), task, mood, shown == "with")
