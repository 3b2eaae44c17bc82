"""Figures of alarms, by hand."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.emotion.measuring.concerns import (
    ALARMED_AT_MOST,
    all_points,
    comparable,
    concern_figures,
    curve,
)
from models.emotion.measuring.served import Prediction
from models.emotion.training.examples import LabelledMessage

AT = 0.5


def said(concern: float | None, *, by_words: bool = False) -> Prediction:
    by_model = concern is not None and concern >= AT
    reason = None if concern is not None else "nothing_to_read"
    return Prediction(0, 0.5, 1.0, reason, concern, by_words=by_words, by_model=by_model)


def messages(*rows: tuple[int | None, str]) -> list[LabelledMessage]:
    return [LabelledMessage("text", label, kind) for label, kind in rows]


MESSAGES = messages(
    (1, "abuse/plain"), (1, "abuse/plain"), (1, "abuse/hint"), (1, "abuse/hint"),
    (0, "near/games"), (0, "near/games"), (0, ""), (None, "near/games"),
)  # fmt: skip
PREDICTIONS = [
    said(0.9), said(0.1, by_words=True), said(0.3), said(None),
    said(0.6), said(0.2), said(0.0), said(0.9),
]  # fmt: skip


def test_found_are_those_of_a_person_and_alarmed_are_the_others() -> None:
    found = concern_figures(MESSAGES, PREDICTIONS, AT)
    told = json.loads(json.dumps(found.as_json()))
    assert (told["rows"], told["n"], told["concern_at"]) == (8, 7, AT)
    assert (told["found"]["count"], told["found"]["rows"]) == (2, 4)
    assert (told["alarmed"]["count"], told["alarmed"]["rows"]) == (1, 3)
    assert [told["by_words"][key]["count"] for key in ("found", "alarmed")] == [1, 0]
    assert [told["by_model"][key]["count"] for key in ("found", "alarmed")] == [1, 1]
    assert {kind: (s.count, s.rows) for kind, s in found.found_by_kind.items()} == {
        "abuse/plain": (2, 2),
        "abuse/hint": (0, 2),
    }
    assert {kind: (s.count, s.rows) for kind, s in found.alarmed_by_kind.items()} == {
        "near/games": (1, 2)
    }
    # Of 4 x 3 pairs these are in the right order: .9 before three, .1 before one, .3 before two;
    # the message that was not read has 0, as a harmless one has.
    assert found.roc_auc == pytest.approx((3 + 1 + 2 + 0.5) / 12)
    assert found.average_precision == pytest.approx((1 / 1 + 2 / 3 + 3 / 5 + 4 / 7) / 4)


def test_a_curve_tells_what_each_operating_point_brings() -> None:
    scored = comparable(MESSAGES, PREDICTIONS)
    assert scored is not None
    point = scored.at(0.3)
    assert (point.found, point.found_alone) == (3 / 4, 2 / 4)
    assert point.alarmed == point.alarmed_alone == 1 / 3
    assert [p.at for p in curve(scored)] == [0.9, 0.3]
    assert curve(scored) == concern_figures(MESSAGES, PREDICTIONS, AT).curve


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 0.9]), st.booleans()), max_size=30
    )
)
def test_points_only_rise(rows: list[tuple[bool, float, bool]]) -> None:
    scored = comparable(
        messages(*((int(label), "") for label, _, _ in rows)),
        [said(concern, by_words=by_words) for _, concern, by_words in rows],
    )
    if len({label for label, _, _ in rows}) < 2:
        assert scored is None
        return
    assert scored is not None
    points = all_points(scored)
    for strict, loose in pairwise(points):
        assert strict.at > loose.at
        assert strict.found_alone <= loose.found_alone <= loose.found
        assert strict.alarmed_alone <= loose.alarmed_alone <= loose.alarmed
    assert (points[-1].found, points[-1].alarmed) == (1, 1)
    kept = curve(scored)
    assert set(kept) <= set(points)
    for most in ALARMED_AT_MOST:
        # Nothing that keeps the bound finds more than what was kept of it.
        within = [p.found_alone for p in points if p.alarmed_alone <= most]
        best = [p.found_alone for p in kept if p.alarmed_alone <= most]
        assert max(within, default=0) == max(best, default=0)


@pytest.mark.parametrize(
    ("rows", "predictions"),
    [
        (messages((1, "a"), (0, "b")), [said(None), said(None)]),
        (messages((1, "a"), (1, "b")), [said(0.4), said(0.3)]),
        (messages((None, "a")), [said(0.4)]),
        ([], []),
    ],
    ids=["no-head", "one-label", "unlabelled", "empty"],
)
def test_no_curve_where_nothing_can_be_told_apart(
    rows: list[LabelledMessage], predictions: list[Prediction]
) -> None:
    found = concern_figures(rows, predictions, AT)
    assert (found.average_precision, found.roc_auc, found.curve) == (None, None, ())
    json.dumps(found.as_json())
