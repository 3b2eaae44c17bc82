"""Hints add up, decay, are forgotten, and are never counted twice."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.emotion.config import ConcernSettings
from models.emotion.hints import Alarm, Hints, Place
from schemas.topics.concerns import Evidence

HOUR = 3_600_000
NOW = 1_700_000_000_000
SETTINGS = ConcernSettings(
    at=0.6, hints_at=1.0, hint_from=0.1, half_life=3_600, kept=86_400, learners=3
)
ALONE = Alarm(Evidence.MESSAGE, None)


class Talk:
    """A learner's messages, one behind the other, read by one worker."""

    def __init__(self, hints: Hints | None = None, user: str = "ada") -> None:
        self.hints = Hints(SETTINGS) if hints is None else hints
        self.user = user
        self.offset = -1

    def says(self, probability: float, at: int = NOW, offset: int | None = None) -> Alarm | None:
        if offset is None:
            offset = self.offset = self.offset + 1
        return self.hints.read(self.user, Place(0, offset, at), probability, at)


def weight(alarm: Alarm | None) -> float:
    assert alarm is not None
    assert alarm.source is Evidence.MESSAGES
    assert alarm.weight is not None
    return alarm.weight


def test_hints_that_are_too_weak_each_are_enough_together():
    talk = Talk()
    assert [talk.says(0.4), talk.says(0.05)] == [None, None]
    assert weight(talk.says(0.4)) == pytest.approx(-2 * math.log(0.6))


def test_one_message_at_the_operating_point_is_enough_and_a_weaker_one_is_not():
    assert Talk().says(0.6) == ALONE
    assert Talk().says(0.5999) is None


def test_below_the_least_hint_nothing_adds_up_or_is_remembered():
    talk = Talk()
    assert {talk.says(0.0999) for _ in range(500)} == {None}
    assert talk.says(math.nan) is None
    assert len(talk.hints) == 0


def test_the_sum_halves_with_each_half_life_between_the_messages():
    talk = Talk()
    each = -math.log(0.55)
    assert talk.says(0.45, NOW) is None
    assert talk.says(0.45, NOW + HOUR) is None
    assert talk.says(0.45, NOW + 3 * HOUR) is None
    expected = (each / 2 + each) / 4 + each - math.log(0.8)
    assert weight(talk.says(0.2, NOW + 3 * HOUR)) == pytest.approx(expected)


def test_a_clock_that_goes_back_makes_no_sum_grow():
    talk = Talk()
    talk.says(0.5, NOW)
    alarm = talk.says(0.5, NOW - 100 * HOUR)
    assert weight(alarm) == pytest.approx(2 * math.log(2))


def test_one_story_raises_one_alarm():
    talk = Talk()
    alarms = [talk.says(0.4) for _ in range(6)]
    assert [alarm is not None for alarm in alarms] == [False, True] * 3, "each after a new sum"
    # So does a message that is enough by itself
    talk.says(0.4)
    assert talk.says(0.9) == ALONE
    assert talk.says(0.4) is None


def test_a_message_that_comes_again_adds_nothing_and_raises_the_same():
    talk = Talk()
    talk.says(0.5)
    assert {talk.says(0.5, offset=0) for _ in range(5)} == {None}
    first = talk.says(0.5)
    assert weight(first) == pytest.approx(2 * math.log(2))
    assert talk.says(0.5, offset=0) is None
    assert talk.says(0.5, offset=1) == first
    assert talk.says(0.5) is None, "it began anew with the alarm"
    assert talk.says(0.9, offset=1) == ALONE


def test_learners_are_apart_and_the_oldest_makes_room():
    hints = Hints(SETTINGS)
    talks = {user: Talk(hints, user) for user in ("ada", "bob", "eve", "kim")}
    for talk in talks.values():
        assert talk.says(0.5) is None
    assert len(hints) == 3
    assert talks["ada"].says(0.5) is None, "forgotten for kim"
    assert weight(talks["kim"].says(0.5)) == pytest.approx(2 * math.log(2))


def test_after_its_time_a_sum_is_gone():
    talk = Talk()
    talk.says(0.5)
    talk.hints.expire(NOW + 24 * HOUR)
    assert len(talk.hints) == 1
    talk.hints.expire(NOW + 24 * HOUR + 1)
    assert len(talk.hints) == 0
    # By the messages' times, too, where a backlog is read at once
    slow = Talk(Hints(SETTINGS.model_copy(update={"half_life": 1e12})))
    slow.says(0.5, NOW)
    assert slow.hints.read("ada", Place(0, 1, NOW + 25 * HOUR), 0.5, NOW) is None


def test_messages_without_a_hint_do_not_keep_a_sum_alive():
    talk = Talk()
    talk.says(0.5)
    for hour in range(1, 25):
        talk.says(0.0, NOW + hour * HOUR)
    talk.says(0.0, NOW + 24 * HOUR + 1)
    assert len(talk.hints) == 0


def test_an_erasure_forgets_and_what_came_before_it_adds_nothing():
    talk = Talk()
    talk.says(0.5)
    talk.hints.forget("ada", 0, NOW + 10, NOW + 10)
    assert {talk.says(0.5, NOW + 10) for _ in range(5)} == {None}
    assert talk.says(0.5, NOW + 11) is None
    assert weight(talk.says(0.5, NOW + 12)) == pytest.approx(2 * math.log(2), abs=1e-3)


def test_a_partition_that_went_to_another_worker_is_forgotten_even_if_it_comes_back():
    hints = Hints(SETTINGS)
    hints.assign({0, 1})
    ada, bob = Talk(hints), Talk(hints, "bob")
    ada.says(0.5)
    hints.read("bob", Place(1, 0, NOW), 0.5, NOW)
    hints.assign({1})
    assert len(hints) == 1
    assert ada.says(0.5) is None, "what was under way is the other worker's"
    assert len(hints) == 1
    hints.assign({0, 1})
    assert ada.says(0.5) is None
    bob.offset = 0
    assert weight(hints.read("bob", Place(1, 1, NOW), 0.5, NOW)) > 1


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 50 * HOUR)), max_size=30),
    st.lists(st.integers(0, 29), max_size=10),
)
def test_what_comes_again_changes_nothing(messages, again):
    """Whatever is delivered again, and in whatever order, alarms are those of one delivery."""
    once, twice = Hints(SETTINGS), Hints(SETTINGS)
    for index, (probability, passed) in enumerate(messages):
        place = Place(0, index, NOW + passed)
        expected = once.read("ada", place, probability, NOW)
        assert twice.read("ada", place, probability, NOW) == expected
        for offset in again:
            if offset <= index:
                old, at = messages[offset]
                twice.read("ada", Place(0, offset, NOW + at), old, NOW)


def test_a_hint_is_less_than_what_is_enough():
    with pytest.raises(ValidationError, match=r"hint_from must be below emotion\.concern\.at"):
        ConcernSettings(at=0.3, hint_from=0.3)
