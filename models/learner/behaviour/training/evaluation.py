"""`masterx evaluate behaviour`: a task's figures on a file, and a prediction for each row.

The artefact reads next_correct, next_hint and load. Off-task observations are too few to
hold people out of the shipped fit, so where the file is labelled they are cross-validated
by student on that file, with the shipped recipe; unlabelled ones are read by the artefact.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from models.evaluation.scores import Bools, Floats, brier
from models.learner.behaviour.serving.artefact import NAMES, load_behaviour
from models.learner.behaviour.training.examples import Examples, read_examples
from models.learner.behaviour.training.metrics import ece, measure
from models.learner.behaviour.training.run import TooFewOutcomes, cross_validate


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found on one file; a figure is None where nothing defines it, and `notes` say why.

    n: rows with an outcome that could be read, of so many people, so many of them positive
    auc, interval: of how outcomes are told apart; None unless there are both
    ece, brier: of the probabilities; None without a row
    left_out: rows with an outcome that are not in n
    """

    task: str
    probabilities: Floats
    """One for each row, in the order of the file."""
    n: int
    people: int
    positives: int
    auc: float | None
    ece: float | None
    brier: float | None
    interval: tuple[float, float] | None
    left_out: int
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Every key, whatever the file holds; without the probabilities."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "probabilities"}


def evaluate(task: str, data: Path, artefact: Path, predictions: Path | None = None) -> Evaluation:
    """Measure one task, and write `{"row": 0, "probability": p}` lines where asked to.

    A row of which nothing can be read (an n-back block without a right trial) gets the
    base rate of training, and is not in the figures.

    Raises:
        BehaviourDataProblem: the file is not such a data set.
        BehaviourArtefactProblem: nothing trained to serve.
        OSError: the predictions cannot be written.
    """
    behaviour = load_behaviour(artefact)
    examples = read_examples(task, data, behaviour.population)
    scorer = behaviour.scorers[task]
    read = np.array([scorer.probability(vector) for vector in examples.features.tolist()])
    features, truth, people, held = examples.labelled()
    both = bool(0 < truth.sum() < len(truth))
    notes = _notes(examples, truth)
    if task == "offtask" and held:
        try:
            read[held] = cross_validate(task, features, truth, people)
        except TooFewOutcomes as problem:
            both = False
            notes.append(f"{problem}; ece and brier are of the artefact, which may know these rows")
    probabilities = np.full(examples.total, behaviour.base_rates[task])
    probabilities[list(examples.rows)] = read
    if predictions is not None:
        _write(probabilities, predictions)
    found = measure(read[held], truth, people) if both else None
    return Evaluation(
        task=task,
        probabilities=probabilities,
        n=len(truth),
        people=len(set(people)),
        positives=int(truth.sum()),
        auc=None if found is None else found.auc,
        ece=ece(read[held], truth) if held else None,
        brier=brier(read[held], truth) if held else None,
        interval=None if found is None else found.interval,
        left_out=examples.left_out,
        notes=tuple(notes),
    )


def _notes(examples: Examples, truth: Bools) -> list[str]:
    notes = []
    if not len(truth):
        notes.append("no figures: no row has an outcome that could be read")
    elif truth.all() or not truth.any():
        every = "positive" if truth.all() else "negative"
        notes.append(f"auc: every outcome is {every}, so that nothing can be told apart")
    if examples.left_out:
        notes.append(
            f"left_out: {examples.left_out} rated, of which nothing can be read (no trial is "
            "right); their ratings count in their person's mean, as in training"
        )
    return notes


def _write(probabilities: Floats, predictions: Path) -> None:
    with predictions.open("wb") as file:
        for row, probability in enumerate(probabilities.tolist()):
            file.write(orjson.dumps({"row": row, "probability": probability}) + b"\n")


TASKS: Final = tuple(NAMES)
"""What can be evaluated."""
