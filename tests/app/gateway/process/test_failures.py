"""What a client gets while something behind the gateway is down, and after."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from agents.runtime.ports import PushKind
from agents.runtime.retrying import Retriable
from agents.runtime.topics import CHAT
from app.redis.client import connect
from app.settings import Settings
from schemas.base import now_ms
from tests.app.gateway.edge import PREFIX, Client, Pusher, records, serving
from tests.app.redis.test_client import WITHIN, pair
from tests.servers import Services

pytestmark = pytest.mark.services


def chat(message_id: str) -> dict[str, Any]:
    return {"type": "chat_message", "id": message_id, "timestamp": now_ms(), "text": "hi"}


def kafka(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update={"kafka": settings.kafka.model_copy(update=changes)})


async def accepted(client: Client, message: dict[str, Any]) -> dict[str, Any]:
    """Try again with the same id, as a client does, until it is accepted."""
    while True:
        answer = await client.call(**message)
        if answer["type"] == "ack":
            return answer
        assert answer["code"] in ("unavailable", "slow_down")
        await asyncio.sleep(min(0.2, answer["retryAfter"]))


@pytest.mark.outage
async def test_a_full_buffer_says_slow_down_and_what_it_held_is_accepted_later(
    topics: Settings, services: Services
):
    settings = kafka(topics, max_buffered=5)
    async with serving(settings) as edge, edge.client() as client:
        await client.call(**chat("before"))
        await services.kafka.stop()
        for number in range(8):
            await client.send(**chat(str(number)))
        errors = [await client.until("error") for _ in range(3)]
        assert {(one["id"], one["code"]) for one in errors} == {
            ("5", "slow_down"), ("6", "slow_down"), ("7", "slow_down"),
        }  # fmt: skip
        assert all(one["retryAfter"] > 0 for one in errors)

        async with httpx.AsyncClient(base_url=edge.http, trust_env=False) as http:
            refused = await http.post(
                f"{PREFIX}/chat", json={"text": "hi"}, headers=edge.bearer("bob")
            )
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1

        await services.kafka.start()
        for number in range(8):
            await accepted(client, chat(str(number)))
    found = await records(settings, CHAT, 9)
    ids = [one.value.split(b'"eventId":"')[1][:36] for one in found]
    assert len(set(ids)) == 9


@pytest.mark.outage
async def test_kafka_down_is_unavailable_and_the_retry_is_recognised(
    topics: Settings, services: Services
):
    async with serving(kafka(topics, request_timeout=1.0)) as edge, edge.client() as client:
        await client.call(**chat("before"))
        await services.kafka.stop()
        for _ in range(2):
            error = await client.call(**chat("1"))
            assert (error["code"], error["type"]) == ("unavailable", "error")
        async with httpx.AsyncClient(base_url=edge.http, trust_env=False) as http:
            refused = await http.post(
                f"{PREFIX}/chat", json={"text": "hi"}, headers=edge.bearer("bob")
            )
            ready = await http.get("/readyz", timeout=10)
        assert refused.status_code == 503
        assert ready.status_code == 503
        assert ready.json() == {"ready": False}
        report = await edge.gateway.readiness.report()
        assert report["dependencies"]["kafka"]["ready"] is False
        assert report["dependencies"]["redis"]["ready"] is True

        await services.kafka.start()
        await accepted(client, chat("1"))
        again = await client.call(**chat("1"))
        assert again["duplicates"] == again["eventIds"]


@pytest.mark.outage
async def test_a_gateway_that_starts_before_kafka_takes_messages_once_it_is_there(
    topics: Settings, services: Services
):
    await services.kafka.stop()
    async with serving(topics) as edge, edge.client() as client:
        error = await client.call(**chat("1"))
        assert error["code"] == "unavailable"
        await services.kafka.start()
        assert (await accepted(client, chat("1")))["duplicates"] == []


async def test_without_topics_nothing_is_produced_and_readyz_says_what_to_do(settings: Settings):
    async with serving(settings) as edge, edge.client() as client:
        error = await client.call(**chat("1"))
        assert error["code"] == "unavailable"
        assert "masterx topics create" in error["message"]
        report = await edge.gateway.readiness.report()
        assert "masterx topics" in report["dependencies"]["kafka"]["detail"]


@pytest.mark.outage
async def test_redis_down_takes_messages_keeps_sockets_and_fills_the_gap_after(
    topics: Settings, services: Services, pusher: Pusher
):
    async with serving(topics) as edge, edge.client() as client:
        await client.call(type="ping", id="1")
        await pusher.push("ada")
        assert (await client.until("intervention"))["offset"] == 1

        await services.redis.stop()
        assert (await client.call(**chat("1")))["type"] == "ack"
        async with edge.client("bob") as newcomer:
            assert await newcomer.closed() == 4503

        await services.redis.start()
        await pusher.push_many("ada", 3)
        first = await client.next()
        if first["type"] == "resumed":  # this Redis may have lost its last second
            assert first["recovered"] is False
        else:
            assert [first["offset"], *[p["offset"] for p in await client.take(2)]] == [2, 3, 4]
        async with edge.client("bob") as newcomer:
            assert (await newcomer.next())["type"] == "hello"


async def test_a_slow_client_is_closed_at_its_bound_and_others_do_not_notice(
    topics: Settings, pusher: Pusher
):
    bound = 200_000
    async with (
        serving(topics, max_outbox_bytes=bound) as edge,
        edge.client(max_queue=1) as slow,
        edge.client() as quick,
    ):
        await quick.next()
        # Live from here on: a client that is still catching up gets its pushes at its own pace,
        # and never reaches the bound.
        await slow.next()
        await slow.call(type="ping", id="1")
        slow.socket.transport.pause_reading()
        pushed = 0
        while len(edge.gateway.connections) == 2:
            await pusher.push_many("ada", 10, size=20_000)
            pushed += 10
            for connection in edge.gateway.connections.snapshot():
                assert connection.unsent <= bound
            got = await quick.take(10)
            assert [each["offset"] for each in got] == list(range(pushed - 9, pushed + 1))
        slow.socket.transport.resume_reading()
        # What had been sent before arrives, then the close frame
        assert await drained(slow) == 4408


async def drained(client: Client) -> int | None:
    with suppress(ConnectionClosed):
        while True:
            await client.socket.recv()
    return client.socket.close_code


async def test_a_failover_of_redis_is_over_within_seconds(topics: Settings, tmp_path: Path):
    """Given a push worker's and a gateway's connections to a primary that lives on."""
    async with pair(tmp_path, None) as both:
        redis = topics.redis.model_copy(update={"url": both.settings.url})
        settings = topics.model_copy(update={"redis": redis})
        async with (
            serving(settings) as edge,
            edge.client() as client,
            connect(redis, "push") as writing,
        ):
            pusher = Pusher(settings, writing)
            await client.next()
            await pusher.push_many("ada", 3)
            assert [each["offset"] for each in await client.take(3)] == [1, 2, 3]
            await both.fail_over()
            promoted = time.monotonic()
            # Pushes go on, and no page is told less than all: a new epoch, then what follows
            while True:
                try:
                    await pusher.push("ada", PushKind.STATE, userState={"version": 4})
                    break
                except Retriable:
                    await asyncio.sleep(0.05)
            resumed = await client.until("resumed")
            assert resumed["recovered"] is False
            assert resumed["userState"] == {"version": 4}
            assert time.monotonic() - promoted < WITHIN
            await pusher.push("ada")
            assert (await client.next())["offset"] == resumed["offset"] + 1
            async with edge.client("bob") as newcomer:
                assert (await newcomer.next())["type"] == "hello"
