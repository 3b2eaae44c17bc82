"""Events in, readiness out: it is measured once an answer was given, and not before."""

from __future__ import annotations

import pytest

from schemas.figures import rounded
from schemas.topics.emotions import Emotion
from schemas.topics.state import Readiness, ReadinessState, Source, UserState
from tests.models.learner.build import NOW, SETTINGS, batch, fold, interaction, reading

YEAR = 365 * 86_400_000
MINUTE = 60_000
ANSWER = {"task_data": {"correct": True, "hint_count": 0, "attempt_count": 1}}
TIMED = {"timing_data": {"response_time": 12.0}, "context_data": {"tab_active": True}}


def state_after(*events: object) -> UserState:
    outputs = fold(events).outputs  # type: ignore[arg-type]
    assert outputs is not None
    return outputs.state


def readiness_after(*events: object) -> Readiness:
    found = state_after(*events).readiness
    assert found is not None
    return found


def event(name: str, time: int, **fields: object) -> object:
    return batch([interaction(name, time, **fields)], batch_id=name, ingest=time)


SCROLL = event("scroll", NOW)
MESSAGE = reading(0, probabilities={Emotion.ENGAGEMENT: 0.6, Emotion.BOREDOM: 0.3})
UNANSWERED = [event(f"e{n}", NOW + n * MINUTE, **TIMED) for n in range(30)]
ANSWERED = [event(f"a{n}", NOW + n * MINUTE, **ANSWER, **TIMED) for n in range(5)]


@pytest.mark.parametrize(
    "events",
    [
        [SCROLL],
        [MESSAGE],
        UNANSWERED,
        [*ANSWERED, event("back", NOW + YEAR, **TIMED)],
        [*ANSWERED, reading(9, time=NOW + YEAR)],
    ],
    ids=["one scroll", "one message", "half an hour unanswered", "back after a year", "and writes"],
)
def test_of_whom_no_answer_is_known_readiness_is_the_populations(events):
    read = readiness_after(*events)
    net = SETTINGS.trained_nets.readiness

    assert net is not None
    assert (read.source, read.confidence, read.weights) == (Source.PRIOR, 0.0, {})
    assert (read.score, read.state) == (rounded(net.prior), ReadinessState.MODERATE)


def test_one_answer_is_measured_with_little_confidence_and_five_with_more():
    one, five = readiness_after(ANSWERED[0]), readiness_after(*ANSWERED)

    assert one.source is five.source is Source.MEASURED
    assert 0 < one.confidence < five.confidence
    assert "accuracy" in one.weights


def test_without_an_answer_behaviour_is_no_side_of_the_need():
    assert state_after(*UNANSWERED).intervention is None
    need = state_after(*ANSWERED).intervention

    assert need is not None
    assert need.inputs == ("behaviour",)
