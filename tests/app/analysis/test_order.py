"""The order of one learner's records, from what the topics tell of it."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agents.runtime.topics import EMOTIONS, ERASURES, FEEDBACK, INTERACTIONS
from app.analysis.order import Journal, Move, Ordered, Source, applied, in_order
from app.analysis.rebuilding import states_of
from models.learner.config import LearnerSettings
from models.learner.record import FORMAT, PREVIOUS
from schemas.base import Message
from schemas.topics.state import UserState
from tests.models.learner.build import NOW, USER, batch, erasure, feedback, interaction, reading

SETTINGS = LearnerSettings()


def source(topic: str, offset: int, message: Message | bytes, at: int) -> Source:
    value = message.json_bytes() if isinstance(message, Message) else message
    return Source(topic, 3, offset, USER.encode(), value, [], at)


def story(drawn: random.Random, count: int) -> dict[str, deque[Source]]:
    """A learner's records by topic. Kafka's times are of no use: all the same."""
    topics: dict[str, deque[Source]] = {INTERACTIONS: deque(), EMOTIONS: deque(), FEEDBACK: deque()}
    for number in range(count):
        topic = drawn.choices(list(topics), [4, 3, 3])[0]
        offset = 3 * number
        moment = NOW + 10_000 * number
        message: Message
        if topic == INTERACTIONS:
            message = batch([interaction(f"i{number}", moment)], ingest=moment)
        elif topic == EMOTIONS:
            message = reading(
                7 * number, valence=drawn.random(), time=moment, ingest=moment, chat=f"c{number}"
            )
        else:
            message = feedback(f"f{number}", ingest=moment)
        topics[topic].append(source(topic, offset, message, NOW))
    return topics


class Worker:
    """Applies records like the learner worker, and writes what it writes."""

    def __init__(self, writes: int = FORMAT) -> None:
        self.writes = writes
        self.stored: bytes | None = None
        self.changelog: list[bytes] = []
        self.outputs: list[tuple[tuple[str, int], int]] = []
        self.states: list[UserState] = []

    def apply(self, one: Source) -> None:
        step = applied(Move(one, self.writes), self.stored, SETTINGS)
        assert step is not None
        if step.outputs is not None:
            made = step.outputs.recommendations
            self.outputs.append(((made.source_topic, made.source_offset), made.version))
        if step.changed:
            assert step.record is not None
            self.stored = step.record.to_bytes()
            self.changelog.append(self.stored)
            if step.outputs is not None:
                self.states.append(step.outputs.state)

    def journal(self, *, since: int = 0, outputs: bool = True) -> Journal:
        """since: the first record that compaction has left in the changelog."""
        journal = Journal()
        for value in self.changelog[since:]:
            journal.stored(value)
        for place, version in self.outputs if outputs else ():
            journal.output(place, version)
        return journal


def interleaved(drawn: random.Random, topics: dict[str, deque[Source]]) -> list[Source]:
    """Every order within a topic kept, and any order between them."""
    waiting = {topic: deque(records) for topic, records in topics.items() if records}
    order = []
    while waiting:
        topic = drawn.choice(list(waiting))
        order.append(waiting[topic].popleft())
        if not waiting[topic]:
            del waiting[topic]
    return order


def lived(seed: int, count: int = 25) -> tuple[list[Source], Worker]:
    drawn = random.Random(seed)
    order = interleaved(drawn, story(drawn, count))
    worker = Worker(writes=drawn.choice([PREVIOUS, FORMAT]))
    for one in order:
        worker.apply(one)
    return order, worker


@hypothesis_settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from(["both", "changelog", "outputs"]))
def test_whichever_topic_tells_the_order_the_states_are_those_that_were(
    seed: int, told_by: str
) -> None:
    order, worker = lived(seed)
    # Compaction leaves the newest.
    since = len(worker.changelog) - 1 if told_by == "outputs" else 0
    journal = worker.journal(since=since, outputs=told_by != "changelog")

    found = in_order(sorted(order, key=lambda one: one.topic), journal, SETTINGS)

    assert (found.exact, found.whole, found.pending) == (True, True, 0)
    assert states_of(found, SETTINGS) == worker.states


@hypothesis_settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(0, 19))
def test_where_the_first_events_are_gone_it_goes_on_from_a_stored_record(
    seed: int, gone: int, since: int
) -> None:
    order, worker = lived(seed)
    left = order[gone:]
    journal = worker.journal(since=since)

    found = in_order(left, journal, SETTINGS)

    states = states_of(found, SETTINGS)
    # From the record of before the first event that is left, or else from the oldest that stands.
    assert states == [one for one in worker.states if one.version > max(gone, since + 1)]
    assert found.exact or not states
    assert not found.whole or not states


def test_a_redelivery_after_a_crash_is_no_second_update() -> None:
    drawn = random.Random(4)
    order = interleaved(drawn, story(drawn, 20))
    worker = Worker()
    for one in order[:12]:
        worker.apply(one)
    sent = len(worker.outputs)
    del worker.outputs[sent - 3 :]  # killed behind the changelog, before the outputs
    for one in order[6:]:  # and its successor begins where the offsets were committed
        worker.apply(one)

    found = in_order(order, worker.journal(), SETTINGS)

    assert found.exact
    assert states_of(found, SETTINGS) == worker.states
    # Without the changelog the order of the three is not known, and that is said.
    assert not in_order(order, worker.journal(since=99), SETTINGS).exact


def test_outputs_sent_again_of_one_topic_leave_no_choice() -> None:
    topics = {INTERACTIONS: story(random.Random(2), 40)[INTERACTIONS]}
    order = list(topics[INTERACTIONS])
    worker = Worker()
    for one in order:
        worker.apply(one)
    # The last three come again with the version of the last: all of them were killed.
    del worker.outputs[-3:]
    for one in order[-3:]:
        worker.apply(one)
    assert [version for _, version in worker.outputs[-3:]] == [len(order)] * 3

    found = in_order(order, worker.journal(since=99), SETTINGS)

    assert (found.exact, found.whole) == (True, True)
    assert states_of(found, SETTINGS) == worker.states


def without_the_first(order: list[Source], worker: Worker, gone: int, since: int) -> Any:
    """Kafka has lost the first events and their outputs; `since` is as in `Worker.journal`."""
    left = order[gone:]
    places = {one.place for one in left}
    worker.outputs = [told for told in worker.outputs if told[0] in places]
    return in_order(left, worker.journal(since=since), SETTINGS)


@hypothesis_settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_where_the_first_events_and_outputs_are_gone_no_wrong_state_counts_as_exact(
    seed: int,
) -> None:
    order, worker = lived(seed, count=14)
    live = {state.version: state for state in worker.states}
    for gone in range(1, 13):
        for since in (99, len(worker.changelog) - 1, len(worker.changelog) - 3, gone + 1):
            found = without_the_first(order, worker, gone, since)
            wrong = [one for one in states_of(found, SETTINGS) if live.get(one.version) != one]
            assert not (wrong and found.exact), (gone, since, [one.version for one in wrong])


def test_feedback_at_the_end_does_not_take_the_version_of_a_first_event_that_is_gone() -> None:
    events = [
        source(INTERACTIONS, 0, batch([interaction("gone")]), NOW),
        source(INTERACTIONS, 1, batch([interaction("left")]), NOW),
        source(FEEDBACK, 0, feedback("f"), NOW),
    ]
    worker = Worker()
    for one in events:
        worker.apply(one)

    found = without_the_first(events, worker, 1, 2)

    # The state of version 2 counts two interactions, and one of them is nowhere any more.
    assert (found.exact, found.whole, states_of(found, SETTINGS)) == (True, False, [])
    # Where no stored record tells it either, it is said.
    assert not without_the_first(events, worker, 1, 99).exact


def test_outputs_of_later_versions_than_were_reached_show_that_events_are_gone() -> None:
    journal = Journal()
    for version in (1, 2):
        journal.output((INTERACTIONS, version), version)
    found = in_order([source(FEEDBACK, 0, feedback("f"), NOW)], journal, SETTINGS)
    assert (found.exact, found.whole) == (False, False)


def test_feedback_does_not_stand_in_for_an_event_that_is_gone() -> None:
    """Kafka has lost the first event; the versions alone would leave its place to the feedback."""
    moments = [NOW + 1_000 * number for number in range(4)]
    events = [
        source(INTERACTIONS, 0, batch([interaction("gone", moments[0])], ingest=moments[0]), NOW),
        source(INTERACTIONS, 1, batch([interaction("left", moments[1])], ingest=moments[1]), NOW),
        source(FEEDBACK, 0, feedback("f", ingest=moments[2]), NOW),
        source(INTERACTIONS, 2, batch([interaction("last", moments[3])], ingest=moments[3]), NOW),
    ]
    worker = Worker()
    for one in events:
        worker.apply(one)

    # The changelog has the record behind the feedback, and the last one.
    for since, states in ((2, worker.states[-1:]), (3, [])):
        found = in_order(events[1:], worker.journal(since=since), SETTINGS)
        assert not found.whole
        assert states_of(found, SETTINGS) == states
    # Without it the versions do not add up, and that is said.
    assert not in_order(events[1:], worker.journal(since=99), SETTINGS).exact


def test_stored_records_show_that_other_events_took_the_versions_of_those_that_are_gone() -> None:
    events = [
        source(INTERACTIONS, 0, batch([interaction("gone")]), NOW),
        source(INTERACTIONS, 1, batch([interaction("left")]), NOW),
        source(FEEDBACK, 0, feedback("f"), NOW),
        source(FEEDBACK, 1, feedback("g"), NOW),
    ]
    worker = Worker()
    for one in events:
        worker.apply(one)

    journal = worker.journal(since=99)
    journal.stored(worker.changelog[2])

    found = in_order(events[1:], journal, SETTINGS)

    assert (found.exact, found.whole) == (True, False)
    assert states_of(found, SETTINGS) == []


def test_an_erasure_leaves_no_state_of_before_whether_it_is_applied_or_not() -> None:
    order, worker = lived(9)
    forgotten = [*order, source(ERASURES, 0, erasure(NOW + 10_000_000), NOW)]
    assert states_of(in_order(forgotten, worker.journal(), SETTINGS), SETTINGS) == []
    worker.apply(forgotten[-1])
    after = source(INTERACTIONS, 10_000, batch([interaction("new")], ingest=NOW + 10_000_001), NOW)
    worker.apply(after)
    states = states_of(in_order([*forgotten, after], worker.journal(), SETTINGS), SETTINGS)
    assert states == worker.states[-1:]
    assert states[0].activity.interactions == 1


def erased_life() -> tuple[list[Source], Worker]:
    """Two batches, an erasure, and a batch of the life after it."""
    events = [
        source(INTERACTIONS, 0, batch([interaction("a")], ingest=NOW), NOW),
        source(INTERACTIONS, 1, batch([interaction("b")], ingest=NOW + 1), NOW),
        source(ERASURES, 0, erasure(NOW + 2), NOW),
        source(INTERACTIONS, 2, batch([interaction("c")], ingest=NOW + 3), NOW),
    ]
    worker = Worker()
    for one in events:
        worker.apply(one)
    return events, worker


@pytest.mark.parametrize("since", [0, 1, 2])
@pytest.mark.parametrize("lives_again", [True, False])
def test_the_marker_tells_of_an_erasure_whose_request_kafka_has_dropped(
    since: int, lives_again: bool
) -> None:
    events, worker = erased_life()
    if not lives_again:
        del events[3], worker.changelog[3], worker.outputs[2]
    left = [one for one in events if one.topic != ERASURES]

    found = in_order(left, worker.journal(since=since), SETTINGS)

    assert states_of(found, SETTINGS) == (worker.states[2:] if lives_again else [])
    # Nothing of this life is gone.
    assert (found.exact, found.whole, found.pending) == (True, True, 2)


def test_of_an_erased_learner_a_later_record_tells_it_too() -> None:
    events, worker = erased_life()
    left = [one for one in events if one.topic != ERASURES]
    found = in_order(left, worker.journal(since=3), SETTINGS)
    assert (found.exact, found.whole, states_of(found, SETTINGS)) == (True, False, [])


def test_a_start_behind_an_erasure_clears_the_states_of_before() -> None:
    events, worker = erased_life()
    marker = worker.changelog[2]
    moves = [Move(events[0], FORMAT), Move(None, FORMAT, marker), Move(events[3], FORMAT)]
    assert states_of(Ordered(moves), SETTINGS) == worker.states[2:]


def test_an_erasure_that_waits_behind_events_to_come_leaves_no_state_of_before() -> None:
    events, worker = erased_life()
    # The second batch came, and was applied, after the interactions had been gathered.
    found = in_order([events[0], events[2]], worker.journal(), SETTINGS)
    assert states_of(found, SETTINGS) == []


@pytest.mark.parametrize("value", [b"{", b'{"eventId":"e"}'])
def test_what_cannot_be_read_is_passed_over(value: bytes) -> None:
    order, worker = lived(1)
    poison: list[Any] = [source(topic, 1, value, NOW) for topic in (INTERACTIONS, EMOTIONS)]
    found = in_order([*order, *poison], worker.journal(), SETTINGS)
    assert (found.exact, found.pending) == (True, 2)
    assert states_of(found, SETTINGS) == worker.states


def test_events_that_came_while_others_were_gathered_end_the_story() -> None:
    order, worker = lived(6)
    at = next(n for n in range(15, 25) if order[n].topic == INTERACTIONS)
    gathered = [
        one for n, one in enumerate(order) if n < at or one.topic != INTERACTIONS
    ]  # the interactions were read first

    found = in_order(gathered, worker.journal(), SETTINGS)

    assert (found.exact, found.whole) == (True, True)
    assert states_of(found, SETTINGS) == [one for one in worker.states if one.version <= at]
