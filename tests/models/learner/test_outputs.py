"""What leaves has four decimals; what decides, and what is kept, has all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.learner.config import LearnerSettings
from models.learner.outputs import Outputs
from models.learner.record import LearnerRecord
from models.learner.state import summarise
from models.learner.update import Step, apply_emotion
from models.words.words import load
from schemas.topics.emotions import Emotion
from schemas.topics.state import Source
from tests.models.learner.build import (
    NOW,
    SETTINGS,
    batch,
    fold,
    interaction,
    reading,
    settings_with_policy,
)

EXACT = {"propensity", "expected", "reward", "context"}
"""What is compared offline: probabilities as they were drawn, the policy's own scale."""


def outputs(step: Step) -> Outputs:
    assert step.outputs is not None
    return step.outputs


def floats(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for name, part in value.items():
            if name not in EXACT and name != "parameters":
                yield from floats(part, f"{path}.{name}")
    elif isinstance(value, list):
        for part in value:
            yield from floats(part, path)
    elif isinstance(value, float):
        yield path, value


def steps(shares: Iterator[float]) -> int:
    return sum(round(share * 10_000) for share in shares)


@st.composite
def sessions(draw: st.DrawFn) -> Step:
    """What a learner did in some minutes, with figures that need all their digits."""
    rng = draw(st.randoms(use_true_random=False))
    events = []
    for number in range(draw(st.integers(1, 8))):
        now = NOW + number * 47_000
        if rng.random() < 0.5:
            told = {e: rng.random() ** 4 for e in Emotion if rng.random() < 0.9}
            events.append(
                reading(number, valence=rng.random() ** 2, time=now, probabilities=told or None)
            )
            continue
        done = interaction(
            f"i{number}",
            now,
            timing_data={"response_time": rng.uniform(1, 60), "dwell_time": rng.uniform(1, 60)},
            context_data={"tab_active": rng.random() < 0.7},
            task_data={"correct": rng.random() < 0.3, "hint_count": 2, "attempt_count": 3},
        ).model_copy(update={"interaction_type": rng.choice(["video", "example", "answer"])})
        events.append(batch([done], ingest=now))
    return fold(events)


@settings(max_examples=60)
@given(sessions())
def test_every_figure_that_leaves_has_four_decimals(step: Step) -> None:
    sent = outputs(step)
    for message in (sent.state, sent.recommendations, *sent.interventions, *sent.requests):
        long = {
            path: figure
            for path, figure in floats(orjson.loads(message.json_bytes()))
            if figure != round(figure, 4) and not path.startswith(".reading")
        }
        assert not long


@settings(max_examples=60)
@given(sessions())
def test_shares_are_those_of_a_whole(step: Step) -> None:
    state, exact = outputs(step).state, summarise(step.record or LearnerRecord(), SETTINGS)
    assert state.behaviour is not None
    assert state.readiness is not None
    if state.readiness.weights:
        assert steps(iter(state.readiness.weights.values())) == 10_000
    if state.behaviour.tendencies:
        assert steps(one.share for one in state.behaviour.tendencies.values()) == 10_000
    assert steps(iter(state.emotions.values())) <= 10_000
    least = SETTINGS.least_emotion
    assert state.emotions.keys() == {e for e, p in exact.emotions.items() if round(p, 4) >= least}


@settings(max_examples=60)
@given(sessions())
def test_figures_that_leave_are_the_exact_ones_rounded(step: Step) -> None:
    state, exact = outputs(step).state, summarise(step.record or LearnerRecord(), SETTINGS)
    assert state.behaviour is not None
    for told, known in (
        (state.valence, exact.valence),
        (state.behaviour.focus, exact.behaviour.focus),
        (state.behaviour.next_correct, exact.behaviour.next_correct),
    ):
        assert told.source is known.source
        assert told.value == pytest.approx(known.value, abs=5.1e-5)
        assert told.confidence == pytest.approx(known.confidence, abs=5.1e-5)
        if known.source is Source.PRIOR:
            assert told.confidence == 0.0


def test_small_emotions_are_left_out_of_both_mixes_and_kept_in_the_record() -> None:
    told = {Emotion.JOY: 0.9, Emotion.AWE: 0.005, Emotion.PAIN: 0.0049, Emotion.FEAR: 0.0}
    step = apply_emotion(None, reading(0, probabilities=told), SETTINGS)
    everything = apply_emotion(
        None, reading(0, probabilities=told), LearnerSettings(least_emotion=0.0)
    )

    state, whole = outputs(step).state, outputs(everything).state
    assert state.long_term is not None
    assert whole.long_term is not None
    assert state.emotions == state.long_term.emotions == {Emotion.JOY: 0.9, Emotion.AWE: 0.005}
    assert whole.emotions == whole.long_term.emotions == told
    assert step.record == everything.record
    assert set(summarise(step.record or LearnerRecord(), SETTINGS).emotions) == set(told)


def test_a_rule_reads_the_exact_figure(tmp_path) -> None:
    """0.70003 is above 0.7, though the state says 0.7."""
    policy = """
[[interventions]]
name = "high"
level = "mild"
when = [{ fact = "valence", above = 0.7, min_confidence = 0.1 }]
reason = "an edge"
"""
    chosen = settings_with_policy(tmp_path, policy)

    step = apply_emotion(None, reading(0, valence=0.70003), chosen)

    assert outputs(step).state.valence.value == 0.7
    assert [one.level.value for one in outputs(step).interventions] == ["mild"]


def test_reasons_are_in_the_deployments_language() -> None:
    german = SETTINGS.speaking(load("de"))
    first, second = (
        reading(n, valence=0.1, probabilities={Emotion.FRUSTRATION: 0.9}) for n in range(2)
    )
    before = apply_emotion(None, first, SETTINGS).record

    told, spoken = (outputs(apply_emotion(before, second, by)) for by in (SETTINGS, german))

    assert [one.because for one in told.interventions] == [
        ("emotions.frustration 0.9 is above 0.4 (confidence 0.67)",
         "valence 0.1 is below 0.4 (confidence 0.67)"),
    ]  # fmt: skip
    assert [one.because for one in spoken.interventions] == [
        ("der Anteil von Frustration liegt mit 0,9 über 0,4 (Konfidenz 0,67)",
         "die Stimmung liegt mit 0,1 unter 0,4 (Konfidenz 0,67)"),
    ]  # fmt: skip
    suggested = spoken.recommendations.recommendations
    assert suggested
    for one in suggested:
        assert one.because[0].startswith("der Anteil von Frustration liegt mit 0,9 über ")
        assert one.because[-1].startswith("erwarteter Nutzen: 0,")
    # All else is the same: a deployment may change its language at any time.
    assert spoken.state == told.state
    assert [one.id for one in suggested] == [one.id for one in told.recommendations.recommendations]


def test_an_intervention_is_told_again_in_the_words_in_which_it_was_raised() -> None:
    events = [reading(n, valence=0.1, probabilities={Emotion.FRUSTRATION: 0.9}) for n in range(2)]
    raised = fold(events)
    assert outputs(raised).interventions

    again = apply_emotion(raised.record, events[-1], SETTINGS.speaking(load("de")))

    assert again.record == raised.record
    assert outputs(again).interventions == outputs(raised).interventions
    assert outputs(again).recommendations.decision == outputs(raised).recommendations.decision
