"""The versioned table against a real broker: recovery, stale records, rebalances."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import PolicyViolationError
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from agents.runtime.ports import NotOwned
from agents.runtime.topics import LEARNER_CHANGELOG
from app.kafka.producer import Producer
from app.kafka.table import SLICE, VersionedTable
from app.kafka.topics import physical
from app.settings import Settings
from models.learner.record import CorruptRecord, UnknownFormat
from tests.topics import read_all

pytestmark = pytest.mark.services


def record(version: int, text: str = "") -> bytes:
    return b"%d:%s" % (version, text.encode())


def repaired() -> float:
    return REGISTRY.get_sample_value("masterx_table_repaired_total") or 0.0


def version_of(value: bytes) -> int:
    if value.startswith(b"new "):
        raise UnknownFormat("record of format 9; this version reads 1")
    if not value[:1].isdigit():
        raise CorruptRecord("no version")
    return int(value.split(b":")[0])


def table(
    settings: Settings, producer: Producer, refused: list[str] | None = None
) -> VersionedTable:
    on_unknown = [].append if refused is None else refused.append
    return VersionedTable(settings, LEARNER_CHANGELOG, producer, version_of, on_unknown=on_unknown)


async def logged(producer: Producer, records: list[tuple[bytes, bytes | None]]) -> None:
    for key, value in records:
        await producer.send(LEARNER_CHANGELOG, key=key, value=value, partition=2)
    await producer.flush()


async def test_what_was_put_is_recovered(topics: Settings):
    async with Producer(topics, client_id="test") as producer:
        first = table(topics, producer)
        first.assign({0, 1})
        async with first.writing(0):
            await (await first.put(0, b"ada", record(1)))
            await (await first.put(0, b"ada", record(2)))
            await (await first.put(0, b"bob", record(1)))
            await (await first.put(0, b"bob", None))
        second = table(topics, producer)
        second.assign({0})
        async with second.writing(0):
            assert second.get(0, b"ada") == record(2)
            assert second.get(0, b"bob") is None
            assert len(second) == 1


async def test_a_stale_record_behind_its_successor_loses_and_is_repaired(topics: Settings):
    # Given a worker that was paused wrote version 3 behind its successor's version 7
    before = repaired()
    async with Producer(topics, client_id="test") as producer:
        for version in (1, 7, 3):
            await producer.send(LEARNER_CHANGELOG, key=b"ada", value=record(version), partition=2)
        await producer.flush()
        # When a third worker recovers
        third = table(topics, producer)
        third.assign({2})
        async with third.writing(2):
            # Then it has version 7
            assert third.get(2, b"ada") == record(7)
        assert repaired() - before == 1
    # And version 7 is the last one in the log again, which compaction keeps
    log = [r.value for r in await read_all(topics, LEARNER_CHANGELOG)]
    assert log == [record(1), record(7), record(3), record(7)]


async def test_a_record_of_an_unknown_format_is_named_and_nothing_is_recovered(topics: Settings):
    """Given it is its key's only record, Then it is found before any event of it comes."""
    async with Producer(topics, client_id="test") as producer:
        await logged(producer, [(b"ada", record(1)), (b"bob", b"new 1"), (b"cy", b"new 2")])
        refused: list[str] = []
        mine = table(topics, producer, refused)
        mine.assign({2})
        with pytest.raises(UnknownFormat):
            async with mine.writing(2):
                raise AssertionError("entered")
    name = physical(topics, LEARNER_CHANGELOG)
    assert refused == [
        f"topic {name}, partition 2, offset 1: record of format 9; this version reads 1"
        " (and 1 more records of the partition)"
    ]


async def test_an_unknown_record_that_was_deleted_since_is_nothing(topics: Settings):
    async with Producer(topics, client_id="test") as producer:
        await logged(producer, [(b"bob", b"new 1"), (b"bob", None), (b"ada", record(1))])
        mine = table(topics, producer)
        mine.assign({2})
        async with mine.writing(2):
            assert (mine.get(2, b"ada"), mine.get(2, b"bob")) == (record(1), None)


async def test_a_corrupt_record_stands_for_its_key_and_the_others_are_recovered(topics: Settings):
    """Given an older one of its key is whole, Then that does not come up in its place."""
    async with Producer(topics, client_id="test") as producer:
        await logged(
            producer,
            [(b"ada", record(7)), (b"ada", b"?"), (b"bob", record(3)), (b"cy", b"?"),
             (b"cy", record(1))],
        )  # fmt: skip
        mine = table(topics, producer)
        mine.assign({2})
        async with mine.writing(2):
            assert mine.get(2, b"ada") == b"?"
            assert mine.get(2, b"bob") == record(3)
            # And what was put behind a corrupt one replaces it
            assert mine.get(2, b"cy") == record(1)


async def test_a_partition_that_is_not_assigned_is_not_written(topics: Settings):
    async with Producer(topics, client_id="test") as producer:
        mine = table(topics, producer)
        mine.assign({0})
        with pytest.raises(NotOwned):
            async with mine.writing(1):
                raise AssertionError("entered")
        await mine.suspend()
        mine.assign(set())
        with pytest.raises(NotOwned):
            async with mine.writing(0):
                raise AssertionError("entered")


async def test_no_write_begins_between_suspend_and_assign(topics: Settings):
    async with Producer(topics, client_id="test") as producer:
        mine = table(topics, producer)
        mine.assign({0, 1})
        async with mine.writing(0):
            pass
        await mine.suspend()
        entered = asyncio.Event()

        async def write() -> None:
            async with mine.writing(1):
                entered.set()

        writing = asyncio.create_task(write())
        await asyncio.sleep(0.05)
        assert not entered.is_set()
        mine.assign({1})
        await asyncio.wait_for(writing, 5)
        assert entered.is_set()


async def test_suspend_passes_a_recovery_under_way(topics: Settings):
    async with Producer(topics, client_id="test") as producer:
        mine = table(topics, producer)
        mine.assign({0})
        entering = asyncio.create_task(anext(_entered(mine, 0)))
        await asyncio.wait_for(mine.suspend(), 5)
        mine.assign({0})
        assert await asyncio.wait_for(entering, 10) == "entered"


async def _entered(mine: VersionedTable, partition: int):
    async with mine.writing(partition):
        yield "entered"


# -- a changelog that lost its beginning ------------------------------------------------------

PLACE = 3


async def filled(producer: Producer, count: int) -> None:
    for n in range(count):
        key = b"learner-%d" % n
        await producer.send(LEARNER_CHANGELOG, key=key, value=record(1), partition=PLACE)
    await producer.flush()


async def delete_before(settings: Settings, offset: int) -> None:
    """As kafka-delete-records does."""
    place = TopicPartition(physical(settings, LEARNER_CHANGELOG), PLACE)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    await admin.start()
    try:
        # A topic that is compacted alone refuses it, until the broker has taken this up.
        both = {"cleanup.policy": "compact,delete"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, place.topic, both)])
        async with asyncio.timeout(20):
            while True:
                try:
                    await admin.delete_records({place: RecordsToDelete(offset)})
                    return
                except PolicyViolationError:
                    await asyncio.sleep(0.1)
    finally:
        await admin.close()


async def recovered(settings: Settings, producer: Producer) -> VersionedTable:
    mine = table(settings, producer)
    mine.assign({PLACE})
    async with asyncio.timeout(25), mine.writing(PLACE):
        return mine


@pytest.mark.parametrize(("deleted", "left"), [(40, 0), (15, 25)])
async def test_a_changelog_that_was_shortened_serves_what_is_there(
    topics: Settings, deleted: int, left: int
) -> None:
    async with Producer(topics, client_id="test") as producer:
        await filled(producer, 40)
        await delete_before(topics, deleted)
        with capture_logs() as lines:
            mine = await recovered(topics, producer)
        assert len(mine) == left
        late = [line for line in lines if line["event"] == "table.log_starts_late"]
        assert [(line["partition"], line["missing_at_most"]) for line in late] == [(PLACE, deleted)]
        # And it goes on from there
        async with mine.writing(PLACE):
            await (await mine.put(PLACE, b"ada", record(1)))
        assert len(await recovered(topics, producer)) == left + 1


@pytest.mark.parametrize("deleted", [30, 40])
async def test_records_that_vanish_while_they_are_read_are_not_waited_for(
    topics: Settings, monkeypatch: pytest.MonkeyPatch, deleted: int
) -> None:
    """Given a deletion between the look at the log's ends and the first record."""
    real, done = AIOKafkaConsumer.getmany, False

    async def getmany(self: AIOKafkaConsumer, *places: object, **options: object) -> object:
        nonlocal done
        if not done:
            done = True
            await delete_before(topics, deleted)
            # What was fetched ahead would hide it.
            await self.seek_to_beginning()
            self.seek(*places, 0)
        return await real(self, *places, **options)

    async with Producer(topics, client_id="test") as producer:
        await filled(producer, 40)
        monkeypatch.setattr(AIOKafkaConsumer, "getmany", getmany)
        with capture_logs() as lines:
            mine = await recovered(topics, producer)
        assert len(mine) == 40 - deleted
        (vanished,) = [line for line in lines if line["event"] == "table.records_vanished"]
        assert vanished["at_most"] == deleted


async def test_a_log_that_was_cut_at_its_end_is_not_waited_for(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a broker that said 45 and has 40 (an unclean election): the five never come."""
    real, asked = AIOKafkaConsumer.end_offsets, 0

    async def end_offsets(self: AIOKafkaConsumer, places: object) -> object:
        nonlocal asked
        asked += 1
        ends = await real(self, places)
        return {place: end + 5 for place, end in ends.items()} if asked == 1 else ends

    async with Producer(topics, client_id="test") as producer:
        await filled(producer, 40)
        monkeypatch.setattr(AIOKafkaConsumer, "end_offsets", end_offsets)
        with capture_logs() as lines:
            mine = await recovered(topics, producer)
        assert len(mine) == 40
        assert [line["missing"] for line in lines if line["event"] == "table.log_cut"] == [5]


async def test_a_tombstone_of_who_lost_the_partition_deletes_no_newer_record(topics: Settings):
    before = repaired()
    async with Producer(topics, client_id="test") as producer:
        # Given one that is about to delete version 7, and its successor, who wrote version 8
        late, successor = table(topics, producer), table(topics, producer)
        for each in (late, successor):
            each.assign({2})
        async with successor.writing(2), late.writing(2):
            await (await successor.put(2, b"ada", record(7)))
            await (await successor.put(2, b"bob", record(7)))
            late._records[2].update(successor._records[2])
            await (await successor.put(2, b"ada", record(8)))
            # When the late one deletes
            await (await late.put(2, b"ada", None))
            await (await late.put(2, b"bob", None))
        # Then only what had not moved on is gone
        third = table(topics, producer)
        third.assign({2})
        async with third.writing(2):
            assert third.get(2, b"ada") == record(8)
            assert third.get(2, b"bob") is None
        assert repaired() - before == 1
    assert [r.value for r in await read_all(topics, LEARNER_CHANGELOG)][-1] == record(8)


async def test_who_looks_for_records_gives_way_to_other_work(topics: Settings):
    async with Producer(topics, client_id="test") as producer:
        mine = table(topics, producer)
        mine.assign({0})
        async with mine.writing(0):
            for n in range(4 * SLICE):
                mine._records[0][b"%d" % n] = record(n)
        turns, looked = 0, 0

        def wanted(value: bytes) -> bool:
            nonlocal looked
            looked += 1
            return version_of(value) % SLICE == 7

        async def other_work() -> None:
            nonlocal turns
            while True:
                turns += 1
                before = looked
                await asyncio.sleep(0)
                assert looked - before <= 2 * SLICE

        working = asyncio.create_task(other_work())
        found = []
        async for partition, key, value in mine.matching(wanted):
            found.append((partition, key, value))
            # What changes meanwhile does no harm
            mine._records[0].pop(key)
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        assert [version_of(value) for _, _, value in found] == [7 + n * SLICE for n in range(4)]
        assert looked == 4 * SLICE
        assert turns >= 3
