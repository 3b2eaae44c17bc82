"""Settings of the context: how long a prompt is, and what of a learner goes into it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.emotion.config import PACKAGED
from schemas.vocabulary import Mood, Task

Factor = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LayerSettings(_Group):
    """How much of the budget a layer may claim, relative to the others."""

    weight: float = Field(gt=0)
    told: bool = Field(True, description="false: no provider ever gets it")
    tasks: dict[Task, Factor] = Field({}, description="times this, in that mode")
    moods: dict[Mood, Factor] = Field({}, description="times this, in that mood")

    def claim(self, task: Task, mood: Mood) -> float:
        """The weight in a situation, before anything is learned; >= 0."""
        return self.weight * self.tasks.get(task, 1.0) * self.moods.get(mood, 1.0)


class LayersSettings(_Group):
    """The layers that share what the instructions and the learner's message leave."""

    profile: LayerSettings = LayerSettings(weight=1.0)
    state: LayerSettings = LayerSettings(
        weight=1.5, tasks={Task.ENCOURAGEMENT: 2.0}, moods={Mood.NEGATIVE: 1.5}
    )
    history: LayerSettings = LayerSettings(
        weight=2.0, tasks={Task.ENCOURAGEMENT: 0.5, Task.WORKED_EXAMPLE: 1.5}
    )
    conversation: LayerSettings = LayerSettings(weight=6.0, tasks={Task.SOCRATIC: 1.5})

    def claim(self, layer: str, task: Task, mood: Mood) -> float:
        """Of one of them, by its name."""
        each: LayerSettings = getattr(self, layer)
        return each.claim(task, mood)

    def told(self, layer: str) -> bool:
        """Whether a provider may get one of them, by its name."""
        return bool(getattr(self, layer).told)

    @model_validator(mode="after")
    def _a_conversation_is_told(self) -> LayersSettings:
        if not self.conversation.told:
            raise ValueError("context.layers.conversation: nobody can answer what is not told")
        return self


class LearningSettings(_Group):
    """How feedback changes the layers' weights."""

    trial: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="share of requests from which one layer is left out, so that its effect can "
        "be told from the learners who have it; 0: nothing is learned",
    )
    prior_mean: float = Field(0.5, gt=0, lt=1, description="helpful replies assumed at first")
    prior_weight: float = Field(20.0, gt=0, description="replies that an assumption is worth")
    half_life: float = Field(2_592_000.0, gt=0, description="seconds until a reply counts half")
    strength: float = Field(
        2.0, ge=0, description="power of (helpful with it / helpful without it)"
    )
    least: float = Field(0.25, gt=0, le=1, description="of the weight in the settings")
    most: float = Field(3.0, ge=1, description="of the weight in the settings")


class RecallSettings(_Group):
    """Which earlier exchanges come back."""

    most: int = Field(3, ge=0, description="exchanges")
    least_likeness: float = Field(
        0.15, ge=0, le=1, description="cosine of the words, weighted by rarity, to come back"
    )
    half_life: float = Field(1_209_600.0, gt=0, description="seconds until an exchange is half")
    max_chars: int = Field(500, ge=40, description="of each side of an exchange")


class SummarySettings(_Group):
    """The running summary of turns that no longer fit."""

    max_tokens: int = Field(300, ge=50, description="of the summary")
    line_chars: int = Field(280, ge=40, description="of one line of the extractive summary")
    progress: int = Field(3, ge=0, description="lines on what the learner has worked out")
    problem_words: int = Field(
        12, ge=1, description="a message shorter than this states no new problem"
    )
    by_model: bool = Field(
        False, description="a language model writes it, where one answers; else extractive"
    )
    words: int = Field(150, ge=20, description="asked of a model's summary")


class WorthSettings(_Group):
    """What of the profile is told first where there is no room for all: the highest."""

    counts: Share = Field(0.0, description="how many messages and interactions there were")
    correct: Share = Field(1.0, description="share of recent answers that were right")
    hints: Share = Field(0.5, description="hints used for an exercise, on average")
    response_time: Share = Field(0.25, description="seconds to answer, on average")


class ContextSettings(_Group):
    """What the language model gets to see."""

    budget: int = Field(3_000, ge=1_000, description="tokens of a prompt, instructions included")
    tokenizer: str = Field(
        str(PACKAGED / "tokenizer.json"),
        description="who counts: an installed package or folder with a tokenizer.json, or that "
        "file itself; your model's own is the best one",
    )
    tokenizer_margin: float = Field(
        1.25, ge=1, description="times its count: other models cut words elsewhere (docs/tutor.md)"
    )
    turn_overhead: int = Field(6, ge=0, description="tokens that a chat template adds to a turn")
    note_confidence: float = Field(
        0.2, ge=0, le=1, description="estimates below this are not told to the model"
    )
    emotions_told: int = Field(3, ge=0, description="the most probable ones, in the state layer")
    templates: Path | None = Field(None, description="folder of templates; None: the packaged ones")
    layers: LayersSettings = LayersSettings()
    worth: WorthSettings = WorthSettings()
    learning: LearningSettings = LearningSettings()
    recall: RecallSettings = RecallSettings()
    summary: SummarySettings = SummarySettings()

    @model_validator(mode="after")
    def _the_summary_leaves_room(self) -> ContextSettings:
        if self.summary.max_tokens * 2 > self.budget:
            raise ValueError("context.summary.max_tokens: at most half of context.budget")
        return self
