"""What stood before a turn, and nothing of what came with or after it."""

import json

import pytest

from models.tutor.moves.serving.dialogue import Move, Turn
from models.tutor.moves.training.readers import DataProblem, read
from schemas.vocabulary import Speaker
from tests.models.tutor.moves.dialogues import mathdial_row, write_mathdial

SECRET = "only known afterwards"


def test_each_teacher_turn_knows_what_stood_before_it(tmp_path):
    row = mathdial_row(5, [Move.GENERIC, Move.PROBING])
    first, second = read(write_mathdial(tmp_path / "m.jsonl", [row]))

    assert (first.dialogue, first.turn, first.gold) == (5, 0, Move.GENERIC)
    assert first.context.turns == ()
    assert (second.turn, second.gold) == (2, Move.PROBING)
    assert second.context.turns == (
        Turn(Speaker.TEACHER, "well said , thank you"),
        Turn(Speaker.STUDENT, "I think it is 7."),
    )
    assert second.said == "why did you do this , explain it to me"


def test_what_was_written_afterwards_or_is_not_known_when_serving_is_in_no_context(tmp_path):
    afterwards = {
        "teacher_described_confusion": SECRET,
        "self-correctness": SECRET,
        "ground_truth": SECRET,
        "student_incorrect_solution": SECRET,
    }
    rows = [mathdial_row(1, [Move.GENERIC, Move.FOCUS], **afterwards)]
    examples = read(write_mathdial(tmp_path / "m.jsonl", rows))
    assert not any(SECRET in repr(e.context) for e in examples)


@pytest.mark.parametrize("name", ["Student", "Mariana", "DeAndre O'Neil"])
def test_a_student_may_be_called_anything(tmp_path, name):
    talk = f"Teacher: (generic)Hi|EOM|{name}: (focus) is 3: yes|EOM|Teacher: (telling)It is 4"
    row = mathdial_row(1, [], conversation=talk)
    examples = read(write_mathdial(tmp_path / "m.jsonl", [row]))

    assert examples[1].context.turns[1] == Turn(Speaker.STUDENT, "(focus) is 3: yes")


@pytest.mark.parametrize("said", ["Hello", "(smiles)Hello", "()Hello"])
def test_a_turn_without_one_of_the_four_tags_has_no_gold_and_keeps_its_words(tmp_path, said):
    talk = f"Teacher: {said}|EOM|Student: Hi|EOM|Teacher: (focus)Go on"
    row = mathdial_row(1, [], conversation=talk)
    first, second = read(write_mathdial(tmp_path / "m.jsonl", [row]))

    assert first.gold is None
    assert second.context.turns[0] == Turn(Speaker.TEACHER, said)


def test_a_line_separator_inside_text_does_not_cut_the_row(tmp_path):
    row = mathdial_row(1, [Move.FOCUS], question="How many\u2028apples?")
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")

    assert read(path)[0].context.question == "How many\u2028apples?"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"conversation": None}, "conversation"),
        ({"conversation": "no speaker here"}, "conversation: turn 0"),
        ({"qid": None}, "qid"),
        ({"question": 3}, "question"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_field(tmp_path, change, told):
    rows = [mathdial_row(1, [Move.FOCUS]), mathdial_row(2, [Move.FOCUS], **change)]

    with pytest.raises(DataProblem, match=rf"m\.jsonl:2: {told}"):
        read(write_mathdial(tmp_path / "m.jsonl", rows))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "no teacher turn"),
        ("{not json", r":1: not JSON"),
        ("[1, 2]", ":1: expected an object"),
        ('{"dialogues": []}', "conversation"),
    ],
)
def test_a_file_of_another_layout_says_why(tmp_path, content, told):
    path = tmp_path / "file"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(DataProblem, match=told):
        read(path)
    with pytest.raises(DataProblem, match="cannot be read"):
        read(tmp_path / "absent")
