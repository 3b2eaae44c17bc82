"""The two training runs, from the data folder to an artefact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from models.emotion.artefact.artefact import load as load_emotion
from models.emotion.config import EmotionSettings
from models.learner.behaviour.training.sources import read_assistments
from models.learner.config import LearnerSettings
from models.learner.nets.fitting import intervention, need, readiness
from models.learner.nets.fitting.crossfitting import hyper_of, with_readiness
from models.learner.nets.fitting.posts import embed, read_posts
from models.learner.nets.fitting.replay import Moment, replay
from models.learner.nets.serving.artefact import NetArtefact, NetProblem, load
from models.learner.nets.serving.grades import load_grading

Report = Callable[[str], None]


def train_readiness(
    data: Path, settings: LearnerSettings, folder: Path, report: Report
) -> NetArtefact:
    """From assistments2009. Raises BehaviourDataProblem."""
    moments = _moments(data, settings, report)
    return readiness.fit_readiness(moments, folder, readiness.Hyper(), report).artefact


def train_intervention(
    data: Path,
    settings: LearnerSettings,
    emotion: EmotionSettings,
    folder: Path,
    report: Report,
) -> NetArtefact:
    """From forum_urgency and assistments2009, with readiness nets like that of the settings.

    Like: fitted anew to the same rows with the same hyperparameters and seed, without the
    people whom each of them scores (crossfitting.py). The served one knows them all.

    Raises NetProblem, BehaviourDataProblem; of the emotion model ArtefactProblem and
    EncoderNotFound.
    """
    if settings.nets.readiness is None:
        raise NetProblem("learner.nets.readiness: names no folder; its score is an input")
    hyper = hyper_of(load(settings.nets.readiness).card.training)
    model = load_emotion(emotion.artefact)
    posts = [p for p in read_posts(data / "forum_urgency" / "posts.csv") if p.grade is not None]
    scored = with_readiness(_moments(data, settings, report), hyper, report)
    report(f"embedding {len(posts)} posts with {model.version}")
    affect = embed(model, [post.text for post in posts], emotion)
    graded = intervention.Graded(
        affect=affect,
        grade=np.array([post.grade for post in posts], dtype=np.float64),
        groups=[post.group for post in posts],
        dev=np.array([post.is_dev for post in posts]),
    )
    return intervention.fit_intervention(
        graded,
        scored,
        grading=load_grading(),
        emotion_version=model.version,
        folder=folder,
        hyper=need.Hyper(),
        report=report,
    )


def _moments(data: Path, settings: LearnerSettings, report: Report) -> Sequence[Moment]:
    report("replaying assistments2009")
    rows = read_assistments(data / "assistments2009" / "interactions.csv")
    return list(replay(rows, settings))
