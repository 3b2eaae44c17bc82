"""Every push once, in order, no hole: live, after a reconnect, after Redis lost us."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
import redis.asyncio

from agents.runtime.ports import PushKind
from app.redis.push_log import PushLog
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


async def test_who_asks_gets_the_whole_state_that_a_push_told_in_part(edge: Edge, pusher: Pusher):
    """Live, in `hello` and in `resumed`: one version, and no field with two values."""
    live = {"version": 2, "valence": 0.4}
    whole = {**live, "longTerm": {"valence": 0.5}}
    async with edge.client() as client:
        await client.next()
        await pusher.push_state("ada", {"version": 1}, {"version": 1, "longTerm": {}})
        assert (await client.next())["userState"] == {"version": 1}
        await pusher.push_state("ada", live, whole)
        assert (await client.next())["userState"] == live
    async with edge.client() as client:
        hello = await client.next()
        assert hello["userState"] == whole
        await client.send(type="resume", epoch="another", offset=0)
        resumed = await client.until("resumed")
        assert (resumed["recovered"], resumed["userState"]) == (False, whole)
    async with edge.client() as client:
        await client.next()
        await client.send(type="resume", epoch=hello["epoch"], offset=0)
        assert (await client.until("resumed"))["recovered"] is True
        assert (await client.until("user_state_update"))["userState"] == live


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


CONFLATED = ("user_state_update", "recommendations")


class Page:
    """A page that remembers the last offset it has seen, and resumes from there."""

    def __init__(self) -> None:
        self.epoch: str | None = None
        self.offset = 0
        self.seen: list[dict[str, Any]] = []

    async def stay(self, client: Client, number: int, until: int) -> None:
        """Take so many pushes, or those up to an offset."""
        hello = await client.next()
        assert hello["type"] == "hello"
        if self.epoch is None:
            self.epoch, self.offset = hello["epoch"], hello["offset"]
        else:
            await client.send(type="resume", epoch=self.epoch, offset=self.offset)
            resumed = await client.next()
            assert (resumed["type"], resumed["offset"]) == ("resumed", self.offset)
        while number > 0 and self.offset < until:
            push = await client.next()
            if push["type"] == "resumed":  # causes are lost; the place is ours
                assert (push["recovered"], push["offset"]) == (False, self.offset)
                continue
            self.seen.append(push)
            self.offset = push["offset"]
            number -= 1


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_cut_off_at_random_a_page_misses_only_what_was_superseded(edge, pusher, seed):
    chance = random.Random(seed)
    page, total = Page(), 150
    first = chance.sample(list(PushKind), len(PushKind))  # each kind comes
    pushed: list[tuple[str, str]] = []

    async def append() -> None:
        while len(pushed) < total:
            number = min(chance.randint(1, 9), total - len(pushed))
            kind = first.pop() if first else chance.choice(list(PushKind))
            causes = await pusher.push_many("ada", number, kind)
            pushed.extend((str(kind), cause) for cause in causes)
            await asyncio.sleep(chance.random() * 0.02)

    async with edge.client() as client:
        await page.stay(client, 0, total)
    appending = asyncio.create_task(append())
    while page.offset < total:
        async with edge.client() as client:
            await page.stay(client, chance.randint(0, 20), total)
            if chance.random() < 0.5:
                client.socket.transport.abort()
    await appending
    # Each push in its place, in order
    assert offsets(page.seen) == sorted(set(offsets(page.seen)))
    for push in page.seen:
        kind, cause = pushed[push["offset"] - 1]
        assert (push["type"], push["causedBy"][-1]) == (kind, cause)
    # All but states and recommendations exactly once; of these the newest came
    for kind in PushKind:
        of_kind = [n for n, (each, _) in enumerate(pushed, start=1) if each == kind]
        seen = [push["offset"] for push in page.seen if push["type"] == kind]
        if kind in CONFLATED:
            assert seen[-1] == of_kind[-1]
        else:
            assert seen == of_kind
    # No cause twice, none of another kind
    for kind in CONFLATED:
        told = [c for push in page.seen if push["type"] == kind for c in push["causedBy"]]
        assert len(told) == len(set(told))
        assert set(told) <= {cause for each, cause in pushed if each == kind}


async def resumed_from(client: Client, hello: dict[str, Any], offset: int) -> dict[str, Any]:
    await client.send(type="resume", epoch=hello["epoch"], offset=offset)
    return await client.next()


async def test_a_resume_brings_the_newest_state_with_all_causes(edge: Edge, pusher: Pusher):
    async with edge.client() as client:
        hello = await client.next()
        await client.call(type="ping", id="1")  # it does not want to resume
        states, advice = [], []
        for n in range(30):
            states.append(await pusher.push("ada", PushKind.STATE, userState={"version": n}))
            advice.append(await pusher.push("ada", PushKind.RECOMMENDATIONS))
            if n in (3, 20):
                await pusher.push("ada", PushKind.INTERVENTION)
        await client.take(62)
        resumed = await resumed_from(client, hello, 10)
        assert (resumed["recovered"], resumed["offset"]) == (True, 10)
        pushes = await client.take(3)
        assert (await client.call(type="ping", id="1"))["type"] == "pong"
    # The client has five states (the last at 10), four recommendations, an intervention (at 9)
    assert [(one["type"], one["offset"]) for one in pushes] == [
        ("intervention", 44),
        ("user_state_update", 61),
        ("recommendations", 62),
    ]
    assert pushes[1]["userState"] == {"version": 29}
    assert pushes[1]["causedBy"] == states[5:]
    assert pushes[2]["causedBy"] == advice[4:]


async def test_what_lost_its_causes_is_said_and_nothing_else_is_missed(edge: Edge, pusher: Pusher):
    async with edge.client() as client:
        hello = await client.next()
        await client.call(type="ping", id="1")
        for n in range(100):
            await pusher.push("ada", PushKind.STATE, userState={"version": n})
            if n in (10, 90):
                await pusher.push("ada", PushKind.INTERVENTION)
        await client.take(102)
        # From where at most 64 causes were superseded: all of them
        resumed = await resumed_from(client, hello, 36)
        assert resumed["recovered"] is True
        assert offsets(pushes := await client.take(2)) == [93, 102]
        assert len(pushes[1]["causedBy"]) == 65
        assert (await resumed_from(client, hello, 35))["recovered"] is False
        assert offsets(await client.take(2)) == [93, 102]
        # From further back: the state, our own place, and then what is not superseded
        resumed = await resumed_from(client, hello, 5)
        assert (resumed["recovered"], resumed["offset"]) == (False, 5)
        assert resumed["userState"] == {"version": 99}
        pushes = await client.take(3)
        assert offsets(pushes) == [12, 93, 102]
        assert len(pushes[2]["causedBy"]) == 65
        assert (await client.call(type="ping", id="1"))["type"] == "pong"


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
