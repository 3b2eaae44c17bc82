"""Settings of the emotion model's serving. Every process reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

PACKAGED: Final = Path(__file__).parent / "artefacts" / "fast"
"""The model that comes with masterx."""


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
    max_tokens: int = Field(128, ge=8, description="of one text; longer ones are cut")
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
    wait_when_down: float = Field(
        30.0,
        ge=0,
        description="seconds a message waits for a failed model before the state says so",
    )
