"""Every fact that a rule may name is the figure of that name, exact; none without evidence."""

from __future__ import annotations

import pytest

from models.learner.record import LearnerRecord
from models.learner.rules import FACTS
from models.learner.state import Fact, Summary, summarise
from schemas.topics.emotions import Emotion
from schemas.topics.state import Source
from tests.models.learner.build import NOW, SETTINGS, batch, fold, interaction, reading

TOLD = {emotion: (1 + number) / 1000 for number, emotion in enumerate(Emotion)}


def known() -> Summary:
    """Of a learner of whom everything is known."""
    answers = [
        interaction(
            f"i{number}",
            NOW + number * 60_000,
            timing_data={"response_time": 7.1 + number, "dwell_time": 3.3},
            context_data={"tab_active": number != 1},
            task_data={"correct": number > 1, "hint_count": 1, "attempt_count": 2},
        )
        for number in range(4)
    ]
    says = [
        reading(n, valence=0.2 + n / 10, time=NOW + n * 60_000, probabilities=TOLD)
        for n in range(6)
    ]
    record = fold([batch(answers, ingest=NOW + 600_000), *says]).record
    assert record is not None
    return summarise(record, SETTINGS)


def figure_named(summary: Summary, name: str) -> Fact:
    """As a reader of the state finds it."""
    group, _, member = name.partition(".")
    if name == "trajectory":
        assert summary.trajectory.call is not None
        return Fact(summary.trajectory.call, summary.trajectory_confidence)
    if name == "trajectory.slope":
        assert summary.trajectory.slope is not None
        return Fact(summary.trajectory.slope, summary.trajectory_confidence)
    if group == "emotions":
        return Fact(summary.emotions[Emotion(member)], summary.emotions_confidence)
    if group == "activity":
        return summary.activity[member]
    held = summary if hasattr(summary, name) else summary.behaviour
    return Fact(getattr(held, name).value, getattr(held, name).confidence)


@pytest.mark.parametrize("name", sorted(FACTS))
def test_a_fact_is_the_figure_of_its_name(name: str) -> None:
    summary = known()

    assert summary.fact(name) == figure_named(summary, name)


def test_the_figures_of_different_facts_differ() -> None:
    """Else the test above could not tell one from another."""
    summary = known()
    facts = [summary.fact(name) for name in FACTS]

    assert len({fact for fact in facts if fact is not None}) > len(FACTS) - 5


def test_of_whom_nothing_is_known_no_fact_is() -> None:
    summary = summarise(LearnerRecord(), SETTINGS)

    assert {summary.fact(name) for name in FACTS} == {None}
    assert summary.valence.source is Source.PRIOR
