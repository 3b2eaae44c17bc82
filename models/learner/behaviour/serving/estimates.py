"""What behaviour says about a learner: the figures that other parts of the state read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.topics.state import Estimate


@dataclass(frozen=True, slots=True)
class Tendency:
    """How much of what a learner used was of one kind of content."""

    share: float
    """In [0, 1], time-decayed over weeks; the shares of all kinds sum to 1."""
    count: int
    """How many interactions with that kind there have been, ever."""


@dataclass(frozen=True, slots=True)
class BehaviourEstimates:
    """One moment's estimates, each in [0, 1] with a confidence in [0, 1) and its source."""

    help_need: Estimate
    """Probability that the learner asks for a hint on the next exercise."""
    next_correct: Estimate
    """Probability that the next answer is right at the first attempt."""
    focus: Estimate
    """1 - probability of being off task."""
    cognitive_load: Estimate
    """Probability that the load is above the learner's own mean."""
    engagement: Estimate
    """Derived: taking part on the page, and the text's engagement against boredom."""
    fatigue: Estimate
    """Derived: time on task and drift against the learner's own norm."""
    tendencies: Mapping[str, Tendency]
    """Kinds of content by use; empty before any was used."""
