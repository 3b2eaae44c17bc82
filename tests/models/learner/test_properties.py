"""The whole record, whatever comes: order, duplicates, splits, ranges, clocks, a year away.

Evidence, trend, affect, behaviour and the figures of the state that follow from them, with
the shipped artefacts. What depends on the way there is left out where order is varied:
versions, hysteresis, gaps and standing recommendations remember it by design.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.learner.behaviour.serving.features import next_features
from models.learner.config import LearnerSettings
from models.learner.record import LearnerRecord
from models.learner.update import Step, apply_emotion, apply_interactions
from schemas.topics.emotions import PAD, Emotion, EmotionRead
from schemas.topics.interactions import Interaction, InteractionsReceived
from schemas.topics.state import Source, UserState
from tests.models.learner.build import (
    NOW,
    SECONDS,
    TIMES,
    UNITS,
    USER,
    at,
    batch,
    raw_sums,
    reading,
    sums,
)

SETTINGS = LearnerSettings(least_emotion=0.0)
"""With all emotions: a share at the setting's edge is left out on one way and not on another."""
LATENESS = round(SETTINGS.evidence.lateness * 1000)
SKEW = round(SETTINGS.evidence.skew * 1000)
DAY = 86_400_000
YEAR = 365 * DAY
TYPES = ["click", *(name for names in SETTINGS.behaviour.kinds.values() for name in names)]
INTERVENTION = SETTINGS.trained_nets.intervention
assert INTERVENTION is not None
MODEL = INTERVENTION.card.emotion_version
WIDTH = 64

# -- events -------------------------------------------------------------------------------

TASKS = st.fixed_dictionaries(
    {},
    optional={
        "problem_id": st.sampled_from(["p1", "p2"]),
        "skill": st.sampled_from(["Absolute Value", "Area Circle", "of no artefact"]),
        "correct": st.booleans(),
        "attempt_count": st.integers(0, 10_000),
        "hint_count": st.integers(0, 10_000),
        "hint_total": st.integers(0, 10_000),
    },
)
CONTENTS = st.fixed_dictionaries(
    {"interaction_type": st.sampled_from(TYPES)},
    optional={
        "timing_data": st.fixed_dictionaries(
            {}, optional={"response_time": SECONDS, "dwell_time": SECONDS}
        ),
        "context_data": st.fixed_dictionaries({}, optional={"tab_active": st.booleans()}),
        "task_data": TASKS,
    },
)


@st.composite
def affects(draw: st.DrawFn) -> tuple[float, ...]:
    """An embedding, or none; a seed rather than 64 draws, which would be all the test does."""
    if not draw(st.booleans()):
        return ()
    noise = np.random.default_rng(draw(st.integers(0, 1000))).normal(size=WIDTH)
    return tuple(np.clip(noise, -3.0, 3.0).tolist())


@st.composite
def messages(draw: st.DrawFn, times: st.SearchStrategy[int]) -> dict[str, Any]:
    return {
        "time": draw(times),
        "valence": draw(UNITS),
        "probabilities": draw(st.dictionaries(st.sampled_from(Emotion), UNITS, max_size=4)),
        "affect": draw(affects()),
    }


def interactions(times: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda time, fields: {"timestamp": time, **fields}, times, CONTENTS)


def interaction(event_id: str, fields: dict[str, Any]) -> Interaction:
    return Interaction(event_id=event_id, **fields)


def message(number: int, offset: int, ingest: int, fields: dict[str, Any]) -> EmotionRead:
    """The reading of chat `number`, at any offset: a client's retry lands at another one."""
    made = reading(offset, time=fields["time"], ingest=ingest, chat=f"chat-{number}")
    valence = fields["valence"]
    return made.model_copy(
        update={
            "model_version": MODEL,
            "probabilities": fields["probabilities"],
            "affect": fields["affect"],
            "pad": PAD(valence=valence, arousal=1 - valence, dominance=valence),
        }
    )


def applied(events: Sequence[InteractionsReceived | EmotionRead]) -> list[Step]:
    """Apply them in order, each after a walk through the table's bytes."""
    current, steps = None, []
    for offset, event in enumerate(events):
        step = (
            apply_emotion(current, event, SETTINGS)
            if isinstance(event, EmotionRead)
            else apply_interactions(current, event, at(offset), SETTINGS)
        )
        assert step.record is not None
        current = LearnerRecord.from_bytes(step.record.to_bytes())
        assert current == step.record
        steps.append(step)
    return steps


def last(steps: Sequence[Step]) -> tuple[LearnerRecord, UserState]:
    step = steps[-1]
    assert step.record is not None
    assert step.outputs is not None
    return step.record, step.outputs.state


# -- figures ------------------------------------------------------------------------------


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a document by its path."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from numbers(part, f"{path}.{name}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def figures(state: UserState) -> dict[str, float]:
    """The state's numbers that follow from what was observed.

    Without the slope: where points are milliseconds apart it divides rounding by rounding.
    """
    kept = state.model_dump(
        include={"valence", "arousal", "dominance", "emotions", "activity", "behaviour"}
        | {"readiness", "intervention"},
        exclude_none=True,
    )
    return dict(numbers(kept))


def assert_same(
    one: tuple[LearnerRecord, UserState], other: tuple[LearnerRecord, UserState]
) -> None:
    (record, state), (record2, state2) = one, other
    assert record2.evidence.newest == record.evidence.newest
    assert sums(record2.evidence) == pytest.approx(sums(record.evidence), rel=1e-4, abs=1e-5)
    assert raw_sums(record2.trend) == pytest.approx(raw_sums(record.trend), rel=1e-6, abs=1e-6)
    assert (record2.affect is None) == (record.affect is None)
    if record.affect is not None and record2.affect is not None:
        assert record2.affect.weight == pytest.approx(record.affect.weight)
        # Half precision: eleven bits at each update.
        assert record2.affect.values() == pytest.approx(record.affect.values(), abs=8e-3)
    behaviour, behaviour2 = record.behaviour, record2.behaviour
    assert behaviour2.sums == pytest.approx(behaviour.sums, rel=1e-4, abs=1e-3)
    for name in ("newest", "answers", "responses", "task", "stints"):
        assert getattr(behaviour2, name) == getattr(behaviour, name), name
    assert [uses for _, uses in behaviour2.kinds] == [uses for _, uses in behaviour.kinds]
    found, found2 = figures(state), figures(state2)
    assert found2.keys() == found.keys()
    wrong = {
        name: (found[name], found2[name])
        for name in found
        if found2[name] != pytest.approx(found[name], rel=1e-3, abs=tolerance(name))
    }
    assert not wrong


def tolerance(name: str) -> float:
    """By what a figure rests on: sums in float32, or embeddings in half precision."""
    return 2e-2 if name.startswith(".intervention") else 2e-3


# -- order, duplicates, splits ------------------------------------------------------------

NEAR = st.integers(0, LATENESS // 1000).map(lambda seconds: NOW + 1000 * seconds)


@settings(max_examples=60)
@given(
    st.lists(interactions(NEAR), min_size=1, max_size=8),
    st.lists(messages(NEAR), max_size=4),
    st.data(),
)
def test_order_duplicates_and_splits_within_lateness_change_nothing(
    clicks: list[dict[str, Any]], chats: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Given what a learner did in a few minutes, When it comes in any order, in any batches,
    some of it again, Then the record and its state are the same, to rounding."""
    ingest = NOW + LATENESS
    made = [interaction(f"i{number}", fields) for number, fields in enumerate(clicks)]
    plain = applied(
        [
            batch(made, ingest=ingest),
            *(message(n, n + 1, ingest, fields) for n, fields in enumerate(chats)),
        ]
    )

    # Each once in any order, then any of them again; neighbours that click share a batch.
    everything = [*range(len(made)), *range(-1, -len(chats) - 1, -1)]
    order = data.draw(st.permutations(everything))
    again = data.draw(st.lists(st.sampled_from(everything), max_size=4))
    places = sorted((data.draw(st.integers(0, len(order))) for _ in again), reverse=True)
    for place, one in zip(places, again, strict=True):
        order.insert(place, one)
    events: list[InteractionsReceived | EmotionRead] = []
    waiting: list[Interaction] = []
    for one in order:
        if one >= 0:
            waiting.append(made[one])
        if waiting and (one < 0 or data.draw(st.booleans())):
            events.append(batch(waiting, batch_id=f"b{len(events)}", ingest=ingest))
            waiting = []
        if one < 0:
            events.append(message(-one - 1, len(events), ingest, chats[-one - 1]))
    if waiting:
        events.append(batch(waiting, batch_id=f"b{len(events)}", ingest=ingest))
    mixed = applied(events)

    assert_same(last(plain), last(mixed))


# -- ranges -------------------------------------------------------------------------------


def assert_in_range(step: Step) -> None:
    assert step.outputs is not None
    state = step.outputs.state
    for sent in (state, step.outputs.recommendations, *step.outputs.interventions):
        assert type(sent).read(sent.document()) == sent
    for name, number in numbers(state.document()):
        assert math.isfinite(number), name
        if name.rpartition(".")[2] in {"value", "confidence", "share", "score"}:
            assert 0.0 <= number <= 1.0, name
    assert sum(state.emotions.values()) <= 1 + 1e-9
    assert state.readiness is not None
    assert sum(state.readiness.weights.values()) == pytest.approx(
        0.0 if state.readiness.source is Source.PRIOR else 1.0
    )
    if state.intervention is not None:
        shares = list(state.intervention.at_least.values())
        assert shares[0] == 1.0
        assert shares == sorted(shares, reverse=True)
    assert state.behaviour is not None
    tendencies = [one.share for one in state.behaviour.tendencies.values()]
    assert not tendencies or sum(tendencies) == pytest.approx(1.0)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(TIMES, st.lists(interactions(TIMES), min_size=1, max_size=3) | messages(TIMES)),
        min_size=1,
        max_size=6,
    )
)
def test_every_number_is_in_range_for_any_input_and_any_clock(drawn: list[Any]) -> None:
    events = [
        message(number, number, ingest, fields)
        if isinstance(fields, dict)
        else batch(
            [interaction(f"{number}:{i}", one) for i, one in enumerate(fields)],
            batch_id=f"b{number}",
            ingest=ingest,
        )
        for number, (ingest, fields) in enumerate(drawn)
    ]
    for step in applied(events):
        assert_in_range(step)


def test_an_embedding_of_any_size_leaves_every_number_in_range() -> None:
    for size in (-1e300, -7e4, 1e-300, 7e4, 1e300):
        fields = {"time": NOW, "valence": 0.5, "probabilities": {}, "affect": (size,) * WIDTH}
        for step in applied([message(n, n, NOW, fields) for n in range(3)]):
            assert_in_range(step)


# -- clocks and absences ------------------------------------------------------------------


def session(
    start: int = NOW, ingest: int | None = None
) -> list[InteractionsReceived | EmotionRead]:
    """Ten minutes of answers, half of them wrong, with two messages."""
    events: list[InteractionsReceived | EmotionRead] = []
    for number in range(10):
        time = start + 60_000 * number
        received = time if ingest is None else ingest + 60_000 * number
        fields = {
            "timestamp": time,
            "interaction_type": "answer",
            "timing_data": {"response_time": 10.0 + number, "dwell_time": 30.0},
            "context_data": {"tab_active": number % 4 > 0},
            "task_data": {
                "skill": "Area Circle",
                "correct": number % 2 == 0,
                "attempt_count": 1 + number % 2,
                "hint_count": number % 2,
                "hint_total": 3,
            },
        }
        made = interaction(f"{start}:{number}", fields)
        events.append(batch([made], batch_id=f"{start}-{number}", ingest=received))
    said = {"time": start + 540_000, "probabilities": {Emotion.CONFUSION: 0.7}}
    for number in range(2):
        full = {**said, "valence": 0.2, "affect": (0.1,) * WIDTH}
        received = start + 540_000 if ingest is None else ingest + 540_000
        events.append(message(start + number, len(events), received, full))
    return events


def click(time: int, ingest: int) -> InteractionsReceived:
    fields = {
        "timestamp": time,
        "interaction_type": "click",
        "timing_data": {"response_time": 20.0},
        "context_data": {"tab_active": True},
    }
    return batch([interaction(f"click-{time}", fields)], batch_id=f"click-{time}", ingest=ingest)


@settings(max_examples=25)
@given(st.integers(SKEW, 200 * YEAR))
def test_a_clock_that_jumps_ahead_counts_as_one_that_is_ahead_by_the_skew(ahead: int) -> None:
    now = NOW + 600_000
    jumped = applied([*session(), click(now + ahead, now)])
    skewed = applied([*session(), click(now + SKEW, now)])

    assert jumped[-1].clamped == (ahead > SKEW)
    assert figures(last(jumped)[1]) == figures(last(skewed)[1])
    assert last(jumped)[0].behaviour == last(skewed)[0].behaviour
    assert last(jumped)[0].affect == last(skewed)[0].affect


@settings(max_examples=25)
@given(st.integers(YEAR, 40 * YEAR))
def test_a_clock_that_jumps_back_moves_no_estimate(back: int) -> None:
    """What lies a year before the newest event has faded before it counts, in norms, too."""
    steady = applied(session())
    jumped = applied([*session(), click(NOW - back, NOW + 600_000)])

    assert jumped[-1].late == 1
    before, after = figures(last(steady)[1]), figures(last(jumped)[1])
    counts = {".activity.interactions"}
    wrong = {
        name: (before.get(name), after.get(name))
        for name in before.keys() | after.keys()
        if name not in counts and after.get(name) != pytest.approx(before.get(name), abs=2e-4)
    }
    assert not wrong
    assert last(jumped)[0].evidence.newest == last(steady)[0].evidence.newest


def test_a_page_whose_clock_is_wrong_but_steady_is_read_as_one_whose_is_right() -> None:
    right = last(applied(session()))
    wrong = last(applied(session(NOW - 3 * DAY, ingest=NOW)))

    assert figures(wrong[1]) == figures(right[1])


@settings(max_examples=25)
@given(st.integers(365, 4000))
def test_who_returns_after_a_year_is_met_like_somebody_new(days: int) -> None:
    """Given a learner of whom much was known, When they click once after a year or more,
    Then the state is that of a new learner who clicked once; only counts remember."""
    now = NOW + days * DAY
    returned = last(applied([*session(), click(now, now)]))
    new = last(applied([click(now, now)]))

    counts = {".activity.interactions", ".activity.messages"}
    before, after = figures(new[1]), figures(returned[1])
    wrong = {
        name: (before.get(name), after.get(name))
        for name in before.keys() | after.keys()
        if name not in counts
        and ".tendencies." not in name
        and after.get(name) != pytest.approx(before.get(name), abs=2e-4)
    }
    assert not wrong
    assert returned[1].trajectory == new[1].trajectory
    assert (returned[1].intervention is None) == (new[1].intervention is None)
    population = SETTINGS.behaviour.behaviour.population
    assert next_features(returned[0].behaviour, population, 0, -1) == pytest.approx(
        next_features(new[0].behaviour, population, 0, -1), abs=1e-4
    )


def test_these_events_say_much() -> None:
    """So that the properties above are not about empty states."""
    _, state = last(applied(session()))

    assert state.user_id == USER
    assert state.behaviour is not None
    sources = {
        name: figure["source"]
        for name, figure in state.behaviour.document().items()
        if "source" in figure
    }
    assert Source.PRIOR not in sources.values()
    assert state.readiness is not None
    assert state.readiness.source is Source.MEASURED
    assert state.intervention is not None
    assert state.intervention.inputs == ("text", "behaviour")
