"""The system layer. No parameter of these functions can carry a learner's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from models.tutor.context.material import Occasion
from models.tutor.prompts.templates import Template, TemplateProblem, Templates
from schemas.vocabulary import Task

OperatorText = NewType("OperatorText", str)
"""Words that come from the settings; never from a request."""


@dataclass(frozen=True, slots=True)
class Instructions:
    """Text in system position. version: of each file it is made of, as `system.1+direct.1`."""

    text: str
    version: str


def instructions(
    task: Task,
    templates: Templates,
    help_message: OperatorText,
    *,
    occasion: Occasion = Occasion.MESSAGE,
    rung: int = 0,
) -> Instructions:
    """What the model is told to do in a mode.

    rung: 0 to templates.rungs - 1, used by the Socratic mode alone

    Raises TemplateProblem for a rung that the ladder does not have, and for Task.SUMMARY.
    """
    if task is Task.SUMMARY:
        raise TemplateProblem("a summary is no mode; see summary_instructions")
    parts = [templates["system"], templates[task]]
    if task is Task.SOCRATIC:
        if not 0 <= rung < templates.rungs:
            raise TemplateProblem(f"the hint ladder has rungs 0 to {templates.rungs - 1}: {rung}")
        parts.append(templates[f"rung_{rung}"])
    if occasion is Occasion.INTERVENTION:
        parts.append(templates["intervention"])
    return _joined(parts, {"help_message": help_message})


def summary_instructions(templates: Templates, words: int) -> Instructions:
    """What the model is told when it shortens old turns to at most `words` words."""
    return _joined([templates["summary"]], {"words": str(words)})


def _joined(parts: list[Template], values: dict[str, str]) -> Instructions:
    texts = [part.render({name: values[name] for name in part.fields}) for part in parts]
    return Instructions(
        text="\n\n".join(texts),
        version="+".join(f"{part.name}.{part.version}" for part in parts),
    )
