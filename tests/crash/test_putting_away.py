"""Learners of long ago are put away, and come back meanwhile, by a worker that is killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agents.runtime.topics import LEARNER_CHANGELOG
from app.settings import Settings
from models.learner.record import header_of
from schemas.base import now_ms
from tests.crash.driver import Load, Planned, plan, send
from tests.crash.fleet import KILLED, Crew, crews, fast, told
from tests.crash.verdict import DAY_MS, judge, settled
from tests.crash.worker_entry import Point
from tests.topics import eventually, read_all

pytestmark = [pytest.mark.services, pytest.mark.crash, pytest.mark.timeout(300)]


async def test_put_away_under_load_and_kill_9(topics: Settings, tmp_path: Path) -> None:
    settings = fast(topics, instance="only")
    now = now_ms()
    # Given learners that sent their last event 200 days ago
    load = Load(seed=31, records=600, users=120, rate=300)
    old = plan(load, now - 200 * DAY_MS)
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    emotion = Crew("emotion", settings, tmp_path)
    async with crews(emotion):
        async with crews(Crew("learner", settings, tmp_path / "before")):
            await send(settings, old, load.rate)
            await settled(settings, "emotion", "learner", within=120)
        # When the worker looks for them, half of them come back, and it dies twice meanwhile
        deaths = [(Point.AFTER_TOMBSTONE, 5), (Point.BEFORE_CHANGELOG, 30)]
        back = Load(seed=32, records=400, users=60, rate=100)
        with told(CRASH_SWEEP="0.5"):
            learner = Crew("learner", settings, tmp_path / "after", deaths)
            async with crews(learner):
                await send(settings, renamed(plan(back, now), 32, 31), back.rate)
                await settled(settings, "emotion", "learner", within=120)
                await eventually(lambda: old_records(settings, now), lambda left: not left, 60)
    # Then nobody who came back has lost anything, and nobody else is left
    verdict = await judge(settings)
    print(verdict, learner.exits)
    assert learner.exits.count(KILLED) == len(deaths)
    assert verdict.problems == []
    assert verdict.put_away > 40


def renamed(records: list[Planned], seed: int, to: int) -> list[Planned]:
    """The same of learners of another load."""

    def user(name: str) -> str:
        return name.replace(f"learner-{seed}-", f"learner-{to}-")

    return [
        replace(r, message=r.message.model_copy(update={"user_id": user(r.message.user_id)}))
        for r in records
    ]


async def old_records(settings: Settings, now: int) -> set[bytes | None]:
    """Learners of long ago that the changelog still holds."""
    newest = {r.key: r.value for r in await read_all(settings, LEARNER_CHANGELOG)}
    return {
        key
        for key, value in newest.items()
        if value is not None and header_of(value).ingested < now - DAY_MS
    }
