"""Tasks end, also those that drop a cancellation."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from app.process.concurrency import end


async def forever() -> None:
    while True:
        await asyncio.sleep(60)


async def deaf(times: int) -> None:
    """Drops so many cancellations."""
    for _ in range(times):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
    await forever()


async def broken() -> None:
    raise ValueError("of its own")


async def test_tasks_are_cancelled_until_they_have_ended() -> None:
    tasks = [asyncio.create_task(one) for one in (forever(), deaf(2), broken())]
    await asyncio.sleep(0)
    await end(*tasks)
    assert all(task.done() for task in tasks)
    assert [task.cancelled() for task in tasks] == [True, True, False]
    await end(*tasks)


async def test_who_is_ended_while_it_ends_others_leaves_none_behind() -> None:
    inner = asyncio.create_task(deaf(2))

    async def outer() -> None:
        try:
            await forever()
        finally:
            await end(inner)

    task = asyncio.create_task(outer())
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()
    assert inner.done()


async def test_nothing_to_end() -> None:
    await end()
