"""A catalogue and an artefact are checked when settings load, and errors say where."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from models.learner.config import LearnerSettings
from models.learner.recommending.offline.training import fit_policy, write_policy
from models.learner.recommending.serving.catalogue import Catalogue, load_catalogue
from models.learner.recommending.serving.expectations import (
    Expectations,
    LearnedAction,
    LearnedPolicy,
    load_learned,
)
from models.learner.recommending.serving.settings import RecommendingSettings
from models.learner.record import LearnerRecord
from models.learner.rules import PolicyError
from models.learner.update import apply_emotion, apply_feedback
from schemas.topics.emotions import Emotion
from tests.models.learner.build import NOW, at, feedback, reading, settings_with_catalogue
from tests.models.learner.recommending.build import catalogue

ACTION = """
[[actions]]
name = "rest"
action = "suggest_break"
prior = { mean = 0.5, strength = 10 }
reason = "r"
"""
WHEN = 'when = [[{ fact = "valence", below = 0.3 }]]\n'
CONTEXT = '[[context]]\nfact = "valence"\n'


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (ACTION + "when = []", ("actions[0] 'rest'", "when")),
        (ACTION + "when = [[]]", ("'rest'", "always hold")),
        (ACTION + 'when = [[{ fact = "mood", below = 1 }]]', ("when.0.0.fact", "'mood'")),
        (ACTION + WHEN + ACTION + WHEN, ("two actions are named 'rest'",)),
        (ACTION.replace("0.5", "1.5") + WHEN, ("'rest'", "prior.mean")),
        (
            ACTION + WHEN + 'goal = { fact = "focus", towards = "up" }\n' + CONTEXT,
            ("goal of 'rest'", "context"),
        ),
        (ACTION + WHEN + "parameters = { factor = inf }", ("'rest'", "parameters", "finite")),
        (CONTEXT + CONTEXT, ("two facts of the context are named 'valence'",)),
        (CONTEXT + "low = 2", ("low < high",)),
        ('[[context]]\nfact = "trajectory"\n', ("not a fact with a number",)),
        ('[[outcomes]]\nname = "x"\nreward = 2\nweight = 1', ("outcomes[0] 'x'", "reward")),
        ("[[actions", ("not TOML",)),
    ],
)
def test_a_wrong_catalogue_names_the_entry_and_the_field(
    tmp_path: Path, text: str, parts: tuple[str, ...]
) -> None:
    file = tmp_path / "catalogue.toml"
    file.write_text(text)

    with pytest.raises(PolicyError) as caught:
        load_catalogue(file)

    for part in (str(file), *parts):
        assert part in str(caught.value)


def test_a_deployments_catalogue_replaces_the_default(tmp_path: Path) -> None:
    settings = settings_with_catalogue(tmp_path, ACTION + WHEN)
    assert [one.name for one in settings.recommending_policy.catalogue.actions] == ["rest"]


def test_a_rule_and_an_action_may_not_share_a_name(tmp_path: Path) -> None:
    text = (ACTION + WHEN).replace('name = "rest"', 'name = "distress"')
    with pytest.raises(ValidationError, match="named 'distress'"):
        settings_with_catalogue(tmp_path, text)


def test_the_default_catalogue_has_what_the_product_names() -> None:
    actions = {one.action for one in LearnerSettings().recommending_policy.catalogue.actions}
    assert actions >= {
        "lower_information_density",
        "suggest_break",
        "slow_pace",
        "raise_pace",
        "lower_difficulty",
        "raise_difficulty",
        "reduce_visual_complexity",
        "slow_animation",
        "enlarge_targets",
        "attention_cues",
        "reduce_distractions",
        "more_interactive_elements",
        "achievement_feedback",
        "soften_interface",
    }


def test_an_artefact_reads_as_it_was_written_and_another_context_is_refused(
    tmp_path: Path,
) -> None:
    file = tmp_path / "policy.json"
    learned = fit_policy([], catalogue([0.5]), RecommendingSettings())
    write_policy(learned, file)

    assert load_learned(file) == learned
    with pytest.raises(PolicyError, match="trained on another context"):
        LearnerSettings(recommending=RecommendingSettings(learned=file)).load()
    file.write_text('{"format": 1}')
    with pytest.raises(PolicyError, match=r"policy\.json: catalogue"):
        load_learned(file)
    with pytest.raises(PolicyError, match="cannot be read"):
        load_learned(tmp_path / "nowhere.json")


def learned_of(of: Catalogue, *coefficients: float) -> LearnedPolicy:
    """One that says the same of every action: these coefficients, and no doubt."""
    width = len(coefficients)
    return LearnedPolicy(
        catalogue=of.digest.hex(),
        facts=of.context,
        actions={
            one.name: LearnedAction(
                effect=one.effect,
                coefficients=coefficients,
                covariance=((0.0,) * width,) * width,
                answers=9,
                learners=9,
            )
            for one in of.actions
        },
        decisions=9,
        answers=9,
        learners=9,
    )


def test_an_artefact_of_the_wrong_width_is_refused_and_names_the_action() -> None:
    of = catalogue([0.5])
    Expectations(of, learned_of(of, 0.5, 0, 0), 0.5)
    with pytest.raises(PolicyError, match=r"'a0' has 2 coefficients .* needs 3"):
        Expectations(of, learned_of(of, 0.5, 0), 0.5)


def test_what_was_learned_of_an_action_does_not_hold_for_another_of_its_name() -> None:
    of = catalogue([0.5, 0.4])
    learned = learned_of(of, 0.9, 0, 0)
    document = of.model_dump(mode="json")
    document["actions"][0]["parameters"] = {"minutes": 3}
    document["actions"][1]["prior"]["mean"] = 0.1
    document["actions"][1]["when"] = [[{"fact": "valence", "below": 0.2}]]
    changed = Catalogue.model_validate(document)

    expectations = Expectations(changed, learned, 0.5)

    assert expectations.outdated == ("a0",)
    nothing = np.array([1.0, 0.0, 0.0])
    found = [expectations.of(one, nothing) for one in changed.actions]
    assert [(one.mean, one.is_learned) for one in found] == [(0.5, False), (0.9, True)]


# -- settings ------------------------------------------------------------------------------


def groups(model: type[BaseModel], *path: str) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from groups(field.annotation, *path, name)
        elif field.annotation is float:
            yield (*path, name), field


NUMBERS = [path for path, _ in groups(LearnerSettings)]
TIMES = [
    path
    for path, field in groups(LearnerSettings)
    if re.search("seconds|days", field.description or "") or path[:2] == ("policy", "gaps")
]


def with_value(path: tuple[str, ...], value: float) -> LearnerSettings:
    document: dict[str, Any] = {path[-1]: value}
    for name in reversed(path[:-1]):
        document = {name: document}
    return LearnerSettings.model_validate(document)


@pytest.mark.parametrize("path", NUMBERS, ids=".".join)
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_no_number_of_the_settings_may_be_infinite(path: tuple[str, ...], value: float) -> None:
    with pytest.raises(ValidationError) as caught:
        with_value(path, value)
    assert caught.value.errors()[0]["loc"] == path


@pytest.mark.parametrize("path", TIMES, ids=".".join)
def test_no_time_of_the_settings_may_be_longer_than_a_century(path: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        with_value(path, 1e17)
    assert caught.value.errors()[0]["loc"] == path


def test_there_are_times_among_the_settings() -> None:
    assert {
        ("recommending", "rest"),
        ("recommending", "half_life_days"),
        ("seen", "window"),
        ("evidence", "skew"),
        ("policy", "gaps", "critical"),
        ("behaviour", "fatigue", "pause"),
        ("marker_days",),
    } <= set(TIMES)


@pytest.mark.parametrize("path", [one for one in NUMBERS if one[0] == "recommending"], ids=".".join)
def test_at_its_least_and_its_most_a_number_works_in_an_update(path: tuple[str, ...]) -> None:
    (field,) = (field for at, field in groups(LearnerSettings) if at == path)
    bounds = {
        name: getattr(one, name)
        for one in field.metadata
        for name in ("ge", "gt", "le")
        if hasattr(one, name)
    }
    tiniest = math.ulp(0.0)
    least = max(bounds.get("ge", 0.0), tiniest if "gt" in bounds else 0.0)
    tried = 0
    for value in (least, bounds["le"]):
        try:
            settings = with_value(path, value)
        except ValidationError:
            continue  # after and until bound each other
        first = apply_emotion(None, reading(0, probabilities={Emotion.BOREDOM: 0.9}), settings)
        assert first.outputs is not None
        record = first.record
        made = first.outputs.recommendations.recommendations
        for offset, (one, outcome) in enumerate(zip(made, ("dismissed", "applied"), strict=False)):
            said = feedback(f"f{offset}", target_id=one.id, outcome=outcome)
            record = apply_feedback(record, said, at(offset, "feedback"), settings).record
        later = reading(1, time=NOW + 300_000, probabilities={Emotion.BOREDOM: 0.9})
        then = apply_emotion(record, later, settings).record
        assert then is not None
        assert LearnerRecord.from_bytes(then.to_bytes()) == then
        tried += 1
    assert tried
