"""The oracle agrees with a worker that does all right, and finds each thing done wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from agents.runtime.topics import CHAT, EMOTIONS, ERASURES, FEEDBACK, INTERACTIONS
from models.learner.config import LearnerSettings
from models.learner.record import LearnerRecord
from models.learner.update import (
    Position,
    Step,
    apply_emotion,
    apply_feedback,
    apply_interactions,
)
from schemas.base import Message
from schemas.topics.actions import FeedbackReceived
from schemas.topics.chat import ChatReceived
from schemas.topics.emotions import PAD, EmotionRead
from schemas.topics.interactions import Interaction, InteractionsReceived
from schemas.topics.operations import ErasureRequested
from tests.crash import oracle
from tests.crash.driver import Load, Sent, plan
from tests.crash.reader import reading_of
from tests.topics import Record

pytestmark = pytest.mark.crash

SETTINGS = LearnerSettings()
DECAYS = oracle.Decays(
    session=SETTINGS.evidence.session_half_life,
    long=SETTINGS.evidence.long_half_life,
    trend=SETTINGS.trajectory.half_life,
    skew=SETTINGS.evidence.skew,
)
START = 1_700_000_000_000


def as_record(user: str, message: Message | bytes, offset: int) -> Record:
    value = message.json_bytes() if isinstance(message, Message) else message
    return Record(0, offset, user.encode(), value, {})


class Chain:
    """The input of one partition, and what a worker makes of it."""

    def __init__(self, seed: int, ends: Sequence[int] = ()) -> None:
        """ends: numbers of records after which its learner is put away."""
        self.latest_end = START + 86_400_000
        offsets = dict.fromkeys((INTERACTIONS, CHAT, FEEDBACK), 0)
        self.sent: list[Sent] = []
        for record in plan(Load(seed=seed, records=400, users=8), START):
            self.sent.append(Sent(record.topic, 0, offsets[record.topic], record.message))
            offsets[record.topic] += 1
        self.readings = [read(sent) for sent in self.sent if sent.topic == CHAT]
        self.changelog: list[Record] = []
        self.states: dict[str, dict] = {}
        records: dict[str, LearnerRecord] = {}
        for number, sent in enumerate(interleaved(self.sent, random.Random(seed))):
            user = sent.message.user_id
            step = apply(records.get(user), sent)
            assert step.record is not None
            records[user] = step.record
            self.changelog.append(as_record(user, step.record.to_bytes(), len(self.changelog)))
            if step.outputs is not None:
                self.states[user] = step.outputs.state.document()
            if number in ends:
                place = len(self.changelog)
                self.changelog.append(Record(0, place, user.encode(), None, {}))
                del records[user], self.states[user]

    def problems(self) -> list[str]:
        readings, wrong = oracle.first_readings(
            [as_record(r.user_id, r, i) for i, r in enumerate(self.readings)]
        )
        sources = {
            topic: [
                as_record(s.message.user_id, s.message, s.offset)
                for s in self.sent
                if s.topic == topic
            ]
            for topic in (INTERACTIONS, CHAT, FEEDBACK)
        }
        changelog = oracle.check_changelog(self.changelog)
        wanted, unread = oracle.expected(oracle.of_life(sources, changelog.ended), readings, DECAYS)
        wrong += unread + changelog.wrong
        wrong += oracle.check_lives(sources, readings, DECAYS, changelog.ended, self.latest_end)
        for user, want in wanted.items():
            wrong += oracle.check_record(user, want, changelog.latest[user], DECAYS)
            wrong += oracle.check_state(user, want, self.states[user], DECAYS)
        return wrong


def read(sent: Sent) -> EmotionRead:
    message = sent.message
    reading = reading_of(message.text)  # type: ignore[attr-defined]
    return EmotionRead(
        event_id=message.event_id,
        user_id=message.user_id,
        event_time=message.event_time,
        ingest_time=message.ingest_time,
        clock_offset=message.clock_offset,
        caused_by=(message.event_id,),
        source_topic=CHAT,
        source_partition=0,
        source_offset=sent.offset,
        probabilities=reading.probabilities,
        top=reading.top,
        pad=PAD(valence=reading.valence, arousal=reading.arousal, dominance=reading.dominance),
    )


def interleaved(sent: list[Sent], chance: random.Random) -> list[Sent]:
    """Any order that keeps each topic's own."""
    queues = [[s for s in sent if s.topic == t] for t in (INTERACTIONS, CHAT, FEEDBACK)]
    order: list[Sent] = []
    while any(queues):
        queue = chance.choices(queues, [len(q) for q in queues])[0]
        order.append(queue.pop(0))
    return order


def apply(record: LearnerRecord | None, sent: Sent) -> Step:
    position = Position(sent.topic, sent.partition, sent.offset)
    if sent.topic == INTERACTIONS:
        return apply_interactions(record, sent.message, position, SETTINGS)  # type: ignore[arg-type]
    if sent.topic == CHAT:
        return apply_emotion(record, read(sent), SETTINGS)
    return apply_feedback(record, sent.message, position, SETTINGS)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(4))
def test_it_agrees_with_the_update_in_any_order_of_the_topics(seed: int) -> None:
    assert Chain(seed).problems() == []


@pytest.mark.parametrize("topic", [INTERACTIONS, CHAT, FEEDBACK])
def test_it_finds_a_lost_record(topic: str) -> None:
    chain = Chain(9)
    more = next(s for s in reversed(chain.sent) if s.topic == topic)
    # One more was accepted than the worker has seen.
    fresh = more.message.model_copy(update={"event_id": "never-applied"})
    if topic == INTERACTIONS:
        first = more.message.interactions[0]  # type: ignore[attr-defined]
        only = (first.model_copy(update={"event_id": None}),)
        fresh = fresh.model_copy(update={"interactions": only})
    lost = Sent(topic, 0, more.offset + 1, fresh)
    chain.sent.append(lost)
    if topic == CHAT:
        chain.readings.append(read(lost))
    assert any("version" in problem for problem in chain.problems())
    assert len(chain.problems()) > 1


def test_it_finds_a_record_that_counted_twice() -> None:
    chain = Chain(9)
    last = chain.changelog[-1]
    assert last.value is not None
    record = LearnerRecord.from_bytes(last.value)
    evidence = replace(record.evidence, interactions=record.evidence.interactions + 1)
    chain.changelog[-1] = replace(last, value=replace(record, evidence=evidence).to_bytes())
    assert any("interactions" in problem for problem in chain.problems())


def test_it_finds_a_sum_that_is_off_by_a_ten_thousandth() -> None:
    chain = Chain(9)
    last = chain.changelog[-1]
    assert last.value is not None
    record = LearnerRecord.from_bytes(last.value)
    session = (*record.evidence.session[:7], record.evidence.session[7] * (1 + 1e-4))
    evidence = replace(record.evidence, session=session + record.evidence.session[8:])
    chain.changelog[-1] = replace(last, value=replace(record, evidence=evidence).to_bytes())
    assert any("denominator" in problem for problem in chain.problems())


@pytest.mark.parametrize("seed", range(1, 4))
def test_what_is_told_again_from_the_stored_record_is_the_same(seed: int) -> None:
    # A worker that died before it committed reads its record back, and the input again.
    chain = Chain(seed)
    records: dict[str, LearnerRecord] = {}
    for sent in interleaved(chain.sent, random.Random(seed)):
        user = sent.message.user_id
        step = apply(records.get(user), sent)
        assert step.record is not None
        records[user] = LearnerRecord.from_bytes(step.record.to_bytes())
        assert records[user] == step.record
        assert apply(records[user], sent).outputs == step.outputs


def test_it_follows_who_was_put_away_and_came_back() -> None:
    ends = (40, 41, 42, 150, 151, 152, 153, 260)
    chain = Chain(5, ends)
    assert sum(record.value is None for record in chain.changelog) == len(ends)
    assert chain.problems() == []
    # Too early: an event of the day that counts is in the record
    chain.latest_end = START
    assert any("too early" in problem for problem in chain.problems())


def test_it_finds_an_update_that_a_tombstone_lost() -> None:
    chain = Chain(5, (150,))
    at = next(n for n, record in enumerate(chain.changelog) if record.value is None)
    # The record before the tombstone was written by nobody
    tombstone, last = chain.changelog[at], chain.changelog[at - 1]
    assert last.key == tombstone.key
    chain.changelog[at - 1] = replace(tombstone, offset=last.offset)
    chain.changelog.pop(at)
    assert chain.problems() != []
    # And a tombstone of nobody
    twice = Chain(5, (150,))
    twice.changelog.insert(at + 1, replace(twice.changelog[at]))
    assert any("of no record" in problem for problem in twice.problems())


def test_it_finds_a_stale_write() -> None:
    chain = Chain(9)
    chain.changelog.append(replace(chain.changelog[0], offset=len(chain.changelog)))
    assert any("stands behind" in problem for problem in chain.problems())


def test_it_finds_a_message_that_was_not_read_and_one_read_differently() -> None:
    chain = Chain(9)
    other = chain.readings[0].model_copy(update={"pad": PAD(valence=0, arousal=0, dominance=0)})
    chain.readings.append(other)
    chain.readings.pop(1)
    problems = chain.problems()
    assert any("read twice" in problem for problem in problems)
    assert any("was not read" in problem for problem in problems)


def test_it_finds_two_bodies_of_one_version() -> None:
    message = Chain(9).readings[0]
    one = as_record("ada", message, 0)
    other = as_record("ada", message.model_copy(update={"model_version": "x"}), 1)
    assert oracle.contradictions([one, one], EMOTIONS, ("userId",)) == []
    assert len(oracle.contradictions([one, other], EMOTIONS, ("userId",))) == 1


# -- ids by kind, and erasures ------------------------------------------------------------


def one_of_each(id_: str, ingest: int) -> dict[str, Message]:
    head = {"user_id": "ada", "event_time": ingest, "ingest_time": ingest}
    click = Interaction(event_id=id_, timestamp=ingest, interaction_type="click")
    return {
        INTERACTIONS: InteractionsReceived(
            event_id=f"batch {ingest}", interactions=(click,), **head
        ),
        CHAT: ChatReceived(event_id=id_, text="again", **head),
        FEEDBACK: FeedbackReceived(
            event_id=id_, target_type="reply", target_id="r", outcome="helpful", **head
        ),
    }


def wanted(*moments: int, erased_at: int | None = None) -> oracle.Expected:
    """What the oracle expects of one id, sent of each kind at each of these moments."""
    sources: dict[str, list[Record]] = {INTERACTIONS: [], CHAT: [], FEEDBACK: [], ERASURES: []}
    readings = []
    for offset, moment in enumerate(moments):
        for topic, message in one_of_each("1", moment).items():
            sources[topic].append(as_record("ada", message, offset))
            if topic == CHAT:
                readings.append(read(Sent(CHAT, 0, offset, message)))  # type: ignore[arg-type]
    if erased_at is not None:
        erasure = ErasureRequested(
            event_id="erasure", user_id="ada", event_time=erased_at, ingest_time=erased_at
        )
        sources[ERASURES].append(as_record("ada", erasure, 0))
    first, wrong = oracle.first_readings([as_record("ada", r, i) for i, r in enumerate(readings)])
    expected, unread = oracle.expected(sources, first, DECAYS)
    assert wrong + unread == []
    return expected["ada"]


def test_an_id_counts_once_of_each_kind() -> None:
    want = wanted(START, START + 10)
    assert (want.interactions, want.messages, want.feedback) == (1, 1, {"reply": 1})
    assert want.records == 6


def test_what_came_up_to_an_erasure_counts_neither_then_nor_as_seen() -> None:
    want = wanted(START, START + 10, erased_at=START)
    assert (want.interactions, want.messages, want.feedback) == (1, 1, {"reply": 1})
    assert want.newest == START + 10
    assert wanted(START, erased_at=START).events == []
