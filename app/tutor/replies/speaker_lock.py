"""Who speaks to the learner? Of attempts that run side by side, the first with a text.

One request has one floor. Whoever holds it passes its pieces on; the others are stopped. If
the holder breaks off, what it said is void and the floor is free again.
"""

from __future__ import annotations

import asyncio
from typing import Any

from app.tutor.metrics import SUPERSEDED
from app.tutor.providers.router_types import Listener


class SpeakerLock:
    """The one way from the attempts of a request to its listener.

    An attempt is known by its task: what it says, it says from there.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._holder: asyncio.Task[Any] | None = None
        self._attempts = 0
        self._pieces = 0
        self.taken = asyncio.Event()

    @property
    def shown(self) -> int:
        """Number of the attempt whose pieces stand, or 0 for none."""
        return self._attempts if self._holder is not None else 0

    def held_by(self, task: asyncio.Task[Any]) -> bool:
        """Whether this task's attempt has it."""
        return self._holder is task

    async def say(self, text: str) -> bool:
        """Pass a piece on; takes the floor if it is free. False: another one has it."""
        speaker = asyncio.current_task()
        if self._holder is None:
            self._holder = speaker
            self._attempts += 1
            self._pieces = 0
            self.taken.set()
        elif self._holder is not speaker:
            return False
        index, self._pieces = self._pieces, self._pieces + 1
        await self._listener.piece(self._attempts, index, text)
        return True

    async def give_up(self) -> None:
        """This attempt broke off: void what it said. Nothing if it has not spoken."""
        if self._holder is None or self._holder is not asyncio.current_task():
            return
        SUPERSEDED.inc()
        await self._listener.superseded(self._attempts)
        self._holder = None
        self.taken.clear()
