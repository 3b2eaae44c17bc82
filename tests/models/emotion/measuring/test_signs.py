"""Figures of signs, by hand."""

from __future__ import annotations

import json

import pytest

from models.emotion.measuring.served import Prediction, Sign
from models.emotion.measuring.signs import CLAIMED_ABOVE, claimed, share_of, sign_figures
from models.emotion.training.examples import LabelledMessage

BAND = (0.4, 0.6)


def said(sign: Sign, confidence: float = 1.0, reason: str | None = None) -> Prediction:
    return Prediction(sign, 0.5, confidence, reason, None, by_words=False, by_model=False)


UNREAD = said(0, 0.0, "nothing_to_read")


def test_every_labelled_row_counts_and_what_was_not_read_is_neutral() -> None:
    rows: list[tuple[int | None, str, Prediction]] = [
        (1, "irony", said(1)),
        (-1, "irony", said(1)),
        (-1, "slang", said(-1, 0.2)),
        (-1, "", UNREAD),
        (0, "slang", UNREAD),
        (None, "slang", said(-1)),
    ]
    found = sign_figures(
        [LabelledMessage("text", label, kind) for label, kind, _ in rows],
        [prediction for _, _, prediction in rows],
        BAND,
    )
    assert (found.rows, found.n) == (6, 5)
    assert found.accuracy is not None
    assert (found.accuracy.count, found.accuracy.rows) == (3, 5)
    assert {kind: (s.count, s.rows) for kind, s in found.by_kind.items()} == {
        "irony": (1, 2),
        "slang": (2, 2),
    }
    #                        read -1, 0, 1; meant -1, then 0, then 1
    assert found.confusion == ((1, 1, 1), (0, 1, 0), (0, 0, 1))
    # Also of what nobody has labelled: it is shown all the same.
    assert found.claimed is not None
    assert (found.claimed.count, found.claimed.rows) == (3, 6)
    assert {kind: (s.count, s.rows) for kind, s in found.claimed_by_kind.items()} == {
        "irony": (2, 2),
        "slang": (1, 3),
    }
    told = json.loads(json.dumps(found.as_json()))
    assert told["accuracy"]["share"] == pytest.approx(3 / 5)
    assert told["band"] == list(BAND)


def test_nothing_is_measured_of_nothing_labelled() -> None:
    found = sign_figures([LabelledMessage("a", None, "k")], [said(1)], BAND)
    assert (found.n, found.accuracy, found.by_kind) == (0, None, {})
    assert found.claimed is not None
    empty = sign_figures([], [], BAND)
    assert (empty.rows, empty.claimed) == (0, None)
    json.dumps(empty.as_json())


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (said(0, CLAIMED_ABOVE), False),
        (said(0, CLAIMED_ABOVE + 0.001), True),
        (said(0, 1.0, "unsupported_language"), False),
    ],
)
def test_a_claim_is_what_was_read_with_some_weight(prediction: Prediction, expected: bool) -> None:
    assert claimed(prediction) == expected


def test_an_interval_holds_the_share_and_narrows_with_rows() -> None:
    few, many = share_of([True, True, False, True] * 5), share_of([True, True, False, True] * 500)
    assert few is not None
    assert many is not None
    assert few.low < few.share == many.share == 0.75 < few.high
    assert few.low < many.low < 0.75 < many.high < few.high
    assert share_of([]) is None
