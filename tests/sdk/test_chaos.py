"""Real Chromium on a real gateway, killed in every way: nothing that was stored is lost.

`MASTERX_SEED` repeats a run; the seed of each stands in its output.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import statistics
from contextlib import suppress
from pathlib import Path

import pytest

from app.settings import Settings
from tests.sdk.chromium import StepFailed
from tests.sdk.classroom import NETWORK, Classroom, classroom, verdict
from tests.servers import Services
from tests.topics import eventually

pytestmark = [pytest.mark.services, pytest.mark.browser]

ENOUGH = 4_000


def plan(chance: random.Random, times: int = 1) -> list[str]:
    """Faults in a random order."""
    faults = [chance.choice(list(NETWORK)) for _ in range(30 * times)]
    faults += ["renderers killed"] * 10 * times
    faults += ["browser killed"] * 5 * times
    faults += ["gateway killed", "gateway ended", "Redis stopped", "gateway killed"] * times
    faults += ["token expired", "frozen", "left and back", "disk full", "clock set"] * 2 * times
    chance.shuffle(faults)
    return faults


async def run(room: Classroom, faults: list[str]) -> list[str]:
    """Let the faults happen one after another; what was wrong then."""
    for fault in faults:
        await room.during(fault)
    await room.settle()
    return await verdict(room)


def report(room: Classroom, seed: int) -> None:
    """Print the figures of a run."""
    told = room.told
    took, stored = sorted(told.took_ms), sorted(told.stored_ms)
    print(
        f"\nseed {seed}: {len(told.stored)} stored, {len(room.pushed)} pushes, "
        f"{told.phases['connecting']} connections; record() p50 {statistics.median(took):.2f} ms "
        f"p99 {took[int(len(took) * 0.99)]:.2f} ms, stored p95 "
        f"{stored[int(len(stored) * 0.95)]:.1f} ms"
    )


@pytest.mark.timeout(900)
async def test_nothing_is_lost_over_every_kill(
    topics: Settings, services: Services, tmp_path: Path
) -> None:
    seed = int(os.environ.get("MASTERX_SEED", random.randrange(10**6)))
    print("seed", seed)
    chance = random.Random(seed)
    async with classroom(topics, services, tmp_path, chance) as room:
        wrong = await run(room, plan(chance))
        report(room, seed)
        assert wrong == []
        assert sum(room.told.stored.values()) >= ENOUGH


@pytest.mark.timeout(300)
async def test_one_of_two_tabs_dies_and_the_other_sends_for_both(
    topics: Settings, services: Services, tmp_path: Path
) -> None:
    async with classroom(topics, services, tmp_path, random.Random(2)) as room:
        await room.line.refuse()
        first, second = room.tabs
        await asyncio.gather(
            *(room.driver.evaluate(tab, "lesson.record(1000, 0)") for tab in room.tabs)
        )

        async def stored() -> int:
            return len(room.told.stored)

        await eventually(stored, lambda number: number == 2_000)
        await room.line.listen()
        # As when the network is back: else a page that went over to REST waits for a minute.
        await room.driver.evaluate(second, "dispatchEvent(new Event('online')) && null")
        with suppress(StepFailed):
            await room.driver.cdp(first, "Page.crash", within=0.5)
        room.killed.add(first)
        room.tabs.remove(first)
        await room.settle()
        assert await verdict(room) == []
        stats = await room.driver.evaluate(second, "lesson.stats()")
        assert stats["restored"] > 0


@pytest.mark.slow
@pytest.mark.timeout(7200)
async def test_nothing_is_lost_over_ten_times_as_many(
    topics: Settings, services: Services, tmp_path: Path
) -> None:
    seed = int(os.environ.get("MASTERX_SEED", random.randrange(10**6)))
    chance = random.Random(seed)
    async with classroom(topics, services, tmp_path, chance) as room:
        wrong = await run(room, plan(chance, times=10))
        report(room, seed)
        assert wrong == []
        assert sum(room.told.stored.values()) >= 10 * ENOUGH


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("mutant", "seen"),
    [
        ("delete before ack", "not in Kafka"),
        ("no write-ahead", "not in Kafka"),
        ("reused ids", "ids are those of several events|not in Kafka"),
    ],
)
async def test_the_proof_sees_a_broken_sdk(
    topics: Settings, services: Services, tmp_path: Path, mutant: str, seen: str
) -> None:
    """What the tests above would say of it."""
    chance = random.Random(5)
    async with classroom(topics, services, tmp_path, chance, mutant=mutant) as room:
        wrong = await run(room, ["renderers killed"] * 6)
    assert re.search(seen, "\n".join(wrong)), wrong
