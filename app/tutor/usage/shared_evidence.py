"""What all workers together have learned, cell by cell, in Redis; here a copy to choose by.

A choice reads only the copy. It holds at once what this worker has learned, and what others have
as soon as it is read again. While Redis does not answer, the copy stands.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import structlog

from app.tutor.metrics import STORE_FAILED
from app.tutor.providers.errors import StoreDown
from app.tutor.store import TutorStore
from models.tutor.providers.evidence import Evidence

CellT = TypeVar("CellT")
SEPARATOR: Final = "|"
"""Between the parts of a cell's name in Redis."""
_log = structlog.get_logger(__name__)


class SharedEvidence(Generic[CellT]):
    """Evidence of every cell.

    Args:
        name: of the sums in Redis, and in log events.
        cell: reads a cell's name; raises ValueError for one of another version.
        failing: what masterx_tutor_store_failed_total counts a failed reading as.
        refresh: seconds after which the copy is `stale`.
        clock: seconds since the epoch: workers share it.
    """

    def __init__(
        self,
        store: TutorStore,
        name: str,
        cell: Callable[[str], CellT],
        *,
        failing: str,
        refresh: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._name = name
        self._cell = cell
        self._failing = failing
        self._refresh = refresh
        self._clock = clock
        self._known: dict[CellT, Evidence] = {}
        self._read_at = -math.inf

    @property
    def known(self) -> dict[CellT, Evidence]:
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
            found = await self._store.fields(self._store.keys.shared(self._name))
        except StoreDown as error:
            STORE_FAILED.labels(self._failing).inc()
            _log.warning(f"tutor.{self._name}_stand", error=str(error))
            return
        known = {}
        for name, text in found.items():
            try:
                known[self._cell(name)] = Evidence(*map(float, text.split(" ")))
            except (ValueError, TypeError):
                # Of another version: a layer, task or quality that this one does not know.
                _log.debug(f"tutor.{self._name}_unknown", cell=name)
        self._known = known
