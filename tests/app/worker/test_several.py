"""Several roles in one process: a group, a lease and a heartbeat each; one fate."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import AsyncMongoClient

from agents.runtime.topics import USER_STATE
from app.kafka.admin import group_members
from app.kafka.topics import physical
from app.process.exits import Exit
from app.redis import heartbeats
from app.redis.client import connect
from app.redis.push_log import PushLog
from app.settings import Settings
from schemas.base import now_ms
from tests.agents.records import message
from tests.app.cli.test_commands import masterx
from tests.crash.fleet import fast
from tests.topics import committed, eventually, produce
from tests.workers import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

BOTH = ("push", "history")
USERS = [f"learner-{number}" for number in range(20)]


async def send_states(settings: Settings, first: int) -> None:
    """Two states of each of twenty learners."""
    now = now_ms()  # what is older than its retention would not stay in MongoDB
    times = {"eventTime": now, "ingestTime": now, "updatedAt": now}
    states = [
        (user, message(USER_STATE, user, first + n, **times)) for n in range(2) for user in USERS
    ]
    await produce(settings, USER_STATE, states)


async def until_committed(settings: Settings, records: int) -> None:
    for role in BOTH:
        await eventually(
            lambda role=role: committed(settings, role, USER_STATE),
            lambda each: sum(each.values()) == records,
        )


async def beats(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    async with connect(settings.redis, "operator") as client:
        return dict(await heartbeats.roles(client, settings.redis))


async def ask(worker: WorkerProcess, path: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"http://127.0.0.1:{worker.port}{path}")


async def stored(settings: Settings) -> tuple[int, int]:
    """Learners of whom a state was pushed, and documents of states in MongoDB."""
    async with connect(settings.redis, "operator") as client:
        log = PushLog(client, settings.redis)
        heads = [await log.head(user) for user in USERS]
    async with AsyncMongoClient(settings.mongo.url) as client:
        states = await client[settings.mongo.database].states.count_documents({})
    return sum(head.offset > 0 for head in heads), states


async def test_both_consume_commit_and_go_on_after_a_kill(topics: Settings, tmp_path: Path) -> None:
    settings = fast(topics, instance="only")
    async with WorkerProcess(BOTH, settings, tmp_path / "first") as first:
        # Given a process that plays both, each in its own group
        for role in BOTH:
            group = f"{settings.worker.group_prefix}-{role}"
            assert [one.client_id for one in await group_members(settings, group)] == [
                f"{group}@only"
            ]
        await send_states(settings, 1)
        await until_committed(settings, 40)
        # When it is killed, with records behind
        first.kill()
    await send_states(settings, 3)
    # Then its successor takes both places, and goes on
    async with WorkerProcess(BOTH, settings, tmp_path / "second") as second:
        await until_committed(settings, 80)
        assert await stored(settings) == (20, 20)
        assert second.exit_code is None


async def test_one_port_and_a_heartbeat_each(topics: Settings, tmp_path: Path) -> None:
    settings = fast(topics)
    async with WorkerProcess(BOTH, settings, tmp_path / "log") as worker:
        ready = await ask(worker, "/readyz")
        assert ready.status_code == 200
        assert set(ready.json()["roles"]) == set(BOTH)
        assert (await ask(worker, "/healthz")).json()["loopSilentSeconds"] < 60
        told = await eventually(lambda: beats(settings), lambda each: set(each) == set(BOTH))
        assert {one["metrics"] for each in told.values() for one in each} == {
            f"127.0.0.1:{worker.port}"
        }
        await send_states(settings, 1)
        await until_committed(settings, 40)
        # Both read `user-state`: each has its own lag of a partition, and its own progress
        series = f'topic="{physical(settings, USER_STATE)}"'

        async def lags() -> dict[str, list[float]]:
            lines = (await ask(worker, "/metrics")).text.splitlines()
            found = [line for line in lines if "masterx_lag_records{" in line and series in line]
            return {
                role: [float(line.split()[-1]) for line in found if f'role="{role}"' in line]
                for role in BOTH
            }

        none = [0.0] * settings.kafka.partitions
        await eventually(lags, lambda each: each == dict.fromkeys(BOTH, none))

        async def progress() -> set[str]:
            return set((await ask(worker, "/metrics")).text.splitlines())

        # The counters follow the commits at the next look at the worker's health
        told_each = {
            line
            for role in BOTH
            for line in (
                f'masterx_acknowledged_total{{role="{role}"}} 40.0',
                f'masterx_in_flight_records{{role="{role}"}} 0.0',
            )
        }
        await eventually(progress, lambda lines: told_each <= lines)


async def test_ready_only_if_each_is(topics: Settings, tmp_path: Path) -> None:
    # Given a group of one role that waits for a member that died without a name
    settings = fast(topics)
    # A session so long that the group still waits when the worker is told to stop
    waits = settings.worker.model_copy(update={"shutdown_timeout": 3.0, "session_timeout": 45.0})
    settings = settings.model_copy(update={"worker": waits})
    async with WorkerProcess("push", settings, tmp_path / "first") as dead:
        dead.kill()
    worker = WorkerProcess(BOTH, settings, tmp_path / "log")
    worker.spawn()

    async def states() -> dict[str, str]:
        try:
            told = (await ask(worker, "/readyz")).json()
        except httpx.HTTPError:
            return {}
        return {role: one["state"] for role, one in told["roles"].items()}

    try:
        await eventually(states, lambda each: each.get("history") == "ready")
        answer = await ask(worker, "/readyz")
        assert answer.status_code == 503
        assert answer.json()["state"] == "starting"
        assert "push: waiting for partitions" in answer.json()["detail"]
        # And when it is told to stop, the one that has joined leaves in order
        assert await worker.stop() == 0
        assert "not done within 3 s" in worker.tail()
        assert not await group_members(settings, f"{settings.worker.group_prefix}-history")
    finally:
        worker.kill()


async def test_a_signal_stops_all_in_order(topics: Settings, tmp_path: Path) -> None:
    settings = fast(topics)
    async with WorkerProcess(BOTH, settings, tmp_path / "log") as worker:
        await send_states(settings, 1)
        await until_committed(settings, 40)
        assert await worker.stop() == 0, worker.tail()
        assert "stopped_early" not in worker.tail(200)
    assert not any((await beats(settings)).values())
    for role in BOTH:
        assert await group_members(settings, f"{settings.worker.group_prefix}-{role}") == []


async def test_an_exception_of_one_ends_all(
    topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW_STEP", "raising")
    settings = fast(topics)
    worker = WorkerProcess(BOTH, settings, tmp_path / "log", module="tests.slow_worker")
    async with worker:
        await send_states(settings, 1)
        assert await worker.ended() == Exit.SEND_FAILED
    assert "push: the agent raised RuntimeError('at offset 0')" in worker.tail()


async def test_a_stall_of_one_ends_all_though_the_other_gets_on(
    topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW_STEP", "reading")
    impatient = topics.worker.model_copy(update={"stall_timeout": 3.0})
    tutor = topics.tutor.model_copy(
        update={
            "timeouts": topics.tutor.timeouts.model_copy(update={"overall": 1.0}),
            "replies": topics.tutor.replies.model_copy(update={"text_timeout": 1.0}),
        }
    )
    settings = topics.model_copy(update={"worker": impatient, "tutor": tutor})
    worker = WorkerProcess(BOTH, settings, tmp_path / "log", module="tests.slow_worker")
    async with worker:
        await send_states(settings, 1)
        assert await worker.ended(60) == Exit.STALLED
    assert "reason='push: no progress for" in worker.tail()


async def test_a_lease_lost_ends_all_before_anything_is_written(
    topics: Settings, tmp_path: Path
) -> None:
    # Given a process that is stopped for longer than its session, and replaced under its name
    settings = fast(topics, instance="only")
    async with (
        WorkerProcess(BOTH, settings, tmp_path / "first") as first,
    ):
        await send_states(settings, 1)
        await until_committed(settings, 40)
        first.pause()
        async with WorkerProcess(BOTH, settings, tmp_path / "second") as second:
            await asyncio.sleep(settings.worker.session_timeout + 1)
            # When it goes on
            first.resume()
            # Then it ends itself, says for which role, and the other stays
            assert await first.ended() == Exit.FENCED
            assert re.search(r"reason='(push|history): group lease lost", first.tail())
            await send_states(settings, 3)
            await until_committed(settings, 80)
            assert second.exit_code is None


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        (("push", "push"), "'push' is named twice; a process runs each role once"),
        (("push", "pusj"), "'pusj' is no role; there are emotion, "),
    ],
)
def test_a_second_or_unknown_role_is_refused_in_a_sentence(roles: tuple[str, ...], said: str):
    run = masterx("worker", *roles)
    assert run.returncode == 2
    assert run.stderr.startswith(f"error: {said}")
    assert len(run.stderr.splitlines()) == 1
