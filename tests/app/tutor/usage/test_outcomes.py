"""What one worker learns, all know; and Redis counts as the models do."""

from __future__ import annotations

import pytest

from app.tutor.providers.errors import StoreDown
from app.tutor.store import TutorStore
from app.tutor.usage.outcomes import Outcomes
from models.tutor.providers.evidence import Quality, cells
from tests.app.tutor.listening import SITUATION, metric


class Clock:
    now = 1_700_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_redis_and_the_copy_count_alike(store, clock):
    one, other = (Outcomes(store, 60.0, 5.0, clock) for _ in "ab")
    for pause, value in ((0.0, 0.1), (17.3, 0.9), (-5.0, 0.4), (1e6, 1.0), (3.7, 1 / 3)):
        clock.now += pause
        await one.learn("p", SITUATION, {Quality.SPEED: value, Quality.FIRST_TEXT: -value})
    await other.refresh()
    assert set(other.known) == set(one.known)
    for cell, evidence in one.known.items():
        found = other.known[cell]
        for name in ("weight", "total", "square", "at"):
            assert getattr(found, name) == pytest.approx(getattr(evidence, name), rel=1e-12)


async def test_every_worker_adds_to_the_same_sums(store, clock):
    workers = [Outcomes(store, 60.0, 5.0, clock) for _ in range(3)]
    for worker in workers:
        await worker.learn("p", SITUATION, {Quality.SUCCESS: 1.0})
    await workers[0].refresh()
    for cell in cells("p", SITUATION, Quality.SUCCESS):
        assert workers[0].known[cell].weight == pytest.approx(3.0)


async def test_what_another_version_learned_is_passed_over(store, client, clock):
    outcomes = Outcomes(store, 60.0, 5.0, clock)
    await client.hset(
        store.keys.shared("outcomes"),
        mapping={"p|*|*|beauty": "1 1 1 1", "p|*|*|speed": "gibberish", "nonsense": "1"},
    )
    await outcomes.learn("p", SITUATION, {Quality.SUCCESS: 1.0})
    await outcomes.refresh()
    assert {cell.quality for cell in outcomes.known} == {Quality.SUCCESS}


async def test_the_copy_stands_while_redis_is_away(nowhere, redis_settings, clock):
    outcomes = Outcomes(TutorStore(nowhere, redis_settings, 5), 60.0, 5.0, clock)
    with pytest.raises(StoreDown):
        await outcomes.learn("p", SITUATION, {Quality.SUCCESS: 1.0})
    failed = metric("store_failed_total", call="refresh")

    await outcomes.refresh()

    assert outcomes.known
    assert metric("store_failed_total", call="refresh") == failed + 1


async def test_it_is_read_again_when_it_is_old(store, clock):
    outcomes = Outcomes(store, 60.0, 5.0, clock)
    assert outcomes.stale
    await outcomes.refresh()
    assert not outcomes.stale
    clock.now += 5
    assert outcomes.stale
