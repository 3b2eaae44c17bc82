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


async def told(settings: Settings) -> tuple[dict[str, int], dict[str, int]]:
    """Each learner's newest version on `user-state`, and the newest that must have been pushed.

    A client's retry counts a version up under the event id of its first try, and the push log
    drops an id that it holds.
    """
    newest: dict[str, int] = {}
    least: dict[str, int] = {}
    seen: set[str] = set()
    for record in sorted(await read_all(settings, USER_STATE), key=lambda r: r.offset):
        user = (record.key or b"").decode()
        if record.value is None:
            newest.pop(user, None)
            continue
        newest[user] = record.document["version"]
        if record.document["eventId"] not in seen:
            seen.add(record.document["eventId"])
            least[user] = newest[user]
    return newest, least


async def judged(settings: Settings, load: Load, sent: list[Sent] | None = None) -> Verdict:
    """What the input alone says of every topic; and every learner's last state was pushed."""
    await settled(settings, *STATE, within=240)
    verdict = await judge(settings, STATE)
    assert verdict.problems == []
    assert verdict.records == load.records
    assert sent is None or len(sent) == load.records
    newest, least = await told(settings)
    async with connect(settings.redis, "operator") as client:
        log = PushLog(client, settings.redis)
        pushed = {user: (await log.latest(user)).user_state for user in newest}
    behind = {
        user: state and state["version"]
        for user, state in pushed.items()
        if state is None or not least[user] <= state["version"] <= newest[user]
    }
    assert not behind
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
    assert process.exits.count(KILLED) >= len(deaths)  # a kill may hit one that still starts
    assert verdict.redelivered_states > 0


async def test_restarted_in_order_under_load(topics: Settings, tmp_path: Path) -> None:
    settings = fast(topics, instance="only")
    load = Load(seed=32, records=3_000, rate=120)
    process = Crew(TOGETHER, settings, tmp_path)

    async def restart_as_soon_as_ready(sending: asyncio.Task[list[Sent]]) -> int:
        """How often; once at least after which records came."""
        times = 0
        while not sending.done() or not times:
            await process.current.ready()
            await asyncio.sleep(1)
            assert await process.current.stop() == 0
            times += 1
            while len(process.exits) < times:  # until it is started again
                await asyncio.sleep(0.05)
        return times

    async with crews(process):
        # When an operator restarts it, again and again
        sending = asyncio.create_task(send(settings, plan(load, now_ms()), load.rate))
        times = await restart_as_soon_as_ready(sending)
        # Then it ends in order each time, and nothing is lost
        print(await judged(settings, load, await sending), process.exits)
    assert process.exits == [0] * times


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
