"""Settings of the modes: what speaks for which, and how fast hints become plain."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.topics.emotions import Emotion
from schemas.vocabulary import Task

Share = Annotated[float, Field(ge=0.0, le=1.0)]
MODES = (Task.DIRECT, Task.SOCRATIC, Task.ENCOURAGEMENT, Task.WORKED_EXAMPLE)


class ModeSettings(BaseModel):
    """The choice of a mode. Figures below `least_confidence` do not count."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    usual: Task = Field(Task.SOCRATIC, description="where nothing speaks for another")
    offered: tuple[Task, ...] = Field(
        MODES, description="modes that may be used, also where a learner chooses"
    )
    least_confidence: Share = Field(0.3, description="of an estimate, to count in the choice")
    ladder: tuple[int, ...] = Field(
        (0, 1, 2, 4, 6),
        min_length=2,
        description="tries from which each rung of the hint ladder is reached; the last one "
        "tells. As many as there are rung templates",
    )
    try_words: int = Field(
        4, ge=1, description="a message without a number is a try from so many words on"
    )
    unsure: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (
            "not sure",
            "don't know",
            "dont know",
            "confus",
            "don't get",
            "dont get",
            "don't understand",
            "dont understand",
            "can you",
            "could you",
            "help",
        ),
        description="a message without a number that has one of these in it is no try; small "
        "letters, add your learners' language",
    )
    problem_words: int = Field(
        12, ge=1, description="a message shorter than this states no new problem"
    )
    encouraging: tuple[Emotion, ...] = Field(
        (
            Emotion.SADNESS,
            Emotion.SHAME,
            Emotion.ANXIETY,
            Emotion.FEAR,
            Emotion.DISAPPOINTMENT,
            Emotion.DISTRESS,
            Emotion.FRUSTRATION,
        ),
        description="emotions that speak for encouragement",
    )
    encouraging_at: Share = Field(0.6, description="sum of their probabilities, at most 1")
    low_pleasure: Share = Field(0.25, description="pleasure up to which it is encouragement")
    falling_pleasure: Share = Field(0.4, description="the same, while the mood is declining")
    high_load: Share = Field(0.75, description="cognitive load from which an example is worked")
    low_readiness: Share = Field(0.3, description="readiness up to which an example is worked")
    telling_at: Share = Field(
        # From here on teachers told in two of three turns left out (docs/tutor.md has the table).
        0.55,
        description="probability that a teacher would tell now, from which help is direct",
    )
    tired_at: Share = Field(0.8, description="fatigue from which help is direct")
    focusing_lead: Share = Field(
        0.3,
        description="lead of focusing over probing, among teachers, from which the first rung "
        "is skipped",
    )
    low_mood: Share = Field(0.4, description="pleasure below which the mood is negative")
    high_mood: Share = Field(0.6, description="pleasure above which the mood is positive")

    @property
    def tries_before_telling(self) -> int:
        """Tries that the Socratic mode waits for before it tells."""
        return self.ladder[-1]

    @model_validator(mode="after")
    def _they_make_sense(self) -> ModeSettings:
        if any(
            later <= sooner for sooner, later in zip(self.ladder, self.ladder[1:], strict=False)
        ):
            raise ValueError("modes.ladder: each rung needs more tries than the one before")
        if self.ladder[0] != 0:
            raise ValueError("modes.ladder: the first rung is reached with 0 tries")
        if Task.SUMMARY in {self.usual, *self.offered}:
            raise ValueError("modes: a summary is no mode")
        if self.usual not in self.offered:
            raise ValueError("modes.usual: must be one of modes.offered")
        if self.low_mood > self.high_mood:
            raise ValueError("modes.low_mood: must not be above high_mood")
        return self
