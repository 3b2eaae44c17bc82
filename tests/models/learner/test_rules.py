"""A policy file is checked when settings load, and errors say where."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from models.learner.config import LearnerSettings, PolicySettings
from models.learner.rules import PolicyError, load_rules
from tests.models.learner.build import settings_with_policy

RULE = """
[[interventions]]
name = "first"
level = "mild"
reason = "r"
when = [{ fact = "valence", below = 0.3 }]
"""


def second(body: str) -> str:
    return f'{RULE}\n[[interventions]]\nname = "second"\nreason = "r"\n{body}'


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            second('level = "mild"\nwhen = [{ fact = "mood", below = 0.3 }]'),
            ("interventions[1] 'second'", "when.0.fact", "unknown fact 'mood'"),
        ),
        (
            second('level = "mild"\nwhen = [{ fact = "emotions.hope", above = 0.3 }]'),
            ("'second'", "when.0.fact", "unknown fact 'emotions.hope'"),
        ),
        (
            second('level = "mild"\nwhen = [{ fact = "valence", below = 0.3, above = 0.1 }]'),
            ("'second'", "when.0", "exactly one of"),
        ),
        (
            second('level = "mild"\nwhen = [{ fact = "trajectory", below = 0.3 }]'),
            ("'second'", "when.0", "is_any"),
        ),
        (
            second('level = "mild"\nwhen = [{ fact = "trajectory", is_any = ["sinking"] }]'),
            ("'second'", "when.0.is_any.0"),
        ),
        (
            second('level = "mild"\nwhen = [{ fact = "valence", below = nan }]'),
            ("'second'", "when.0.below", "finite"),
        ),
        (
            second('level = "none"\nwhen = [{ fact = "valence", below = 0.3 }]'),
            ("'second'", "level", "raises nothing"),
        ),
        (second('level = "mild"\nwhen = []'), ("'second'", "when")),
        (
            second('level = "mild"\nwhen = [{ fact = "valence", under = 0.3 }]'),
            ("'second'", "when.0.under"),
        ),
        (RULE + RULE, ("two rules are named 'first'",)),
        ('[[recommendations]]\nname = "day"', ("learner.recommending.file",)),
        ("[[interventions", ("not TOML",)),
    ],
)
def test_a_wrong_policy_names_the_rule_and_the_field(
    tmp_path: Path, text: str, parts: tuple[str, ...]
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text)

    with pytest.raises(PolicyError) as caught:
        load_rules(file)

    for part in (str(file), *parts):
        assert part in str(caught.value)


def test_a_missing_policy_stops_the_settings(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.toml"
    with pytest.raises(ValidationError, match=r"nowhere\.toml: cannot be read"):
        LearnerSettings(policy=PolicySettings(file=missing))


def test_a_policy_of_ones_own_replaces_the_default(tmp_path: Path) -> None:
    settings = settings_with_policy(tmp_path, RULE)
    assert [rule.name for rule in settings.rules.interventions] == ["first"]
