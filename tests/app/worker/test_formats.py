"""When a new format of records is written: all workers read it, for long enough, unbroken."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer
from hypothesis import given
from hypothesis import strategies as st

from agents.runtime.topics import FEEDBACK
from app.kafka.admin import group_members
from app.kafka.topics import physical
from app.redis import heartbeats
from app.redis.client import connect
from app.redis.heartbeats import Beat
from app.settings import Settings
from app.worker.formats import LONGEST_BREAK, Agreement, RecordFormat
from schemas.base import now_ms
from tests.topics import eventually

HOLD = 600.0
START = Agreement(3, 4, HOLD)
STEPS = st.floats(0.1, 3 * LONGEST_BREAK)
SAID = st.none() | st.lists(st.none() | st.integers(2, 5), max_size=3)
LOOKS = st.lists(st.tuples(STEPS, SAID), max_size=60)


def all_read(said: list[int | None] | None) -> bool:
    return bool(said) and all(one is not None and one >= 4 for one in said or ())


@given(LOOKS, st.sampled_from([0.0, 5.0, 60.0]))
def test_it_is_written_once_all_have_said_so_for_the_hold_without_a_break(
    looks: list[tuple[float, list[int | None] | None]], hold: float
) -> None:
    agreement, now, agreed_since, last = Agreement(3, 4, hold), 0.0, None, None
    was_reached = False
    for step, said in looks:
        now += step
        agreement = agreement.after(said, now)
        if not all_read(said):
            agreed_since = None
        elif agreed_since is None or last is None or now - last > LONGEST_BREAK:
            agreed_since = now
        last = now
        was_reached = was_reached or (agreed_since is not None and now - agreed_since >= hold)
        assert agreement.writes == (4 if was_reached else 3)


@pytest.mark.parametrize(
    "said",
    [None, [], [4, None], [4, 3], [None]],
    ids=["redis away", "nobody", "a worker that says nothing", "an older one", "only older ones"],
)
def test_until_all_say_so_the_previous_one_is_written(said: list[int | None] | None) -> None:
    nearly = START.after([4, 4], 0.0)
    for second in range(2, round(HOLD), 2):
        nearly = nearly.after([4, 4], float(second))
    assert nearly.after([4], HOLD).writes == 4
    # When one look differs, the hold begins anew
    broken = nearly.after(said, HOLD).after([4], HOLD + 2)
    assert broken.writes == 3


@given(LOOKS)
def test_once_it_is_written_it_stays(
    looks: list[tuple[float, list[int | None] | None]],
) -> None:
    agreement, now = Agreement(3, 4, 0.0).after([4], 0.0), 0.0
    for step, said in looks:
        now += step
        agreement = agreement.after(said, now)
        assert agreement.writes == 4


def test_a_worker_that_slept_begins_the_hold_anew() -> None:
    """Given it looked, slept past the hold and looked, Then nobody saw what was in between."""
    slept = START.after([4], 0.0).after([4], 2 * HOLD)
    assert slept.writes == 3


# -- on Redis -----------------------------------------------------------------------------


def beat(instance: str, reads: int | None) -> Beat:
    one = Beat(
        role="learner", instance=instance, state="ready", detail="", lag=0, at=now_ms(), metrics=""
    )
    if reads is not None:
        one["reads"] = reads
    return one


@pytest.mark.services
async def test_it_follows_the_heartbeats_of_its_role(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.worker.formats.LOOK_SECONDS", 0.02)
    worker = settings.worker.model_copy(update={"format_hold": 0.0})
    settings = settings.model_copy(update={"worker": worker})
    async with connect(settings.redis, "heartbeat") as redis:
        # Given a worker of the last release beside ours, and one of another role
        old, ours, other = beat("old", None), beat("ours", 4), beat("push", None)
        other["role"] = "push"
        for one in (old, ours, other):
            await heartbeats.beat(redis, settings.redis, one)
        record_format = RecordFormat("learner", settings, previous=3, current=4)
        following = asyncio.create_task(record_format.follow())
        try:
            await asyncio.sleep(0.3)
            assert record_format.writes() == 3
            # When the old one has gone
            await heartbeats.retire(redis, settings.redis, "learner", "old")

            async def writes() -> int:
                return record_format.writes()

            await eventually(writes, lambda number: number == 4)
            await asyncio.wait_for(following, 5)
        finally:
            following.cancel()


@pytest.mark.services
async def test_a_worker_whose_beat_is_not_heard_is_taken_for_one_of_the_last_release(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.worker.formats.LOOK_SECONDS", 0.02)
    worker = topics.worker.model_copy(update={"format_hold": 0.0})
    settings = topics.model_copy(update={"worker": worker})
    group = f"{worker.group_prefix}-learner"
    record_format = RecordFormat("learner", settings, previous=3, current=4)
    async with connect(settings.redis, "heartbeat") as redis:
        await heartbeats.beat(redis, settings.redis, beat("ours", 4))
        # Given a member of the group that beats where the last release did, or nowhere
        member = AIOKafkaConsumer(
            physical(settings, FEEDBACK),
            bootstrap_servers=settings.kafka.bootstrap,
            group_id=group,
            client_id="faust-0.15.3",
        )
        await member.start()
        following = asyncio.create_task(record_format.follow())
        try:
            await eventually(lambda: group_members(settings, group), lambda found: len(found) == 1)
            await heartbeats.beat(redis, settings.redis, beat("ours", 4))
            await asyncio.sleep(1.0)
            assert record_format.writes() == 3
            # When it has gone
            await member.stop()
            await heartbeats.beat(redis, settings.redis, beat("ours", 4))
            await asyncio.wait_for(following, 20)
            assert record_format.writes() == 4
        finally:
            following.cancel()


@pytest.mark.services
async def test_without_redis_it_goes_on_looking_and_writes_the_previous_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.worker.formats.LOOK_SECONDS", 0.02)
    nowhere = settings.redis.model_copy(update={"url": "redis://127.0.0.1:1/0"})
    worker = settings.worker.model_copy(update={"format_hold": 0.0})
    settings = settings.model_copy(update={"redis": nowhere, "worker": worker})
    record_format = RecordFormat("learner", settings, previous=3, current=4)
    following = asyncio.create_task(record_format.follow())
    await asyncio.sleep(1.0)
    assert not following.done()
    assert record_format.writes() == 3
    following.cancel()
