"""The versioned table against a real broker: recovery, stale records, rebalances."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from agents.ports import NotOwned
from agents.topics import LEARNER_CHANGELOG
from app.producer import Producer
from app.settings import Settings
from app.table import SLICE, VersionedTable
from tests.topics import read_all

pytestmark = pytest.mark.services


def record(version: int, text: str = "") -> bytes:
    return b"%d:%s" % (version, text.encode())


def version_of(value: bytes) -> int:
    return int(value.split(b":")[0])


def table(settings: Settings, producer: Producer) -> VersionedTable:
    return VersionedTable(settings, LEARNER_CHANGELOG, producer, version_of)


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
        assert third.repaired == 1
    # And version 7 is the last one in the log again, which compaction keeps
    log = [r.value for r in await read_all(topics, LEARNER_CHANGELOG)]
    assert log == [record(1), record(7), record(3), record(7)]


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


async def test_a_tombstone_of_who_lost_the_partition_deletes_no_newer_record(topics: Settings):
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
        assert third.repaired == 1
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
