from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from uuid import uuid4

import orjson
import pytest
import redis.asyncio as redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeout

from app.local.embedded import RedisServer
from app.redis.client import connect
from app.redis.push_log import Appended, Head, NewPush, PushKind, PushLog, Tail
from app.redis.push_scripts import APPEND
from app.redis.subscription import Forgotten, Reconnected, StoredPush
from app.settings import RedisSettings
from schemas.wire import server

KINDS = {
    "user-state": PushKind.STATE,
    "recommendations": PushKind.RECOMMENDATIONS,
    "interventions": PushKind.INTERVENTION,
}


def push(
    n: int,
    *,
    user: str = "ada",
    topic: str = "user-state",
    event_id: str | None = None,
    version: int | None = -1,
    ingest_time: int = 1_000,
    offset: int | None = None,
) -> NewPush:
    kind = KINDS[topic]
    if version == -1:
        version = None if kind is PushKind.INTERVENTION else n
    bodies = {
        PushKind.STATE: {"userState": {"version": version}},
        PushKind.RECOMMENDATIONS: {"recommendations": [{"id": f"r{n}"}]},
        PushKind.INTERVENTION: {"id": f"i{n}", "because": ["zeile\nzwei"]},
    }
    return NewPush(
        user_id=user,
        kind=kind,
        event_id=event_id or f"{topic}-{n}",
        caused_by=(f"cause-{n}",),
        version=version,
        ingest_time=ingest_time,
        body=orjson.dumps({"type": kind} | bodies[kind]),
        topic=topic,
        partition=3,
        offset=n if offset is None else offset,
    )


def offsets(appended: list[Appended | None]) -> list[int | None]:
    return [None if item is None else item.offset for item in appended]


async def test_offsets_grow_by_one_per_learner(push_log: PushLog) -> None:
    batch = [push(1), push(1, user="bob"), push(2), push(2, topic="interventions")]
    appended = await push_log.append_many(batch)
    assert offsets(appended) == [1, 1, 2, 3]
    assert (await push_log.head("ada")).offset == 3
    assert appended[0] is not None
    assert (await push_log.head("ada")).epoch == appended[0].epoch
    assert (await push_log.head("bob")).epoch == appended[1].epoch  # type: ignore[union-attr]


async def test_the_newest_state_is_kept_whole_where_a_push_leaves_detail_out(
    push_log: PushLog,
) -> None:
    detailed = [
        dataclasses.replace(push(n), whole=orjson.dumps({"userState": {"version": n, "detail": n}}))
        for n in (1, 2)
    ]
    await push_log.append_many([*detailed, push(2, topic="recommendations")])
    first = await push_log.latest("ada")
    tail = await push_log.since("ada", first.epoch, 1)
    await push_log.append_many([push(3)])  # of a worker that knows nothing of detail

    assert first.user_state == {"version": 2, "detail": 2}
    assert tail is not None
    assert orjson.loads(tail.pushes[0].body)["userState"] == {"version": 2}
    assert (await push_log.latest("ada")).user_state == {"version": 3}
    assert first.recommendations is not None


async def test_a_redelivered_batch_appends_nothing(push_log: PushLog) -> None:
    batch = [push(1), push(2), push(3, topic="interventions")]
    await push_log.append_many(batch)
    assert offsets(await push_log.append_many(batch)) == [None, None, None]
    assert (await push_log.head("ada")).offset == 3


async def test_an_output_sent_again_at_a_new_position_is_dropped(push_log: PushLog) -> None:
    await push_log.append_many([push(1, topic="interventions")])
    again = push(9, topic="interventions", event_id="interventions-1")
    assert offsets(await push_log.append_many([again])) == [None]


async def test_a_dropped_output_still_moves_the_source_position(push_log: PushLog) -> None:
    # Given an id that has left the window, and came at offset 9 while it was in it
    await push_log.append_many([push(1, topic="interventions")])
    again = push(9, topic="interventions", event_id="interventions-1")
    await push_log.append_many([again])
    await push_log.append_many([push(n, topic="interventions") for n in range(10, 16)])
    # When the record at offset 9 is redelivered
    # Then its position alone gives it away
    assert offsets(await push_log.append_many([again])) == [None]


async def test_an_older_version_is_dropped_and_an_equal_one_is_not(push_log: PushLog) -> None:
    await push_log.append_many([push(1, version=7)])
    older = push(2, version=6)
    equal = push(3, version=7)
    assert offsets(await push_log.append_many([older, equal])) == [None, 2]
    latest = await push_log.latest("ada")
    assert latest.user_state == {"version": 7}
    # Versions are counted for each kind: recommendations of version 6 are new.
    recommendations = push(1, topic="recommendations", version=6)
    assert offsets(await push_log.append_many([recommendations])) == [3]


async def test_source_positions_are_kept_apart_by_topic_and_partition(push_log: PushLog) -> None:
    other_partition = dataclasses.replace(
        push(1, topic="interventions", event_id="other"), partition=4
    )
    appended = await push_log.append_many(
        [push(5, topic="interventions"), push(5), other_partition]
    )
    assert offsets(appended) == [1, 2, 3]


async def test_since_gives_what_was_missed_and_only_that(push_log: PushLog) -> None:
    await push_log.append_many([push(n) for n in range(1, 5)])
    epoch = (await push_log.head("ada")).epoch
    missed = await push_log.since("ada", epoch, 2)
    assert missed is not None
    assert [(p.epoch, p.offset, p.caused_by, p.superseded) for p in missed.pushes] == [
        (epoch, 3, ("cause-3",), True),
        (epoch, 4, ("cause-4",), False),
    ]
    assert await push_log.since("ada", epoch, 4) == Tail([], lost=False)


async def test_since_is_none_beyond_the_window_ahead_of_the_head_and_in_another_epoch(
    push_log: PushLog,
) -> None:
    await push_log.append_many([push(n) for n in range(1, 9)])  # the log keeps 5
    epoch = (await push_log.head("ada")).epoch
    kept = await push_log.since("ada", epoch, 3)
    assert kept is not None
    assert [p.offset for p in kept.pushes] == [4, 5, 6, 7, 8]
    assert await push_log.since("ada", epoch, 2) is None
    assert await push_log.since("ada", epoch, 9) is None
    assert await push_log.since("ada", "another", 8) is None


async def test_latest_survives_trimming(push_log: PushLog) -> None:
    await push_log.append_many([push(1), push(1, topic="recommendations")])
    await push_log.append_many([push(n, topic="interventions") for n in range(1, 9)])
    latest = await push_log.latest("ada")
    assert latest.offset == 10
    assert latest.user_state == {"version": 1}
    assert latest.recommendations == {"type": "recommendations", "recommendations": [{"id": "r1"}]}


async def test_an_unknown_learner_has_an_epoch_that_holds(push_log: PushLog) -> None:
    latest = await push_log.latest("new")
    assert (latest.offset, latest.user_state, latest.recommendations) == (0, None, None)
    await push_log.append_many([push(1, user="new")])
    missed = await push_log.since("new", latest.epoch, 0)
    assert missed is not None
    assert [p.offset for p in missed.pushes] == [1]


async def test_lost_data_begins_a_new_epoch(push_log: PushLog, client) -> None:
    await push_log.append_many([push(1), push(2)])
    before = await push_log.head("ada")
    await client.flushall()
    # What is not known is said to be so, before and after the first new push.
    assert await push_log.since("ada", before.epoch, 2) is None
    [appended] = await push_log.append_many([push(3)])
    assert appended is not None
    assert appended.offset == 1
    assert appended.epoch != before.epoch
    assert await push_log.since("ada", before.epoch, 0) is None


async def test_scripts_that_redis_has_forgotten_are_loaded_again(push_log, client) -> None:
    await push_log.append_many([push(1)])
    await client.script_flush()
    assert offsets(await push_log.append_many([push(2), push(1, user="bob")])) == [2, 1]
    assert await client.script_exists(push_log._append.sha) == [True]
    assert push_log._append.script == APPEND


async def test_the_log_expires_as_a_whole(client, redis_settings) -> None:
    log = PushLog(client, redis_settings.model_copy(update={"log_ttl": 1_000}))
    await log.append_many([push(1)])
    ttls = [await client.pttl(key) async for key in client.scan_iter(f"{redis_settings.prefix}*")]
    assert len(ttls) == 3
    assert all(990_000 < ttl <= 1_000_000 for ttl in ttls)


async def test_a_log_that_lost_its_head_starts_over(push_log, client, redis_settings) -> None:
    # Given a head that went (eviction takes single keys) while the entries stayed
    await push_log.append_many([push(1), push(2)])
    before = await push_log.head("ada")
    await client.delete(f"{redis_settings.prefix}:push:{{ada}}:meta")
    [appended] = await push_log.append_many([push(3)])
    assert appended is not None
    assert (appended.offset, appended.epoch == before.epoch) == (1, False)
    stored = await push_log.since("ada", appended.epoch, 0)
    assert stored is not None
    assert [p.caused_by for p in stored.pushes] == [("cause-3",)]


@pytest.mark.parametrize("user", ["{}", "a}b{c", "%7B", "{", "naïve 学生 {x}", "a:b:meta"])
async def test_any_printable_user_id_has_one_slot_and_its_own_log(
    user: str, push_log: PushLog, client, redis_settings
) -> None:
    await push_log.append_many([push(1, user=user), push(1)])
    await push_log.forget("other")
    mine = [
        key
        async for key in client.scan_iter(f"{redis_settings.prefix}*")
        if not key.startswith((f"{redis_settings.prefix}:push:{{ada}}".encode(),))
        and b"{other}" not in key
    ]
    assert len(mine) == 3
    assert len({key_slot(key) for key in mine}) == 1
    assert (await push_log.head(user)).offset == 1


async def test_braces_and_their_escapes_are_different_learners(push_log: PushLog) -> None:
    await push_log.append_many([push(1, user="{"), push(2, user="{")])
    assert (await push_log.head("%7B")).offset == 0


async def test_forget_removes_every_key_and_keeps_out_what_was_ingested_before(
    push_log: PushLog, client, redis_settings
) -> None:
    await push_log.append_many([push(5), push(5, topic="recommendations")])
    before = await push_log.head("ada")
    await push_log.forget("ada", erased_at=2_000)
    keys = [key async for key in client.scan_iter(f"{redis_settings.prefix}*")]
    assert keys == [f"{redis_settings.prefix}:push:{{ada}}:fence".encode()]
    # Records of the time before, still in Kafka, stay out; the new life's versions start low.
    late = push(6, ingest_time=2_000)
    new = push(7, version=1, ingest_time=2_001)
    [dropped, appended] = await push_log.append_many([late, new])
    assert dropped is None
    assert appended is not None
    assert (appended.offset, appended.epoch == before.epoch) == (1, False)
    # Redelivered, it takes nothing of the new life; an older one does not open the fence.
    await push_log.forget("ada", erased_at=2_000)
    await push_log.forget("ada", erased_at=1_500)
    assert await push_log.head("ada") == Head(appended.epoch, 1)
    assert offsets(await push_log.append_many([push(8, ingest_time=1_900)])) == [None]


async def test_wire_bytes_are_the_wire_message(push_log: PushLog) -> None:
    body = {"type": "recommendations", "recommendations": []}
    recommendations = dataclasses.replace(
        push(1, topic="recommendations"), body=orjson.dumps(body), caused_by=("a", 'quo"te')
    )
    await push_log.append_many([push(1), recommendations])
    head = await push_log.head("ada")
    stored = await push_log.since("ada", head.epoch, 1)
    assert stored is not None
    message = server.Recommendations.parse(stored.pushes[0].wire())
    assert message == server.Recommendations(
        epoch=head.epoch, offset=2, caused_by=("a", 'quo"te'), recommendations=()
    )
    conflated = server.Recommendations.parse(stored.pushes[0].wire(caused_by=["x", "y"]))
    assert conflated.caused_by == ("x", "y")


# -- any interleaving ---------------------------------------------------------------------

events = st.tuples(st.sampled_from(sorted(KINDS)), st.integers(0, 1))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(outputs=st.lists(events, min_size=1, max_size=12), data=st.data())
async def test_redelivery_in_any_interleaving_appends_each_output_once(
    push_log: PushLog, outputs: list[tuple[str, int]], data: st.DataObject
) -> None:
    """Each partition is redelivered from any earlier offset, any number of times."""
    users = [f"u{uuid4().hex}", f"u{uuid4().hex}"]
    streams: dict[str, list[NewPush]] = {topic: [] for topic in KINDS}
    for topic, who in outputs:
        stream = streams[topic]
        stream.append(push(len(stream), user=users[who], topic=topic))
    position = dict.fromkeys(streams, 0)
    got: list[tuple[str, str]] = []
    while any(position[topic] < len(stream) for topic, stream in streams.items()):
        topic = data.draw(st.sampled_from([t for t in streams if position[t] < len(streams[t])]))
        back = data.draw(st.integers(0, position[topic]))
        ahead = data.draw(st.integers(position[topic] + 1, len(streams[topic])))
        batch = streams[topic][back:ahead]
        position[topic] = ahead
        appended = await push_log.append_many(batch)
        got += [
            (new.user_id, new.event_id)
            for new, item in zip(batch, appended, strict=True)
            if item is not None
        ]
    everything = [p for stream in streams.values() for p in stream]
    alone = [p for p in everything if p.kind is not PushKind.RECOMMENDATIONS]
    assert sorted(pair for pair in got if "recommendations" not in pair[1]) == sorted(
        (p.user_id, p.event_id) for p in alone
    )
    assert len(set(got)) == len(got)
    for user in users:
        states = [p.version for p in alone if p.user_id == user and p.version is not None]
        newest = max(states, default=-1)
        # Advice whose state has not come waits, and is not in the log.
        expected = sum(p.user_id == user and (p.version or 0) <= newest for p in everything)
        expected += sum(p.user_id == user and p.version is None and newest < 0 for p in everything)
        assert (await push_log.head(user)).offset == expected


async def test_a_state_comes_before_the_advice_made_from_it(push_log: PushLog) -> None:
    def advice(n: int) -> NewPush:
        return push(n, topic="recommendations")

    async def told(after: int) -> list[str]:
        stored = await push_log.since("ada", epoch, after)
        assert stored is not None
        kinds = {PushKind.STATE: "userState", PushKind.RECOMMENDATIONS: "recommendations"}
        return [kinds[PushKind(each.kind)] + each.caused_by[0][-2:] for each in stored.pushes]

    # Given that the topics are read in any order: advice of 2 and 3 before their states
    await push_log.append_many([push(1), advice(1), advice(2), advice(3)])
    epoch = (await push_log.head("ada")).epoch
    assert await told(0) == ["userState-1", "recommendations-1"]
    # When the states come, then each is followed by its own
    await push_log.append_many([push(2)])
    assert await told(2) == ["userState-2", "recommendations-2"]
    await push_log.append_many([push(3), push(4), advice(4)])
    assert await told(4) == [
        "userState-3",
        "recommendations-3",
        "userState-4",
        "recommendations-4",
    ]


async def test_advice_does_not_wait_without_bound(push_log: PushLog) -> None:
    # Given a state that never comes (a dead letter) and a hundred pieces of advice
    for n in range(100):
        await push_log.append_many([push(n, topic="recommendations")])
    # Then all but the newest 64 are told
    assert (await push_log.head("ada")).offset == 36


# -- listening ----------------------------------------------------------------------------


async def test_a_listener_hears_only_whom_it_follows(push_log: PushLog) -> None:
    subscription = push_log.listen()
    heard = aiter(subscription)
    try:
        await subscription.add("ada")
        await subscription.add("ada")
        await push_log.append_many([push(1, user="bob"), push(1)])
        user, stored = await anext(heard)
        assert user == "ada"
        assert isinstance(stored, StoredPush)
        epoch = (await push_log.head("ada")).epoch
        assert await push_log.since("ada", epoch, 0) == Tail([stored], lost=False)
        await subscription.remove("ada")
        await subscription.add("bob")
        await push_log.append_many([push(2), push(2, user="bob")])
        assert (await anext(heard))[0] == "bob"
        await push_log.forget("bob")
        assert await anext(heard) == ("bob", Forgotten())
    finally:
        await subscription.close()
    assert [item async for item in heard] == []


async def test_nothing_appended_after_add_is_missed_whatever_came_before(push_log) -> None:
    subscription = push_log.listen()
    heard = aiter(subscription)
    try:
        for n in range(1, 30):
            adding = asyncio.create_task(subscription.add("ada"))
            if n % 3 == 0:
                await asyncio.sleep(0)
                await subscription.remove("ada")
                await asyncio.gather(adding, return_exceptions=True)
                await subscription.add("ada")
            await adding if n % 3 else None
            await push_log.append_many([push(n)])
            while True:
                _, stored = await anext(heard)
                if stored.caused_by == (f"cause-{n}",):
                    break
            await subscription.remove("ada")
    finally:
        await subscription.close()


async def test_after_a_restart_everybody_is_followed_again_and_the_listener_is_told(
    push_log: PushLog, redis_server
) -> None:
    subscription = push_log.listen()
    heard = aiter(subscription)
    try:
        await subscription.add("ada")
        await subscription.add("bob")
        await push_log.append_many([push(1)])
        assert (await anext(heard))[0] == "ada"
        before = await push_log.head("ada")
        # When Redis is away, then nobody new can be followed, and it says so
        await redis_server.stop()
        with pytest.raises(redis.ConnectionError):
            await subscription.add("eve")
        await redis_server.start()
        assert await anext(heard) == Reconnected()
        # Then the append-only file kept the epoch, and the gap can be filled
        assert await push_log.head("ada") == before
        assert await push_log.since("ada", before.epoch, 0) is not None
        await push_log.append_many([push(2), push(2, user="bob"), push(2, user="eve")])
        assert [(await anext(heard))[0] for _ in range(2)] == ["ada", "bob"]
    finally:
        await subscription.close()


async def test_who_goes_while_the_connection_breaks_is_told_nothing_of_it(push_log, client) -> None:
    """A push is what somebody waited for, who goes; right behind it the connection ends."""
    following = push_log.listen()
    heard = aiter(following)
    try:
        for n in range(100):
            async with asyncio.timeout(20):
                while True:
                    try:
                        await following.add("ada")
                        break
                    except RedisConnectionError:
                        await asyncio.sleep(0.005)
                await push_log.append_many([push(n)])
                await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                await anext(heard)
                await following.remove("ada")
    finally:
        await following.close()


async def test_hundreds_that_come_at_once_wait_for_a_connection(push_log: PushLog) -> None:
    async def one(n: int) -> None:
        (appended,) = await push_log.append_many([push(1, user=f"learner-{n}")])
        assert appended is not None

    await asyncio.gather(*(one(n) for n in range(200)))


async def test_a_redis_that_stands_still_counts_as_away() -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silence, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = connect(RedisSettings(url=f"redis://127.0.0.1:{port}"), "push", timeout=0.1)
        async with client, asyncio.timeout(20):
            with pytest.raises(RedisTimeout):
                await PushLog(client, RedisSettings()).head("ada")


async def test_a_restart_that_may_have_lost_writes_begins_a_new_epoch(tmp_path) -> None:
    """Snapshots only: what came after the last one is gone, and offsets are given again."""
    server = SnapshotServer(tmp_path)
    await server.start()
    client = connect(RedisSettings(url=server.endpoint), "push")
    push_log = PushLog(client, RedisSettings())
    try:
        await push_log.append_many([push(1)])
        before = await push_log.head("ada")
        await client.save()
        await push_log.append_many([push(2)])
        os.kill(server.pid, signal.SIGKILL)
        await server.stop()
        await server.start()
        # The log is back at offset 1, without a record of offset 2
        after = await push_log.head("ada")
        assert after.offset == 1
        assert after.epoch != before.epoch
        assert await push_log.since("ada", before.epoch, 1) is None
        # Redelivery finds the older state of things and appends what was lost
        assert offsets(await push_log.append_many([push(1), push(2)])) == [None, 2]
    finally:
        await client.aclose()
        await server.stop()


class SnapshotServer(RedisServer):
    def _command(self, executable):
        command = super()._command(executable)
        config = self.directory / "redis.conf"
        config.write_text(config.read_text().replace("appendonly yes", "appendonly no"))
        return command


async def test_what_comes_from_no_topic_is_known_by_its_id_alone(push_log: PushLog) -> None:
    pieces = [push(n, topic="interventions", offset=-1) for n in (2, 1, 2)]
    assert offsets(await push_log.append_many(pieces)) == [1, 2, None]
    # And it does not stand in the way of what comes from the topic.
    assert offsets(await push_log.append_many([push(0, topic="interventions")])) == [3]
    erased = push(9, topic="interventions", offset=-1, ingest_time=5)
    await push_log.forget("ada", erased_at=5)
    assert offsets(await push_log.append_many([erased])) == [None]
