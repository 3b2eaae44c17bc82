"""What is written is what is read; what cannot be used says why; small enough to ship."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from models.artefacts import CARD
from models.learner.config import NetSettings
from models.learner.nets.serving.artefact import WEIGHTS, NetProblem, load, save
from models.learner.nets.serving.grades import TABLE, load_grading
from models.learner.nets.serving.intervention import InterventionNet
from models.learner.nets.serving.readiness import LearningReadinessNet
from schemas.vocabulary import Level
from tests.models.learner.nets.build import practising

FOLDERS = [f for f in (NetSettings().readiness, NetSettings().intervention) if f is not None]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_round_trip_gives_the_same_version(folder, tmp_path):
    shipped = load(folder)
    again = save(tmp_path, shipped.card, shipped.tensors)

    assert again.version == shipped.version
    assert again.card == shipped.card
    assert all(np.array_equal(again.tensors[n], t) for n, t in shipped.tensors.items())
    assert (tmp_path / "card.md").read_text() == (folder / "card.md").read_text()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_a_shipped_artefact_is_small_and_its_card_complete(folder):
    card = load(folder).card

    assert sum(file.stat().st_size for file in folder.iterdir()) < 200_000
    assert card.data
    assert card.metrics
    assert card.baselines
    assert card.limits
    assert card.not_for
    assert all(data.licence for data in card.data)


@pytest.mark.parametrize("missing", [WEIGHTS, CARD])
def test_a_missing_file_is_named(missing, tmp_path):
    shutil.copytree(FOLDERS[0], tmp_path / "net")
    (tmp_path / "net" / missing).unlink()

    with pytest.raises(NetProblem, match=missing):
        load(tmp_path / "net")


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("query", np.zeros(3)),
        ("query", np.full(8, np.nan)),
        ("bins", np.array([0.9, 0.1, 0.2, 0.3])),
    ],
)
def test_a_broken_tensor_is_named(name, broken, tmp_path):
    shipped = load(FOLDERS[0])
    artefact = save(tmp_path, shipped.card, {**shipped.tensors, name: broken})

    with pytest.raises(NetProblem, match=name):
        LearningReadinessNet(artefact)


def test_thresholds_out_of_order_are_refused(tmp_path):
    shipped = load(FOLDERS[1])
    falling = shipped.tensors["thresholds"][::-1]
    artefact = save(tmp_path, shipped.card, {**shipped.tensors, "thresholds": falling})

    with pytest.raises(NetProblem, match="thresholds"):
        InterventionNet(artefact, load_grading())


def test_the_readout_is_linear_in_the_weights(tmp_path):
    shipped = load(FOLDERS[0])
    silent = save(
        tmp_path, shipped.card, {**shipped.tensors, "readout": 0 * shipped.tensors["readout"]}
    )
    expected = 1 / (1 + np.exp(-shipped.tensors["output"][1]))

    assert LearningReadinessNet(silent).read(practising(0.3, 0.9)).score == pytest.approx(expected)


# -- the table of grades ------------------------------------------------------------------


def test_grades_rise_to_all_six_levels():
    grading = load_grading()

    assert [grading.level(g) for g in (1, 2, 3, 4, 5, 6, 7)] == [Level.NONE, *Level]
    assert grading.level(3.5) is Level.MILD
    assert [grading.first(level) for level in list(Level)[1:]] == [3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("post,4,mild", "post,4,none"), "rise"),
        (lambda text: text.replace("post,4,mild", "post,5,mild"), "each of 1..7"),
        (lambda text: text.replace("post,4,mild", "post,4,mildly"), "mildly"),
        (lambda text: text.splitlines()[0] + "\npost,1,none,\n", "no reason"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(change, said, tmp_path):
    file = Path(tmp_path / "grades.csv")
    file.write_text(change(TABLE.read_text()))

    with pytest.raises(NetProblem, match=said):
        load_grading(file)
