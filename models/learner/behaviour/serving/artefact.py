"""The trained estimators on disk: one JSON file, no code in it.

Errors:
    BehaviourArtefactProblem    not an artefact that this version can serve
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from models.learner.behaviour.serving.exercises import Exercises, Key, Odds
from models.learner.behaviour.serving.features import FOCUS_NAMES, LOAD_NAMES, NEXT_NAMES
from models.learner.behaviour.serving.forest import Forest
from models.learner.behaviour.serving.observed import skill_key
from models.learner.behaviour.serving.population import HINT_GROUPS, Chances, Population
from models.learner.behaviour.serving.scorer import Scorer

FORMAT: Final = 2
NAMES: Final = {
    "next_correct": NEXT_NAMES,
    "next_hint": NEXT_NAMES,
    "load": LOAD_NAMES,
    "offtask": FOCUS_NAMES,
}
"""Every estimator, with the features that it was trained on."""
_MEAN: Final = "mean"


class BehaviourArtefactProblem(ValueError):
    """Not an artefact that this version can serve."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """All trained estimators, and the population against which learners are read."""

    version: str
    population: Population
    scorers: dict[str, Scorer]
    base_rates: dict[str, float]
    """Share of positives in training: what is said without evidence."""
    slowness: float
    """Residual of correctness that goes with one own spread of slower answering."""


def load_behaviour(file: Path) -> Behaviour:
    """Read an artefact. Raises BehaviourArtefactProblem."""
    try:
        held = orjson.loads(file.read_bytes())
        if held["format"] != FORMAT:
            raise BehaviourArtefactProblem(
                f"{file}: of format {held['format']}; this version reads {FORMAT}"
            )
        return Behaviour(
            version=held["version"],
            population=_population(held["population"]),
            scorers={name: _scorer(file, name, held["estimators"][name]) for name in NAMES},
            base_rates={name: float(held["estimators"][name]["base_rate"]) for name in NAMES},
            slowness=float(held["slowness"]),
        )
    except FileNotFoundError:
        raise BehaviourArtefactProblem(
            f"{file}: there is no such file; `masterx train behaviour` writes one"
        ) from None
    except BehaviourArtefactProblem:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BehaviourArtefactProblem(f"{file}: not a behaviour artefact: {error}") from error


def describe(population: Population, names: dict[str, tuple[Chances, ...]]) -> dict[str, Any]:
    """The population as it is written; `names` gives its skills by name."""
    return {
        "skills": {name: _shares(chances) for name, chances in sorted(names.items())},
        "overall": _shares(population.overall),
        "repeated": population.repeated,
        "log_response": population.log_response,
        "log_response_spread": population.log_response_spread,
        "half_lives": population.half_lives,
        "exercises": _listed(population.exercises),
    }


def _population(held: dict[str, Any]) -> Population:
    recent, session, norm = map(float, held["half_lives"])
    return Population(
        skills={skill_key(name): _chances(shares) for name, shares in held["skills"].items()},
        overall=_chances(held["overall"]),
        repeated=float(held["repeated"]),
        log_response=float(held["log_response"]),
        log_response_spread=float(held["log_response_spread"]),
        half_lives=(recent, session, norm),
        exercises=_exercises(held["exercises"]),
    )


def _listed(exercises: Exercises) -> dict[str, Any]:
    """Weights as lists of a key's numbers and the two log odds, by group."""
    return {
        "answered": _by_group(exercises.answered),
        "upcoming": _by_group(exercises.upcoming),
        "families": sorted(exercises.families.items()),
    }


def _by_group(weights: Mapping[Key, Odds]) -> dict[str, list[list[float]]]:
    groups: dict[str, list[list[float]]] = {}
    for (name, *of), odds in ((key or (_MEAN,), odds) for key, odds in weights.items()):
        groups.setdefault(str(name), []).append([*map(int, of), *odds])
    return {name: sorted(lines) for name, lines in sorted(groups.items())}


def _exercises(held: dict[str, Any]) -> Exercises:
    return Exercises(
        answered=_weights(held["answered"]),
        upcoming=_weights(held["upcoming"]),
        families={int(problem): int(family) for problem, family in held["families"]},
    )


def _weights(groups: dict[str, list[list[float]]]) -> dict[Key, Odds]:
    return {
        () if name == _MEAN else (name, *map(int, of)): (float(correct), float(hint))
        for name, lines in groups.items()
        for *of, correct, hint in lines
    }


def _shares(chances: tuple[Chances, ...]) -> list[list[float]]:
    return [[round(c.correct, 5), round(c.hint, 5)] for c in chances]


def _chances(shares: list[list[float]]) -> tuple[Chances, ...]:
    if len(shares) != HINT_GROUPS:
        raise TypeError(f"a skill has shares for {len(shares)} hint groups, not {HINT_GROUPS}")
    return tuple(Chances(float(correct), float(hint)) for correct, hint in shares)


def _scorer(file: Path, name: str, held: dict[str, Any]) -> Scorer:
    if tuple(held["features"]) != NAMES[name]:
        raise BehaviourArtefactProblem(
            f"{file}: {name} was trained on other features than this version computes; train again"
        )
    return Scorer(
        weights=tuple(map(float, held["weights"])),
        intercept=float(held["intercept"]),
        trees=Forest.from_json(held["trees"], len(NAMES[name])) if held["trees"] else None,
    )
