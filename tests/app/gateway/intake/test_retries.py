"""A retry that comes when Redis has forgotten: by its `attempt` or its age, from history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from agents.runtime.topics import CHAT, FEEDBACK, INTERACTIONS
from app.gateway.intake.events import Submission
from app.gateway.intake.intake import Again, may_be_again
from app.gateway.websocket.codec import decode
from app.redis import heartbeats
from app.settings import Settings
from schemas.base import now_ms
from schemas.wire.server import Error
from tests.app.gateway.edge import PREFIX, Client, Edge, an_interaction, records, serving
from tests.servers import Services
from tests.workers import WorkerProcess

NOW = 1_800_000_000_000
COVERED = 600.0
MINUTE = 60_000


def read(**message: Any) -> Submission:
    found = decode(orjson.dumps(message), 1 << 20)
    assert not isinstance(found, Error), found
    return found  # type: ignore[return-value]


def chat(time: int, **more: Any) -> Submission:
    return read(type="chat_message", id="m", timestamp=time, text="hm", **more)


@pytest.mark.parametrize(
    ("message", "again"),
    [
        (chat(NOW), Again.NO),
        (chat(NOW - 9 * MINUTE), Again.NO),
        (chat(NOW - 11 * MINUTE), Again.LONG_AGO),
        (chat(NOW - 11 * MINUTE, attempt=1), Again.NO),
        (chat(NOW, attempt=2), Again.LATELY),
        (chat(NOW - 11 * MINUTE, attempt=7), Again.LONG_AGO),
        # By the clock that gave the times: half an hour slow, or a day fast.
        (chat(NOW - 31 * MINUTE, sentAt=NOW - 30 * MINUTE), Again.NO),
        (chat(NOW + 1440 * MINUTE, sentAt=NOW + 1452 * MINUTE), Again.LONG_AGO),
    ],
)
def test_what_may_have_been_accepted_before(message: Submission, again: Again):
    assert may_be_again(message, NOW, COVERED) is again


def test_a_batch_is_as_old_as_its_newest_interaction():
    times = (NOW - 20 * MINUTE, NOW - 9 * MINUTE)
    batch = [{"timestamp": time, "interactionType": "click"} for time in times]
    young = read(type="interaction_batch", id="b", interactions=batch)
    assert may_be_again(young, NOW, COVERED) is Again.NO
    old = read(type="interaction_batch", id="b", interactions=batch[:1])
    assert may_be_again(old, NOW, COVERED) is Again.LONG_AGO


def test_feedback_has_no_time_so_only_its_attempt_tells():
    feedback = {"type": "feedback", "id": "f", "targetType": "reply", "targetId": "r"}
    first = read(**feedback, outcome="helpful")
    assert may_be_again(first, NOW, COVERED) is Again.NO
    second = read(**feedback, outcome="helpful", attempt=2)
    assert may_be_again(second, NOW, COVERED) is Again.LONG_AGO


@pytest.mark.parametrize("attempt", [0, -1, "two", 1.5])
def test_an_attempt_is_a_number_from_one_on(attempt: Any):
    message = {"type": "chat_message", "id": "m", "timestamp": NOW, "text": "hm"}
    found = decode(orjson.dumps({**message, "attempt": attempt}), 1 << 20)
    assert isinstance(found, Error)
    assert found.field == "attempt"


# -- on real servers ----------------------------------------------------------------------


@pytest_asyncio.fixture
async def history(topics: Settings, tmp_path: Path) -> AsyncIterator[WorkerProcess]:
    async with WorkerProcess("history", topics, tmp_path / "history.log") as worker:
        yield worker


def messages(time: int) -> list[dict[str, Any]]:
    """One of each kind, all with the same event id."""
    one = an_interaction(timestamp=time, eventId="same")
    return [
        {"type": "chat_message", "id": "m", "eventId": "same", "timestamp": time, "text": "hm"},
        {"type": "interaction_batch", "id": "b", "interactions": [one]},
        {"type": "feedback", "id": "f", "targetType": "reply", "targetId": "r", "outcome": "ok"},
    ]


async def forget(settings: Settings) -> None:
    """As ten minutes do: what Redis knows of accepted events goes."""
    async with Redis.from_url(settings.redis.url) as redis:
        async for key in redis.scan_iter(f"{settings.redis.prefix}:seen:*"):
            await redis.delete(key)


async def in_history(edge: Edge, kinds: int) -> None:
    """Wait until history has written so many records."""
    async with asyncio.timeout(30):
        while True:
            database = edge.gateway.history._database
            if await database["accepted"].count_documents({}) >= kinds:
                return
            await asyncio.sleep(0.1)


async def answer(client: Client, message: dict[str, Any]) -> dict[str, Any]:
    """What a client gets that tries again while history's first beat is awaited."""
    async with asyncio.timeout(30):
        while True:
            told = await client.call(**message)
            if told["type"] == "ack":
                return told
            assert told["code"] == "unavailable", told
            await asyncio.sleep(0.2)


@pytest.mark.services
@pytest.mark.parametrize("by", ["attempt", "age"])
async def test_a_retry_of_long_ago_is_known(topics: Settings, history: WorkerProcess, by: str):
    """Sent, the ack lost, the laptop closed; opened again when Redis has forgotten."""
    time = now_ms() - (0 if by == "attempt" else 3_600_000)
    sent = messages(time) if by == "attempt" else messages(time)[:2]
    more = {"attempt": 2} if by == "attempt" else {}
    async with serving(topics) as edge, edge.client() as client:
        for message in sent:
            assert (await answer(client, message))["duplicates"] == []
        await in_history(edge, len(sent))
        await forget(topics)
        for message in sent:
            told = await answer(client, {**message, **more})
            assert told["duplicates"] == told["eventIds"], message["type"]
        # Another learner's same id is another event.
        async with edge.client("bob") as other:
            assert (await answer(other, {**sent[0], **more}))["duplicates"] == []
        # And what says that it is the first is not looked up.
        await forget(topics)
        assert (await answer(client, {**sent[0], "attempt": 1}))["duplicates"] == []
    assert len(await records(topics, INTERACTIONS, 1)) == 1
    assert len(await records(topics, CHAT, 3)) == 3
    assert len(await records(topics, FEEDBACK, 0)) == (by == "attempt")


@pytest.mark.services
async def test_a_batch_that_was_accepted_in_part_is_counted_once(
    topics: Settings, history: WorkerProcess
):
    def batch(*ids: str, **more: Any) -> dict[str, Any]:
        sent = [an_interaction(eventId=one) for one in ids]
        return {"type": "interaction_batch", "id": "-".join(ids), "interactions": sent, **more}

    async with serving(topics) as edge, edge.client() as client:
        await answer(client, batch("a", "b"))
        await in_history(edge, 1)
        await forget(topics)
        told = await answer(client, batch("b", "c", attempt=2))
        assert told["duplicates"] == ["b"]
    found = [one.value for one in await records(topics, INTERACTIONS, 2)]
    assert [value.count(b'"eventId":"b"') for value in found] == [1, 0]


@pytest.mark.services
async def test_where_history_stands_still_an_old_retry_waits_and_a_young_one_need_not(
    topics: Settings,
):
    redis = topics.redis.model_copy(update={"dedupe_ttl": 2.5})
    settings = topics.model_copy(update={"redis": redis})
    async with serving(settings) as edge, edge.client() as client:
        # Nothing has waited for long yet: nobody could have sent it a while ago.
        first, _, _ = messages(now_ms() - 3_600_000)
        assert (await answer(client, {**first, "id": "1", "eventId": "1"}))["type"] == "ack"
        await asyncio.sleep(4.0)
        old, _, _ = messages(now_ms() - 3_600_000)
        told = await client.call(**old, attempt=2)
        assert (told["code"], told["retryAfter"] > 0) == ("unavailable", True)
        young, _, _ = messages(now_ms())
        told = await client.call(**{**young, "id": "y", "eventId": "y"}, attempt=2)
        assert told["type"] == "ack"
        async with httpx.AsyncClient(base_url=edge.http, trust_env=False) as http:
            body = {"id": "r", "text": "hm", "timestamp": now_ms() - 3_600_000, "attempt": 2}
            refused = await http.post(f"{PREFIX}/chat", json=body, headers=edge.bearer())
        assert refused.status_code == 503
        assert "Retry-After" in refused.headers


@pytest.mark.services
@pytest.mark.parametrize(("behind", "code"), [(0.5, None), (1.5, "unavailable")])
async def test_history_that_is_far_behind_cannot_tell(
    topics: Settings, behind: float, code: str | None
):
    redis = topics.redis.model_copy(update={"dedupe_ttl": 1.0})
    settings = topics.model_copy(update={"redis": redis})
    async with serving(settings) as edge, edge.client() as client:
        await client.call(**messages(now_ms())[0], attempt=1)
        await asyncio.sleep(1.5)
        one = heartbeats.Beat(
            role="history", instance="i", state="ready", detail="", lag=5, behind=behind,
            at=now_ms(), metrics="",
        )  # fmt: skip
        await heartbeats.beat(edge.gateway.redis, topics.redis, one)
        old, _, _ = messages(now_ms() - 3_600_000)
        told = await client.call(**{**old, "id": "o", "eventId": "o"}, attempt=2)
        assert told.get("code") == code


@pytest.mark.services
@pytest.mark.outage
async def test_without_mongodb_a_retry_is_unavailable_and_known_later(
    topics: Settings, services: Services, history: WorkerProcess
):
    async with serving(topics) as edge, edge.client() as client:
        first, *_ = messages(now_ms())
        await answer(client, first)
        await in_history(edge, 1)
        await forget(topics)
        await services.mongo.stop()
        told = await client.call(**first, attempt=2)
        assert (told["type"], told["code"]) == ("error", "unavailable")
        await services.mongo.start()
        told = await answer(client, {**first, "attempt": 3})
        assert told["duplicates"] == told["eventIds"]
