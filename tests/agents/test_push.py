from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import get_args

import orjson
import pytest
from pydantic import TypeAdapter

from agents import push
from agents.runtime.ports import PushKind
from agents.runtime.retrying import Fatal, Refused
from agents.runtime.topics import (
    ERASURES,
    INTERVENTIONS,
    RECOMMENDATIONS,
    USER_STATE,
)
from app.local.embedded import RedisServer
from app.redis.client import connect
from app.redis.push_log import PushLog, StoredPush
from app.settings import RedisSettings
from app.worker.roles.push import ROLE
from schemas.topics.state import UserState
from schemas.wire.server import (
    Intervention,
    Push,
    Recommendations,
    ServerMessage,
    TutorReply,
    UserStateUpdate,
)
from tests.agents.records import ESTIMATE, Around, Event, message, stream

WIRE: TypeAdapter[ServerMessage] = TypeAdapter(ServerMessage)


@pytest.fixture
async def server(tmp_path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def log(server: RedisServer) -> AsyncIterator[PushLog]:
    settings = RedisSettings(url=server.endpoint)
    client = connect(settings, "push")
    yield PushLog(client, settings)
    await client.aclose()


@pytest.fixture
def around() -> Around:
    return Around()


async def run(events: list[Event], log: PushLog, around: Around, batch_size: int = 256) -> None:
    await push.run(
        stream(events),
        log=log,
        dead_letters=around.dead_letters,
        window=around.window,
        logical=str,
        batch_size=batch_size,
        waits=around.waits,
    )


async def pushes(log: PushLog, user: str) -> list[StoredPush]:
    head = await log.head(user)
    stored = await log.since(user, head.epoch, 0)
    assert stored is not None
    return stored.pushes


def positions(events: list[Event]) -> list[tuple[str, int]]:
    return [(event.message.topic, event.message.offset) for event in events]


async def test_each_output_becomes_its_wire_message(log: PushLog, around: Around) -> None:
    # In the order of the role: a state goes before what was made from it.
    topics = [topic for topic in ROLE.topics if topic != ERASURES]
    events = [around.event(topic, "ada", message(topic, "ada", 1)) for topic in topics]
    await run(events, log, around)
    found = {item.kind: WIRE.validate_json(item.wire()) for item in await pushes(log, "ada")}
    # A piece of a reply comes from no topic.
    assert set(found) == set(PushKind) - {PushKind.TUTOR_DELTA}
    state, recommendations = found[PushKind.STATE], found[PushKind.RECOMMENDATIONS]
    intervention, reply = found[PushKind.INTERVENTION], found[PushKind.TUTOR_REPLY]
    assert isinstance(state, UserStateUpdate)
    assert state.user_state == message(USER_STATE, "ada", 1)
    assert (state.offset, state.caused_by) == (1, ("cause-1",))
    assert isinstance(recommendations, Recommendations)
    assert [item.id for item in recommendations.recommendations] == ["r1"]
    assert isinstance(intervention, Intervention)
    assert intervention.id == f"{INTERVENTIONS}-ada-1"
    assert (intervention.level, intervention.because) == ("mild", ("valence fell",))
    assert isinstance(reply, TutorReply)
    assert (reply.reply_id, reply.status, reply.final) == ("reply-1", "answered", True)
    latest = await log.latest("ada")
    assert UserState.read(latest.user_state) == state.user_state
    assert positions(events) == around.positions


def test_the_worker_reads_what_the_agent_pushes_and_nothing_else() -> None:
    assert set(ROLE.topics) == {*push.PUSHES, ERASURES}


def test_a_kind_is_a_message_of_the_wire_and_the_other_way_round() -> None:
    of_wire = {model for model in get_args(ServerMessage) if issubclass(model, Push)}

    assert of_wire == set(Push.__subclasses__()), "ServerMessage holds every push"
    assert {model.model_fields["type"].default for model in of_wire} == set(PushKind)


async def test_a_live_state_leaves_out_what_the_newest_state_has(
    log: PushLog, around: Around
) -> None:
    weeks = dict.fromkeys(("valence", "arousal", "dominance"), ESTIMATE) | {"emotions": {}}
    states = [message(USER_STATE, "ada", n, longTerm=weeks) for n in (1, 2)]
    await run([around.event(USER_STATE, "ada", state) for state in states], log, around)

    newest = (await pushes(log, "ada"))[-1]
    live, latest = orjson.loads(newest.wire()), await log.latest("ada")

    assert live["userState"] == {
        name: part for name, part in states[1].document().items() if name != "longTerm"
    }
    assert latest.user_state == states[1].document()
    assert UserState.read(live["userState"]).version == latest.user_state["version"]


async def test_poison_among_others_costs_only_itself(log: PushLog, around: Around) -> None:
    events = [
        around.event(USER_STATE, "ada", message(USER_STATE, "ada", 1)),
        around.event(USER_STATE, "ada", b"\xff not json"),
        around.event(RECOMMENDATIONS, "ada", b'{"schemaVersion":1}'),
        around.event(RECOMMENDATIONS, "ada", None),
        around.event(INTERVENTIONS, "bob", message(INTERVENTIONS, "ada", 1)),
        around.event(USER_STATE, "ada", None),
        around.event(USER_STATE, "ada", message(USER_STATE, "ada", 2)),
    ]
    await run(events, log, around)
    assert [item.kind for item in await pushes(log, "ada")] == ["user_state_update"] * 2
    assert (await log.head("bob")).offset == 0
    assert [type(error).__name__ for _, error in around.dead_letters.sent] == [
        "InvalidJson",
        "InvalidMessage",
        "InvalidMessage",
        "InvalidMessage",
    ]
    # A tombstone is no poison; and all is acknowledged, each partition in order.
    await asyncio.sleep(0)
    assert sorted(around.positions) == sorted(positions(events))
    for topic in (USER_STATE, RECOMMENDATIONS):
        offsets = [offset for name, offset in around.positions if name == topic]
        assert offsets == sorted(offsets)


async def test_a_redelivered_stream_pushes_nothing_again(log: PushLog, around: Around) -> None:
    events = [
        around.event(topic, "ada", message(topic, "ada", n))
        for n in range(1, 6)
        for topic in (USER_STATE, RECOMMENDATIONS)
    ]
    await run(events, log, around, batch_size=3)
    await run(events[4:], log, around, batch_size=2)
    assert (await log.head("ada")).offset == 10


async def test_an_erasure_takes_what_came_before_it_and_leaves_what_came_after(
    log: PushLog, around: Around
) -> None:
    erasure = message(ERASURES, "ada", 2)
    events = [
        around.event(USER_STATE, "ada", message(USER_STATE, "ada", 1, version=9)),
        around.event(USER_STATE, "bob", message(USER_STATE, "bob", 1)),
        around.event(ERASURES, "ada", erasure),
        # Ingested before the erasure, and late; then the first of a new life.
        around.event(RECOMMENDATIONS, "ada", message(RECOMMENDATIONS, "ada", 1)),
        around.event(USER_STATE, "ada", message(USER_STATE, "ada", 3, version=1)),
    ]
    await run(events, log, around)
    latest = await log.latest("ada")
    assert latest.offset == 1
    assert latest.user_state is not None
    assert latest.user_state["version"] == 1
    assert latest.recommendations is None
    assert (await log.head("bob")).offset == 1


async def test_while_redis_is_away_nothing_is_acknowledged_and_nothing_is_lost(
    log: PushLog, around: Around, server: RedisServer
) -> None:
    first = around.event(USER_STATE, "ada", message(USER_STATE, "ada", 1))
    await run([first], log, around)
    await server.stop()
    events = [around.event(USER_STATE, "ada", message(USER_STATE, "ada", n)) for n in (2, 3, 4)]
    running = asyncio.create_task(run(events, log, around, batch_size=2))
    await around.waited("redis")
    assert positions([first]) == around.positions
    await server.start()
    await asyncio.wait_for(running, 30)
    assert positions([first, *events]) == around.positions
    assert [item.caused_by for item in await pushes(log, "ada")] == [
        (f"cause-{n}",) for n in (1, 2, 3, 4)
    ]
    assert around.waits.stores == ()


async def test_a_learner_whose_keys_are_broken_costs_one_dead_letter(
    log: PushLog, around: Around, server: RedisServer
) -> None:
    """Given a key of another type in one learner's place, Then the others go on."""
    async with connect(RedisSettings(url=server.endpoint), "operator") as client:
        await client.set("mx:push:{eve}:meta", "no hash")
        await client.lpush("mx:push:{mal}:fence", "no string")
    events = [
        around.event(USER_STATE, "ada", message(USER_STATE, "ada", 1)),
        around.event(USER_STATE, "eve", message(USER_STATE, "eve", 1)),
        around.event(ERASURES, "mal", message(ERASURES, "mal", 9)),
        around.event(USER_STATE, "bob", message(USER_STATE, "bob", 1)),
    ]
    await asyncio.wait_for(run(events, log, around), 10)
    assert [(record.key, type(error)) for record, error in around.dead_letters.sent] == [
        (b"eve", Refused),
        (b"mal", Refused),
    ]
    assert len(await pushes(log, "ada")) == len(await pushes(log, "bob")) == 1
    await asyncio.sleep(0)
    assert len(around.acknowledged) == len(events)


async def test_a_redis_that_refuses_this_user_ends_the_stream_with_a_reason(
    log: PushLog, around: Around, server: RedisServer
) -> None:
    async with connect(RedisSettings(url=server.endpoint), "operator") as client:
        await client.execute_command(
            "ACL", "SETUSER", "mx", "on", ">pw", "~*", "&*", "+@all", "-info"
        )
    settings = RedisSettings(url=server.endpoint.replace("//", "//mx:pw@"))
    async with connect(settings, "push") as client:
        event = around.event(USER_STATE, "ada", message(USER_STATE, "ada", 1))
        with pytest.raises(Fatal, match=r"can.t run this command.*MASTERX_REDIS__URL"):
            await asyncio.wait_for(run([event], PushLog(client, settings), around), 10)
    assert around.acknowledged == []
    assert around.dead_letters.sent == []


async def test_a_full_redis_is_waited_for(
    log: PushLog, around: Around, server: RedisServer
) -> None:
    async with connect(RedisSettings(url=server.endpoint), "operator") as client:
        await client.config_set("maxmemory", "1kb")
        event = around.event(USER_STATE, "ada", message(USER_STATE, "ada", 1))
        running = asyncio.create_task(run([event], log, around))
        await around.waited("redis")
        assert around.acknowledged == []
        await client.config_set("maxmemory", "0")
    await asyncio.wait_for(running, 30)
    assert len(around.acknowledged) == 1
