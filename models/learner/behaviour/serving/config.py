"""Settings of what behaviour says: the artefact, what counts as enough, the derived formulas."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from pydantic import Field, model_validator

from models.learner.behaviour.serving.artefact import Behaviour, load_behaviour
from models.learner.behaviour.serving.record import MAX_KINDS
from models.learner.parameters import Group, Seconds, Share

SHIPPED = Path(__file__).parents[2] / "artefacts" / "behaviour" / "model.json"


class FatigueSettings(Group):
    """1 - (1 - time) * (1 - drift), for which no labelled data exists (docs/state.md)."""

    pause: Seconds = Field(
        600.0, gt=0, description="seconds without an event after which time on task starts anew"
    )
    half: Seconds = Field(2_700.0, gt=0, description="seconds on task at which `time` is 0.5")
    drift_full: float = Field(
        3.0,
        gt=0,
        description="the learner's own spreads that responses slow down by where `drift` is 1",
    )
    prior: Share = Field(0.5, description="of a learner we know nothing of")


class EngagementSettings(Group):
    """Weighted mean of taking part and of the text, for which no labelled data fits."""

    prior: Share = Field(0.5, description="of a learner we know nothing of")


class BehaviourSettings(Group):
    """What behaviour says about a learner, and from when on."""

    artefact: Path = Field(
        SHIPPED,
        description="the trained estimators (`masterx train behaviour`), read when first used",
    )
    answers_half: float = Field(
        3.0, gt=0, description="answers' worth of evidence at which confidence is 0.5"
    )
    responses_half: float = Field(
        5.0, gt=0, description="response times' worth of evidence at which confidence is 0.5"
    )
    min_evidence: float = Field(
        0.05, ge=1e-9, description="weight below which there is no evidence, only the prior"
    )
    kinds: dict[str, tuple[str, ...]] = Field(
        default={
            "video": ("video_play", "video_pause", "video_seek", "video"),
            "audio": ("audio_play", "audio_pause", "audio"),
            "reading": ("read", "page_view", "article", "scroll", "highlight"),
            "picture": ("image_view", "diagram", "chart", "simulation"),
            "practice": ("answer", "exercise", "quiz", "submit", "code_run"),
            "example": ("worked_example", "hint", "solution_view"),
            "discussion": ("forum_post", "forum_view", "comment", "group"),
        },
        max_length=MAX_KINDS,
        description="kinds of content, by the interaction types that use them; add at the end only",
    )
    fatigue: FatigueSettings = FatigueSettings()
    engagement: EngagementSettings = EngagementSettings()

    @model_validator(mode="after")
    def _each_type_is_of_one_kind(self) -> BehaviourSettings:
        if len(self.kind_of) != sum(map(len, self.kinds.values())):
            raise ValueError("behaviour.kinds: an interaction type is of two kinds")
        return self

    @cached_property
    def behaviour(self) -> Behaviour:
        """The trained estimators, read when they are first used and once a process.

        Raises BehaviourArtefactProblem that names what is missing or broken.
        """
        return load_behaviour(self.artefact)

    @cached_property
    def kind_of(self) -> Mapping[str, int]:
        """Index of the kind of content, by interaction type."""
        return {name: index for index, names in enumerate(self.kinds.values()) for name in names}
