"""How hard exercises are: apart from who did them, and from what came before."""

from __future__ import annotations

import random

import orjson
import pytest

from models.learner.behaviour.serving.artefact import describe, load_behaviour
from models.learner.behaviour.serving.config import SHIPPED
from models.learner.behaviour.serving.exercises import Before, Exercises
from models.learner.behaviour.serving.features import NEXT_NAMES, next_features
from models.learner.behaviour.serving.observed import Observed, skill_key
from models.learner.behaviour.serving.population import HINTS_NOT_SENT, hint_group
from models.learner.behaviour.serving.record import NO_BEHAVIOUR, BehaviourRecord, add
from models.learner.behaviour.serving.scorer import sigmoid
from models.learner.behaviour.training.fitting import fit_population
from models.learner.behaviour.training.fitting_exercises import fit_exercises
from models.learner.behaviour.training.sources import ProblemRow
from tests.models.learner.build import NOW, SETTINGS

BEHAVIOUR = SETTINGS.behaviour
AREA, ROOTS = skill_key("Area"), skill_key("Roots")


def done(person: str, order: int, problem: str, chance: float, rng: random.Random) -> ProblemRow:
    right = rng.random() < chance
    skill = "Roots" if problem.startswith("root") else "Area"
    return ProblemRow(order, person, order, skill, 3, right, 10.0, 1, 0, problem, problem[:4])


def class_of(people: int, seed: int = 3) -> list[ProblemRow]:
    """Able learners do roots, others areas; area-hard always comes after area-gate."""
    rng = random.Random(seed)
    rows: list[ProblemRow] = []
    for person in range(people):
        able = person % 2 == 0
        for _ in range(10):
            name = rng.choice(("root-1", "root-2")) if able else "area-1"
            both = (("both-1", 0.9 if able else 0.5), (name, 0.9 if able else 0.5))
            gate = (("area-gate", 0.9 if able else 0.5), ("area-hard", 0.4 if able else 0.1))
            for problem, chance in (*both, *gate):
                rows.append(done(f"p{person}", len(rows), problem, chance, rng))
    return rows


EXERCISES = fit_exercises(class_of(60))
GROUP = hint_group(3)


def chance(problem: str, skill: int) -> float:
    return sigmoid(EXERCISES.of_answered(skill_key(problem), skill, GROUP)[0])


def test_what_only_able_learners_do_is_not_read_as_easier() -> None:
    """Given roots are right 40 points more often, done by those who are right as much more."""
    assert chance("root-1", ROOTS) == pytest.approx(chance("area-1", AREA), abs=0.12)


def test_a_hard_exercise_is_told_from_others_of_its_skill() -> None:
    assert chance("area-hard", AREA) < chance("area-gate", AREA) - 0.25


def test_what_follows_an_exercise_is_learned() -> None:
    """Given that after area-gate there always comes a hard one, Then what is next is harder."""
    gate = Before(skill_key("area-gate"), AREA, GROUP)
    first = Before(skill_key("area-1"), AREA, GROUP)

    assert EXERCISES.of_sequel(gate, AREA, GROUP)[0] < -0.5
    assert EXERCISES.of_sequel(first, AREA, GROUP)[0] > EXERCISES.of_sequel(gate, AREA, GROUP)[0]


def test_what_training_did_not_meet_adds_nothing() -> None:
    """Given names that are not in the artefact, Then only what is known of the rest counts."""
    assert EXERCISES.of_answered(7, 8, GROUP) == EXERCISES.of_answered(0, 8, GROUP)
    assert EXERCISES.of_sequel(Before(7, 8, GROUP), 9, GROUP) == (0.0, 0.0)
    assert Exercises().of_upcoming(AREA, HINTS_NOT_SENT) == (0.0, 0.0)


def test_weights_survive_being_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    population, named = fit_population(class_of(20))
    held = orjson.loads(SHIPPED.read_bytes())
    held["population"] = orjson.loads(orjson.dumps(describe(population, named)))
    file = tmp_path_factory.mktemp("artefact") / "model.json"
    file.write_bytes(orjson.dumps(held))

    assert load_behaviour(file).population.exercises == population.exercises


def after(problem: int, *, correct: bool) -> BehaviourRecord:
    answer = Observed(NOW, AREA, 3, True, correct, 1, 0, 2.0, True, None, problem)
    population = BEHAVIOUR.behaviour.population
    return add(NO_BEHAVIOUR, [answer], population, BEHAVIOUR.fatigue.pause)


def test_a_mistake_on_a_hard_exercise_says_less_than_one_on_an_easy_one() -> None:
    population = BEHAVIOUR.behaviour.population
    problems = [key[1] for key in population.exercises.answered if key[:1] == ("problem",)]
    eases = {
        int(problem): population.exercises.of_answered(int(problem), AREA, GROUP)[0]
        for problem in problems
    }
    hard, easy = min(eases, key=eases.__getitem__), max(eases, key=eases.__getitem__)

    def surprise(problem: int) -> float:
        vector = next_features(after(problem, correct=False), population, AREA, 3)
        return vector[NEXT_NAMES.index("surprise")]

    assert surprise(easy) < surprise(hard) < 0.0
