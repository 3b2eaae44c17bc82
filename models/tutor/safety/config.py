"""Settings of the safety layer: what is said, how urgent it is, when a feeling alone is enough."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.topics.emotions import Emotion
from schemas.vocabulary import Level

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class SafetySettings(BaseModel):
    """Distress and self-harm: a person is called, whatever a model would say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    help_message: str | None = Field(
        None,
        min_length=1,
        description="said at once; name your own people and numbers here. null: `help.message` of "
        "the language's file in models/words/",
    )
    reply_message: str | None = Field(
        None,
        min_length=1,
        description="said in place of a model's words that failed the check. null: `help.reply`",
    )
    level: Level = Field(
        Level.CRITICAL, description="of the intervention where a learner's words raised it"
    )
    reply_level: Level = Field(
        Level.MODERATE, description="of the intervention where a model's words failed the check"
    )
    lexicon_confidence: Share = Field(
        0.8, description="told with an intervention that the words alone have raised"
    )
    emotions: dict[Emotion, Share] = Field(
        {Emotion.DISTRESS: 0.6},
        description="an emotion read with this probability is enough by itself",
    )
    supporting: tuple[Emotion, ...] = Field(
        (Emotion.DISTRESS, Emotion.SADNESS, Emotion.FEAR, Emotion.SHAME, Emotion.PAIN),
        description="emotions that make a weak finding count",
    )
    supporting_at: Share = Field(0.4, description="sum of their probabilities, at most 1")
    concern_named_at: Share = Field(
        0.5,
        description="probability from which an intervention names a kind of concern; where one "
        "message raised it, the most probable one is named in any case",
    )
    weak_findings: int = Field(2, ge=1, description="different ones that count without emotions")
    lexicons: tuple[Path, ...] = Field(
        (), description="more files like the packaged lexicon.toml: other languages, local words"
    )
    words: int = Field(
        2_000, ge=100, description="of a message are looked at: a longer one's first and last"
    )
    long_message: int = Field(
        1_000,
        ge=100,
        description="characters from which a message is looked at in a thread, beside the event "
        "loop: it can take more than a few milliseconds",
    )
