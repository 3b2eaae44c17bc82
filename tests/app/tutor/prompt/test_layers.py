"""What one worker learns of the prompt's layers, all know; read again when it is old."""

from __future__ import annotations

import pytest

from app.tutor.prompt.layers import LayerOutcomes
from models.tutor.context.config import LearningSettings
from models.tutor.context.material import Layer, LayerUse, Use
from tests.app.tutor.listening import SITUATION

USES = (LayerUse(Layer.STATE, Use.KEPT, 10, 0.5), LayerUse(Layer.PROFILE, Use.WITHHELD, 0, 0.5))


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_what_one_worker_learns_another_reads(store, clock):
    one, other = (LayerOutcomes(store, LearningSettings(), 5.0, clock) for _ in "ab")
    await one.learn(USES, SITUATION, 0.75, once="feedback-1")
    await one.learn(USES, SITUATION, 0.75, once="feedback-1")  # Kafka brings it again
    await other.refresh()

    assert {(cell.layer, cell.shown) for cell in other.known} == {
        (Layer.STATE, True),
        (Layer.PROFILE, False),
    }
    assert other.known.keys() == one.known.keys()
    for cell, evidence in one.known.items():
        assert other.known[cell].weight == pytest.approx(evidence.weight) == pytest.approx(1)
        assert other.known[cell].total == pytest.approx(0.75)


async def test_it_is_read_no_more_often_than_it_is_old(store, clock):
    one, other = (LayerOutcomes(store, LearningSettings(), 5.0, clock) for _ in "ab")
    await other.refresh()
    await one.learn(USES, SITUATION, 0.75)
    await other.refresh()
    assert not other.known

    clock.now += 5
    await other.refresh()
    assert other.known.keys() == one.known.keys()
