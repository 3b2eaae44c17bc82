"""Whatever dies and whenever: each event counts once, and nothing is lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from agents.runtime.topics import INTERACTIONS, LEARNER_CHANGELOG, USER_STATE
from app.settings import Settings
from models.learner.record import LearnerRecord
from schemas.base import now_ms
from tests.crash.driver import Load, plan, send
from tests.crash.fleet import ENTRY, KILLED, Crew, crash_at, crews, fast, told
from tests.crash.verdict import Verdict, judge, settled
from tests.crash.worker_entry import Point
from tests.servers import Services
from tests.topics import read_all
from tests.workers import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.crash, pytest.mark.timeout(300)]

EMOTION_POINTS = (Point.BEFORE_INFERENCE, Point.AFTER_INFERENCE, Point.BEFORE_COMMIT)
LEARNER_POINTS = (
    Point.BEFORE_CHANGELOG,
    Point.OUTPUTS_FIRST,
    Point.AFTER_CHANGELOG,
    Point.BEFORE_COMMIT,
)


async def killed_under_load(
    settings: Settings, logs: Path, load: Load, *, each: int, kills: int
) -> Verdict:
    """Send a load while both workers die at each of their points, and wherever chance will.

    `each`: passes of a point before it kills; `kills`: random ones besides.
    """
    chance = random.Random(load.seed)

    def deaths(points: tuple[Point, ...]) -> list[tuple[Point, int]]:
        return [(point, chance.randint(each // 2, each)) for point in points]

    emotion = Crew("emotion", settings, logs, deaths(EMOTION_POINTS))
    learner = Crew("learner", settings, logs, deaths(LEARNER_POINTS))
    due = sorted(chance.randrange(load.records // 2, load.records) for _ in range(kills))

    async def kill(sent: int) -> None:
        while due and sent >= due[0]:
            due.pop(0)
            chance.choice((emotion, learner)).current.kill()

    async with crews(emotion, learner):
        sent = await send(settings, plan(load, now_ms()), load.rate, kill)
        await settled(settings, "emotion", "learner")
    verdict = await judge(settings)
    print(verdict, emotion.exits, learner.exits)
    assert len(sent) == verdict.records == load.records
    assert emotion.unexplained + learner.unexplained == []
    assert len(emotion.exits) >= len(EMOTION_POINTS)
    assert len(learner.exits) >= len(LEARNER_POINTS)
    return verdict


async def test_killed_at_chosen_and_random_moments(topics: Settings, tmp_path: Path) -> None:
    # Given a load, and workers that die at each of their points
    settings = fast(topics, instance="only")
    verdict = await killed_under_load(
        settings, tmp_path, Load(seed=1, records=4_000, rate=160), each=150, kills=2
    )
    # Then every learner's record, state and advice are what the input alone says
    assert verdict.problems == []
    # And it was tried: work was done twice
    assert verdict.redelivered_readings > 0
    assert verdict.redelivered_states > 0


async def test_two_roles_of_one_process_killed_together(topics: Settings, tmp_path: Path) -> None:
    # Given a load, and both roles in one process
    settings = fast(topics, instance="only")
    load = Load(seed=3, records=2_400, rate=160)
    both = Crew("emotion+learner", settings, tmp_path)
    due = [600, 1_200, 1_800]

    async def kill(sent: int) -> None:
        if due and sent >= due[0]:
            due.pop(0)
            both.current.kill()

    async with crews(both):
        # When it is killed again and again
        sent = await send(settings, plan(load, now_ms()), load.rate, kill)
        await settled(settings, "emotion", "learner")
    # Then each event counts once, as with a process a role
    verdict = await judge(settings)
    print(verdict, both.exits)
    assert verdict.problems == []
    assert len(sent) == verdict.records == load.records
    assert len(both.exits) >= 2
    assert both.unexplained == []


async def test_a_state_never_outruns_its_record(topics: Settings, tmp_path: Path) -> None:
    # Given a worker whose changelog writes do not get through, from the tenth on
    settings = fast(topics, instance="only")
    planned = plan(Load(seed=2, records=100, users=5), now_ms())
    batches = [record for record in planned if record.topic == INTERACTIONS]
    with crash_at(Point.OUTPUTS_FIRST, 10):
        worker = WorkerProcess("learner", settings, tmp_path / "log", module=ENTRY)
        worker.spawn()
    # When it is killed
    await send(settings, batches, rate=1_000)
    assert await worker.ended() == KILLED
    # Then it has told of nothing that its successor will not know
    stored = {
        record.key: LearnerRecord.from_bytes(record.value or b"").version
        for record in await read_all(settings, LEARNER_CHANGELOG)
    }
    states = await read_all(settings, USER_STATE)
    assert len(states) == 9
    assert all(state.document["version"] <= stored[state.key] for state in states)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
async def test_killed_many_times(
    topics: Settings, services: Services, tmp_path: Path, seed: int
) -> None:
    # On Apache Kafka every other seed without names: the group then waits for the dead.
    named = type(services.kafka).__name__ == "Broker" or seed % 2 == 0
    settings = fast(topics, instance="only" if named else "")
    verdict = await killed_under_load(
        settings, tmp_path, Load(seed=seed, records=8_000, rate=200), each=400, kills=5
    )
    assert verdict.problems == []


@pytest.mark.slow
async def test_killed_with_the_real_model(topics: Settings, tmp_path: Path) -> None:
    # Given workers that die as above, and a model whose batches differ from try to try
    settings = fast(topics, instance="only")
    with told(CRASH_READER="model"):
        verdict = await killed_under_load(
            settings, tmp_path, Load(seed=6, records=5_000, rate=100), each=150, kills=1
        )
    # Then readings agree within the tolerance, and records with the first of them
    assert verdict.problems == []
    assert verdict.redelivered_readings > 0


@pytest.mark.slow
@pytest.mark.outage
async def test_the_broker_restarts(topics: Settings, services: Services, tmp_path: Path) -> None:
    # Given a load on both workers
    settings = fast(topics, instance="only")
    load = Load(seed=7, records=5_000, rate=150)
    emotion = Crew("emotion", settings, tmp_path)
    learner = Crew("learner", settings, tmp_path)
    restarts = [load.records // 2]

    async def restart(sent: int) -> None:
        if restarts and sent >= restarts[0]:
            restarts.clear()
            await services.kafka.restart()

    async with crews(emotion, learner):
        # When the broker ends and comes again in the middle of it
        sent = await send(settings, plan(load, now_ms()), load.rate, restart)
        await settled(settings, "emotion", "learner", within=150)
    # Then nothing is lost and nothing counts twice
    verdict = await judge(settings)
    print(verdict, emotion.exits, learner.exits)
    assert len(sent) == verdict.records == load.records
    assert verdict.problems == []
