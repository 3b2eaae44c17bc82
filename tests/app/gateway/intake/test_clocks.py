"""Two devices of one learner, one of them with a wrong clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gateway.auth.admission import Sender
from app.gateway.auth.tokens import Principal
from app.gateway.intake.clocks import DeviceClock
from app.gateway.intake.events import Batch, Submission, plan, read_interactions
from app.gateway.intake.intake import clock_offset
from app.settings import ClockSettings
from models.learner.config import LearnerSettings
from models.learner.record import LearnerRecord
from models.learner.state import summarise
from models.learner.update import Position, apply_emotion, apply_interactions
from schemas.topics.chat import ChatReceived
from schemas.topics.emotions import PAD, Emotion, EmotionRead
from schemas.topics.interactions import InteractionsReceived
from schemas.vocabulary import Role
from schemas.wire.client import ChatMessage, Feedback, InteractionBatch

NOW = 1_800_000_000_000
MINUTE = 60_000
BOUNDS = ClockSettings()
LEARNER = LearnerSettings()
WRONG = st.integers(30, 180).flatmap(lambda minutes: st.sampled_from([minutes, -minutes]))


def chat(happened: int, sent_at: int | None = None) -> ChatMessage:
    return ChatMessage(id="m", timestamp=happened, text="hm", sent_at=sent_at)


def batch(*happened: int, sent_at: int | None = None) -> Batch:
    interactions = [{"timestamp": one, "interactionType": "click"} for one in happened]
    document = {"id": "b", "interactions": interactions, "sentAt": sent_at}
    return Batch.of(*read_interactions(InteractionBatch, document))


# -- what a clock is off by --------------------------------------------------------------------


@given(st.integers(-(10**9), 10**9), st.integers(0, 10**9))
def test_sent_at_tells_the_clock_whatever_the_events_say(off, age):
    for clock in (DeviceClock(), DeviceClock(BOUNDS)):
        sent = NOW - off
        assert clock.offset(chat(sent - age, sent), NOW) == off
        assert clock.offset(batch(sent - age, sent_at=sent), NOW) == off


@pytest.mark.parametrize(
    ("behind", "corrected"),
    [
        (0, False), (5 * MINUTE - 1, False), (5 * MINUTE, True), (180 * MINUTE, True),
        (12 * 60 * MINUTE, True), (12 * 60 * MINUTE + 1, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("sign", [1, -1], ids=["slow", "fast"])
def test_without_sent_at_a_clock_is_guessed_within_the_bounds(behind, corrected, sign):
    clock = DeviceClock(BOUNDS)
    found = clock.offset(chat(NOW - sign * behind), NOW)
    assert found == (sign * behind if corrected else 0)


def test_the_message_that_was_on_its_way_for_the_shortest_time_tells_best():
    clock = DeviceClock(BOUNDS)
    slow = 40 * MINUTE
    assert clock.offset(batch(NOW - slow - 90_000, NOW - slow - 60_000), NOW) == slow + 60_000
    assert clock.offset(chat(NOW - slow), NOW) == slow
    assert clock.offset(chat(NOW - slow - 30_000), NOW) == slow
    # One good message shows that the clock is right, and the others were late.
    assert clock.offset(chat(NOW), NOW) == 0
    assert clock.offset(chat(NOW - slow), NOW) == 0


def test_feedback_has_no_time_to_guess_by():
    rated = Feedback(id="f", target_type="reply", target_id="r", outcome="helpful")
    assert DeviceClock(BOUNDS).offset(rated, NOW) == 0


def test_without_bounds_nothing_is_guessed():
    assert DeviceClock().offset(chat(NOW - 60 * MINUTE), NOW) == 0


# -- what it does to the state -----------------------------------------------------------------


class Learner:
    """A record, and what two devices send for it. Minute by minute."""

    def __init__(self) -> None:
        self.record = LearnerRecord()
        self.offsets = {"interactions": 0, "chat-messages": 0}

    def says(self, valence: float, clock: DeviceClock, off: int, at: int, **more: Any) -> None:
        """A message at the real time `at`, from a device whose clock is `off` behind."""
        sent = at - off
        message = chat(sent - more.get("age", 0), sent if more.get("tells") else None)
        record = self._produced(message, clock, at)
        assert isinstance(record, ChatReceived)
        assert record.event_time == message.timestamp, "the time stays as it was given"
        reading = EmotionRead(
            event_id=f"{at}",
            user_id="ada",
            event_time=record.event_time,
            ingest_time=record.ingest_time,
            clock_offset=record.clock_offset,
            source_topic="chat-messages",
            source_partition=0,
            source_offset=self._next("chat-messages"),
            probabilities={Emotion.JOY if valence > 0.5 else Emotion.ANGER: 0.9},
            pad=PAD(valence=valence, arousal=0.5, dominance=0.5),
        )
        self.record = apply_emotion(self.record, reading, LEARNER).record or self.record

    def does(self, clock: DeviceClock, off: int, at: int) -> None:
        record = self._produced(batch(at - off), clock, at)
        assert isinstance(record, InteractionsReceived)
        position = Position("interactions", 0, self._next("interactions"))
        self.record = apply_interactions(self.record, record, position, LEARNER).record or (
            self.record
        )

    def _produced(self, message: Submission, clock: DeviceClock, at: int) -> Any:
        planned = plan(message, "ada", at, clock.offset(message, at))
        return planned.record(planned.event_ids)

    def _next(self, topic: str) -> int:
        self.offsets[topic] += 1
        return self.offsets[topic]


def after_a_good_and_a_bad_device(off: int, *, tells: bool = False, age: int = 0) -> Any:
    """Three happy messages from one device, then five furious ones from another."""
    learner, laptop, tablet = Learner(), DeviceClock(BOUNDS), DeviceClock(BOUNDS)
    for minute in range(3):
        learner.says(0.8, laptop, 0, NOW + minute * MINUTE, tells=tells)
    for minute in range(3, 8):
        at = NOW + minute * MINUTE
        learner.says(0.1, tablet, off, at, tells=tells, age=age)
        learner.does(tablet, off, at)
    return summarise(learner.record, LEARNER)


@given(WRONG, st.booleans())
def test_a_wrong_clock_does_not_turn_the_trajectory(minutes, tells):
    good = after_a_good_and_a_bad_device(0)
    wrong = after_a_good_and_a_bad_device(minutes * MINUTE, tells=tells)
    assert good.trajectory.call == "declining"
    assert wrong.trajectory.call == good.trajectory.call
    assert wrong.trajectory.slope == pytest.approx(good.trajectory.slope)
    assert wrong.valence.value == pytest.approx(good.valence.value)
    assert wrong.valence.confidence == pytest.approx(good.valence.confidence)


def test_three_hours_offline_sent_with_sent_at_moves_nothing():
    offline = 180 * MINUTE
    learner, clock = Learner(), DeviceClock(BOUNDS)
    learner.says(0.1, clock, 0, NOW, tells=True, age=offline)
    assert learner.record.evidence.newest == NOW - offline


@pytest.mark.parametrize("role", [Role.SERVICE, Role.ADMIN])
def test_whoever_passes_events_on_is_never_corrected(role):
    principal = Principal("lms", role, consent=True, learners=frozenset(), expires_at=2e9)
    sender = Sender(principal, "ada", clock=DeviceClock(BOUNDS))
    assert clock_offset(chat(NOW - 60 * MINUTE), sender, NOW) == 0
    assert clock_offset(chat(NOW - 60 * MINUTE, NOW - 30 * MINUTE), sender, NOW) == 0
