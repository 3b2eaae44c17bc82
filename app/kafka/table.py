"""A keyed table of records, backed by a compacted changelog topic.

Records are bytes that carry a version. Recovery keeps, for each key, the record of
the highest version, not the last one: a worker that lost its partition may have
written behind its successor (docs/architecture.md). A tombstone tells which version it
deletes, and deletes no higher one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog
from aiokafka import ConsumerRecord, TopicPartition

from agents.runtime import metrics
from agents.runtime.ports import NotOwned, Outbox
from app.kafka import clients
from app.kafka.topics import physical
from app.settings import Settings
from models.learner.record import CorruptRecord, RecordError, UnknownFormat

log = structlog.get_logger(__name__)


_OFFSETS_NAMED = 20
"""Of corrupt records in one line of the log."""

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
    unknown: dict[bytes, tuple[int, UnknownFormat]] = field(default_factory=dict)
    """Offset and error of records of a format that this version cannot read."""
    corrupt: dict[bytes, int] = field(default_factory=dict)
    """Offsets of records that hold not even a version, and stand behind all of their key."""


class _Gaps:
    """Offsets of one partition that recovery did not get to read."""

    def __init__(self, start: int) -> None:
        self._expected = start
        self._gaps: list[tuple[int, int]] = []

    def read(self, first: int, last: int) -> None:
        """Records from `first` to `last` came."""
        if first > self._expected:
            self._gaps.append((self._expected, first))
        self._expected = last + 1

    def before(self, start: int) -> int:
        """How many of them the log has lost at its beginning, if it begins at `start` now.

        Other gaps are compaction's. Compaction may have taken some of these, too.
        """
        # Nothing came behind the last one that was read: what lies before `start` is gone.
        gaps = [*self._gaps, (self._expected, max(self._expected, start))]
        return sum(max(0, min(end, start) - begin) for begin, end in gaps)


def _report_late_starts(starts: Mapping[TopicPartition, int]) -> None:
    """Compaction leaves the beginning of a log where it is; only a deletion moves it."""
    for tp, start in starts.items():
        if start > 0:
            log.warning("table.log_starts_late", partition=tp.partition, missing_at_most=start)


class VersionedTable:
    """The records of the partitions that this worker owns.

    Args:
        settings: where the broker is.
        topic: logical name of the changelog topic.
        outbox: where changes go.
        version_of: reads a record's version. Raises UnknownFormat or CorruptRecord.
        on_unknown: called with the reason when a recovery finds a record of a format that this
            version cannot read; expected to end the process.
        stall_timeout: seconds without progress after which a recovery has failed.

    One event loop, one writer. `assign` follows the group's assignments; inside
    `writing` the partition is owned and recovered, and stays so until the block ends.

    A corrupt record is kept as it is: nothing older comes up in its place, and what is put
    behind it replaces it. Whoever reads it finds that it is corrupt.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        outbox: Outbox,
        version_of: Callable[[bytes], int],
        *,
        on_unknown: Callable[[str], object] = lambda _reason: None,
        stall_timeout: float = 30.0,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._outbox = outbox
        self._version_of = version_of
        self._on_unknown = on_unknown
        self._stall_timeout = stall_timeout
        self._partitions: dict[int, asyncio.Task[dict[bytes, bytes]]] = {}
        self._records: dict[int, dict[bytes, bytes]] = {}
        self._gate = asyncio.Lock()
        self._suspended = False

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
            RecoveryStalledError, aiokafka.errors.KafkaError, UnknownFormat: it could not be
                recovered.
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
        headers: dict[str, bytes] | None = None
        if value is None:
            gone = records.pop(key, None)
            with suppress(RecordError):  # a corrupt one goes whatever its version was
                headers = None if gone is None else {_DELETED: b"%d" % self._version_of(gone)}
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
            metrics.TABLE_REPAIRED.inc(len(deliveries))
            log.warning("table.stale_repaired", partition=partition, count=len(deliveries))
        self._records[partition] = recovered.records
        return recovered.records

    async def _recover(self, partitions: set[int]) -> dict[int, Recovered]:
        started = time.monotonic()
        name = physical(self._settings, self._topic)
        tps = {TopicPartition(name, partition) for partition in partitions}
        found = {partition: Recovered({}, {}) for partition in partitions}
        consumer = clients.consumer(
            self._settings.kafka, auto_offset_reset="earliest", fetch_max_wait_ms=100
        )
        await consumer.start()
        try:
            consumer.assign(list(tps))
            await consumer.seek_to_beginning(*tps)
            starts = await consumer.beginning_offsets(tps)
            ends = await consumer.end_offsets(tps)
            _report_late_starts(starts)
            remaining = set(tps)
            gaps = {tp: _Gaps(start) for tp, start in starts.items()}
            progressed_at = time.monotonic()
            while True:
                # Bounded: while the broker looks for a position it would wait without an end.
                async with asyncio.timeout(self._stall_timeout):
                    remaining = {tp for tp in remaining if await consumer.position(tp) < ends[tp]}
                if not remaining:
                    break
                batches = await consumer.getmany(*remaining, timeout_ms=500)
                for tp, records in batches.items():
                    gaps[tp].read(records[0].offset, records[-1].offset)
                    for record in records:
                        self._replay(found[tp.partition], record)
                if batches:
                    progressed_at = time.monotonic()
                    continue
                # The log may have been cut at its end since: what is gone is not waited for.
                shorter = await consumer.end_offsets(remaining)
                for tp, end in shorter.items():
                    if end < ends[tp]:
                        log.warning("table.log_cut", partition=tp.partition, missing=ends[tp] - end)
                        ends[tp] = end
                if time.monotonic() - progressed_at > self._stall_timeout:
                    raise RecoveryStalledError(
                        f"no progress for {self._stall_timeout:g} s on {sorted(remaining)}"
                    )
            for tp, start in (await consumer.beginning_offsets(tps)).items():
                if missing := gaps[tp].before(start):
                    log.warning("table.records_vanished", partition=tp.partition, at_most=missing)
        except TimeoutError:
            raise RecoveryStalledError(
                f"no position within {self._stall_timeout:g} s on {sorted(remaining)}"
            ) from None
        finally:
            await consumer.stop()
        self._report_unreadable(name, found)
        log.info(
            "table.recovered",
            partitions=sorted(partitions),
            records=sum(len(each.records) for each in found.values()),
            seconds=round(time.monotonic() - started, 3),
        )
        return found

    def _replay(self, into: Recovered, record: ConsumerRecord) -> None:
        key, value = record.key, record.value
        if value is None:
            self._delete(into, key, dict(record.headers).get(_DELETED))
            return
        try:
            version = self._version_of(value)
        except UnknownFormat as error:
            into.unknown[key] = record.offset, error
            return
        except CorruptRecord:
            into.records[key] = value
            into.stale.pop(key, None)
            into.corrupt[key] = record.offset
            return
        known = None if into.corrupt.pop(key, None) is not None else into.records.get(key)
        if known is not None and self._version_of(known) > version:
            into.stale[key] = known
        else:
            into.records[key] = value
            into.stale.pop(key, None)

    def _delete(self, into: Recovered, key: bytes, deleted: bytes | None) -> None:
        known = None if key in into.corrupt else into.records.get(key)
        if known is not None and deleted and self._version_of(known) > int(deleted):
            # By one who lost the partition, and had not seen the newest record.
            into.stale[key] = known
            return
        for known_by_key in (into.records, into.stale, into.unknown, into.corrupt):
            known_by_key.pop(key, None)

    def _report_unreadable(self, name: str, found: dict[int, Recovered]) -> None:
        """Log where corrupt records stand. Raises UnknownFormat that names topic and offset."""
        for partition, recovered in found.items():
            if recovered.corrupt:
                log.error(
                    "table.corrupt_records",
                    topic=name,
                    partition=partition,
                    offsets=sorted(recovered.corrupt.values())[:_OFFSETS_NAMED],
                    count=len(recovered.corrupt),
                    action="events of these learners go to dead-letters",
                )
            metrics.TABLE_CORRUPT.inc(len(recovered.corrupt))
            for offset, error in sorted(recovered.unknown.values(), key=lambda each: each[0]):
                more = len(recovered.unknown) - 1
                reason = f"topic {name}, partition {partition}, offset {offset}: {error}" + (
                    f" (and {more} more records of the partition)" if more else ""
                )
                self._on_unknown(reason)
                raise UnknownFormat(reason)
