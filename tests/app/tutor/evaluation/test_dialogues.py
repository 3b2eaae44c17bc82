"""A file of dialogues: what it holds, and what is said of one that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from app.tutor.evaluation.dialogues import Dialogue, DialogueProblem, read_dialogues
from schemas.topics.chat import ChatReceived

EXAMPLES = Path(__file__).resolve().parents[4] / "examples" / "dialogues.jsonl"
GOOD: dict[str, Any] = {"skill": "fractions", "turns": ["what is 1/2 + 1/3?"], "expects": "a hint"}


def file_of(folder: Path, *lines: str | dict[str, Any]) -> Path:
    file = folder / "dialogues.jsonl"
    told = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("\n".join(told), encoding="utf-8")
    return file


def test_dialogues_are_read_in_order_and_empty_lines_skipped(tmp_path: Path):
    file = file_of(tmp_path, GOOD, "", {"skill": "loops", "turns": ["a", "b"]}, "  ")

    assert read_dialogues(file) == [
        Dialogue(**GOOD),
        Dialogue(skill="loops", turns=("a", "b"), expects=""),
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{", "2: is not JSON: "),
        ("[1]", "2: should be a JSON object"),
        ({"turns": ["a"]}, "2: skill: field required"),
        ({"skill": "s"}, "2: turns: field required"),
        ({"skill": 5, "turns": ["a"]}, "2: skill: input should be a valid string"),
        ({"skill": "s", "turns": "a"}, "2: turns: input should be a valid tuple"),
        ({"skill": "s", "turns": []}, "2: turns: tuple should have at least 1 item"),
        ({"skill": "s", "turns": ["a", " "]}, "2: turns.1: "),
        ({"skill": "s", "turns": ["a", 5]}, "2: turns.1: input should be a valid string"),
        ({"skill": "s", "turns": ["a"], "expects": 1}, "2: expects: input should be"),
        ({"skill": "s", "turns": ["a"], "mood": "sad"}, "2: mood: extra inputs are not permitted"),
        ({"skill": "s", "turns": ["a"], "exercise": "1/2"}, "2: exercise: input should be"),
    ],
)
def test_a_wrong_line_is_told_with_its_number_and_key(
    tmp_path: Path, wrong: str | dict[str, Any], said: str
):
    file = file_of(tmp_path, GOOD, wrong, GOOD)

    with pytest.raises(DialogueProblem) as raised:
        read_dialogues(file)

    assert str(raised.value).startswith(f"{file}:{said}")


def test_a_mark_of_the_encoding_and_other_line_ends_are_no_mistake(tmp_path: Path):
    file = tmp_path / "dialogues.jsonl"
    line = json.dumps(GOOD).encode()
    file.write_bytes(b"\xef\xbb\xbf" + line + b"\r\n" + line + b"\r\n")

    assert read_dialogues(file) == [Dialogue(**GOOD)] * 2


@pytest.mark.parametrize("lines", [(), ("", " ")])
def test_a_file_without_dialogues_is_told(tmp_path: Path, lines: tuple[str, ...]):
    with pytest.raises(DialogueProblem, match="holds no dialogue"):
        read_dialogues(file_of(tmp_path, *lines))


def test_a_message_is_what_the_gateway_would_send():
    dialogue = Dialogue(**GOOD)

    chat = dialogue.message(0, "ada", 1_700_000_000_000)

    assert (chat.user_id, chat.text, chat.wants_reply) == ("ada", GOOD["turns"][0], True)
    assert chat.event_time == chat.ingest_time == 1_700_000_000_000
    assert dialogue.message(0, "ada", 1).event_id != chat.event_id
    assert ChatReceived.parse(chat.json_bytes()) == chat


class Exercise(BaseModel):
    id: str


class ChatWithExercise(ChatReceived):
    """As a release that knows of exercises has it."""

    exercise: Exercise | None = None


def test_an_exercise_goes_with_a_message_that_can_hold_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("app.tutor.evaluation.dialogues.ChatReceived", ChatWithExercise)
    (dialogue,) = read_dialogues(file_of(tmp_path, GOOD | {"exercise": {"id": "e1"}}))

    chat = dialogue.message(0, "ada", 1)

    assert isinstance(chat, ChatWithExercise)
    assert chat.exercise == Exercise(id="e1")


def test_an_exercise_that_is_none_is_told_with_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("app.tutor.evaluation.dialogues.ChatReceived", ChatWithExercise)
    file = file_of(tmp_path, GOOD, GOOD | {"exercise": {}})

    with pytest.raises(DialogueProblem) as raised:
        read_dialogues(file)

    assert str(raised.value) == f"{file}:2: exercise.id: field required"


def test_the_examples_are_of_several_kinds():
    examples = read_dialogues(EXAMPLES)

    assert len(examples) == len({each.skill for each in examples}) == 8
    assert all(2 <= len(each.turns) <= 5 and each.expects for each in examples)
