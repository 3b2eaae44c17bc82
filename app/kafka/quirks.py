"""What a broker does that Apache Kafka does not; Kafka itself needs nothing of this.

The broker that `masterx up` starts (noida-db) answers an empty fetch at once and counts a
group's generation up too early. A worker on it is given `Quirks` that say so. Both are told
from the broker's own answers, so that they change nothing on Kafka; with
`kafka.empty_fetch_pause` at 0 a worker does not even look.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import Future
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from app.settings import KafkaSettings

Send = Callable[[Any], Awaitable[Any]]

ILLEGAL_GENERATION: Final = 22
REBALANCE_IN_PROGRESS: Final = 27
"""Kafka's protocol error codes (org.apache.kafka.common.protocol.Errors)."""
_NO_ERROR: Final = 0
IDLE_AFTER: Final = 1.0
"""Seconds without a record after which a consumer is idle."""


@dataclass(frozen=True, slots=True)
class Quirks:
    """How the broker may differ from Kafka; by default it does not.

    Args:
        empty_fetches_return_at_once: it does not hold an empty fetch, as Kafka does for
            `kafka.fetch_wait`.
        generation_runs_ahead: it counts a group's generation up when a member comes, not when
            all have joined, so that it refuses commits of those who are members yet.
    """

    empty_fetches_return_at_once: bool = False
    generation_runs_ahead: bool = False

    @classmethod
    def of(cls, settings: KafkaSettings) -> Self:
        """Those that the settings allow for: `kafka.empty_fetch_pause` at 0 means none."""
        seen = settings.empty_fetch_pause > 0
        return cls(empty_fetches_return_at_once=seen, generation_runs_ahead=seen)


class FetchPause(NamedTuple):
    """Seconds from an answer to the next fetch: while records come, and when none do."""

    busy: float
    idle: float


class FetchPace:
    """Keeps a pause between the fetches of one consumer, on a broker that does not hold them.

    Kafka holds an empty fetch until a record comes, so a consumer may always ask again at once.
    Of a broker that answers at once, it would ask as fast as the cores allow, and each answer
    with one record costs as much as one with fifty. Which of the two it is, the last empty
    answer tells: until the first one, and after one that was held, there is no pause.

    Used in the consumer's thread; `ring` may be called from any.

    Args:
        pause: between two fetches.
        fetch_wait: seconds for which the broker is asked to hold an empty fetch.
        clock: monotonic seconds.
    """

    def __init__(
        self, pause: FetchPause, fetch_wait: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.pause = pause
        self._fetch_wait = fetch_wait
        self._clock = clock
        self._at_once = False
        self._answered_at = 0.0
        self._brought_at = 0.0
        self._rung = False
        self._waiting: Future[None] | None = None

    def ring(self) -> None:
        """A record is there to fetch: the next fetch does not wait, nor go on waiting."""
        if self._rung:
            return
        # Written before the other is read, as `_wait` does it the other way round: so one of the
        # two sees the other.
        self._rung = True
        waiting = self._waiting
        if waiting is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody fetches any more
                waiting.get_loop().call_soon_threadsafe(_finish, waiting)

    async def step(self, request: Any, send: Send) -> Any:
        """Send a request; a fetch waits first until the pause is over."""
        if type(request).__name__ != "FetchRequest":
            return await send(request)
        if self._at_once:
            await self._wait()
        # What is acknowledged from here on may not be in the answer.
        self._rung = False
        sent_at = self._clock()
        response = await send(request)
        self._answered_at = self._clock()
        if _has_records(response):
            self._brought_at = self._answered_at
        elif not _is_refusal(response):
            self._at_once = self._answered_at - sent_at < self._fetch_wait / 2
        return response

    async def _wait(self) -> None:
        idle = self._clock() - self._brought_at >= IDLE_AFTER
        pause = self.pause.idle if idle else self.pause.busy
        left = self._answered_at + pause - self._clock()
        if left <= 0:
            return
        waiting = self._waiting = asyncio.get_running_loop().create_future()
        try:
            if not self._rung:
                await asyncio.wait({waiting}, timeout=left)
        finally:
            self._waiting = None


def _finish(waiting: Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


class Bell:
    """Wakes the consumers of a process for a record that another role of it has delivered.

    It may ring only for what the broker has acknowledged: before that, a fetch would not find it.
    Records of other processes ring nothing; the pause between fetches bounds how long they wait.
    """

    def __init__(self) -> None:
        self._paces: dict[str, list[FetchPace]] = {}

    def hang(self, pace: FetchPace, topics: Iterable[str]) -> None:
        """Let it wake these fetches for records of these topics (names of the catalogue)."""
        for topic in topics:
            self._paces.setdefault(topic, []).append(pace)

    def wakes(self, topic: str) -> bool:
        """Whether somebody in this process waits for records of this topic."""
        return topic in self._paces

    def ring(self, topic: str) -> None:
        """A record of this topic has been acknowledged."""
        for pace in self._paces.get(topic, ()):
            pace.ring()


def as_rebalance(response: Any) -> Any:
    """The same refusal of a commit, worded so that aiokafka stays who it is and joins again."""
    topics = [
        (topic, [(partition, _reworded(code)) for partition, code in partitions])
        for topic, partitions in response.topics
    ]
    fields = [
        topics if name == "topics" else getattr(response, name) for name in response.SCHEMA.names
    ]
    return type(response)(*fields)


def _reworded(code: int) -> int:
    return REBALANCE_IN_PROGRESS if code == ILLEGAL_GENERATION else code


def _has_records(response: Any) -> bool:
    # The record set is the last field of a partition in every version of the response.
    return any(partition[-1] for _, partitions in response.topics for partition in partitions)


def _is_refusal(response: Any) -> bool:
    """Whether it was throttled, or tells an error: Kafka does not hold these either."""
    return bool(
        getattr(response, "throttle_time_ms", 0)
        or getattr(response, "error_code", _NO_ERROR)
        or any(partition[1] for _, partitions in response.topics for partition in partitions)
    )
