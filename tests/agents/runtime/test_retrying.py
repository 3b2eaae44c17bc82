"""Waiting for a store: who waits is counted, told of, and taken out again."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from agents.runtime.retrying import SILENCE, Fatal, Refused, Retriable, Waits, until_stored

AWAY = Retriable("redis", "no answer")


class Store:
    """Raises what it is told to; takes everything else."""

    def __init__(self) -> None:
        self.says: Exception | None = AWAY
        self.asked = asyncio.Event()

    async def write(self) -> str:
        self.asked.set()
        if self.says is not None:
            raise self.says
        return "stored"


async def waiting(store: Store, waits: Waits, name: str = "redis") -> asyncio.Task[str]:
    task = asyncio.create_task(until_stored(store.write, store=name, waits=waits))
    async with asyncio.timeout(5):
        while name not in waits.stores:
            await asyncio.sleep(0)
    return task


async def test_a_store_is_waited_for_until_it_takes_the_write() -> None:
    waits, store = Waits(), Store()
    task = await waiting(store, waits)
    store.says = None
    assert await asyncio.wait_for(task, 10) == "stored"
    assert waits.stores == ()


async def test_one_success_does_not_clear_what_others_wait_for() -> None:
    waits, lucky, unlucky = Waits(), Store(), Store()
    tasks = [await waiting(lucky, waits), await waiting(unlucky, waits)]
    lucky.says = None
    await asyncio.wait_for(tasks[0], 10)
    assert waits.stores == ("redis",)
    unlucky.says = None
    await asyncio.wait_for(tasks[1], 10)
    assert waits.stores == ()


async def test_stores_are_counted_apart() -> None:
    waits, redis, mongo = Waits(), Store(), Store()
    tasks = [await waiting(redis, waits), await waiting(mongo, waits, "mongo")]
    redis.says = None
    await asyncio.wait_for(tasks[0], 10)
    assert waits.stores == ("mongo",)
    tasks[1].cancel()
    await asyncio.wait(tasks)
    assert waits.stores == ()


@pytest.mark.parametrize(
    "error",
    [
        LookupError("the claim is gone"),
        Refused("redis", "wrong type"),
        Fatal("redis", "no permission", "MASTERX_REDIS__URL"),
    ],
)
async def test_every_way_out_ends_the_wait(error: Exception) -> None:
    """A store that comes back empty answers with something else than success."""
    waits, store = Waits(), Store()
    task = await waiting(store, waits)
    store.says = error
    with pytest.raises(type(error)):
        await asyncio.wait_for(task, 10)
    assert waits.stores == ()


async def test_a_long_outage_is_told_again_and_again_by_one_line() -> None:
    """Given 512 writes that wait, Then one line in SILENCE seconds, however long it takes."""
    now = 0.0
    waits = Waits(clock=lambda: now)
    with capture_logs() as lines:
        for _ in range(10):
            with waits.waiting("redis") as one, waits.waiting("redis") as other:
                for _ in range(100):
                    now += SILENCE / 50
                    one(AWAY)
                    other(AWAY)
    told = [line for line in lines if line["event"] == "store.unavailable"]
    assert len(told) == 10 * 2
    assert told[1]["seconds"] >= SILENCE
    assert {line["action"] for line in told} == {"retrying"}
