"""Training finds what is there; torch and numpy agree; posts are measured, graded or not."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from models.emotion.config import EmotionSettings
from models.evaluation.scores import auc, rmse
from models.learner.behaviour.training.sources import ProblemRow
from models.learner.config import LearnerSettings, NetSettings
from models.learner.nets.fitting import figures, intervention, need, readiness
from models.learner.nets.fitting.calibrating import Calibrated
from models.learner.nets.fitting.evaluation import evaluate
from models.learner.nets.fitting.posts import read_posts
from models.learner.nets.fitting.replay import Moment, outcome_of, replay
from models.learner.nets.serving.artefact import NetProblem
from models.learner.nets.serving.grades import load_grading
from models.learner.nets.serving.inputs import NetInputs
from models.learner.nets.serving.intervention import InterventionNet
from models.learner.nets.serving.readiness import LearningReadinessNet
from schemas.vocabulary import Level
from tests.models.learner.nets.build import affect, practising

TEXTS = {
    6.0: 'Help, I cannot submit, the deadline is today!\nIt says "error" and nothing works.',
    1.0: "Hello everybody, I am happy to be here and look forward to the course.",
    2.0: "I liked the lecture on balance sheets, thank you.",
}


def moments(n: int, rng: np.random.Generator) -> list[Moment]:
    """Learners whose accuracy tells what comes next."""
    made = []
    for index in range(n):
        accuracy = float(rng.random())
        right = bool(rng.random() < accuracy)
        outcome = "unaided" if right else str(rng.choice(["wrong", "hint", "all_hints"]))
        features = practising(accuracy, 1 - accuracy)
        made.append(Moment(f"p{index % 40}", features, right, outcome))
    return made


def test_readiness_learns_what_is_there_and_numpy_reads_it_alike(tmp_path):
    made = moments(800, np.random.default_rng(1))
    fit = readiness.fit_readiness(made, tmp_path, readiness.Hyper(epochs=15))
    net = LearningReadinessNet(fit.artefact)
    served = np.array([net.read(m.features).score for m in made])
    truth = np.array([float(m.correct) for m in made])

    assert auc(fit.scores, truth) > 0.75
    assert figures.ece(served, truth) < 0.1
    assert np.corrcoef(served, fit.scores)[0, 1] > 0.95
    assert {"affect", "engagement", "pace"} <= set(fit.artefact.card.untrained)


def test_intervention_learns_both_sides_and_numpy_reads_them_alike(tmp_path):
    rng = np.random.default_rng(2)
    embedding = rng.normal(size=(900, 16))
    grade = np.clip(np.round(2.5 + 1.5 * embedding[:, 0] + 0.3 * rng.normal(size=900)), 1, 7)
    dev = np.arange(900) % 4 == 0
    posts = intervention.Graded(embedding, grade, [str(i) for i in range(900)], dev)
    artefact = intervention.fit_intervention(
        posts,
        moments(600, rng),
        grading=load_grading(),
        emotion_version="emotion-1",
        folder=tmp_path,
        hyper=need.Hyper(epochs=25, seeds=2, drop=0.1, rate=1e-2),
    )
    net = InterventionNet(artefact, load_grading())
    urgency = 1 + net.exceeds(net.text(embedding[dev])).sum(1)
    measured = artefact.card.metrics["urgency, posts left out of all training"]
    needs = [net.need(NetInputs(practising(a, 1 - a))) for a in (0.1, 0.9)]

    assert measured["spearman"] > 0.85
    assert rmse(urgency, grade[dev]) == pytest.approx(measured["rmse"], abs=0.1)
    assert needs[0] is not None
    assert needs[1] is not None
    assert needs[0].urgency > needs[1].urgency
    assert "trajectory" in artefact.card.untrained
    assert not net.reads(affect())


def test_calibration_undoes_an_embedding_that_knew_too_much():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=4_000)
    grade = np.clip(np.round(2 + truth + rng.normal(size=4_000)), 1, 7)
    calibrated = Calibrated.fit(5 * truth, grade)
    expected = 1 + calibrated.exceeds(5 * truth).sum(1)

    assert np.all(np.diff(calibrated.thresholds) > 0)
    assert abs(expected.mean() - grade.mean()) < 0.05
    assert rmse(expected, grade) < 1.02


# -- replay -------------------------------------------------------------------------------


def row(number: int, order: int, **fields: object) -> ProblemRow:
    given = {"correct": True, "seconds": 20.0, "attempts": 1, "hints": 0, **fields}
    return ProblemRow(number, "p", order, "Area", 3, **given)  # type: ignore[arg-type]


def test_a_moment_knows_earlier_rows_only_and_in_their_order():
    rows = [row(0, 30, correct=False), row(1, 10), row(2, 20)]
    first, second, third = replay(rows, LearnerSettings())

    assert "accuracy" not in first.features
    assert second.features["accuracy"].values == pytest.approx((1.0, 1.0))
    assert third.features["accuracy"].values == pytest.approx((1.0, 1.0))
    assert not third.correct


def test_a_jump_of_the_order_id_begins_a_session():
    rows = [row(n, order) for n, order in enumerate((1, 2, 3, 1_000_000, 1_000_001))]
    times = [m.features.get("time_in_session") for m in replay(rows, LearnerSettings())]

    assert [time is None for time in times] == [True, False, False, False, False]
    lasted = [time.values[0] for time in times if time is not None]
    assert lasted[0] < lasted[1] < lasted[2]  # the third is read before the session begins anew
    assert lasted[3] == 0.0


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, "unaided"),
        ({"correct": False}, "wrong"),
        ({"correct": False, "hints": 1}, "hint"),
        ({"correct": False, "hints": 3}, "all_hints"),
    ],
)
def test_what_came_of_an_exercise(fields, outcome):
    assert outcome_of(row(0, 1, **fields)) == outcome


# -- masterx evaluate intervention --------------------------------------------------------


def write(file: Path, rows: list[dict[str, object]]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_graded_and_ungraded_posts_keep_their_order(tmp_path):
    texts = list(TEXTS.items())
    rows = [
        {"id": i, "post_text": text, "Urgency_1_7": "" if i == 2 else grade}
        for i, (grade, text) in enumerate(texts)
    ]
    data, out = write(tmp_path / "posts.csv", rows), tmp_path / "out.jsonl"
    found = evaluate(data, NetSettings(), EmotionSettings(), out).as_json()
    lines = [json.loads(line) for line in out.read_text().splitlines()]

    assert (found["rows"], found["n"]) == (3, 2)
    assert found["rmse"] >= 0
    assert found["spearman"] == pytest.approx(1.0)
    assert found["per_level"]["significant"]["support"] == 1
    assert [line["row"] for line in lines] == [0, 1, 2]
    assert lines[0]["urgency"] > max(lines[1]["urgency"], lines[2]["urgency"])
    assert all(1 <= line["urgency"] <= 7 and line["level"] in set(Level) for line in lines)


def test_posts_without_the_columns_of_grade_and_id_are_predicted(tmp_path):
    data = write(tmp_path / "posts.csv", [{"post_text": text} for text in TEXTS.values()])
    out = tmp_path / "out.jsonl"
    found = evaluate(data, NetSettings(), EmotionSettings(), out)

    assert (found.rows, found.n, found.spearman, found.rmse) == (3, 0, None, None)
    assert len(out.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("rows", "said"),
    [([{"text": "a"}], "post_text"), ([{"post_text": "a", "Urgency_1_7": "9"}], "'9' is not in")],
)
def test_a_file_that_is_not_posts_says_why(rows, said, tmp_path):
    with pytest.raises(NetProblem, match=said):
        read_posts(write(tmp_path / "posts.csv", rows))


def test_a_net_without_folder_cannot_be_measured(tmp_path):
    data = write(tmp_path / "posts.csv", [{"post_text": "a"}])

    with pytest.raises(NetProblem, match="no folder"):
        evaluate(data, NetSettings(intervention=None), EmotionSettings())
