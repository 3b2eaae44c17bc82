"""What is measured of a person rests on nothing of that person."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.emotion.config import EmotionSettings
from models.evaluation.scores import auc
from models.learner.config import LearnerSettings, NetSettings
from models.learner.nets.fitting import figures, readiness, run
from models.learner.nets.fitting.calibrating import behaviour_output
from models.learner.nets.fitting.crossfitting import hyper_of, with_readiness
from models.learner.nets.fitting.intervention import held_out
from models.learner.nets.fitting.replay import Moment
from models.learner.nets.serving.artefact import NetProblem, load
from models.learner.nets.serving.card import markdown
from models.learner.nets.serving.inputs import Feature
from tests.models.learner.nets.build import practising

QUICK = readiness.Hyper(epochs=3)


def moments(n: int, people: int, seed: int = 0) -> list[Moment]:
    rng = np.random.default_rng(seed)
    made = []
    for index in range(n):
        accuracy = float(rng.random())
        right = bool(rng.random() < accuracy)
        features = practising(accuracy, 1 - accuracy)
        made.append(Moment(f"p{index % people}", features, right, "unaided" if right else "hint"))
    return made


def test_a_persons_readiness_does_not_depend_on_what_came_of_their_exercises():
    """Given the same learners twice, all outcomes of one of them turned round the second time,
    Then that one's scores are the same to the bit, and others' are not."""
    made = moments(300, people=15)
    turned = [replace(m, correct=not m.correct) if m.person == "p3" else m for m in made]
    before, after = (with_readiness(given, QUICK) for given in (made, turned))
    moved = {
        m.person
        for m, now in zip(before, after, strict=True)
        if m.features["readiness"] != now.features["readiness"]
    }

    assert "p3" not in moved
    assert len(moved) >= 10
    assert [m.outcome for m in before] == [m.outcome for m in made]


def test_held_out_readiness_says_what_accuracy_says_and_is_reproducible():
    made = moments(600, people=20)
    found = with_readiness(made, replace(QUICK, epochs=15))
    scores = np.array([m.features["readiness"].values[0] for m in found])
    truth = np.array([float(m.correct) for m in made])

    assert auc(scores, truth) > 0.75
    assert figures.ece(scores, truth) < 0.12
    assert found == with_readiness(made, replace(QUICK, epochs=15))


def test_a_moment_without_an_answer_gets_no_readiness():
    made = moments(100, people=10)
    clock = {"time_in_session": Feature((1.0,), 0.0), "fatigue": Feature((0.4,), 0.5)}
    found = with_readiness([*made, Moment("p1", clock, True, "unaided")], QUICK)

    assert found[-1].features == clock
    assert all("readiness" in m.features for m in found[:-1])


def test_the_folds_are_fitted_as_the_served_net_was():
    folder = NetSettings().readiness
    assert folder is not None

    assert hyper_of(load(folder).card.training) == readiness.Hyper()
    with pytest.raises(NetProblem, match="epochs"):
        hyper_of({"dim": 8})


def test_slope_and_offset_of_a_figure_are_those_of_the_other_folds():
    rng = np.random.default_rng(4)
    fold = np.arange(400) % 4
    raw = rng.normal(size=400)
    level = np.digitize(raw + rng.normal(size=400), [0.0, 1.0])
    thresholds = np.array([0.0, 1.0])
    part = held_out(raw, level, thresholds, fold)
    turned = held_out(raw, np.where(fold == 2, 2 - level, level), thresholds, fold)
    slope, offset = behaviour_output(raw[fold != 2], level[fold != 2], thresholds)

    assert part[fold == 2] == pytest.approx(slope * raw[fold == 2] + offset)
    assert np.array_equal(part[fold == 2], turned[fold == 2])
    assert not np.isclose(part[fold != 2], turned[fold != 2]).any()


# -- masterx train readiness, then masterx train intervention ------------------------------


def write(file: Path, rows: list[dict[str, object]]) -> None:
    file.parent.mkdir(parents=True)
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def data(tmp_path):
    """Ten learners of eight exercises each, and eighty posts."""
    rng = np.random.default_rng(5)
    exercises = [
        {
            "user_id": person,
            "order_id": 100 * number + person,
            "skill_name": "Area",
            "correct": int(rng.random() < person / 10),
            "ms_first_response": int(rng.integers(5_000, 60_000)),
            "attempt_count": 1,
            "hint_count": int(rng.random() > person / 10),
            "hint_total": 3,
        }
        for person in range(10)
        for number in range(8)
    ]
    posts = [
        {
            "id": number,
            "post_text": "Help, I cannot submit!" if number % 3 else "I liked the lecture.",
            "Urgency_1_7": float(6 if number % 3 else 1 + number % 2),
        }
        for number in range(80)
    ]
    write(tmp_path / "assistments2009" / "interactions.csv", exercises)
    write(tmp_path / "forum_urgency" / "posts.csv", posts)
    return tmp_path


def test_both_runs_from_files_to_artefacts(data, monkeypatch):
    monkeypatch.setattr(figures, "RESAMPLES", 20)
    first = run.train_readiness(data, LearnerSettings(), data / "readiness", lambda _: None)
    said: list[str] = []
    settings = LearnerSettings(nets=NetSettings(readiness=data / "readiness"))
    second = run.train_intervention(
        data, settings, EmotionSettings(), data / "intervention", said.append
    )

    assert first.card.training["seed"] == readiness.Hyper().seed
    assert "readiness" in second.card.trained
    assert sum("without the people" in line for line in said) == readiness.FOLDS


def test_cards_say_how_their_figures_are_to_be_read():
    for folder in (NetSettings().readiness, NetSettings().intervention):
        assert folder is not None
        shipped = load(folder)
        text = markdown(shipped.card, shipped.version)

        assert "bins of equal counts" in text
        assert "come from everybody" in text
    assert figures.BINS == 10  # which the text names
