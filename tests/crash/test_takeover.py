"""Workers that come, go, and sleep through their own replacement."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from pathlib import Path

import pytest

from app.process.exits import Exit
from app.settings import Settings
from schemas.base import now_ms
from tests.crash.driver import Load, plan, send
from tests.crash.fleet import ENTRY, Crew, crash_at, crews, fast
from tests.crash.verdict import judge, lag, settled
from tests.crash.worker_entry import Point
from tests.servers import Services
from tests.topics import eventually
from tests.workers import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.crash, pytest.mark.timeout(240)]


async def paused_past_its_session(
    settings: Settings, logs: Path, seed: int, *, at_write: int | None = None
) -> None:
    """SIGSTOP, takeover, SIGCONT, and a second recovery, under load.

    at_write: the produce request that the first worker stops at, between the lease's word and
        the write; None: it is stopped wherever it is.
    """
    load = Load(seed=seed, records=2_700, rate=150)
    records = plan(load, now_ms())
    emotion = Crew("emotion", settings, logs)
    async with crews(emotion):
        stops = nullcontext() if at_write is None else crash_at(Point.AT_THE_WRITE, at_write)
        with stops:
            first = await WorkerProcess("learner", settings, logs / "first", module=ENTRY).start()
        second = WorkerProcess("learner", settings, logs / "second", module=ENTRY)
        third = WorkerProcess("learner", settings, logs / "third", module=ENTRY)
        sending = asyncio.create_task(send(settings, records, load.rate))
        try:
            # Given a worker in the midst of its work, that is stopped
            if at_write is None:
                await eventually(lambda: lag(settings, "learner"), lambda n: n > 50)
                first.pause()
            async with asyncio.timeout(60):
                while not first.paused:
                    await asyncio.sleep(0.05)
            # When another takes its place, and has caught up past its session
            await second.start()
            await asyncio.sleep(settings.worker.session_timeout + 1)
            first.resume()
            # Then the first one ends itself, as one who may not write
            assert await first.ended() == Exit.FENCED
            # And one who recovers after that finds the right records
            await settled(settings, "emotion", "learner")
            second.kill()
            await third.start()
            await sending
            await settled(settings, "emotion", "learner")
        finally:
            sending.cancel()
            for worker in (first, second, third):
                worker.resume()
                worker.kill()
    verdict = await judge(settings)
    print(verdict)
    assert verdict.problems == []
    assert verdict.records == load.records


async def test_paused_and_replaced_under_its_name(topics: Settings, tmp_path: Path) -> None:
    await paused_past_its_session(fast(topics, instance="only"), tmp_path, seed=11)


async def test_paused_between_the_check_and_the_write(topics: Settings, tmp_path: Path) -> None:
    await paused_past_its_session(fast(topics, instance="only"), tmp_path, seed=14, at_write=200)


@pytest.mark.slow
async def test_paused_and_replaced_by_another(
    topics: Settings, services: Services, tmp_path: Path
) -> None:
    if type(services.kafka).__name__ == "Broker":
        pytest.skip("the embedded broker never puts a silent member out of its group")
    await paused_past_its_session(fast(topics), tmp_path, seed=12)


async def test_scaled_out_and_in_under_load(
    topics: Settings, services: Services, tmp_path: Path
) -> None:
    if type(services.kafka).__name__ == "Broker":
        pytest.skip(
            "the embedded broker counts a generation up as a member comes or goes, not as all"
            " have joined, and now and then waits for ever for one that has"
        )
    # Given one worker a role, without names
    settings = fast(topics)
    load = Load(seed=13, records=3_000, rate=160)
    ones = [
        await WorkerProcess(role, settings, tmp_path / f"{role}-1", module=ENTRY).start()
        for role in ("emotion", "learner")
    ]
    sending = asyncio.create_task(send(settings, plan(load, now_ms()), load.rate))
    twos = [
        WorkerProcess(one.role, settings, tmp_path / f"{one.role}-2", module=ENTRY) for one in ones
    ]
    try:
        # When a second one joins each, and the first ones leave
        for two in twos:
            await two.start()
        await asyncio.sleep(3)
        assert [await one.stop() for one in ones] == [0, 0]
        await sending
        await settled(settings, "emotion", "learner")
    finally:
        sending.cancel()
        for worker in (*ones, *twos):
            worker.kill()
    # Then no partition was worked on by nobody, or by two
    verdict = await judge(settings)
    print(verdict)
    assert verdict.problems == []
    assert verdict.records == load.records
