"""Redis and MongoDB away under load: the stream goes on, and they catch up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from pymongo import AsyncMongoClient

from agents.runtime.ports import HistoryKind, PushKind
from agents.runtime.topics import (
    CHAT,
    DEAD_LETTERS,
    EMOTIONS,
    FEEDBACK,
    INTERACTIONS,
    INTERVENTIONS,
    RECOMMENDATIONS,
    USER_STATE,
)
from app.redis.client import connect
from app.redis.push_log import PushLog
from app.settings import Settings
from schemas.base import now_ms
from tests.crash.driver import Load, plan, send
from tests.crash.fleet import ENTRY, fast
from tests.crash.verdict import lag, settled
from tests.servers import Services
from tests.topics import read_all
from tests.workers import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.crash, pytest.mark.timeout(240)]

OUTAGE = 20.0
LAYOUTS = [
    pytest.param((("emotion", "learner", "push"), ("history",)), id="together"),
    pytest.param(
        (("emotion",), ("learner",), ("push",), ("history",)), id="apart", marks=pytest.mark.twin
    ),
]


@pytest.mark.outage
@pytest.mark.parametrize("together", LAYOUTS)
async def test_both_stores_away_for_twenty_seconds(
    topics: Settings, services: Services, tmp_path: Path, together: tuple[tuple[str, ...], ...]
) -> None:
    # Given the whole chain under load
    settings = fast(topics)
    load = Load(seed=21, records=2_400, users=60, rate=80)
    workers = [
        WorkerProcess(roles, settings, tmp_path / "+".join(roles), module=ENTRY)
        for roles in together
    ]
    for worker in workers:
        worker.spawn()
    await asyncio.gather(*(worker.ready() for worker in workers))
    sending = asyncio.create_task(send(settings, plan(load, now_ms()), load.rate))
    try:
        await asyncio.sleep(3)
        # When both stores stop
        await asyncio.gather(services.redis.stop(), services.mongo.stop())
        before = len(await read_all(settings, USER_STATE))
        await asyncio.sleep(OUTAGE)
        # Then the stream goes on without them
        after = len(await read_all(settings, USER_STATE))
        assert after - before > load.rate * OUTAGE / 2
        assert await lag(settings, "push") > 0
        assert await lag(settings, "history") > 0
        # And when they come back, both catch up, and no worker has ended
        await asyncio.gather(services.redis.start(), services.mongo.start())
        await sending
        await settled(settings, "emotion", "learner", "push", "history")
        assert [worker.exit_code for worker in workers] == [None] * len(workers)
    finally:
        sending.cancel()
        await asyncio.gather(services.redis.start(), services.mongo.start())
        for worker in workers:
            worker.kill()
    assert await read_all(settings, DEAD_LETTERS) == []
    assert await missing_in_push_log(settings) == []
    assert await missing_in_history(settings) == []


def figures(state: dict[str, Any]) -> dict[str, Any]:
    """What a state says of its learner.

    A client's retry moves version and time alone, under an id that the log has: it drops that.
    """
    names = ("valence", "arousal", "dominance", "emotions", "trajectory", "activity")
    return {name: state.get(name) for name in names}


async def missing_in_push_log(settings: Settings) -> list[str]:
    """What the learners' logs lack of the topics, or hold twice."""
    states = [record.document for record in await read_all(settings, USER_STATE)]
    newest = {
        state["userId"]: state for state in sorted(states, key=lambda state: state["version"])
    }
    raised: dict[str, set[str]] = {user: set() for user in newest}
    for record in await read_all(settings, INTERVENTIONS):
        raised[record.document["userId"]].add(record.document["eventId"])
    wrong: list[str] = []
    async with connect(settings.redis, "push") as redis:
        log = PushLog(redis, settings.redis)
        for user, state in newest.items():
            latest = await log.latest(user)
            if latest.user_state is None or figures(latest.user_state) != figures(state):
                wrong.append(f"{user}: newest state is {latest.user_state}, must be {state}")
            tail = await log.since(user, latest.epoch, 0)
            if tail is None:
                wrong.append(f"{user}: the log does not reach back to its begin")
                continue
            pushes = tail.pushes
            if [push.offset for push in pushes] != list(range(1, latest.offset + 1)):
                wrong.append(f"{user}: offsets have a hole")
            held = [
                orjson.loads(push.body)["id"]
                for push in pushes
                if push.kind == PushKind.INTERVENTION
            ]
            if sorted(held) != sorted(raised[user]):
                wrong.append(f"{user}: interventions {held}, must be {raised[user]}")
            told = {each for push in pushes for each in push.caused_by}
            caused = {
                each for state in states if state["userId"] == user for each in state["causedBy"]
            }
            # What was superseded long ago has no causes any more; none comes from nowhere.
            if told != caused and not (tail.lost and told < caused):
                wrong.append(f"{user}: events {caused ^ told}")
    return wrong


async def missing_in_history(settings: Settings) -> list[str]:
    """Events of the topics that MongoDB does not hold, and the other way round."""
    kept = {
        CHAT: HistoryKind.MESSAGES,
        INTERACTIONS: HistoryKind.INTERACTIONS,
        EMOTIONS: HistoryKind.EMOTIONS,
        USER_STATE: HistoryKind.STATES,
        RECOMMENDATIONS: HistoryKind.RECOMMENDATIONS,
        INTERVENTIONS: HistoryKind.INTERVENTIONS,
        FEEDBACK: HistoryKind.FEEDBACK,
    }
    wrong: list[str] = []
    async with AsyncMongoClient(settings.mongo.url) as client:
        database = client[settings.mongo.database]
        for topic, kind in kept.items():
            must = {
                (record.document["userId"], record.document["eventId"])
                for record in await read_all(settings, topic)
            }
            held = {
                (document["userId"], document["eventId"])
                async for document in database[kind].find({})
            }
            if must != held:
                wrong.append(f"{topic}: {len(must - held)} missing, {len(held - must)} too many")
    return wrong
