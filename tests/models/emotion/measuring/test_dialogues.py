"""Alarms over a learner's messages together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.emotion.config import ConcernSettings, EmotionSettings
from models.emotion.hints import Hints, Place
from models.emotion.measuring.dialogues import (
    APART,
    DialogueFigures,
    DialogueOutcome,
    dialogue_figures,
    outcome_of,
)
from models.emotion.measuring.evaluation import evaluate_messages
from models.emotion.measuring.served import Prediction
from models.emotion.training.examples import DataProblem, LabelledDialogue
from models.tutor.safety.config import SafetySettings

SETTINGS = ConcernSettings(at=0.8, hints_at=1.2, hint_from=0.1)


def said(concern: float | None, *, by_words: bool = False) -> Prediction:
    reason = None if concern is not None else "nothing_to_read"
    by_model = concern is not None and concern >= SETTINGS.at
    return Prediction(0, 0.5, 1.0, reason, concern, by_words=by_words, by_model=by_model)


@pytest.mark.parametrize(
    ("messages", "at", "by", "by_one"),
    [
        ([], None, None, False),
        ([said(0.0), said(None), said(0.05)], None, None, False),
        ([said(0.0), said(0.9)], 1, "message", True),
        ([said(0.0), said(None, by_words=True)], 1, "words", True),
        # -log(1 - .5) is .69: two are more than 1.2, but for what a minute takes away
        ([said(0.5), said(None), said(0.5)], 2, "messages", False),
        ([said(0.5), said(0.5), said(0.9)], 1, "messages", True),
        ([said(0.5), said(0.05), said(0.05)], None, None, False),
        ([said(0.9, by_words=True)], 0, "words", True),
    ],
)
def test_the_first_alarm_counts(
    messages: list[Prediction], at: int | None, by: str | None, by_one: bool
) -> None:
    found = outcome_of(messages, SETTINGS)
    assert (found.at, found.by, found.by_one) == (at, by, by_one)
    assert found.alarm == (at is not None)
    assert found.as_json() == {"alarm": found.alarm, "at": at, "by": by}


def test_hints_add_up_as_the_worker_adds_them() -> None:
    for concern in (0.15, 0.25, 0.35, 0.45):
        hints = Hints(SETTINGS)
        by_the_worker = next(
            at
            for at in range(100)
            if hints.read("ann", Place(0, at, at * APART), concern, at * APART)
        )
        assert outcome_of([said(concern)] * 100, SETTINGS).at == by_the_worker


def test_dialogues_are_counted_by_label_and_kind() -> None:
    rows: list[tuple[int | None, str, DialogueOutcome]] = [
        (1, "abuse/hint", DialogueOutcome(2, "messages", by_one=False)),
        (1, "abuse/hint", DialogueOutcome(None, None, by_one=False)),
        (1, "suicide/plain", DialogueOutcome(0, "words", by_one=True)),
        (0, "ordinary", DialogueOutcome(1, "messages", by_one=False)),
        (0, "ordinary", DialogueOutcome(None, None, by_one=False)),
        (None, "ordinary", DialogueOutcome(0, "words", by_one=True)),
    ]
    found = dialogue_figures(
        [LabelledDialogue(("text",), label, kind) for label, kind, _ in rows],
        [outcome for _, _, outcome in rows],
        SETTINGS,
    )
    told = json.loads(json.dumps(found.as_json()))
    assert (told["rows"], told["n"], told["concern_at"], told["hints_at"]) == (6, 5, 0.8, 1.2)
    assert [(told[key]["count"], told[key]["rows"]) for key in ("found", "alarmed")] == [
        (2, 3),
        (1, 2),
    ]
    assert [told["by_one"][key]["count"] for key in ("found", "alarmed")] == [1, 0]
    assert {kind: s.count for kind, s in found.found_by_kind.items()} == {
        "abuse/hint": 1,
        "suicide/plain": 1,
    }
    assert {kind: s.count for kind, s in found.alarmed_by_kind.items()} == {"ordinary": 1}


def test_a_dialogue_has_a_prediction_in_its_place(tmp_path: Path) -> None:
    data, out = tmp_path / "d.jsonl", tmp_path / "out.jsonl"
    rows = [
        {"messages": ["where is page 3?", "\u200b", "i want to kill myself"], "concern": 1},
        {"messages": []},
        {"messages": ["i want to kill myself"], "concern": 1, "kind": "suicide/plain"},
        {"messages": ["where is page 3?", "thanks"], "concern": 0, "kind": "ordinary"},
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcome = evaluate_messages(
        data, "dialogues", EmotionSettings(device="cpu"), SafetySettings(), predictions=out
    )
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        {"row": 0, "alarm": True, "at": 2, "by": "words"},
        {"row": 1, "alarm": False, "at": None, "by": None},
        {"row": 2, "alarm": True, "at": 0, "by": "words"},
        {"row": 3, "alarm": False, "at": None, "by": None},
    ]
    assert isinstance(outcome.figures, DialogueFigures)
    assert (outcome.figures.rows, outcome.figures.n) == (4, 3)
    data.write_text('{"messages": []}\n{"messages": 1}\n')
    with pytest.raises(DataProblem, match=r"d\.jsonl:2: messages"):
        evaluate_messages(data, "dialogues", EmotionSettings(device="cpu"), SafetySettings())
