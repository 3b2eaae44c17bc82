"""`masterx evaluate behaviour` on files that do not hold all that a figure needs."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from models.learner.behaviour.serving.artefact import load_behaviour
from models.learner.behaviour.serving.config import SHIPPED
from models.learner.behaviour.training.evaluation import TASKS, Evaluation, evaluate
from models.learner.behaviour.training.examples import read_examples
from models.learner.behaviour.training.run import TooFewOutcomes, cross_validate
from models.learner.behaviour.training.sources import BehaviourDataProblem, read_nback

KEYS = {
    "task", "n", "people", "positives", "auc", "ece", "brier", "interval", "left_out", "notes",
}  # fmt: skip
FIGURES = {"auc", "ece", "brier", "interval"}
PROBLEMS = (
    "user_id,order_id,skill_name,hint_total,correct,ms_first_response,attempt_count,hint_count"
)
BLOCKS = "hit,cr,md,td,perf,eff,fr,n,id"
CLIPS = "Unique-id,namea,OffTask,Avgright,AvgtimeSDnormed,Avgtimelast3SDnormed,Avgtimelast5SDnormed"


def measured(task: str, folder: Path, header: str, rows: list[str]) -> Evaluation:
    return evaluate(task, written(folder, header, rows), SHIPPED)


def written(folder: Path, header: str, rows: list[str]) -> Path:
    file = folder / "data.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def clips(people: int, off: set[int]) -> list[str]:
    """Five a person; of those in `off` the first is off task, and slow."""
    return [
        f"s-{clip},p{person},{'Y' if is_off else 'N'},1,{3 if is_off else clip / 5},0.2,0.4"
        for person in range(people)
        for clip in range(5)
        for is_off in [person in off and clip == 0]
    ]


@pytest.mark.parametrize("right", [0, 1])
def test_one_outcome_leaves_the_auc_undefined_and_nothing_else(tmp_path: Path, right: int) -> None:
    rows = [f"p{i % 6},{i},Area,2,{right},9000,1,0" for i in range(30)]
    found = measured("next_correct", tmp_path, PROBLEMS, rows)
    assert (found.n, found.people, found.positives) == (30, 6, 30 * right)
    assert found.auc is None
    assert found.interval is None
    truth = np.full(30, right)
    assert found.brier == pytest.approx(float(np.mean((found.probabilities - truth) ** 2)))
    assert found.ece == pytest.approx(abs(float(found.probabilities.mean()) - right), abs=1e-6)
    assert "every outcome" in found.notes[0]
    assert set(found.as_json()) == KEYS


def test_both_outcomes_have_every_figure_and_no_note(tmp_path: Path) -> None:
    rows = [f"p{i % 6},{i},Area,2,{i % 2},9000,1,0" for i in range(30)]
    found = measured("next_correct", tmp_path, PROBLEMS, rows).as_json()
    assert {key for key in FIGURES if found[key] is None} == set()
    assert found["notes"] == ()


@pytest.mark.parametrize(
    ("task", "header", "row"),
    [
        ("next_correct", PROBLEMS, "p1,1,Area,2,,,,"),
        ("next_hint", PROBLEMS, "p1,1,Area,2,,,,"),
        ("load", BLOCKS, "1,1,,,,,,2,p1"),
        ("offtask", CLIPS, "s-1,p1,,1,0.1,0.2,0.3"),
    ],
)
def test_without_an_outcome_every_key_is_there(
    tmp_path: Path, task: str, header: str, row: str
) -> None:
    assert task in TASKS
    found = measured(task, tmp_path, header, [row]).as_json()
    assert set(found) == KEYS
    assert found["n"] == 0
    assert {found[key] for key in FIGURES} == {None}
    assert found["notes"] == ("no figures: no row has an outcome that could be read",)


def test_off_task_of_one_positive_is_not_cross_validated(tmp_path: Path) -> None:
    """Else the fold that holds the positive is read by a fit that never saw one: AUC 0."""
    found = measured("offtask", tmp_path, CLIPS, clips(20, {3}))
    assert (found.n, found.positives) == (100, 1)
    assert found.auc is None
    assert found.interval is None
    assert found.brier is not None
    assert "cannot be cross-validated" in found.notes[0]
    assert "1 positive of 100 rows, of 20 people" in found.notes[0]
    unlabelled = [row.replace(",Y,", ",,").replace(",N,", ",,") for row in clips(20, {3})]
    as_served = measured("offtask", tmp_path, CLIPS, unlabelled)
    assert found.probabilities == pytest.approx(as_served.probabilities)


def test_off_task_of_two_people_is_cross_validated(tmp_path: Path) -> None:
    found = measured("offtask", tmp_path, CLIPS, clips(20, {3, 11}))
    assert found.auc is not None
    assert found.auc > 0.9
    assert found.notes == ()


def test_all_positives_of_one_person_cannot_be_cross_validated() -> None:
    truth = np.array([True] * 5 + [False] * 15)
    people = ["a"] * 5 + ["b"] * 15
    with pytest.raises(TooFewOutcomes, match="5 positive of 20 rows, of 2 people"):
        cross_validate("offtask", np.arange(20.0)[:, None], truth, people)


def test_rated_blocks_of_which_nothing_can_be_read_are_counted(tmp_path: Path) -> None:
    """Their ratings stay in the person's mean, as in training: here they tip the second."""
    # Given a person's three blocks, rated 5, 7 and (without a right trial) 15
    rated = [f"{hit},{hit},{r},{r},{21 - r},{r},{r},2,p1" for hit, r in ((1, 5), (0.8, 7), (0, 15))]
    rows = [*rated, "0,0,,,,,,3,p1"]
    file = written(tmp_path, BLOCKS, rows)
    blocks = read_nback(file)
    assert [block.is_played for block in blocks] == [True, True, False, False]
    assert fmean(block.rating for block in blocks if block.rating is not None) == 9
    # When they are measured
    found = evaluate("load", file, SHIPPED)
    # Then the third is told, and its rating makes both others lower than the mean
    assert (found.n, found.positives, found.left_out) == (2, 0, 1)
    assert "1 rated" in found.notes[-1]
    assert "mean" in found.notes[-1]
    population = load_behaviour(SHIPPED).population
    assert read_examples("load", file, population).labels == (False, False)


def test_a_field_without_end_is_told_with_its_line(tmp_path: Path) -> None:
    rows = ["p1,1,Area,2,1,9000,1,0", 'p1,2,"' + "x" * 140_000]
    with pytest.raises(BehaviourDataProblem, match=r"data\.csv: line 3: .*field larger"):
        measured("next_correct", tmp_path, PROBLEMS, rows)


def test_a_row_that_is_too_short_is_told(tmp_path: Path) -> None:
    with pytest.raises(BehaviourDataProblem, match=r"data\.csv: row 1, skill_name: is missing"):
        measured("next_correct", tmp_path, PROBLEMS, ["p1,1,Area,2,1,9000,1,0", "p1,2"])
