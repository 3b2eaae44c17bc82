"""`masterx train behaviour`: cross-validate by person, calibrate, fit on all, write cards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from models.evaluation.scores import Bools, Floats
from models.learner.behaviour.serving.artefact import FORMAT, NAMES, describe
from models.learner.behaviour.serving.features import SHRINK
from models.learner.behaviour.serving.observed import skill_key
from models.learner.behaviour.serving.population import Population
from models.learner.behaviour.serving.scorer import Scorer, sigmoid
from models.learner.behaviour.training.boosting import Boosting, fit_trees
from models.learner.behaviour.training.card import as_markdown, card_of
from models.learner.behaviour.training.examples import Examples, of_problems, read_examples
from models.learner.behaviour.training.fitting import (
    calibrated,
    fit_logistic,
    fit_population,
    folds,
    logits_of,
)
from models.learner.behaviour.training.metrics import EstimatorFigures, ece, measure
from models.learner.behaviour.training.sources import (
    BehaviourDataProblem,
    ProblemRow,
    read_assistments,
)

FILES: Final = {
    "next_correct": "assistments2009/interactions.csv",
    "next_hint": "assistments2009/interactions.csv",
    "load": "nback_tlx/nback_nasatlx.csv",
    "offtask": "offtask/observations.csv",
}
RIDGE: Final = {"next_hint": 20.0, "load": 1.0, "offtask": 10.0}
"""Strength of the penalty on standardised weights; stronger where positives are few."""
TREES: Final = {"next_correct": Boosting()}
"""Of the tasks of which trees tell more than weights, cross-validated by person."""
FOLDS: Final = 10
CROSSINGS: Final = 6
"""Parts into which people are split, so that each meets a population of the others."""
_SEED: Final = 7

Report = Callable[[str], None]


class TooFewOutcomes(BehaviourDataProblem):
    """Nothing to learn from: with some people left out, one outcome alone remains."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """An estimator, and how it did on people whom it had not seen."""

    scorer: Scorer
    figures: EstimatorFigures
    baseline: EstimatorFigures
    base_rate: float


def train(
    data_dir: Path, out: Path, report: Report = lambda _: None
) -> dict[str, EstimatorFigures]:
    """Write model.json, card.json and CARD.md to `out`. Raises BehaviourDataProblem."""
    rows = read_assistments(data_dir / FILES["next_correct"])
    population, named = fit_population(rows)
    population = with_skills(population, named)
    report("next_correct, next_hint")
    fitted = _fit_next(rows)
    for task, name in FILES.items():
        if task not in fitted:
            report(task)
            fitted[task] = _fit(task, read_examples(task, data_dir / name, population))
    held = {
        "format": FORMAT,
        "population": describe(population, named),
        "slowness": _slowness(rows, population),
        "estimators": {task: _written(task, model) for task, model in fitted.items()},
    }
    digest = blake2b(orjson.dumps(held, option=orjson.OPT_SORT_KEYS), digest_size=6).hexdigest()
    held = {"version": digest, **held}
    cards = {
        task: card_of(task, digest, model.figures, model.baseline) for task, model in fitted.items()
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.json").write_bytes(orjson.dumps(held) + b"\n")
    (out / "card.json").write_bytes(orjson.dumps(cards, option=orjson.OPT_INDENT_2) + b"\n")
    (out / "CARD.md").write_text(as_markdown(cards), encoding="utf-8")
    return {task: model.figures for task, model in fitted.items()}


def cross_validate(task: str, features: Floats, truth: Bools, people: Sequence[str]) -> Floats:
    """Probabilities of people who were left out of the fit (and of its calibration).

    Raises TooFewOutcomes.
    """
    logits = _out_of_fold(task, features, truth, people)
    return np.array([sigmoid(logit) for logit in logits])


def with_skills(population: Population, named: Any) -> Population:
    """The population with its skills by key."""
    return replace(population, skills={skill_key(name): v for name, v in named.items()})


def _fit(task: str, examples: Examples) -> Fitted:
    features, truth, people, _ = examples.labelled()
    logits = _out_of_fold(task, features, truth, people)
    return _fitted(task, features, truth, people, logits, honest=features)


def _fit_next(rows: Sequence[ProblemRow], seed: int = _SEED) -> dict[str, Fitted]:
    """Of both tasks, which see the same features."""
    # What is known of the population must come from others, in training as in serving: a
    # share that holds a row's own outcome tells it, most of all for rare exercises.
    usable = [row for row in rows if row.correct is not None and row.hints is not None]
    everyone = _crossed(usable, seed)
    places = {row: index for index, row in enumerate(everyone.rows)}
    people = everyone.people
    outcomes = {
        "next_correct": {row.row: bool(row.correct) for row in usable},
        "next_hint": {row.row: (row.hints or 0) > 0 for row in usable},
    }
    truth = {task: np.array([of[row] for row in everyone.rows]) for task, of in outcomes.items()}
    logits = {task: np.zeros(len(people)) for task in outcomes}
    honest = np.zeros_like(everyone.features)
    for held in folds(people, truth["next_correct"], FOLDS, seed):
        out = {people[index] for index in held}
        inner = [row for row in usable if row.person not in out]
        known = _crossed(inner, seed)
        outer = [row for row in usable if row.person in out]
        unseen = of_problems("next_correct", outer, with_skills(*fit_population(inner)))
        at = [places[row] for row in unseen.rows]
        honest[at] = unseen.features
        for task, of in outcomes.items():
            scorer = _scorer(task, known.features, np.array([of[row] for row in known.rows]))
            logits[task][at] = logits_of(scorer, unseen.features)
    return {
        task: _fitted(task, everyone.features, truth[task], people, logits[task], honest=honest)
        for task in outcomes
    }


def _crossed(rows: Sequence[ProblemRow], seed: int) -> Examples:
    """Every person replayed against a population of which they are no part."""
    labels = np.array([bool(row.correct) for row in rows])
    parts = []
    for held in folds([row.person for row in rows], labels, CROSSINGS, seed + 1):
        out = {rows[index].person for index in held}
        others = with_skills(*fit_population([row for row in rows if row.person not in out]))
        theirs = [row for row in rows if row.person in out]
        parts.append(of_problems("next_correct", theirs, others))
    flat = [
        (row, person, vector, label)
        for part in parts
        for row, person, vector, label in zip(
            part.rows, part.people, part.features, part.labels, strict=True
        )
    ]
    flat.sort(key=lambda item: item[0])
    return Examples(
        rows=tuple(item[0] for item in flat),
        people=tuple(item[1] for item in flat),
        features=np.array([item[2] for item in flat]),
        labels=tuple(item[3] for item in flat),
        total=len(flat),
    )


def _scorer(task: str, features: Floats, truth: Bools) -> Scorer:
    how = TREES.get(task)
    if how is not None:
        return fit_trees(features, truth, how)
    return fit_logistic(features, truth, RIDGE[task])


def _fitted(
    task: str,
    features: Floats,
    truth: Bools,
    people: Sequence[str],
    logits: Floats,
    *,
    honest: Floats,
) -> Fitted:
    raw = np.array([sigmoid(logit) for logit in logits])
    scorer = _scorer(task, features, truth)
    line = calibrated(Scorer((1.0,), 0.0), logits, truth)
    straightened = np.array([line.probability((logit,)) for logit in logits])
    # Platt's line is one more thing to fit: it must earn its place.
    if ece(straightened, truth) < ece(raw, truth):
        scorer = calibrated(scorer, logits, truth)
    return Fitted(
        scorer=scorer,
        figures=measure(raw, truth, people),
        baseline=measure(_baseline(task, honest), truth, people),
        base_rate=float(truth.mean()),
    )


def _baseline(task: str, features: Floats) -> Floats:
    """The first feature alone: the population's share, recent accuracy, or pace."""
    column = NAMES[task].index("chance_hint") if task == "next_hint" else 0
    sign = -1.0 if task == "load" else 1.0
    return np.array([sigmoid(value) for value in sign * features[:, column]])


def _out_of_fold(task: str, features: Floats, truth: Bools, people: Sequence[str]) -> Floats:
    logits = np.zeros(len(truth))
    for held in folds(people, truth, FOLDS, _SEED):
        inner = np.setdiff1d(np.arange(len(truth)), held)
        if not 0 < truth[inner].sum() < len(inner):
            # Such a fit says the same of everyone, and next to the other folds' fits the rows
            # that it is asked about rank by their fold: an AUC of 0, or of 1, that means nothing.
            raise TooFewOutcomes(
                f"{task}: cannot be cross-validated by person: {int(truth.sum())} positive of "
                f"{len(truth)} rows, of {len(set(people))} people, leave a training fold with one "
                "outcome alone"
            )
        scorer = _scorer(task, features[inner], truth[inner])
        logits[held] = logits_of(scorer, features[held])
    return logits


def _slowness(rows: Sequence[ProblemRow], population: Population) -> float:
    """Slope of an answer's residual of correctness on how slow it was for its person."""
    people: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.correct is None or not row.seconds:
            continue
        chances = population.chances(skill_key(row.skill), row.hint_total)
        point = (float(np.log(row.seconds)), row.correct - chances.correct)
        people.setdefault(row.person, []).append(point)
    slow, residuals = [], []
    for points in people.values():
        times, off = np.array(points).T
        variance = (len(times) * times.var() + SHRINK * population.log_response_spread**2) / (
            len(times) + SHRINK
        )
        slow.append((times - times.mean()) / np.sqrt(variance))
        residuals.append(off - off.mean())
    x, y = np.concatenate(slow), np.concatenate(residuals)
    return float(x @ y / (x @ x))


def _written(task: str, model: Fitted) -> dict[str, Any]:
    return {
        "features": NAMES[task],
        "weights": model.scorer.weights,
        "intercept": model.scorer.intercept,
        "trees": None if model.scorer.trees is None else model.scorer.trees.as_json(),
        "base_rate": model.base_rate,
    }
