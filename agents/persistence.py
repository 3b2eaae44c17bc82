"""Trying a write until its store takes it: a sink waits, it does not skip."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from agents import metrics

log = structlog.get_logger(__name__)

T = TypeVar("T")

_FIRST: Final = 0.05
_CAP: Final = 2.0
"""Seconds between two tries, at first and at most (both are jittered down to the half)."""

Waiting = Callable[[str | None], None]
"""Told the service that is waited for; None when it is back."""


async def until_stored(
    write: Callable[[], Awaitable[T]],
    *,
    store: str,
    waits_for: tuple[type[Exception], ...],
    waiting: Waiting,
) -> T:
    """The result of `write`, tried again for ever on the errors in `waits_for`.

    `write` must be harmless to repeat. Any other error is raised.
    """
    delay = _FIRST
    tries = 0
    while True:
        try:
            result = await write()
        except waits_for as error:
            tries += 1
            metrics.RETRIES.labels(store).inc()
            waiting(store)
            if tries & (tries - 1) == 0:
                # The 1st, 2nd, 4th, 8th...: an outage does not fill the log.
                log.warning("store not available", store=store, tries=tries, error=repr(error))
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311
            delay = min(_CAP, delay * 2)
        else:
            if tries:
                waiting(None)
                log.info("store available again", store=store, tries=tries)
            return result
