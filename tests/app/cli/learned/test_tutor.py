"""`masterx train tutor-moves` and `masterx evaluate tutor`, as a shell meets them."""

import json

from models.tutor.moves.serving.dialogue import MOVES, Move
from tests.app.cli.test_commands import masterx
from tests.models.tutor.moves.dialogues import (
    data_folder,
    in_turn,
    mathdial_row,
    write_mathdial,
)


def test_evaluate_writes_a_line_for_each_teacher_turn_and_one_json_object(tmp_path):
    file = write_mathdial(tmp_path / "m.jsonl", [mathdial_row(8, [Move.GENERIC, Move.FOCUS])])
    out = tmp_path / "predictions.jsonl"
    run = masterx("evaluate", "tutor", "--data", str(file), "--json", "--predictions", str(out))

    assert (run.returncode, run.stderr) == (0, "")
    assert {"accuracy", "macro_f1", "baseline_accuracy", "interval"} <= set(json.loads(run.stdout))
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["dialogue"], line["turn"], line["gold"]) for line in lines] == [
        (8, 0, "generic"),
        (8, 2, "focus"),
    ]
    assert all(line["move"] in set(MOVES) for line in lines)


def test_evaluate_says_what_is_wrong_with_a_file(tmp_path):
    file = tmp_path / "m.jsonl"
    file.write_text('{"qid": 1}\n')
    run = masterx("evaluate", "tutor", "--data", str(file))

    assert run.returncode == 1
    assert run.stderr == f"error: {file}:1: conversation: expected text\n"
    assert run.stdout == ""


def test_what_was_trained_can_be_evaluated(tmp_path):
    data = data_folder(tmp_path / "data", [in_turn(5, i) for i in range(20)])
    out = tmp_path / "artefact"
    trained = masterx("train", "tutor-moves", "--out", str(out), MASTERX_DATA_DIR=str(data))
    assert trained.returncode == 0, trained.stderr

    file = data / "tutor_moves" / "mathdial.jsonl"
    run = masterx("evaluate", "tutor", "--data", str(file), "--artefact", str(out))
    assert run.returncode == 0, run.stderr
    assert "100 teacher turns, 100 labelled" in run.stdout
    assert "100 of them are of dialogues that the model learned from" in run.stdout


def test_training_without_the_data_says_where_it_looked(tmp_path):
    run = masterx("train", "tutor-moves", MASTERX_DATA_DIR=str(tmp_path))

    assert run.returncode == 1
    assert str(tmp_path / "tutor_moves" / "mathdial.jsonl") in run.stderr
