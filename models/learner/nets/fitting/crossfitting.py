"""Readiness as the intervention net may learn from it: by nets that did not see the person.

The readiness net that serves was fitted on everybody's outcomes; its scores of these same
people would tell some of what the intervention net is to foretell, and flatter its figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.learner.nets.fitting import figures
from models.learner.nets.fitting.calibrating import sigmoid
from models.learner.nets.fitting.matrices import Bools, matrix, trained_inputs
from models.learner.nets.fitting.readiness import (
    FOLDS,
    Hyper,
    fifths,
    fit,
    platt,
    rest_on_answers,
)
from models.learner.nets.fitting.replay import Moment
from models.learner.nets.serving.artefact import NetArtefact, NetProblem
from models.learner.nets.serving.card import NetCard
from models.learner.nets.serving.inputs import Feature, Floats
from models.learner.nets.serving.readiness import LAYOUT, LearningReadinessNet
from schemas.topics.state import Source


def with_readiness(
    moments: Sequence[Moment],
    hyper: Hyper,
    report: Callable[[str], None] = lambda _: None,
) -> list[Moment]:
    """The moments, each with what a net fitted without its person reads of it.

    Nothing of a person is in the net that scores them, its standardisation and its
    calibration included. A moment without answers gets no score, as in serving.
    """
    values, known = matrix(LAYOUT, [m.features for m in moments])
    truth = np.array([float(m.correct) for m in moments])
    some = rest_on_answers(known)
    fold = figures.folds_of([m.person for m in moments], FOLDS)
    found = list(moments)
    for number in range(FOLDS):
        report(f"readiness without the people of fold {number + 1} of {FOLDS}")
        rows = (fold != number) & some
        net = _net(values[rows], known[rows], truth[rows], hyper)
        for index in np.flatnonzero(fold == number).tolist():
            found[index] = _scored(moments[index], net)
    return found


def hyper_of(training: Mapping[str, Any]) -> Hyper:
    """What the served readiness net was trained with, from its card. Raises NetProblem."""
    missing = [name for name in Hyper.__slots__ if name not in training]
    if missing:
        raise NetProblem(f"the readiness net's card does not say its {', '.join(missing)}")
    return Hyper(**{name: training[name] for name in Hyper.__slots__})


def _net(values: Floats, known: Bools, truth: Floats, hyper: Hyper) -> LearningReadinessNet:
    fitted = fit(values, known, truth, hyper)
    # Calibrated on the rows it was fitted to: any held-out ones would be those of nets that
    # have seen the people to be scored. Two numbers of some ten thousand rows bear that.
    logits = fitted.logits(values, known)
    output = platt(logits, truth)
    card = NetCard(
        name="readiness",
        trained=trained_inputs(LAYOUT, known),
        untrained={},
        prior=float(truth.mean()),
        data=[],
        metrics={},
        limits=[],
        not_for=[],
        reproduce="masterx train intervention",
    )
    tensors = fitted.tensors(output, fifths(sigmoid(output[0] * logits + output[1])))
    # Never written: it serves nobody.
    return LearningReadinessNet(NetArtefact(Path("fold"), card, tensors, "fold"))


def _scored(moment: Moment, net: LearningReadinessNet) -> Moment:
    read = net.read(moment.features)
    if read.source is Source.PRIOR:
        return moment
    known = {**moment.features, "readiness": Feature((read.score,), read.confidence)}
    return replace(moment, features=known)
