"""Words that several rooms share, each defined once: who somebody is, how they are, what helps.

The values stand in tokens, topics, settings and stored records: they do not change.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a token's owner may do."""

    LEARNER = "learner"
    """Acts as itself, sees itself."""
    OBSERVER = "observer"
    """Acts as nobody, sees the learners named in its token."""
    SERVICE = "service"
    """Acts for anyone: a backend that passes events on."""
    ADMIN = "admin"
    """Acts for anyone."""


class Level(StrEnum):
    """How strongly to step in; ordered from nothing to at once."""

    NONE = "none"
    PREVENTIVE = "preventive"
    MILD = "mild"
    MODERATE = "moderate"
    SIGNIFICANT = "significant"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 (none) to 5 (critical)."""
        return _RANKS[self]


_RANKS: Final = {level: rank for rank, level in enumerate(Level)}


class Speaker(StrEnum):
    """Who said a turn of a dialogue."""

    TEACHER = "teacher"
    STUDENT = "student"


class Task(StrEnum):
    """What the learner is helped with; the tutor's modes."""

    DIRECT = "direct"
    SOCRATIC = "socratic"
    ENCOURAGEMENT = "encouragement"
    WORKED_EXAMPLE = "worked_example"
    SUMMARY = "summary"
    """Not for the learner: old turns, compressed."""


class Mood(StrEnum):
    """How the learner feels, as coarse as a choice of provider can use."""

    NEGATIVE = "negative"
    NEUTRAL = "neutral"
    POSITIVE = "positive"
    UNKNOWN = "unknown"


class Concern(StrEnum):
    """What a message may be about that a person should know of."""

    SUICIDE = "suicide"
    SELF_HARM = "self_harm"
    ABUSE = "abuse"
    VIOLENCE_AT_HOME = "violence_at_home"
    OTHER_IN_DANGER = "other_in_danger"
    EATING = "eating"
    DISTRESS = "distress"
