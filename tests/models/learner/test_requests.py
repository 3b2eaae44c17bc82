"""When the tutor is asked for words, and that a repeat asks for the same."""

from __future__ import annotations

import pytest

from models.ids import reply_id
from models.learner.config import TutorRequestSettings
from models.learner.update import Outputs, Step, apply_emotion, apply_interactions
from schemas.topics.emotions import Emotion, EmotionRead
from schemas.topics.tutor import RequestKind, TutorRequested
from schemas.vocabulary import Level
from tests.models.learner.build import SETTINGS, USER, at, batch, interaction, reading

ALL = SETTINGS.model_copy(update={"tutor": TutorRequestSettings(reply_to_all=True)})


def asking(offset: int, wants: bool | None, **fields) -> EmotionRead:
    return reading(offset, **fields).model_copy(update={"wants_reply": wants})


def outputs(step: Step) -> Outputs:
    assert step.outputs is not None
    return step.outputs


def requests(step: Step) -> tuple[TutorRequested, ...]:
    return outputs(step).requests


@pytest.mark.parametrize(
    ("wants", "settings", "number"),
    [
        (True, SETTINGS, 1), (None, SETTINGS, 0), (False, SETTINGS, 0),
        (True, ALL, 1), (None, ALL, 1), (False, ALL, 0),
    ],
)  # fmt: skip
def test_a_message_is_replied_to_as_it_says_or_else_as_the_settings_say(wants, settings, number):
    assert len(requests(apply_emotion(None, asking(1, wants), settings))) == number


def test_a_request_names_the_place_of_its_message_and_holds_the_state():
    step = apply_emotion(None, asking(7, True, probabilities={Emotion.CONFUSION: 0.75}), SETTINGS)
    (request,) = requests(step)
    assert request.kind is RequestKind.CHAT
    assert request.caused_by == ("chat-7",)
    place = (request.source_topic, request.source_partition, request.source_offset)
    assert place == ("chat-messages", 3, 7)
    assert request.reply_id == reply_id("chat-7", USER)
    assert request.state == outputs(step).state
    assert request.reading == {Emotion.CONFUSION: 0.75}


def test_an_unread_message_is_replied_to_as_well():
    (request,) = requests(apply_emotion(None, asking(1, True, status="unavailable"), SETTINGS))
    assert request.reading == {}


def test_redelivery_and_retry_ask_for_the_same_reply():
    first = apply_emotion(None, asking(1, True), SETTINGS)
    again = apply_emotion(first.record, asking(1, True), SETTINGS)
    retried = apply_emotion(first.record, asking(2, True, chat="chat-1"), SETTINGS)
    ids = {
        (one.event_id, one.reply_id) for step in (first, again, retried) for one in requests(step)
    }
    assert len(ids) == 1


def raised(level: Level, *, wants: bool | None = None) -> tuple[Outputs, Outputs]:
    """Outputs of an update that raises an intervention, and of the same update again."""
    settings = SETTINGS.model_copy(update={"tutor": TutorRequestSettings(words_at=(level,))})
    record = None
    for offset in range(1, 30):
        low = asking(
            offset, wants, valence=0.05, probabilities={Emotion.DISTRESS: 1.0}, time=10**12 + offset
        )
        step = apply_emotion(record, low, settings)
        record = step.record
        if any(one.level is level for one in outputs(step).interventions):
            return outputs(step), outputs(apply_emotion(record, low, settings))
    raise AssertionError(f"nothing raised {level}")


def test_an_intervention_of_a_level_that_wants_words_asks_for_them():
    first, again = raised(Level.CRITICAL)
    (intervention,) = first.interventions
    (request,) = first.requests
    assert request.kind is RequestKind.INTERVENTION
    assert (request.level, request.because) == (Level.CRITICAL, intervention.because)
    assert request.reply_id == reply_id(intervention.event_id, USER)
    assert [one.reply_id for one in again.requests] == [request.reply_id]


def test_who_asks_is_answered_once_whatever_is_raised_beside_it():
    first, _ = raised(Level.CRITICAL, wants=True)
    assert first.interventions
    assert [one.kind for one in first.requests] == [RequestKind.CHAT]


def test_interactions_ask_for_nothing():
    step = apply_interactions(None, batch([interaction("a")]), at(0), ALL)
    assert requests(step) == ()
