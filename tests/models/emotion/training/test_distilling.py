"""A larger model teaches the texts that nobody rated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.emotion.artefact.artefact import Artefact
from models.emotion.config import EmotionSettings
from models.emotion.network.network import Logits
from models.emotion.serving.engine import build_engine, read_all
from models.emotion.serving.inference import probabilities
from models.emotion.training import distilling
from models.emotion.training.distilling import rated_by
from models.emotion.training.examples import Example
from models.emotion.training.losses import loss, targets, variances
from models.emotion.training.recipe import LossWeights
from models.emotion.training.run import train
from tests.models.emotion.training.test_run import data, recipe, tensors_of

__all__ = ["data"]

TEXTS = ["what a lovely day", "this is terrible", "a table", "I am so bored of this"]


def test_ratings_are_the_teachers_and_are_read_once(
    tmp_path: Path, artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "run" / "kept.safetensors"
    ratings = rated_by(artefact, TEXTS, kept)
    # Given what the teacher says of them all at once
    raw = read_all(build_engine(artefact, EmotionSettings(device="cpu")), TEXTS, artefact.card)
    np.testing.assert_allclose(ratings.pad, probabilities(raw.pad, 1.0), atol=1e-6)
    np.testing.assert_allclose(ratings.goemotions, probabilities(raw.goemotions, 1.0), atol=1e-6)

    # When they are asked for again, nothing is read again; of other texts they are
    def fail(*_args: object, **_fields: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(distilling, "read_all", fail)
    again = rated_by(artefact, TEXTS, kept)
    assert all(torch.equal(one, other) for one, other in zip(again, ratings, strict=True))
    with pytest.raises(AssertionError, match="read again"):
        rated_by(artefact, TEXTS[:2], kept)


def test_only_unrated_texts_learn_from_the_teacher() -> None:
    examples = [Example("rated", pad=(0.2, 0.4, 0.6)), Example("not"), Example("not either")]
    known = targets(examples, [])
    taught = torch.full((3, 3), torch.nan)
    taught[1] = torch.tensor([0.5, 0.5, 0.5])
    known = known._replace(taught_pad=taught)
    pad = torch.zeros(3, 3, requires_grad=True)
    none = torch.zeros(3, 0)
    logits = Logits(none, torch.zeros(3, 28), pad, torch.zeros(3, 2), torch.zeros(3), none, none)
    weights = LossWeights(goemotions=0, emotions=0, order=0, urgency=0, pad=0, taught_pad=1)
    value = loss(logits, known, weights, variances(known))
    # sigmoid(0) is what the teacher says: nothing to learn, and from the others nothing either
    assert value.item() == pytest.approx(0)
    value = loss(
        logits._replace(pad=pad + 1), known, weights, variances(known)
    )  # fmt: skip
    value.backward()
    assert pad.grad is not None
    assert [bool(row.any()) for row in pad.grad] == [False, True, False]


def test_every_text_learns_the_teachers_labels() -> None:
    known = targets([Example("labelled", goemotions=(3,)), Example("not")], [])
    known.taught_goemotions[:] = 0.5
    own = torch.zeros(2, 28, requires_grad=True)
    none = torch.zeros(2, 0)
    logits = Logits(none, own, torch.zeros(2, 3), torch.zeros(2, 2), torch.zeros(2), none, none)
    weights = LossWeights(goemotions=0, emotions=0, order=0, urgency=0, pad=0, taught_goemotions=1)
    loss(logits, known, weights, variances(known)).backward()
    # sigmoid(0) is what the teacher says
    assert own.grad is not None
    assert not own.grad.any()
    loss(logits._replace(goemotions=own + 1), known, weights, variances(known)).backward()
    assert own.grad.bool().all()


def test_a_run_with_teachers_says_so_and_leaves_nothing_behind(data: Path, tmp_path: Path) -> None:
    first = train(recipe(data, epochs=1), data, tmp_path / "first")
    second = train(recipe(data, epochs=1, seed=8), data, tmp_path / "second")
    folders = [tmp_path / "first", tmp_path / "second"]
    taught = recipe(
        data,
        epochs=1,
        teachers={"pad": folders[:1], "goemotions": folders},
        losses={"taught_pad": 1.0, "taught_goemotions": 1.0},
    )
    student = train(taught, data, tmp_path / "out")
    assert student.card.training["teachers"] == {
        "pad": [first.version],
        "goemotions": [first.version, second.version],
    }
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "card.json",
        "card.md",
        "model.safetensors",
        "tokenizer.json",
    ]
    # Nothing else differs from the first run
    for head in ("heads.pad.weight", "heads.goemotions.weight"):
        assert not torch.equal(tensors_of(student)[head], tensors_of(first)[head])


def test_a_teacher_that_is_not_there_is_missed_before_anything_is_read(tmp_path: Path) -> None:
    alone = recipe(tmp_path / "no data", teachers={"pad": [tmp_path / "gone"]})
    with pytest.raises(FileNotFoundError, match=r"pad: no artefact at .*gone; make it"):
        train(alone, tmp_path / "no data", tmp_path / "out")
