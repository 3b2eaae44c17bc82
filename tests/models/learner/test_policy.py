"""Decisions hold still: hysteresis, gaps, ranks; and say why."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.learner.behaviour.serving.estimating import Figure, estimate
from models.learner.behaviour.serving.record import NO_BEHAVIOUR
from models.learner.config import GapSettings, LearnerSettings, PolicySettings
from models.learner.nets.serving.intervention import Need
from models.learner.nets.serving.reading import NetReading
from models.learner.policy import decide, in_words, may_raise, needed_level
from models.learner.rules import FACTS, TRAJECTORY_FACT, Condition
from models.learner.state import Fact, LongTermAffect, Summary
from models.learner.trajectory import Called
from models.words.words import ENGLISH, languages, load
from schemas.topics.emotions import Emotion
from schemas.topics.state import Source, Trajectory
from schemas.vocabulary import Level
from tests.models.learner.build import (
    NOW,
    SETTINGS,
    fold,
    reading,
    settings_with_catalogue,
    settings_with_policy,
)

GAP = GapSettings(preventive=50, mild=40, moderate=30, significant=20, critical=10)


def summary(
    valence: float = 0.5,
    confidence: float = 0.9,
    emotions: dict[Emotion, float] | None = None,
    call: Trajectory | None = None,
    source: Source = Source.MEASURED,
) -> Summary:
    figure = Figure(valence, confidence, source)
    return Summary(
        valence=figure,
        arousal=figure,
        dominance=figure,
        emotions=emotions or {},
        emotions_confidence=confidence,
        trajectory=Called(call=call, points=9),
        trajectory_confidence=confidence,
        activity={"hints": Fact(3.0, confidence)},
        long_term=LongTermAffect(figure, figure, figure, {}),
        behaviour=estimate(NO_BEHAVIOUR, {}, 0.0, SETTINGS.behaviour),
        nets=NetReading(None, None),
    )


def low_rule(tmp_path: Path, condition: str = "below = 0.4") -> LearnerSettings:
    return settings_with_policy(
        tmp_path,
        f"""
        [[interventions]]
        name = "low"
        level = "mild"
        reason = "r"
        when = [{{ fact = "valence", {condition}, min_confidence = 0.5 }}]
        """,
        hysteresis=0.1,
    )


def held(settings: LearnerSettings, *states: Summary) -> list[bool]:
    active: tuple[str, ...] = ()
    found = []
    for state in states:
        decision = decide(state, active, settings)
        active = decision.active
        found.append(decision.alarm is not None)
    return found


def test_a_held_rule_lets_go_later_than_it_caught(tmp_path: Path) -> None:
    settings = low_rule(tmp_path)
    states = [summary(value) for value in (0.42, 0.39, 0.41, 0.435, 0.45, 0.43)]
    assert held(settings, *states) == [False, True, True, True, False, False]


def test_hysteresis_holds_for_confidence_and_for_above(tmp_path: Path) -> None:
    settings = low_rule(tmp_path)
    sure, shaky, unsure = (summary(0.3, confidence) for confidence in (0.5, 0.46, 0.44))
    assert held(settings, sure, shaky, unsure, shaky) == [True, True, False, False]
    settings = low_rule(tmp_path, "above = 0.8")
    states = [summary(value) for value in (0.79, 0.81, 0.73, 0.71)]
    assert held(settings, *states) == [False, True, True, False]


def test_a_prior_is_no_fact(tmp_path: Path) -> None:
    settings = low_rule(tmp_path, "below = 0.9")
    assert held(settings, summary(0.1, source=Source.PRIOR)) == [False]


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from([None, *Trajectory]), st.booleans())
def test_deciding_again_decides_the_same(
    valence: float, confidence: float, call: Trajectory | None, before: bool
) -> None:
    settings = LearnerSettings()
    actions = settings.recommending_policy.catalogue.actions
    names = (
        *(one.name for one in actions),
        *(one.name for one in settings.rules.interventions),
    )
    state = summary(valence, confidence, {Emotion.BOREDOM: valence}, call)

    first = decide(state, names if before else (), settings)

    assert decide(state, first.active, settings) == first


def need(*at_least: float) -> Need:
    """Of the probabilities of preventive, mild, ... in order."""
    probabilities = dict(zip(Level, (1.0, *at_least, 0.0, 0.0, 0.0, 0.0, 0.0), strict=False))
    return Need(probabilities, urgency=4.0, sides=("text",))


# The share that costs ask for is 0.4; a held level is kept down to 0.36.
@pytest.mark.parametrize(
    ("at_least", "held", "level"),
    [
        ((0.8, 0.6, 0.5, 0.39, 0.3), (), Level.MODERATE),
        ((0.8, 0.6, 0.5, 0.41, 0.3), (), Level.SIGNIFICANT),
        ((0.8, 0.6, 0.5, 0.39, 0.3), ("need:significant",), Level.SIGNIFICANT),
        # A higher one that is also inside the band neither holds nor lets go of it.
        ((0.8, 0.6, 0.5, 0.39, 0.37), ("need:significant",), Level.SIGNIFICANT),
        ((0.8, 0.6, 0.5, 0.39, 0.37), ("need:critical",), Level.CRITICAL),
        ((0.8, 0.6, 0.5, 0.41, 0.37), ("need:mild",), Level.SIGNIFICANT),
        ((0.8, 0.6, 0.5, 0.35, 0.1), ("need:significant",), Level.MODERATE),
        ((0.3, 0.2), ("need:mild",), Level.NONE),
        ((0.37, 0.37), ("need:preventive",), Level.PREVENTIVE),
    ],
)
def test_a_needed_level_that_held_lets_go_later(
    at_least: tuple[float, ...], held: tuple[str, ...], level: Level
) -> None:
    assert needed_level(need(*at_least), held, SETTINGS) is level
    # Deciding again, now that it is held, decides the same.
    assert needed_level(need(*at_least), (f"need:{level.value}",), SETTINGS) is level


def test_without_a_net_nothing_is_needed() -> None:
    assert needed_level(None, ("need:critical",), SETTINGS) is Level.NONE


def test_any_ground_makes_an_action_eligible_and_the_first_that_holds_says_why(
    tmp_path: Path,
) -> None:
    ground = '[{{ fact = "valence", below = {} }}]'
    text = "".join(
        f'[[actions]]\nname = "{name}"\naction = "x"\nreason = "r"\n'
        f"prior = {{ mean = 0.5, strength = 1 }}\nwhen = [{', '.join(grounds)}]\n"
        for name, grounds in [
            ("a", [ground.format(0.2), ground.format(0.4), ground.format(0.5)]),
            ("b", [ground.format(0.2)]),
        ]
    )
    settings = settings_with_catalogue(tmp_path, text)

    decision = decide(summary(0.3), (), settings)

    assert [(one.action.name, one.reasons()) for one in decision.eligible] == [
        ("a", ("valence 0.3 is below 0.4 (confidence 0.90)",))
    ]
    assert "a" in decision.active
    assert "b" not in decision.active
    # Held, it says the same: a ground that only lingers does not take the place of one
    # that holds. It counts where none does.
    assert decide(summary(0.21), ("a",), settings).eligible[0].reasons() == (
        "valence 0.21 is below 0.4 (confidence 0.90)",
    )
    assert decide(summary(0.52), (), settings).eligible == ()
    assert decide(summary(0.52), ("a",), settings).eligible[0].reasons() == (
        "valence 0.52 was lately below 0.5 (confidence 0.90)",
    )


def test_because_says_the_facts_and_confidence_is_the_least(tmp_path: Path) -> None:
    settings = settings_with_policy(
        tmp_path,
        """
        [[interventions]]
        name = "i"
        level = "moderate"
        reason = "r"
        when = [
          { fact = "valence", below = 0.35, min_confidence = 0.5 },
          { fact = "trajectory", is_any = ["declining"] },
          { fact = "activity.hints", above = 2 },
        ]
        """,
    )
    state = summary(0.31, 0.8, call=Trajectory.DECLINING)

    alarm = decide(state, (), settings).alarm

    assert alarm is not None
    assert alarm.confidence == 0.8
    assert alarm.because == (
        "valence 0.31 is below 0.35 (confidence 0.80)",
        "trajectory is declining (confidence 0.80)",
        "activity.hints 3 is above 2 (confidence 0.80)",
    )


def test_a_need_says_what_the_net_looked_at_in_the_deployments_language() -> None:
    seen = Need({**dict.fromkeys(Level, 0.0), Level.MODERATE: 0.517}, 4.0, ("text", "behaviour"))
    state = replace(summary(), nets=NetReading(None, seen))

    alarms = [decide(state, (), by).alarm for by in (SETTINGS, SETTINGS.speaking(load("de")))]

    assert [alarm.because for alarm in alarms if alarm is not None] == [
        ("need of moderate help or more has probability 0.52 (from text and behaviour)",),
        ("Hilfebedarf ab Stufe „mittel“: Wahrscheinlichkeit 0,52 (aus Texten und dem Verhalten)",),
    ]


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("fact", sorted(FACTS))
def test_every_fact_has_words_in_every_language(language: str, fact: str) -> None:
    words = load(language)
    is_class = fact == TRAJECTORY_FACT
    for value in Trajectory if is_class else (0.25, 0.75):
        asks = {"is_any": (value,)} if is_class else {"above": 0.5}
        said = in_words(Condition(fact=fact, **asks), Fact(value, 0.9), words)
        assert words.number(0.9, ".2f") in said
        assert not set("{}_") & set(said) or language == ENGLISH


def test_a_gap_covers_its_level_and_those_below() -> None:
    policy = PolicySettings(gaps=GAP)
    raised = {Level.MODERATE: NOW}
    assert may_raise(Level.CRITICAL, NOW, raised, policy)
    assert not may_raise(Level.MODERATE, NOW + 29_999, raised, policy)
    assert may_raise(Level.MODERATE, NOW + 30_000, raised, policy)
    assert not may_raise(Level.MILD, NOW + 39_999, raised, policy)
    assert may_raise(Level.MILD, NOW + 40_000, raised, policy)


@given(st.lists(st.tuples(st.integers(0, 60_000), st.floats(0, 0.5)), min_size=1, max_size=40))
def test_interventions_of_a_level_keep_their_distance(steps: list[tuple[int, float]]) -> None:
    settings = LearnerSettings(policy=PolicySettings(gaps=GAP))
    time, events = NOW, []
    for offset, (pause, valence) in enumerate(steps):
        time += pause
        events.append(
            reading(offset, time=time, valence=valence, probabilities={Emotion.DISTRESS: 0.9})
        )

    raised = {}
    for count in range(1, len(events) + 1):
        outputs = fold(events[:count], settings).outputs
        assert outputs is not None
        for intervention in outputs.interventions:
            raised[intervention.event_id] = intervention

    for level in Level:
        moments = sorted(i.raised_at for i in raised.values() if i.level is level)
        gap = 0 if level is Level.NONE else GAP.of(level) * 1000
        assert all(b - a >= gap for a, b in itertools.pairwise(moments))
