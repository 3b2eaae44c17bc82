"""A keyed table of records, backed by a compacted changelog topic.

Records are bytes that carry a version. Recovery keeps, for each key, the record of
the highest version, not the last one: a worker that lost its partition may have
written behind its successor (docs/architecture.md). A tombstone tells which version it
deletes, and deletes no higher one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.ports import NotOwned, Outbox
from app.settings import Settings
from app.topics import physical

log = structlog.get_logger(__name__)


SLICE = 200
"""Records that `matching` looks at before other work has its turn: about a millisecond."""

_DELETED = "deleted-version"
"""Header of a tombstone: the version of the record that it deletes."""


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
        async with self._gate:
            while partition not in self._records:
                recovery = self._partitions.get(partition)
                if recovery is None:
                    raise NotOwned(f"partition {partition} is not assigned")
                # A rebalance during the recovery must be able to pass the gate.
                self._gate.release()
                try:
                    await asyncio.wait({recovery})
                finally:
                    await self._gate.acquire()
                if not recovery.cancelled():
                    recovery.result()
            yield

    def get(self, partition: int, key: bytes) -> bytes | None:
        """The record, or None. Raises KeyError for a partition that is not owned."""
        return self._records[partition].get(key)

    async def put(self, partition: int, key: bytes, value: bytes | None) -> asyncio.Future[object]:
        """Set (or with None delete) at once; the future is done when the changelog has it."""
        records = self._records[partition]
        headers: dict[str, bytes] | None = None
        if value is None:
            gone = records.pop(key, None)
            if gone is not None:
                headers = {_DELETED: b"%d" % self._version_of(gone)}
        else:
            records[key] = value
        return await self._outbox.send(
            self._topic, key=key, value=value, partition=partition, headers=headers
        )

    async def matching(
        self, wanted: Callable[[bytes], bool]
    ) -> AsyncIterator[tuple[int, bytes, bytes]]:
        """Records that are wanted, as (partition, key, value); each may have changed since.

        Looks at `SLICE` records at a time and gives way to other work in between.
        """
        for partition in list(self._records):
            keys = list(self._records.get(partition, ()))
            for start in range(0, len(keys), SLICE):
                await asyncio.sleep(0)
                records = self._records.get(partition, {})
                for key in keys[start : start + SLICE]:
                    value = records.get(key)
                    if value is not None and wanted(value):
                        yield partition, key, value

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
                        self._replay(found[tp.partition], record.key, record.value, record.headers)
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

    def _replay(
        self,
        into: Recovered,
        key: bytes,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes]] = (),
    ) -> None:
        known = into.records.get(key)
        if value is None:
            deleted = dict(headers).get(_DELETED)
            if known is not None and deleted and self._version_of(known) > int(deleted):
                # By one who lost the partition, and had not seen the newest record.
                into.stale[key] = known
                return
            into.records.pop(key, None)
            into.stale.pop(key, None)
            return
        if known is not None and self._version_of(known) > self._version_of(value):
            into.stale[key] = known
        else:
            into.records[key] = value
            into.stale.pop(key, None)
