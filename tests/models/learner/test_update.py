"""The update: nothing counts twice, nothing an erased learner sent counts, all stays in range."""

from __future__ import annotations

import copy
import math
import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.learner.evidence import EMOTION_WEIGHT, Measure
from models.learner.guards import may_forget
from models.learner.record import FORMAT, PREVIOUS, Header, LearnerRecord, header_of
from models.learner.seen import EventId, Kind
from models.learner.update import (
    Effect,
    Outputs,
    SourceUnknown,
    Step,
    apply_emotion,
    apply_erasure,
    apply_feedback,
    apply_interactions,
    derived_id,
)
from schemas.topics.actions import TargetType
from schemas.topics.emotions import PAD, Emotion, EmotionRead, Unread
from schemas.topics.state import Source, UserState
from tests.models.learner.build import (
    NOW,
    SETTINGS,
    TIMES,
    USER,
    at,
    batch,
    erasure,
    feedback,
    fold,
    interaction,
    interactions_at,
    reading,
    readings_at,
)

DAY = 86_400_000


def outputs(step: Step) -> Outputs:
    assert step.outputs is not None
    return step.outputs


def record(step: Step) -> LearnerRecord:
    assert step.record is not None
    return step.record


def low_and_sure() -> LearnerRecord:
    """A learner about whom an intervention of level mild is due with the next low message."""
    return record(fold([reading(0, valence=0.1)]))


# -- applied ------------------------------------------------------------------------------


def test_a_batch_answers_with_the_ids_of_its_interactions_and_its_place() -> None:
    step = apply_interactions(None, batch([interaction("a"), interaction("b")]), at(7), SETTINGS)

    assert (step.effect, step.changed, record(step).version) == (Effect.APPLIED, True, 1)
    for message in (outputs(step).state, outputs(step).recommendations):
        assert message.caused_by == ("a", "b")
        assert message.version == 1
        assert (message.source_topic, message.source_partition) == ("interactions", 3)
        assert message.source_offset == 7
        assert (message.event_time, message.ingest_time) == (NOW, NOW)
    assert outputs(step).state.activity.interactions == 2
    assert outputs(step).state.valence.source is Source.PRIOR
    assert outputs(step).state.valence.value == SETTINGS.confidence.prior_valence


def test_a_reading_answers_with_the_chats_id_and_the_chats_place() -> None:
    state = outputs(apply_emotion(None, reading(4, valence=0.8), SETTINGS)).state

    assert state.caused_by == ("chat-4",)
    assert (state.source_topic, state.source_offset) == ("chat-messages", 4)
    assert state.valence.value == pytest.approx(0.8, abs=1e-6)
    assert state.valence.source is Source.MEASURED
    assert state.valence.confidence == 0.5  # one message, messages_half 1
    assert state.emotions == {Emotion.NEUTRAL: 1.0}


def test_confidence_falls_while_nothing_is_said() -> None:
    later = [
        batch([interaction(f"i{m}", NOW + m * 60_000)], batch_id=f"{m}", ingest=NOW + m * 60_000)
        for m in range(1, 4)
    ]
    confidences = [
        outputs(fold([reading(0, valence=0.8), *later[:count]])).state.valence.confidence
        for count in range(4)
    ]
    assert confidences == sorted(confidences, reverse=True)
    assert len(set(confidences)) == 4


def test_the_input_record_is_untouched() -> None:
    before = low_and_sure()
    kept = copy.deepcopy(before)
    apply_interactions(before, batch([interaction("a")]), at(0), SETTINGS)
    apply_emotion(before, reading(1, valence=0.1), SETTINGS)
    apply_feedback(before, feedback(), at(0, "feedback"), SETTINGS)
    apply_erasure(before, erasure(), at(0, "erasures"), SETTINGS)
    assert before == kept


def test_a_reading_without_its_chats_place_is_refused() -> None:
    with pytest.raises(SourceUnknown, match="reading-1"):
        apply_emotion(
            None,
            EmotionRead(event_id="reading-1", user_id=USER, event_time=NOW, ingest_time=NOW),
            SETTINGS,
        )


def test_an_unavailable_reading_marks_the_state_and_leaves_the_evidence() -> None:
    before = low_and_sure()

    gone = apply_emotion(before, reading(1, status="unavailable"), SETTINGS)
    clicked = apply_interactions(record(gone), batch([interaction("a")]), at(0), SETTINGS)
    back = apply_emotion(record(clicked), reading(2), SETTINGS)

    assert record(gone).evidence == before.evidence
    assert record(gone).applied["chat-messages"] == 1
    assert record(gone).seen.unseen([EventId(Kind.MESSAGE, "chat-1")]) == []
    statuses = [outputs(step).state.model_status for step in (gone, clicked, back)]
    assert statuses == ["unavailable", "unavailable", "ok"]


@pytest.mark.parametrize("reason", Unread)
def test_ten_messages_that_cannot_be_read_leave_what_was_known(reason: Unread) -> None:
    # Given five angry messages
    minute = 60_000
    angry = [
        reading(n, valence=0.1, time=NOW + n * minute, probabilities={Emotion.ANGER: 0.9})
        for n in range(5)
    ]
    # When ten follow that are no evidence
    unread = [
        reading(5 + n, status="unavailable", reason=reason, time=NOW + (5 + n) * minute)
        for n in range(10)
    ]
    before, after = outputs(fold(angry)).state, outputs(fold([*angry, *unread])).state
    # Then the state is as it was, and says why it has not heard of them
    for name in ("valence", "arousal", "dominance", "emotions", "trajectory", "activity"):
        assert getattr(after, name) == getattr(before, name), name
    assert (after.model_status, after.model_reason) == ("unavailable", reason)
    # And as it would be without them, once something comes that is evidence
    late = batch([interaction("a", NOW + 20 * minute)], ingest=NOW + 20 * minute)
    with_them = outputs(fold([*angry, *unread, late])).state
    without = outputs(fold([*angry, late])).state
    assert with_them.valence == without.valence
    assert with_them.valence.confidence < before.valence.confidence
    assert with_them.model_reason is reason
    # And a message that is read takes the reason away
    back = outputs(fold([*angry, *unread, late, reading(15, time=NOW + 21 * minute)])).state
    assert (back.model_status, back.model_reason) == ("ok", None)


def test_a_model_that_is_down_is_no_reason() -> None:
    unread = reading(0, status="unavailable", reason=Unread.NOTHING_TO_READ)
    state = outputs(fold([unread, reading(1, status="unavailable")])).state
    assert (state.model_status, state.model_reason) == ("unavailable", None)


def test_a_reason_is_sent_again_with_the_state_and_goes_with_the_learner() -> None:
    unread = reading(0, status="unavailable", reason=Unread.UNSUPPORTED_LANGUAGE)
    first = apply_emotion(None, unread, SETTINGS)
    kept = LearnerRecord.from_bytes(record(first).to_bytes())
    again = apply_emotion(kept, unread, SETTINGS)
    assert again.effect is Effect.REDELIVERY
    assert outputs(again).state.model_reason is Unread.UNSUPPORTED_LANGUAGE
    gone = apply_erasure(kept, erasure(), at(0, "erasures"), SETTINGS)
    assert record(gone).unread is None
    assert b"unsupported" not in record(gone).to_bytes()


@given(st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_message_that_was_read_in_part_weighs_that_part(
    coverage: float, first: float, second: float
) -> None:
    whole = reading(0, valence=first, affect=(1.0,) * 16)
    part = reading(1, valence=second, coverage=coverage, affect=(0.0,) * 16)
    known = record(fold([whole, part]))
    assert known.evidence.weight(Measure.VALENCE) == pytest.approx(1 + coverage)
    mean = (first + coverage * second) / (1 + coverage)
    assert known.evidence.mean(Measure.VALENCE) == pytest.approx(mean, abs=1e-6)
    assert known.evidence.session[EMOTION_WEIGHT] == pytest.approx(1 + coverage)
    assert known.trend.weight == pytest.approx(1 + coverage)
    assert known.trend.valence == pytest.approx(mean)
    assert known.affect is not None
    assert known.affect.values() == pytest.approx(1 / (1 + coverage), abs=1e-3)


def test_a_message_of_which_nothing_was_read_adds_nothing() -> None:
    before = record(fold([reading(0, valence=0.1, affect=(1.0,) * 16)]))
    nothing = reading(1, valence=0.9, coverage=0.0, affect=(0.0,) * 16)
    after = record(apply_emotion(before, nothing, SETTINGS))
    assert (after.evidence.session, after.evidence.long) == (
        before.evidence.session, before.evidence.long,
    )  # fmt: skip
    assert (after.trend, after.affect) == (before.trend, before.affect)
    # And it weighs nothing where it is the first
    alone = outputs(fold([reading(0, valence=0.9, coverage=0.0, affect=(0.0,) * 16)])).state
    assert alone.valence.source is Source.PRIOR


def test_a_record_from_before_coverage_was_told_counts_whole() -> None:
    assert record(fold([reading(0, valence=0.2)])).evidence.weight(Measure.VALENCE) == 1.0


def test_feedback_is_counted_once_and_says_nothing_of_the_learner() -> None:
    first = apply_feedback(None, feedback(), at(0, "feedback"), SETTINGS)
    again = apply_feedback(record(first), feedback(), at(0, "feedback"), SETTINGS)
    retry = apply_feedback(record(first), feedback(), at(1, "feedback"), SETTINGS)

    effects = [step.effect for step in (first, again, retry)]
    assert effects == [Effect.APPLIED, Effect.REDELIVERY, Effect.RETRY]
    assert [step.changed for step in (first, again, retry)] == [True, False, True]
    assert record(retry).feedback == {TargetType.RECOMMENDATION: 1}
    assert record(retry).applied["feedback"] == 1
    assert all(step.outputs is None for step in (first, again, retry))


# -- not twice ----------------------------------------------------------------------------


@given(st.data(), st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_redeliveries_and_retries_never_change_the_evidence(
    data: st.DataObject, sizes: list[int]
) -> None:
    events = [
        batch([interaction(f"{b}:{i}", NOW + b * 1000 + i) for i in range(max(1, size))])
        if size
        else reading(b, valence=0.3, time=NOW + b * 1000)
        for b, size in enumerate(sizes)
    ]
    clean = record(fold(events))
    # A consumer goes back at any point and reads on from there: suffixes come again.
    current, offset = None, 0
    for index, event in enumerate(events):
        back = data.draw(st.integers(0, index))
        for position in [*range(back, index), index]:
            again = events[position]
            step = (
                apply_emotion(current, again, SETTINGS)
                if isinstance(again, EmotionRead)
                else apply_interactions(current, again, at(position), SETTINGS)
            )
            assert (step.effect is Effect.APPLIED) == (position == index)
            current = step.record
        offset = len(events) + index
        if data.draw(st.booleans()):
            retried = (
                event.model_copy(update={"source_offset": offset})
                if isinstance(event, EmotionRead)
                else event
            )
            # The client's retry lands behind everything; what follows must still count,
            # so it is applied to a copy of the record only.
            probe = (
                apply_emotion(current, retried, SETTINGS)
                if isinstance(retried, EmotionRead)
                else apply_interactions(current, retried, at(offset), SETTINGS)
            )
            assert probe.effect is Effect.RETRY
            assert current is not None
            assert record(probe).evidence == current.evidence
            assert record(probe).trend == current.trend
            assert record(probe).version == current.version + 1
            assert max(record(probe).applied.values()) == offset
    assert current == clean


def test_a_redelivery_sends_the_same_again() -> None:
    before = low_and_sure()
    first = apply_emotion(before, reading(1, valence=0.1), SETTINGS)
    assert [i.level for i in outputs(first).interventions] == ["mild"]

    again = apply_emotion(first.record, reading(1, valence=0.1), SETTINGS)

    assert (again.effect, again.changed) == (Effect.REDELIVERY, False)
    assert again.record is first.record
    assert again.outputs == first.outputs


def test_a_redelivery_after_others_tells_where_things_stand_now() -> None:
    one = apply_emotion(low_and_sure(), reading(1, valence=0.1), SETTINGS)
    two = apply_interactions(one.record, batch([interaction("a")]), at(0), SETTINGS)

    again = apply_emotion(two.record, reading(1, valence=0.1), SETTINGS)

    assert outputs(again).state.version == record(two).version
    assert outputs(again).state.event_id == outputs(one).state.event_id
    assert outputs(again).interventions == outputs(one).interventions
    assert outputs(again).state.activity.interactions == 1


def test_survives_the_table() -> None:
    first = apply_emotion(low_and_sure(), reading(1, valence=0.1), SETTINGS)
    stored = LearnerRecord.from_bytes(record(first).to_bytes())
    assert apply_emotion(stored, reading(1, valence=0.1), SETTINGS).outputs == first.outputs


def test_a_retry_raises_nothing_new() -> None:
    first = apply_emotion(low_and_sure(), reading(1, valence=0.1), SETTINGS)
    hour_later = reading(2, valence=0.1, chat="chat-1", ingest=NOW + 3_600_000)

    retry = apply_emotion(first.record, hour_later, SETTINGS)

    assert retry.effect is Effect.RETRY
    assert retry.duplicates == 1
    assert [i.event_id for i in outputs(retry).interventions] == [
        i.event_id for i in outputs(first).interventions
    ]


def test_a_partly_seen_batch_applies_the_rest() -> None:
    first = fold([batch([interaction("a"), interaction("b")])])
    mixed = batch([interaction("b"), interaction("c"), interaction("c")], batch_id="second")

    step = apply_interactions(first.record, mixed, at(1), SETTINGS)

    assert (step.effect, step.duplicates) == (Effect.APPLIED, 2)
    assert outputs(step).state.activity.interactions == 3
    assert outputs(step).state.caused_by == ("b", "c", "c")


@given(st.text(), st.text(), st.text())
def test_ids_follow_from_kind_cause_and_learner(kind: str, cause: str, user: str) -> None:
    made = uuid.UUID(derived_id(kind, cause, user))
    assert str(made) == derived_id(kind, cause, user)
    assert (made.version, made.variant) == (8, uuid.RFC_4122)
    assert derived_id(kind + "x", cause, user) != str(made)


def test_outputs_of_one_cause_have_ids_of_their_own() -> None:
    out = outputs(apply_emotion(low_and_sure(), reading(1, valence=0.1), SETTINGS))
    ids = [
        out.state.event_id,
        out.recommendations.event_id,
        *(i.event_id for i in out.interventions),
        *(r.id for r in out.recommendations.recommendations),
    ]
    assert len(set(ids)) == len(ids)


# -- ids, by kind -------------------------------------------------------------------------


def three_kinds(record: LearnerRecord | None, id_: str, ingest: int = NOW) -> list[Step]:
    """An interaction, a message and a feedback of one id, one after the other."""
    clicked = apply_interactions(
        record, batch([interaction(id_, ingest)], ingest=ingest), at(0), SETTINGS
    )
    read = apply_emotion(clicked.record, reading(0, chat=id_, time=ingest, ingest=ingest), SETTINGS)
    told = feedback(id_).model_copy(update={"ingest_time": ingest})
    return [clicked, read, apply_feedback(read.record, told, at(0, "feedback"), SETTINGS)]


def test_one_id_may_name_an_interaction_a_message_and_a_feedback() -> None:
    """Given a page that numbers each kind from 1, Then each counts, and each is known again."""
    steps = three_kinds(None, "1")
    assert [step.effect for step in steps] == [Effect.APPLIED] * 3
    last = record(steps[-1])
    assert (last.evidence.interactions, last.evidence.messages) == (1, 1)
    assert last.feedback == {TargetType.RECOMMENDATION: 1}

    again = apply_interactions(last, batch([interaction("1")]), at(1), SETTINGS)
    read = apply_emotion(again.record, reading(1, chat="1"), SETTINGS)
    told = apply_feedback(read.record, feedback("1"), at(1, "feedback"), SETTINGS)
    assert [step.effect for step in (again, read, told)] == [Effect.RETRY] * 3


def test_a_batch_named_as_one_of_its_interactions_is_applied() -> None:
    step = apply_interactions(
        None, batch([interaction("1"), interaction("2")], batch_id="1"), at(0), SETTINGS
    )
    assert (step.effect, record(step).evidence.interactions) == (Effect.APPLIED, 2)


def test_a_record_of_the_previous_format_asks_without_kind() -> None:
    """Given a worker of the last release may read the record next, Then both ask alike."""
    steps = three_kinds(LearnerRecord.empty(PREVIOUS), "1")
    assert [step.effect for step in steps] == [Effect.APPLIED, Effect.RETRY, Effect.RETRY]
    assert record(steps[-1]).format == PREVIOUS


def test_what_was_seen_without_kind_is_a_retry_of_any_kind_for_the_window() -> None:
    """Given a record is lifted, Then the old rule holds for its ids until they leave."""
    before = record(three_kinds(LearnerRecord.empty(PREVIOUS), "1")[0]).lifted()
    window = round(SETTINGS.seen.window * 1000)

    at_the_edge = three_kinds(replace(before, applied={}), "1", NOW + window)
    assert [step.effect for step in at_the_edge] == [Effect.RETRY] * 3
    new = three_kinds(replace(before, applied={}), "2", NOW + window)
    assert [step.effect for step in new] == [Effect.APPLIED] * 3

    # When the learner comes back later, no other id has pushed the old ones out
    later = three_kinds(replace(before, applied={}), "1", NOW + window + 1)
    assert [step.effect for step in later] == [Effect.APPLIED] * 3
    assert record(later[-1]).seen.kindless == 0


@pytest.mark.parametrize("format_", [PREVIOUS, FORMAT])
def test_every_update_keeps_the_records_format(format_: int) -> None:
    known = LearnerRecord.empty(format_)
    steps = [
        *three_kinds(known, "1"),
        apply_erasure(known, erasure(), at(0, "erasures"), SETTINGS),
    ]
    assert {record(step).format for step in steps} == {format_}
    marker = record(steps[-1])
    assert may_forget(header(marker), NOW + 40 * DAY, SETTINGS)


# -- erasure ------------------------------------------------------------------------------


def test_erasure_leaves_a_marker_that_ignores_what_came_before() -> None:
    known = low_and_sure()
    erased = apply_erasure(known, erasure(NOW + 10), at(0, "erasures"), SETTINGS)

    assert record(erased) == LearnerRecord(
        version=known.version + 1,
        ingested=known.ingested,
        erased_at=NOW + 10,
        applied={"chat-messages": 0, "erasures": 0},
    )
    assert erased.outputs is None
    for step in (
        apply_emotion(erased.record, reading(1, ingest=NOW + 10), SETTINGS),
        apply_interactions(
            erased.record, batch([interaction("a")], ingest=NOW + 10), at(0), SETTINGS
        ),
        apply_feedback(erased.record, feedback(), at(0, "feedback"), SETTINGS),
    ):
        assert (step.effect, step.changed, step.outputs) == (Effect.ERASED, False, None)
        assert step.record is erased.record


def test_the_long_horizon_remembers_what_the_session_has_forgotten() -> None:
    # Given a glad week ago, and a sad message today
    week = 7 * 86_400_000
    first = apply_emotion(None, reading(0, valence=0.9, time=NOW), SETTINGS)
    second = apply_emotion(
        record(first), reading(1, valence=0.1, time=NOW + week, ingest=NOW + week), SETTINGS
    )

    state = outputs(second).state

    assert state.valence.value == pytest.approx(0.1, abs=1e-6)
    assert state.long_term is not None
    # Half-life two weeks: a message a week old weighs 2^-0.5.
    old = 2**-0.5
    assert state.long_term.valence.value == pytest.approx((0.1 + old * 0.9) / (1 + old), abs=1e-4)
    assert state.long_term.valence.confidence > state.valence.confidence
    assert state.long_term.emotions == {Emotion.NEUTRAL: pytest.approx(1.0)}


def test_after_an_erasure_a_learner_starts_afresh() -> None:
    erased = apply_erasure(low_and_sure(), erasure(), at(0, "erasures"), SETTINGS)

    step = apply_emotion(erased.record, reading(1, valence=0.9, ingest=NOW + 1), SETTINGS)

    assert outputs(step).state.valence.value == pytest.approx(0.9, abs=1e-6)
    assert outputs(step).state.activity.messages == 1
    assert outputs(step).state.version == record(erased).version + 1
    assert record(step).erased_at == NOW


def test_an_erasure_of_someone_unknown_still_guards() -> None:
    step = apply_erasure(None, erasure(), at(0, "erasures"), SETTINGS)
    assert apply_emotion(step.record, reading(0), SETTINGS).effect is Effect.ERASED


def test_a_redelivered_erasure_does_not_erase_again() -> None:
    erased = apply_erasure(low_and_sure(), erasure(), at(0, "erasures"), SETTINGS)
    fresh = apply_emotion(erased.record, reading(1, ingest=NOW + 1), SETTINGS)

    again = apply_erasure(fresh.record, erasure(), at(0, "erasures"), SETTINGS)

    assert (again.effect, again.changed) == (Effect.REDELIVERY, False)
    assert again.record is fresh.record


def test_a_marker_goes_after_its_days() -> None:
    marker = record(apply_erasure(None, erasure(), at(0, "erasures"), SETTINGS))
    limit = NOW + round(SETTINGS.marker_days * DAY)
    fresh = record(apply_emotion(marker, reading(0, ingest=limit + 1), SETTINGS))

    assert not may_forget(header(marker), limit, SETTINGS)
    assert may_forget(header(marker), limit + 1, SETTINGS)
    assert not may_forget(header(fresh), limit + 1, SETTINGS)
    assert fresh.erased_at is None
    # Who came back within the days of the marker is no marker
    back = record(apply_emotion(marker, reading(0, ingest=NOW + 1), SETTINGS))
    assert header(back) == Header(2, NOW + 1, NOW, is_marker=False)
    assert not may_forget(header(back), limit + 1, SETTINGS)


def test_a_record_goes_when_nothing_came_for_long() -> None:
    old = low_and_sure()
    limit = old.ingested + round(SETTINGS.inactive_days * DAY)
    assert not may_forget(header(old), limit, SETTINGS)
    assert may_forget(header(old), limit + 1, SETTINGS)
    # Whatever comes counts: feedback, too, and a retry
    told = apply_feedback(
        old, feedback().model_copy(update={"ingest_time": limit}), at(0, "feedback"), SETTINGS
    )
    assert not may_forget(header(record(told)), limit + 1, SETTINGS)


def header(of: LearnerRecord) -> Header:
    return header_of(of.to_bytes())


# -- any input ----------------------------------------------------------------------------


def assert_in_range(state: UserState) -> None:
    """Valid by its own schema when read back, and finite all through."""
    document = state.document()
    assert UserState.read(document).document() == document
    assert sum(state.emotions.values()) <= 1 + 1e-9
    for number in (state.trajectory.slope, state.trajectory.slope_error):
        assert number is None or math.isfinite(number)


@given(
    st.lists(
        st.tuples(
            TIMES,
            st.lists(interactions_at(TIMES), min_size=1, max_size=3) | readings_at(TIMES),
        ),
        min_size=1,
        max_size=10,
    )
)
def test_every_number_stays_in_range_whatever_the_clocks_do(drawn: list[Any]) -> None:
    current: LearnerRecord | None = None
    for offset, (ingest, fields) in enumerate(drawn):
        if isinstance(fields, list):
            many = [interaction(f"{offset}:{i}", **one) for i, one in enumerate(fields)]
            event = batch(many, batch_id=f"b{offset}", ingest=ingest)
            step = apply_interactions(current, event, at(offset), SETTINGS)
        else:
            step = apply_emotion(current, reading(offset, ingest=ingest, **fields), SETTINGS)
        current = LearnerRecord.from_bytes(record(step).to_bytes())
        assert current == record(step)
        assert all(math.isfinite(number) for number in current.evidence.session)
        assert all(math.isfinite(number) for number in current.evidence.long)
        assert_in_range(outputs(step).state)


@given(st.integers(1, 4000), st.floats(0, 1))
def test_who_returns_after_long_is_met_as_they_are_now(days: int, valence: float) -> None:
    then = [reading(i, valence=0.0, time=NOW + i * 60_000) for i in range(10)]
    now = NOW + days * DAY
    back = batch([interaction("back", now)], ingest=now)

    returned = fold([*then, back])
    spoken = fold([*then, back, reading(11, valence=valence, time=now + 1000)])

    assert outputs(returned).state.valence.source is Source.PRIOR
    assert outputs(returned).state.valence.confidence == 0.0
    assert outputs(returned).state.trajectory.points == 0
    assert outputs(returned).state.emotions == {}
    assert outputs(returned).interventions == ()
    assert outputs(spoken).state.valence.value == pytest.approx(valence, abs=1e-4)
    assert outputs(spoken).state.trajectory.call is None


def test_pad_without_classes_and_classes_without_pad() -> None:
    only_pad = reading(0).model_copy(update={"probabilities": {}})
    only_classes = reading(1, probabilities={Emotion.JOY: 0.9, Emotion.PRIDE: 0.9})
    only_classes = only_classes.model_copy(update={"pad": None})

    first = outputs(fold([only_pad])).state
    both = outputs(fold([only_pad, only_classes])).state

    assert (first.emotions, first.valence.source) == ({}, Source.MEASURED)
    assert both.emotions == {Emotion.JOY: 0.5, Emotion.PRIDE: 0.5}
    assert both.valence == first.valence
    assert isinstance(only_pad.pad, PAD)


def test_a_long_batch_that_comes_again_behind_others_is_known_by_its_own_id() -> None:
    """Its ids push each other out of the memory, which holds hardly more than one such batch."""
    many = batch([interaction(f"m{n}", NOW + n) for n in range(500)])
    few = batch([interaction(f"f{n}", NOW + n) for n in range(20)])
    step = fold([many, few])
    again = apply_interactions(step.record, many, at(9), SETTINGS)
    assert again.effect is Effect.RETRY
    assert record(again).evidence == record(step).evidence
