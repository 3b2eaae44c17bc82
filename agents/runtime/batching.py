"""Batches without a clock: a batch begins the moment its consumer is free.

It holds whatever has arrived by then. Under light load that is one item, which waits
for nothing; under heavy load batches fill up by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


async def greedy(source: AsyncIterator[T], limit: int) -> AsyncGenerator[list[T], None]:
    """Group a stream into lists of 1 to `limit` items, in order.

    At most `limit` + 1 items are read ahead of the batch at the consumer. An error of
    the source is raised here after everything before it was yielded. Close the
    generator (`contextlib.aclosing`): that ends the reading.

    Raises ValueError for a limit below 1.
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}, must be at least 1")
    ahead: asyncio.Queue[T | _End] = asyncio.Queue(maxsize=limit)
    reading = asyncio.create_task(_read(source, ahead), name="read-ahead")
    try:
        while True:
            batch: list[T] = []
            item = await ahead.get()
            while not isinstance(item, _End):
                batch.append(item)
                if len(batch) == limit or ahead.empty():
                    break
                item = ahead.get_nowait()
            if batch:
                yield batch
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
    finally:
        reading.cancel()
        await asyncio.wait({reading})


async def _read(source: AsyncIterator[T], ahead: asyncio.Queue[T | _End]) -> None:
    error: Exception | None = None
    try:
        async for item in source:
            await ahead.put(item)
    except Exception as raised:
        error = raised
    await ahead.put(_End(error))


def batches(source: AsyncIterator[T], limit: int) -> aclosing[AsyncGenerator[list[T], None]]:
    """`greedy` as a context manager that stops reading at its end."""
    return aclosing(greedy(source, limit))
