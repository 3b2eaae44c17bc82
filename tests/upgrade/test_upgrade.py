"""Data that 0.1 wrote starts under this release, with every count kept.

What stands in `written-by-0.1/` (make_fixture.py made it) is restored into empty stores; then all
roles and the gateway of this release start, and a few more events come. Some groups' commits are
one record back, as when 0.1 was killed before its last ones.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from agents.runtime.topics import INTERACTIONS, LEARNER_CHANGELOG, USER_STATE
from app.settings import Settings
from app.worker.role import roles
from models.learner.record import LearnerRecord
from schemas.base import now_ms
from schemas.topics.interactions import InteractionsReceived
from tests.app.gateway.edge import Client, Edge, an_interaction, serving
from tests.app.tutor.asking import with_tutor
from tests.app.tutor.sse import Endpoint, say
from tests.crash.verdict import READS, judge, settled
from tests.topics import produce, read_all
from tests.upgrade.written import Written, restore
from tests.workers import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]

WRITTEN = Written.load(Path(__file__).parent / "written-by-0.1")
WITHIN = 60.0
KEPT = 18_000.0
"""Days. What was written gets older with each day; how long it is kept is not the matter here."""
REWOUND = {"learner": {2}, "push": {0, 1, 2, 3}}
"""Groups and partitions whose last commit was lost. Not emotion's: another model may read a text
otherwise. Of the learners in partition 2 history gets a state again, and its document has another
id than 0.1 gave it: such a state stands twice."""


def for_old_data(settings: Settings) -> Settings:
    kafka = {"retention_days": KEPT, "chat_days": KEPT}
    # `state_every` as it is by default, and not as `fast` has it.
    mongo = {"chat_days": KEPT, "state_every": Settings().mongo.state_every}
    # Every id that a client may send again is remembered, too.
    seen = settings.learner.seen.model_copy(update={"window": KEPT * 86_400})
    learner = {"inactive_days": 2 * KEPT, "marker_days": 2 * KEPT, "seen": seen}
    return settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update=kafka),
            "learner": settings.learner.model_copy(update=learner),
            "mongo": settings.mongo.model_copy(update=mongo),
        }
    )


def before(topic: str, user: str) -> list[dict[str, Any]]:
    """A learner's records on a topic, as 0.1 wrote them."""
    return [one for one in WRITTEN.records(topic) if one["key"] == user.encode()]


def record_of_old(user: str) -> LearnerRecord:
    return LearnerRecord.from_bytes(before(LEARNER_CHANGELOG, user)[-1]["value"])


async def records_now(settings: Settings) -> dict[str, LearnerRecord]:
    """Each learner's latest record."""
    log = await read_all(settings, LEARNER_CHANGELOG)
    return {
        (one.key or b"").decode(): LearnerRecord.from_bytes(one.value)
        for one in sorted(log, key=lambda one: one.offset)
        if one.value is not None
    }


async def history(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """Every document, by collection."""
    client: AsyncMongoClient = AsyncMongoClient(settings.mongo.url, tz_aware=True)
    try:
        database = client[settings.mongo.database]
        return {
            name: [one async for one in database[name].find()]
            for name in await database.list_collection_names()
        }
    finally:
        await client.close()


@dataclass
class Upgraded:
    """This release on the old data; `endpoint` is the tutor's provider."""

    settings: Settings
    edge: Edge
    endpoint: Endpoint

    async def come_to_rest(self) -> None:
        await settled(self.settings, *READS)


@pytest_asyncio.fixture
async def upgraded(topics: Settings, tmp_path: Path) -> AsyncIterator[Upgraded]:
    assert WRITTEN.about["partitions"] == topics.kafka.partitions
    async with Endpoint(say("Those in the picture.")) as endpoint:
        settings = for_old_data(with_tutor(topics, endpoint))
        await restore(WRITTEN, settings, rewound=REWOUND)
        workers = [WorkerProcess(role, settings, tmp_path / f"{role}.log") for role in roles()]
        try:
            await asyncio.gather(*(worker.start() for worker in workers))
            async with serving(settings) as edge:
                yield Upgraded(settings, edge, endpoint)
            assert [await worker.stop() for worker in workers] == [0] * len(workers)
        finally:
            for worker in workers:
                worker.kill()


async def state_with(client: Client, id_: str) -> list[dict[str, Any]]:
    """Pushes up to the state that holds an event."""
    found = []
    while True:
        push = await client.next(WITHIN)
        if "offset" not in push:
            continue
        found.append(push)
        if push["type"] == "user_state_update" and id_ in push["causedBy"]:
            return found


async def test_what_0_1_wrote_goes_on_with_every_count_kept(upgraded: Upgraded) -> None:
    settings, edge = upgraded.settings, upgraded.edge
    about = WRITTEN.about
    erased = about["erased"]
    alive = [user for user in about["learners"] if user != erased]
    old = {user: record_of_old(user) for user in alive}

    # When a page comes back that holds a place which 0.1 gave out
    resume = about["resume"]
    async with edge.client(resume["user"]) as client:
        hello = await client.until("hello")
        await client.send(type="resume", epoch=resume["epoch"], offset=resume["offset"])
        resumed = await client.until("resumed")
        await client.send(
            type="interaction_batch", id="ada-new", interactions=[an_interaction(eventId="new-1")]
        )
        pushes = await state_with(client, "new-1")
    # Then it goes on from there, and every reply that it missed comes once
    assert hello["userState"]["version"] == old["ada"].version
    assert resumed["recovered"] is True
    assert (resumed["epoch"], resumed["offset"]) == (resume["epoch"], resume["offset"])
    finals = [p["replyId"] for p in pushes if p["type"] == "tutor_reply" and p["final"]]
    assert Counter(finals) >= Counter(resume["replies"])
    assert Counter(finals).most_common(1)[0][1] == 1
    offsets = [push["offset"] for push in pushes]
    assert offsets == sorted(set(offsets))
    assert {push["epoch"] for push in pushes} == {resume["epoch"]}

    # When it sends again what 0.1 counted, and others go on
    retried = about["retried"]
    first = orjson.loads(before(INTERACTIONS, retried["user"])[0]["value"])
    batch = InteractionsReceived.model_validate(first)
    assert len(batch.interactions) == retried["interactions"]
    again = batch.model_copy(update={"ingest_time": batch.ingest_time + 1})
    await produce(settings, INTERACTIONS, [(retried["user"], again)])
    for user in ("ben", "zoë"):
        async with edge.client(user) as client:
            answer = await client.call(
                type="chat_message", id=f"{user}-new", timestamp=now_ms(), text="I go on."
            )
            await state_with(client, answer["eventIds"][0])
    dialogue = about["dialogue"]
    async with edge.client(dialogue["user"]) as client:
        await client.send(
            type="chat_message", id="dora-new", timestamp=now_ms(), text="Which pies?",
            wantsReply=True,
        )  # fmt: skip
        while not (reply := await client.until("tutor_reply", WITHIN))["final"]:
            pass
    # Then the tutor remembers what was said
    assert reply["text"] == "Those in the picture."
    prompt = " ".join(one["content"] for one in upgraded.endpoint.seen[-1].body["messages"])
    for text in (*dialogue["said"], *dialogue["told"], "Which pies?"):
        assert text in prompt

    # When nothing is left to do, then all that came before and after was counted once
    await upgraded.come_to_rest()
    verdict = await judge(settings, tuple(READS), same_bodies=False)
    print(verdict)
    assert verdict.problems == []
    now = await records_now(settings)
    grown = {"ada": (1, 0), "ben": (0, 1), "dora": (0, 1), "zoë": (0, 1)}
    for user in alive:
        was, is_ = old[user].evidence, now[user].evidence
        more = (is_.interactions - was.interactions, is_.messages - was.messages)
        assert more == grown[user], user
        assert now[user].version > old[user].version

    # And the erased learner stays erased
    assert now[erased].erased_at == record_of_old(erased).erased_at
    assert now[erased].evidence.interactions == now[erased].evidence.messages == 0
    async with edge.client(erased) as client:
        hello = await client.until("hello")
        assert "userState" not in hello

    await check_history(settings, alive, erased)


async def check_history(settings: Settings, alive: list[str], erased: str) -> None:
    found = await history(settings)
    # Every document of 0.1 is there as it was
    for name in WRITTEN.mongo["collections"]:
        if name == "states":
            continue
        kept = {one["_id"]: one for one in found.get(name, ())}
        for one in WRITTEN.documents(name):
            assert without_end(kept[one["_id"]]) == without_end(one), name
    # One newest state of each learner, and the newest indeed
    told = [r.document for r in await read_all(settings, USER_STATE) if r.value is not None]
    newest = {user: max(d["version"] for d in told if d["userId"] == user) for user in alive}
    assert {one["userId"]: one["version"] for one in found["states"]} == newest
    # No state, and no event, twice
    sent_again = {u for u in alive if before(USER_STATE, u)[0]["partition"] in REWOUND["learner"]}
    assert sent_again < set(alive)
    versions = Counter((one["userId"], one["version"]) for one in found["state_history"])
    twice = {user for (user, _), count in versions.items() if count > 1}
    assert twice <= sent_again
    for name in ("messages", "interactions", "emotions", "replies", "feedback"):
        events = Counter((one["userId"], one["eventId"]) for one in found[name])
        assert events.most_common(1)[0][1] == 1, name
    # And nothing of the erased one but the audit
    assert {n for n, each in found.items() if any(one.get("userId") == erased for one in each)} <= {
        "erasures"
    }


def without_end(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "expiresAt"}
