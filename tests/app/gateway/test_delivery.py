"""Every push once, in order, no hole: live, after a reconnect, after Redis lost us."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
import redis.asyncio

from agents.ports import PushKind
from app.stores.pushlog import PushLog
from tests.app.gateway.edge import Client, Edge, Pusher, serving

pytestmark = pytest.mark.services


def offsets(pushes: list[dict[str, Any]]) -> list[int]:
    return [push["offset"] for push in pushes]


async def test_pushes_arrive_live_with_their_place_and_causes(edge: Edge, pusher: Pusher):
    async with edge.client() as client:
        hello = await client.next()
        causes = [
            await pusher.push("ada", PushKind.STATE),
            await pusher.push("ada", PushKind.RECOMMENDATIONS),
            await pusher.push("ada", PushKind.INTERVENTION, level="mild"),
        ]
        pushes = await client.take(3)
    assert [one["type"] for one in pushes] == [
        "user_state_update", "recommendations", "intervention",
    ]  # fmt: skip
    assert offsets(pushes) == [1, 2, 3]
    assert {one["epoch"] for one in pushes} == {hello["epoch"]}
    assert [one["causedBy"] for one in pushes] == [[cause] for cause in causes]


async def test_hello_tells_where_things_stand(edge: Edge, pusher: Pusher):
    await pusher.push("ada", PushKind.STATE, userState={"version": 7})
    await pusher.push("ada", PushKind.RECOMMENDATIONS, recommendations=[{"id": "r"}])
    async with edge.client() as client:
        hello = await client.next()
    assert hello["offset"] == 2
    assert hello["userState"] == {"version": 7}
    assert hello["recommendations"] == [{"id": "r"}]


async def test_each_learner_gets_its_own_and_each_connection_all(edge: Edge, pusher: Pusher):
    async with edge.client() as one, edge.client() as two, edge.client("bob") as bob:
        for client in (one, two, bob):
            await client.next()
        await pusher.push_many("ada", 5)
        await pusher.push_many("bob", 2)
        assert offsets(await one.take(5)) == offsets(await two.take(5)) == [1, 2, 3, 4, 5]
        assert offsets(await bob.take(2)) == [1, 2]
        assert (await bob.call(type="ping", id="1"))["type"] == "pong"


async def test_nothing_falls_between_hello_and_the_first_push(edge: Edge, pusher: Pusher):
    """Clients come while pushes are being appended."""

    async def come() -> None:
        async with edge.client() as client:
            hello = await client.next()
            await client.send(type="ping", id="p")
            pushes = [await client.until("intervention") for _ in range(10)]
        start = hello["offset"] + 1
        assert offsets(pushes) == list(range(start, start + 10))

    async def append(enough: asyncio.Event) -> None:
        while not enough.is_set():
            await pusher.push_many("ada", 2)

    enough = asyncio.Event()
    appending = asyncio.create_task(append(enough))
    for _ in range(10):
        await asyncio.gather(*(come() for _ in range(2)))
    enough.set()
    await appending


class Page:
    """A page that remembers the last offset it has seen, and resumes from there."""

    def __init__(self) -> None:
        self.epoch: str | None = None
        self.offset = 0
        self.seen: list[dict[str, Any]] = []

    async def stay(self, client: Client, number: int) -> None:
        hello = await client.next()
        assert hello["type"] == "hello"
        if self.epoch is None:
            self.epoch, self.offset = hello["epoch"], hello["offset"]
        else:
            await client.send(type="resume", epoch=self.epoch, offset=self.offset)
            resumed = await client.next()
            assert (resumed["type"], resumed["recovered"]) == ("resumed", True)
            assert resumed["offset"] == self.offset
        for push in await client.take(number):
            self.seen.append(push)
            self.offset = push["offset"]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_cut_off_at_random_a_page_sees_every_push_exactly_once(edge, pusher, seed):
    chance = random.Random(seed)
    page, total = Page(), 150

    async def append() -> list[str]:
        causes: list[str] = []
        while len(causes) < total:
            number = min(chance.randint(1, 9), total - len(causes))
            kinds = chance.choice(list(PushKind))
            causes += await pusher.push_many("ada", number, kinds)
            await asyncio.sleep(chance.random() * 0.02)
        return causes

    async with edge.client() as client:
        await page.stay(client, 0)
    appending = asyncio.create_task(append())
    while len(page.seen) < total:
        async with edge.client() as client:
            await page.stay(client, min(chance.randint(0, 20), total - len(page.seen)))
            if chance.random() < 0.5:
                client.socket.transport.abort()
    causes = await appending
    assert offsets(page.seen) == list(range(1, total + 1))
    assert [one["causedBy"] for one in page.seen] == [[cause] for cause in causes]


async def test_a_late_resume_replays_from_where_it_says(edge: Edge, pusher: Pusher):
    async with edge.client() as client:
        hello = await client.next()
        await pusher.push_many("ada", 5)
        await client.take(5)
        await client.send(type="resume", epoch=hello["epoch"], offset=2)
        resumed = await client.next()
        assert (resumed["type"], resumed["recovered"], resumed["offset"]) == ("resumed", True, 2)
        await pusher.push_many("ada", 2)
        assert offsets(await client.take(5)) == [3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "place", [("another", 3), (None, 1), (None, 99)], ids=["epoch", "trimmed", "ahead"]
)
async def test_what_is_not_known_any_more_is_said_with_the_state(topics, pusher, place):
    short = topics.model_copy(update={"redis": topics.redis.model_copy(update={"log_length": 10})})
    async with redis.asyncio.from_url(topics.redis.url) as client_of_redis:
        pusher = Pusher(short, client_of_redis)
        async with serving(short) as edge, edge.client() as client:
            hello = await client.next()
            await client.call(type="ping", id="1")  # it does not want to resume
            await pusher.push_many("ada", 20)
            await pusher.push("ada", PushKind.STATE, userState={"version": 9})
            await client.take(21)
            await client.send(type="resume", epoch=place[0] or hello["epoch"], offset=place[1])
            resumed = await client.next()
            assert resumed["recovered"] is False
            assert (resumed["epoch"], resumed["offset"]) == (hello["epoch"], 21)
            assert resumed["userState"] == {"version": 9}
            # And it goes on from there
            await pusher.push("ada")
            assert (await client.next())["offset"] == 22


async def test_what_redis_did_not_tell_us_is_read_from_the_log(edge: Edge, pusher: Pusher):
    async with (
        redis.asyncio.from_url(edge.settings.redis.url) as admin,
        edge.client() as client,
    ):
        await client.next()
        await pusher.push_many("ada", 3)
        seen = offsets(await client.take(3))
        for _ in range(3):
            await admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await pusher.push_many("ada", 3)
            seen += offsets(await client.take(3))
    assert seen == list(range(1, 13))


async def test_erasure_starts_a_log_over(edge: Edge, pusher: Pusher):
    async with (
        redis.asyncio.from_url(edge.settings.redis.url) as client_of_redis,
        edge.client() as client,
    ):
        hello = await client.next()
        await pusher.push("ada", PushKind.STATE)
        await client.next()
        await PushLog(client_of_redis, edge.settings.redis).forget("ada")
        resumed = await client.next()
    assert (resumed["type"], resumed["recovered"]) == ("resumed", False)
    assert resumed["epoch"] != hello["epoch"]
    assert "userState" not in resumed


async def test_who_is_gone_is_not_followed_any_more(edge: Edge, pusher: Pusher):
    async with redis.asyncio.from_url(edge.settings.redis.url) as admin:
        channels = f"{edge.settings.redis.prefix}:push:*"
        async with edge.client() as one, edge.client():
            await one.next()
            assert len(await admin.pubsub_channels(channels)) == 1
        async with asyncio.timeout(10):
            while await admin.pubsub_channels(channels):
                await asyncio.sleep(0.01)
        # And coming back works
        async with edge.client() as client:
            await client.next()
            await pusher.push("ada")
            assert (await client.next())["offset"] == 1
