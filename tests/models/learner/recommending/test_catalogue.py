"""A catalogue and an artefact are checked when settings load, and errors say where."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from models.learner.config import LearnerSettings
from models.learner.recommending.catalogue import load_catalogue
from models.learner.recommending.expectations import load_learned
from models.learner.recommending.settings import RecommendingSettings
from models.learner.recommending.training import fit_policy, write_policy
from models.learner.rules import PolicyError
from tests.models.learner.build import settings_with_catalogue
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
