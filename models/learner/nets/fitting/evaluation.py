"""`masterx evaluate intervention`: the text's side on posts, graded or not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.emotion.artefact.artefact import load as load_emotion
from models.emotion.config import EmotionSettings
from models.evaluation.bootstrap import Figure
from models.evaluation.scores import auc, rmse, spearman
from models.learner.config import NetSettings
from models.learner.nets.fitting import figures
from models.learner.nets.fitting.posts import embed, read_posts
from models.learner.nets.serving.artefact import NetProblem, load
from models.learner.nets.serving.grades import Grading, load_grading
from models.learner.nets.serving.inputs import Floats
from models.learner.nets.serving.intervention import InterventionNet
from schemas.vocabulary import Level


@dataclass(frozen=True, slots=True)
class InterventionFigures:
    """n graded rows; the rest is None where none is graded. Intervals are over post ids."""

    rows: int
    n: int
    spearman: float | None
    rmse: float | None
    spearman_95: list[float] | None
    rmse_95: list[float] | None
    per_level: dict[str, dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return {name: getattr(self, name) for name in self.__slots__}


def evaluate(
    data: Path,
    nets: NetSettings,
    emotion: EmotionSettings,
    predictions: Path | None = None,
) -> InterventionFigures:
    """Read posts, embed them as serving does, measure what is graded.

    predictions: JSON lines, one a row of the data in its order

    Raises NetProblem; of the emotion model ArtefactProblem and EncoderNotFound; OSError where
    the predictions cannot be written.
    """
    if nets.intervention is None:
        raise NetProblem("learner.nets.intervention: names no folder")
    net, grading = InterventionNet(load(nets.intervention), load_grading()), load_grading()
    posts = read_posts(data)
    model = load_emotion(emotion.artefact)
    if model.version != net.card.emotion_version:
        raise NetProblem(
            f"the net reads embeddings of {net.card.emotion_version}, and {emotion.artefact} is "
            f"{model.version}; fit it anew: masterx train intervention"
        )
    affect = embed(model, [post.text for post in posts], emotion)
    exceeds = net.exceeds(net.text(affect))
    needs = [net.of(row, ("text",)) for row in exceeds]
    levels = [need.level(nets.share) for need in needs]
    if predictions is not None:
        with predictions.open("w", encoding="utf-8") as file:
            for row, (need, level) in enumerate(zip(needs, levels, strict=True)):
                line = {"row": row, "urgency": need.urgency, "level": level.value}
                file.write(json.dumps(line) + "\n")
    graded = [i for i, post in enumerate(posts) if post.grade is not None]
    truth = np.array([posts[i].grade for i in graded], dtype=np.float64)
    urgency = np.array([needs[i].urgency for i in graded])
    people = [posts[i].group for i in graded]
    at_least = np.array([[*needs[i].at_least.values()] for i in graded]).reshape(-1, len(Level))
    return InterventionFigures(
        rows=len(posts),
        n=len(graded),
        spearman=_finite(spearman(urgency, truth)) if len(graded) > 1 else None,
        rmse=rmse(urgency, truth) if graded else None,
        spearman_95=_interval(spearman, urgency, truth, people),
        rmse_95=_interval(rmse, urgency, truth, people),
        per_level=_per_level(at_least, truth, [levels[i] for i in graded], grading),
    )


def _per_level(
    at_least: Floats, truth: Floats, read: list[Level], grading: Grading
) -> dict[str, dict[str, Any]]:
    of = np.array([grading.level(grade).rank for grade in truth], dtype=int)
    got = np.array([level.rank for level in read], dtype=int)
    result: dict[str, dict[str, Any]] = {}
    for level in Level:
        hits = int(((of == level.rank) & (got == level.rank)).sum())
        support, called = int((of == level.rank).sum()), int((got == level.rank).sum())
        needed = (of >= level.rank).astype(float)
        result[level.value] = {
            "support": support,
            "called": called,
            "precision": hits / called if called else None,
            "recall": hits / support if support else None,
            "auc_at_least": _finite(auc(at_least[:, level.rank], needed)) if len(needed) else None,
            "mean_probability_at_least": float(at_least[:, level.rank].mean())
            if len(needed)
            else None,
            "share_at_least": float(needed.mean()) if len(needed) else None,
        }
    return result


def _interval(
    figure: Figure, predicted: Floats, truth: Floats, people: list[str]
) -> list[float] | None:
    found = figures.interval(figure, predicted, truth, people)
    return found if np.isfinite(found).all() else None


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
