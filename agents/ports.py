"""What an agent needs of the process around it, as protocols.

`app` implements them; agents only know these, so that the imports point one way.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping
from typing import Any, Protocol


class SourceRecord(Protocol):
    """A consumed Kafka record, as Faust hands it over (`event.message`)."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Any
    timestamp: float


class Outbox(Protocol):
    """Where an agent's outputs go."""

    async def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> Future[Any]:
        """Buffer one record; the future is done when every in-sync replica has it.

        Waits while the buffer is full. A future that fails means that the process
        must end without acknowledging: what it was computed from comes again.
        """
        ...


class DeadLetters(Protocol):
    """Where a record goes that cannot be processed."""

    async def bury(self, record: SourceRecord, error: Exception) -> Future[Any]:
        """Send original bytes, position and reason to `dead-letters`."""
        ...


class RecordTable(Protocol):
    """Keyed records of the partitions this worker owns, backed by a changelog topic."""

    async def own(self, partition: int) -> None:
        """Return once the partition's records are recovered; at once when they are."""
        ...

    def get(self, partition: int, key: bytes) -> bytes | None:
        """The record, or None."""
        ...

    async def put(self, partition: int, key: bytes, value: bytes | None) -> Future[Any]:
        """Set (or with None delete) at once; the future is done when the changelog has it."""
        ...
