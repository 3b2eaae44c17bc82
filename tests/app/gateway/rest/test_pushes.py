"""Pushes without a WebSocket: what a socket would get, by the same rules, one answer a poll."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import redis.asyncio

from agents.runtime.ports import PushKind
from app.redis.arrivals import arrivals
from app.redis.push_log import PushLog
from app.settings import Settings
from schemas.wire.rest import Pushes
from tests.app.gateway.edge import PREFIX, Edge, Pusher, serving
from tests.app.gateway.process.test_server import process
from tests.app.gateway.rest.test_routes import problem
from tests.app.gateway.websocket.test_handshakes import raw, requests_under_way
from tests.proxy import Proxy
from tests.schemas.examples import FULL_STATE
from tests.servers import Services

pytestmark = pytest.mark.services

AT_ONCE = 12.0
"""Seconds; half of what a poll waits, and much for a loaded machine."""


class Page:
    """A page that may only poll: it goes on from the last frame that it got.

    Attributes:
        place: of that frame.
        got: all frames so far.
    """

    def __init__(self, edge: Edge, user: str = "ada", port: int | None = None, **claims: Any):
        root = f"http://127.0.0.1:{port}" if port else edge.http
        self.http = httpx.AsyncClient(
            base_url=root + PREFIX,
            headers=edge.bearer(claims.pop("subject", user), **claims),
            trust_env=False,
            timeout=40,
        )
        self.user = user
        self.place: dict[str, Any] = {}
        self.got: list[dict[str, Any]] = []

    async def ask(self, **query: Any) -> httpx.Response:
        return await self.http.get(f"/pushes/{self.user}", params=query)

    async def poll(self, **query: Any) -> list[dict[str, Any]]:
        """The frames that come next; while there are none to be had, it tries again."""
        async with asyncio.timeout(40):
            while (answer := await self.ask(**{**self.place, **query})).status_code == 503:
                await asyncio.sleep(0.05)
        assert answer.status_code == 200, answer.text
        frames: list[dict[str, Any]] = answer.json()["frames"]
        self.place = {"epoch": frames[-1]["epoch"], "offset": frames[-1]["offset"]}
        self.got += frames
        return frames


@asynccontextmanager
async def page(edge: Edge, *args: Any, **options: Any) -> AsyncIterator[Page]:
    one = Page(edge, *args, **options)
    async with one.http:
        yield one


async def waiting(edge: Edge, number: int = 1) -> None:
    """Return once there are so many connections, and the learner is followed."""
    async with redis.asyncio.from_url(edge.settings.redis.url) as admin, asyncio.timeout(AT_ONCE):
        while len(edge.gateway.connections) < number or not await followed(edge, admin):
            await asyncio.sleep(0.01)


async def none_left(edge: Edge) -> None:
    """Return once no connection is counted, no learner followed and no request served."""
    async with redis.asyncio.from_url(edge.settings.redis.url) as admin, asyncio.timeout(AT_ONCE):
        while len(edge.gateway.connections) or await followed(edge, admin) or requests_under_way():
            await asyncio.sleep(0.01)


async def followed(edge: Edge, admin: redis.asyncio.Redis) -> list[bytes]:
    """Channels of learners that the gateway listens to."""
    return await admin.pubsub_channels(f"{edge.settings.redis.prefix}:push:*")


def places(frames: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(one["type"], one["offset"]) for one in frames]


# -- what is answered -------------------------------------------------------------------------


async def test_without_a_place_the_answer_is_hello(edge: Edge, pusher: Pusher):
    await pusher.push("ada", PushKind.STATE, userState=FULL_STATE.document())
    await pusher.push("ada", PushKind.RECOMMENDATIONS)
    async with page(edge) as ada, edge.client() as client:
        response = await ada.ask()
        told = await client.next()
    assert Pushes.parse(response.content).frames[0].offset == 2
    assert response.headers["Cache-Control"] == "no-store"
    [hello] = response.json()["frames"]
    for one in (hello, told):
        one.pop("serverTime", None)
    assert hello == told
    assert (hello["type"], hello["userState"]["version"]) == ("hello", FULL_STATE.version)
    await none_left(edge)


async def test_a_push_is_answered_at_once_with_what_came_with_it(edge: Edge, pusher: Pusher):
    async with page(edge) as ada:
        await ada.poll()
        polling = asyncio.create_task(ada.poll())
        await waiting(edge)
        assert not polling.done()
        causes = await pusher.push_many("ada", 3)
        frames = await asyncio.wait_for(polling, AT_ONCE)
        assert places(frames) == [
            ("resumed", 0), ("intervention", 1), ("intervention", 2), ("intervention", 3),
        ]  # fmt: skip
        assert frames[0]["recovered"] is True
        assert [one["causedBy"] for one in frames[1:]] == [[cause] for cause in causes]
        # What came between two polls is there at once
        await pusher.push("ada")
        assert places(await asyncio.wait_for(ada.poll(), AT_ONCE)) == [
            ("resumed", 3), ("intervention", 4),
        ]  # fmt: skip
    await none_left(edge)


async def test_without_a_push_the_answer_after_the_wait_is_a_place(edge: Edge):
    async with page(edge) as ada:
        [hello] = await ada.poll()
        for wait in (0, 0.3):
            start = time.monotonic()
            [resumed] = await ada.poll(wait=wait)
            assert time.monotonic() - start >= wait
            assert resumed == {
                "type": "resumed", "recovered": True, "epoch": hello["epoch"], "offset": 0,
            }  # fmt: skip
    await none_left(edge)


@pytest.mark.parametrize(
    ("place", "recovered"),
    [(40, True), (120, True), (5, False), (0, False), (999, False), ("another", False)],
)
async def test_the_frames_are_those_of_a_socket(edge: Edge, pusher: Pusher, place, recovered):
    """Interventions, superseded states, lost causes, and places that are not known."""
    for n in range(100):
        await pusher.push("ada", PushKind.STATE, userState={"version": n})
        if n in (40, 60, 90):
            await pusher.push("ada", PushKind.RECOMMENDATIONS)
            await pusher.push("ada", PushKind.INTERVENTION)
            await pusher.push_many("ada", 7, PushKind.TUTOR_DELTA)
    async with page(edge) as ada, edge.client() as client:
        hello = await client.next()
        asked = {"epoch": hello["epoch"], "offset": place}
        if place == "another":
            asked = {"epoch": place, "offset": 3}
        await client.send(type="resume", **asked)
        await client.send(type="ping", id="end")
        on_the_socket = []
        while not on_the_socket or on_the_socket[-1]["offset"] < hello["offset"]:
            message = await client.next()
            on_the_socket += [message] if message["type"] != "pong" else []
        frames = await ada.poll(**asked)
    assert frames == on_the_socket
    assert frames[0]["recovered"] is recovered
    assert ("userState" in frames[0]) is not recovered
    if not recovered and isinstance(place, int) and place < 100:
        assert frames[0]["offset"] == place  # complete, but for ids
        assert frames[-1]["offset"] == hello["offset"]


async def test_an_erasure_is_told_to_a_poll_that_waits(edge: Edge, pusher: Pusher):
    await pusher.push("ada", PushKind.STATE)
    async with page(edge) as ada, redis.asyncio.from_url(edge.settings.redis.url) as client:
        [hello] = await ada.poll()
        polling = asyncio.create_task(ada.poll())
        await waiting(edge)
        await PushLog(client, edge.settings.redis).forget("ada")
        resumed, lost = await asyncio.wait_for(polling, AT_ONCE)
        assert (resumed["recovered"], lost["recovered"]) == (True, False)
        assert lost["epoch"] != hello["epoch"]
        assert "userState" not in lost
        await pusher.push("ada")
        assert places(await ada.poll()) == [("resumed", 0), ("intervention", 1)]


async def test_an_answer_waits_until_the_log_is_read_to_its_end(edge: Edge, pusher: Pusher):
    """What Redis did not tell is read in parts; ids of a state stand in one that comes later."""
    async with page(edge) as ada, redis.asyncio.from_url(edge.settings.redis.url) as admin:
        await ada.poll()
        polling = asyncio.create_task(ada.poll())
        await waiting(edge)
        await admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        first = await pusher.push("ada", PushKind.STATE)
        await pusher.push_many("ada", 400)
        second = await pusher.push("ada", PushKind.STATE)
        resumed, *pushes = await asyncio.wait_for(polling, AT_ONCE)
    assert (resumed["recovered"], resumed["offset"]) == (True, 0)
    assert [one["offset"] for one in pushes] == list(range(2, 403))
    assert pushes[-1]["causedBy"] == [first, second]


# -- many polls -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_many_polls_lose_nothing_and_double_nothing(topics: Settings, pusher, seed):
    """Pushes are appended, Redis drops its listeners, and polls wait for 0 s or longer."""
    chance = random.Random(seed)
    total = 240
    pushed: list[tuple[str, str]] = []

    async def append() -> None:
        while len(pushed) < total:
            number = min(chance.randint(1, 9), total - len(pushed))
            kind = chance.choice(list(PushKind))
            causes = await pusher.push_many("ada", number, kind, size=chance.choice([0, 900]))
            pushed.extend((str(kind), cause) for cause in causes)
            if chance.random() < 0.05:
                await admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await asyncio.sleep(chance.random() * 0.02)

    async with (
        redis.asyncio.from_url(topics.redis.url) as admin,
        serving(topics, max_outbox_bytes=64_000) as edge,
        page(edge) as ada,
    ):
        await ada.poll()
        appending = asyncio.create_task(append())
        while ada.place["offset"] < total:
            await ada.poll(wait=chance.choice([0, 0.02, 5]))
        await appending
    seen = [one for one in ada.got if one["type"] not in ("hello", "resumed")]
    offsets = [one["offset"] for one in seen]
    assert offsets == sorted(set(offsets))
    assert all(one["recovered"] for one in ada.got if one["type"] == "resumed")
    for kind in PushKind:
        appended = [cause for each, cause in pushed if each == kind]
        told = [cause for one in seen if one["type"] == kind for cause in one["causedBy"]]
        assert told == appended  # each id once, in order, superseded or not
        if kind not in PushKind.latest_wins():
            places_of_kind = [n for n, (each, _) in enumerate(pushed, start=1) if each == kind]
            assert [one["offset"] for one in seen if one["type"] == kind] == places_of_kind


async def test_an_answer_is_bounded_and_the_next_one_goes_on(topics: Settings, pusher: Pusher):
    bound = 40_000
    causes = await pusher.push_many("ada", 150, size=3_000)
    async with serving(topics, max_outbox_bytes=bound) as edge, page(edge) as ada:
        epoch = (await ada.poll())[0]["epoch"]
        ada.place = {"epoch": epoch, "offset": 0}
        seen: list[dict[str, Any]] = []
        while len(seen) < 150:
            answer = await ada.ask(**ada.place)
            assert len(answer.content) <= bound
            resumed, *pushes = answer.json()["frames"]
            assert (resumed["recovered"], resumed["offset"]) == (True, len(seen))
            seen += pushes
            ada.place["offset"] = pushes[-1]["offset"]
        assert [one["causedBy"] for one in seen] == [[cause] for cause in causes]
        # One that is larger than the bound comes alone
        await pusher.push_many("ada", 2, size=2 * bound)
        for offset in (151, 152):
            assert places(await ada.poll(**ada.place)) == [
                ("resumed", offset - 1), ("intervention", offset),
            ]  # fmt: skip
    await none_left(edge)


async def test_live_pushes_beyond_the_bound_come_with_the_next_poll(topics, pusher: Pusher):
    async with serving(topics, max_outbox_bytes=40_000) as edge, page(edge) as ada:
        await ada.poll()
        polling = asyncio.create_task(ada.poll())
        await waiting(edge)
        await pusher.push_many("ada", 60, size=3_000)
        first = await asyncio.wait_for(polling, AT_ONCE)
        assert 1 < len(first) < 20
        while ada.place["offset"] < 60:
            await ada.poll()
    seen = [offset for kind, offset in places(ada.got) if kind == "intervention"]
    assert seen == list(range(1, 61))


async def test_ids_that_an_answer_breaks_off_before_are_said_to_be_lost(topics, pusher: Pusher):
    """A state is superseded; what stands for it lies beyond the bound, the client's place not."""
    await pusher.push("ada", PushKind.STATE)
    await pusher.push_many("ada", 20, size=3_000)
    newest = await pusher.push("ada", PushKind.STATE, userState={"version": 7})
    async with serving(topics, max_outbox_bytes=40_000) as edge, page(edge) as ada:
        epoch = (await ada.poll())[0]["epoch"]
        ada.place = {"epoch": epoch, "offset": 0}
        resumed, *pushes, lost = await ada.poll()
        assert resumed["recovered"] is True
        assert (lost["type"], lost["recovered"]) == ("resumed", False)
        assert lost["offset"] == pushes[-1]["offset"]
        assert lost["userState"] == {"version": 7}
        while ada.place["offset"] < 22:
            frames = await ada.poll()
    seen = [offset for kind, offset in places(ada.got) if kind == "intervention"]
    assert seen == list(range(2, 22))
    assert (frames[-1]["offset"], frames[-1]["causedBy"]) == (22, [newest])


# -- what may be asked, and by whom -------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"epoch": "x"}, "offset"),
        ({"offset": 3}, "epoch"),
        ({"epoch": "", "offset": 3}, "epoch"),
        ({"epoch": "x" * 65, "offset": 3}, "epoch"),
        ({"epoch": "x", "offset": ""}, "offset"),
        ({"epoch": "x", "offset": "-1"}, "offset"),
        ({"epoch": "x", "offset": "1.5"}, "offset"),
        ({"epoch": "x", "offset": "1_0"}, "offset"),
        ({"epoch": "x", "offset": "²"}, "offset"),
        ({"epoch": "x", "offset": 2**63}, "offset"),
        ({"epoch": "x", "offset": "9" * 5_000}, "offset"),
        ({"wait": ""}, "wait"),
        ({"wait": "soon"}, "wait"),
        ({"wait": -1}, "wait"),
        ({"wait": "nan"}, "wait"),
        ({"wait": "inf"}, "wait"),
        ({"wait": 25.5}, "wait"),
    ],
)
async def test_wrong_parameters_are_named(edge: Edge, query, field):
    async with page(edge) as ada:
        assert problem(await ada.ask(**query)) == (422, "invalid_message", field)


async def test_the_longest_wait_is_a_setting_and_the_default(topics: Settings):
    async with serving(topics, most_poll_wait=0.3) as edge, page(edge) as ada:
        await ada.poll()
        assert places(await asyncio.wait_for(ada.poll(), AT_ONCE)) == [("resumed", 0)]
        refused = await ada.ask(wait=0.4)
        assert problem(refused) == (422, "invalid_message", "wait")
        assert "0.3" in refused.json()["error"]["message"]


async def test_who_may_poll(edge: Edge, pusher: Pusher):
    await pusher.push("ada")
    for claims in (
        {},
        {"consent": False},
        {"subject": "tess", "role": "observer", "learners": ["ada"]},
        {"subject": "lms", "role": "service"},
    ):
        async with page(edge, **claims) as ada:
            assert places(await ada.poll()) == [("hello", 1)]
    for claims in (
        {"subject": "bob"},
        {"subject": "tess", "role": "observer", "learners": ["bob"]},
    ):
        async with page(edge, **claims) as ada:
            assert problem(await ada.ask()) == (403, "forbidden", "userId")
    async with page(edge) as ada:
        in_address = await ada.ask(token=edge.token())
        assert problem(in_address) == (401, "unauthorized", None)
        for headers in ({"Authorization": ""}, edge.bearer(ttl=-60)):
            ada.http.headers.update(headers)
            assert problem(await ada.ask()) == (401, "unauthorized", None)


async def test_an_answer_comes_before_the_token_expires(topics: Settings):
    auth = topics.auth.model_copy(update={"leeway": 0})
    async with serving(topics.model_copy(update={"auth": auth})) as edge:
        async with page(edge, ttl=3) as ada:
            await ada.poll()
            assert places(await asyncio.wait_for(ada.poll(), AT_ONCE)) == [("resumed", 0)]
            assert problem(await ada.ask(**ada.place)) == (401, "unauthorized", None)
        await none_left(edge)


async def test_polls_have_the_rate_of_a_socket_and_leave_requests_alone(topics: Settings):
    async with (
        serving(topics, requests_per_minute=1, messages_per_second=0.1, message_burst=5) as edge,
        page(edge) as ada,
    ):
        for _ in range(5):
            await ada.poll(wait=0)
        refused = await ada.ask()
        assert problem(refused) == (429, "rate_limited", None)
        assert 1 <= int(refused.headers["Retry-After"]) <= 10
        assert problem(await ada.http.get("/profile/ada"))[0] == 404
        assert problem(await ada.http.get("/profile/ada"))[0] == 429


async def test_pages_of_allowed_origins_only(edge: Edge):
    async with page(edge) as ada:
        for origin, allowed in ((edge.http, edge.http), ("https://evil.example", None)):
            ada.http.headers["Origin"] = origin
            answer = await ada.ask()
            assert answer.headers.get("Access-Control-Allow-Origin") == allowed


async def test_the_openapi_document_describes_it(edge: Edge):
    async with httpx.AsyncClient(base_url=edge.http, trust_env=False) as http:
        document = (await http.get("/openapi.json")).json()
    operation = document["paths"][f"{PREFIX}/pushes/{{user_id}}"]["get"]
    named = {(one["name"], one["in"]) for one in operation["parameters"]}
    assert named == {
        ("user_id", "path"),
        ("epoch", "query"),
        ("offset", "query"),
        ("wait", "query"),
    }
    assert set(operation["responses"]) == {"200", "401", "403", "422", "429", "503"}
    assert "Pushes" in str(operation["responses"]["200"])
    assert "Problem" in str(operation["responses"]["422"])


# -- how many, and how they end ---------------------------------------------------------------


async def test_a_poll_counts_as_a_connection_while_it_waits(topics: Settings, pusher: Pusher):
    async with (
        serving(topics, max_connections_per_user=2) as edge,
        page(edge) as one,
        page(edge) as two,
        edge.client() as client,
    ):
        await client.until("hello")
        await one.poll()
        polling = asyncio.create_task(one.poll())
        await waiting(edge, 2)
        refused = await two.ask()
        assert problem(refused) == (503, "unavailable", None)
        assert int(refused.headers["Retry-After"]) >= 1
        async with edge.client() as third:
            assert await third.closed() == 4503
        # Both that were there are still there, and an answer makes room
        await pusher.push("ada")
        assert places(await asyncio.wait_for(polling, AT_ONCE))[1:] == [("intervention", 1)]
        assert (await client.next())["offset"] == 1
        assert places(await two.poll()) == [("hello", 1)]


async def test_a_silent_socket_makes_way_for_a_poll(topics: Settings):
    async with (
        serving(topics, max_connections_per_user=1, probe_timeout=0.5) as edge,
        Proxy(edge.settings.gateway.port) as proxy,
        edge.client(port=proxy.port, close_timeout=0.1) as lost,
        page(edge) as ada,
    ):
        await lost.until("hello")
        proxy.silent = True
        assert places(await ada.poll()) == [("hello", 0)]
        lost.socket.transport.abort()


@pytest.mark.parametrize("end", ["closed", "aborted"])
async def test_who_goes_while_waiting_frees_the_place_at_once(topics: Settings, pusher, end):
    async with serving(topics, max_connections_per_user=1) as edge:
        async with page(edge) as ada:
            [hello] = await ada.poll()
        head = (
            f"GET {PREFIX}/pushes/ada?epoch={hello['epoch']}&offset=0 HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {edge.token()}\r\n\r\n"
        )
        async with raw(edge, head.encode()) as gone:
            await waiting(edge)
            if end == "closed":
                gone.writer.close()
            else:
                gone.writer.transport.abort()
            await none_left(edge)
        await pusher.push("ada")
        async with page(edge) as ada:
            assert places(await ada.poll(epoch=hello["epoch"], offset=0)) == [
                ("resumed", 0), ("intervention", 1),
            ]  # fmt: skip


async def test_no_timeout_of_the_server_cuts_a_poll(topics: Settings):
    """Neither that of a handshake, nor the 5 s in which a further request has to come."""
    async with serving(topics, handshake_timeout=1.0) as edge, page(edge) as ada:
        await ada.poll()
        assert places(await ada.poll(wait=6)) == [("resumed", 0)]


async def test_the_learner_is_announced_once_and_no_observer_is(edge: Edge):
    heard: list[str] = []

    async def listen() -> None:
        async with redis.asyncio.from_url(edge.settings.redis.url) as client:
            async for user in arrivals(client, edge.settings.redis):
                heard.append(user)

    listening = asyncio.create_task(listen())
    async with redis.asyncio.from_url(edge.settings.redis.url) as admin, asyncio.timeout(AT_ONCE):
        while not await admin.pubsub_channels(f"{edge.settings.redis.prefix}:arrivals"):
            await asyncio.sleep(0.01)
    async with page(edge, "eve", subject="tess", role="observer", learners=["eve"]) as tess:
        await tess.poll()
    for user in ("ada", "bob"):
        async with page(edge, user) as learner:
            for _ in range(3):
                await learner.poll(wait=0)
    async with asyncio.timeout(AT_ONCE):
        while "bob" not in heard:
            await asyncio.sleep(0.01)
    listening.cancel()
    assert heard == ["ada", "bob"]


async def test_at_the_end_those_that_wait_are_answered_and_no_other_is_let_in(topics: Settings):
    async with process(topics) as running, page(running.edge) as ada, page(running.edge) as bob:
        await ada.poll()
        [resumed] = await ada.poll(wait=0)
        polls = [asyncio.create_task(ada.ask(**ada.place)) for _ in range(3)]
        metrics = f"http://127.0.0.1:{running.edge.settings.gateway.status_port}/metrics"
        async with asyncio.timeout(AT_ONCE):
            while "masterx_gateway_connections 3.0" not in (await bob.http.get(metrics)).text:
                await asyncio.sleep(0.02)
        running.child.send_signal(signal.SIGTERM)
        start = time.monotonic()
        for poll in polls:
            answer = await asyncio.wait_for(poll, AT_ONCE)
            assert answer.json()["frames"] == [resumed]
            assert answer.headers["Connection"] == "close"
        async with asyncio.timeout(AT_ONCE):
            assert await running.child.wait() == 0
        # Of the 5 s that requests under way are given, none is needed
        assert time.monotonic() - start < topics.gateway.shutdown_timeout
        with pytest.raises(httpx.TransportError):
            await bob.ask()


async def test_on_a_connection_that_is_kept_no_poll_begins_at_the_end(edge: Edge):
    async with page(edge) as ada:
        await ada.poll()
        await edge.gateway.drain()
        refused = await ada.ask(**ada.place)
        assert problem(refused) == (503, "unavailable", None)
        assert int(refused.headers["Retry-After"]) >= 1


@pytest.mark.outage
async def test_redis_down_is_unavailable_and_the_same_place_goes_on_after(
    topics: Settings, services: Services, pusher: Pusher
):
    async with serving(topics, handshake_timeout=3.0) as edge, page(edge) as ada:
        await pusher.push("ada")
        await ada.poll()
        polling = asyncio.create_task(ada.ask(**ada.place, wait=3))
        await waiting(edge)
        await services.redis.stop()
        # It has its place, and keeps it
        assert places((await polling).json()["frames"]) == [("resumed", 1)]
        refused = await ada.ask(**ada.place)
        assert problem(refused) == (503, "unavailable", None)
        assert int(refused.headers["Retry-After"]) >= 1
        await services.redis.start()
        await pusher.push("ada")
        async with asyncio.timeout(AT_ONCE):
            while (answer := await ada.ask(**ada.place)).status_code == 503:
                await asyncio.sleep(0.1)
        resumed, *pushes = answer.json()["frames"]
        if resumed["recovered"]:  # else this Redis may have lost its last second
            assert places(pushes) == [("intervention", 2)]
