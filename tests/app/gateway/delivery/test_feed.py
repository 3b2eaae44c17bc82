"""A feed on a real log: what it reads of it, and what it sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import orjson
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from agents.runtime.ports import PushKind
from app.gateway.delivery.feed import Feed, LogReader, frame
from app.gateway.delivery.send_queue import Frame
from app.redis.client import connect
from app.redis.push_log import Latest, PushLog, Tail
from app.settings import Settings
from tests.app.gateway.edge import Pusher

pytestmark = pytest.mark.services


class CountedLog(PushLog):
    """Counts what its readers are given."""

    entries = 0
    bytes = 0

    async def since(self, *args: Any, **more: Any) -> Tail | None:
        tail = await super().since(*args, **more)
        for push in tail.pushes if tail is not None else ():
            self.entries += 1
            self.bytes += len(push.body)
        return tail


class Told:
    """An outlet that keeps what it is told."""

    def __init__(self) -> None:
        self.pushes: list[dict[str, Any]] = []
        self.resumed: list[tuple[bool, int]] = []
        self.free = asyncio.Event()
        self.free.set()
        self.changed = asyncio.Condition()

    def push(self, frame: Frame) -> None:
        self.pushes.append(orjson.loads(frame.payload))

    def drop_pushes(self) -> None:
        pass

    def recovered(self, epoch: str, offset: int) -> None:
        self.resumed.append((True, offset))

    def not_recovered(self, latest: Latest) -> None:
        self.resumed.append((False, latest.offset))

    async def room(self) -> bool:
        await self.free.wait()
        return True

    async def until(self, offset: int) -> None:
        async with asyncio.timeout(20):
            while not self.pushes or self.pushes[-1]["offset"] < offset:
                await asyncio.sleep(0.005)

    @property
    def offsets(self) -> list[int]:
        return [push["offset"] for push in self.pushes]


@pytest_asyncio.fixture
async def log(settings: Settings) -> AsyncIterator[CountedLog]:
    async with connect(settings.redis, "gateway") as client:
        yield CountedLog(client, settings.redis)


@pytest_asyncio.fixture
async def pusher(settings: Settings) -> AsyncIterator[Pusher]:
    async with connect(settings.redis, "gateway") as client:
        yield Pusher(settings, client)


async def test_a_resume_reads_each_push_once(log: CountedLog, pusher: Pusher):
    # Given a full window of pushes of 5 KB
    await pusher.push_many("ada", 500, PushKind.INTERVENTION, size=5_000)
    epoch = (await log.head("ada")).epoch
    told = Told()
    feed = Feed("ada", LogReader(log), told)
    # When a client resumes from its begin
    feed.resume(epoch, 0)
    await told.until(500)
    feed.close()
    # Then it was given each once, and the log was read once, in parts
    assert told.resumed == [(True, 0)]
    assert told.offsets == list(range(1, 501))
    print(f"\nread {log.entries} pushes, {log.bytes} bytes")
    assert log.entries == 500


async def test_a_push_of_a_newer_release_reaches_its_client(log: CountedLog, pusher: Pusher):
    def pushed(kind: str) -> float:
        labels = {"kind": kind}
        return REGISTRY.get_sample_value("masterx_gateway_pushes_total", labels) or 0.0

    before = {kind: pushed(kind) for kind in ("unknown", "tutor_reply", "intervention")}
    # Given a log with a push of a kind that this release does not know, as in an upgrade
    await pusher.push("ada", PushKind.TUTOR_REPLY)
    await pusher.push("ada", "milestone", reached=3)
    told = Told()
    feed = Feed("ada", LogReader(log), told)
    # When a client reads it
    feed.resume((await log.head("ada")).epoch, 0)
    await told.until(2)
    feed.close()
    # Then it got both, and the metric names neither after another kind
    assert [(one["type"], one.get("reached")) for one in told.pushes] == [
        ("tutor_reply", None),
        ("milestone", 3),
    ]
    assert {kind: pushed(kind) - count for kind, count in before.items()} == {
        "unknown": 1,
        "tutor_reply": 1,
        "intervention": 0,
    }


async def test_a_resume_over_states_reads_one_state(log: CountedLog, pusher: Pusher):
    for _ in range(60):
        await pusher.push("ada", PushKind.STATE, size=5_000)
        await pusher.push("ada", PushKind.RECOMMENDATIONS)
    epoch = (await log.head("ada")).epoch
    told = Told()
    feed = Feed("ada", LogReader(log), told)
    feed.resume(epoch, 0)
    await told.until(120)
    feed.close()
    assert told.offsets == [119, 120]
    assert [len(push["causedBy"]) for push in told.pushes] == [60, 60]
    assert log.entries == 120
    assert log.bytes < 10_000


async def test_who_reads_slowly_is_told_once_that_causes_are_lost(log: CountedLog, pusher: Pusher):
    """While a client takes the first part of the log, the rest of it is superseded."""
    await pusher.push_many("ada", 64, PushKind.INTERVENTION)
    causes = await pusher.push_many("ada", 30, PushKind.STATE)
    epoch = (await log.head("ada")).epoch
    told = Told()
    told.free.clear()
    feed = Feed("ada", LogReader(log), told)
    feed.resume(epoch, 0)
    async with asyncio.timeout(10):
        while not told.resumed:
            await asyncio.sleep(0.005)
    causes += await pusher.push_many("ada", 200, PushKind.STATE)
    await pusher.push("ada", PushKind.INTERVENTION)
    feed.stale()
    told.free.set()
    await told.until(295)
    feed.close()
    assert told.resumed[0] == (True, 0)
    assert [recovered for recovered, _ in told.resumed[1:]] == [False]
    assert told.offsets == [*range(1, 65), 294, 295]
    assert told.pushes[64]["causedBy"] == causes[-65:]


async def test_what_is_heard_while_the_log_is_read_comes_in_its_place(
    log: CountedLog, pusher: Pusher
):
    await pusher.push_many("ada", 130, PushKind.INTERVENTION)
    epoch = (await log.head("ada")).epoch
    told = Told()
    feed = Feed("ada", LogReader(log), told)
    subscription = log.listen()
    await subscription.add("ada")
    feed.resume(epoch, 0)

    async def hear() -> None:
        async for heard in subscription:
            assert isinstance(heard, tuple)
            push = heard[1]
            feed.heard(push, frame(push))

    hearing = asyncio.create_task(hear())
    for _ in range(20):
        await pusher.push("ada", PushKind.INTERVENTION)
        await pusher.push("ada", PushKind.STATE)
    await told.until(170)
    feed.close()
    await subscription.close()
    await hearing
    of_kind = [p["offset"] for p in told.pushes if p["type"] == "intervention"]
    assert of_kind == [*range(1, 131), *range(131, 170, 2)]
    assert all(one < other for one, other in pairwise(told.offsets))
    assert told.resumed == [(True, 0)]
