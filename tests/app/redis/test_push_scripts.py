"""What a log keeps: one state and one set of recommendations, and what the last release wrote."""

from __future__ import annotations

import dataclasses

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.redis.push_log import NewPush, PushKind, PushLog, Tail
from app.redis.push_scripts import MOST_CAUSES
from app.redis.subscription import parse_entry
from app.settings import RedisSettings
from schemas.base import new_event_id
from tests.app.redis import last_release
from tests.app.redis.test_push_log import push

MOST_BYTES = 150_000
"""Of Redis, for a learner whose log is full."""
STATE_BYTES = 4_700
ADVICE_BYTES = 900


@pytest.fixture
def whole(client, redis_settings) -> PushLog:
    """A log of the default length."""
    length = RedisSettings().log_length
    return PushLog(client, redis_settings.model_copy(update={"log_length": length}))


def caused(n: int, causes: int, topic: str = "user-state") -> NewPush:
    return dataclasses.replace(
        push(n, topic=topic),
        event_id=new_event_id(),
        caused_by=tuple(new_event_id() for _ in range(causes)),
    )


def sized(n: int, topic: str, size: int, causes: int) -> NewPush:
    """A push of a body of so many bytes, with ids as long as they are in earnest."""
    made = caused(n, causes, topic)
    padding = size - len(made.body) - len(',"padding":""')
    body = made.body[:-1] + b',"padding":"' + b"x" * padding + b'"}'
    assert len(body) == size
    return dataclasses.replace(made, body=body)


@pytest.mark.parametrize("causes", [1, 20, 64])
async def test_a_full_log_is_small(whole: PushLog, client, redis_settings, causes: int) -> None:
    for n in range(300):
        await whole.append_many(
            [
                sized(n, "user-state", STATE_BYTES, causes),
                sized(n, "recommendations", ADVICE_BYTES, causes),
            ]
        )
    keys = [key async for key in client.scan_iter(f"{redis_settings.prefix}:*")]
    used = {key.rpartition(b":")[2].decode(): await memory(client, key) for key in keys}
    print(f"\n{causes} causes: {sum(used.values())} bytes: {used}")
    assert set(used) == {"meta", "log", "ids"}
    assert sum(used.values()) <= MOST_BYTES
    assert (await whole.head("ada")).offset == 600


async def memory(client, key: bytes) -> int:
    return int(await client.execute_command("MEMORY", "USAGE", key, "SAMPLES", 0))


kinds = st.sampled_from(["user-state", "recommendations", "interventions"])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(pushes=st.lists(st.tuples(kinds, st.integers(0, 40)), max_size=30), data=st.data())
async def test_a_log_is_what_a_plain_list_would_be(
    client, redis_settings, pushes: list[tuple[str, int]], data: st.DataObject
) -> None:
    """From any place: which pushes are whole, which causes are left, and whether some are not."""
    log = PushLog(client, redis_settings.model_copy(update={"log_length": 20}))
    user = f"u{new_event_id()}"
    made: list[NewPush] = []
    version = 0
    for topic, causes in pushes:
        version += topic == "user-state"
        one = dataclasses.replace(caused(len(made) + 1, causes, topic), user_id=user)
        made.append(one if one.version is None else dataclasses.replace(one, version=version))
    start = 0
    while start < len(made):
        end = data.draw(st.integers(start + 1, len(made)))
        await log.append_many(made[start:end])
        start = end
    waiting = [p for p in made if p.version == 0]  # advice of before the first state
    order = [p for p in made if p not in waiting]
    if waiting and version:
        first = next(n for n, p in enumerate(order) if p.kind is PushKind.STATE)
        order[first + 1 : first + 1] = waiting
    epoch = (await log.head(user)).epoch
    oldest = max(0, len(order) - 20)
    after = data.draw(st.integers(oldest, len(order)))
    tail = await log.since(user, epoch, after)
    if not waiting:
        assert tail == expected(order, epoch, after)
    if after > 0 and oldest == after:
        assert await log.since(user, epoch, after - 1) is None
    limit = data.draw(st.integers(1, 5))
    assert tail is not None
    assert await log.since(user, epoch, after, limit) == Tail(tail.pushes[:limit], tail.lost)


def expected(order: list[NewPush], epoch: str, after: int) -> Tail:
    entries = {}
    lost = False
    for kind in PushKind:
        of_kind = [(n, p) for n, p in enumerate(order, start=1) if p.kind is kind]
        ends = kind in (PushKind.STATE, PushKind.RECOMMENDATIONS)
        total, held = 0, True
        for age, (n, p) in enumerate(reversed(of_kind)):
            gone = ends and age > 0
            if gone:
                total += len(p.caused_by)
                held = held and total <= MOST_CAUSES
                lost = lost or (not held and n > after and bool(p.caused_by))
            causes = p.caused_by if held or not gone else ()
            body = b'{"type":"superseded"}' if gone else p.body
            entry = b"\n".join(
                (
                    p.event_id.encode(),
                    (f"-{kind}" if gone else kind).encode(),
                    orjson.dumps(causes),
                    body,
                )
            )
            entries[n] = parse_entry(epoch, n, entry)
    return Tail([entries[n] for n in range(after + 1, len(order) + 1)], lost)


async def test_a_tombstone_ends_the_versions(push_log: PushLog, client, redis_settings) -> None:
    await push_log.append_many([push(500), push(500, topic="recommendations")])
    await push_log.append_many([push(501, topic="recommendations")])  # its state has not come
    gone = tombstone(501)
    await push_log.append_many([gone])
    latest = await push_log.latest("ada")
    assert (latest.offset, latest.user_state, latest.recommendations) == (2, None, None)
    # Who returns begins with version 1, also in the batch of the tombstone
    again = push(502, version=1)
    [nothing, appended] = await push_log.append_many([gone, again])
    assert nothing is None
    assert appended is not None
    assert appended.offset == 3
    # Redelivered it takes nothing of the new life
    await push_log.append_many([gone, again])
    assert (await push_log.latest("ada")).user_state == {"version": 1}
    # And of whom there is no log, it makes none
    await push_log.append_many([dataclasses.replace(tombstone(7), user_id="eve")])
    assert [key async for key in client.scan_iter(f"{redis_settings.prefix}*eve*")] == []


async def test_advice_that_is_ahead_of_the_tombstone_belongs_to_the_new_life(push_log: PushLog):
    await push_log.append_many([push(500), push(500, topic="recommendations")])
    # Given an erasure, whose tombstone comes behind the advice of who has come back
    await push_log.forget("ada", push(500).ingest_time)
    ahead = dataclasses.replace(
        push(501, topic="recommendations", version=1), ingest_time=push(500).ingest_time + 1
    )
    stale = push(499, topic="recommendations", version=499)
    state = dataclasses.replace(push(502, version=1), ingest_time=ahead.ingest_time)
    await push_log.append_many([ahead, stale, tombstone(501), state])
    # Then both are told, the state first, and nothing of the old life
    latest = await push_log.latest("ada")
    assert latest.offset == 2
    tail = await push_log.since("ada", latest.epoch, 0)
    assert [each.kind for each in tail.pushes] == ["user_state_update", "recommendations"]


def tombstone(offset: int) -> NewPush:
    return dataclasses.replace(
        push(offset), kind=None, event_id="", caused_by=(), version=None, ingest_time=0, body=b""
    )


# -- the last release, before and beside this one ---------------------------------------------


class LastRelease(PushLog):
    """Appends and reads by the last release's scripts."""

    def __init__(self, redis, settings) -> None:
        super().__init__(redis, settings)
        self._append = redis.register_script(last_release.APPEND)
        self._old_since = redis.register_script(last_release.SINCE)

    async def append_many(self, pushes):
        await self._redis.script_load(last_release.APPEND)
        return await super().append_many(pushes)

    def _append_call(self, user_id, pushes):
        """Eight arguments a push, behind the six and the keys: it knew nothing of `whole`."""
        call = super()._append_call(user_id, pushes)
        first = len(call) - 9 * len(pushes)
        return call[:first] + [one for at, one in enumerate(call[first:]) if at % 9 != 8]

    async def entries(self, user: str, epoch: str, offset: int) -> list[bytes]:
        found = await self._old_since(keys=self._of(user)[:3], args=[*self._fresh(), epoch, offset])
        return list(found)


async def test_a_log_of_the_last_release_is_read_and_goes_on(client, redis_settings) -> None:
    settings = redis_settings.model_copy(update={"log_length": 20})
    old, new = LastRelease(client, settings), PushLog(client, settings)
    await old.append_many([push(n) for n in range(1, 6)])
    head = await new.head("ada")
    tail = await new.since("ada", head.epoch, 0)
    assert tail is not None
    assert [(p.offset, p.superseded) for p in tail.pushes] == [(n, False) for n in range(1, 6)]
    # What it wrote stays whole; ours follows
    await new.append_many([push(n) for n in range(6, 9)])
    tail = await new.since("ada", head.epoch, 0)
    assert tail is not None
    assert [p.offset for p in tail.pushes if p.superseded] == [6, 7]
    assert tail.pushes[-1].body == push(8).body
    # And goes with the window
    await new.append_many([push(n) for n in range(9, 40)])
    tail = await new.since("ada", head.epoch, 19)
    assert tail is not None
    assert [p.offset for p in tail.pushes if not p.superseded] == [39]


async def test_push_workers_of_both_releases_side_by_side(client, redis_settings) -> None:
    """A learner's partition goes from one to the other and back."""
    settings = redis_settings.model_copy(update={"log_length": 12})
    old, new = LastRelease(client, settings), PushLog(client, settings)
    epoch = (await new.head("ada")).epoch
    n = 0
    for log in (new, old, new, old, new):
        for _ in range(4):
            n += 1
            await log.append_many([push(n), push(n, topic="interventions")])
            tail = await new.since("ada", epoch, max(0, 2 * n - 12))
            assert tail is not None
            assert [p.offset for p in tail.pushes] == list(range(max(0, 2 * n - 12) + 1, 2 * n + 1))
            # Whatever is superseded has a successor behind it, and no intervention is
            last = max(p.offset for p in tail.pushes if p.kind == PushKind.STATE)
            assert not tail.pushes[last - tail.pushes[0].offset].superseded
            assert not any(p.superseded for p in tail.pushes if p.kind == PushKind.INTERVENTION)
            assert (await new.latest("ada")).user_state == {"version": n}
            assert await client.scard(f"{settings.prefix}:push:{{ada}}:ids") == len(tail.pushes)


async def test_a_gateway_of_the_last_release_passes_a_stub_on_as_an_unknown_type(
    client, redis_settings
) -> None:
    old, new = LastRelease(client, redis_settings), PushLog(client, redis_settings)
    await new.append_many([push(1), push(2)])
    epoch = (await new.head("ada")).epoch
    entries = await old.entries("ada", epoch, 0)
    assert len(entries) == 2
    # As its parse_entry and wire did
    _, _, causes, body = entries[0].split(b"\n", 3)
    position = {"epoch": epoch, "offset": 1, "causedBy": orjson.loads(causes)}
    message = orjson.loads(orjson.dumps(position)[:-1] + b"," + body[1:])
    assert message == {**position, "type": "superseded"}
