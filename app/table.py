"""A keyed table of records, backed by a compacted changelog topic.

Records are bytes that carry a version. Recovery keeps, for each key, the record of
the highest version, not the last one: a worker that lost its partition may have
written behind its successor (docs/architecture.md).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.ports import NotOwned, Outbox
from app.settings import Settings
from app.topics import physical

log = structlog.get_logger(__name__)


class RecoveryStalledError(RuntimeError):
    """A changelog partition could not be read to its end."""


@dataclass(slots=True)
class Recovered:
    """What recovery of one partition found."""

    records: dict[bytes, bytes]
    stale: dict[bytes, bytes]
    """Winners behind which a record of a lower version stands in the log."""


class VersionedTable:
    """The records of the partitions that this worker owns.

    Args:
        settings: where the broker is.
        topic: logical name of the changelog topic.
        outbox: where changes go.
        version_of: reads a record's version.
        stall_timeout: seconds without progress after which a recovery has failed.

    One event loop, one writer. `assign` follows the group's assignments; inside
    `writing` the partition is owned and recovered, and stays so until the block ends.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        outbox: Outbox,
        version_of: Callable[[bytes], int],
        *,
        stall_timeout: float = 30.0,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._outbox = outbox
        self._version_of = version_of
        self._stall_timeout = stall_timeout
        self._partitions: dict[int, asyncio.Task[dict[bytes, bytes]]] = {}
        self._records: dict[int, dict[bytes, bytes]] = {}
        self._gate = asyncio.Lock()
        self._suspended = False
        self.repaired = 0

    async def suspend(self) -> None:
        """Let the write under way end, and none begin until `assign`.

        For the moment before the worker rejoins the group: what it has sent by then is
        in the log before a new owner reads it.
        """
        if not self._suspended:
            await self._gate.acquire()
            self._suspended = True
        await self._outbox.flush()

    def assign(self, partitions: Iterable[int]) -> None:
        """Recover newly assigned partitions, forget those that are gone, keep the others.

        What is kept is current: a worker that was out of the group in between lost
        its lease, and ended.
        """
        wanted = set(partitions)
        for partition in set(self._partitions) - wanted:
            self._partitions.pop(partition).cancel()
            self._records.pop(partition, None)
        new = wanted - set(self._partitions)
        if new:
            recovery = asyncio.create_task(self._recover(new))
            for partition in new:
                self._partitions[partition] = asyncio.create_task(
                    self._install(partition, recovery)
                )
        if self._suspended:
            self._suspended = False
            self._gate.release()

    @property
    def recovering(self) -> int:
        """Partitions whose recovery is under way."""
        return len(self._partitions) - len(self._records)

    def __len__(self) -> int:
        return sum(len(records) for records in self._records.values())

    @asynccontextmanager
    async def writing(self, partition: int) -> AsyncIterator[None]:
        """Hold the partition: recovered, and not given away before the block ends.

        Raises:
            NotOwned: it is not assigned to this worker.
            RecoveryStalledError, aiokafka.errors.KafkaError: it could not be recovered.
        """
        await self._gate.acquire()
        holding = True
        try:
            while partition not in self._records:
                recovery = self._partitions.get(partition)
                if recovery is None:
                    raise NotOwned(f"partition {partition} is not assigned")
                # A rebalance during the recovery must be able to pass the gate. Nor may
                # we wait for it when cancelled: at a shutdown nobody opens it again.
                self._gate.release()
                holding = False
                await asyncio.wait({recovery})
                await self._gate.acquire()
                holding = True
                if not recovery.cancelled():
                    recovery.result()
            yield
        finally:
            if holding:
                self._gate.release()

    def get(self, partition: int, key: bytes) -> bytes | None:
        """The record, or None. Raises KeyError for a partition that is not owned."""
        return self._records[partition].get(key)

    async def put(self, partition: int, key: bytes, value: bytes | None) -> asyncio.Future[object]:
        """Set (or with None delete) at once; the future is done when the changelog has it."""
        records = self._records[partition]
        if value is None:
            records.pop(key, None)
        else:
            records[key] = value
        return await self._outbox.send(self._topic, key=key, value=value, partition=partition)

    async def sweep(self, expired: Callable[[bytes], bool]) -> int:
        """Delete the records that are expired; how many there were.

        Gives way to other work every few records.
        """
        deleted = 0
        for partition in list(self._records):
            old: list[tuple[bytes, bytes]] = []
            for number, (key, value) in enumerate(list(self._records.get(partition, {}).items())):
                if number % 200 == 0:
                    await asyncio.sleep(0)
                if expired(value):
                    old.append((key, value))
            for key, value in old:
                with suppress(NotOwned):
                    async with self.writing(partition):
                        if self._records[partition].get(key) == value:
                            await self.put(partition, key, None)
                            deleted += 1
        return deleted

    async def _install(
        self, partition: int, recovery: asyncio.Task[dict[int, Recovered]]
    ) -> dict[bytes, bytes]:
        recovered = (await asyncio.shield(recovery))[partition]
        deliveries = [
            await self._outbox.send(self._topic, key=key, value=value, partition=partition)
            for key, value in recovered.stale.items()
        ]
        for delivery in deliveries:
            await delivery
        if deliveries:
            self.repaired += len(deliveries)
            log.warning("stale records repaired", partition=partition, count=len(deliveries))
        self._records[partition] = recovered.records
        return recovered.records

    async def _recover(self, partitions: set[int]) -> dict[int, Recovered]:
        started = time.monotonic()
        name = physical(self._settings, self._topic)
        tps = {TopicPartition(name, partition) for partition in partitions}
        found = {partition: Recovered({}, {}) for partition in partitions}
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka.bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
        )
        await consumer.start()
        try:
            consumer.assign(list(tps))
            await consumer.seek_to_beginning(*tps)
            ends = await consumer.end_offsets(tps)
            remaining = set(tps)
            progressed_at = time.monotonic()
            while True:
                remaining = {tp for tp in remaining if await consumer.position(tp) < ends[tp]}
                if not remaining:
                    break
                batches = await consumer.getmany(*remaining, timeout_ms=500)
                for tp, records in batches.items():
                    for record in records:
                        self._replay(found[tp.partition], record.key, record.value)
                if batches:
                    progressed_at = time.monotonic()
                elif time.monotonic() - progressed_at > self._stall_timeout:
                    raise RecoveryStalledError(
                        f"no progress for {self._stall_timeout:g} s on {sorted(remaining)}"
                    )
        finally:
            await consumer.stop()
        log.info(
            "table recovered",
            partitions=sorted(partitions),
            records=sum(len(each.records) for each in found.values()),
            seconds=round(time.monotonic() - started, 3),
        )
        return found

    def _replay(self, into: Recovered, key: bytes, value: bytes | None) -> None:
        if value is None:
            into.records.pop(key, None)
            into.stale.pop(key, None)
            return
        known = into.records.get(key)
        if known is not None and self._version_of(known) > self._version_of(value):
            into.stale[key] = known
        else:
            into.records[key] = value
            into.stale.pop(key, None)
