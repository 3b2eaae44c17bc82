"""What one interaction says about behaviour: only what the wire carries.

An answer is an interaction whose `taskData.correct` is set; a response one whose
`timingData.responseTime` is. An absent field says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from math import log
from typing import Final, NamedTuple

from models.learner.behaviour.serving.exercises import NO_PROBLEM
from schemas.topics.interactions import Interaction

FASTEST: Final = 0.05
"""Seconds; a response time is read as at least this, so that its logarithm is bounded."""
NO_SKILL: Final = 0
"""The key of an exercise whose skill the page did not name."""
UNKNOWN_HINTS: Final = -1
"""`hintTotal` was not sent."""
_BYTE: Final = 255


class Observed(NamedTuple):
    """One interaction at its clamped event time (milliseconds)."""

    time: int
    skill: int = NO_SKILL
    """32-bit key of the skill's name."""
    hint_total: int = UNKNOWN_HINTS
    """Hints on offer, 0..255, or UNKNOWN_HINTS."""
    has_task: bool = False
    correct: bool | None = None
    attempts: int | None = None
    """0..255."""
    hints: int | None = None
    """0..255."""
    log_response: float | None = None
    """Natural logarithm of the response time in seconds."""
    tab_active: bool | None = None
    kind: int | None = None
    """Index of the kind of content that was used."""
    problem: int = NO_PROBLEM
    """32-bit key of the exercise's id."""


@lru_cache(maxsize=4096)
def skill_key(name: str | None) -> int:
    """The name of a skill, or of an exercise, as 32 bits; NO_SKILL (NO_PROBLEM) for none."""
    if not name:
        return NO_SKILL
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "little") or 1


def observe(interaction: Interaction, time: int, kinds: Mapping[str, int]) -> Observed:
    """What an interaction says; `kinds` gives the kind of content by interaction type."""
    timing, context, task = (
        interaction.timing_data,
        interaction.context_data,
        interaction.task_data,
    )
    seconds = None if timing is None else timing.response_time
    log_response = None if seconds is None else log(max(seconds, FASTEST))
    tab_active = None if context is None else context.tab_active
    kind = kinds.get(interaction.interaction_type)
    if task is None:
        return Observed(time, log_response=log_response, tab_active=tab_active, kind=kind)
    return Observed(
        time,
        skill_key(task.skill),
        UNKNOWN_HINTS if task.hint_total is None else min(task.hint_total, _BYTE),
        True,
        task.correct,
        None if task.attempt_count is None else min(task.attempt_count, _BYTE),
        None if task.hint_count is None else min(task.hint_count, _BYTE),
        log_response,
        tab_active,
        kind,
        skill_key(task.problem_id),
    )
