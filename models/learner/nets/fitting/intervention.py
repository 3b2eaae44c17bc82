"""Fits the InterventionNet: posts teach the text's side, outcomes of exercises behaviour's.

1. Both sides and the thresholds together, on the posts that the emotion model was
   trained on and on the moments; each row masks the side that it lacks.
2. The emotion model has seen those posts, so their embeddings tell too much: slope of
   the text's part and the thresholds are fitted again on the posts it left out (7
   numbers, ordinal likelihood), and behaviour's slope and offset under them.
Figures are of posts that neither step saw (step 2 cross-fitted by post), and of people
that no behaviour net saw, nor its slope and offset, nor the readiness net whose score is
an input (crossfitting.py, in the same folds).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from models.evaluation.scores import auc, rmse, spearman
from models.learner.nets.fitting import figures
from models.learner.nets.fitting.calibrating import Calibrated, behaviour_output, sigmoid
from models.learner.nets.fitting.matrices import Bools, matrix, trained_inputs
from models.learner.nets.fitting.need import Hyper, Taught, fit
from models.learner.nets.fitting.readiness import FOLDS
from models.learner.nets.fitting.replay import Moment
from models.learner.nets.serving.artefact import NetArtefact, save
from models.learner.nets.serving.card import DataSet, NetCard
from models.learner.nets.serving.grades import GRADES, Grading
from models.learner.nets.serving.inputs import ANSWERED, Floats
from models.learner.nets.serving.intervention import LAYOUT
from schemas.vocabulary import Level

Ints = npt.NDArray[np.int64]

DEV_FOLDS: Final = 10
WHY_UNTRAINED: Final = {
    "trajectory": "no labelled set follows one learner's texts over time; the rules read it",
}
LIMITS: Final = [
    "The urgency of forum posts in university MOOCs, coded for instructors; two posts of grade 7, "
    "42 of grade 6: `significant` and `critical` are extrapolated along the scale.",
    "Posts are cut at the emotion model's longest text; one embedding for each.",
    "No set holds text and behaviour together: that the sides add up is an assumption "
    "(independent given the need), not a finding.",
    "Behaviour's labels are what came of the next exercise in ASSISTments 2009 (about 200 "
    "students); asking for a hint is no more than a sign of wanting help.",
    "People behind the posts are not known: intervals are over post ids.",
    "Figures of posts left out are after a calibration of 7 numbers (a slope, 6 thresholds), "
    f"each post's fitted to other posts left out, in {DEV_FOLDS} folds; the shipped one is fitted "
    "to all of them.",
    "Readiness, an input, is that of nets fitted without the person scored, in the folds of "
    "behaviour's figures; those that scored the people a fold was fitted on had seen the people "
    "it left out. The served readiness net saw everybody.",
    "Slope and offset of behaviour's part are, in its figures, those of the other folds; the "
    "shipped ones are fitted to all held-out scores.",
]
NOT_FOR: Final = [
    "Grading, admission, discipline, or any decision that nobody reviews.",
    "Diagnosis, or the safety of a person: `critical` is a reason to look, its absence no "
    "reason not to.",
    "Ranking learners or teachers.",
]


@dataclass(frozen=True, slots=True)
class Graded:
    """Posts with a grade: (n, A) embeddings, (n,) grades, groups, and who was left out."""

    affect: Floats
    grade: Floats
    groups: Sequence[str]
    dev: Bools


def fit_intervention(
    posts: Graded,
    moments: Sequence[Moment],
    *,
    grading: Grading,
    emotion_version: str,
    folder: Path,
    hyper: Hyper,
    report: Callable[[str], None] = lambda _: None,
) -> NetArtefact:
    """Fit, calibrate, measure, write. The card says what was measured on whom."""
    values, known = matrix(LAYOUT, [m.features for m in moments])
    answered = [LAYOUT.names.index(name) for name in ANSWERED]
    some: Bools = known[:, answered].sum(axis=1) > 0
    values, known = values[some], known[some]
    kept = [m for m, s in zip(moments, some.tolist(), strict=True) if s]
    people = [m.person for m in kept]
    level = np.array([grading.of_outcome[m.outcome].rank for m in kept])
    boundaries = [grading.first(step) - 2 for step in list(Level)[1:]]
    train = Taught(posts.affect[~posts.dev], posts.grade[~posts.dev], values, known, level)
    # Over everybody, as for readiness: whom a fold leaves out, its readiness net left out too.
    fold = figures.folds_of([m.person for m in moments], FOLDS)[some]
    held_raw = np.zeros(len(kept))
    for number in range(FOLDS):
        report(f"intervention: fold {number + 1} of {FOLDS}")
        part = fit(train.without(fold == number), boundaries, hyper, seeds=1)
        held_raw[fold == number] = part.behaviour(values[fold == number], known[fold == number])
    report("intervention: everybody")
    final = fit(train, boundaries, hyper, hyper.seeds)
    dev_text = final.text(posts.affect[posts.dev])
    dev_grade = posts.grade[posts.dev]
    dev_groups = [g for g, d in zip(posts.groups, posts.dev, strict=True) if d]
    calibrated = Calibrated.fit(dev_text, dev_grade)
    behaviour_thresholds = calibrated.thresholds[boundaries]
    slope, offset = behaviour_output(held_raw, level, behaviour_thresholds)
    held = held_out(held_raw, level, behaviour_thresholds, fold)
    expected, at_least = _cross_fitted(dev_text, dev_grade, dev_groups, boundaries)
    report("intervention: intervals")
    trained = trained_inputs(LAYOUT, known)
    card = NetCard(
        name="intervention",
        trained=[*trained, "affect"],
        untrained={
            name: WHY_UNTRAINED.get(name, "not in the rows that this run was given")
            for name in LAYOUT.names
            if name not in trained
        },
        emotion_version=emotion_version,
        data=[
            DataSet(
                name="forum_urgency",
                licence="MIT (repository)",
                rows=len(posts.grade),
                people=len(set(posts.groups)),
                teaches="urgency 1-7 of a post, from its affect embedding",
            ),
            DataSet(
                name="assistments2009",
                licence="MIT (repository)",
                rows=len(kept),
                people=len(set(people)),
                teaches="what came of the next exercise (hints, wrong), as levels by grades.csv",
            ),
        ],
        metrics={
            "urgency, posts left out of all training": {
                "n": len(dev_grade),
                "spearman": spearman(expected, dev_grade),
                "spearman_95": figures.interval(spearman, expected, dev_grade, dev_groups),
                "rmse": rmse(expected, dev_grade),
                "rmse_95": figures.interval(rmse, expected, dev_grade, dev_groups),
            },
            **{
                f"text: {step.value} or more, posts left out": _binary(
                    at_least[:, step.rank - 1],
                    np.array([grading.level(g).rank >= step.rank for g in dev_grade], float),
                    dev_groups,
                )
                for step in list(Level)[1:5]
            },
            **{
                f"behaviour: {step.value} or more, {FOLDS}-fold by person": _binary(
                    sigmoid(held - behaviour_thresholds[step.rank - 1]),
                    (level >= step.rank).astype(float),
                    people,
                )
                for step in list(Level)[1:4]
            },
        },
        baselines={
            "urgency, the mean grade": {
                "rmse": rmse(np.full(len(dev_grade), train.grade.mean()), dev_grade)
            }
        },
        training={name: getattr(hyper, name) for name in Hyper.__slots__},
        limits=LIMITS,
        not_for=NOT_FOR,
        reproduce="masterx train intervention",
    )
    return save(folder, card, final.tensors(calibrated, slope, offset))


def held_out(raw: Floats, level: Floats, thresholds: Floats, fold: Ints) -> Floats:
    """(n,) raw parts, those of each fold under slope and offset of the others."""
    part = np.zeros(len(raw))
    for number in np.unique(fold):
        held = fold == number
        slope, offset = behaviour_output(raw[~held], level[~held], thresholds)
        part[held] = slope * raw[held] + offset
    return part


def _cross_fitted(
    part: Floats, grade: Floats, groups: Sequence[str], boundaries: Sequence[int]
) -> tuple[Floats, Floats]:
    """(n,) expected grade and (n, 5) P(level or more), each by a calibration without its post."""
    fold = figures.folds_of(groups, DEV_FOLDS)
    exceeds = np.zeros((len(grade), GRADES - 1))
    for number in range(DEV_FOLDS):
        held = fold == number
        exceeds[held] = Calibrated.fit(part[~held], grade[~held]).exceeds(part[held])
    return 1 + exceeds.sum(1), exceeds[:, list(boundaries)]


def _binary(scores: Floats, truth: Floats, people: Sequence[str]) -> dict[str, object]:
    return {
        "n": len(truth),
        "share": float(truth.mean()),
        "auc": auc(scores, truth),
        "auc_95": figures.interval(auc, scores, truth, people),
        "ece": figures.ece(scores, truth),
    }
