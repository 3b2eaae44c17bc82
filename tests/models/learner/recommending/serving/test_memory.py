"""What is kept of recommendations is small, and reads as it was written."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.learner.config import LearnerSettings
from models.learner.recommending.serving.catalogue import MAX_ACTIONS
from models.learner.recommending.serving.memory import (
    MAX_APPLIED_AFTER,
    WHOLE,
    Advice,
    Considered,
    Decision,
    Learned,
    Shown,
    scaled,
    share,
    single,
    unscaled,
    unshare,
)

KEYS = st.integers(0, 2**32 - 1)
SHARES = st.integers(0, WHOLE)
FACTS = st.none() | st.integers(0, WHOLE - 1)
MOMENTS = st.integers(0, 2**60)
SUMS = st.floats(-1e6, 1e6).map(single)
SHOWN = st.builds(
    Shown,
    action=KEYS,
    chance=SHARES,
    expected_here=SHARES,
    expected=SHARES,
    goal=FACTS,
    answers=st.integers(0, 255),
    explored=st.booleans(),
    personal=st.booleans(),
    applied_after=st.none() | st.integers(0, MAX_APPLIED_AFTER),
    refused=st.booleans(),
    closed=st.booleans(),
    follow_up=FACTS,
)
DECISIONS = st.builds(
    Decision,
    id=st.binary(min_size=16, max_size=16),
    at=MOMENTS,
    policy=st.binary(min_size=4, max_size=4),
    shown=st.lists(SHOWN, max_size=4).map(tuple),
    candidates=st.lists(st.builds(Considered, KEYS, SHARES, SHARES), max_size=20).map(tuple),
    context=st.lists(FACTS, max_size=16).map(tuple),
)


def as_kept(decisions: list[Decision]) -> tuple[Decision, ...]:
    """Only the newest keeps what it was chosen from, and chooses from that."""
    return (*(one.bare() for one in decisions[:-1]), *map(chosen_from, decisions[-1:]))


def chosen_from(decision: Decision) -> Decision:
    candidates = {one.action: one for one in decision.candidates}
    shown = tuple(
        replace(one, action=of.action, chance=of.chance, expected=of.expected)
        for one, of in zip(decision.shown, candidates.values(), strict=False)
    )
    return replace(decision, shown=shown, candidates=tuple(candidates.values()))


ADVICE = st.builds(
    Advice,
    standing=st.booleans(),
    decisions=st.lists(DECISIONS, max_size=4).map(as_kept),
    learned=st.lists(st.builds(Learned, KEYS, SUMS, SUMS), max_size=12).map(tuple),
    learned_at=MOMENTS,
    resting=st.lists(st.tuples(KEYS, MOMENTS), max_size=4).map(tuple),
)


@given(ADVICE)
def test_what_is_written_reads_the_same(advice: Advice) -> None:
    assert Advice.from_bytes(advice.to_bytes()) == advice


@given(ADVICE, st.data())
def test_what_is_cut_short_is_refused(advice: Advice, data: st.DataObject) -> None:
    value = advice.to_bytes()
    if value:
        cut = data.draw(st.integers(1, len(value) - 1))
        with pytest.raises((ValueError, struct.error)):
            Advice.from_bytes(value[:cut])


def test_what_was_shown_and_was_no_candidate_is_refused() -> None:
    decision = Decision(bytes(16), 0, bytes(4), (Shown(1, 1, 1, 1),), (Considered(2, 1, 1),))
    with pytest.raises(ValueError, match="not among the candidates"):
        Advice.from_bytes(Advice(decisions=(decision,)).to_bytes())


def test_nobody_was_advised_costs_nothing() -> None:
    assert Advice().to_bytes() == b""


def test_as_much_as_the_defaults_allow_stays_below_720_bytes() -> None:
    of = LearnerSettings().recommending_policy
    actions, settings = of.catalogue.actions, of.settings
    assert len(actions) == 16
    shown = tuple(Shown(one.key, 1, 1, 1) for one in actions[: of.places])
    older = Decision(bytes(16), 0, bytes(4), shown)
    newest = Decision(
        bytes(16),
        0,
        bytes(4),
        shown,
        tuple(Considered(one.key, 1, 1) for one in actions),
        (0,) * len(of.catalogue.context),
    )
    advice = Advice(
        standing=True,
        decisions=(*[older] * (settings.remembered - 1), newest),
        learned=tuple(Learned(n, 1.0, 1.0) for n in range(settings.learned_actions)),
        # Somebody who refused everything.
        resting=tuple((one.key, 0) for one in actions),
    )
    assert len(advice.to_bytes()) <= 720


def test_every_action_of_the_largest_catalogue_may_rest() -> None:
    advice = Advice(resting=tuple((key, 1) for key in range(MAX_ACTIONS)))
    assert Advice.from_bytes(advice.to_bytes()) == advice


@given(st.floats(0, 1))
def test_shares_come_back_to_a_65535th(value: float) -> None:
    assert abs(unshare(share(value)) - value) <= 1 / WHOLE
    assert share(unshare(share(value))) == share(value)


@given(st.floats(-1e9, 1e9))
def test_a_fact_beyond_its_range_is_at_its_end(value: float) -> None:
    kept = scaled(value, -2.0, 3.0)
    assert kept is not None
    assert 0 <= unscaled(kept) <= 1
    assert abs(unscaled(kept) - min(1, max(0, (value + 2) / 5))) <= 1e-4
    assert scaled(None, 0, 1) is None
