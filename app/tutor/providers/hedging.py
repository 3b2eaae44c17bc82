"""Two providers at a time, and no more: the second is asked when the first is late.

The first text decides; the other one is stopped. Asking twice costs twice, so only a share
of requests may, and a provider that is late for everybody does not double the load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from app.tutor.config import HedgeSettings
from app.tutor.metrics import HEDGES
from app.tutor.providers.errors import OverBudget, ProviderFailure, Shut, StoreDown
from app.tutor.providers.router_types import Answer
from app.tutor.replies.speaker_lock import SpeakerLock
from app.tutor.usage.attempt_accounting import Provider


class Allowance:
    """Second requests that may be made: a share of the first ones, saved up to a bound."""

    def __init__(self, settings: HedgeSettings) -> None:
        self._share = settings.share
        self._burst = settings.burst
        self._saved = settings.burst

    def earn(self) -> None:
        """A first request has been made."""
        self._saved = min(self._burst, self._saved + self._share)

    def spend(self) -> bool:
        """Whether a second one may be made now; takes it if so."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True


async def race(
    order: Sequence[Provider],
    ask: Callable[[Provider], Coroutine[Any, Any, Answer]],
    floor: SpeakerLock,
    delay: float | None,
    allowance: Allowance,
) -> Answer | None:
    """Ask the first provider; after `delay` without a word the second, too.

    Args:
        order: at least one; at least two with a delay.
        delay: seconds; None: never ask a second one.

    Returns None when all that were asked failed. Raises what `ask` raises apart from
    ProviderFailure and Shut. When it is over, nobody is asked any more.
    """
    tasks = [asyncio.create_task(ask(order[0]))]
    allowance.earn()
    try:
        if delay is not None and await _silent(tasks[0], floor, delay) and allowance.spend():
            tasks.append(asyncio.create_task(ask(order[1])))
        winner = await _first(tasks, floor)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if len(tasks) > 1:
        HEDGES.labels("won" if winner is tasks[1] else "lost").inc()
    return winner.result() if winner is not None else None


async def _silent(task: asyncio.Task[Answer], floor: SpeakerLock, delay: float) -> bool:
    """Whether it neither speaks nor ends for so long."""
    word = asyncio.create_task(floor.taken.wait())
    try:
        done, _ = await asyncio.wait(
            {task, word}, timeout=delay, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        word.cancel()
    return not done


async def _first(
    tasks: Sequence[asyncio.Task[Answer]], floor: SpeakerLock
) -> asyncio.Task[Answer] | None:
    """The task that has the answer; None when all failed."""
    pending, fatal = set(tasks), None
    while pending:
        word = asyncio.create_task(floor.taken.wait())
        # With one left, its word is no news.
        watched = {*pending, word} if len(pending) > 1 else set(pending)
        try:
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        finally:
            word.cancel()
        for task in pending & done:
            pending.discard(task)
            error = None if task.cancelled() else task.exception()
            if not task.cancelled() and error is None:
                return task
            if error is not None and not isinstance(error, ProviderFailure | Shut):
                fatal = error
        if floor.shown:
            # They would only find the floor taken. One that spoke and broke off keeps nobody out.
            for task in [each for each in pending if not floor.held_by(each)]:
                task.cancel()
                pending.discard(task)
        if fatal is not None and not isinstance(fatal, OverBudget | StoreDown):
            break
    if fatal is not None:
        raise fatal
    return None
