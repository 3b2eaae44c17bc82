"""From a page to a language model and back: the whole chain, with a provider on loopback."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from agents.runtime.topics import TUTOR_REQUESTS
from app.privacy.erasure import forget
from app.settings import Settings
from app.tutor.store import TutorStore
from app.tutor.usage.outcomes import Outcomes
from schemas.base import now_ms
from tests.app.gateway.edge import Client, serving
from tests.app.tutor.asking import keys, page, with_tutor
from tests.app.tutor.sse import Endpoint, say
from tests.crash.fleet import ENTRY
from tests.topics import eventually, read_all
from tests.workers import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

ROLES: tuple[str, ...] = ("emotion", "learner", "tutor", "push", "history")


class Chain:
    """Every worker role, each as a process."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        # What reads emotions in tests is fast, and has no weights to load.
        self.workers = [
            WorkerProcess(role, settings, logs / f"{role}.log", module=ENTRY) for role in ROLES
        ]

    async def __aenter__(self) -> Chain:
        await asyncio.gather(*(worker.start() for worker in self.workers))
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()


async def until_final(client: Client) -> list[dict[str, Any]]:
    """What is pushed up to and with the next final reply."""
    found = []
    while True:
        found.append(await client.next(within=30))
        if found[-1].get("final"):
            return found


def a_message(number: int, text: str, **more: Any) -> dict[str, Any]:
    told = {"type": "chat_message", "id": f"m-{number}", "timestamp": now_ms(), "text": text}
    return told | more


async def test_a_page_asks_is_answered_rates_resumes_and_is_forgotten(
    topics: Settings, tmp_path: Path
):
    async with Endpoint(say("Because ", "it is ", "so.")) as endpoint:
        settings = with_tutor(topics, endpoint, replies={"piece_interval": 0.0})
        async with Chain(settings, tmp_path), serving(settings) as edge:
            async with edge.client("ada") as client:
                hello = await client.next()
                # Given a message that asks nothing of the tutor, and one that does
                await client.call(**a_message(1, "hm, let me see"))
                ack = await client.call(**a_message(2, "why is that so?", wantsReply=True))
                # Then the second is answered, piece by piece
                found = await until_final(client)
                final = found[-1]
                assert final["status"] == "answered"
                assert final["text"] == "Because it is so."
                assert final["causedBy"] == ack["eventIds"]
                pieces = [each["text"] for each in found if each["type"] == "tutor_delta"]
                assert "".join(pieces) == final["text"]
                # When the learner rates it
                rated = {"targetType": "reply", "targetId": final["replyId"]}
                await client.call(type="feedback", id="f-1", outcome="helpful", **rated)
            requests = [each.document for each in await read_all(settings, TUTOR_REQUESTS)]
            assert [each["replyId"] for each in requests] == [final["replyId"]]
            assert "why is that so?" not in str(requests), "a request holds no text"
            assert requests[0]["reading"]
            assert len(endpoint.seen) == 1
            # Then the provider's account knows it
            async with Redis.from_url(settings.redis.url) as redis:
                store = TutorStore(redis, settings.redis, 5)

                async def helpful() -> list[float]:
                    outcomes = Outcomes(store, 1e9, 0)
                    await outcomes.refresh()
                    return [e.total for c, e in outcomes.known.items() if c.quality == "helpful"]

                assert await eventually(helpful, bool) == [1.0, 1.0, 1.0]
                assert {"conversation", "replies"} <= await keys(redis, settings, "ada")
                # And the page that comes back gets what it missed, from its place on
                async with edge.client("ada") as client:
                    await client.next()
                    place = {"epoch": hello["epoch"], "offset": hello["offset"]}
                    await client.send(type="resume", **place)
                    again = await until_final(client)
                    assert page(again, final["replyId"]).text == final["text"]
                # And when the learner is forgotten, nothing of it is left
                await eventually(lambda: kept(settings), lambda number: number == 2)
                report = await forget(settings, "ada", within=60)
                assert report.complete, str(report)
                assert await keys(redis, settings, "ada") == {"fence"}
                assert await kept(settings) == 0


async def kept(settings: Settings) -> int:
    """Texts of the dialogue in MongoDB: what was asked of the tutor, and what it said."""
    async with AsyncMongoClient(settings.mongo.url) as client:
        database = client[settings.mongo.database]
        asked = await database.messages.count_documents({"userId": "ada", "wantsReply": True})
        return asked + await database.replies.count_documents({"userId": "ada"})
