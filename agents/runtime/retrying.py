"""Errors of a store, told apart, and waiting for a store until it takes a write.

StoreError
  Retriable   the store is away, hangs, fails over or is full: wait and try again
  Refused     the store will never take this one record: send it to the dead letters, go on
  Fatal       the store refuses this process (password, permission, script): end, with a reason

Stores in `app` raise these; agents react to them and know no client library.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from agents.runtime import metrics

log = structlog.get_logger(__name__)

T = TypeVar("T")

_FIRST: Final = 0.05
_CAP: Final = 2.0
"""Seconds between two tries, at first and at most (both are jittered down to the half)."""

SILENCE: Final = 30.0
"""Seconds between two log lines while a store is waited for. The wait itself has no bound: a
sink must not skip, and restarting would not bring the store back."""


class StoreError(Exception):
    """A store did not do what it was asked to. The text holds no key and no value.

    Attributes:
        store: "redis", "mongo" or "kafka"
        reason: what it said
    """

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(f"{store}: {reason}")
        self.store = store
        self.reason = reason


class Retriable(StoreError):
    """The same write may succeed later."""


class Refused(StoreError):
    """The same write fails each time, and others do not."""


class Fatal(StoreError):
    """Every write of this process fails until an operator acts.

    Attributes:
        setting: which one says where the store is and as whom to speak to it
    """

    def __init__(self, store: str, reason: str, setting: str) -> None:
        super().__init__(store, f"{reason}; see {setting}")
        self.setting = setting


@dataclass(slots=True)
class _Outage:
    writes: int
    since: float
    logged_at: float


class Waits:
    """The stores that a worker role waits for. One a role, shared by all who write for it.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._outages: dict[str, _Outage] = {}

    @property
    def stores(self) -> tuple[str, ...]:
        """Those that at least one write waits for."""
        return tuple(self._outages)

    def __str__(self) -> str:
        return " and ".join(
            f"{store} for {self._clock() - outage.since:.0f} s"
            for store, outage in self._outages.items()
        )

    @contextmanager
    def waiting(self, store: str) -> Iterator[Callable[[Retriable], None]]:
        """One write's wait. Call what it gives at each failure; leaving it undoes the wait."""
        counted = False

        def failed(error: Retriable) -> None:
            nonlocal counted
            metrics.RETRIES.labels(store).inc()
            if not counted:
                counted = True
                self._begin(store)
            self._say(store, error)

        try:
            yield failed
        finally:
            if counted:
                self._end(store)

    def _begin(self, store: str) -> None:
        now = self._clock()
        outage = self._outages.setdefault(store, _Outage(0, now, -SILENCE + now))
        outage.writes += 1
        # Counted up and down: several roles in one process each have their own waits.
        metrics.WAITING.labels(store).inc()

    def _say(self, store: str, error: Retriable) -> None:
        outage, now = self._outages[store], self._clock()
        metrics.WAITING_SECONDS.labels(store).set(now - outage.since)
        if now - outage.logged_at >= SILENCE:
            outage.logged_at = now
            log.warning(
                "store.unavailable",
                store=store,
                reason=error.reason,
                writes=outage.writes,
                seconds=round(now - outage.since),
                action="retrying",
            )

    def _end(self, store: str) -> None:
        outage = self._outages[store]
        outage.writes -= 1
        metrics.WAITING.labels(store).dec()
        if outage.writes == 0:
            del self._outages[store]
            metrics.WAITING_SECONDS.labels(store).set(0)
            seconds = round(self._clock() - outage.since)
            log.info("store.waited_for", store=store, seconds=seconds)


async def until_stored(write: Callable[[], Awaitable[T]], *, store: str, waits: Waits) -> T:
    """The result of `write`, tried again for as long as it raises Retriable.

    `write` must be harmless to repeat. Any other error is raised.
    """
    delay = _FIRST
    with waits.waiting(store) as failed:
        while True:
            try:
                return await write()
            except Retriable as error:
                failed(error)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311
            delay = min(_CAP, delay * 2)
