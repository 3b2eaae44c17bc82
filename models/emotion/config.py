"""Settings of the emotion model's serving. Every process reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PACKAGED: Final = Path(__file__).parent / "artefacts" / "fast"
"""The model that comes with masterx."""


class ConcernSettings(BaseModel):
    """When a person should know of a message, or of several together (`hints.py`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: float = Field(
        0.5, gt=0, le=1, description="probability from which one message is enough by itself"
    )
    hints_at: float = Field(
        0.8,
        gt=0,
        description="sum of -log(1 - probability) over a learner's hints that is enough; 0.8: one "
        "of them is for a person with probability .55, were they independent",
    )
    hint_from: float = Field(
        0.05, gt=0, lt=1, description="probability under which a message adds nothing"
    )
    half_life: float = Field(
        21_600.0, gt=0, description="seconds between messages in which the sum halves"
    )
    kept: float = Field(
        86_400.0, gt=0, description="seconds after the last hint in which a sum is forgotten"
    )
    learners: int = Field(
        20_000, ge=1, description="whose sums a worker holds at a time; the oldest one goes first"
    )

    @model_validator(mode="after")
    def _a_hint_is_less_than_enough(self) -> Self:
        if self.hint_from >= self.at:
            raise ValueError("emotion.concern.hint_from must be below emotion.concern.at")
        return self


class LanguageSettings(BaseModel):
    """What is taken for a language that the artefact does not know (docs/emotion.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    compared: tuple[str, ...] = Field(
        (
            *("ca", "cs", "da", "de", "en", "es", "fi", "fr", "hr", "hu", "id", "it", "lt"),
            *("nl", "no", "pl", "pt", "ro", "sk", "sq", "sv", "sw", "tl", "tr", "vi"),
        ),
        min_length=2,
        description="languages in Latin letters that a text is held against (ISO 639-1). A text in "
        "one that is absent is mostly nearer to one of these than to English. For an artefact that "
        "knows a language of another script, add that script's other languages",
    )
    log_odds: float = Field(
        10.0,
        ge=0,
        description="log-odds against each language of the artefact above which a text is in "
        "another one. More: fewer texts of the artefact's languages are lost",
    )
    least_words: int = Field(
        3,
        ge=1,
        description="different words of two letters or more from which a language is told; shorter "
        "texts in Latin letters are read",
    )
    most_words: int = Field(
        100, ge=3, description="different words that a language is told from; bounds the time"
    )
    other_script: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of letters of another script than Latin above which a text is in "
        "another language, however short",
    )
    romanised: float = Field(
        0.35,
        ge=0,
        le=1,
        description="share of words that are Hindi in Latin letters above which a text is; 1: "
        "nothing is taken for it",
    )


class EmotionSettings(BaseModel):
    """How the emotion model is served."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    artefact: Path = Field(
        PACKAGED,
        description="folder of the trained model (model.onnx, model.safetensors, card.json)",
    )
    promoted: Path | None = Field(
        None,
        description="file that names the promoted artefact's folder (`masterx models promote`); "
        "workers follow it without a restart. None: always `artefact`",
    )
    promotion_interval: float = Field(
        5.0, gt=0, description="seconds between two looks at the promoted artefact's name"
    )
    encoders: tuple[str, ...] = Field(
        (),
        description="package, folder or hub id of each encoder, to train and for a GPU; empty: "
        "those that the artefact names. They must be the models that it was trained on",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: a GPU where torch finds one, else the processor"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="of a GPU's products; auto: bfloat16. A processor runs int8"
    )
    threads: int = Field(
        1,
        ge=1,
        description="threads that read texts on a processor. More than one pays where no other "
        "process needs the cores",
    )
    max_tokens: int = Field(
        128, ge=8, description="of a text that is read at once; a longer one is read in windows"
    )
    max_windows: int = Field(
        16,
        ge=1,
        description="of one text. Of a longer one the first and the last are read, and its reading "
        "says how much that is (coverage)",
    )
    batch_tokens: int = Field(2_048, ge=128, description="padded tokens of one batch, at most")
    queue_size: int = Field(512, ge=1, description="texts waiting for the model, at most")
    cache_size: int = Field(4_096, ge=0, description="readings kept by normalised text")
    batches_ahead: int = Field(
        1, ge=1, description="batches prepared while the model is busy, at most"
    )
    breaker_failures: int = Field(
        3, ge=1, description="failures of the model in a row that stop the intake"
    )
    breaker_cooldown: float = Field(
        5.0, gt=0, description="seconds until a stopped model is tried again"
    )
    attempts: int = Field(3, ge=1, description="tries of one text before it is a dead letter")
    least_known: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of a text's pieces that the model's vocabulary has, below which it is "
        "not read",
    )
    least_speaking: float = Field(
        0.5,
        ge=0,
        le=1,
        description="probability that the learner speaks, and not a pasted exercise or code, below "
        "which a text is no evidence; used where the artefact tells it",
    )
    language: LanguageSettings = LanguageSettings()
    wait_when_down: float = Field(
        30.0,
        ge=0,
        description="seconds a message waits for a failed model before the state says so",
    )
    concern: ConcernSettings = ConcernSettings()
