"""Emotion, learner and push in one process: whatever becomes of it, no role loses a record."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agents.runtime.topics import USER_STATE
from app.process.exits import Exit
from app.redis.client import connect
from app.redis.push_log import PushLog
from app.settings import Settings
from schemas.base import now_ms
from tests.crash.driver import Load, Sent, plan, send
from tests.crash.fleet import ENTRY, KILLED, Crew, crash_at, crews, fast
from tests.crash.verdict import Verdict, judge, lag, settled
from tests.crash.worker_entry import Point
from tests.topics import eventually, read_all
from tests.workers import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.crash, pytest.mark.timeout(480)]

STATE = ("emotion", "learner", "push")
TOGETHER = "+".join(STATE)


async def judged(settings: Settings, load: Load, sent: list[Sent] | None = None) -> Verdict:
    """What the input alone says of every topic; and every learner's last state was pushed."""
    await settled(settings, *STATE, within=240)
    verdict = await judge(settings, STATE)
    assert verdict.problems == []
    assert verdict.records == load.records
    assert sent is None or len(sent) == load.records
    newest: dict[str, int] = {}
    for record in sorted(await read_all(settings, USER_STATE), key=lambda r: r.offset):
        user = (record.key or b"").decode()
        if record.value is None:
            newest.pop(user, None)
        else:
            newest[user] = record.document["version"]
    async with connect(settings.redis, "operator") as client:
        log = PushLog(client, settings.redis)
        pushed = {user: (await log.latest(user)).user_state for user in newest}
    assert {user: state and state["version"] for user, state in pushed.items()} == newest
    return verdict


async def test_killed_again_and_again(topics: Settings, tmp_path: Path) -> None:
    # Given a load on one process, which dies at points of two of its roles
    settings = fast(topics, instance="only")
    load = Load(seed=31, records=2_400, rate=160)
    deaths = [(Point.AFTER_INFERENCE, 60), (Point.AFTER_CHANGELOG, 80), (Point.OUTPUTS_FIRST, 60)]
    process = Crew(TOGETHER, settings, tmp_path, deaths)
    due = [1_400, 2_000]

    async def kill(sent: int) -> None:
        if due and sent >= due[0]:
            due.pop(0)
            process.current.kill()

    async with crews(process):
        # When it is killed besides
        sent = await send(settings, plan(load, now_ms()), load.rate, kill)
        # Then each event counts once in each role
        verdict = await judged(settings, load, sent)
    print(verdict, process.exits)
    assert process.unexplained == []
    assert process.exits.count(KILLED) >= len(deaths) + 1
    assert verdict.redelivered_states > 0


async def test_restarted_in_order_under_load(topics: Settings, tmp_path: Path) -> None:
    settings = fast(topics, instance="only")
    load = Load(seed=32, records=2_400, rate=160)
    process = Crew(TOGETHER, settings, tmp_path)
    due = [600, 1_200, 1_800]
    stopping: list[asyncio.Task[int]] = []

    async def restart(sent: int) -> None:
        if due and sent >= due[0] and all(task.done() for task in stopping):
            due.pop(0)
            stopping.append(asyncio.create_task(process.current.stop()))

    async with crews(process):
        # When an operator restarts it, again and again
        sent = await send(settings, plan(load, now_ms()), load.rate, restart)
        # Then it ends in order each time, and nothing is lost
        print(await judged(settings, load, sent), process.exits)
        assert [await task for task in stopping] == process.exits
    assert set(process.exits) == {0}
    assert len(process.exits) >= 2


@pytest.mark.parametrize("at_write", [None, 300])
async def test_paused_and_replaced(topics: Settings, tmp_path: Path, at_write: int | None) -> None:
    """SIGSTOP wherever it is, or between a role's check of its lease and its write."""
    settings = fast(topics, instance="only")
    load = Load(seed=33, records=2_400, rate=150)
    logs = iter(range(3))

    def process() -> WorkerProcess:
        return WorkerProcess(STATE, settings, tmp_path / f"{next(logs)}", module=ENTRY)

    point = Point.NEVER if at_write is None else Point.AT_THE_WRITE
    with crash_at(point, at_write or 1):
        first = await process().start()
    second, third = process(), process()
    sending = asyncio.create_task(send(settings, plan(load, now_ms()), load.rate))
    try:
        # Given a process in the midst of its work, that is stopped
        if at_write is None:
            await eventually(lambda: lag(settings, "learner"), lambda left: left > 50)
            first.pause()
        async with asyncio.timeout(60):
            while not first.paused:
                await asyncio.sleep(0.05)
        # When another takes its place, past its session
        await second.start()
        await asyncio.sleep(settings.worker.session_timeout + 1)
        first.resume()
        # Then the first one ends itself and names the role
        assert await first.ended() == Exit.FENCED
        assert any(f"{role}: group lease lost" in first.tail() for role in STATE), first.tail()
        await settled(settings, *STATE, within=240)
        second.kill()
        await third.start()
        await judged(settings, load, await sending)
    finally:
        sending.cancel()
        for worker in (first, second, third):
            worker.resume()
            worker.kill()
