"""Notes say figures with their confidence, and nothing that is only assumed."""

import pytest

from models.tutor.context.config import ContextSettings
from models.tutor.context.notes import profile_notes, state_notes
from schemas.topics.emotions import Emotion
from schemas.topics.state import (
    Activity,
    Behaviour,
    Estimate,
    Readiness,
    ReadinessState,
    Source,
    Tendency,
    Trajectory,
    TrajectoryCall,
    UserState,
)

SETTINGS = ContextSettings()


def estimate(value: float, confidence: float = 0.8, source: Source = Source.MEASURED) -> Estimate:
    return Estimate(value=value, confidence=confidence, source=source)


def state(**changes) -> UserState:
    fields = {
        "event_id": "e",
        "user_id": "u",
        "event_time": 1,
        "ingest_time": 1,
        "version": 1,
        "updated_at": 1,
        "valence": estimate(0.3),
        "arousal": estimate(0.6),
        "dominance": estimate(0.5, source=Source.PRIOR),
        "emotions": {Emotion.SADNESS: 0.5, Emotion.FEAR: 0.2, Emotion.JOY: 0.1, Emotion.AWE: 0.05},
        "trajectory": TrajectoryCall(call=Trajectory.DECLINING, slope=-0.1, points=9),
        "activity": Activity(interactions=12, messages=3, correct=0.25, hints=1.5),
    }
    return UserState(**{**fields, **changes})


BEHAVIOUR = Behaviour(
    help_need=estimate(0.5, 0.1),
    next_correct=estimate(0.4),
    focus=estimate(0.9),
    cognitive_load=estimate(0.7),
    engagement=estimate(0.5, source=Source.PRIOR),
    fatigue=estimate(0.2),
    tendencies={"video": Tendency(share=0.75, count=9), "text": Tendency(share=0.25, count=0)},
)


def test_the_state_is_told_with_its_confidence():
    texts = {note.text: note.worth for note in state_notes(state(behaviour=BEHAVIOUR), SETTINGS)}

    assert texts["pleasure: 0.30 of 1 (confidence 0.80)"] == 0.8
    assert texts["cognitive load: 0.70 of 1 (confidence 0.80)"] == 0.8
    assert "emotions read in recent messages: sadness 0.50, fear 0.20, joy 0.10" in texts
    assert "mood over time: declining" in texts


@pytest.mark.parametrize("word", ["dominance", "engagement", "need for a hint"])
def test_what_is_assumed_or_hardly_known_is_not_told(word):
    assert not any(
        note.text.startswith(word) for note in state_notes(state(behaviour=BEHAVIOUR), SETTINGS)
    )


def test_readiness_is_told_where_a_net_has_it():
    readiness = Readiness(
        score=0.35, state=ReadinessState.LOW, confidence=0.6, source=Source.MEASURED
    )
    texts = [note.text for note in state_notes(state(readiness=readiness), SETTINGS)]

    assert any("right: 0.35 of 1 (confidence 0.60)" in text for text in texts)


def test_emotions_that_could_not_be_read_are_not_told():
    notes = state_notes(state(model_status="unavailable"), SETTINGS)

    assert not any("emotions" in note.text for note in notes)


def test_the_profile_tells_what_holds_over_time():
    texts = [note.text for note in profile_notes(state(behaviour=BEHAVIOUR), SETTINGS)]

    assert "messages so far: 3; interactions: 12" in texts
    assert "share of recent answers that were right: 0.25" in texts
    assert "share of use that was video: 0.75" in texts
    assert not any("text" in text for text in texts)


def test_what_of_the_profile_is_told_first_is_a_setting():
    def worth(settings: ContextSettings) -> dict[str, float]:
        told = profile_notes(state(behaviour=BEHAVIOUR), settings)
        return {note.text.partition(":")[0]: note.worth for note in told}

    other = ContextSettings(worth={"counts": 0.9, "correct": 0.1})

    assert (
        worth(SETTINGS)["messages so far"]
        < worth(SETTINGS)["share of recent answers that were right"]
    )
    assert worth(other)["messages so far"] == 0.9
    assert worth(other)["share of recent answers that were right"] == 0.1


def test_every_worth_is_a_share():
    notes = [
        *state_notes(state(behaviour=BEHAVIOUR), SETTINGS),
        *profile_notes(state(behaviour=BEHAVIOUR), SETTINGS),
    ]

    assert all(0 <= note.worth <= 1 for note in notes)
