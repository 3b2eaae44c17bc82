"""`masterx evaluate behaviour`: a task's figures on a file, and a prediction for each row.

The artefact reads next_correct, next_hint and load. Off-task observations are too few to
hold people out of the shipped fit, so where the file is labelled they are cross-validated
by student on that file, with the shipped recipe; unlabelled ones are read by the artefact.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from models.learner.behaviour.artefact import NAMES, load_behaviour
from models.learner.behaviour.examples import read_examples
from models.learner.behaviour.metrics import Figures, Floats, measure
from models.learner.behaviour.training import cross_validate


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found on one file."""

    task: str
    probabilities: Floats
    """One for each row, in the order of the file."""
    figures: Figures | None
    """None where the file tells fewer than two different outcomes."""


def evaluate(task: str, data: Path, artefact: Path, predictions: Path | None = None) -> Evaluation:
    """Measure one task, and write `{"row": 0, "probability": p}` lines where asked to.

    A row of which nothing can be read (an n-back block that was not played) gets the
    base rate of training, and is not in the figures.

    Raises:
        BehaviourDataProblem: the file is not such a data set.
        BehaviourArtefactProblem: nothing trained to serve.
    """
    behaviour = load_behaviour(artefact)
    examples = read_examples(task, data, behaviour.population)
    scorer = behaviour.scorers[task]
    read = np.array([scorer.probability(vector) for vector in examples.features.tolist()])
    features, truth, people, held = examples.labelled()
    both = bool(0 < truth.sum() < len(truth))
    if task == "offtask" and both:
        read[held] = cross_validate(task, features, truth, people)
    probabilities = np.full(examples.total, behaviour.base_rates[task])
    probabilities[list(examples.rows)] = read
    if predictions is not None:
        with predictions.open("wb") as file:
            for row, probability in enumerate(probabilities.tolist()):
                file.write(orjson.dumps({"row": row, "probability": probability}) + b"\n")
    figures = measure(read[held], truth, people) if both else None
    return Evaluation(task, probabilities, figures)


TASKS = tuple(NAMES)
"""What can be evaluated."""
