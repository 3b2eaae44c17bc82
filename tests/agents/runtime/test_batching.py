from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runtime.batching import batches, greedy


class Source:
    """Yields what `feed` was given; tells how far it was read and whether it was closed."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[int | Exception | None] = asyncio.Queue()
        self.read = 0
        self.closed = asyncio.Event()

    def feed(self, *items: int | Exception | None) -> None:
        for item in items:
            self.waiting.put_nowait(item)

    async def items(self) -> AsyncIterator[int]:
        try:
            while True:
                item = await self.waiting.get()
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise item
                self.read += 1
                yield item
        finally:
            self.closed.set()


@given(count=st.integers(0, 40), limit=st.integers(1, 7))
async def test_every_item_once_in_order_in_batches_within_the_limit(count: int, limit: int) -> None:
    source = Source()
    source.feed(*range(count), None)
    got = [batch async for batch in greedy(source.items(), limit)]
    assert [item for batch in got for item in batch] == list(range(count))
    assert all(1 <= len(batch) <= limit for batch in got)


async def test_a_single_item_does_not_wait_for_company() -> None:
    source = Source()
    async with batches(source.items(), 10) as stream:
        source.feed(1)
        assert await anext(stream) == [1]
        # While the consumer is busy the next batch fills up.
        source.feed(2, 3, 4)
        await source_has_read(source, 4)
        assert await anext(stream) == [2, 3, 4]


async def test_reads_no_further_ahead_than_the_limit() -> None:
    source = Source()
    source.feed(*range(100))
    async with batches(source.items(), 5) as stream:
        assert await anext(stream)
        for _ in range(200):
            await asyncio.sleep(0)
        assert source.read <= 5 + 5 + 1


async def test_an_error_of_the_source_surfaces_after_what_came_before_it() -> None:
    source = Source()
    source.feed(1, 2, LookupError("gone"))
    got: list[int] = []

    async def consume() -> None:
        async for batch in greedy(source.items(), 8):
            got.extend(batch)

    with pytest.raises(LookupError, match="gone"):
        await consume()
    assert got == [1, 2]


async def test_leaving_stops_the_reading() -> None:
    source = Source()
    source.feed(1)
    async with batches(source.items(), 3) as stream:
        await anext(stream)
    await asyncio.wait_for(source.closed.wait(), 5)


async def test_a_cancelled_consumer_stops_the_reading() -> None:
    source = Source()

    async def consume() -> None:
        async with batches(source.items(), 3) as stream:
            async for _ in stream:
                pass

    consuming = asyncio.create_task(consume())
    source.feed(1)
    await source_has_read(source, 1)
    consuming.cancel()
    await asyncio.wait({consuming})
    assert consuming.cancelled()
    await asyncio.wait_for(source.closed.wait(), 5)


async def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit is 0"):
        await anext(greedy(Source().items(), 0))


async def source_has_read(source: Source, count: int) -> None:
    while source.read < count:
        await asyncio.sleep(0)
