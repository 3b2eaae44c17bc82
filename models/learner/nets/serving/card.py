"""What a net's artefact says of itself. Written by the training run, never by hand."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from models.artefacts import ArtefactCard
from models.evaluation.card import bullets, document, named, number, table


class DataSet(BaseModel):
    """One data set that taught the net."""

    model_config = ConfigDict(extra="forbid")

    name: str
    licence: str
    rows: int
    people: int | None = Field(None, description="or posts' groups, where people are not known")
    teaches: str


class NetCard(ArtefactCard):
    """Data, figures, limits and forbidden uses of one net."""

    name: str
    trained: list[str] = Field(description="inputs that training saw; the others are masked")
    untrained: dict[str, str] = Field(description="inputs that wait for data, and why")
    prior: float = Field(0.5, description="the population's figure, where nothing is known")
    emotion_version: str = Field("", description="of the model whose affect embedding is read")
    data: list[DataSet]
    metrics: dict[str, dict[str, Any]]
    baselines: dict[str, dict[str, Any]] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    limits: list[str]
    not_for: list[str]
    reproduce: str


def markdown(card: NetCard, version: str) -> str:
    """The card for readers."""
    sets = [(d.name, d.licence, f"{d.rows:,}", d.people or "", d.teaches) for d in card.data]
    affect = f"Affect embeddings of `{card.emotion_version}` only; others are masked."
    notes = [["How to read these figures:"], bullets(found)] if (found := _notes(card)) else []
    return document(
        [f"# {card.name}"],
        [f"Version `{version}`."],
        ["## Data"],
        table(("set", "licence", "rows", "people", "teaches"), sets),
        ["## Inputs"],
        [f"Trained: {', '.join(card.trained)}."],
        bullets(f"**Not trained, and masked**: {n}: {why}" for n, why in card.untrained.items()),
        *([[affect]] if card.emotion_version else []),
        ["## Measured"],
        bullets(f"{name}: {named(values)}" for name, values in card.metrics.items()),
        ["## Baselines"],
        bullets(f"{name}: {named(values)}" for name, values in card.baselines.items()),
        *notes,
        ["## Limits"],
        bullets(card.limits),
        ["## May not be used for"],
        bullets(card.not_for),
        ["## Reproduce"],
        [f"`{card.reproduce}`"],
        ["With:"],
        bullets(f"{name}: {number(value)}" for name, value in card.training.items()),
    )


def _notes(card: NetCard) -> list[str]:
    """What holds of the figures of every net that was measured so."""
    notes = []
    if any("ece" in figures for figures in (*card.metrics.values(), *card.baselines.values())):
        notes.append(
            "`ece` is over ten bins of equal counts; that of the behaviour estimators is over ten "
            "of equal width, so that the two are not to be compared."
        )
    if "cognitive_load" in card.trained:
        notes.append(
            "The population shares against which the replay reads `cognitive_load` come from "
            "everybody, the people that a fold leaves out included."
        )
    return notes
