"""What a broker does that Apache Kafka does not; Kafka itself needs nothing of this.

The broker that `masterx up` starts (noida-db) answers an empty fetch at once and counts a
group's generation up too early. A worker on it is given `Quirks` that say so. Both are told
from the broker's own answers, so that they change nothing on Kafka; with
`kafka.empty_fetch_pause` at 0 a worker does not even look.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Self

from app.settings import KafkaSettings

Send = Callable[[Any], Awaitable[Any]]

ILLEGAL_GENERATION: Final = 22
REBALANCE_IN_PROGRESS: Final = 27
"""Kafka's protocol error codes (org.apache.kafka.common.protocol.Errors)."""


@dataclass(frozen=True, slots=True)
class Quirks:
    """How the broker differs from Kafka; by default it does not.

    Args:
        empty_fetch_pause: seconds to wait after a fetch that came back empty and too soon; 0:
            the broker holds an empty fetch, as Kafka does.
        fetch_wait: seconds for which the broker was asked to hold it.
        generation_runs_ahead: the broker counts a group's generation up when a member comes,
            not when all have joined, so that it refuses commits of those who are members yet.
    """

    empty_fetch_pause: float = 0.0
    fetch_wait: float = 0.0
    generation_runs_ahead: bool = False

    @classmethod
    def of(cls, settings: KafkaSettings) -> Self:
        """Those that the settings allow for: `kafka.empty_fetch_pause` at 0 means none."""
        if not settings.empty_fetch_pause:
            return cls()
        return cls(settings.empty_fetch_pause, settings.fetch_wait, generation_runs_ahead=True)

    async def paced(self, request: Any, send: Send) -> Any:
        """Send a request; wait a little after a fetch that was empty and not held."""
        sent_at = time.monotonic()
        response = await send(request)
        if (
            type(request).__name__ == "FetchRequest"
            and time.monotonic() - sent_at < self.fetch_wait / 2
            and _is_empty(response)
        ):
            await asyncio.sleep(self.empty_fetch_pause)
        return response


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


def _is_empty(response: Any) -> bool:
    # The record set is the last field of a partition in every version of the response.
    return not any(partition[-1] for _, partitions in response.topics for partition in partitions)
